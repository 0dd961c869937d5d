"""Filling histograms by the numbers of bins: found once for all cuts, and all variations that see the same columns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
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
    return plot.fill_numbers(numbers.picked, weight, numbers.squares(weight))


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

    def squares(self, weight: Array) -> Array:
        """Return the squares of weights."""
        kept = self.events.shared(("squares", self.cut.text), lambda: (weight, np.square(weight, dtype=np.float64)))
        return kept[1] if kept[0] is weight else np.square(weight, dtype=np.float64)

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
