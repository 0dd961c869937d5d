"""Training steps with TensorFlow: a loop over steps within one ``tf.function``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.training import backend
from hepflow.plugins.training.engines.base import Schedule
from hepflow.plugins.training.engines.keras_steps import Steps
from hepflow.plugins.training.rows import Batch, Rows

if TYPE_CHECKING:
    from hepflow.plugins.training.data import TrainingData

__all__ = ["RaggedSteps", "TensorFlowSteps"]


class TensorFlowSteps(Steps):
    """Padded steps; on an accelerator all of them are one XLA program."""

    def __init__(self, model: Any, form: Any, loss: str, schedule: Schedule) -> None:
        import tensorflow as tf

        super().__init__(model, form, loss, schedule)
        self._xla = backend.accelerated()
        self._others = list(model.non_trainable_variables)
        compiled = {"jit_compile": self._xla, "reduce_retracing": not self._xla, "autograph": False}
        self._run = tf.function(self._steps, **compiled)
        self._ask = tf.function(self._answered, **compiled)

    def put(self, rows: Rows, room: Mapping[str, int]) -> Any:
        """Return rows as tensors."""
        import tensorflow as tf

        return {name: tf.convert_to_tensor(array) for name, array in super().put(rows, room).items()}

    def _room(self, rows: int, data: TrainingData) -> dict[str, int]:
        return super()._room(rows, data) if self._xla else {}

    def run(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Train the steps."""
        import tensorflow as tf

        return self._run(store, tf.convert_to_tensor(order))

    def ask(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Answer to batch after batch."""
        import tensorflow as tf

        return self._ask(store, tf.convert_to_tensor(order))

    def _answered(self, store: Mapping[str, Any], order: Any) -> Any:
        import tensorflow as tf

        def answer(rows: Any) -> Any:
            return self._answer(self._rows(store, rows)[0])

        return tf.map_fn(answer, order, parallel_iterations=1, fn_output_signature=tf.float32)

    def _answer(self, inputs: Any) -> Any:
        others = [variable.value for variable in self._others]
        return self.form.stateless_call([v.value for v in self._trained], others, inputs, training=False)[0]

    def _steps(self, store: Mapping[str, Any], order: Any) -> Any:
        """Loop over the steps."""
        import tensorflow as tf

        count = tf.shape(order)[0]

        def step(number: Any, *sums: Any) -> Any:
            found = self._step(store, order[number])
            return number + 1, *(one.write(number, value) for one, value in zip(sums, found, strict=True))

        empty = [tf.TensorArray(tf.float32, size=count, element_shape=()) for _ in range(3)]
        _, *sums = tf.while_loop(lambda number, *_: number < count, step, (0, *empty), parallel_iterations=1)
        return tuple(one.stack() for one in sums)

    def _step(self, store: Mapping[str, Any], rows: Any) -> Any:
        import tensorflow as tf

        inputs, labels, weights = self._rows(store, rows)
        vector = self._vector.value
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(vector)
            loss, (others, right) = self.objective(vector, [v.value for v in self._others], inputs, labels, weights)
        self.optimiser.apply([tape.gradient(loss, vector)], [self._vector])
        for variable, value in zip(self._others, others, strict=True):
            variable.assign(value)
        return loss, tf.reduce_sum(weights), right

    def _rows(self, store: Mapping[str, Any], rows: Any) -> tuple[Any, Any, Any]:
        """Return inputs, labels and weights."""
        import tensorflow as tf

        return self.padded(store, rows), *(tf.gather(store[name], rows) for name in ("labels", "weights"))


class RaggedSteps(TensorFlowSteps):
    """Steps of the ragged form, on a processor; the rows of a step follow each other."""

    def __init__(self, model: Any, form: Any, loss: str, schedule: Schedule) -> None:
        import tensorflow as tf

        super().__init__(model, form, loss, schedule)
        self._answers = tf.function(self._answer, reduce_retracing=True, autograph=False)

    def _rows(self, store: Mapping[str, Any], rows: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        start, stop = rows[0], rows[0] + tf.size(rows)
        inputs: dict[str, Any] = {}
        for name in self.form.input:
            if f"inputs {name}" not in store:
                continue
            values = store[f"inputs {name}"]
            if f"counts {name}" not in store:
                inputs[name] = values[start:stop]
                continue
            offsets, counts = store[f"offsets {name}"], store[f"counts {name}"][start:stop]
            inputs[name] = values[offsets[start] : offsets[stop]]
            inputs[f"{name}_rows"] = tf.repeat(tf.range(stop - start), counts)
            inputs[f"{name}_counts"] = counts
        return inputs, store["labels"][start:stop], store["weights"][start:stop]

    def predict(self, batch: Batch) -> npt.NDArray[np.floating]:
        """Return what the model answers."""
        inputs: dict[str, Any] = dict(batch.inputs)
        for name, mask in batch.masks.items():
            inputs[name] = batch.inputs[name][mask]
            inputs[f"{name}_rows"] = np.nonzero(mask)[0].astype(np.int32)
            inputs[f"{name}_counts"] = mask.sum(axis=1, dtype=np.int32)
        return np.asarray(self._answers(inputs))
