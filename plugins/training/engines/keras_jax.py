"""Training steps with JAX: a scan over steps, compiled as one program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.training.engines.base import Schedule
from hepflow.plugins.training.engines.keras_steps import Steps
from hepflow.plugins.training.rows import Rows

__all__ = ["JaxSteps"]


class JaxSteps(Steps):
    """Padded steps. What they change stays on the device and is given to the variables at the end of an epoch."""

    def __init__(self, model: Any, form: Any, loss: str, schedule: Schedule) -> None:
        import jax

        super().__init__(model, form, loss, schedule)
        self._variables = ([self._vector], list(model.non_trainable_variables), list(self.optimiser.variables))
        self._gradient = jax.value_and_grad(self.objective, has_aux=True)
        self._run = jax.jit(self._steps, donate_argnums=0)
        self._ask = jax.jit(self._answered)
        self._state: Any = None

    def begin(self) -> None:
        """Take what the variables hold; copies, because the steps work in place."""
        import jax.numpy as jnp

        self._state = [[jnp.array(one.value) for one in group] for group in self._variables]

    def end(self) -> None:
        """Give it back."""
        for group, values in zip(self._variables, self._state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    def put(self, rows: Rows, room: Mapping[str, int]) -> Any:
        """Return rows on the device."""
        import jax

        return jax.device_put(super().put(rows, room))

    def run(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Begin with the steps; the device works on while the next ones are made ready."""
        self._state, found = self._run(self._state, store, order)
        return found

    def ask(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Begin to answer to batch after batch."""
        return self._ask(*([one.value for one in group] for group in (self._trained, self._variables[1])), store, order)

    def _answered(self, values: Any, others: Any, store: Any, order: Any) -> Any:
        import jax

        def answer(rows: Any) -> Any:
            return self.form.stateless_call(values, others, self.padded(store, rows), training=False)[0]

        return jax.lax.map(answer, order)

    def _steps(self, state: Any, store: Mapping[str, Any], order: Any) -> Any:
        import jax
        import jax.numpy as jnp

        def step(state: Any, rows: Any) -> Any:
            (vector,), others, optimiser = state
            labels, weights = store["labels"][rows], store["weights"][rows]
            inputs = self.padded(store, rows)
            (loss, (others, right)), gradient = self._gradient(vector, others, inputs, labels, weights)
            trained, optimiser = self.optimiser.stateless_apply(optimiser, [gradient], [vector])
            return [list(trained), list(others), list(optimiser)], (loss, jnp.sum(weights), right)

        return jax.lax.scan(step, state, order)
