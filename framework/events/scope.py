"""The columns and selections behind an ``Events`` view: full-length columns, and what of them is visible.

A scope never copies or drops values when something is hidden: it keeps masks. A child scope (one per stream) reads
through to its parent and keeps its own columns and masks on top.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from hepflow.context import Sample
from hepflow.errors import ColumnError, nearest
from hepflow.events.column import Column, Offsets
from hepflow.normalisation import WEIGHT

__all__ = [
    "Bools",
    "Cutflow",
    "Group",
    "Ints",
    "Notes",
    "Scope",
    "Yields",
    "counts_of",
    "flat_take",
    "offsets_from",
    "taken",
]

T = TypeVar("T")

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Cutflow: TypeAlias = dict[tuple[str, str, str, str], list[int]]
"""(stream or "", tool, container or "", label) → [before, after, how many do not pass for a missing value]."""
Yields: TypeAlias = dict[tuple[str, str, str, str], list[float]]
"""Line of the cutflow → sums of weights [before, after], with ``--lumi``."""
Notes: TypeAlias = dict[tuple[str, str], int]
"""(where links point that cannot be followed, column) → number of links."""


def offsets_from(counts: npt.NDArray[Any]) -> Offsets:
    """Return offsets (one longer) of lists with these lengths."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def counts_of(offsets: Offsets) -> Ints:
    """Return the lengths of lists with these offsets."""
    return np.diff(offsets)


def flat_take(content: Any, index: Ints | None) -> Any:
    """Return ``content[index]``, or ``content`` itself where nothing is hidden."""
    return content if index is None else content[index]


def taken(column: Column, index: Ints | None) -> tuple[Any, Bools | None]:
    """Return the content of a column at ``index``, and which of it is missing."""
    return flat_take(column.content, index), None if column.missing is None else flat_take(column.missing, index)


def _any(masks: Sequence[Bools | None]) -> Bools | None:
    """Return where one of the masks is true; None, as that of one, is everywhere."""
    known = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(known) if len(known) == len(masks) else None


@dataclass(frozen=True)
class Group:
    """The shape of a container: offsets per event, or per object of ``parent``; None for one entry an event."""

    offsets: Offsets | None
    parent: str = ""


class Scope:
    """Columns and masks of one chunk (see the module)."""

    def __init__(
        self,
        n_events: int,
        load: Callable[[str], Column | None],
        *,
        sample: Sample | None = None,
        seed: int = 0,
        first_entry: int | None = None,
        label: str = "",
        parent: Scope | None = None,
    ) -> None:
        self.n_events = n_events
        self.sample = sample or Sample("")
        self.seed = seed
        self.first_entry = first_entry
        """Number of the first entry in its file, where entries may repeat an event number; else None."""
        self.label = label
        self._parent = parent
        self.cutflow: Cutflow = {} if parent is None else parent.cutflow
        self.notes: Notes = {} if parent is None else parent.notes
        self.yields: Yields = {} if parent is None else parent.yields
        self._noted: set[tuple[str, str]] = set() if parent is None else parent._noted
        self.draws: dict[str, int] = {}
        self._counted: dict[tuple[str, str, str], int] = {}
        self._load = load
        self._columns: dict[str, Column] = {}
        self._groups: dict[str, Group] = {} if parent is None else dict(parent._groups)
        self._event_mask: Bools | None = None if parent is None else parent._event_mask
        self._masks: dict[str, Bools] = {} if parent is None else dict(parent._masks)
        self._cache: dict[tuple[str, str], Any] = {}
        self._shared: dict[Hashable, Any] = {}
        self._lasting: dict[Hashable, Any] = {} if parent is None else parent._lasting
        self.nominal: Scope | None = None
        """What this is a variation of."""
        self._variants: list[weakref.ref[Scope]] = []  # they hold this one
        self._selects = self._anew = False

    @classmethod
    def from_columns(cls, columns: Mapping[str, Column], n_events: int, **kwargs: Any) -> Scope:
        """Return the scope of a chunk that was read as ``columns``."""
        scope = cls(n_events, columns.get, **kwargs)
        for name, column in columns.items():
            scope._groups.setdefault(name.partition(".")[0], Group(column.offsets))
        return scope

    def child(self, label: str) -> Scope:
        """Return a scope that sees this one's columns and selections and keeps its own."""
        return Scope(
            self.n_events,
            self.find,
            sample=self.sample,
            seed=self.seed,
            first_entry=self.first_entry,
            label=label,
            parent=self,
        )

    def variant(self, own: Scope | None = None) -> Scope:
        """Return a scope for a variation of this one, with its own cutflow; where ``own`` is the variation of the scope
        that this is a child of, what differs there differs here.
        """
        made = self.child(self.label)
        made.cutflow, made.yields = ({}, {}) if own is None else (own.cutflow, own.yields)
        made.notes, made._noted = {}, set()  # what is to be told is told of the nominal
        made.nominal = self
        self._variants.append(weakref.ref(made))
        made.draws = dict(self.draws)
        if own is not None:
            made._columns = dict(own._columns)
            made._groups |= own._groups
            if own._selects:
                made._event_mask, made._masks, made._selects = own._event_mask, dict(own._masks), True
            made._anew = own._anew
        return made

    def chosen(self) -> None:
        """Note that selections differ from the nominal ones from now on."""
        self._selects = True

    def follow(self) -> None:
        """Take over what has become of the nominal scope; what differs stays."""
        nominal = self.nominal
        assert nominal is not None
        self._groups = {**nominal._groups, **self._groups}
        self.draws = dict(nominal.draws)
        same = self._event_mask is nominal._event_mask and self._masks.keys() == nominal._masks.keys()
        same = same and all(mask is nominal._masks[name] for name, mask in self._masks.items())
        if not self._selects and not same:
            self._event_mask, self._masks = nominal._event_mask, dict(nominal._masks)
            self._forget()

    def union(self, others: Sequence[Scope]) -> Scope:
        """Return a child that shows what is visible in this scope or in one of its variants."""
        made = self.child(self.label)
        every = [self, *others]
        made._event_mask = _any([one._event_mask for one in every])
        found = {name: _any([one.mask(name) for one in every]) for one in every for name in one._masks}
        made._masks = {name: mask for name, mask in found.items() if mask is not None}
        return made

    def flag(self, container: str) -> Column:
        """Return a column that tells which objects of a container are visible."""
        if not self.knows(container):  # the events as such
            self._groups[container] = Group(None)
        mask = self.mask(container)
        seen = np.ones(self.full_length(container), dtype=bool) if mask is None else mask
        return Column(self.group(container).offsets, seen)

    def weigh(self, weights: npt.NDArray[np.float64]) -> None:
        """Multiply the weights of events, all 1 where they have none."""
        known = self.find(WEIGHT)
        self._groups[WEIGHT.partition(".")[0]] = Group(None)
        self.put(WEIGHT, Column(None, weights if known is None else known.content * weights))

    # ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, name: str) -> Column | None:
        """Return the column or None."""
        column = self._columns.get(name)
        return self._load(name) if column is None else column

    def column(self, name: str) -> Column:
        """Return the column; ColumnError where there is none."""
        column = self.find(name)
        if column is None:
            raise ColumnError(f"there is no column {name!r} here")
        return column

    def own_columns(self, container: str) -> list[str]:
        """Return the columns of a container that were made in this scope, or in the one it reads through to."""
        return [name for name in {**self._outer_columns(), **self._columns} if name.partition(".")[0] == container]

    def owns(self, name: str) -> bool:
        """Tell whether a column was made in this scope, or in one that it reads through to."""
        return name in self._columns or (self._parent is not None and self._parent.owns(name))

    def _outer_columns(self) -> dict[str, Column]:
        return {} if self._parent is None else {**self._parent._outer_columns(), **self._parent._columns}

    def put(self, name: str, column: Column) -> None:
        """Set a full-length column."""
        self._columns[name] = column
        self._shared.clear()

    def define(self, container: str, group: Group) -> None:
        """Make a new, empty container; ColumnError where there is one of this name."""
        if container in self._groups:
            raise ColumnError(f"there is a container {container!r} already", hint="give the new one another name")
        self._groups[container] = group
        self._anew = True

    def group(self, container: str) -> Group:
        """Return the shape of a container; ColumnError where there is none of this name."""
        found = self._groups.get(container)
        if found is None:
            raise ColumnError(
                f"there is no container {container!r} here", hint=nearest(container, self._groups, what="containers")
            )
        return found

    def knows(self, container: str) -> bool:
        """Tell whether there is a container of this name."""
        return container in self._groups

    def known(self) -> list[str]:
        """Return the names of all containers."""
        return sorted(self._groups)

    def linkable(self, container: str) -> bool:
        """Tell whether links can point into a container: whether it is a list of objects per event."""
        group = self._groups.get(container)
        return group is not None and group.offsets is not None and not group.parent

    # ── what is visible ──────────────────────────────────────────────────────────────────────────────────────────────

    def _alike(self, container: str = "") -> Scope | None:
        """Return the nominal scope where the same objects are visible there; None where they may be others."""
        nominal = self.nominal
        if nominal is None or self._selects or self._anew:
            return None
        return nominal if not container or nominal._groups.get(container) is self._groups.get(container) else None

    def event_index(self) -> Ints | None:
        """Return the visible events, or None where all are."""
        if (nominal := self._alike()) is not None:
            return nominal.event_index()
        return self._cached(
            "", "events", lambda: None if self._event_mask is None else np.flatnonzero(self._event_mask)
        )

    def visible_events(self) -> int:
        """Return the number of visible events."""
        index = self.event_index()
        return self.n_events if index is None else len(index)

    def mask(self, container: str) -> Bools | None:
        """Return which objects (full length, flat) are visible, or None where all are."""
        if (nominal := self._alike(container)) is not None:
            return nominal.mask(container)
        return self._cached(container, "mask", lambda: self._make_mask(container))

    def _make_mask(self, container: str) -> Bools | None:
        group = self.group(container)
        outer = self.mask(group.parent) if group.parent else self._event_mask
        own = self._masks.get(container)
        if group.offsets is None or outer is None:
            return own if group.offsets is not None else outer
        spread = np.repeat(outer, counts_of(group.offsets))
        return spread if own is None else spread & own

    def index(self, container: str) -> Ints | None:
        """Return the visible objects as indices into the flat, full-length columns, or None where all are."""
        if (nominal := self._alike(container)) is not None:
            return nominal.index(container)

        def make() -> Ints | None:
            mask = self.mask(container)
            return None if mask is None else np.flatnonzero(mask)

        return self._cached(container, "index", make)

    def offsets(self, container: str) -> Offsets | None:
        """Return the offsets of visible objects per visible event (or visible parent object)."""
        if (nominal := self._alike(container)) is not None:
            return nominal.offsets(container)

        def make() -> Offsets | None:
            group = self.group(container)
            mask = self.mask(container)
            if group.offsets is None or mask is None:
                return group.offsets
            running = offsets_from(mask)
            counts = running[group.offsets[1:]] - running[group.offsets[:-1]]
            outer = self.index(group.parent) if group.parent else self.event_index()
            return offsets_from(flat_take(counts, outer))

        return self._cached(container, "offsets", make)

    def local_index(self, container: str) -> Ints:
        """Return, for each object (full length), its position among the visible ones of its event, or -1 if hidden."""

        def make() -> Ints:
            offsets = self.group(container).offsets
            if offsets is None or not self.linkable(container):
                raise ColumnError(f"{container} is no list of objects per event; links cannot point into it")
            mask = self.mask(container)
            seen = np.ones(int(offsets[-1]), dtype=bool) if mask is None else mask
            running = offsets_from(seen)
            position = running[:-1] - np.repeat(running[offsets[:-1]], counts_of(offsets))
            return np.where(seen, position, -1)

        return self._cached(container, "local", make)

    def event_of(self, container: str) -> Ints:
        """Return the event (full-length numbering) of each object (full length) of a container."""
        if self.nominal is not None and self.nominal._groups.get(container) is self.group(container):
            return self.nominal.event_of(container)

        def make() -> Ints:
            group = self.group(container)
            if group.offsets is None:
                return np.arange(self.n_events)
            rows = np.repeat(np.arange(len(group.offsets) - 1), counts_of(group.offsets))
            return self.event_of(group.parent)[rows] if group.parent else rows

        return self._cached(container, "event", make)

    def hide(self, container: str, visible: Bools) -> None:
        """Narrow a container to those of its visible objects for which ``visible`` is true."""
        if self.group(container).offsets is None:
            self.hide_events(visible)  # an entry of it is an event
            return
        mask = np.zeros(self.full_length(container), dtype=bool)
        mask[flat_take(np.arange(len(mask)), self.index(container))] = visible
        self._masks[container] = mask
        self._selects = True
        self._forget()

    def hide_events(self, visible: Bools) -> None:
        """Narrow the events to those visible ones for which ``visible`` is true."""
        mask = np.zeros(self.n_events, dtype=bool)
        mask[flat_take(np.arange(self.n_events), self.event_index())] = visible
        self._event_mask = mask
        self._selects = True
        self._forget()

    def full_length(self, container: str) -> int:
        """Return the number of objects of a container, hidden ones included."""
        group = self.group(container)
        return self.n_events if group.offsets is None else int(group.offsets[-1])

    def restrict(self, flags: Iterable[str]) -> None:
        """Show the objects and events that these columns of flags say, whatever was hidden before."""
        self._event_mask, self._masks = None, {}
        for name in flags:
            container, seen = name.partition(".")[0], np.asarray(self.column(name).content) != 0
            if self.group(container).offsets is not None:
                self._masks[container] = seen
            else:
                self._event_mask = seen if self._event_mask is None else self._event_mask & seen
        self._selects = True
        self._forget()

    def _cached(self, container: str, what: str, make: Callable[[], T]) -> T:
        key = (container, what)
        if key not in self._cache:
            self._cache[key] = make()
        value: T = self._cache[key]
        return value

    def shared(self, key: Hashable, make: Callable[[], T], reads: Iterable[str] | None = None) -> T:
        """Return what ``make`` returns, kept until a column or a selection changes. A variation takes that of the
        nominal where the columns that it ``reads`` do not differ.
        """
        if self.nominal is not None and reads is not None and self.as_nominal(reads):
            return self.nominal.shared(key, make, reads)
        if key not in self._shared:
            self._shared[key] = make()
        value: T = self._shared[key]
        return value

    def lasting(self, key: Hashable, make: Callable[[], T], reads: Iterable[str]) -> T:
        """Return what ``make`` returns of whole columns, hidden objects included; kept for all scopes of the chunk that
        see the same columns, variations among them.
        """
        columns = [self.column(name) for name in reads]
        known = (key, *map(id, columns))
        if known not in self._lasting:
            self._lasting[known] = (columns, make())  # with the columns, whose places in memory nobody else gets
        value: T = self._lasting[known][1]
        return value

    def everything(self) -> Scope:
        """Return a scope of the same columns in which nothing is hidden."""
        made = self.child(self.label)
        made._event_mask, made._masks = None, {}
        return made

    def alike(self, reads: Iterable[str]) -> list[Scope]:
        """Return the variations of this scope that see the same objects, and the same in the columns ``reads``."""
        found = [one for known in self._variants if (one := known()) is not None]
        return [one for one in found if one.as_nominal(reads)]

    def as_nominal(self, reads: Iterable[str]) -> bool:
        """Tell whether this is a variation that sees the same objects, and the same in the columns ``reads``."""
        same = self.nominal is not None and not self._selects and not self._anew
        return same and all(self.find(name) is self._load(name) for name in reads)

    def _forget(self) -> None:
        self._shared.clear()
        self._cache = {key: value for key, value in self._cache.items() if key[1] == "event"}

    # ── cutflow ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def weights(self, container: str = "") -> tuple[float, ...]:
        """Return the sum of the weights of what is visible, of events or of the objects of a container; nothing where
        events have no weights (``--lumi``).
        """
        column = self.find(WEIGHT)
        if column is None:
            return ()
        if not container:
            return (float(flat_take(column.content, self.event_index()).sum()),)
        return (float(column.content[flat_take(self.event_of(container), self.index(container))].sum()),)

    def count(
        self, tool: str, container: str, label: str, before: int, after: int, missing: int = 0, *weights: float
    ) -> None:
        """Add to a line of the cutflow; a label that a tool uses again in the same chunk gets a line of its own."""
        times = self._counted[tool, container, label] = self._counted.get((tool, container, label), 0) + 1
        shown = label if times == 1 else f"{label} ({times})"
        line = self.cutflow.setdefault((self.label, tool, container, shown), [0, 0, 0])
        for position, number in enumerate((before, after, missing)):
            line[position] += number
        if weights:
            known = self.yields.get((self.label, tool, container, shown), [0.0, 0.0])
            self.yields[self.label, tool, container, shown] = [a + b for a, b in zip(known, weights, strict=True)]

    def note(self, text: str, column: str, count: int) -> None:
        """Add to what is told at the end of the run; the same is added once a chunk, whoever finds it."""
        if count and (text, column) not in self._noted:
            self._noted.add((text, column))
            self.notes[text, column] = self.notes.get((text, column), 0) + count
