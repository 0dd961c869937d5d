"""The values of an expression for the events of a chunk: one number for each object, event, or element of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError
from hepflow.expressions.arithmetic import absolute, arithmetic, compare, is_in, kind, pick, to_float, whole
from hepflow.expressions.syntax import REDUCTIONS, UNITS, Node, quoted
from hepflow.expressions.values import Level, Value, condition, joined, masked, nth, reduced, spread, union

if TYPE_CHECKING:
    from hepflow.events import Container, Events, Linked

__all__ = ["evaluate", "level_of"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_FLOAT_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    **{name: getattr(np, name) for name in ("sqrt", "exp", "log", "log10", "floor", "ceil", "hypot")},
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "tan2")},
}


def level_of(events: Events, container: str) -> tuple[Level, ...]:
    """Return the levels of the objects of a container: none for one entry an event."""
    if not events.depth(container):
        return ()
    parent = events.parent(container)
    own = events.shared(("level", container), lambda: Level(container, events[container].counts))
    return (*(level_of(events, parent) if parent else ()), own)


def evaluate(tree: Node, text: str, events: Events) -> Value:
    """Return the values of an expression; ColumnError, with the part of the text, where it has none."""
    with np.errstate(all="ignore"):
        return _Evaluator(text, events).value(tree)


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
        return masked(values, levels, missing)

    def _link(self, node: Node) -> Value:
        """Return a column of linked objects: a list for each object, or one value where there is one link each."""
        (source, _, link), (target, _, column) = (name.partition(".") for name in node.value)
        objects = self.events[source]
        linked = objects.follow(link, target)
        levels = level_of(self.events, source)
        found = self.content(node, linked, column, (*levels, Level("", linked.counts)))
        if self.is_list(objects, link) or len(found.levels) > len(levels) + 1:
            return found
        return nth(found, 0)

    def is_list(self, objects: Container, column: str) -> bool:
        values = objects.flat(column)
        return not isinstance(values, np.ndarray) and values.layout.is_list

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _unary(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        if node.value == "not" or (node.value in ("!", "~") and (node.value == "!" or kind(value.data) == "b")):
            value = condition(value)
            data = ~value.data if not value.constant else not value.data
            return masked(data, value.levels, value.missing)
        if node.value == "~":
            if kind(value.data) != "i":
                raise self.error(f"{node.text!r} inverts floats", "write not …")
            return masked(~value.data, value.levels, value.missing)
        if node.value == "+":
            return replace(value, data=whole(value.data))
        if kind(value.data) == "f" and not isinstance(value.data, Fraction):
            return replace(value, data=-value.data)
        return masked(arithmetic("-", 0, value.data), value.levels, value.missing)

    def _binary(self, node: Node) -> Value:
        (left, right), levels = self.together(node.parts)
        sign = node.value
        if sign in ("&", "|") and "b" in (kinds := kind(left.data) + kind(right.data)):
            if kinds == "bb":
                return joined(left, right, sign == "&")
            raise self.error(
                f"{node.text!r} joins a condition and numbers", _JOIN.format({"&": "and", "|": "or"}[sign])
            )
        left, right = self.numeric(left, right)
        missing = union(left.missing, right.missing)
        divisor = right.data
        if sign in ("//", "%") and kind(left.data) == kind(divisor) == "i":
            zero = divisor == 0
            if right.constant and zero:
                return Value(np.nan if left.constant else np.full(len(left.data), np.nan), levels)
            if not right.constant and zero.any():
                missing = union(missing, zero)
                divisor = np.where(zero, divisor.dtype.type(1), divisor)
        try:
            data = arithmetic(sign, left.data, divisor)
        except TypeError:
            word = {"&": "and", "|": "or"}.get(sign, "")
            hint = _JOIN.format(word) if word else "shift whole numbers"
            raise self.error(f"{node.text!r} joins numbers, not conditions", hint) from None
        return masked(data, levels, missing)

    def numeric(self, *values: Value) -> list[Value]:
        """Return values to calculate with: where some are floats, what is missing of the others is NaN, too."""
        if not any(kind(value.data) == "f" for value in values):
            return [replace(value, data=whole(value.data)) for value in values]
        return [
            value if value.missing is None else masked(to_float(value.data), value.levels, value.missing)
            for value in values
        ]

    def _logic(self, node: Node) -> Value:
        (left, right), _ = self.together(node.parts)
        return joined(condition(left), condition(right), node.value == "and")

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
                missing = union(left.unknown, right.unknown)
                one = masked(compare(sign, left.data, right.data), levels, missing)
            found = one if found is None else joined(found, one, True)
        assert found is not None
        return found

    def member(self, value: Value, listed: Node, inverted: bool) -> Value:
        numbers = [self.value(part).data for part in listed.parts]
        plain = float(value.data) if isinstance(value.data, Fraction) else value.data
        data = is_in(np.atleast_1d(plain), numbers) != inverted
        return Value(bool(data[0])) if value.constant else masked(data, value.levels, value.unknown)

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _call(self, node: Node) -> Value:
        name = node.value
        if name in REDUCTIONS and len(node.parts) == 1:
            return self.reduction(node)
        values, levels = self.together(node.parts)
        if name == "where":
            return self.where(values[0], values[1], values[2], levels)
        if name in ("min", "max"):
            left, right = self.numeric(*values)
            chosen = compare("<" if name == "min" else ">", left.data, right.data)
            missing = union(left.unknown, right.unknown)
            if left.constant and right.constant:
                return left if chosen else right
            return masked(pick(chosen, left.data, right.data), levels, missing)
        if name == "isfinite":
            return self.isfinite(values[0])
        if name == "abs":
            return masked(absolute(values[0].data), levels, values[0].missing)
        if name in ("floor", "ceil") and kind(values[0].data) != "f":
            return masked(whole(values[0].data), values[0].levels, values[0].missing)
        floats = [masked(to_float(whole(value.data)), value.levels, value.missing).data for value in values]
        data = _FLOAT_FUNCTIONS[name](*floats)
        return Value(data if isinstance(data, np.ndarray) else float(data), levels)

    def isfinite(self, value: Value) -> Value:
        if value.constant:
            return Value(bool(np.isfinite(float(value.data))))
        finite = np.isfinite(value.data) if kind(value.data) == "f" else np.ones(len(value.data), dtype=np.bool_)
        return Value(finite if value.missing is None else ~value.missing, value.levels)

    def where(self, chosen: Value, left: Value, right: Value, levels: tuple[Level, ...]) -> Value:
        chosen = condition(chosen)
        if chosen.constant:
            return left if chosen.data else right
        left, right = self.numeric(left, right) if kind(left.data) + kind(right.data) != "bb" else (left, right)
        masks = [np.zeros(len(chosen.data), bool) if v.missing is None else v.missing for v in (left, right)]
        missing = np.where(chosen.data, *masks) if left.missing is not None or right.missing is not None else None
        data = pick(chosen.data, left.data, right.data)
        return masked(data, levels, union(missing, chosen.missing))

    # ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _element(self, node: Node) -> Value:
        value = self.value(node.parts[0])
        if not value.levels:
            raise self.error(f"{node.parts[0].text} has no elements: it is one number each", "")
        return nth(value, int(node.value))

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
        found, gone = reduced(value, name), value.levels[-1].missing
        return found if gone is None else masked(found.data, found.levels, union(found.missing, gone))

    def lengths(self, node: Node) -> Value | None:
        """Return the lengths of lists of anything in a column, None where it holds no lists."""
        import awkward as ak

        container, _, column = node.value.partition(".")
        values, missing = self.events[container].stored(column)
        if isinstance(values, np.ndarray) or not values.layout.is_list:
            return None
        return masked(ak.to_numpy(ak.num(values, axis=1)), level_of(self.events, container), missing)


_JOIN = "write {0!r} between conditions, and compare numbers: (… & 4) != 0"
