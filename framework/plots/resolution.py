"""ResolutionProfile: position and width of a residual or a ratio, in bins of a quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import PlotError, many, nearest
from hepflow.plots.axis import Axis, bins, to_hist, within_reach
from hepflow.plots.base import Array, PlotObject
from hepflow.plots.columns import column
from hepflow.plots.shapes import FITS, MEASURES, MIN_ENTRIES
from hepflow.plots.statistics import LEVEL, effective_entries, ratio_of

if TYPE_CHECKING:
    import hist

__all__ = ["ResolutionProfile"]

METHOD = (
    "errors: standard deviation of 100 Poisson bootstrap samples of the bins; "
    "of fits half the central 68.27 %; with the rounding to bins for mode and winmode"
)


class ResolutionProfile(PlotObject):
    """Distribution of a response ``y`` (residual or ratio) in bins of ``x``, reduced to a number in each bin.

    The response axis has bins of one width, fine against what is measured (loki: 1000). PlotError where it has not.
    """

    MODES = tuple(MEASURES)
    """Positions: median, mode, winmode, fit_mean; widths: core, tail, relative_core, relative_tail, rms, fit_width."""

    def __init__(self, axis: Axis, response: Axis, label: str = "") -> None:
        if not response.regular:
            raise PlotError(
                f"the response axis {response.name!r} needs bins of one width", hint="give it as NUMBER;LOW;HIGH"
            )
        self.axis = axis
        self.response = response
        super().__init__(label, {"counts": [bins(axis), bins(response)]})

    def layout(self) -> dict[str, Any]:
        """Return both axes."""
        return {"axis": self.axis, "response": self.response}

    def fill(self, x: Any, y: Any, *, weight: Any = None) -> None:
        """Add one entry for each pair.

        Entries with a NaN, or a weight that is not finite, are left out and counted in ``invalid``. PlotError where the
        columns are no numbers or differ in length.
        """
        values, response, weights = self._take(column(x, "x"), column(y, "y"), weight=weight)
        self._sums["counts"].fill(within_reach(self.axis, values), response, weight=weights)

    def values(self, mode: str, *, toys: int = 100, seed: int = 1) -> tuple[Array, Array]:
        """Return (value, error) of one of ``MODES``, one a bin of x (definitions: loki, and ``hepflow.plots.shapes``).

        - ``median``, ``core``, ``tail``: quantiles, linear inside a bin; core and tail are half the width of the
          central 68 % and 95 %, ``relative_core`` and ``relative_tail`` this over the median. What is outside the
          response axis counts; NaN where the quantile lies there.
        - ``mode``, ``winmode``: centre of the fullest bin, and of the fullest window of 5 % of the response axis.
        - ``rms``: standard deviation inside the response axis.
        - ``fit_width``, ``fit_mean``: of a Gaussian fitted within ± 1 (± 0.5) rms around the mean.

        The error is the standard deviation of ``toys`` bootstrap samples: each bin of the response is drawn from a
        Poisson distribution (for weights: of its effective number of entries). That of fits, some of which fail or are
        far off, is half the central 68.27 %, failed ones counted as far off on either side. ``mode`` and ``winmode``
        have the rounding to whole bins added (width/√12). One seed gives one result. NaN where there are fewer than
        ``MIN_ENTRIES`` effective entries, or more than a tenth of the samples (of fits: a quarter) has no value.
        PlotError for an unknown mode.
        """
        if mode not in MEASURES:
            raise PlotError(f"there is no resolution mode {mode!r}", hint=nearest(mode, MEASURES, what="modes"))
        counts, variances = (sums[1:-1] for sums in self._content("counts", flow=True))
        value, error = np.full((2, len(self.axis)), np.nan)
        for row in np.flatnonzero(self._enough(mode)).tolist():
            # one generator a bin: the samples of a bin do not depend on its neighbours
            samples = _samples(counts[row], variances[row], toys, np.random.default_rng([seed, row]))
            measured = MEASURES[mode](np.vstack([counts[row], samples]), np.asarray(self.response.edges))
            value[row], error[row] = measured[0], _spread(measured[1:], robust=mode in FITS)
        if mode in ("mode", "winmode"):
            error = np.hypot(error, self.response.widths[0] / np.sqrt(12))
        known = np.isfinite(value) & np.isfinite(error)
        return np.where(known, value, np.nan), np.where(known, error, np.nan)

    def _enough(self, mode: str) -> Array:
        """Return which bins of x have the effective entries that a mode needs."""
        values, variances = (sums[1:-1].sum(axis=1) for sums in self._content("counts", flow=True))
        enough: Array = (values > 0) & (effective_entries(values, variances) >= MIN_ENTRIES[mode])
        return enough

    def reasons(self) -> list[str]:
        """Return what is to be known: bins with too few entries, responses outside their axis."""
        found = [*super().reasons(), *self._signs()]
        values, variances = (sums[1:-1] for sums in self._content("counts", flow=True))
        if not variances.any():
            return [*found, self._nothing_in("the axis")] if self.entries else found
        if few := int(np.sum(variances.any(axis=1) & ~self._enough("median"))):
            found.append(f"{many(few, 'bin')} left out: fewer than {MIN_ENTRIES['median']} effective entries")
        outside = ratio_of(values[:, [0, -1]].sum(), values.sum())
        if outside > 0.01:
            found.append(f"{100 * outside:.0f} % of the responses are outside {_range(self.response)}")
        return found

    def derived(self) -> dict[str, Any]:
        """Return value and error of every mode."""
        found = {mode: dict(zip(("value", "error"), self.values(mode), strict=True)) for mode in self.MODES}
        return {**found, "method": METHOD}

    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return the response in bins of x."""
        return {"response": to_hist([self.axis, self.response], *self._content("counts", flow=True))}


def _range(axis: Axis) -> str:
    return f"{axis.edges[0]:g} … {axis.edges[-1]:g}"


def _samples(values: Array, variances: Array, number: int, generator: np.random.Generator) -> Array:
    """Return bootstrap samples, shape (number, bins): Poisson counts with mean and variance of the sums of weights."""
    samples = np.zeros((number, len(values)))
    filled = np.flatnonzero(values)
    content, squares = values[filled], variances[filled]
    samples[:, filled] = generator.poisson(content**2 / squares, size=(number, len(filled))) * (squares / content)
    return samples


def _spread(samples: Array, *, robust: bool) -> float:
    """Return the error that the samples stand for, NaN where too many have no value."""
    known = samples[np.isfinite(samples)]
    if len(known) < max(2, (0.75 if robust else 0.9) * len(samples)):
        return float("nan")
    if not robust:
        return float(known.std(ddof=1))
    part = LEVEL * len(samples) / len(known)
    low, high = np.quantile(known, [(1 - part) / 2, (1 + part) / 2])
    return float(high - low) / 2
