"""EfficiencyProfile: which part of the entries passes, in bins of a quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import many
from hepflow.plots.axis import Axis, bins, boost_histogram, same_bin, to_hist, within_reach
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column, flags
from hepflow.plots.statistics import METHOD, efficiency_with_interval, ratio_of

if TYPE_CHECKING:
    import hist

__all__ = ["DENOMINATOR", "NUMERATOR", "EfficiencyProfile"]

FAILED, PASSED, NUMERATOR, DENOMINATOR = range(4)
"""What an entry counts for: the denominator; both; the numerator alone; the denominator alone."""


class EfficiencyProfile(PlotObject):
    """Passed over total in bins of a quantity.

    ``fill`` takes entries of which some pass. ``fill_passed`` and ``fill_total`` fill numerator and denominator on
    their own, for denominators that are other objects (all truth taus, reconstructed or not); all three may be mixed.
    ``title`` says at the y axis which efficiency it is. With ``inverse`` the rejection is shown, 1 / efficiency.
    """

    def __init__(self, axis: Axis, label: str = "", title: str = "", *, inverse: bool = False) -> None:
        bh = boost_histogram()
        self.axis = axis
        self.inverse = inverse
        self.title = title or ("Rejection" if inverse else "Efficiency")
        self._states = bh.axis.Integer(0, 4, underflow=False, overflow=False)
        super().__init__(label, {"counts": [bins(axis), self._states]})

    def layout(self) -> dict[str, Any]:
        """Return axis, title, and whether the rejection is shown."""
        return {"axis": self.axis, "title": self.title, "inverse": self.inverse}

    def fill(self, x: Any, passed: Any, *, weight: Any = None) -> None:
        """Add entries to the denominator and, where ``passed`` (booleans) is true, to the numerator.

        Entries with a NaN, or a weight that is not finite, are left out and counted in ``invalid``. PlotError where the
        columns differ in length or are of the wrong kind.
        """
        values, passing, weights = self._take(column(x, "x"), flags(passed, "passed"), weight=weight)
        self._sums["counts"].fill(within_reach(self.axis, values), passing, weight=weights)

    def fill_passed(self, x: Any, *, weight: Any = None) -> None:
        """Add entries to the numerator alone."""
        values, weights = self._take(column(x, "x"), weight=weight)
        self._sums["counts"].fill(within_reach(self.axis, values), NUMERATOR, weight=weights)

    def fill_total(self, x: Any, *, weight: Any = None) -> None:
        """Add entries to the denominator alone."""
        values, weights = self._take(column(x, "x"), weight=weight)
        self._sums["counts"].fill(within_reach(self.axis, values), DENOMINATOR, weight=weights)

    def _common_axes(self) -> dict[str, Any]:
        return {"products": [bins(self.axis), self._states, self._states]}

    def fill_common(self, *columns: Array, weight: Array | None = None) -> None:
        """Take note of entries that the nominal has as well; besides the booleans of ``fill``, an entry may be
        NUMERATOR or DENOMINATOR.
        """
        x, state, nominal, nominal_state = columns
        same = same_bin(self.axis, x, nominal)
        weights = None if weight is None else weight[same]
        states = (one[same].astype(np.int64) for one in (state, nominal_state))
        self._common["products"].fill(within_reach(self.axis, x[same]), *states, weight=weights)

    def _influence(self) -> Array:
        """Return what one more entry of weight 1 changes in the value that is shown, shape (bins, states)."""
        total, value = self.total, ratio_of(self.passed, self.total)
        of = np.stack([ratio_of(one, total) for one in (-value, 1 - value, np.ones_like(value), -value)], axis=1)
        return -of / value[:, np.newaxis] ** 2 if self.inverse else of

    def covariance(self, nominal: EfficiencyProfile) -> tuple[Array, Array, Array] | None:
        """Return variances and covariances to first order: products of what each entry changes in both."""
        if not self.paired:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            mine, theirs = self._influence(), nominal._influence()
        squares = (self._content("counts")[1], nominal._content("counts")[1])
        view = self._common["products"].view()
        return (
            (squares[0] * mine**2).sum(axis=1),
            (squares[1] * theirs**2).sum(axis=1),
            np.einsum("ijk,ij,ik->i", view["value"], mine, theirs),
        )

    def _passed(self, *, flow: bool = False) -> list[Array]:
        return [sums[:, PASSED] + sums[:, NUMERATOR] for sums in self._content("counts", flow=flow)]

    def _total(self, *, flow: bool = False) -> list[Array]:
        return [sums[:, [FAILED, PASSED, DENOMINATOR]].sum(axis=1) for sums in self._content("counts", flow=flow)]

    @property
    def passed(self) -> Array:
        """Sums of weights of the numerator, one a bin."""
        return self._passed()[0]

    @property
    def total(self) -> Array:
        """Sums of weights of the denominator, one a bin."""
        return self._total()[0]

    def efficiency(self) -> tuple[Array, Array, Array]:
        """Return (value, low, high), one a bin: the efficiency and the ends of its 68.27 % interval.

        Counts: Clopper–Pearson. Weights: Clopper–Pearson on the effective counts, N_eff = (Σw)²/Σw² of the denominator
        of which efficiency · N_eff pass. NaN in bins whose denominator is 0, and where the ratio is not within 0 … 1
        (negative weights, a numerator that is not part of the denominator); ``note`` counts the latter.
        """
        return efficiency_with_interval(self.passed, *self._total())

    def shown(self) -> tuple[Array, Array, Array]:
        """Return (value, low, high) of what is drawn: the efficiency, or the rejection, which has no value where
        nothing passes, and no upper end where the interval of the efficiency begins at 0.
        """
        return self._inverted(*self.efficiency())

    def _inverted(self, value: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
        if not self.inverse:
            return value, low, high
        rejection = ratio_of(1.0, value)
        return rejection, ratio_of(1.0, high), np.where(low > 0, ratio_of(1.0, low), rejection)

    def to_hist(self) -> hist.Hist[Any]:
        """Return what is shown with symmetric errors: half of the interval."""
        value, low, high = self._inverted(
            *efficiency_with_interval(self._passed(flow=True)[0], *self._total(flow=True))
        )
        return to_hist([self.axis], np.nan_to_num(value), np.nan_to_num((high - low) / 2) ** 2)

    def reasons(self) -> list[str]:
        """Return why numbers are missing: no entries, no denominator, ratios that are no efficiencies."""
        found = [*super().reasons(), *self._signs()]
        (_, passed), (_, total) = self._passed(), self._total()
        if self.entries and not total.any():
            found.append("no entries in the denominator" if passed.any() else self._nothing_in("the axis"))
        none = int(np.sum((passed == 0) & (total > 0))) if self.inverse else 0
        if none:
            found.append(f"{many(none, 'bin')} where nothing passes: no rejection")
        if wrong := int(np.sum(np.isnan(self.efficiency()[0]) & (passed + total > 0))):
            found.append(f"{many(wrong, 'bin')} left out: passed/total is not within 0 and 1")
        return found

    def derived(self) -> dict[str, Any]:
        """Return efficiency and interval with the sums they come from."""
        value, low, high = self.efficiency()
        rejection = {"rejection": ratio_of(1.0, value)} if self.inverse else {}
        return {
            "efficiency": value,
            "low": low,
            "high": high,
            **rejection,
            "passed": self.passed,
            "total": self.total,
            "method": METHOD,
        }

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return numerator and denominator."""
        return {
            "passed": to_hist([self.axis], *self._passed(flow=True)),
            "total": to_hist([self.axis], *self._total(flow=True)),
        }
