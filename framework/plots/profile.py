"""Profile: the mean of one quantity in bins of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import many
from hepflow.plots.axis import Axis, bins, same_bin, to_hist, within_reach
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column
from hepflow.plots.statistics import effective_entries, ratio_of

if TYPE_CHECKING:
    import hist

__all__ = ["Profile"]


class Profile(PlotObject):
    """Mean of ``y`` in bins of ``x``. All finite ``y`` count; ``response`` names them and says where they are around.

    The sums are of the distances to the middle of the response axis, so that no digits are lost far from 0.
    """

    def __init__(self, axis: Axis, response: Axis, label: str = "") -> None:
        self.axis = axis
        self.response = response
        self._middle = (response.edges[0] + response.edges[-1]) / 2
        super().__init__(label, {"weights": [bins(axis)], "distances": [bins(axis)], "squares": [bins(axis)]})

    def layout(self) -> dict[str, Any]:
        """Return both axes."""
        return {"axis": self.axis, "response": self.response}

    def fill(self, x: Any, y: Any, *, weight: Any = None) -> None:
        """Add one entry for each pair. NaN and infinite ``y`` are left out and counted in ``invalid``."""
        distances = np.subtract(column(y, "y"), self._middle, dtype=np.float64)
        if (infinite := np.isinf(distances)).any():
            distances[infinite] = np.nan
        values, distances, weights = self._take(column(x, "x"), distances, weight=weight)
        values = within_reach(self.axis, values)
        weighted = distances if weights is None else weights * distances
        self._sums["weights"].fill(values, weight=weights)
        self._sums["distances"].fill(values, weight=weighted)
        self._sums["squares"].fill(values, weight=weighted * distances)

    def _common_axes(self) -> dict[str, Any]:
        return {name: [bins(self.axis)] for name in ("products", "mine", "theirs", "both")}

    def fill_common(self, *columns: Array, weight: Array | None = None) -> None:  # noqa: D102
        x, y, nominal, nominal_y = columns
        same = same_bin(self.axis, x, nominal)
        mine, theirs = (np.subtract(one[same], self._middle, dtype=np.float64) for one in (y, nominal_y))
        finite = np.isfinite(mine) & np.isfinite(theirs)
        mine, theirs = mine[finite], theirs[finite]
        weights = np.ones(len(mine)) if weight is None else weight[same][finite]
        values = within_reach(self.axis, x[same][finite])
        for name, factor in (("products", 1.0), ("mine", mine), ("theirs", theirs), ("both", mine * theirs)):
            self._common[name].fill(values, weight=weights * factor)

    def covariance(self, nominal: Profile) -> tuple[Array, Array, Array] | None:
        """Return variances as of ``mean``, and covariances: Σww'(y − mean)(y' − mean')/(ΣwΣw') of what is in the same
        bin in both, with the factors √(N_eff/(N_eff − 1)) of both errors.
        """
        if not self.paired:
            return None
        (mean, error), (their_mean, their_error) = self.mean(), nominal.mean()
        a, b = mean - self._middle, their_mean - self._middle
        views = [self._common[name].view() for name in ("products", "mine", "theirs", "both")]
        products, mine, theirs, both = (view["value"] for view in views)
        weights = np.ones(len(a))
        for one in (self, nominal):
            sums, variances = one._content("weights")
            entries = effective_entries(sums, variances)
            weights = weights * sums * np.sqrt(ratio_of(np.maximum(entries - 1, 0), entries))
        return error**2, their_error**2, ratio_of(both - b * mine - a * theirs + a * b * products, weights)

    def mean(self) -> tuple[Array, Array]:
        """Return (mean of y, its error), one a bin.

        The error is s/√N_eff with s² = N_eff/(N_eff − 1) · Σw(y − mean)²/Σw and N_eff = (Σw)²/Σw². NaN in bins without
        entries; of one entry the error is NaN as well.
        """
        return self._mean(flow=False)

    def _mean(self, *, flow: bool) -> tuple[Array, Array]:
        weights, variances = self._content("weights", flow=flow)
        distance = ratio_of(self._content("distances", flow=flow)[0], weights)
        spread = ratio_of(self._content("squares", flow=flow)[0], weights) - distance**2
        entries = effective_entries(weights, variances)
        variance = ratio_of(np.maximum(spread, 0), np.where(entries > 1 + 1e-9, entries - 1, 0))
        return self._middle + distance, np.sqrt(variance)

    def to_hist(self) -> hist.Hist[Any]:
        """Return the means with their errors, 0 in empty bins."""
        return self.histograms()["mean"]

    def reasons(self) -> list[str]:
        """Return why numbers are missing: no entries, sums of weights below 0."""
        found = super().reasons()
        weights = self._content("weights")[0]
        if self.entries and not weights.any():
            found.append(self._nothing_in("the axis"))
        if wrong := int(np.sum(weights < 0)):
            found.append(f"{many(wrong, 'bin')} left out: the sum of weights is negative")
        return found

    def derived(self) -> dict[str, Any]:
        """Return means, errors and sums of weights."""
        mean, error = self.mean()
        return {
            "mean": mean,
            "error": error,
            "weights": self._content("weights")[0],
            "method": "s / sqrt(N_eff), s^2 = N_eff / (N_eff - 1) * weighted variance, N_eff = (sum w)^2 / (sum w^2)",
        }

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return sums of weights, and means with their errors (0 in empty bins, as in ROOT)."""
        mean, error = (np.nan_to_num(part) for part in self._mean(flow=True))
        return {
            "weights": to_hist([self.axis], *self._content("weights", flow=True)),
            "mean": to_hist([self.axis], mean, error**2),
        }
