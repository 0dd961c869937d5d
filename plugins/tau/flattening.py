"""Score cuts for target efficiencies in bins of pt and a second variable, and the flattened score they make.

``Flattening`` applies them as Athena's ``TauWPDecorator`` does; ``derive`` finds cuts that, applied in this way,
deliver their efficiency in each cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hepflow.errors import ToolError

__all__ = ["EFFICIENCIES", "ONE_PRONG", "OTHERS", "Derived", "Flattening", "Taus", "derive", "quantile_grid"]

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.generic]

EFFICIENCIES: Floats = np.arange(100) / 100
"""Target efficiencies 0, 0.01, …, 0.99."""
ONE_PRONG, OTHERS = (0.95, 0.85, 0.75, 0.60), (0.95, 0.75, 0.60, 0.45)
"""Efficiencies of ATLAS's working points, of taus with one track and with others."""
BOUNDS = (-1.01, 1.01)
"""Scores that the efficiencies 1 and 0 stand for, as in Athena."""
MOST_BINS = (14, 9)
"""Most bins of the default grid, as many as loki's."""
SPARE = 1.25
"""Mean number of taus in a cell of the default grid, over the number that it needs."""
ROUNDS, CLOSE, ALLOWED = 20, 2e-3, 0.05
"""Most rounds of ``derive``, the departure from a target at which it is done, and what is an error where needed."""


@dataclass(frozen=True)
class Taus:
    """Taus that cuts are derived from: columns of one length."""

    score: Array
    x: Array
    y: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Flattening:
    """Cuts on a score: ``cuts`` has the shape (100, bins of x, bins of y), for efficiencies 0, 0.01, …, 0.99.

    ``x`` and ``y`` are bin edges. Cuts are interpolated between the centres of bins (bilinear); beyond the first and
    the last centre they are constant.
    """

    x: Floats
    y: Floats
    cuts: Floats

    def transform(self, score: Array, x: Array, y: Array, bounds: tuple[float, float] = BOUNDS) -> Floats:
        """Return the flattened score: 1 − the efficiency at which a tau is just selected, interpolated between the two
        neighbouring cuts. NaN for a score that is NaN; ToolError where x or y is no finite number.
        """
        weights = self._weights(x, y)
        value = np.asarray(score, dtype=np.float64)
        low, high = np.full(len(value), bounds[0]), np.full(len(value), bounds[1])
        above, below = np.ones(len(value)), np.zeros(len(value))  # the efficiencies that low and high stand for
        got_low, got_high = np.zeros((2, len(value)), dtype=bool)
        table = self.cuts.reshape(len(self.cuts), -1)
        for efficiency, cells in zip(EFFICIENCIES, table, strict=True):
            cut = sum(weight * cells[cell] for cell, weight in weights)
            passes, open_ = cut <= value, ~(got_low & got_high)
            lower = open_ & passes & (~got_low | (np.abs(cut - value) < np.abs(low - value)))
            upper = open_ & (cut > value) & (~got_high | (np.abs(cut - value) < np.abs(high - value)))
            for chosen, cuts, efficiencies, got in ((lower, low, above, got_low), (upper, high, below, got_high)):
                cuts[chosen] = cut[chosen] if isinstance(cut, np.ndarray) else cut
                efficiencies[chosen] = efficiency
                got |= chosen
        inside = np.clip(value, low, np.maximum(low, high))
        width = np.where(high > low, high - low, 1.0)
        flat: Floats = 1.0 - (above + (inside - low) / width * (below - above))
        return flat

    def _weights(self, x: Array, y: Array) -> list[tuple[npt.NDArray[np.int64], Floats]]:
        """Return the four cells (flat index) that each tau is between, and their weights."""
        (left, right, a), (lower, upper, b) = _between(self.x, x, "x"), _between(self.y, y, "y")
        bins = len(self.y) - 1
        return [
            (left * bins + lower, (1 - a) * (1 - b)),
            (right * bins + lower, a * (1 - b)),
            (left * bins + upper, (1 - a) * b),
            (right * bins + upper, a * b),
        ]


def _between(edges: Floats, values: Array, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Return the bins whose centres are left and right of the values, and how far they are on the way."""
    numbers = _finite(values, name)
    centres = (edges[:-1] + edges[1:]) / 2
    inside = np.clip(numbers, centres[0], centres[-1])
    left = np.clip(np.searchsorted(centres, inside, side="right") - 1, 0, max(len(centres) - 2, 0))
    right = np.minimum(left + 1, len(centres) - 1)
    width = np.where(right > left, centres[right] - centres[left], 1.0)
    return left, right, (inside - centres[left]) / width


def _finite(values: Array, name: str) -> Floats:
    """Return a variable of bins; ToolError where it is no finite number."""
    numbers = np.asarray(values, dtype=np.float64)
    bad = int((~np.isfinite(numbers)).sum())
    if bad:
        raise ToolError(
            f"the {name} variable of the working points is missing or infinite for {bad} of {len(numbers)} taus"
        )
    return numbers


@dataclass(frozen=True)
class Derived:
    """What ``derive`` found: the cuts, how many taus each cell has, which cells share cuts because they have too few,
    and the largest departure of a delivered efficiency from its target."""

    flattening: Flattening
    counts: npt.NDArray[np.int64]
    merged: tuple[str, ...]
    departure: float


def quantile_grid(taus: Taus, least: int) -> tuple[Floats, Floats]:
    """Return bin edges of x and y at quantiles, so that a cell has at least about ``least`` taus; the last bin has its
    centre at the median of its taus, so that the interpolation reaches the cuts of that bin where taus are.
    """
    cells = max(int(len(taus) / (SPARE * least)), 1)
    n_y = int(np.clip(np.sqrt(cells / 1.5), 1, MOST_BINS[1]))
    n_x = int(np.clip(cells // n_y, 1, MOST_BINS[0]))
    return _quantiles(_finite(taus.x, "x"), n_x), _quantiles(_finite(taus.y, "y"), n_y)


def _quantiles(numbers: Floats, number: int) -> Floats:
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, number + 1)))
    if len(edges) == 1:
        return np.array([edges[0] - 0.5, edges[0] + 0.5])
    middle = float(np.median(numbers[numbers >= edges[-2]]))
    if middle > edges[-2]:
        edges[-1] = 2 * middle - edges[-2]
    return edges


def derive(
    taus: Taus,
    x: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    least: int,
    where: str,
    needed: Sequence[float] = ONE_PRONG,
) -> Derived:
    """Return the cuts of a grid; taus beyond its edges count to the nearest bin, and cells with fewer than ``least``
    taus are merged with neighbours.

    ToolError where there are too few taus, or none between the edges, where the weights of a cell do not sum up to more
    than 0, and where a cell cannot reach an efficiency that is ``needed``; others that it cannot reach get the nearest
    cut that it can.
    """
    edges = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    shape = len(edges[0]) - 1, len(edges[1]) - 1
    if len(taus) < least:
        raise ToolError(
            f"{len(taus)} taus are too few for working points of {least} taus a cell",
            where=where,
            hint="more events, or a smaller MinTaus",
        )
    _check_edges(taus, edges, where)
    places = [
        np.clip(np.searchsorted(e, v, side="right") - 1, 0, n - 1)
        for e, v, n in zip(edges, (taus.x, taus.y), shape, strict=True)
    ]
    cell = np.ravel_multi_index(tuple(places), shape)
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    group_of = _groups(counts, least)
    members = [np.flatnonzero(group_of.ravel()[cell] == group) for group in range(group_of.max() + 1)]
    names = [_name(np.argwhere(group_of == group), edges) for group in range(len(members))]
    score = np.asarray(taus.score, dtype=np.float64)
    first = [
        _cuts(score[own], taus.weight[own], needed, f"{where}, {name}")
        for own, name in zip(members, names, strict=True)
    ]
    tables = np.stack([cuts for cuts, _ in first], axis=1)
    tables[0] = np.nanmax(score)  # of all cells: nothing is above, wherever between the centres it is
    found = Flattening(*edges, tables[:, group_of])
    departure = max(departure for _, departure in first)
    if len(members) > 1:
        found, departure = _refine(found, taus, members, group_of)
    merged = tuple(name for group, name in enumerate(names) if (group_of == group).sum() > 1)
    return Derived(found, counts, merged, departure)


def _check_edges(taus: Taus, edges: tuple[Floats, Floats], where: str) -> None:
    """Raise ToolError where no tau lies between the edges."""
    for name, e, values in zip("xy", edges, (taus.x, taus.y), strict=True):
        if not ((values >= e[0]) & (values <= e[-1])).any():
            raise ToolError(
                f"none of {len(taus)} taus has its {name} variable between {e[0]:g} and {e[-1]:g}",
                where=where,
                hint="bin edges have the unit of the variable: pt is in MeV",
            )


def _groups(counts: npt.NDArray[np.int64], least: int) -> npt.NDArray[np.int64]:
    """Return the number of each cell's group: rows of x are joined until there are ``least`` in a row, then its cells
    of y.
    """
    rows = _joined(counts.sum(axis=1), least)
    groups = np.zeros(counts.shape, dtype=np.int64)
    made = 0
    for row in range(rows.max() + 1):
        columns = _joined(counts[rows == row].sum(axis=0), least)
        groups[rows == row] = columns + made
        made += columns.max() + 1
    return groups


def _joined(counts: npt.NDArray[np.int64], least: int) -> npt.NDArray[np.int64]:
    """Return the number of each bin's group: neighbours, from the left, until there are ``least``; what remains joins
    the last.
    """
    groups, number, held = [], 0, 0
    for count in counts:
        groups.append(number)
        held += int(count)
        if held >= least:
            number, held = number + 1, 0
    return np.minimum(groups, max(number - 1, 0))


def _name(cells: npt.NDArray[np.int64], edges: tuple[Floats, Floats]) -> str:
    (x_low, y_low), (x_high, y_high) = cells.min(axis=0), cells.max(axis=0) + 1
    x, y = edges
    return f"x {x[x_low]:g} … {x[x_high]:g}, y {y[y_low]:g} … {y[y_high]:g}"


def _cuts(score: Floats, weight: Array, needed: Sequence[float], where: str) -> tuple[Floats, float]:
    """Return the cut for each efficiency, and by how much the worst one misses it; ToolError as in ``derive``."""
    total = np.asarray(weight, dtype=np.float64).sum()
    if not total > 0:
        raise ToolError(f"the weights of {len(score)} taus sum up to {total:g}, not to more than 0", where=where)
    cuts, delivered, lowest = _highest(score, weight)
    if not np.isfinite(score).any():
        raise ToolError(f"none of {len(score)} taus has a score", where=where)
    wanted = sorted({int(np.rint(100 * efficiency)) for efficiency in needed})
    hint = "a score that stands for a missing one is left out with Selection; a coarse one needs larger cells"
    for place in wanted:
        if np.isnan(cuts[place]):
            told = f"{(~np.isfinite(score)).sum()} of {len(score)} taus have no score"
        elif delivered[place] - EFFICIENCIES[place] > ALLOWED:
            same = (score == lowest[place]).sum()
            told = f"the next one is {delivered[place]:.3g}, as {same} of {len(score)} taus score {lowest[place]:g}"
        else:
            continue
        raise ToolError(f"an efficiency of {EFFICIENCIES[place]:g} cannot be reached: {told}", where=where, hint=hint)
    missed = float(np.max(np.abs(np.nan_to_num(delivered, nan=0.0) - EFFICIENCIES)[1:]))
    below = np.nextafter(np.float32(np.nanmin(score)), np.float32(-np.inf))
    return np.where(np.isnan(cuts), below, cuts), missed


def _highest(score: Floats, weight: Array) -> tuple[Floats, Floats, Floats]:
    """Return for each efficiency the cut above which the highest scores make it up, as few as possible; what they make
    up; and the lowest of them.

    A cut is halfway to the next score; for the efficiency 0 it is the highest score. NaN where too many scores are NaN.
    """
    weights = np.asarray(weight, dtype=np.float64)
    known = np.isfinite(score)
    values, place = np.unique(-score[known], return_inverse=True)
    sums = np.cumsum(np.bincount(place, weights=weights[known], minlength=len(values)))
    reached = np.append(np.maximum.accumulate(sums) / weights.sum(), np.nan)
    last = np.searchsorted(reached[:-1], EFFICIENCIES * (1 - 1e-12))
    lowest = -np.append(values, np.nan)
    below = np.append(lowest[1:-1], np.nextafter(lowest[-2:-1].astype(np.float32), np.float32(-np.inf)))
    cuts = (lowest + np.append(below, np.nan))[last] / 2
    cuts[0] = lowest[0]
    return cuts, reached[last], lowest[last]


def _refine(
    start: Flattening, taus: Taus, members: Sequence[npt.NDArray[np.int64]], group_of: npt.NDArray[np.int64]
) -> tuple[Flattening, float]:
    """Return cuts that deliver their efficiency in each group after interpolation between cells, and the largest
    departure.

    Each round asks at which efficiency a group has the wanted fraction of its taus, and takes the cut from there.
    """
    lowest = float(np.nanmin(taus.score)) - 1e-3
    grid = np.append(EFFICIENCIES, 1.0)
    found, best = start, np.inf
    tables = np.stack([start.cuts[:, group_of == group][:, 0] for group in range(len(members))], axis=1)
    for _ in range(ROUNDS):
        trial = Flattening(start.x, start.y, tables[:, group_of])
        bounds = min(lowest, float(tables.min())), max(BOUNDS[1], float(tables.max()))
        passing = 1.0 - trial.transform(taus.score, taus.x, taus.y, bounds)
        next_tables, worst = tables.copy(), 0.0
        for group, own in enumerate(members):
            wanted = np.nan_to_num(-_highest(-passing[own], taus.weight[own])[0], nan=1.0)
            worst = max(worst, float(np.abs(wanted - EFFICIENCIES)[1:].max()))
            cuts = np.append(tables[:, group], min(lowest, tables[-1, group]))
            next_tables[1:, group] = np.interp(wanted[1:], grid, cuts)
        if worst < best:
            found, best = trial, worst
        if worst < CLOSE:
            break
        tables = next_tables
    return found, best
