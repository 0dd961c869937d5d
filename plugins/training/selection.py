"""Which rows models are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property, Tool
from hepflow.errors import ToolError
from hepflow.plugins.training.columns import flat_column
from hepflow.trainingset import TrainingSet as Declared
from hepflow.trainingset import training_set_of

__all__ = ["TrainingSelection"]


class TrainingSelection(Tool):
    """Select the rows of a TrainingSet: those of its classes that pass its selection and have valid weights and inputs.

    It hides entries of an ntuple with one entry per row, or objects of a container. Rows with negative weights are
    kept: the TrainingSet says how the training treats them.
    """

    TrainingSet: Property[Any] = Property(
        None, "training set with selection, classes, weight and inputs", type=Declared
    )
    NonFinite = Property(
        "error",
        "what to do with missing and infinite values of weight and inputs: ignore leaves the rows out",
        choices=("error", "ignore"),
    )

    def reads(self) -> Sequence[str]:
        """Return the columns of the cuts."""
        declared = training_set_of(self)
        cuts = [name for cut in declared.cuts for name in cut.columns]
        targets = [one.column for one in declared.target]
        weight = [declared.weight] if declared.weight else []
        return list(dict.fromkeys([*cuts, *targets, *weight, *declared.input_columns]))

    def record(self) -> Mapping[str, Any]:
        """Return the selection, for the users of a model."""
        record = training_set_of(self).record()
        return {key: record[key] for key in ("selection", "target", "weight", "negative_weights")}

    def execute(self, events: Events, result: Any) -> None:
        """Apply the cuts, one line of the cutflow each."""
        declared = training_set_of(self)
        for cut in declared.cuts:
            at = declared.rows
            self._hide(events, cut(events, at), cut.label, cut.missing(events, at))
        for target in declared.target:
            found = flat_column(events, target.column)
            if target.classes:
                label = f"{target.column} in {', '.join(map(str, target.classes))}"
                self._hide(events, np.isin(found, list(target.classes)), label, np.isnan(found))
            else:
                self._finite(events, target.column, ~np.isfinite(found))
        if declared.weight:
            finite = np.isfinite(flat_column(events, declared.weight, declared.rows))
            self._finite(events, declared.weight, ~finite)
            declared.check_weights(flat_column(events, declared.weight, declared.rows))
        for group, variables in declared.inputs.items():
            for variable in variables:
                raw = flat_column(events, f"{group}.{variable.column}")
                bad = np.isinf(raw) if variable.fill is not None else ~np.isfinite(raw) | variable.absent(raw)
                self._finite(events, f"{group}.{variable.column}", bad)

    def _finite(self, events: Events, name: str, bad: npt.NDArray[np.bool_]) -> None:
        """Refuse or leave out rows with values of a column that are bad, one value or a list of them for each row."""
        declared = training_set_of(self)
        if not bad.any() and self.NonFinite == "error":
            return
        if self.NonFinite == "error":
            raise ToolError(
                f"{name} is missing or not finite in {bad.sum()} of {len(bad)} values",
                hint=f'declare what takes their place: Variable(…, fill=…); {self.name}.NonFinite = "ignore" leaves '
                f"these {declared.called} out",
            )
        container = name.partition(".")[0]
        rows = len(events[declared.rows])
        if container != declared.rows and name != declared.weight:
            owners = np.repeat(np.arange(rows), events[container].counts)
            bad = np.bincount(owners[bad], minlength=rows) > 0
        self._hide(events, ~bad, f"{name} finite")

    def _hide(self, events: Events, mask: npt.NDArray[np.bool_], label: str, missing: Any = None) -> None:
        container = training_set_of(self).rows
        column = next(name for name in self.reads() if name.partition(".")[0] == container).partition(".")[2]
        if isinstance(events[container][column], np.ndarray):  # one entry a row: an ntuple
            events.select_events(mask, label, missing=missing)
        else:
            events.select(container, mask, label, missing=missing)
