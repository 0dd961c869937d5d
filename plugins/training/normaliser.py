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
from hepflow.errors import JobOptionsError, ToolError
from hepflow.files import write_text
from hepflow.plugins.training.columns import check_sum, flat_column
from hepflow.plugins.training.folds import Folds as FoldRoles
from hepflow.plugins.training.folds import one_rule
from hepflow.plugins.training.moments import Moments
from hepflow.variables import Variable

__all__ = ["Normalisation", "Normaliser"]


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

    Only taus of the training folds that pass the job's selection count, with their weights, and of a sequence only the
    objects within the cap. Values are transformed; a real zero is a value, padding is not there, and a variable's
    ``missing`` value is left out. offset = −mean, scale = 0.5 / width, as the reference training has it;
    ``Variable.mean`` fixes a mean. ``finalize`` returns one ``Normalisation`` for each of ``Folds``; with several, the
    files are called ``variables_0.json``, ….
    """

    Variables: Property[dict[str, tuple[Variable, ...]]] = Property({}, "group of inputs → its variables", item=tuple)
    Caps: Property[dict[str, int]] = Property({}, "sequence → most objects that count", item=int)
    Classes: Property[dict[int, str]] = Property(
        {}, "value of the label → name of its class, for the outputs", item=str
    )
    Weight = Property("", "column with the weight of a tau; empty: 1")
    Folds: Property[tuple[FoldRoles, ...]] = Property(
        (FoldRoles(),), "folds and their roles, of one network or of several (kfold)", item=FoldRoles
    )
    OutputNode = Property("classes", "name of the network's output")

    def reads(self) -> Sequence[str]:
        """Return inputs, weight and fold column; JobOptionsError where there is nothing to measure."""
        if not self.Variables:
            raise JobOptionsError(f"{self.name} has nothing to measure", hint="set Variables")
        inputs = [f"{group}.{v.column}" for group, variables in self.Variables.items() for v in variables]
        return list(
            dict.fromkeys([one_rule(self.name, self.Folds).column, *([self.Weight] if self.Weight else []), *inputs])
        )

    def _measured(self) -> list[int]:
        """Return the folds that train some network; others are not looked at."""
        return sorted({fold for folds in self.Folds for fold in folds.train})

    def start(self) -> Any:
        """Return empty moments for each training fold and group, the number of taus, and the sum of their weights."""
        moments = {fold: {g: Moments.empty(len(v)) for g, v in self.Variables.items()} for fold in self._measured()}
        return {
            "moments": moments,
            "taus": dict.fromkeys(self._measured(), 0),
            "weight": dict.fromkeys(self._measured(), 0.0),
        }

    def execute(self, events: Events, result: Any) -> None:
        """Add the objects of the training folds."""
        rule = self.Folds[0]
        fold = rule.fold(flat_column(events, rule.column))
        weights = flat_column(events, self.Weight).astype(np.float64) if self.Weight else np.ones(len(fold))
        for number in self._measured():
            result["taus"][number] += int((fold == number).sum())
            result["weight"][number] += float(weights[fold == number].sum())
        for group, variables in self.Variables.items():
            owners = self._owners(events, group, len(fold))
            chosen = {number: np.flatnonzero((fold[owners] == number) & (owners >= 0)) for number in self._measured()}
            heavy = {number: weights[owners[index]] for number, index in chosen.items()}
            for i, variable in enumerate(variables):
                raw = flat_column(events, f"{group}.{variable.column}")
                with np.errstate(invalid="ignore"):
                    values = np.asarray(variable(raw), dtype=np.float64)
                missing = None if variable.missing is None else raw == variable.missing
                for number, index in chosen.items():
                    absent = None if missing is None else missing[index]
                    result["moments"][number][group].fill(i, values[index], heavy[number], absent)

    def _owners(self, events: Events, group: str, taus: int) -> npt.NDArray[np.int64]:
        """Return the tau of each object of a group, or -1 for objects beyond the cap."""
        if group not in self.Caps:
            return np.arange(taus)
        counts = events[group].counts
        owners = np.repeat(np.arange(taus), counts)
        rank = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.where(rank < self.Caps[group], owners, -1)

    def finalize(self, total: Any, context: Context) -> tuple[Normalisation, ...]:
        """Write the files, show the table, warn of what looks wrong."""
        result = []
        for number, folds in enumerate(self.Folds):
            suffix = f"_{number}" if len(self.Folds) > 1 else ""
            taus = sum(total["taus"][fold] for fold in folds.train)
            if not taus:
                raise ToolError(
                    "no taus are left to train on",
                    hint=f"folds {', '.join(map(str, folds.train))} are empty; use more events, or see cutflow.json",
                )
            check_sum(sum(total["weight"][fold] for fold in folds.train), f"the {taus} taus to train on")
            moments = {g: reduce(add, (total["moments"][f][g] for f in folds.train)) for g in self.Variables}
            for group, found in moments.items():
                self._check(group, found)
            made = Normalisation(folds, self._variables(moments), self._statistics(moments, folds, taus))
            for name, content in (("variables", made.variables), ("preproc", made.statistics)):
                text = json.dumps(content, indent=2, allow_nan=False) + "\n"
                write_text(context.path(f"{name}{suffix}.json"), text)
            title = f"{self.name}{suffix}: {taus} taus of the folds {', '.join(map(str, folds.train))}"
            if number == 0:
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
        for i, variable in enumerate(self.Variables[group]):
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
        labels = list(dict.fromkeys(self.Classes.values()))
        return {
            "inputs": [{"name": g, "variables": v} for g, v in groups.items() if g not in self.Caps],
            "input_sequences": [{"name": g, "variables": v} for g, v in groups.items() if g in self.Caps],
            "outputs": [{"name": self.OutputNode, "labels": labels}],
        }

    def _statistics(self, moments: Mapping[str, Moments], folds: FoldRoles, taus: int) -> dict[str, Any]:
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
        return {"taus": taus, "weight": self.Weight, "folds": folds.record(), "caps": dict(self.Caps), "groups": groups}

    def _check(self, group: str, found: Moments) -> None:
        """Raise ToolError where values are not finite or weights add up to less than 0."""
        bad = [(v.name, n) for v, n in zip(self.Variables[group], found.nonfinite, strict=True) if n]
        if bad:
            raise ToolError(
                f"inputs are not finite: {', '.join(f'{group}.{name} ({n} values)' for name, n in bad)}",
                hint='find out where they come from; TrainingSelection.NonFinite = "ignore" leaves such taus out',
            )
        for variable, weight in zip(self.Variables[group], found.weight, strict=True):
            if weight:  # else the variable has no values
                check_sum(float(weight), f"{group}.{variable.name}")

    def _warn(self, group: str, found: Moments, context: Context) -> None:
        """Warn of variables without values, or with one alone."""
        for i, variable in enumerate(self.Variables[group]):
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
