"""The values of an expression for the events of a chunk: one number for each object, event, or element of a list.

A condition, or anything else, can be missing: NaN of floats, a mask for whole numbers and conditions. What is
calculated from a missing value is missing; ``and`` and ``or`` know more (false and missing is false).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError
from hepflow.expressions.arithmetic import absolute, arithmetic, compare, is_in, kind, pick, to_float, whole, whole_sums
from hepflow.expressions.syntax import UNITS, Node, quoted

if TYPE_CHECKING:
    from hepflow.events import Container, Events, Linked

__all__ = ["Level", "Value", "conjunction", "evaluate", "level_of", "spread"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_FLOAT_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    name: getattr(np, name)
    for name in ("sqrt", "exp", "log", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh", "hypot")
}
_REDUCTIONS = ("sum", "len", "mean", "any", "all", "first", "last", "min", "max")


@dataclass(frozen=True, eq=False)
class Level:
    """Objects in events, or elements in the lists of objects: how many each owner has. ``name`` is that of the
    container, empty for lists. ``missing`` tells which owners have no list, not even an empty one.
    """

    name: str
    counts: Ints
    missing: Bools | None = None

    def same(self, other: Level) -> bool:
        """Tell whether the other one has the same objects."""
        if self.name or other.name:
            return self.name == other.name
        return self.counts is other.counts or np.array_equal(self.counts, other.counts)


@dataclass(frozen=True)
class Value:
    """Flat values of one level (none: one an event), or a Python number. ``missing`` masks whole numbers and
    conditions, which are 0 and false there.
    """

    data: Any
    levels: tuple[Level, ...] = ()
    missing: Bools | None = None

    @property
    def constant(self) -> bool:
        """Tell whether this is one number for all."""
        return not isinstance(self.data, np.ndarray)

    @property
    def unknown(self) -> Bools | None:
        """Return where the value is missing, None where nowhere."""
        if self.constant or self.data.dtype.kind != "f":
            return self.missing
        nan: Bools = np.isnan(self.data)
        return nan if nan.any() else None


def level_of(events: Events, container: str) -> tuple[Level, ...]:
    """Return the levels of the objects of a container: none for one entry an event."""
    if not events.depth(container):
        return ()
    parent = events.parent(container)
    return (*(level_of(events, parent) if parent else ()), Level(container, events[container].counts))


def spread(value: Value, levels: Sequence[Level]) -> Value:
    """Repeat values for the objects of further levels."""
    data, missing = value.data, value.missing
    if value.constant:
        return value
    for level in levels[len(value.levels) :]:
        data = np.repeat(data, level.counts)
        missing = None if missing is None else np.repeat(missing, level.counts)
    return Value(data, tuple(levels), missing)


def conjunction(left: Value, right: Value) -> Value:
    """Return ``left and right`` of two conditions of the same level."""
    return _logic(left, right, True)


def evaluate(tree: Node, text: str, events: Events) -> Value:
    """Return the values of an expression; ColumnError, with the part of the text, where it has none."""
    with np.errstate(all="ignore"):
        return _Evaluator(text, events).value(tree)


def _masked(data: Any, levels: tuple[Level, ...], missing: Bools | None) -> Value:
    """Return a value with what is missing set to NaN, 0 or false."""
    if missing is None:
        return Value(data, levels)
    if not isinstance(data, np.ndarray):
        data = np.full(len(missing), data)
    if data.dtype.kind == "f":
        return Value(np.where(missing, data.dtype.type(np.nan), data), levels)
    return Value(np.where(missing, data.dtype.type(0), data), levels, missing)


def _union(*masks: Bools | None) -> Bools | None:
    found: Bools | None = None
    for mask in masks:
        found = mask if found is None else found if mask is None else found | mask
    return found


def _logic(left: Value, right: Value, conjunct: bool) -> Value:
    """Return the conjunction or disjunction of conditions: what one side decides does not ask the other."""
    function = np.logical_and if conjunct else np.logical_or
    data = function(left.data, right.data)
    if left.missing is None and right.missing is None:
        return Value(data if isinstance(data, np.ndarray) else bool(data), left.levels)
    missing = _union(left.missing, right.missing)
    assert missing is not None
    for side in (left, right):
        decided = np.not_equal(side.data, conjunct)
        missing = missing & ~(decided if side.missing is None else decided & ~side.missing)
    data = np.broadcast_to(np.logical_and(data, ~missing), missing.shape)
    return Value(data, left.levels or right.levels, missing if missing.any() else None)


class _Evaluator:
    """Calculates the parts of one expression."""

    def __init__(self, text: str, events: Events) -> None:
        self.text, self.events = text, events

    def value(self, node: Node) -> Value:
        try:
            found: Value = getattr(self, f"_{node.kind}")(node)
        except OverflowError:
            raise self.error(
                f"{node.text!r} has values that do not fit into 64 bits",
                "1.0 * … calculates with floats, which keep about 16 digits",
            ) from None
        except ArithmeticError as error:
            raise self.error(f"{node.text!r}: {error}", "") from None
        return found

    def error(self, message: str, hint: str) -> ColumnError:
        return ColumnError(message, where=repr(self.text), hint=hint)

    def together(self, nodes: Sequence[Node]) -> tuple[list[Value], tuple[Level, ...]]:
        """Return the values of nodes, repeated to one level."""
        values = [self.value(node) for node in nodes]
        deepest = max(values, key=lambda value: len(value.levels)).levels
        for value, node in zip(values, nodes, strict=True):
            other = next((pair for pair in zip(value.levels, deepest) if not pair[0].same(pair[1])), None)  # noqa: B905
            if other is not None:
                names = [level.name for level in reversed(other) if level.name]
                if len(names) == 2:
                    raise self.error(
                        f"{' and '.join(names)} have objects of their own; one expression can use one of them",
                        f"sum(), any(), max(), first() make one value an event of them: max({names[0]}.…)",
                    )
                raise self.error(f"{node.text!r} has other lists than the rest of {self.text!r}", "")
        return [spread(value, deepest) for value in values], deepest

    # ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _number(self, node: Node) -> Value:
        return Value(node.value)

    def _unit(self, node: Node) -> Value:
        unit = self.events.energy_unit
        if not unit:
            raise self.error(
                f"the energy unit of the input is not known, {node.value} has no meaning",
                "say which: --units GeV or --units MeV",
            )
        return Value(UNITS[str(node.value)] / UNITS[unit])

    def _column(self, node: Node) -> Value:
        container, _, column = node.value.partition(".")
        objects = self.events[container]
        return self.content(node, objects, column, level_of(self.events, container))

    def content(self, node: Node, objects: Container | Linked, column: str, levels: tuple[Level, ...]) -> Value:
        import awkward as ak

        values, missing = objects.stored(column)
        while isinstance(values, ak.Array) and values.layout.is_list and not values.layout.parameter("__array__"):
            levels = (*levels, Level("", ak.to_numpy(ak.num(values, axis=1)), missing))
            missing = None
            values = ak.flatten(values, axis=1)
            values = ak.to_numpy(values) if values.layout.is_numpy else values
        if isinstance(values, ak.Array) and values.layout.is_unknown:
            values = np.zeros(0)
        if not isinstance(values, np.ndarray):
            link = isinstance(values, ak.Array) and values.layout.is_record
            hint = f"follow them: sum({quoted(node.value)}->Container.column)" if link else ""
            raise self.error(f"{node.text} holds {'links' if link else 'texts'}, not numbers", hint)
        if values.dtype.kind in "iu" and values.dtype != np.uint64:
            values = values.astype(np.int64, copy=False)
        return _masked(values, levels, missing)

    def _link(self, node: Node) -> Value:
        """Return a column of linked objects: a list for each object, or one value where there is one link each."""
        (source, _, link), (target, _, column) = (name.partition(".") for name in node.value)
        objects = self.events[source]
        linked = objects.follow(link, target)
        levels = level_of(self.events, source)
        found = self.content(node, linked, column, (*levels, Level("", linked.counts)))
        if self.is_list(objects, link) or len(found.levels) > len(levels) + 1:
            return found
        return self.nth(found, 0)

    def is_list(self, objects: Container, column: str) -> bool:
        values = objects.flat(column)
        return not isinstance(values, np.ndarray) and values.layout.is_list

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _unary(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        if node.value == "not" or (node.value in ("!", "~") and (node.value == "!" or kind(value.data) == "b")):
            value = self.condition(value)
            data = ~value.data if not value.constant else not value.data
            return _masked(data, value.levels, value.missing)
        if node.value == "~":
            if kind(value.data) != "i":
                raise self.error(f"{node.text!r} inverts floats", "write not …")
            return _masked(~value.data, value.levels, value.missing)
        if node.value == "+":
            return replace(value, data=whole(value.data))
        if kind(value.data) == "f" and not isinstance(value.data, Fraction):
            return replace(value, data=-value.data)
        return _masked(arithmetic("-", 0, value.data), value.levels, value.missing)

    def _binary(self, node: Node) -> Value:
        (left, right), levels = self.together(node.parts)
        sign = node.value
        if sign in ("&", "|") and "b" in (kinds := kind(left.data) + kind(right.data)):
            if kinds == "bb":
                return _logic(left, right, sign == "&")
            raise self.error(
                f"{node.text!r} joins a condition and numbers", _JOIN.format({"&": "and", "|": "or"}[sign])
            )
        left, right = self.numeric(left, right)
        missing = _union(left.missing, right.missing)
        divisor = right.data
        if sign in ("//", "%") and kind(left.data) == kind(divisor) == "i":
            zero = divisor == 0
            if right.constant and zero:
                return Value(np.nan if left.constant else np.full(len(left.data), np.nan), levels)
            if not right.constant and zero.any():
                missing = _union(missing, zero)
                divisor = np.where(zero, divisor.dtype.type(1), divisor)
        try:
            data = arithmetic(sign, left.data, divisor)
        except TypeError:
            word = {"&": "and", "|": "or"}.get(sign, "")
            hint = _JOIN.format(word) if word else "shift whole numbers"
            raise self.error(f"{node.text!r} joins numbers, not conditions", hint) from None
        return _masked(data, levels, missing)

    def numeric(self, *values: Value) -> list[Value]:
        """Return values to calculate with: where some are floats, what is missing of the others is NaN, too."""
        if not any(kind(value.data) == "f" for value in values):
            return [replace(value, data=whole(value.data)) for value in values]
        return [
            value if value.missing is None else _masked(to_float(value.data), value.levels, value.missing)
            for value in values
        ]

    def _logic(self, node: Node) -> Value:
        (left, right), _ = self.together(node.parts)
        return _logic(self.condition(left), self.condition(right), node.value == "and")

    def condition(self, value: Value) -> Value:
        """Return numbers as conditions: true where they are not 0."""
        if kind(value.data) == "b":
            return value
        if value.constant:
            return Value(value.data != 0)
        return _masked(value.data != 0, value.levels, value.unknown)

    def _compare(self, node: Node) -> Value:
        sides = [part for part in node.parts if part.kind != "list"]
        values, levels = self.together(sides)
        found: Value | None = None
        for position, sign in enumerate(node.value):
            left = values[position]
            if "in" in sign:
                one = self.member(left, node.parts[position + 1], sign == "not in")
                values.insert(position + 1, Value(False))
            else:
                right = values[position + 1]
                missing = _union(left.unknown, right.unknown)
                one = _masked(compare(sign, left.data, right.data), levels, missing)
            found = one if found is None else _logic(found, one, True)
        assert found is not None
        return found

    def member(self, value: Value, listed: Node, inverted: bool) -> Value:
        numbers = [self.value(part).data for part in listed.parts]
        data = is_in(np.atleast_1d(value.data), numbers) != inverted
        return Value(bool(data[0])) if value.constant else _masked(data, value.levels, value.unknown)

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, node: Node) -> Value:
        name = node.value
        if name in _REDUCTIONS and len(node.parts) == 1:
            return self.reduction(node)
        values, levels = self.together(node.parts)
        if name == "where":
            return self.where(values[0], values[1], values[2], levels)
        if name in ("min", "max"):
            left, right = self.numeric(*values)
            chosen = compare("<" if name == "min" else ">", left.data, right.data)
            missing = _union(left.unknown, right.unknown)
            if left.constant and right.constant:
                return left if chosen else right
            return _masked(pick(chosen, left.data, right.data), levels, missing)
        if name == "isfinite":
            return self.isfinite(values[0])
        if name == "abs":
            return _masked(absolute(values[0].data), levels, values[0].missing)
        floats = [_masked(to_float(whole(value.data)), value.levels, value.missing).data for value in values]
        data = _FLOAT_FUNCTIONS[name](*floats)
        return Value(data if isinstance(data, np.ndarray) else float(data), levels)

    def isfinite(self, value: Value) -> Value:
        if value.constant:
            return Value(bool(np.isfinite(float(value.data))))
        finite = np.isfinite(value.data) if kind(value.data) == "f" else np.ones(len(value.data), dtype=np.bool_)
        return Value(finite if value.missing is None else ~value.missing, value.levels)

    def where(self, condition: Value, left: Value, right: Value, levels: tuple[Level, ...]) -> Value:
        chosen = self.condition(condition)
        if chosen.constant:
            return left if chosen.data else right
        left, right = self.numeric(left, right) if kind(left.data) + kind(right.data) != "bb" else (left, right)
        masks = [np.zeros(len(chosen.data), bool) if v.missing is None else v.missing for v in (left, right)]
        missing = np.where(chosen.data, *masks) if left.missing is not None or right.missing is not None else None
        data = pick(chosen.data, left.data, right.data)
        return _masked(data, levels, _union(missing, chosen.missing))

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _element(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        if not value.levels:
            raise self.error(f"{node.parts[0].text} has no elements: it is one number each", "")
        return self.nth(value, int(node.value))

    def nth(self, value: Value, number: int) -> Value:
        """Return element ``number`` of each list, missing where it is shorter; -1 is the last."""
        counts = value.levels[-1].counts
        starts = np.cumsum(counts) - counts
        known = counts > number if number >= 0 else counts >= -number
        place = np.where(known, starts + (number if number >= 0 else counts + number), 0)
        if not len(value.data):
            return _masked(np.zeros(len(counts), dtype=value.data.dtype), value.levels[:-1], ~known)
        data = value.data[place]
        gone = None if value.missing is None else value.missing[place]
        return _masked(data, value.levels[:-1], _union(None if known.all() else ~known, gone))

    def reduction(self, node: Node) -> Value:
        """Return one value for each list of the argument, or of all objects of an event."""
        part, name = node.parts[0], node.value
        if name == "len" and part.kind == "column":
            lengths = self.lengths(part)
            if lengths is not None:
                return lengths
        value = self.value(part)
        if not value.levels:
            raise self.error(
                f"{part.text} is one number an event: {name}() is of lists, or of the objects of an event",
                "max(a, b) is the larger of two" if name in ("min", "max") else "",
            )
        found, gone = self.reduced(value, name), value.levels[-1].missing
        return found if gone is None else _masked(found.data, found.levels, _union(found.missing, gone))

    def reduced(self, value: Value, name: str) -> Value:
        counts, levels = value.levels[-1].counts, value.levels[:-1]
        if name == "len":
            return Value(counts.astype(np.int64), levels)
        if name in ("first", "last"):
            return self.nth(value, 0 if name == "first" else -1)
        if name in ("any", "all"):
            return self.any_or_all(self.condition(value), name, counts, levels)
        value = replace(value, data=whole(value.data))
        some = counts > 0
        starts = (np.cumsum(counts) - counts)[some]
        missing = self.any_missing(value.missing, counts)
        if name in ("sum", "mean"):
            return self.total(value, name, starts, missing)
        out = np.zeros(len(counts), dtype=value.data.dtype)
        function = np.minimum if name == "min" else np.maximum
        if len(starts):
            out[some] = function.reduceat(value.data, starts)
        return _masked(out, levels, _union(missing, None if some.all() else ~some))

    def lengths(self, node: Node) -> Value | None:
        """Return the lengths of lists of anything in a column, None where it holds no lists."""
        import awkward as ak

        container, _, column = node.value.partition(".")
        values, missing = self.events[container].stored(column)
        if isinstance(values, np.ndarray) or not values.layout.is_list:
            return None
        return _masked(ak.to_numpy(ak.num(values, axis=1)), level_of(self.events, container), missing)

    def total(self, value: Value, name: str, starts: Ints, missing: Bools | None) -> Value:
        counts = value.levels[-1].counts
        data = value.data if value.data.dtype.kind in "iu" else to_float(value.data)
        out = np.zeros(len(counts), dtype=data.dtype)
        if len(starts):
            exact = data.dtype.kind in "iu"
            sums = whole_sums(data, starts, int(counts.max())) if exact else np.add.reduceat(data, starts)
            out[counts > 0] = sums
        if name == "mean":
            out = to_float(out) / counts
        return _masked(out, value.levels[:-1], missing)

    def any_or_all(self, value: Value, name: str, counts: Ints, levels: tuple[Level, ...]) -> Value:
        wanted = name == "any"
        decisive = value.data if wanted else ~value.data
        decisive = decisive if value.missing is None else decisive & ~value.missing
        found = self.any_missing(decisive, counts)
        assert found is not None
        missing = self.any_missing(value.missing, counts)
        return _masked(found if wanted else ~found, levels, None if missing is None else missing & ~found)

    def any_missing(self, mask: Bools | None, counts: Ints) -> Bools | None:
        """Tell of each list whether the mask is true of one of its elements."""
        if mask is None:
            return None
        running = np.append(0, np.cumsum(mask))
        ends = np.cumsum(counts)
        found: Bools = running[ends] > running[ends - counts]
        return found


_JOIN = "write {0!r} between conditions, and compare numbers: (… & 4) != 0"
