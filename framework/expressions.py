"""Expressions over columns, cuts and weights: text such as ``TauJets.pt / 1000``, evaluated on the events of a chunk.

The text is read, never executed: numbers, columns (``Container.column``), arithmetic, comparisons, ``and``, ``or``,
``not`` (also ``&&``, ``||``, ``!``, ``&``, ``|``, ``~``) and a few functions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError, PropertyError, nearest

if TYPE_CHECKING:
    from hepflow.events import Events

__all__ = ["FUNCTIONS", "Cut", "Expression", "Weight", "common_container"]

E = TypeVar("E", bound="Expression")
Array = npt.NDArray[Any]

FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., Any]]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "log10": (1, np.log10),
    "sin": (1, np.sin),
    "cos": (1, np.cos),
    "tan": (1, np.tan),
    "sinh": (1, np.sinh),
    "cosh": (1, np.cosh),
    "tanh": (1, np.tanh),
    "isfinite": (1, np.isfinite),
    "hypot": (2, np.hypot),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "where": (3, np.where),
}
"""What an expression can call: name → (number of arguments, numpy function)."""

_ARITHMETIC: Final[Mapping[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARE: Final[Mapping[type[ast.AST], Callable[..., Any]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_BITS: Final[Mapping[type[ast.AST], tuple[str, Callable[..., Any]]]] = {
    ast.BitAnd: ("and", np.bitwise_and),
    ast.BitOr: ("or", np.bitwise_or),
}
_C_SPELLING = ((r"&&", " and "), (r"\|\|", " or "), (r"!(?!=)", " not "))


class Expression:
    """A quantity calculated from columns of one container, of its parent, and of the event.

    ``expression(events)`` gives flat values, one for each visible object. PropertyError where the text is no
    expression.

    >>> Expression("TauJets.pt / TauJets.truthPtVis").columns
    ('TauJets.pt', 'TauJets.truthPtVis')
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        self._tree, self.columns = _read(self.text)

    @classmethod
    def parse(cls: type[E], text: str) -> E:
        """Return the expression that the text says."""
        return cls(text)

    @property
    def containers(self) -> tuple[str, ...]:
        """Return the containers of the columns."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.columns))

    def __call__(self, events: Events, at: str = "") -> Array:
        """Return the values for all visible objects, flat.

        ``at`` is the container whose objects they are for; values of its parent and of the event are repeated. By
        default it is the innermost container of the expression. Values are kept for other tools of the same chunk.
        """
        at = at or common_container(events, self)
        return events.shared(("expression", self.text, at), lambda: self._evaluate(events, at))

    def _evaluate(self, events: Events, at: str) -> Array:
        length = len(events[at]) if at else len(events)
        with np.errstate(all="ignore"):
            values = np.asarray(_Evaluator(self.text, events, at)(self._tree))
        return np.broadcast_to(values, (length,)) if values.ndim == 0 else values

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.text == self.text

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __str__(self) -> str:
        return self.text


class Cut(Expression):
    """A selection: an expression that is true or false. Cuts combine with ``&``, ``|`` and ``~``.

    ``label`` is what a figure says of it; an empty text selects everything. The parts of ``a & b`` are evaluated once
    for all cuts that share them.

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

    def _evaluate(self, events: Events, at: str) -> Array:
        if self._parts:
            passed = self._parts[0](events, at)
            for part in self._parts[1:]:
                passed = passed & part(events, at)
            return passed
        passed = super()._evaluate(events, at)
        if passed.dtype != np.bool_:
            if passed.dtype.kind not in "iu" or not np.isin(passed, (0, 1)).all():
                raise ColumnError(
                    f"the cut {self.text!r} is no cut: its values are {passed.dtype}",
                    hint="compare with something: > 0",
                )
            passed = passed.astype(np.bool_)
        return passed


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
    """Return the innermost of the containers in the expressions: the one whose objects they are for.

    The others must be its parent, or have one entry an event. Empty where the expressions are numbers. ColumnError
    where two containers have objects of their own.
    """
    names = list(dict.fromkeys(name for expression in expressions for name in expression.containers))
    with_objects = [name for name in names if events.depth(name)]
    inner = [name for name in with_objects if all(other in (name, events.parent(name)) for other in with_objects)]
    if with_objects and not inner:
        raise ColumnError(
            f"{' and '.join(with_objects)} have objects of their own; one expression can use one of them",
            where=", ".join(repr(e.text) for e in expressions if e.containers),
        )
    return inner[0] if inner else (names[0] if names else "")


class _Evaluator:
    """Calculates the parts of an expression for the objects of one container."""

    def __init__(self, text: str, events: Events, at: str) -> None:
        self.text, self.events, self.at = text, events, at

    def __call__(self, node: ast.AST) -> Any:
        return getattr(self, f"_{type(node).__name__.lower()}")(node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _attribute(self, node: ast.Attribute) -> Any:
        container, _, column = _column(node).partition(".")
        return self._spread(container, self.events[container].flat(column), column)

    def _subscript(self, node: ast.Subscript) -> Any:
        """Return element n of lists (``EventInfo.mcEventWeights[0]``); NaN where a list is shorter."""
        import awkward as ak

        assert isinstance(node.value, ast.Attribute)
        container, _, column = _column(node.value).partition(".")
        lists = self.events[container].flat(column)
        number = ast.literal_eval(node.slice)
        if not isinstance(lists, ak.Array):
            raise ColumnError(f"{container}.{column} has no elements: it is one number each", where=repr(self.text))
        padded = ak.fill_none(ak.pad_none(lists, number + 1, axis=1)[:, number], np.nan)
        return self._spread(container, ak.to_numpy(padded), column)

    def _spread(self, container: str, values: Any, column: str) -> Array:
        """Repeat values of the parent or of the event for the objects that the expression is for."""
        if not isinstance(values, np.ndarray):
            raise ColumnError(
                f"{container}.{column} holds lists or texts, not one number each",
                where=repr(self.text),
                hint=f"{container}.{column}[0] is the first of a list",
            )
        if values.dtype.kind == "u" or (values.dtype.kind == "i" and values.dtype.itemsize < 4):
            values = values.astype(np.int64)  # a difference of unsigned numbers would wrap around
        found: Array = values
        if container == self.at or not self.at:
            return found
        counts = self.events[self.at].counts
        parent = self.events.parent(self.at)
        if parent and container != parent:  # one value an event, for objects of a parent
            before = np.append(0, np.cumsum(counts))
            edges = np.append(0, np.cumsum(self.events[parent].counts))
            counts = before[edges[1:]] - before[edges[:-1]]
        return np.repeat(found, counts)

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = np.asarray(self(node.left)), np.asarray(self(node.right))
        if type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](_number(left), _number(right))
        word, function = _BITS[type(node.op)]
        if {left.dtype.kind, right.dtype.kind} <= {"b"} or "f" not in left.dtype.kind + right.dtype.kind:
            return function(left, right)
        raise ColumnError(
            f"{ast.unparse(node)!r} joins numbers, not conditions",
            where=repr(self.text),
            hint=f"write {word!r} between conditions, or put each in parentheses",
        )

    def _boolop(self, node: ast.BoolOp) -> Any:
        function = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        values = self(node.values[0])
        for other in node.values[1:]:
            values = function(values, self(other))
        return values

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = np.asarray(self(node.operand))
        if isinstance(node.op, ast.USub | ast.UAdd):
            return np.negative(_number(value)) if isinstance(node.op, ast.USub) else value
        if isinstance(node.op, ast.Invert) and value.dtype.kind in "iu":
            return np.invert(value)
        return np.logical_not(value)

    def _compare(self, node: ast.Compare) -> Any:
        sides = [ast.literal_eval(s) if _is_list(s) else self(s) for s in (node.left, *node.comparators)]
        passed: Any = True
        for left, operation, right in zip(sides[:-1], node.ops, sides[1:], strict=True):
            if isinstance(operation, ast.In | ast.NotIn):
                one = np.isin(left, right, invert=isinstance(operation, ast.NotIn))
            else:
                one = _COMPARE[type(operation)](left, right)
            passed = one if passed is True else np.logical_and(passed, one)
        return passed

    def _call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        return FUNCTIONS[node.func.id][1](*(self(argument) for argument in node.args))


def _number(values: Array) -> Array:
    return values.astype(np.int64) if values.dtype == np.bool_ else values


def _column(node: ast.Attribute) -> str:
    assert isinstance(node.value, ast.Name)
    return f"{node.value.id}.{node.attr}"


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[ast.expr, tuple[str, ...]]:
    """Return the syntax tree of an expression that holds nothing but what is allowed, and its columns; PropertyError
    otherwise.
    """
    spelled = text
    for pattern, word in _C_SPELLING:
        spelled = re.sub(pattern, word, spelled)
    try:
        tree = ast.parse(spelled.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise PropertyError(f"{text!r} is no expression: {reason}") from None
    _check(tree, text)
    names = [_column(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return tree, tuple(dict.fromkeys(names))


def _check(node: ast.AST, text: str) -> None:
    """Raise PropertyError for anything that is not allowed."""
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return
    if isinstance(node, ast.Name):
        raise PropertyError(
            f"what is {node.id!r} in {text!r}?", hint=f"columns are written Container.column, as in TauJets.{node.id}"
        )
    if isinstance(node, ast.Call):
        _check_call(node, text)
        children = node.args
    elif isinstance(node, ast.Subscript):
        if not (isinstance(node.value, ast.Attribute) and isinstance(node.slice, ast.Constant)
                and isinstance(node.slice.value, int)):  # fmt: skip
            raise PropertyError(f"{ast.unparse(node)!r} in {text!r}: an element is Container.column[number]")
        children = [node.value]
    elif isinstance(node, ast.Compare):
        for operation, side in zip(node.ops, node.comparators, strict=True):
            if isinstance(operation, ast.In | ast.NotIn) != _is_list(side):
                raise PropertyError(f"{ast.unparse(node)!r} in {text!r}: 'in' wants a list of numbers: in (1, 3)")
        children = [side for side in (node.left, *node.comparators) if not _is_list(side)]
    elif not isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp) or (
        isinstance(node, ast.BinOp) and type(node.op) not in (*_ARITHMETIC, *_BITS)
    ):
        raise PropertyError(f"{ast.unparse(node)!r} in {text!r} is nothing that an expression can hold")
    for child in children:
        if not isinstance(child, ast.operator | ast.boolop | ast.unaryop | ast.cmpop):
            _check(child, text)


def _is_list(node: ast.AST) -> bool:
    """Tell whether the node is a list of numbers."""
    try:
        return isinstance(ast.literal_eval(ast.unparse(node)), tuple)
    except ValueError:
        return False


def _check_call(node: ast.Call, text: str) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if name not in FUNCTIONS:
        raise PropertyError(
            f"there is no function {name!r}", where=repr(text), hint=nearest(name, FUNCTIONS, what="functions")
        )
    if node.keywords or len(node.args) != FUNCTIONS[name][0]:
        raise PropertyError(f"{name} takes {FUNCTIONS[name][0]} arguments", where=repr(text))
