"""Filling histograms by the numbers of bins: found once for all cuts, and all variations that see the same columns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Events
from hepflow.errors import ColumnError
from hepflow.expressions import Cut
from hepflow.plugins.performance.base import View, in_both, places_of, seen_in, values_of

if TYPE_CHECKING:
    from hepflow.plots import Histogram

__all__ = ["fill_binned"]

Array = npt.NDArray[Any]


def fill_binned(
    events: Events, plot: Histogram, view: View, cut: Cut, at: str, weights: Callable[[Events], Array | None]
) -> bool:
    """Fill a histogram of one axis with the objects that pass a cut, as ``fill`` would; let that of a variation take
    note of what the nominal has as well. Returns False, and fills nothing, where a value is not made of the columns of
    its own object alone.
    """
    nominal = events.nominal
    mine = _Numbers(events, view, cut, at)
    theirs = None if nominal is None else _Numbers(nominal, view, cut, at)
    if mine.whole is None or (theirs is not None and theirs.whole is None):
        return False
    weight = weights(events)
    if theirs is None or nominal is None:
        _fill(plot, mine, weight)
        return True
    other = weights(nominal)
    alike = mine.whole is theirs.whole
    if alike and weight is None and other is None and (moved := _moved(events, nominal, cut, at)):
        gained, lost = (plot.counted(mine.whole[places]) for places in moved)
        stays = theirs.counts(plot) - lost
        plot.add_counts(stays + gained)
        plot.add_common(stays)
        return True
    same = weight is not None and mine.picked is theirs.picked
    if weight is not None and same and (found := _together(nominal, mine, weights, other).sums(plot, mine, weight)):
        *filled, common = found
        plot.add_sums(mine.picked, *filled)
        plot.add_common(common)
        return True
    sums = _fill(plot, mine, weight)
    both = in_both(events, nominal, cut, at)
    if both is not None and both[0] is None and alike and other is None:
        plot.add_common(sums)  # all is in the same bin in both
    elif both is not None:
        _note_common(plot, mine.picked, theirs.picked, both, weight, other)
    return True


def _fill(plot: Histogram, numbers: _Numbers, weight: Array | None) -> Array:
    """Fill a histogram and return the sums of weights by the numbers of bins."""
    if weight is None:
        counts = numbers.counts(plot)
        plot.add_counts(counts)
        return counts
    negative, squares = numbers.squares(weight)
    sums = plot.counted(numbers.picked, weight)
    plot.add_sums(numbers.picked, negative, sums, plot.counted(numbers.picked, squares))
    return sums


def _note_common(
    plot: Histogram, mine: Array, theirs: Array, both: tuple[Array | None, Array | None], weight: Array | None,
    other: Array | None,
) -> None:  # fmt: skip
    """Let a plot take note of what is in the same bin in both."""
    product: Array | None = None
    taken = []
    for numbers, weights, places in ((mine, weight, both[0]), (theirs, other, both[1])):
        taken.append(numbers if places is None else numbers[places])
        if weights is not None:
            chosen = weights if places is None else weights[places]
            product = chosen if product is None else product * chosen
    one, two = taken
    if one is not two:
        same = np.flatnonzero(one == two)
        one, product = one[same], None if product is None else product[same]
    plot.add_common(plot.counted(one, product))


def _squares(weight: Array) -> tuple[Array, Array]:
    return np.flatnonzero(weight < 0), np.square(weight, dtype=np.float64)


@dataclass
class _Together:
    """The weights of all variations in which the same objects are in the same bins, to be summed in one pass."""

    weights: list[Array]
    negative: list[Array]
    columns: Array
    """Weights, their squares and, behind these, products with those of the nominal, shape (objects, columns)."""
    summed: dict[Hashable, tuple[Array, Array]] = field(default_factory=dict)

    @staticmethod
    def of(variations: Iterable[Events], weights: Callable[[Events], Array | None], nominal: Array | None) -> _Together:
        """Return the weights that are not the nominal ones."""
        found = [one for one in map(weights, variations) if one is not None and one is not nominal]
        both = [_squares(one) for one in found]
        products = [] if nominal is None else [one * nominal for one in found]
        columns = [*found, *(squares for _, squares in both), *products]
        made = np.empty((len(found[0]) if found else 0, len(columns)))
        for start in range(0, len(made), 4096):  # what is written across stays in the cache
            for number, column in enumerate(columns):
                made[start : start + 4096, number] = column[start : start + 4096]
        return _Together(found, [negative for negative, _ in both], made)

    def sums(self, plot: Histogram, numbers: _Numbers, weight: Array) -> tuple[Array, Array, Array, Array] | None:
        """Return where a weight is negative, its sums, those of squares and of products, by the numbers of bins; None
        where it is none of these. They are the same, bit for bit, as ``counted`` returns.
        """
        place = next((number for number, one in enumerate(self.weights) if one is weight), None)
        if place is None or len(self.weights) == 1:
            return None
        picked = numbers.picked
        known = self.summed.get(numbers.key)
        if known is None or known[0] is not picked:
            known = self.summed[numbers.key] = picked, _product(picked, self.columns, len(plot.axes[0]) + 3)
        parts = known[1].reshape(-1, len(self.weights), known[1].shape[1])[:, place]
        return self.negative[place], parts[0], parts[1], parts[-1 if len(parts) > 2 else 0]


def _product(numbers: Array, columns: Array, bins: int) -> Array:
    """Return the sums of each column by the numbers of bins, shape (columns, bins), added in the order of objects: the
    product with a matrix of bins × objects in which each object has one 1.
    """
    from scipy.sparse import csc_array

    size = len(numbers)
    entries = (np.ones(size), numbers.astype(np.int32), np.arange(size + 1, dtype=np.int32))
    return np.ascontiguousarray((csc_array(entries, shape=(bins, size)) @ columns).T)


def _together(
    nominal: Events, numbers: _Numbers, weights: Callable[[Events], Array | None], other: Array | None
) -> _Together:
    """Return the weights of all variations of the nominal, found once for all histograms of a cut."""
    key = ("together", numbers.cut.text, numbers.at, id(other))
    return nominal.shared(key, lambda: (other, _Together.of(nominal.alike(numbers.reads), weights, other)))[1]


class _Numbers:
    """The numbers of the bins in which the objects are that pass a cut; ``whole`` are those of all objects, hidden ones
    included, None where they are not known.
    """

    def __init__(self, events: Events, view: View, cut: Cut, at: str) -> None:
        self.events, self.cut, self.at = events, cut, at
        self.key: Hashable = (view.axis, view.expression.text, view.variable.missing, view.variable.transform)
        self.reads = (*view.expression.columns, *cut.columns)
        self.whole = self._whole(view) if at and view.expression.elementwise == at else None

    def _whole(self, view: View) -> Array | None:
        from hepflow.plots.axis import bin_numbers

        def make(everything: Events) -> Array | None:
            try:
                values = values_of(everything, view.variable, Cut(), self.at)
                return bin_numbers(view.axis, values) if values.dtype.kind in "iuf" else None
            except ColumnError:  # of objects that are hidden, perhaps
                return None

        key, columns = ("numbers", self.key), view.expression.columns
        return self.events.lasting(key, make, columns) if self._there(columns) else None

    def _there(self, columns: Iterable[str]) -> bool:
        return all(name.partition(".")[2] in self.events[name.partition(".")[0]] for name in columns)

    @property
    def picked(self) -> Array:
        """Return the numbers of those that pass."""
        return self.events.shared(("picked numbers", self.key, self.cut.text), self._pick, self.reads)

    def _pick(self) -> Array:
        assert self.whole is not None
        places = places_of(self.events, self.cut, self.at)
        return self.whole if places is None else self.whole[places]

    def squares(self, weight: Array) -> tuple[Array, Array]:
        """Return where weights are negative, and their squares."""
        key = ("squares", self.cut.text, id(weight))
        return self.events.shared(key, lambda: (weight, _squares(weight)))[1]

    def counts(self, plot: Histogram) -> Array:
        """Return how many of those that pass are in each bin."""
        key = ("counted numbers", self.key, self.cut.text)
        return self.events.shared(key, lambda: plot.counted(self.picked), self.reads)


def _moved(events: Events, nominal: Events, cut: Cut, at: str) -> tuple[Array, Array] | None:
    """Return the places of objects that pass a cut in the variation alone, and in the nominal alone; None where objects
    are not those of the nominal.
    """

    seen = seen_in(events, nominal, cut, at)
    if seen is None:
        return None
    mine, theirs = seen
    return events.shared(
        ("moved", cut.text, at), lambda: (np.flatnonzero(mine & ~theirs), np.flatnonzero(theirs & ~mine))
    )
