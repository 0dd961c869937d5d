"""Reweighting: weights that balance the classes and make spectra flat, measured on the training folds.

The factors are measured in the pass that writes the training set and applied when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import InputError, JobOptionsError, ToolError, nearest
from hepflow.files import write_text
from hepflow.folds import Folds as FoldRoles
from hepflow.plugins.training.columns import flat_column
from hepflow.trainingset import TrainingSet as Declared
from hepflow.trainingset import training_set_of

__all__ = ["Reweighter", "Reweighting"]


@dataclass(frozen=True)
class Reweighting:
    """Factors by class and bin, for one network. ``axes`` are fields of the rows with bin edges; values outside count
    to the nearest bin. ``table`` has the shape (classes, bins of axis 1, bins of axis 2, …), one class where numbers
    are learned and ``classes`` is empty; ``folds`` says which rows it was measured on.
    """

    classes: tuple[str, ...]
    axes: Mapping[str, tuple[float, ...]]
    table: npt.NDArray[np.float64]
    folds: FoldRoles = field(default_factory=FoldRoles)

    def factors(self, label: npt.NDArray[Any], columns: Any) -> npt.NDArray[np.float32]:
        """Return the factor of each row; ``label`` is the position of its class (or the number that is learned),
        ``columns[field]`` its values.

        ToolError where a value is not a number.
        """
        bins = [_bins(name, columns[name], edges) for name, edges in self.axes.items()]
        index = (label if self.classes else np.zeros(len(label), np.int64), *bins)
        factors: npt.NDArray[np.float32] = self.table[index].astype(np.float32)
        return factors

    def check(self, classes: Sequence[str], fields: Sequence[str], where: str) -> None:
        """Raise InputError where a training set has other classes or lacks a column."""
        lacking = [name for name in self.axes if name not in fields]
        if lacking:
            raise InputError(
                f"the training set lacks {', '.join(lacking)}, which the reweighting needs",
                where=where,
                hint="name it among the spectators of the TrainingSet",
            )
        if tuple(classes) != self.classes:
            raise InputError(
                f"the reweighting is for the classes {_named(self.classes)}, not {_named(classes)}", where=where
            )

    def record(self) -> dict[str, Any]:
        """Return the reweighting as JSON takes it."""
        axes = {name: list(edges) for name, edges in self.axes.items()}
        table = self.table.tolist()
        return {"classes": list(self.classes), "axes": axes, "table": table, "folds": self.folds.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Reweighting:
        """Return the reweighting that ``record`` wrote down (``reweighting.json``)."""
        axes = {name: tuple(edges) for name, edges in record["axes"].items()}
        table, folds = np.asarray(record["table"], dtype=np.float64), FoldRoles.from_record(record["folds"])
        return cls(tuple(record["classes"]), axes, table, folds)


def _named(classes: Sequence[str]) -> str:
    return ", ".join(classes) or "of none (a number)"


def _bins(name: str, values: npt.NDArray[Any], edges: Sequence[float]) -> npt.NDArray[np.int64]:
    """Return the bin of each value of a column, the nearest one for values outside; ToolError for NaN."""
    bad = int(np.isnan(values).sum())
    if bad:
        raise ToolError(
            f"{name} is not a number in {bad} of {len(values)} rows: they are in no bin of the Reweighter",
            hint="find out where they come from; a cut in the selection of the TrainingSet leaves such rows out",
        )
    found = np.searchsorted(np.asarray(edges), values, side="right") - 1
    return np.clip(found, 0, len(edges) - 2)


class Reweighter(Tool):
    """Measure weights that balance the classes and flatten spectra, on the training folds after the selection.

    ``finalize`` returns one ``Reweighting`` for each of the folds and writes it as ``<OutputName>.json``, of several
    ``<OutputName>_0.json``, …; ``open_dataset(path, reweighting=…)`` applies it. ``BalanceClasses`` gives the classes
    equal sums of weights, ``Flat`` each class a flat spectrum in the bins of its columns, or with ``Like`` the spectrum
    of one class; the sum of all training weights stays the same. In a regression all rows are one class. Negative
    weights are treated as in the training.
    """

    TrainingSet: Property[Any] = Property(None, "training set with classes, weight and folds", type=Declared)
    BalanceClasses = Property(True, "give all classes the same sum of weights")
    Flat: Property[dict[str, tuple[float, ...]]] = Property(
        {},
        "column → bin edges in which the spectrum becomes flat; the column must be a spectator of the data set",
        item=tuple,
    )
    Like = Property("", "class whose spectrum the others get in the bins of Flat, instead of a flat one")
    MinRows = Property(
        50, "with Like: neighbouring bins are merged until each has this many rows of every class", minimum=1
    )
    MaxFactor = Property(0.0, "largest factor, relative to that of the median row; 0: no limit", minimum=0)
    OutputName = Property("reweighting", "name of the JSON file")

    def _classes(self) -> tuple[str, ...]:
        return training_set_of(self).classes

    def reads(self) -> Sequence[str]:
        """Return target, weight, fold and the columns of the spectra; JobOptionsError where nothing is asked for."""
        declared = training_set_of(self)
        if not self.Flat and not (declared.classes and self.BalanceClasses):
            raise JobOptionsError(f"{self.name} has nothing to do", hint="set Flat, or of classes BalanceClasses")
        if self.Like and (self.Like not in declared.classes or len(self.Flat) != 1):
            raise JobOptionsError(
                f"{self.name}.Like = {self.Like!r} needs one column in Flat, and to be one of the classes",
                hint=nearest(self.Like, declared.classes, what="classes"),
            )
        for column, edges in self.Flat.items():
            numbers = np.asarray(edges, dtype=float)
            if len(edges) < 2 or not np.isfinite(numbers).all() or not (np.diff(numbers) > 0).all():
                raise JobOptionsError(
                    f"{self.name}.Flat[{column!r}] needs increasing, finite bin edges, got {edges!r}",
                    hint="values outside count to the nearest bin",
                )
        weight = [declared.weight] if declared.weight else []
        return list(dict.fromkeys([declared.target[0].column, declared.fold_column, *weight, *self.Flat]))

    def start(self) -> Any:
        """Return empty histograms with the axes fold, class, bins: of weights and of rows."""
        bins = (len(edges) - 1 for edges in self.Flat.values())
        shape = (training_set_of(self).fold_number, max(len(self._classes()), 1), *bins)
        return {"sum": np.zeros(shape), "rows": np.zeros(shape, dtype=np.int64)}

    def execute(self, events: Events, result: Any) -> None:
        """Fill the rows of the classes."""
        declared, rule = training_set_of(self), training_set_of(self).folds[0]
        values = {name: flat_column(events, name, declared.rows) for name in self.reads()}
        target = values[declared.target[0].column]
        known = np.isin(target, list(declared.target[0].classes)) if declared.classes else np.isfinite(target)
        weights = np.ones(len(target))
        if declared.weight:
            weights = values[declared.weight].astype(np.float64)
            declared.check_weights(weights)
            train, weights = declared.training_weights(weights)
            known = known if train is None else known & train
        label = (
            declared.target[0].labels(target[known], declared.called) if declared.classes else 0 * np.flatnonzero(known)
        )
        bins = [_bins(name, values[name][known], edges) for name, edges in self.Flat.items()]
        place = (rule.fold(values[rule.column][known]), label, *bins)
        np.add.at(result["sum"], place, weights[known])
        np.add.at(result["rows"], place, 1)

    def finalize(self, total: Any, context: Context) -> tuple[Reweighting, ...]:
        """Turn the sums of the training folds into factors and write them."""
        result = []
        several = training_set_of(self).folds
        for number, folds in enumerate(several):
            suffix = f"_{number}" if len(several) > 1 else ""
            sums, rows = (total[what][list(folds.train)].sum(axis=0) for what in ("sum", "rows"))
            axes = {name.rpartition(".")[2]: tuple(map(float, edges)) for name, edges in self.Flat.items()}
            if self.Like:
                (column, edges), *_ = axes.items()
                first = self._joined(rows)
                sums = np.add.reduceat(sums, first, axis=1)
                axes = {column: (*(edges[place] for place in first), edges[-1])}
            table = self._limited(self._factors(sums), sums, rows)
            made = Reweighting(self._classes(), axes, table, folds)
            path = context.path(f"{self.OutputName}{suffix}.json")
            write_text(path, json.dumps(made.record(), indent=2, allow_nan=False) + "\n")
            context.log.info("%s%s: factors from %.3g to %.3g", self.name, suffix, table[table > 0].min(), table.max())
            result.append(made)
        return tuple(result)

    def _factors(self, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the factors for sums of weights, (classes, bins, …) both; ToolError where a class has none."""
        shape = (-1,) + (1,) * (sums.ndim - 1)
        per_class = sums.sum(axis=tuple(range(1, sums.ndim)))
        names = self._classes() or ("all",)
        empty = [name for name, weight in zip(names, per_class, strict=True) if not weight > 0]
        if empty:
            raise ToolError(
                f"there is nothing to reweight: the training rows of {', '.join(empty)} have no positive sum of "
                "weights",
                hint="is weight the right column? an empty weight gives each row 1",
            )
        wanted = np.full_like(per_class, per_class.sum() / len(per_class)) if self.BalanceClasses else per_class
        if self.Like:
            like = sums[self._classes().index(self.Like)]
            target = wanted.reshape(shape) * like / like.sum()
        elif self.Flat:
            filled = (sums > 0).sum(axis=tuple(range(1, sums.ndim)))
            target = (wanted / filled).reshape(shape)
        else:
            target = wanted
        factors: npt.NDArray[np.float64] = np.divide(target, sums, out=np.zeros_like(sums), where=sums > 0)
        return factors

    def _limited(
        self, table: npt.NDArray[np.float64], sums: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return factors of which none is larger than ``MaxFactor`` allows, with the same sum of weights."""
        if not self.MaxFactor:
            return table
        order = np.argsort(table, axis=None)
        below = np.cumsum(rows.ravel()[order])
        median = table.ravel()[order][np.searchsorted(below, below[-1] / 2)]
        limited = np.minimum(table, self.MaxFactor * median)
        scale = float((table * sums).sum() / (limited * sums).sum())
        return np.asarray(scale * limited, np.float64)

    def _joined(self, rows: npt.NDArray[np.int64]) -> list[int]:
        """Return the first bins of the groups that have enough rows of every class, (classes, bins); what remains joins
        the last. ToolError where there are too few for one.
        """
        first, held, start = [], np.zeros(len(rows), dtype=np.int64), 0
        for place, counts in enumerate(rows.T):
            held = held + counts
            if (held >= self.MinRows).all():
                first.append(start)
                held, start = np.zeros_like(held), place + 1
        if not first:
            told = ", ".join(f"{n} of {name}" for name, n in zip(self._classes(), rows.sum(axis=1), strict=True))
            raise ToolError(
                f"there are too few training rows to measure a spectrum: {told}",
                hint=f"each bin needs {self.MinRows} of every class ({self.name}.MinRows)",
            )
        return first
