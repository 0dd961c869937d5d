"""What all tools that apply a model have in common: its file or files, folds, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import NetworkError
from hepflow.expressions import Expression
from hepflow.files import matching_files
from hepflow.folds import Folds, kfold_roles
from hepflow.registry.models import model_record, open_model

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["Inputs", "ModelTool", "Sequences"]

Inputs = Mapping[str, Mapping[str, npt.NDArray[Any]]]
"""Scalar inputs: input → variable → values (n_rows)."""
Sequences = Mapping[str, tuple[Mapping[str, npt.NDArray[Any]], npt.NDArray[Any]]]
"""Sequences: input → (variable → values (n_objects), number of objects (n_rows))."""


class ModelTool(Tool):
    """A tool that applies a model, or the models of a k-fold training, each to the events that it has not seen."""

    WeightFile = Property("", "the model; a pattern (network/*/model.onnx) means those of a k-fold training", file=True)
    EventNumber = Property("EventInfo.mcEventNumber", "the number that the folds of a k-fold training are made of")

    def files(self) -> tuple[str, ...]:
        """Return the files of the models; NetworkError where there are none."""
        if not self.WeightFile:
            raise NetworkError(f"{self.name} has no WeightFile", hint="set it to the file of the model")
        found = matching_files(self.WeightFile)
        if not found:
            raise NetworkError(f"no file matches the WeightFile of {self.name}", where=self.WeightFile)
        return found

    def open(self, path: str) -> Model:
        """Return the model of a file, checked for this tool."""
        return open_model(path)

    def models(self) -> tuple[Model, ...]:
        """Return the models, all with the same inputs and outputs; NetworkError where these differ."""
        files = self.files()
        models = tuple(self.open(path) for path in files)
        for path, model in zip(files, models, strict=True):
            for what in ("inputs", "input_sequences", "outputs"):
                names = [
                    [(one.name, one.labels if what == "outputs" else one.names) for one in getattr(each, what)]
                    for each in (models[0], model)
                ]
                if names[0] != names[1]:
                    raise NetworkError(
                        f"the models of {self.name} differ in their {what.replace('_', ' ')}",
                        where=f"{files[0]}, {path}",
                        hint="give the models of one training",
                    )
        return models

    def folds(self) -> tuple[Folds, ...]:
        """Return the folds of the models of a k-fold training, each test fold once; nothing of one model."""
        files = self.files()
        if len(files) < 2:
            return ()
        folds = kfold_roles(files, [open_model(path).record for path in files])
        if folds[0].column.rpartition(".")[2] != self.EventNumber.rpartition(".")[2]:
            raise NetworkError(
                f"the folds of the models are made of {folds[0].column}, not of {self.EventNumber or 'nothing'}",
                where=files[0],
                hint=f"set {self.name}.EventNumber",
            )
        return folds

    def number_reads(self) -> list[str]:
        """Return the column of the event number, where there are folds."""
        return [self.EventNumber] if self.folds() else []

    def decorated(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the record of these decorations: which models made them, and what is known of these; of a k-fold
        training ``kfold`` is the rule, and ``networks`` are the records of all.
        """
        files = self.files()
        records = [model_record(path) for path in files]
        folds = self.folds()
        own = {"decorations": list(names)}
        if not folds:
            return records[0] | own
        rule = folds[0].record()
        kfold = {key: rule[key] for key in ("rule", "column", "number")}
        shown = ", ".join(str(Path(*Path(path).parts[-2:])) for path in files)
        return {"WeightFile": shown, "kfold": kfold, "networks": records} | own

    def initialize(self, context: Context) -> None:
        """Open the models."""
        self._models = self.models()
        self._roles = self.folds()

    def evaluate(self, events: Events, at: str, inputs: Inputs, sequences: Sequences) -> dict[str, npt.NDArray[Any]]:
        """Return the values of each output for the objects of a container: of each object those of the model that has
        not seen its event.
        """
        if not self._roles:
            return self._models[0].evaluate(inputs, sequences)
        numbers = np.asarray(Expression(self.EventNumber)(events, at)).astype(np.int64)
        found: dict[str, npt.NDArray[Any]] = {}
        for model, folds in zip(self._models, self._roles, strict=True):
            mine = folds.has_role(numbers, "test")
            objects = {name: np.repeat(mine, counts) for name, (_, counts) in sequences.items()}
            values = model.evaluate(
                {name: {key: column[mine] for key, column in held.items()} for name, held in inputs.items()},
                {
                    name: ({key: column[objects[name]] for key, column in held.items()}, counts[mine])
                    for name, (held, counts) in sequences.items()
                },
            )
            for output in model.outputs:
                owner = model.sequence_of(output)
                rows = mine if owner is None else objects[owner[0]]
                part = values[output.name]
                if output.name not in found:
                    found[output.name] = np.full((len(rows), part.shape[1]), np.nan, part.dtype)
                found[output.name][rows] = part
        return found
