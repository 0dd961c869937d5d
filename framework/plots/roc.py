"""RocCurve and WorkingPoint: signal efficiency against background rejection, of scores and of yes-or-no decisions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepflow.errors import PlotError, many
from hepflow.plots.axis import Axis, boost_histogram, closed, to_hist
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column, flags
from hepflow.plots.statistics import ROUNDING, effective_entries, ratio_of

if TYPE_CHECKING:
    import hist

__all__ = ["RocCurve", "RocPoint", "RocPoints", "WorkingPoint"]

METHOD = (
    "rejection = 1 / background efficiency; binomial errors sqrt(e (1 - e) / N_eff), "
    "N_eff = (sum of weights)^2 / (sum of squared weights)"
)

CLASSES = Axis("signal", (-0.5, 0.5, 1.5), labels=("background", "signal"))
DECISIONS = Axis("selected", (-0.5, 0.5, 1.5), labels=("rejected", "selected"))


class RocPoint(NamedTuple):
    """One cut: what is selected has a score of at least ``threshold`` (NaN for a classifier without scores)."""

    threshold: float
    efficiency: float
    rejection: float
    efficiency_error: float
    rejection_error: float


class RocPoints(NamedTuple):
    """A curve, from hard cuts to loose ones: arrays of one length with the fields of ``RocPoint``."""

    threshold: Array
    efficiency: Array
    rejection: Array
    efficiency_error: Array
    rejection_error: Array


class _SignalAgainstBackground(PlotObject):
    """Signal and background with what is selected of them, and a total of the signal that may be given on its own."""

    def __init__(self, label: str, decision: Any) -> None:
        bh = boost_histogram()
        one_bin = bh.axis.Integer(0, 1, underflow=False, overflow=False)
        super().__init__(label, {"counts": [decision, bh.axis.Boolean()], "signal_total": [one_bin]})

    def fill_signal_total(self, weight_sum: float) -> None:
        """Add to a total of the signal that replaces the sum of what was filled: all truth taus, say, found or not.

        A part of it may be negative, as weights are. PlotError where it is not finite.
        """
        if not np.isfinite(weight_sum):
            raise PlotError(f"{self}: the total of the signal cannot be {weight_sum}")
        view = self._sums["signal_total"].view()
        view["value"] += weight_sum
        view["variance"] += 1  # counts the parts: a total of 0 is a total, too

    def _of_class(self, signal: bool) -> tuple[Array, Array]:
        """Return sums of weights and of squared weights of one class, in bins of the score or decision, with flow."""
        values, variances = self._content("counts", flow=True)
        return values[:, int(signal)], variances[:, int(signal)]

    @property
    def signal_total(self) -> float:
        """Sum of weights that the signal efficiency refers to."""
        (separate,), (parts,) = self._content("signal_total")
        return float(separate) if parts else float(self._of_class(True)[0].sum())

    @property
    def sums(self) -> tuple[float, float]:
        """Sums of weights of what was filled: signal and background."""
        return float(self._of_class(True)[0].sum()), float(self._of_class(False)[0].sum())

    def _points(self, signal: Array, background: Array) -> list[Array]:
        """Return efficiency, rejection and their errors for sums of weights that are selected; NaN where undefined."""
        efficiency, efficiency_error = self._binomial(signal, *self._of_class(True), self.signal_total)
        values, variances = self._of_class(False)
        passing, passing_error = self._binomial(background, values, variances, float(values.sum()))
        rejection = ratio_of(1.0, passing)
        return [efficiency, rejection, efficiency_error, passing_error * rejection**2]

    @staticmethod
    def _binomial(selected: Array, values: Array, variances: Array, total: float) -> tuple[Array, Array]:
        efficiency = ratio_of(selected, total)
        efficiency = np.where((efficiency >= 0) & (efficiency <= 1 + ROUNDING), efficiency, np.nan)
        efficiency = np.minimum(efficiency, 1.0)
        entries = effective_entries(values.sum(), variances.sum()) * ratio_of(total, values.sum())
        return efficiency, np.sqrt(ratio_of(efficiency * (1 - efficiency), entries))

    def reasons(self) -> list[str]:
        """Return why numbers are missing: a class without entries, sums of weights that are not above 0."""
        found = [*super().reasons(), *self._signs()]
        for name, signal in (("signal", True), ("background", False)):
            values, variances = self._of_class(signal)
            if self.entries and not variances.any():
                found.append(f"no {name}")
            elif variances.any() and (values.sum() <= 0 or (signal and self.signal_total <= 0)):
                found.append(f"the sum of weights of the {name} is not above 0")
        return found


class RocCurve(_SignalAgainstBackground):
    """Signal efficiency against background rejection for all cuts on a score, from ``bins`` bins of the score.

    High scores mean signal. Scores outside ``low`` … ``high`` are kept: all below as one value, all above as another;
    ``high`` itself belongs to the last bin. Scores in one bin are equal, so a finer binning gives a finer curve.
    """

    def __init__(self, label: str = "", *, bins: int = 10_000, low: float = 0.0, high: float = 1.0) -> None:
        bh = boost_histogram()
        if bins < 1 or not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise PlotError(f"a score cannot be counted in {bins} bins from {low} to {high}")
        self.bins, self.low, self.high = int(bins), float(low), float(high)
        super().__init__(label, bh.axis.Regular(self.bins, self.low, self.high))

    def layout(self) -> dict[str, Any]:
        """Return number and range of the bins."""
        return {"bins": self.bins, "low": self.low, "high": self.high}

    def fill(self, score: Any, signal: Any, *, weight: Any = None) -> None:
        """Add one entry for each score; ``signal`` is true for signal and false for background.

        NaN scores, and weights that are not finite, are left out and counted in ``invalid``. PlotError where the
        columns differ in length or are of the wrong kind.
        """
        scores = closed(column(score, "score"), self.high - (self.high - self.low) / self.bins, self.high)
        *columns, weights = self._take(scores, flags(signal, "signal"), weight=weight)
        self._sums["counts"].fill(*columns, weight=weights)

    def _thresholds(self) -> Array:
        """Return the lower edges of the bins with under- and overflow: −∞, low, …, high."""
        return np.concatenate([[-np.inf], np.linspace(self.low, self.high, self.bins + 1)])

    def curve(self) -> RocPoints:
        """Return a point for each bin that holds something, from hard cuts to loose ones.

        Rejection is 1 / background efficiency; there is no point where no background is left, nor where negative
        weights take an efficiency out of 0 … 1. Errors are binomial: √(ε(1 − ε)/N_eff) with N_eff = (Σw)²/Σw², and
        that of the rejection is σ(ε)/ε². With a separate total of the signal, N_eff grows in proportion.
        """
        return RocPoints(*self._all_points()[0])

    def _all_points(self) -> tuple[list[Array], int]:
        """Return the points of the curve and how many were left out because of their weights."""
        signal, signal_variances = self._of_class(True)
        background, background_variances = self._of_class(False)
        filled = np.flatnonzero(signal_variances + background_variances)[::-1]
        selected = [np.cumsum(values[filled]) for values in (signal, background)]
        points = [self._thresholds()[filled], *self._points(*selected)]
        good = np.isfinite(points[1]) & np.isfinite(points[2])
        both_classes = self.signal_total > 0 and background.sum() > 0
        expected = (np.cumsum(background_variances[filled]) > 0) & both_classes
        return [part[good] for part in points], int(np.sum(expected & ~good))

    def point(self, cut: float) -> RocPoint:
        """Return what a cut selects: scores of at least the bin edge nearest to ``cut``.

        The rejection is NaN where no background is left.
        """
        edges = self._thresholds()[1:]
        first = 1 + int(np.argmin(np.abs(edges - cut)))
        selected = [values[first:].sum(keepdims=True) for values in (self._of_class(True)[0], self._of_class(False)[0])]
        return RocPoint(float(edges[first - 1]), *(float(part[0]) for part in self._points(*selected)))

    @property
    def auc(self) -> float | None:
        """Probability that a signal has a higher score than a background, equal scores counted half; or None.

        It is of what was filled, whatever the separate total of the signal. None where a class has no entries or its
        sum of weights is not above 0.
        """
        signal, background = self._of_class(True)[0], self._of_class(False)[0]
        if not (signal.sum() > 0 and background.sum() > 0):
            return None
        below = np.cumsum(background) - background / 2
        return float(np.dot(signal, below) / (signal.sum() * background.sum()))

    @property
    def auc_error(self) -> float | None:
        """One standard deviation of ``auc``; None where there is none.

        E. R. DeLong et al., Biometrics 44 (1988) 837, with weights: an entry of signal contributes the part of the
        background below it, one of background the part of the signal above, and the variance of AUC is the sum over
        the entries of both of (weight / sum of weights)² (contribution − AUC)².
        """
        auc, found = self.auc, 0.0
        if auc is None:
            return None
        (signal, squares), (background, their_squares) = self._of_class(True), self._of_class(False)
        below = (np.cumsum(background) - background / 2) / background.sum()
        above = 1 - (np.cumsum(signal) - signal / 2) / signal.sum()
        for part, variances, total in ((below, squares, signal.sum()), (above, their_squares, background.sum())):
            found += float(np.dot(variances, (part - auc) ** 2)) / total**2
        return math.sqrt(found)

    def reasons(self) -> list[str]:
        """Return what is to be known: missing classes, points left out, scores that are equal or outside the axis."""
        found = super().reasons()
        values = self._content("counts", flow=True)[1]
        if values.any(axis=0).all() and np.count_nonzero(values.sum(axis=1)) == 1:
            found.append("all scores are equal: one point")
        outside = (values[0] + values[-1]).sum() / values.sum() if values.any() else 0.0
        if outside > 0.01:
            found.append(f"{100 * outside:.0f} % of the scores are outside {self.low:g} … {self.high:g}")
        if left_out := self._all_points()[1]:
            found.append(f"{many(left_out, 'point')} left out: weights take an efficiency out of 0 and 1")
        return found

    def derived(self) -> dict[str, Any]:
        """Return AUC with its error and the curve at one threshold for each percent of signal efficiency."""
        curve = self.curve()
        shown = np.unique(np.searchsorted(np.maximum.accumulate(curve.efficiency), np.linspace(0, 1, 101)))
        shown = shown[shown < len(curve.efficiency)]
        points = {name: part[shown] for name, part in zip(RocPoints._fields, curve, strict=True)}
        auc = {"value": self.auc, "error": self.auc_error}
        return {"auc": auc, "signal_total": self.signal_total, **points, "method": METHOD}

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return the scores of signal and of background."""
        axis = Axis("score", tuple(np.linspace(self.low, self.high, self.bins + 1)))
        return {
            "signal": to_hist([axis], *self._of_class(True)),
            "background": to_hist([axis], *self._of_class(False)),
        }


class WorkingPoint(_SignalAgainstBackground):
    """A classifier without scores: one point of signal efficiency and background rejection."""

    def __init__(self, label: str = "") -> None:
        bh = boost_histogram()
        super().__init__(label, bh.axis.Boolean())

    def layout(self) -> dict[str, Any]:
        """Return nothing: all working points have one layout."""
        return {}

    def fill(self, selected: Any, signal: Any, *, weight: Any = None) -> None:
        """Add one entry for each object: selected or not, signal or background (booleans).

        Weights that are not finite are left out and counted in ``invalid``. PlotError where the columns differ in
        length or are no booleans.
        """
        *columns, weights = self._take(flags(selected, "selected"), flags(signal, "signal"), weight=weight)
        self._sums["counts"].fill(*columns, weight=weights)

    def point(self) -> RocPoint:
        """Return efficiency, rejection and their binomial errors, as in ``RocCurve.curve``; NaN where undefined."""
        selected = [self._of_class(signal)[0][1:] for signal in (True, False)]
        return RocPoint(np.nan, *(float(part[0]) for part in self._points(*selected)))

    def reasons(self) -> list[str]:
        """Return why there is no point: a class without entries, no background left."""
        found = super().reasons()
        rejected, selected = self._of_class(False)[1]
        if rejected and not selected:
            found.append("no background is selected: the rejection has no value")
        return found

    def derived(self) -> dict[str, Any]:
        """Return the point."""
        point = self.point()
        return {
            "efficiency": {"value": point.efficiency, "error": point.efficiency_error},
            "rejection": {"value": point.rejection, "error": point.rejection_error},
            "signal_total": self.signal_total,
            "method": METHOD,
        }

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return the sums of weights: selected or not, signal or background."""
        sums = (np.pad(part, 1) for part in self._content("counts"))
        return {"decisions": to_hist([DECISIONS, CLASSES], *sums)}
