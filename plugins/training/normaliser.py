"""Normalisation of network inputs: offset and scale of each variable, measured on the training folds."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import ToolError
from hepflow.files import write_text
from hepflow.folds import Folds as FoldRoles
from hepflow.plugins.training.columns import check_sum, flat_column
from hepflow.plugins.training.moments import Moments
from hepflow.trainingset import TrainingSet as Declared
from hepflow.trainingset import training_set_of
from hepflow.variables import Variable

__all__ = ["Normalisation", "Normaliser"]

MOST = 20
"""Variables that have room in a table of the log."""


@dataclass(frozen=True)
class Normalisation:
    """Offsets and scales of one network: value used = (x + offset) · scale.

    ``variables`` is the content of ``variables.json``, ``statistics`` that of ``preproc.json``.
    """

    folds: FoldRoles
    variables: Mapping[str, Any]
    statistics: Mapping[str, Any]

    def scaling(self, group: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return (offsets, scales) of the variables of a group, in their order."""
        groups = [*self.variables["inputs"], *self.variables["input_sequences"]]
        listed = next(entry["variables"] for entry in groups if entry["name"] == group)
        return np.array([v["offset"] for v in listed]), np.array([v["scale"] for v in listed])


class Normaliser(Tool):
    """Measure mean and width of the network inputs and write ``variables.json`` and ``preproc.json``.

    Only weighted rows of the training folds that pass the job's selection are used, and of a sequence only the objects
    within the cap. Values are transformed; missing values and padding are left out, zeros are not. offset = −mean,
    scale = 0.5 / width, as in the reference training;
    ``Variable.mean`` fixes a mean. ``finalize`` returns one ``Normalisation`` for each of the folds; with several, the
    files are called ``variables_0.json``, ….
    """

    TrainingSet: Property[Any] = Property(None, "training set with inputs, weight and folds", type=Declared)
    OutputNode = Property("classes", "name of the network's output")

    def reads(self) -> Sequence[str]:
        """Return inputs, weight and fold column."""
        declared = training_set_of(self)
        weight = [declared.weight] if declared.weight else []
        return list(dict.fromkeys([declared.fold_column, *weight, *declared.input_columns]))

    def _measured(self) -> list[int]:
        """Return the folds that train some network; others are not looked at."""
        return sorted({fold for folds in training_set_of(self).folds for fold in folds.train})

    def start(self) -> Any:
        """Return empty moments for each training fold and group, the number of rows, and the sum of their weights."""
        inputs = training_set_of(self).inputs
        moments = {fold: {g: Moments.empty(len(v)) for g, v in inputs.items()} for fold in self._measured()}
        return {
            "moments": moments,
            "rows": dict.fromkeys(self._measured(), 0),
            "weight": dict.fromkeys(self._measured(), 0.0),
        }

    def execute(self, events: Events, result: Any) -> None:
        """Add the objects of the training folds."""
        declared = training_set_of(self)
        rule = declared.folds[0]
        fold = rule.fold(flat_column(events, rule.column, declared.rows)).astype(np.int64)
        weights = np.ones(len(fold))
        if declared.weight:
            weights = flat_column(events, declared.weight, declared.rows).astype(np.float64)
            declared.check_weights(weights)
            train, weights = declared.training_weights(weights)
            fold = fold if train is None else np.where(train, fold, -1)
        for number in self._measured():
            result["rows"][number] += int((fold == number).sum())
            result["weight"][number] += float(weights[fold == number].sum())
        for group, variables in declared.inputs.items():
            owners = self._owners(events, group, len(fold))
            chosen = {number: np.flatnonzero((fold[owners] == number) & (owners >= 0)) for number in self._measured()}
            heavy = {number: weights[owners[index]] for number, index in chosen.items()}
            for i, variable in enumerate(variables):
                raw = flat_column(events, f"{group}.{variable.column}")
                with np.errstate(invalid="ignore"):
                    values = np.asarray(variable(raw), dtype=np.float64)
                missing = None if variable.fill is None else variable.absent(raw)
                for number, index in chosen.items():
                    absent = None if missing is None else missing[index]
                    result["moments"][number][group].fill(i, values[index], heavy[number], absent)

    def _owners(self, events: Events, group: str, rows: int) -> npt.NDArray[np.int64]:
        """Return the row of each object of a group, or -1 for objects beyond the cap."""
        caps = training_set_of(self).caps
        if group not in caps:
            return np.arange(rows)
        counts = events[group].counts
        owners = np.repeat(np.arange(rows), counts)
        rank = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.where(rank < caps[group], owners, -1)

    def finalize(self, total: Any, context: Context) -> tuple[Normalisation, ...]:
        """Write the files, show the table, warn of what looks wrong."""
        result = []
        declared = training_set_of(self)
        for number, folds in enumerate(declared.folds):
            suffix = f"_{number}" if len(declared.folds) > 1 else ""
            rows = sum(total["rows"][fold] for fold in folds.train)
            if not rows:
                raise ToolError(
                    f"no {declared.called} are left to train on",
                    hint=f"folds {', '.join(map(str, folds.train))} are empty; use more events, or see cutflow.json",
                )
            check_sum(sum(total["weight"][fold] for fold in folds.train), f"the {rows} {declared.called} to train on")
            moments = {g: reduce(add, (total["moments"][f][g] for f in folds.train)) for g in declared.inputs}
            for group, found in moments.items():
                self._check(group, found)
            made = Normalisation(folds, self._variables(moments), self._statistics(moments, folds, rows))
            for name, content in (("variables", made.variables), ("preproc", made.statistics)):
                text = json.dumps(content, indent=2, allow_nan=False) + "\n"
                write_text(context.path(f"{name}{suffix}.json"), text)
            title = f"{self.name}{suffix}: {rows} {declared.called} of the folds {', '.join(map(str, folds.train))}"
            if number == 0 and sum(map(len, declared.inputs.values())) <= MOST:
                context.log.info("%s", _table(title, made.statistics))
            else:
                context.log.info("%s: the table is in preproc%s.json", title, suffix)
            for group, found in moments.items():
                self._warn(group, found, context)
            result.append(made)
        return tuple(result)

    def _numbers(self, group: str, found: Moments) -> list[tuple[Variable, float, float]]:
        """Return (variable, offset, scale) of a group."""
        listed = []
        for i, variable in enumerate(training_set_of(self).inputs[group]):
            mean = float(found.mean[i]) if variable.mean is None else variable.mean
            constant = not found.minimum[i] < found.maximum[i] or not found.width[i] > 0
            listed.append((variable, 0.0 - mean, 1.0 if constant else 0.5 / float(found.width[i])))
        return listed

    def _variables(self, moments: Mapping[str, Moments]) -> dict[str, Any]:
        """Return what lwtnn's converters read."""
        groups = {
            group: [
                {"name": v.name, "offset": offset, "scale": scale} for v, offset, scale in self._numbers(group, found)
            ]
            for group, found in moments.items()
        }
        declared = training_set_of(self)
        return {
            "inputs": [{"name": g, "variables": v} for g, v in groups.items() if g not in declared.caps],
            "input_sequences": [{"name": g, "variables": v} for g, v in groups.items() if g in declared.caps],
            "outputs": [{"name": self.OutputNode, "labels": list(declared.outputs)}],
        }

    def _statistics(self, moments: Mapping[str, Moments], folds: FoldRoles, rows: int) -> dict[str, Any]:
        groups: dict[str, Any] = {}
        for group, found in moments.items():
            groups[group] = {}
            for i, (variable, offset, scale) in enumerate(self._numbers(group, found)):
                entries, seen = int(found.entries[i]), found.minimum[i] <= found.maximum[i]
                groups[group][variable.name] = {
                    "column": variable.column,
                    "transform": variable.transform,
                    "floor": variable.floor,
                    "unit": variable.unit,
                    "entries": entries,
                    "missing": int(found.missing[i]) / entries if entries else 0.0,
                    "nonfinite": int(found.nonfinite[i]),
                    "mean": float(found.mean[i]),
                    "width": float(found.width[i]),
                    "minimum": float(found.minimum[i]) if seen else None,
                    "maximum": float(found.maximum[i]) if seen else None,
                    "offset": offset,
                    "scale": scale,
                }
        declared = training_set_of(self)
        given = {"weight": declared.weight, "caps": dict(declared.caps)}
        return {"rows": rows, "called": declared.called, "folds": folds.record(), **given, "groups": groups}

    def _check(self, group: str, found: Moments) -> None:
        """Raise ToolError where values are not finite or weights add up to less than 0."""
        variables = training_set_of(self).inputs[group]
        bad = [(v.name, n) for v, n in zip(variables, found.nonfinite, strict=True) if n]
        if bad:
            raise ToolError(
                f"inputs are not finite: {', '.join(f'{group}.{name} ({n} values)' for name, n in bad)}",
                hint='find out where they come from; TrainingSelection.NonFinite = "ignore" leaves such rows out',
            )
        for variable, weight in zip(variables, found.weight, strict=True):
            if weight:  # else the variable has no values
                check_sum(float(weight), f"{group}.{variable.name}")

    def _warn(self, group: str, found: Moments, context: Context) -> None:
        """Warn of variables without values, or with one alone."""
        for i, variable in enumerate(training_set_of(self).inputs[group]):
            if not found.minimum[i] <= found.maximum[i]:
                context.log.warning("%s.%s has no values: its scale is 1", group, variable.name)
            elif not found.minimum[i] < found.maximum[i]:
                context.log.warning("%s.%s is constant (%g): its scale is 1", group, variable.name, found.minimum[i])


def _table(title: str, statistics: Mapping[str, Any]) -> str:
    """Return the statistics as a table of text that fits into the terminal, beside the level of a log message."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("variable", overflow="fold")
    for heading in ("objects", "missing", "mean", "width", "min", "max"):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, variables in statistics["groups"].items():
        table.add_row(group)
        for name, found in variables.items():
            limits = [found[key] if found[key] is not None else float("nan") for key in ("minimum", "maximum")]
            numbers = [f"{value:.4g}" for value in (found["mean"], found["width"], *limits)]
            table.add_row(f"  {name}", str(found["entries"]), f"{found['missing']:.1%}", *numbers)
    text = io.StringIO()
    columns = shutil.get_terminal_size(fallback=(160, 24)).columns  # of which the level of the message takes 9
    Console(file=text, width=max(columns - 9, 70), color_system=None).print(table)
    return text.getvalue().rstrip()
