"""Expressions over columns, cuts and weights: text such as ``TauJets.pt / GeV``, evaluated on the events of a chunk.

The text is read, never executed: numbers, columns (``Container.column``, in backticks where it has other characters),
columns of linked objects (``TauJets.tauTrackLinks->TauTracks.pt``), energies (``20*GeV``), arithmetic, comparisons,
``and``, ``or``, ``not`` (also ``&&``, ``||``, ``!``, ``&``, ``|``, ``~``), functions, and functions of lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError
from hepflow.expressions.dimensions import levels, unit_free
from hepflow.expressions.evaluation import evaluate, level_of
from hepflow.expressions.syntax import FUNCTIONS, joined_text, qualified, quoted, read
from hepflow.expressions.values import Level, Value, conjunction, spread

if TYPE_CHECKING:
    from hepflow.events import Events
    from hepflow.protocols import ColumnInfo

__all__ = ["FUNCTIONS", "Cut", "Expression", "Weight", "common_container", "common_values", "qualified", "quoted"]

E = TypeVar("E", bound="Expression")
Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


class Expression:
    """A quantity calculated from columns of one container, of its parent, of the event, and of lists in these.

    ``expression(events)`` gives flat values, one for each visible object (or event): whole numbers as int64 or uint64,
    conditions as bool, floats; what is missing is NaN, and makes floats of all values. PropertyError where the text is
    no expression.

    >>> Expression("TauJets.pt / TauJets.truthPtVis").columns
    ('TauJets.pt', 'TauJets.truthPtVis')
    """

    _elementwise: str | None = None

    def __init__(self, text: str) -> None:
        self.text = joined_text(text)
        self._tree = read(self.text)
        self.columns = self._tree.columns

    @classmethod
    def parse(cls: type[E], text: str) -> E:
        """Return the expression that the text says."""
        return cls(text)

    @property
    def containers(self) -> tuple[str, ...]:
        """Return the containers of the columns."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.columns))

    @property
    def units(self) -> tuple[str, ...]:
        """Return the energy units in the text: with one, the unit of the input must be known."""
        return tuple(dict.fromkeys(str(node.value) for node in self._tree.walk() if node.kind == "unit"))

    @property
    def elementwise(self) -> str:
        """Return the container of which each object has a value that comes from its own columns alone, by arithmetic;
        empty where the values are made otherwise.
        """
        if self._elementwise is None:
            kinds = ("column", "number", "unit", "unary", "binary", "compare", "logic")
            simple = all(node.kind in kinds for node in self._tree.walk())
            self._elementwise = self.containers[0] if simple and len(self.containers) == 1 else ""
        return self._elementwise

    def levels(self, columns: Mapping[str, ColumnInfo]) -> int | None:
        """Return how many lists are around one value: 0 for one an event, 1 for one an object; None where a column is
        none of these.
        """
        known = all(name in columns for name in self.columns)
        return levels(self._tree, lambda name: columns[name].depth) if known else None

    def unit_free(self, energy: Callable[[str], bool]) -> bool:
        """Tell whether the values are the same in every energy unit; ``energy`` tells which columns are energies."""
        return unit_free(self._tree, energy)

    def __call__(self, events: Events, at: str = "") -> Array:
        """Return the values for all visible objects, flat.

        ``at`` is the container whose objects they are for, or a list whose elements (``common_values``); values of its
        parent and of the event are repeated. By default it is the innermost container of the expression, or the event.
        Values are kept for other tools of the
        same chunk. ColumnError where it has no values that are one number each, or where they do not fit into 64 bits.
        """
        at = at or common_container(events, self)
        key = ("expression", type(self), self.text, at)
        return events.shared(key, lambda: self._values(self._at(events, at)), self.columns)

    def column(self, events: Events, at: str) -> tuple[Any, Bools | None]:
        """Return the values as a column of a container, and which of them are missing (None: none).

        Numbers come in the type of the expression, 0 or NaN where they are missing; where the expression is a list for
        each object, lists.
        """
        value, levels = self.value(events), _levels(events, at)
        if len(value.levels) <= len(levels) or not all(a.same(b) for a, b in zip(levels, value.levels)):  # noqa: B905
            found = self._at(events, at)
            return found.data, found.missing
        import awkward as ak

        lists: Any = self._values(value)
        for level in reversed(value.levels[len(levels) :]):
            lists = ak.unflatten(lists, level.counts)
        return lists, value.levels[len(levels)].missing

    def missing(self, events: Events, at: str = "") -> Bools:
        """Return for which objects the value is missing."""
        at = at or common_container(events, self)
        unknown = self._at(events, at).unknown
        return np.zeros(_length(events, at), dtype=np.bool_) if unknown is None else unknown

    def value(self, events: Events) -> Value:
        """Return the values for the objects that the expression is about, kept for other tools of the chunk."""
        return events.shared(("value", self.text), lambda: evaluate(self._tree, self.text, events), self.columns)

    def _at(self, events: Events, at: str) -> Value:
        """Return the values for the objects of a container."""
        value, levels = self.value(events), _levels(events, at)
        if value.constant:
            return Value(np.full(_length(events, at), value.data), levels)
        if len(value.levels) > len(levels) or not all(a.same(b) for a, b in zip(value.levels, levels)):  # noqa: B905
            raise _too_deep(self, value.levels, at)
        return spread(value, levels)

    def _values(self, value: Value) -> Array:
        data: Array = value.data
        if value.missing is None or not value.missing.any():
            return data
        if data.dtype.kind in "iu" and len(data) and max(int(data.max()), -int(data.min())) > 2**53:
            raise ColumnError(
                f"{self.text!r} is missing for some objects, and too large for others to be told with NaN",
                hint="where(…, …, -1) gives a number to those that are missing",
            )
        return np.where(value.missing, np.nan, data)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.text == self.text

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __str__(self) -> str:
        return self.text


def _levels(events: Events, at: str) -> tuple[Level, ...]:
    """Return the levels of a container, of a list (an expression: it has a dot), or of the event."""
    if "." in at:
        return Expression(at).value(events).levels
    return level_of(events, at) if at else ()


def _length(events: Events, at: str) -> int:
    if "." in at:
        return int(_levels(events, at)[-1].counts.sum())
    return len(events[at]) if at else len(events)


def _too_deep(expression: Expression, levels: tuple[Level, ...], at: str) -> ColumnError:
    name = levels[-1].name
    what = f"has one value for each of {name}" if name else "is a list, not one number each"
    short = expression.text if len(expression.text) < 40 else "…"
    return ColumnError(
        f"{expression.text!r} {what}" + (f", not for each of {at}" if name and at else ""),
        hint=f"sum({short}), max({short}), any(…), or [0] for the first, make one value of them",
    )


class Cut(Expression):
    """A selection: an expression that is true or false. Cuts combine with ``&``, ``|`` and ``~``.

    ``cut(events)`` tells which objects pass. Where a value that decides is missing, the cut is missing: the object
    passes neither the cut nor ``~cut``. ``label`` is what a figure says of it; an empty text selects everything. The
    parts of ``a & b`` are evaluated once for all cuts that share them.

    >>> (Cut("TauJets.pt > 20000", "pt > 20 GeV") & Cut("abs(TauJets.eta) < 2.5", "|η| < 2.5")).label
    'pt > 20 GeV, |η| < 2.5'
    """

    def __init__(self, text: str = "", label: str = "") -> None:
        super().__init__(text or "True")
        self.label = label or ("" if self.text == "True" else self.text)
        self._parts: tuple[Cut, ...] = ()

    @property
    def parts(self) -> tuple[Cut, ...]:
        """Return the cuts that must all pass."""
        return self._parts or ((self,) if self.text != "True" else ())

    def __and__(self, other: Cut) -> Cut:
        parts = tuple(dict.fromkeys((*self.parts, *other.parts)))
        if len(parts) < 2:
            return parts[0] if parts else self
        added = parts[len(self.parts) :]
        whole = [other.label] if len(added) == len(other.parts) else [part.label for part in added]
        label = ", ".join(text for text in (self.label, *whole) if text)
        joined = Cut(" and ".join(f"({part.text})" for part in parts), label)
        joined._parts = parts
        return joined

    def __or__(self, other: Cut) -> Cut:
        return Cut(f"({self.text}) or ({other.text})", f"{self.label} or {other.label}")

    def __invert__(self) -> Cut:
        return Cut(f"not ({self.text})", f"not ({self.label})")

    def labelled(self, label: str) -> Cut:
        """Return the same cut with another label."""
        made = Cut(self.text, label)
        made._parts = self._parts
        return made

    def _at(self, events: Events, at: str) -> Value:
        return events.shared(("cut", self.text, at), lambda: self._condition(events, at), self.columns)

    def _condition(self, events: Events, at: str) -> Value:
        if self._parts:
            found = self._parts[0]._at(events, at)
            for part in self._parts[1:]:
                found = conjunction(found, part._at(events, at))
            return found
        value = super()._at(events, at)
        if value.data.dtype != np.bool_:
            if value.data.dtype.kind not in "iu" or not np.isin(value.data, (0, 1)).all():
                raise ColumnError(
                    f"the cut {self.text!r} is no cut: its values are {value.data.dtype}",
                    hint="compare with something: > 0",
                )
            value = Value(value.data.astype(np.bool_), value.levels, value.missing)
        return value

    def _values(self, value: Value) -> Array:
        data: Array = value.data
        return data


class Weight(Expression):
    """A weight: an expression that is a number. Weights combine with ``*``; an empty text is 1."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text or "1")

    def __mul__(self, other: Weight) -> Weight:
        if "1" in (self.text, other.text):
            return self if other.text == "1" else other
        return Weight(f"({self.text}) * ({other.text})")

    @property
    def trivial(self) -> bool:
        """Tell whether every weight is 1."""
        return self.text == "1"


def common_container(events: Events, *expressions: Expression) -> str:
    """Return the innermost of the containers that the expressions have values for: the one whose objects they are for.

    The others must be its parent, or have one entry an event. Where all have one value an event it is the first
    container with one entry an event, or empty. ColumnError where two containers have objects of their own, or where
    an expression is a list.
    """
    at = common_values(events, *expressions)
    if "." in at:
        raise _too_deep(Expression(at), _levels(events, at), "")
    return at


def common_values(events: Events, *expressions: Expression) -> str:
    """Return what the values of the expressions are for, as ``common_container``; where one is a list, that expression:
    the values are for the elements of its lists, and the others have lists of the same lengths, or are repeated.
    """
    found: tuple[Level, ...] = ()
    listed = ""
    parts = [p for e in expressions for p in (e.parts if isinstance(e, Cut) else ()) or (e,) if p.columns]
    alone = {part.elementwise for part in parts}
    if len(alone) == 1 and "" not in alone and all(events.flat_column(name) for p in parts for name in p.columns):
        return alone.pop()  # values are not needed to know that
    for expression in expressions:
        for part in (expression.parts if isinstance(expression, Cut) else ()) or (expression,):
            levels = part.value(events).levels
            if len(levels) > len(found) and not levels[-1].name:
                listed = part.text
            short, found = sorted((found, levels), key=len)
            if not all(a.same(b) for a, b in zip(short, found)):  # noqa: B905
                names = dict.fromkeys(one.containers[0] for one in expressions if one.containers)
                raise ColumnError(
                    f"{' and '.join(names)} have objects of their own; one expression can use one of them",
                    where=", ".join(repr(e.text) for e in expressions if e.containers),
                )
    if found:
        return found[-1].name or listed
    names = dict.fromkeys(name for expression in expressions for name in expression.containers)
    return next((name for name in names if not events.depth(name)), "")
