"""EfficiencyAtRejection: signal efficiency in bins of a quantity, with the same background rejection in each bin."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepflow.errors import PlotError, many
from hepflow.plots.axis import Axis, bins, boost_histogram, closed, within_reach
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column, flags
from hepflow.plots.efficiency import EfficiencyProfile
from hepflow.plots.statistics import effective_entries, ratio_of

__all__ = ["EfficiencyAtRejection"]


class EfficiencyAtRejection(EfficiencyProfile):
    """Signal efficiency in bins of a quantity where the cut on a score, another one in each bin, rejects all but one of
    ``rejection`` background objects (or more, as far as the ``bins`` bins of the score allow).

    Errors are those of the signal at its cut; that of the cut is not in them. A bin with fewer than ``rejection``
    background objects has no value.
    """

    def __init__(
        self, axis: Axis, rejection: float, label: str = "", title: str = "", *, bins_of_score: int = 1000,
        low: float = 0.0, high: float = 1.0,
    ) -> None:  # fmt: skip
        bh = boost_histogram()
        if not rejection > 1 or not low < high or bins_of_score < 1:
            raise PlotError(
                f"no cut in {bins_of_score} bins from {low:g} to {high:g} rejects all but 1 of {rejection:g}"
            )
        self.axis, self.rejection = axis, float(rejection)
        self.title = title or f"Efficiency at a background rejection of {rejection:g}"
        self.bins_of_score, self.low, self.high = int(bins_of_score), float(low), float(high)
        score = bh.axis.Regular(self.bins_of_score, self.low, self.high)
        self.inverse = False
        PlotObject.__init__(self, label, {"counts": [bins(axis), score, bh.axis.Boolean()]})

    def layout(self) -> dict[str, Any]:
        """Return axis, rejection, title and the bins of the score."""
        return {
            "axis": self.axis,
            "rejection": self.rejection,
            "title": self.title,
            "bins_of_score": self.bins_of_score,
            "low": self.low,
            "high": self.high,
        }

    def fill(self, x: Any, score: Any, signal: Any, *, weight: Any = None) -> None:  # type: ignore[override]
        """Add objects, signal or background (booleans), with their scores.

        NaN, and weights that are not finite, are left out and counted in ``invalid``. PlotError where the columns
        differ in length or are of the wrong kind.
        """
        scores = closed(column(score, "score"), self.high - (self.high - self.low) / self.bins_of_score, self.high)
        values, scores, signals, weights = self._take(column(x, "x"), scores, flags(signal, "signal"), weight=weight)
        self._sums["counts"].fill(within_reach(self.axis, values), scores, signals, weight=weights)

    def fill_passed(self, x: Any, *, weight: Any = None) -> None:
        """Refuse: which object passes is known only in the end."""
        raise PlotError(f"{self} is filled with scores, not with what passes")

    def fill_total(self, x: Any, *, weight: Any = None) -> None:
        """Refuse, as ``fill_passed``."""
        self.fill_passed(x)

    def _sums_above(self, *, flow: bool) -> tuple[list[Array], Array]:
        """Return for signal the sums of weights and of squared weights of all cuts, (bins of x, cuts from hard to
        loose), and which cut each bin has, -1 where none is known.
        """
        values, variances = self._content("counts", flow=True)
        if not flow:
            values, variances = values[1:-1], variances[1:-1]
        signal = [np.cumsum(sums[:, ::-1, 1], axis=1) for sums in (values, variances)]
        background = np.cumsum(values[:, ::-1, 0], axis=1)
        total = background[:, -1]
        enough = (total > 0) & (effective_entries(total, variances[:, :, 0].sum(axis=1)) >= self.rejection)
        passing = ratio_of(background, total[:, None])
        allowed = np.maximum.accumulate(np.nan_to_num(passing, nan=np.inf), axis=1) <= 1 / self.rejection
        cut = np.where(enough, allowed.sum(axis=1) - 1, -1)
        return signal, cut

    def _passed(self, *, flow: bool = False) -> list[Array]:
        signal, cut = self._sums_above(flow=flow)
        rows = np.arange(len(cut))
        return [np.where(cut >= 0, sums[rows, np.maximum(cut, 0)], 0.0) for sums in signal]

    def _total(self, *, flow: bool = False) -> list[Array]:
        signal, cut = self._sums_above(flow=flow)
        return [np.where(cut >= 0, sums[:, -1], 0.0) for sums in signal]

    def reasons(self) -> list[str]:
        """Return why numbers are missing: no entries, too little background."""
        _, cut = self._sums_above(flow=False)
        values, _ = self._content("counts")
        without = int(np.sum((cut < 0) & (values[..., 1].sum(axis=1) > 0)))
        told = [f"{many(without, 'bin')} with too little background for the rejection"] if without else []
        return [*PlotObject.reasons(self), *self._signs(), *told]
