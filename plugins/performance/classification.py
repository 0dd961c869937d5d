"""Migration matrices, ROC curves and working points of classifiers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hepflow import Context, Events, Property
from hepflow.errors import JobOptionsError
from hepflow.expressions import Cut, Expression
from hepflow.plugins.performance.base import Drawer, Plots, PlotTool, file_name, together, values_of
from hepflow.variables import Variable

if TYPE_CHECKING:
    from hepflow.plots import MigrationMatrix, RocCurve, WorkingPoint

__all__ = ["MigrationPlots", "RocPlots"]


class MigrationPlots(PlotTool):
    """Plot migration matrices: how objects of each true class are classified.

    One matrix for each classifier, and for each class of ``Ranges`` (``low pT`` …); two classifiers also side by side,
    with their difference. All show the same objects: those with a labelled true class, and a labelled class by every
    classifier; the excluded fraction is printed. A table of all diagonals is printed at the end and written as
    ``diagonals.json``.
    """

    Truth = Property(Expression("TauJets.truthDecayMode"), "the true class, a whole number")
    Classifiers: Property[dict[str, Expression]] = Property(
        {}, "classifiers: label → class, a whole number", item=Expression
    )
    Labels: Property[tuple[str, ...]] = Property((), "names of the classes 0, 1, …", item=str)
    TruthTitle = Property("truth decay mode", "title of the x axis")
    RecoTitle = Property("reconstructed decay mode", "title of the y axis")
    Ranges: Property[dict[str, Cut]] = Property({}, "further matrices: label → cut", item=Cut)
    Kinds = Property(
        ("efficiency", "purity"), "what is drawn: of each true class, or of each reconstructed class",
        choices=("efficiency", "purity", "counts"), item=str,
    )  # fmt: skip

    def _keys(self) -> dict[str, tuple[str, str, Cut]]:
        """Return classifier, range and cut by key."""
        ranges = {"": Cut(), **self.Ranges}
        return {
            f"{name}/{label}" if label else name: (name, label, cut)
            for label, cut in ranges.items()
            for name in self.Classifiers
        }

    def expressions(self) -> Sequence[Expression]:
        """Return classes and ranges."""
        return [self.Truth, *self.Classifiers.values(), *self.Ranges.values()]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return true classes and classifiers."""
        return [([self.Truth, *self.Classifiers.values()], [self.Selection, *self.Ranges.values()])]

    def empty(self) -> Plots:
        """Return a matrix for each classifier and range."""
        from hepflow.plots import MigrationMatrix

        titles = {"truth_title": self.TruthTitle, "reco_title": self.RecoTitle}
        return {
            key: MigrationMatrix(self.Labels, label=f"{name}, {label}" if label else name, **titles)
            for key, (name, label, _) in self._keys().items()
        }

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all matrices."""
        at = self.at(events, self.Truth, *self.Classifiers.values(), *self.Ranges.values())
        for key, (name, _, cut) in self._keys().items():
            chosen = self.Selection & cut
            classes = {
                label: values_of(events, Variable("class", expression.text), chosen, at)
                for label, expression in {"": self.Truth, **self.Classifiers}.items()
            }
            inside = np.logical_and.reduce([(c >= 0) & (c < len(self.Labels)) for c in classes.values()])
            truth = np.where(inside, classes[""], -1).astype(np.int64)
            reco = np.where(inside, classes[name], -1).astype(np.int64)
            cast("MigrationMatrix", plots[key]).fill(truth, reco, weight=self.weights(events, chosen, at))

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw one figure for each matrix and kind."""
        for sample, plots in samples.items():
            for key, (_, label, cut) in self._keys().items():
                for kind in self.Kinds:
                    name = f"{file_name(key)}_{kind}" + (f"_{file_name(sample)}" if len(samples) > 1 else "")
                    lines = [*([sample] if len(samples) > 1 else []), *([cut.label] if label else [])]
                    draw(name, plots[key], kind=kind, lines=lines)
            if len(self.Classifiers) == 2:
                for kind in self.Kinds:
                    name = f"side_by_side_{kind}" + (f"_{file_name(sample)}" if len(samples) > 1 else "")
                    told = [sample] if len(samples) > 1 else []
                    draw(name, [plots[label] for label in self.Classifiers], kind=kind, lines=told)

    def finalize(self, total: dict[str, Plots], context: Context) -> dict[str, Plots]:
        """Draw, and print what fraction is on the diagonals."""
        from hepflow.files import write_text

        samples = super().finalize(total, context)
        rows = [row for sample, plots in samples.items() for row in self._rows(sample, plots)]
        write_text(context.path(f"{self.Folder or self.name}/diagonals.json"), json.dumps(rows, indent=2) + "\n")
        for row in rows:
            where = f", {row['sample']}" if len(samples) > 1 else ""
            context.log.info(
                "%-28s diagonal %s, mean of the columns %s, %.4g objects, %.1f %% excluded%s",
                row["matrix"], _percent(*row["diagonal"]), _percent(*row["mean_diagonal"]), row["total"],
                100 * row["excluded_fraction"], where,
            )  # fmt: skip
        return samples

    def _rows(self, sample: str, plots: Plots) -> list[dict[str, Any]]:
        rows = []
        for plot in plots.values():
            matrix = cast("MigrationMatrix", plot)
            inside = float(matrix.counts.sum())
            everything = inside + matrix.excluded
            rows.append(
                {
                    "sample": sample,
                    "matrix": matrix.label,
                    "diagonal": [_or_none(value) for value in matrix.diagonal()],
                    "mean_diagonal": [_or_none(value) for value in matrix.mean_diagonal()],
                    "total": inside,
                    "excluded_fraction": matrix.excluded / everything if everything else 0.0,
                }
            )
        return rows


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _percent(value: float | None, error: float | None) -> str:
    return "not known (no entries)" if value is None or error is None else f"{100 * value:.1f} ± {100 * error:.1f} %"


class RocPlots(PlotTool):
    """Plot ROC curves: background rejection against signal efficiency, for scores and for plain decisions.

    All curves and points of the tool are in one figure. With ``SignalTotal`` the efficiency is among all signal
    objects, selected or not.
    """

    Signal = Property(Cut(), "what is signal")
    Background = Property(Cut(), "what is background")
    Scores: Property[dict[str, Expression]] = Property({}, "curves: label → score, larger for signal", item=Expression)
    Points: Property[dict[str, Cut]] = Property({}, "classifiers without a score: label → cut", item=Cut)
    SignalTotal: Property[Cut | None] = Property(
        None, "signal objects in the denominator; by default those that are selected", type=Cut
    )
    Range = Property((0.0, 1.0), "range of the scores")
    Ratio = Property(False, "draw the ratio to the first curve")

    def expressions(self) -> Sequence[Expression]:
        """Return classes, scores and decisions; JobOptionsError where a curve and a point have the same label."""
        both = next((label for label in self.Scores if label in self.Points), None)
        if both is not None:
            raise JobOptionsError(
                f"{both!r} is a label of Scores and of Points", where=f"tool {self.name}", hint="rename one of them"
            )
        total = [self.SignalTotal] if self.SignalTotal is not None else []
        return [self.Signal, self.Background, *self.Scores.values(), *self.Points.values(), *total]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return the scores, with what is signal and what is background."""
        return [([score], [self.Selection, self.Signal, self.Background]) for score in self.Scores.values()]

    def empty(self) -> Plots:
        """Return a curve for each score and a point for each decision."""
        from hepflow.plots import RocCurve, WorkingPoint

        low, high = self.Range
        curves: Plots = {label: RocCurve(label, low=low, high=high) for label in self.Scores}
        return curves | {label: WorkingPoint(label) for label in self.Points}

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill curves and points."""
        chosen = self.Selection & (self.Signal | self.Background)
        for label, score in self.Scores.items():
            at = self.at(events, score, chosen)
            curve = cast("RocCurve", plots[label])
            values = values_of(events, Variable("score", score.text), chosen, at)
            curve.fill(values, self._signal(events, chosen, at), weight=self.weights(events, chosen, at))
            if self.SignalTotal is not None:
                curve.fill_signal_total(self._total(events, self.SignalTotal))
        for label, decision in self.Points.items():
            at = self.at(events, decision, chosen)
            point = cast("WorkingPoint", plots[label])
            passed = decision(events, at)[chosen(events, at)]
            point.fill(passed, self._signal(events, chosen, at), weight=self.weights(events, chosen, at))
            if self.SignalTotal is not None:
                point.fill_signal_total(self._total(events, self.SignalTotal))

    def _signal(self, events: Events, chosen: Cut, at: str) -> Any:
        return self.Signal(events, at)[chosen(events, at)]

    def _total(self, events: Events, cut: Cut) -> float:
        at = self.at(events, cut)
        weights = self.weights(events, cut, at)
        return float(cut(events, at).sum() if weights is None else weights.sum())

    def finalize(self, total: dict[str, Plots], context: Context) -> dict[str, Plots]:
        """Draw, and print the areas under the curves."""
        from hepflow.plots import RocCurve

        samples = super().finalize(total, context)
        if context.variation:
            return samples
        curves = [plot for plot in together(samples, [*self.Scores]) if isinstance(plot, RocCurve)]
        for curve in curves:
            if curve.auc is not None:
                context.log.info("%s, %s: AUC %.4f ± %.4f", self.name, curve.label, curve.auc, curve.auc_error or 0.0)
        if len(samples) > 1 and not any(curve.auc for curve in curves) and any(any(curve.sums) for curve in curves):
            hint = "no sample has both signal and background; Together=True takes all samples as one"
            context.log.warning("%s: %s", self.name, hint)
        return samples

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw one figure that says what signal and background are, and how many."""
        plots = together(samples, [*self.Scores, *self.Points])
        sums = np.sum([cast("RocCurve | WorkingPoint", plot).sums for plot in plots[: len(samples)]], axis=0)
        lines = [
            f"{what}: {cut.label or 'everything'} ({number:,.0f})"
            for what, cut, number in zip(("signal", "background"), (self.Signal, self.Background), sums, strict=True)
        ]
        draw(file_name(self.name), plots, ratio=self.Ratio, lines=lines)
