"""How calibrations are measured: responses, pile-up slopes, resolutions and correlations of simulated taus.

Positions are medians and widths half the central 68.27 %: both are what they are after a calibration that ascends, and
tails move neither. Arrays of taus are flat, energies in GeV.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.errors import ToolError
from hepflow.plots.statistics import LEVEL
from hepflow.plugins.tau.energyscale.calibrations import COMBINED_ETA, GEV, Combination, LocalCalibration, Resolution
from hepflow.plugins.tau.energyscale.curves import Curve
from hepflow.plugins.tau.modes import MODES

__all__ = ["Rows", "derive_combination", "derive_local", "smooth", "truth_bins"]

Floats = npt.NDArray[np.float64]

PER_DECADE = 10
"""Bins of true pt a decade, before those with few taus are joined."""
FINE = 60
"""Points of a response a decade."""
SLOPE_STEP = 5.0
"""GeV: width of the bins of true pt in which pile-up is compared."""
ITERATIONS, RESIDUAL = 200, 0.05
"""Most steps of the fit of a slope, and the residual (GeV) below which all weigh the same."""
CLIP = 2.5
"""Residuals count at most so many widths in a correlation."""
FRACTIONS = (0.9, 0.95, 0.98, 0.99, 1.0)
"""Fractions of the taus that may count as compatible."""
MEDIAN = np.sqrt(np.pi / 2)
"""Error of the median of a Gaussian over that of its mean."""
CREDIBLE = 0.01
"""A polynomial is good enough when points lie as far off with this probability."""
HIGHEST_DEGREE = 7
NAMES = ("one prong", "several prongs")


@dataclass
class Rows:
    """Columns of taus; add up by following each other."""

    columns: Mapping[str, Floats]

    def __add__(self, other: Rows) -> Rows:
        return Rows({name: np.concatenate([values, other.columns[name]]) for name, values in self.columns.items()})


def truth_bins(truth: Floats, low: float, least: int, what: str) -> Iterator[npt.NDArray[np.int64]]:
    """Yield which taus are in each bin of true pt above ``low``, ascending; bins with fewer than ``least`` are joined
    with the next, the last with the one before. ToolError where there are fewer than two bins."""
    edges = low * 10 ** (np.arange(60) / PER_DECADE)
    number = np.searchsorted(edges, truth, side="right") - 1
    groups: list[npt.NDArray[np.int64]] = []
    waiting = np.zeros(0, dtype=np.int64)
    for one in range(len(edges)):
        waiting = np.concatenate([waiting, np.flatnonzero(number == one)])
        if len(waiting) >= least:
            groups.append(waiting)
            waiting = np.zeros(0, dtype=np.int64)
    if len(groups) < 2:
        raise ToolError(
            f"{what}: {int((truth > low).sum())} taus above {low:g} GeV are too few for two bins of {least}",
            hint="use more events, or set MinEntries lower",
        )
    groups[-1] = np.concatenate([groups[-1], waiting])
    yield from groups


def smooth(at: Floats, values: Floats, errors: Floats, what: str) -> tuple[np.polynomial.Polynomial, float]:
    """Return the polynomial of ln x of the lowest degree that describes points within their errors, and its χ² per
    degree of freedom. ToolError where none of a degree below the number of points, and at most 7, does.
    """
    from scipy.special import chdtrc

    highest = min(HIGHEST_DEGREE, len(at) - 1)
    for degree in range(highest + 1):
        fit = np.polynomial.Polynomial.fit(np.log(at), values, degree, w=1 / errors)
        squares, free = float((((values - fit(np.log(at))) / errors) ** 2).sum()), len(at) - degree - 1
        if not free or chdtrc(free, squares) > CREDIBLE:
            return fit, squares / max(free, 1)
    raise ToolError(
        f"{what}: no polynomial up to degree {highest} describes the {len(at)} points (χ² {squares:.0f} for {free})",
        hint="the bins of |η| may hold too different taus: set EtaEdges, or leave what is odd out",
    )


def _core(values: Floats) -> float:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(high - low) / 2


# ── local calibration ────────────────────────────────────────────────────────────────────────────────────────────────


def derive_local(
    taus: Mapping[str, Floats], edges: Sequence[float], low: float, pile_up: tuple[float, float], least: int
) -> LocalCalibration:
    """Return the local calibration of taus with ``pt``, ``truth`` (GeV), ``eta``, ``prongs``, ``npv``.

    The slope of pile-up is that of the median of pt − true pt against the number of vertices, within ``pile_up``.
    The response is the median of pt / true pt without pile-up in bins of true pt above ``low``, smoothed by a
    polynomial of the logarithm, at the pt that such taus have (numerical inversion): beyond its ends it has the value
    there. ToolError where there are too few taus, or the response cannot be inverted.
    """
    n = len(edges) - 1
    flat = [Curve(np.ones(1), np.ones(1))] * n
    average = float(np.mean(taus["npv"])) if len(taus["npv"]) else 0.0
    empty = LocalCalibration(np.asarray(edges, np.float64), average, np.zeros((2, n)), (flat, flat))
    prong, number = taus["prongs"] > 1, empty.bins(taus["eta"])
    slopes, errors, quality = np.zeros((2, n)), np.zeros((2, n)), np.zeros((2, n))
    parts = {}
    for row in (0, 1):
        for column in range(n):
            what = f"{NAMES[row]}, {edges[column]:g} < |η| < {edges[column + 1]:g}"
            mask = (prong == bool(row)) & (number == column)
            parts[row, column] = what, {name: values[mask] for name, values in taus.items()}
            slopes[row, column], errors[row, column] = _slope(parts[row, column][1], pile_up, what)
    sloped = LocalCalibration(empty.eta, average, slopes, (flat, flat))
    responses: tuple[list[Curve], list[Curve]] = ([], [])
    for (row, column), (what, part) in parts.items():
        offset = sloped.offset(part["pt"] * GEV, part["eta"], part["prongs"], part["npv"]) / GEV
        curve, quality[row, column] = _response(part["pt"] - offset, part["truth"], low, least, what)
        responses[row].append(curve)
    record = {
        "taus": len(prong),
        "slope_errors": errors.tolist(),
        "chi2_per_degree": quality.round(3).tolist(),
        "truth_pt_above_GeV": low,
        "slope_range_GeV": list(pile_up),
        "estimator": "median of pt / true pt",
    }
    return LocalCalibration(empty.eta, average, slopes, responses, record)


def _slope(taus: Mapping[str, Floats], pile_up: tuple[float, float], what: str) -> tuple[float, float]:
    """Return what a vertex adds to pt (GeV), and its error: the slope of the median, each bin of true pt with a median
    of its own (least absolute deviations, by squares that are weighted anew).
    """
    used = (taus["truth"] > pile_up[0]) & (taus["truth"] < pile_up[1])
    added, npv = (taus["pt"] - taus["truth"])[used], taus["npv"][used]
    bins = ((taus["truth"][used] - pile_up[0]) / SLOPE_STEP).astype(np.int64)
    n = np.maximum(np.bincount(bins), 1)
    centred = npv - (np.bincount(bins, npv) / n)[bins]
    if len(npv) < 10 or not (centred @ centred) > 0:
        raise ToolError(
            f"{what}: {len(npv)} taus with {pile_up[0]:g} < true pt < {pile_up[1]:g} GeV tell nothing of pile-up",
            hint="use more events, or samples with different numbers of vertices",
        )
    slope, weight = 0.0, np.ones(len(npv))
    for _ in range(ITERATIONS):
        sums = np.maximum(np.bincount(bins, weight), 1e-30)
        x, y = (v - (np.bincount(bins, weight * v) / sums)[bins] for v in (npv, added))
        before, slope = slope, float((weight * x) @ y / ((weight * x) @ x))
        residual = y - slope * x
        if abs(slope - before) < 1e-4:
            # of the median: 1 / (2 f(0) √Σx²), with the density f(0) of residuals as of a Gaussian of their core
            return slope, float(MEDIAN * _core(residual) / np.sqrt(centred @ centred))
        weight = 1.0 / np.maximum(np.abs(residual), RESIDUAL)
    raise ToolError(
        f"{what}: the fit of the pile-up slope does not converge: {before:.4f}, {slope:.4f} GeV a vertex after "
        f"{ITERATIONS} steps",
        hint="use more events, or another SlopeRange",
    )


def _response(x: Floats, truth: Floats, low: float, least: int, what: str) -> tuple[Curve, float]:
    """Return the response as a function of pt, and χ² per degree of freedom of its polynomial."""
    found = []
    for rows in truth_bins(truth, low, least, what):
        ratio = x[rows] / truth[rows]
        found.append((np.median(truth[rows]), np.median(ratio), MEDIAN * _core(ratio) / np.sqrt(len(rows))))
    at, middle, error = np.array(found).T
    if not (error > 0).all():
        raise ToolError(f"{what}: all taus of a bin have one response, of which nothing can be learned")
    fit, quality = smooth(at, middle, error, f"response of {what}")
    fine = np.geomspace(at[0], at[-1], max(2, round(FINE * np.log10(at[-1] / at[0]))))
    response = fit(np.log(fine))
    where = fine * response
    falls = np.flatnonzero((np.diff(where) <= 0) | (response[1:] <= 0) | (response[:-1] <= 0))
    if len(falls):
        first, last = falls[0], falls[-1] + 1
        raise ToolError(
            f"{what}: the response cannot be inverted between true pt of {fine[first]:.0f} and {fine[last]:.0f} GeV: "
            f"the median pt goes from {where[first]:.1f} to {where[last]:.1f} GeV",
            hint="use more events, or set MinEntries higher",
        )
    return Curve(where, response, "edge"), quality


# ── combination ──────────────────────────────────────────────────────────────────────────────────────────────────────


def derive_combination(taus: Mapping[str, Floats], low: float, least: int) -> Combination:
    """Return the combination of taus with ``calo``, ``flow``, ``truth`` (GeV), ``eta``, ``mode``.

    Bias and relative width of each energy, in bins of true pt above ``low``, stand at the median energy of the bin. The
    correlation is that of what is left of each energy, in units of its width. By how many standard deviations both may
    differ is a quantile of the taus (``FRACTIONS``): the one with the narrowest combination. A bin of |η| with few taus
    gets what all |η| of its mode have. ToolError where a mode has too few.
    """
    calo, flow, rho, curves, joined = [], [], np.zeros((len(MODES), len(COMBINED_ETA) - 1)), [], []
    number = np.searchsorted(COMBINED_ETA[1:], np.abs(taus["eta"]), side="right")
    for row, mode in enumerate(MODES):
        of_mode = (taus["mode"] == row) & (taus["truth"] > low)
        whole = _parts({k: v[of_mode] for k, v in taus.items()}, low, least, mode)
        parts, found = [], []
        for column in range(rho.shape[1]):
            some = {k: v[of_mode & (number == column)] for k, v in taus.items()}
            try:
                one = _parts(some, low, least, mode)
            except ToolError:
                one = whole
                joined.append(f"{mode}, {COMBINED_ETA[column]:g} < |η| < {COMBINED_ETA[column + 1]:g}")
            parts.append(one)
            rho[row, column] = one[2]
            found.append(np.stack([some["calo"], some["truth"], *_averaged(one, some)]))
        calo.append([one[0] for one in parts])
        flow.append([one[1] for one in parts])
        curves.append(_allowed(*np.concatenate(found, axis=1), low=low, least=least, what=mode))
    record = {"taus": len(number), "joined": joined, "truth_pt_above_GeV": low}
    return Combination(calo, flow, rho, curves, record)


Parts = tuple[Resolution, Resolution, float]


def _parts(taus: Mapping[str, Floats], low: float, least: int, what: str) -> Parts:
    """Return the resolutions of both energies and their correlation."""
    bins = list(truth_bins(taus["truth"], low, least, f"mode {what}"))
    found, left = [], []
    for name in ("calo", "flow"):
        ratio, points, pull = taus[name] / taus["truth"], [], np.zeros(len(taus["truth"]))
        for rows in bins:
            middle, width = float(np.median(ratio[rows])), _core(ratio[rows])
            if middle <= 0 or width <= 0:
                raise ToolError(
                    f"mode {what}: {name} has a median of {middle:.3g} and a width of {width:.3g} of the truth"
                )
            points.append((middle * float(np.median(taus["truth"][rows])) * GEV, 1.0 - 1.0 / middle, width / middle))
            pull[rows] = (ratio[rows] - middle) / width
        x, bias, width_ = np.array(sorted(points)).T
        ends = np.append(x, max(x[-1] + 1.0, float(taus[name].max()) * GEV))  # up to there it is known
        found.append(Resolution(*(Curve(ends, np.append(y, y[-1]), "edge") for y in (bias, width_))))
        left.append(np.clip(pull[np.concatenate(bins)], -CLIP, CLIP))
    return found[0], found[1], float(np.clip(np.corrcoef(left[0], left[1])[0, 1], -0.99, 0.99))


def _averaged(parts: Parts, taus: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Return the mean of both energies (GeV) for compatible ones, and how many standard deviations they differ by."""
    always = Curve(np.ones(1), np.full(1, 1e9))
    one = [[Resolution(*part)] * (len(COMBINED_ETA) - 1) for part in parts[:2]]
    modes = len(MODES)
    whole = Combination([one[0]] * modes, [one[1]] * modes, np.full((modes, len(one[0])), parts[2]), [always] * modes)
    calo, flow, zero = taus["calo"] * GEV, taus["flow"] * GEV, np.zeros(len(taus["calo"]))
    made = whole.apply(calo, flow, zero, zero)
    return made.et / GEV, made.pull


def _allowed(calo: Floats, truth: Floats, mean: Floats, pull: Floats, *, low: float, least: int, what: str) -> Curve:
    """Return how many standard deviations both energies may differ by: with the narrowest response."""
    points = []
    for rows in truth_bins(calo, low, least, f"mode {what}, compatibility"):
        cuts = np.quantile(pull[rows], FRACTIONS)
        ratios = [np.where(pull[rows] > cut, calo[rows], mean[rows]) / truth[rows] for cut in cuts]
        best = int(np.argmin([_core(ratio) / np.median(ratio) for ratio in ratios]))
        points.append((float(np.median(calo[rows])) * GEV, float(cuts[best])))
    x, y = np.array(points).T
    return Curve(x, y, "edge")
