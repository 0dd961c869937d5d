"""Views of the objects of a container: what a tool works with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError, nearest
from hepflow.events.column import Column, Offsets
from hepflow.events.layout import distinct, flatten, jagged, links_of, marked, scatter
from hepflow.events.links import BEHIND, NULL, container_id, container_name
from hepflow.events.scope import Bools, Ints, Scope, counts_of, flat_take, offsets_from, taken
from hepflow.expressions.values import Level, Value, reduced

if TYPE_CHECKING:
    import awkward as ak

    from hepflow.events.access import Access

__all__ = ["Container", "Linked"]


def double(values: Any) -> npt.NDArray[np.float64]:
    """Return flat numbers as float64: four-momenta of 32 bits lose masses of light particles."""
    return np.asarray(values, dtype=np.float64)


def momenta(pt: Any, eta: Any, phi: Any, mass: Any) -> ak.Array:
    """Return four-momenta (vector) with the structure of their parts."""
    import vector

    vector.register_awkward()
    return vector.zip({"pt": pt, "eta": eta, "phi": phi, "mass": mass})


class _Columns:
    """What has columns by name: a place or an attribute instead of one is told."""

    _name: str

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise ColumnError(
                f"{self._name}.{name} = … sets no column",
                hint=f"decorate with [{name!r}] = …, and declare it in writes()",
            )
        object.__setattr__(self, name, value)

    def _column(self, column: str) -> str:
        """Return the full name of a column; ColumnError where it is asked for by something else than a name."""
        if not isinstance(column, str):
            raise ColumnError(
                f"{self._name} is asked for {column!r}: it has columns, and a tool gets all objects at once",
                hint="['pt'] is a column, ['pt'][:, :1] that of the first object of each event, .flat('pt')[mask] some",
            )
        return f"{self._name}.{column}"


class Container(_Columns):
    """The visible objects of one container, as a tool sees them.

    ``taus["pt"]`` (or ``taus.pt``) is an awkward array, events × objects; for a container with one entry an event it
    is a numpy array, one value an event. ``taus.flat("pt")`` gives the same values without the event structure.
    ``taus["x"] = values`` decorates; ``values`` has either form.
    """

    def __init__(self, scope: Scope, name: str, access: Access | None) -> None:
        self._scope = scope
        self._name = name
        self._access = access

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def __getitem__(self, column: str) -> Any:
        values = self.flat(column)
        return self.unflatten(values)

    def __getattr__(self, column: str) -> Any:
        if column.startswith("_"):
            raise AttributeError(column)
        return self[column]

    def __iter__(self) -> NoReturn:
        raise ColumnError(
            f"{self._name} is no list to loop over: tools work on the columns of all objects at once",
            hint=f"events[{self._name!r}]['pt'] is events × objects; .flat('pt') is one value an object",
        )

    def __contains__(self, column: str) -> bool:
        return self._scope.find(f"{self._name}.{column}") is not None

    def flat(self, column: str) -> Any:
        """Return the values of all visible objects without event structure: numpy for numbers, else a flat awkward
        array. Missing numbers are NaN: a column of integers that the input lacks for some objects comes as float64.
        """
        return marked(*self.stored(column), f"{self._name}.{column}")

    def stored(self, column: str) -> tuple[Any, Bools | None]:
        """Return the flat values of all visible objects in the type of the input, and which of them are missing.

        The second is None where every object of the input has a value; missing ones read NaN, 0, an empty list or the
        null link.
        """
        name = self._column(column)
        if self._access is not None:
            self._access.check_read(name)
        if self._lacks(column):
            return np.full(len(self), np.nan, dtype=np.float32), np.ones(len(self), dtype=bool)
        return taken(self._scope.column(name), self._scope.index(self._name))

    def _lacks(self, column: str) -> bool:
        """Tell whether the column is optional and not there."""
        return self._access is not None and f"{self._name}.{column}" in self._access.optional and column not in self

    def __len__(self) -> int:
        """Return the number of visible objects in all visible events."""
        index = self._scope.index(self._name)
        return self._scope.full_length(self._name) if index is None else len(index)

    @property
    def counts(self) -> Ints:
        """Return the number of visible objects of each visible event (or of each object of the parent container)."""
        offsets = self._offsets()
        return np.ones(len(self), dtype=np.int64) if offsets is None else counts_of(offsets)

    def unflatten(self, values: Any) -> Any:
        """Give flat values, one for each visible object, the structure of the container (events × objects)."""
        for offsets in reversed(self._structure()):
            values = jagged(values, offsets)
        return values

    def flatten(self, values: Any) -> Any:
        """Return values with the structure of the container as flat values, the reverse of ``unflatten``."""
        return flatten(values, self._structure(), self._name)

    def p4(self, suffix: str = "") -> ak.Array:
        """Return four-momenta (vector, float64, in the unit of the input) from the columns pt, eta, phi and m with a
        suffix (``"IntermediateAxis"``).
        """
        return momenta(*(self.unflatten(double(self.flat(f"{name}{suffix}"))) for name in ("pt", "eta", "phi", "m")))

    def follow(self, link: str, to: str = "") -> Linked:
        """Return the objects that an element-link column points to; null links and links to hidden objects drop out.

        The target container is found by the links' keys; give ``to`` where links may point to several containers or
        none of them may be set. The target's columns must be declared like all others. An optional link column that
        is not there reads as null links.
        """
        if self._access is not None:
            self._access.check_read(f"{self._name}.{link}")
        none = np.zeros(len(self), dtype=np.int64)
        lacks = self._lacks(link)
        lists, containers, index = ([], none, none) if lacks else links_of(self._scope, f"{self._name}.{link}")
        target = to or self._target(containers, link)
        if self._access is not None:
            self._access.check_container(target)
        if len(lists) > 1:
            raise ColumnError(f"{self._name}.{link} holds lists of lists of links, which cannot be followed")
        counts = lists[0] if lists else np.ones(len(self), dtype=np.int64)
        rows = np.repeat(flat_take(self._scope.event_of(self._name), self._scope.index(self._name)), counts)
        offsets = self._scope.group(target).offsets
        if offsets is None or not self._scope.linkable(target):
            raise ColumnError(f"{self._name}.{link} cannot point into {target}, which is no list of objects per event")
        position = offsets[rows] + index
        valid = containers == container_id(target)
        inside = position < offsets[rows + 1]
        if not inside[valid].all():
            self._scope.note(BEHIND.format(target), f"{self._name}.{link}", int((valid & ~inside).sum()))
        valid &= inside
        mask = self._scope.mask(target)
        if mask is not None:
            valid &= mask[np.where(valid, position, 0)] if len(mask) else False
        running = offsets_from(valid)
        edges = offsets_from(counts)
        kept = running[edges[1:]] - running[edges[:-1]]
        return Linked(self._scope, target, self._access, position[valid], offsets_from(kept), self._offsets())

    def _target(self, containers: Ints, link: str) -> str:
        declared = self._access.containers if self._access is not None else self._scope.known()
        candidates = [name for name in sorted(declared) if self._scope.linkable(name)]
        numbers = [number for number in distinct(containers) if number > NULL]  # others were noted on reading
        if not numbers:  # in this chunk; what was read together may know more
            column = self._scope.find(f"{self._name}.{link}")
            numbers = list(column.targets or ()) if column is not None else []
        found = [name for name in candidates if container_id(name) in numbers]
        others = [name for name in candidates if name != self._name]
        if not numbers and len(others) == 1:
            return others[0]
        if len(found) == 1:
            return found[0]
        state, hint = "has no valid link here: its target is not clear", ""
        if numbers:
            state = "points into " + " and ".join(found or sorted(map(container_name, numbers)))
            state += ": its target is not clear" if found else ", of which nothing is declared here"
        if found or not numbers:
            hint = f"say which: follow({link!r}, to=...); "
        raise ColumnError(f"{self._name}.{link} {state}", hint=hint + nearest("", others, what="declared containers"))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def __setitem__(self, column: str, values: Any) -> None:
        self.store(column, values)

    def store(self, column: str, values: Any, missing: Any = None) -> None:
        """Decorate, as ``taus[column] = values`` does; ``missing`` (flat) tells which objects have no value."""
        name = self._column(column)
        if self._access is not None:
            self._access.check_write(name)
        if np.isscalar(values):
            values = np.full(len(self), values)
        content = flatten(values, self._structure(), name)
        if len(content) != len(self):
            raise ColumnError(f"{name} gets {len(content)} values for {len(self)} objects")
        index, length = self._scope.index(self._name), self._scope.full_length(self._name)
        gone = None if missing is None or not missing.any() else scatter(missing, index, length)
        self._scope.put(name, Column(self._scope.group(self._name).offsets, scatter(content, index, length), gone))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _offsets(self) -> Offsets | None:
        return self._scope.offsets(self._name)

    def _structure(self) -> list[Offsets]:
        """Return the offsets of the lists around one value, outermost first."""
        offsets = self._offsets()
        parent = self._scope.group(self._name).parent
        outer = self._scope.offsets(parent) if parent else None
        return [part for part in (outer, offsets) if part is not None]


class Linked(_Columns):
    """Objects reached through links: a list of them for each object of the container that was followed from.

    The lists keep the order of the links until ``sort``; ``where``, ``sort`` and ``first`` return new views. ``sum``,
    ``mean``, ``max``, ``min``, ``any`` and ``all`` return one value for each object that was followed from, flat. They
    take the name of a column, or values (flat, or in the structure of the lists).
    """

    def __init__(
        self, scope: Scope, name: str, access: Access | None, index: Ints, offsets: Offsets, outer: Offsets | None
    ) -> None:
        self._scope = scope
        self._name = name
        self._access = access
        self._index = index
        self._offsets = offsets
        self._outer = outer

    def __len__(self) -> int:
        """Return the number of linked objects in all lists."""
        return len(self._index)

    @property
    def counts(self) -> Ints:
        """Return the lengths of the lists, one for each visible object that was followed from."""
        return counts_of(self._offsets)

    @property
    def owners(self) -> Ints:
        """Return, for each linked object, the flat position of the object it is linked from."""
        return np.repeat(np.arange(len(self._offsets) - 1), self.counts)

    def flat(self, column: str) -> Any:
        """Return the values of all linked objects, list after list; missing numbers are NaN."""
        return marked(*self.stored(column), f"{self._name}.{column}")

    def stored(self, column: str) -> tuple[Any, Bools | None]:
        """Return the flat values of all linked objects in the type of the input, and which of them are missing (None
        where every object has a value).
        """
        name = self._column(column)
        if self._access is not None:
            self._access.check_read(name)
            if name in self._access.optional and self._scope.find(name) is None:
                return np.full(len(self), np.nan, dtype=np.float32), np.ones(len(self), dtype=bool)
        return taken(self._scope.column(name), self._index)

    def __getitem__(self, column: str) -> ak.Array:
        return self.unflatten(self.flat(column))

    def __getattr__(self, column: str) -> ak.Array:
        if column.startswith("_"):
            raise AttributeError(column)
        return self[column]

    def __setitem__(self, column: str, values: Any) -> None:
        """Decorate the linked objects with numbers; the others of their container get NaN.

        Raises ColumnError where an object that several links point to would get two values.
        """
        name = self._column(column)
        if self._access is not None:
            self._access.check_write(name)
        content = np.asarray(self.flatten(values))
        kind = content.dtype if content.dtype.kind == "f" else np.float64
        full = np.full(self._scope.full_length(self._name), np.nan, kind)
        full[self._index] = content
        if not np.array_equal(full[self._index], content, equal_nan=True):
            raise ColumnError(
                f"{name} would have two values for an object that is linked from two others",
                hint="select objects that do not share any, or leave this decoration out",
            )
        self._scope.put(name, Column(self._scope.group(self._name).offsets, full))

    def unflatten(self, values: Any) -> ak.Array:
        """Give flat values, one for each linked object, the structure events × objects × linked."""
        return jagged(values, self._offsets, self._outer)

    def __iter__(self) -> NoReturn:
        raise ColumnError(
            f"the linked {self._name} are no list to loop over: tools work on the columns of all objects at once",
            hint="['pt'] is events × objects × linked; .flat('pt') is one value a linked object; .sum('pt') one a list",
        )

    def p4(self, mass: float | str = "m") -> ak.Array:
        """Return four-momenta (vector, float64, in the unit of the input) of the linked objects, in their structure,
        from the columns pt, eta, phi, and a mass: a column, or a number for all (139.57 for pions in MeV).
        """
        pt, eta, phi = (double(self.flat(name)) for name in ("pt", "eta", "phi"))
        found = double(self.flat(mass)) if isinstance(mass, str) else np.full(len(self), float(mass))
        return momenta(*map(self.unflatten, (pt, eta, phi, found)))

    def sum(self, values: Any) -> Any:
        """Return the sums of the lists, 0 of empty ones: numbers, or four-momenta of four-momenta (``p4``)."""
        if not hasattr(values, "px"):
            return self._reduced(values, "sum")
        import vector

        return vector.zip({name: self._reduced(getattr(values, name), "sum") for name in ("px", "py", "pz", "E")})

    def mean(self, values: Any) -> npt.NDArray[Any]:
        """Return the means of the lists, NaN of empty ones."""
        return self._reduced(values, "mean")

    def max(self, values: Any) -> npt.NDArray[Any]:
        """Return the largest value of each list, NaN of empty ones."""
        return self._reduced(values, "max")

    def min(self, values: Any) -> npt.NDArray[Any]:
        """Return the smallest value of each list, NaN of empty ones."""
        return self._reduced(values, "min")

    def any(self, values: Any) -> npt.NDArray[Any]:
        """Tell of each list whether something in it is true; not of empty ones."""
        return self._reduced(values, "any")

    def all(self, values: Any) -> npt.NDArray[Any]:
        """Tell of each list whether everything in it is true; so it is of empty ones."""
        return self._reduced(values, "all")

    def _reduced(self, values: Any, name: str) -> npt.NDArray[Any]:
        flat = np.asarray(self._values(values))
        if flat.dtype.kind in "iu" and flat.dtype != np.uint64:
            flat = flat.astype(np.int64)
        try:
            found = reduced(Value(flat, (Level("", self.counts),)), name)
        except OverflowError:
            raise ColumnError(f"a {name} of {self._name} does not fit into 64 bits", hint="sum floats") from None
        counted: npt.NDArray[Any] = marked(found.data, found.missing, f"the {name} of {self._name}")
        return counted

    def _values(self, values: Any) -> Any:
        """Return flat values: those of a column, or those that were given."""
        return self.flat(values) if isinstance(values, str) else self.flatten(values)

    def one(self, column: str, missing: float) -> npt.NDArray[Any]:
        """Return the value of the first linked object of each list, or ``missing`` where the list is empty or its value
        is missing.
        """
        values, gone = self.stored(column)
        first = self._offsets[:-1]
        some = self.counts > 0
        if gone is not None:
            some[some] = ~gone[first[some]]
        out = np.full(len(some), missing, dtype=np.result_type(values.dtype, np.min_scalar_type(missing)))
        out[some] = np.asarray(values)[first[some]]
        return out

    def flatten(self, values: Any) -> Any:
        """Return values with the structure of the lists as flat values, the reverse of ``unflatten``."""
        outer = [] if self._outer is None else [self._outer]
        flat = flatten(values, [*outer, self._offsets], self._name)
        if len(flat) != len(self):
            raise ColumnError(f"{len(flat)} values for {len(self)} linked objects of {self._name}")
        return flat

    def where(self, mask: Any) -> Linked:
        """Keep the linked objects for which ``mask`` (flat, or in the structure of the lists, or a column) is true."""
        kept = np.asarray(self._values(mask))
        if kept.dtype != np.bool_:
            raise ColumnError(f"this is no mask of {self._name}: its values are {kept.dtype}, not bool")
        return self._with(self._index[kept], offsets_from(kept)[self._offsets])

    def sort(self, values: Any, *, descending: bool = True) -> Linked:
        """Order each list by ``values`` (a column, or values, flat or in the structure of the lists), the highest
        first; equal values keep their order, NaN comes last.
        """
        keys = np.asarray(self._values(values))
        if descending:
            keys = -keys if keys.dtype.kind == "f" else ~keys  # -x of an unsigned integer would wrap around
        owners = self.owners
        late = np.flatnonzero(~(keys[:-1] <= keys[1:]) & (owners[:-1] == owners[1:]))
        if not len(late):  # as files mostly have them
            return self
        wrong = np.zeros(len(self._offsets) - 1, dtype=bool)  # lists that are not in order; the others stay
        wrong[owners[late]] = True
        rows = np.flatnonzero(wrong[owners])
        index = self._index.copy()
        index[rows] = index[rows[np.lexsort((keys[rows], owners[rows]))]]
        return self._with(index, self._offsets)

    def first(self, number: int) -> Linked:
        """Keep at most the first ``number`` objects of each list."""
        counts = self.counts
        if not (counts > number).any():
            return self
        rank = np.arange(len(self)) - np.repeat(self._offsets[:-1], counts)
        return self.where(rank < number)

    def _with(self, index: Ints, offsets: Offsets) -> Linked:
        return Linked(self._scope, self._name, self._access, index, offsets, self._outer)
