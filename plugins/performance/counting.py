"""Filling histograms by the numbers of bins: found once for all cuts, and all variations that see the same columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Events
from hepflow.errors import ColumnError
from hepflow.expressions import Cut, Weight
from hepflow.normalisation import WEIGHT
from hepflow.plugins.performance.base import View, in_both, normalised, places_of, seen_in, values_of

if TYPE_CHECKING:
    from hepflow.plots import Histogram

__all__ = ["fill_binned"]

Array = npt.NDArray[Any]

ENTRIES = 2**17
"""Numbers that stay in the cache of a processor."""


def fill_binned(
    events: Events, wanted: Sequence[tuple[Histogram, View]], cut: Cut, at: str, weight: Weight | None
) -> list[Histogram]:
    """Fill histograms of one axis with the objects that pass a cut, as ``fill`` would (``weight`` None: all are 1, also
    for events with weights); let those of a variation take note of what the nominal has as well. Returns those that are
    not filled: their values are not made of the columns of their own object alone.
    """
    nominal = events if events.nominal is None else events.nominal
    views = [view for _, view in wanted]
    summed = None if weight is None else _Summed.of(nominal, views, cut, at, weight)
    if summed is not None and weight is not None and (place := summed.place(events, weight)) is not None:
        for plot, view in wanted:
            summed.fill(plot, view, place, varied=events.nominal is not None)
        return [plot for plot, view in wanted if view.key not in summed.numbers]
    left = []
    for plot, view in wanted:
        mine = _Numbers(events, view, cut, at)
        theirs = mine if events.nominal is None else _Numbers(nominal, view, cut, at)
        if mine.whole is None or theirs.whole is None:
            left.append(plot)
        else:
            _fill_one(events, plot, mine, theirs, weight)
    return left


def _fill_one(events: Events, plot: Histogram, mine: _Numbers, theirs: _Numbers, of: Weight | None) -> None:
    """Fill a histogram, and let that of a variation take note of what the nominal has as well."""
    nominal, cut, at = events.nominal, mine.cut, mine.at
    weight = None if of is None else normalised(events, of, cut, at)
    if nominal is None:
        _fill(plot, mine, weight)
        return
    other = None if of is None else normalised(nominal, of, cut, at)
    alike = mine.whole is theirs.whole
    if alike and weight is None and other is None and (moved := _moved(events, nominal, cut, at)):
        assert mine.whole is not None
        gained, lost = (plot.counted(mine.whole[places]) for places in moved)
        stays = theirs.counts() - lost
        plot.add_counts(stays + gained)
        plot.add_common(stays)
        return
    sums = _fill(plot, mine, weight)
    both = in_both(events, nominal, cut, at)
    if both is not None and both[0] is None and alike and other is None:
        plot.add_common(sums)  # all is in the same bin in both
    elif both is not None:
        _note_common(plot, mine.picked, theirs.picked, both, weight, other)


def _fill(plot: Histogram, numbers: _Numbers, weight: Array | None) -> Array:
    """Fill a histogram and return the sums of weights by the numbers of bins."""
    if weight is None:
        counts = numbers.counts()
        plot.add_counts(counts)
        return counts
    negative, squares = numbers.squares(weight)
    sums = plot.counted(numbers.picked, weight)
    counts = numbers.counts()
    plot.add_sums(counts, numbers.valid(negative), sums, plot.counted(numbers.picked, squares))
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


class _Summed:
    """Sums of weights of the nominal and of all variations in which the same objects are in the same bins, for all
    histograms of a cut: found in one pass, and bit for bit what ``counted`` returns.

    ``weights`` are those of events, where objects have none of their own: ``rows`` are the events that they belong to.
    """

    def __init__(
        self, numbers: Mapping[str, _Numbers], weights: Sequence[Array], other: Array | None, rows: Array | None
    ) -> None:
        self.numbers, self.weights = numbers, weights
        self.reads = tuple(dict.fromkeys(name for one in numbers.values() for name in one.reads))
        self._counts = {key: one.counts() for key, one in numbers.items()}
        self._negative = [_below(one, rows) for one in weights]
        self._sums = _sums(numbers, weights, other, rows)

    @staticmethod
    def of(nominal: Events, views: Sequence[View], cut: Cut, at: str, weight: Weight) -> _Summed | None:
        """Return them, made with the first variation; None where there is none with weights of its own."""
        other = _event_weights(nominal, weight, cut, at)

        def make() -> tuple[Array | None, _Summed | None]:
            both = {view.key: _Numbers(nominal, view, cut, at) for view in views}
            numbers = {key: one for key, one in both.items() if one.whole is not None}
            varied = nominal.alike([name for one in numbers.values() for name in one.reads]) if numbers else []
            found = [_event_weights(one, weight, cut, at) for one in varied]
            weights = [one for one in found if one is not None and one is not other and np.isfinite(one).all()]
            if not weights:
                return other, None
            of_events = weight.trivial and "." not in at
            rows = nominal.rows(at, places_of(nominal, cut, at)) if of_events else None
            return other, _Summed(numbers, [*([] if other is None else [other]), *weights], other, rows)

        return nominal.shared(("summed", cut.text, at, id(other), *(view.key for view in views)), make)[1]

    def place(self, events: Events, weight: Weight) -> int | None:
        """Return which of the weights events have; None where it is none of these, or where they differ otherwise."""
        if events.nominal is not None and not events.as_nominal(self.reads):
            return None
        one = next(iter(self.numbers.values()))
        own = _event_weights(events, weight, one.cut, one.at)
        return next((number for number, known in enumerate(self.weights) if known is own), None)

    def fill(self, plot: Histogram, view: View, place: int, *, varied: bool) -> None:
        """Fill a histogram, if it is one of these, with one of the weights."""
        if view.key not in self.numbers:
            return
        numbers, sums = self.numbers[view.key], self._sums[place][view.key]
        plot.add_sums(self._counts[view.key], numbers.valid(self._negative[place]), sums[0], sums[1])
        if varied:
            plot.add_common(sums[-1] if len(sums) > 2 else sums[0])


def _event_weights(events: Events, weight: Weight, cut: Cut, at: str) -> Array | None:
    """Return the weights of the objects that pass a cut; those of all events where objects have none of their own, and
    None where all are 1.
    """
    if not weight.trivial or "." in at or "weight" not in events["Sample"]:
        return normalised(events, weight, cut, at)
    found: Array = events.lasting("weights of events", lambda every: every["Sample"].flat("weight"), [WEIGHT])
    return found


def _below(weight: Array, rows: Array | None) -> Array:
    """Return which objects have a negative weight."""
    negative = weight < 0
    return np.flatnonzero(negative if rows is None else negative[rows]) if negative.any() else np.zeros(0, np.int64)


def _sums(
    numbers: Mapping[str, _Numbers], weights: Sequence[Array], other: Array | None, rows: Array | None
) -> list[dict[str, Array]]:
    """Return, for each weight and each histogram, its sums, those of squares and, where others are not 1, of products
    with these, by the numbers of bins, shape (2 or 3, bins), added in the order of objects.

    It is a product with a matrix of bins × rows that has a 1 for each object of a row and histogram, some rows at a
    time: what is summed up so far stands in front of them.
    """
    from scipy.sparse import csc_array

    picked = [one.picked for one in numbers.values()]
    starts = np.cumsum([0, *(one.bins for one in numbers.values())], dtype=np.int32)
    size, several, length = int(starts[-1]), len(weights) * (2 if other is None else 3), len(weights[0])
    objects = np.ones(length, np.int64) if rows is None else np.bincount(rows, minlength=length)
    ends = np.concatenate([[0], np.cumsum(objects)])
    step = max(ENTRIES // (several + len(picked)), 16 * size // len(picked))
    values = np.zeros((size + step, several))
    for start in range(0, length, step):
        stop = min(start + step, length)
        first, last = ends[start], ends[stop]
        values[size : size + stop - start] = _columns(weights, other, slice(start, stop)).T
        indices = np.empty(size + (last - first) * len(picked), dtype=np.int32)
        indices[:size] = np.arange(size)
        places = indices[size:].reshape(-1, len(picked))
        for column, one in enumerate(picked):
            np.add(one[first:last], starts[column], out=places[:, column])
        of_rows = size + len(picked) * (ends[start : stop + 1] - first)
        pointers = np.concatenate([np.arange(size), of_rows]).astype(np.int32)
        matrix = csc_array((np.ones(len(indices)), indices, pointers), shape=(size, size + stop - start))
        values[:size] = matrix @ values[: size + stop - start]
    found = values[:size].reshape(size, -1, len(weights)).transpose(2, 1, 0)
    ranges = dict(zip(numbers, pairwise(starts.tolist()), strict=True))
    return [{key: one[:, a:b] for key, (a, b) in ranges.items()} for one in np.ascontiguousarray(found)]


def _columns(weights: Sequence[Array], other: Array | None, some: slice) -> Array:
    """Return weights of some rows, their squares and their products with others, shape (2 or 3 × weights, rows)."""
    number, rows = len(weights), len(weights[0][some])
    made = np.empty((2 if other is None else 3, number, rows))
    for place, weight in enumerate(weights):
        own = weight[some]
        made[0, place] = own
        np.multiply(own, own, out=made[1, place])
        if other is not None:
            np.multiply(own, other[some], out=made[2, place])
    return made.reshape(-1, rows)


class _Numbers:
    """The numbers of the bins in which the objects are that pass a cut; ``whole`` are those of all objects, hidden ones
    included, None where they are not known.
    """

    def __init__(self, events: Events, view: View, cut: Cut, at: str) -> None:
        self.events, self.cut, self.at, self.axis = events, cut, at, view.axis
        self.key = view.key
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

    @property
    def bins(self) -> int:
        """Return how many numbers there may be."""
        return len(self.axis) + 3

    def valid(self, places: Array) -> int:
        """Return how many of those that pass, at these places, have a value."""
        return int(np.count_nonzero(self.picked[places] != self.bins - 1)) if len(places) else 0

    def squares(self, weight: Array) -> tuple[Array, Array]:
        """Return where weights are negative, and their squares."""
        key = ("squares", self.cut.text, id(weight))
        return self.events.shared(key, lambda: (weight, _squares(weight)))[1]

    def counts(self) -> Array:
        """Return how many of those that pass are in each bin."""
        key = ("counted numbers", self.key, self.cut.text)
        return self.events.shared(key, lambda: np.bincount(self.picked, minlength=self.bins), self.reads)


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
