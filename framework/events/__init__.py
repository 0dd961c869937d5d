"""Events as tools see them: containers, selections, links and random numbers of one chunk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from hepflow.context import Sample
from hepflow.errors import ColumnError
from hepflow.events.access import Access
from hepflow.events.column import Column, Offsets
from hepflow.events.container import Container, Linked
from hepflow.events.layout import content_of, flatten, has_lists, jagged, normal_layout, pack_links, plain, scatter
from hepflow.events.links import NULL, container_id
from hepflow.events.random import EventRandom, entry_keys
from hepflow.events.scope import Bools, Group, Scope, counts_of, flat_take, offsets_from

__all__ = ["Access", "Column", "Container", "EventRandom", "Events", "Linked", "Scope"]

T = TypeVar("T")


class Events:
    """The events of one chunk, as one tool sees them.

    ``events["TauJets"]`` gives a container; ``select`` and ``select_events`` hide what fails a cut from every later
    tool in the same scope; ``add`` makes a container and ``link`` a column of element links.
    """

    def __init__(self, scope: Scope, access: Access | None = None) -> None:
        self._scope = scope
        self._access = access

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, sample: Sample | None = None, seed: int = 0) -> Events:
        """Return events made of ``{"TauJets.pt": array}``, to try a tool without a file.

        A jagged awkward array is a column of a container with objects, a flat array one value an event; where a
        container has both, its lists are lists of the event (``EventInfo.mcEventWeights``).
        """
        contents = {name: plain(values) for name, values in arrays.items()}
        lengths = {len(content) for content in contents.values()}
        if len(lengths) > 1:
            raise ColumnError(f"the columns have different numbers of events: {sorted(lengths)}")
        single = {name.partition(".")[0] for name, content in contents.items() if not has_lists(content)}
        columns: dict[str, Column] = {}
        shapes: dict[str, Offsets] = {}
        for name, content in contents.items():
            container = name.partition(".")[0]
            if container in single:
                columns[name] = Column(None, content)
                continue
            offsets = content.layout.offsets.data
            columns[name] = Column(offsets, content_of(content.layout.content))
            if not np.array_equal(shapes.setdefault(container, offsets), offsets):
                raise ColumnError(f"the columns of {container} have different numbers of objects")
        return cls(Scope.from_columns(columns, lengths.pop() if lengths else 0, sample=sample, seed=seed))

    def __len__(self) -> int:
        """Return the number of visible events."""
        return self._scope.visible_events()

    def __iter__(self) -> NoReturn:
        raise ColumnError(
            "events are no list to loop over: a tool gets the columns of many events at once",
            hint="events['TauJets']['pt'] is events × objects",
        )

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"events have no {name!r}: a container is events[{name!r}]")

    def __getitem__(self, container: str) -> Container:
        if self._access is not None:
            self._access.check_container(container)
        return self._container(container)

    def _container(self, container: str) -> Container:
        """Return a container without asking what was declared."""
        return Container(self._scope, container, self._access)

    @property
    def sample(self) -> Sample:
        """Return the sample that the events come from."""
        return self._scope.sample

    @property
    def energy_unit(self) -> str:
        """Return the unit of energies in the columns, ``MeV`` or ``GeV``; empty where it is not known."""
        return self._scope.sample.energy_unit

    def depth(self, container: str) -> int:
        """Return how many lists are around one object: 0 for one entry an event, 1 for a list an event, 2 for a list
        for each object of a parent container.
        """
        return len(self[container]._structure())

    def parent(self, container: str) -> str:
        """Return the container whose objects this one has a list for each of; empty for a list an event."""
        return self._scope.group(container).parent

    def shared(self, key: Hashable, make: Callable[[], T], reads: Iterable[str] | None = None) -> T:
        """Return what ``make`` returns, kept for all tools of the chunk until a column or a selection changes; with the
        columns that it ``reads``, also for variations in which these do not differ.
        """
        return self._scope.shared(key, make, reads)

    @property
    def nominal(self) -> Events | None:
        """Return the same events as they are without the variation that a tool runs for; None without one."""
        found = self._scope.nominal
        return None if found is None else Events(found, self._access)

    def alike(self, reads: Iterable[str]) -> list[Events]:
        """Return these events in the variations in which the same objects are visible, and the columns ``reads`` are
        the same.
        """
        return [Events(one, self._access) for one in self._scope.alike(reads)]

    def as_nominal(self, reads: Iterable[str]) -> bool:
        """Tell whether these, which are a variation, have the same objects as the nominal, and the same in columns."""
        return self._scope.as_nominal(reads)

    def places(self, container: str) -> npt.NDArray[np.int64] | None:
        """Return which of its objects, hidden ones included, the visible ones of a container are (``""``: of the
        events); None where all are visible.
        """
        return self._scope.index(container) if container else self._scope.event_index()

    def of_events(self, name: str, container: str, places: npt.NDArray[np.int64] | None) -> npt.NDArray[Any]:
        """Return what a column with one value an event has for the objects at ``places`` of a container."""
        found: npt.NDArray[Any] = self._scope.column(name).content[self.rows(container, places)]
        return found

    def rows(self, container: str, places: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64]:
        """Return which events, hidden ones counted, the objects at ``places`` of a container belong to."""
        rows = self._scope.event_of(container) if container else np.arange(self._scope.n_events)
        return rows if places is None else rows[places]

    def flat_column(self, name: str) -> bool:
        """Tell whether a column has one number for each object."""
        column = self._scope.find(name)
        return column is not None and isinstance(column.content, np.ndarray)

    def of_nominal(self, container: str) -> bool:
        """Tell whether the objects of a container are those of the nominal, and not made anew by a variation."""
        nominal = self._scope.nominal
        return not container or nominal is None or self._scope.group(container) is nominal.group(container)

    def lasting(self, key: Hashable, make: Callable[[Events], T], reads: Iterable[str]) -> T:
        """Return what ``make`` returns of the columns that it ``reads``, with no object hidden; kept for all tools of
        the chunk and all variations that see the same columns.
        """
        return self._scope.lasting(key, lambda: make(Events(self._scope.everything(), self._access)), reads)

    def child(self, label: str = "", access: Access | None = None) -> Events:
        """Return a view that sees this one's columns and selections and keeps its own; with ``access`` it is for
        another tool, which this one applies, and says what that may touch.
        """
        return Events(self._scope.child(label), access or self._access)

    def select(self, container: str, mask: Any, label: str, *, missing: Any = None) -> None:
        """Hide the objects for which ``mask`` (flat or events × objects) is false, and add a line to the cutflow.

        Of a container with one entry an event (the taus of an ntuple) this hides the events. ``missing`` tells for
        which objects the mask is false because a value is missing: the cutflow counts them.
        """
        self._check_selects()
        objects = self[container]
        values = self._mask(flatten(mask, objects._structure(), f"the selection {label!r}"), len(objects), label)
        before = self._scope.weights(container)
        unknown = 0 if missing is None else int(np.count_nonzero(flatten(missing, objects._structure(), label)))
        self._scope.hide(container, values)
        weights = (*before, *self._scope.weights(container))
        self._scope.count(self._tool, container, label, len(values), int(values.sum()), unknown, *weights)

    def select_events(self, mask: Any, label: str, *, missing: Any = None) -> None:
        """Hide the events for which ``mask`` is false, and add a line to the cutflow; ``missing`` as of ``select``."""
        self._check_selects()
        values = self._mask(plain(mask), len(self), label)
        before = self._scope.weights()
        self._scope.hide_events(values)
        unknown = 0 if missing is None else int(np.count_nonzero(missing))
        weights = (*before, *self._scope.weights())
        self._scope.count(self._tool, "", label, len(values), int(values.sum()), unknown, *weights)

    def add(
        self, container: str, columns: Mapping[str, Any], *, counts: npt.ArrayLike | None = None, parent: str = ""
    ) -> Container:
        """Make a new container and return it.

        The columns are events × objects, or flat together with ``counts``, the number of objects of each visible
        event. With ``parent`` there is one list for each visible object of that container instead (the tracks of each
        tau). Without ``counts`` and with flat columns the container has one entry an event.
        """
        if self._access is not None:
            self._access.check_write(f"{container}.*")
        if counts is None and columns:
            counts = self._counts(next(iter(columns.values())), parent)
        if counts is None and parent:
            raise ColumnError(f"{container} needs one list for each object of {parent}", hint="give its counts")
        group = Group(None, parent)
        if counts is not None:
            outer = self._scope.index(parent) if parent else self._scope.event_index()
            length = self._scope.full_length(parent) if parent else self._scope.n_events
            listed = np.asarray(counts, dtype=np.int64)
            if len(listed) != (length if outer is None else len(outer)):
                owners = len(self._container(parent)) if parent else len(self)
                raise ColumnError(f"{container} gets {len(listed)} lists for {owners} {parent or 'events'}")
            group = Group(offsets_from(scatter(listed, outer, length)), parent)
        self._scope.define(container, group)
        made = Container(self._scope, container, self._access)
        for name, values in columns.items():
            made[name] = values
        return made

    def _counts(self, values: Any, parent: str) -> npt.NDArray[np.int64] | None:
        import awkward as ak

        if not isinstance(values, ak.Array) or not values.layout.is_list:
            return None
        layout = normal_layout(values.layout)
        if parent and len(layout) == len(self) and layout.content.is_list:
            layout = layout.content
        return counts_of(layout.offsets.data)

    def link(self, to: str, indices: Any) -> Any:
        """Return element links to objects of ``to`` of the same event.

        ``indices`` are positions among the visible objects of ``to`` in the event (negative: null link), events ×
        objects for one link an object, events × objects × links for lists of links. Assign the result to a column.
        """
        import awkward as ak

        offsets = self[to]._offsets()
        if offsets is None or not self._scope.linkable(to):
            raise ColumnError(f"links cannot point into {to}, which is no list of objects per event")
        array = ak.Array(indices)
        if array.ndim not in (2, 3) or len(array) != len(self):
            raise ColumnError(
                f"links to {to} need indices of the form events × objects (× links)",
                hint=f"got {array.type} for {len(self)} events",
            )
        try:
            layout = normal_layout(array.layout)
        except TypeError:  # missing values: null links
            layout = normal_layout(ak.fill_none(array, -1).layout)
        per_event, content = counts_of(layout.offsets.data), layout.content
        per_object = None if array.ndim == 2 else counts_of(content.offsets.data)
        flat = ak.to_numpy(ak.Array(content if per_object is None else content.content))
        if len(flat) and flat.dtype.kind not in "iu":
            raise ColumnError(f"links to {to} are given by whole numbers, not {flat.dtype}")
        flat = flat.astype(np.int64)
        events = np.repeat(np.arange(len(self)), per_event)
        events = events if per_object is None else np.repeat(events, per_object)
        if len(flat) and (flat >= np.diff(offsets)[events]).any():
            raise ColumnError(f"a link to {to} points behind its last object")
        index, null = self._scope.index(to), flat < 0
        position = np.where(null, 0, offsets[events] + flat)
        full = position if index is None else index[position] if len(index) else position
        group = self._scope.group(to)
        assert group.offsets is not None
        first = group.offsets[flat_take(np.arange(self._scope.n_events), self._scope.event_index())[events]]
        lists = [] if per_object is None else [per_object]
        links = pack_links(lists, np.where(null, NULL, container_id(to)), np.where(null, 0, full - first))
        return jagged(links, layout.offsets.data)

    def random(self, tool: Any) -> EventRandom:
        """Return random numbers keyed by (seed, tool, event number); needs ``EventInfo.eventNumber`` among the reads.

        Entries of an ntuple may be taus of one event: there the position of the entry in its file belongs to the key.
        ``tool`` is the tool (or a name): two tools never share numbers, and each call continues with fresh ones.
        """
        name = str(getattr(tool, "name", tool))
        first = self._scope.draws.get(name, 0)
        self._scope.draws[name] = first + 1
        numbers = self["EventInfo"].flat("eventNumber")
        if self._scope.first_entry is not None:
            entries = np.arange(self._scope.first_entry, self._scope.first_entry + self._scope.n_events)
            numbers = entry_keys(numbers, flat_take(entries, self._scope.event_index()))
        return EventRandom(self._scope.seed, name, numbers, first << 16)

    def _check_selects(self) -> None:
        if self._access is not None:
            self._access.check_selects()

    @property
    def _tool(self) -> str:
        return self._access.tool if self._access is not None else ""

    def _mask(self, values: Any, length: int, label: str) -> Bools:
        if not isinstance(values, np.ndarray):
            raise ColumnError(f"the selection {label!r} is no mask for {length} entries: its type is {values.type}")
        if values.dtype != np.bool_:
            raise ColumnError(f"the selection {label!r} is no mask: its values are {values.dtype}, not bool")
        if values.shape != (length,):
            raise ColumnError(f"the selection {label!r} has {values.size} values for {length} entries")
        return values
