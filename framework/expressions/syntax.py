"""From the text of an expression to its tree: what may stand in it, and what is refused with the right spelling.

The text is read, never executed. The order of operations is Python's; what Python and C++ (ROOT's TCut) read in two
ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

from hepflow.errors import PropertyError, nearest

__all__ = ["FUNCTIONS", "REDUCTIONS", "UNITS", "Node", "joined_text", "qualified", "quoted", "read"]

UNITS: Final = {
    "eV": Fraction(1, 10**6),
    "keV": Fraction(1, 1000),
    "MeV": Fraction(1),
    "GeV": Fraction(1000),
    "TeV": Fraction(10**6),
}
"""Energies in MeV."""

FUNCTIONS: Final[dict[str, tuple[int, ...]]] = {
    **dict.fromkeys(("abs", "sqrt", "exp", "log", "log10", "floor", "ceil", "isfinite"), (1,)),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"), (1,)),
    **dict.fromkeys(("sum", "len", "mean", "any", "all", "first", "last"), (1,)),
    **dict.fromkeys(("min", "max"), (1, 2)),
    **dict.fromkeys(("hypot", "atan2"), (2,)),
    "where": (3,),
}
"""What an expression can call, with the numbers of arguments."""

REDUCTIONS: Final = ("sum", "len", "mean", "any", "all", "first", "last", "min", "max")
"""Those that make one value of a list, where they have one argument."""

MOST_LEVELS = 60
"""Expressions are nested no deeper."""

_NAME = r"`(?:[^`]|``)+`|[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<number>(?:0[xX][\da-fA-F_]+|0[bB][01_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)(?![\w`]))
  | (?P<name>(?:{_NAME})(?:\.(?:`(?:[^`]|``)+`|\w+))?)
  | (?P<sign>&&|\|\||==|!=|<=|>=|<<|>>|->|\*\*|//|[-+*/%<>!~&|^()\[\],=?:.$@;])
    )""",
    re.VERBOSE,
)
_SAME = {"&&": "and", "||": "or"}
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "in", "not")
_LEVELS = {"or": 1, "and": 2, "|": 5, "&": 6, "<<": 7, ">>": 7, "+": 8, "-": 8, "*": 9, "/": 9, "//": 9, "%": 9}
_LEVELS["**"] = 11
_NOT, _COMPARE, _SIGN = 3, 4, 10
_WORDS = ("and", "or", "not", "in", "True", "False")
_HINTS = {
    "^": "a power is written **, as in TauJets.pt ** 2",
    "=": "a comparison is written ==",
    "?": "write where(condition, value, otherwise)",
    "$": "Sum$(x) is written sum(x), Length$(x) len(x), Max$(x) max(x)",
    ".": "a name with other characters is quoted: `Container.any name`",
    ";": "an expression is one line, without ';'",
}
_SPELLED = {
    **dict.fromkeys(("fabs", "fabsf"), "abs(x)"),
    **dict.fromkeys(("pow", "power"), "x ** y, as in TauJets.pt ** 2"),
    **dict.fromkeys(("sq", "square"), "x ** 2"),
    "ln": "log(x)",
    "arctan2": "atan2(y, x)",
    **{f"arc{name}": f"a{name}(x)" for name in ("sin", "cos", "tan")},
    **dict.fromkeys(("maxelement", "fmax"), "max(x), or max(x, y)"),
    **dict.fromkeys(("minelement", "fmin"), "min(x), or min(x, y)"),
    **dict.fromkeys(("isnan", "finite"), "isfinite(x)"),
    "length": "len(x)",
    "pi": "3.141592653589793",
}
"""How functions of C++, ROOT and numpy are written here, by their names in lower case."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    ``kind`` is ``number``, ``unit``, ``column`` (``value`` is its name), ``link`` (``value`` is the link column and
    the column of its targets), ``element`` (``value`` is its number), ``call`` (the function), ``unary``, ``binary``,
    ``logic`` (the sign), ``compare`` (the signs), or ``list``. ``text`` is what was written, ``closed`` tells of
    parentheses around it.
    """

    kind: str
    text: str
    value: Any = None
    parts: tuple[Node, ...] = field(default=())
    closed: bool = False

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read, in the order of the text."""
        found: dict[str, None] = {}
        for node in self.walk():
            if node.kind in ("column", "link"):
                found |= dict.fromkeys(node.value if node.kind == "link" else (node.value,))
        return tuple(found)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@lru_cache(maxsize=4096)
def read(text: str) -> Node:
    """Return the tree of an expression; PropertyError where the text is none."""
    return _Parser(text).whole()


def joined_text(text: str) -> str:
    """Return a text with single blanks; those in quoted names stay."""
    pieces = re.split(r"(`(?:[^`]|``)*`)", text)
    return "".join(piece if n % 2 else re.sub(r"\s+", " ", piece) for n, piece in enumerate(pieces)).strip()


def quoted(name: str) -> str:
    """Return a column as expressions spell it: ``tree.class``, but `` `tree.jet-pt` ``."""
    return name if re.fullmatch(r"[^\W\d]\w*\.\w+", name) else "`" + name.replace("`", "``") + "`"


def qualified(text: str, column: Callable[[str], str]) -> str:
    """Return an expression with ``column(name)`` for every name that has no container; PropertyError as of ``read``.

    >>> qualified("pt > 20*GeV and abs(TauJets.eta) < 2.5", "TauJets.{}".format)
    'TauJets.pt > 20*GeV and abs(TauJets.eta) < 2.5'
    """
    tokens = list(_tokens(text))
    made, end = "", 0
    for token, following in zip_longest(tokens, tokens[1:]):
        called = following is not None and following.text in ("(", "$", ":")  # what is no function is told by read
        bare = token.kind == "name" and "." not in _name(token.text)
        bare = bare and not called and token.text not in (*_WORDS, *UNITS)
        made += text[end : token.start] + (quoted(column(_name(token.text))) if bare else token.text)
        end = token.end
    return made + text[end:]


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()
            hint = "a quoted name ends with `" if rest[0] == "`" else "names with other characters are quoted: `a-b`"
            word = re.match(r"[^\s()]+", rest)
            energy = re.fullmatch(r"([\d.]+)([a-zA-Z]+)", word[0]) if word else None
            if energy and energy[2] in UNITS:
                hint = f"write {energy[1]}*{energy[2]}"
            raise PropertyError(f"{text!r} is no expression: what is {word[0] if word else rest!r}?", hint=hint)
        kind = str(match.lastgroup)
        yield _Token(kind, match[kind], match.start(kind), match.end(kind))
        position = match.end()


def _name(text: str) -> str:
    """Return the name that is written with or without quotes."""
    parts = re.findall(r"`(?:[^`]|``)+`|[^.`]+", text)
    return ".".join(part[1:-1].replace("``", "`") if part[0] == "`" else part for part in parts)


def _instead(function: str) -> str:
    """Return how a function of another language is written."""
    if function.endswith("$"):
        return _HINTS["$"]
    name = function.rpartition("::")[2]
    if (name.lower() in FUNCTIONS and name not in FUNCTIONS) or (name != function and name in FUNCTIONS):
        return f"{function}(x) is written {name.lower()}(x)"
    spelled = _SPELLED.get(name.lower())
    return f"{function} is written {spelled}" if spelled else nearest(name, FUNCTIONS, what="functions")


class _Parser:
    """Reads one text, operations in the order of Python (the tighter, the higher the level)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0
        self.depth = 0

    def whole(self) -> Node:
        tree = self.expression(0)
        if self.place < len(self.tokens):
            raise self.unexpected()
        return tree

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def sign(self) -> str:
        """Return what comes next, ``""`` at the end or where it is a name or a number."""
        if self.place >= len(self.tokens):
            return ""
        token = self.tokens[self.place]
        if token.kind == "number" or (token.kind == "name" and token.text not in _WORDS):
            return ""
        return _SAME.get(token.text, token.text)

    def take(self) -> _Token:
        if self.place >= len(self.tokens):
            raise PropertyError(f"{self.text!r} is no expression: something is missing at its end")
        self.place += 1
        return self.tokens[self.place - 1]

    def expect(self, sign: str) -> None:
        if self.sign() != sign:
            raise self.unexpected(f"{sign!r} is expected")
        self.place += 1

    def unexpected(self, wanted: str = "") -> PropertyError:
        if self.place >= len(self.tokens):
            return PropertyError(f"{self.text!r} is no expression: {wanted or 'something'} is missing at its end")
        token = self.tokens[self.place]
        hint = _HINTS.get(token.text, "")
        before = self.tokens[self.place - 1] if self.place else None
        if token.text in UNITS and before is not None and before.kind == "number":
            hint = f"write {before.text}*{token.text}"
        if token.text == "(" and before is not None and before.kind == "name":
            hint = f"a column of such a name is quoted: `{before.text}(…)`"
        return PropertyError(
            f"{self.text!r} is no expression: {token.text!r} cannot stand behind "
            f"{self.text[: token.start].strip() or 'nothing'!r}" + (f", {wanted}" if wanted else ""),
            hint=hint,
        )

    def node(self, kind: str, start: int, value: Any, *parts: Node) -> Node:
        return Node(kind, self.text[start : self.tokens[self.place - 1].end], value, parts)

    # ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────

    def expression(self, level: int) -> Node:
        """Read operations that bind at least as tightly as ``level``."""
        self.depth += 1
        if self.depth > MOST_LEVELS:
            raise PropertyError(f"the expression {self.text[:60]!r}… is nested more than {MOST_LEVELS} times")
        start = self.tokens[self.place].start if self.place < len(self.tokens) else 0
        left = self.prefix(start, level)
        while True:
            sign = self.sign()
            if sign in _COMPARISONS and level <= _COMPARE:
                left = self.comparison(start, left)
            elif sign in _LEVELS and _LEVELS[sign] >= max(level, 1):
                left = self.operation(start, left, sign)
            else:
                self.depth -= 1
                return left

    def prefix(self, start: int, level: int) -> Node:
        sign = self.sign()
        if sign == "not" and level <= _NOT:
            self.take()
            return self.node("unary", start, "not", self.expression(_NOT))
        if sign in ("-", "+", "!", "~"):
            self.take()
            operand = self.expression(_SIGN)
            if sign == "-" and operand.kind == "number" and not (operand.closed or isinstance(operand.value, bool)):
                if isinstance(operand.value, int) and operand.value > 2**63:
                    raise PropertyError(f"-{operand.text} does not fit into 64 bits", where=repr(self.text))
                return self.node("number", start, -operand.value)
            return self.node("unary", start, sign, operand)
        return self.elements(start, self.atom(start))

    def operation(self, start: int, left: Node, sign: str) -> Node:
        self.take()
        level = _LEVELS[sign]
        right = self.expression(_SIGN if sign == "**" else level + 1)
        if sign in ("and", "or"):
            return self.node("logic", start, sign, left, right)
        for side in (left, right):
            self.no_bare_not(side, sign)
        return self.node("binary", start, sign, left, right)

    def comparison(self, start: int, left: Node) -> Node:
        sides, signs = [left], []
        while self.sign() in _COMPARISONS:
            sign = self.take().text
            if sign == "not":
                self.expect("in")
                sign = "not in"
            signs.append(sign)
            sides.append(self.numbers(sign) if "in" in sign else self.expression(_COMPARE + 1))
        for side in sides:
            self.no_bare_not(side, signs[0])
            if side.kind == "binary" and side.value in ("&", "|") and not side.closed:
                word = {"&": "and", "|": "or"}[side.value]
                raise PropertyError(
                    f"{side.value!r} beside {signs[0]!r} has two meanings in {self.text!r}: Python reads "
                    f"({side.text}), C++ the comparison first",
                    hint=f"write {word!r} between conditions, or put ({side.text}) in parentheses",
                )
        return self.node("compare", start, tuple(signs), *sides)

    def no_bare_not(self, side: Node, sign: str) -> None:
        if side.kind == "unary" and side.value == "!" and not side.closed and sign not in ("&", "|"):
            inner = side.parts[0].text
            raise PropertyError(
                f"'!' beside {sign!r} has two meanings in {self.text!r}: C++ reads (!{inner}) {sign} …",
                hint=f"write not ({inner} {sign} …), or (!{inner}) in parentheses",
            )

    def numbers(self, sign: str) -> Node:
        """Read ``(1, 3)`` or ``[1, 3]``."""
        error = PropertyError(f"{sign!r} wants a list of numbers in {self.text!r}: in (1, 3)")
        closing = {"(": ")", "[": "]"}.get(self.sign())
        if closing is None:
            raise error
        start, comma = self.take().start, False
        values: list[Node] = []
        while self.sign() != closing:
            values.append(self.expression(_LEVELS["+"]))
            if any(node.kind not in ("number", "unit", "unary", "binary") for node in values[-1].walk()):
                raise error
            if self.sign() == ",":
                self.take()
                comma = True
            elif self.sign() != closing:
                raise error
        self.take()
        if not values or (closing == ")" and not comma):
            raise error
        return self.node("list", start, None, *values)

    # ── names, numbers, functions ────────────────────────────────────────────────────────────────────────────────────

    def atom(self, start: int) -> Node:
        if self.sign() == "(":
            self.take()
            inner = self.expression(0)
            self.expect(")")
            return replace(inner, closed=True)
        if self.sign() and self.sign() not in ("True", "False"):
            raise self.unexpected()
        token = self.take()
        if token.kind == "number":
            return self.node("number", start, self.number(token.text))
        if token.text in ("True", "False"):
            return self.node("number", start, token.text == "True")
        name = _name(token.text)
        if all(name.partition(".")):
            return self.column(start, name)
        if self.sign() == "(":
            return self.call(start, name)
        if name in UNITS:
            return self.node("unit", start, name)
        if self.sign() == "$" or self.text[token.end :].startswith("::"):
            called = re.match(r"\w+(?:\$|(?:::\w+)*)", self.text[token.start :])
            whole = called[0] if called else name
            raise PropertyError(f"there is no function {whole!r}", where=repr(self.text), hint=_instead(whole))
        before = self.text[: token.start].rstrip()
        cut = re.search(r"([^\s()`]*\.[^\s()`]*)[^\w\s]$", before)
        quote = f"; a name with other characters is quoted: `{cut[0]}{name}`" if cut else ""
        raise PropertyError(
            f"what is {name!r} in {self.text!r}?",
            hint=f"columns are written Container.column, as in {quoted(f'TauJets.{name}')}{quote}",
        )

    def number(self, text: str) -> int | float:
        try:
            value = int(text, 0) if re.fullmatch(r"0[xXbB].*|[\d_]+", text) else float(text)
        except ValueError:
            raise PropertyError(f"{text!r} in {self.text!r} is no number") from None
        if isinstance(value, int) and value >= 2**64:
            raise PropertyError(f"{text} does not fit into 64 bits", where=repr(self.text), hint=f"{text}. is a float")
        if value == float("inf"):
            raise PropertyError(f"{text} is larger than any float", where=repr(self.text))
        return value

    def column(self, start: int, name: str) -> Node:
        if self.sign() == ".":
            raise PropertyError(
                f"{name!r} in {self.text!r} is nothing that an expression can hold: a column is Container.column",
                hint=_HINTS["."],
            )
        if self.sign() != "->":
            return self.node("column", start, name)
        self.take()
        target = _name(self.take().text)
        if "." not in target or self.sign() == "->":
            raise PropertyError(
                f"{self.text!r} does not say where the link {name} leads",
                hint=f"write {quoted(name)}->Container.column, as in TauJets.tauTrackLinks->TauTracks.pt",
            )
        return self.node("link", start, (name, target))

    def call(self, start: int, name: str) -> Node:
        if name not in FUNCTIONS:
            raise PropertyError(
                f"there is no function {name!r}",
                where=repr(self.text),
                hint=_instead(name),
            )
        self.take()
        arguments: list[Node] = []
        while self.sign() != ")":
            arguments.append(self.expression(0))
            if self.sign() != ")":
                self.expect(",")
        self.take()
        if len(arguments) not in FUNCTIONS[name]:
            numbers = " or ".join(map(str, FUNCTIONS[name]))
            plural = "" if FUNCTIONS[name] == (1,) else "s"
            raise PropertyError(f"{name} takes {numbers} argument{plural}", where=repr(self.text))
        return self.node("call", start, name, *arguments)

    def elements(self, start: int, node: Node) -> Node:
        while self.sign() == "[":
            self.take()
            negative = self.sign() == "-"
            if negative:
                self.take()
            number = self.number(token.text) if (token := self.take()).kind == "number" else None
            if not isinstance(number, int) or self.sign() != "]" or number >= 2**62:
                raise PropertyError(f"an element is Container.column[number] in {self.text!r}")
            self.take()
            node = self.node("element", start, -number if negative else number, node)
        return node
