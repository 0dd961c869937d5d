"""Functions of one quantity, as calibrations have them: points that are joined by lines, or a formula."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepflow import Events
from hepflow.errors import HepflowError, InputError
from hepflow.expressions import Expression

__all__ = ["OUTSIDE", "Curve", "from_tformula"]

Floats = npt.NDArray[np.float64]

OUTSIDE = ("edge", "line", "zero")
"""Beyond the first and last point: their value; the line through the last two points, as ROOT's ``TGraph::Eval``; 0, as
ROOT's saved ``TF1``."""

_NAMES = {
    "Exp": "exp", "Log": "log", "Log10": "log10", "Sqrt": "sqrt", "Abs": "abs", "Max": "max", "Min": "min",
    "SinH": "sinh", "CosH": "cosh", "TanH": "tanh", "Sin": "sin", "Cos": "cos", "Tan": "tan",
    "ASin": "asin", "ACos": "acos", "ATan": "atan", "ATan2": "atan2", "Floor": "floor", "Ceil": "ceil",
}  # fmt: skip
_INTEGERS = re.compile(r"(?<![\w.])\d+\s*/\s*\d+(?![\w.])")


@dataclass(frozen=True, eq=False)
class Curve:
    """A function: points ``x`` and ``y``, or a ``formula`` in x, of which ``x`` holds the ends of the range."""

    x: Floats
    y: Floats
    outside: str = "edge"
    formula: str = ""

    def __post_init__(self) -> None:
        x, y = (np.asarray(values, np.float64) for values in (self.x, self.y))
        order = np.argsort(x, kind="stable")
        if self.formula:
            Expression(self._text())
        elif not len(x) or x.shape != y.shape or not (np.isfinite(x) & np.isfinite(y)).all():
            raise InputError(f"a curve of {len(x)} points with {len(y)} values, or values that are not finite")
        elif (np.diff(x[order]) <= 0).any():
            raise InputError("a curve has two values at one point")
        if self.outside not in OUTSIDE:
            raise InputError(f"a curve goes on as {self.outside!r}", hint=f"one of {', '.join(OUTSIDE)}")
        object.__setattr__(self, "x", x[order])
        object.__setattr__(self, "y", y if self.formula else y[order])

    def _text(self) -> str:
        return re.sub(r"(?<![\w.])x(?![\w.(])", "f.x", self.formula)

    def __call__(self, values: npt.ArrayLike) -> Floats:
        """Return the values of the function."""
        at = np.asarray(values, np.float64)
        if self.formula:
            found = Expression(self._text())(Events.from_arrays({"f.x": ak.Array(at)}), "f")
            made: Floats = np.broadcast_to(np.asarray(found, np.float64), at.shape).copy()
            return made
        inside: Floats = np.interp(at, self.x, self.y)
        if self.outside == "zero":
            return np.where(self.beyond(at), 0.0, inside)
        if self.outside == "line" and len(self.x) > 1:
            for end, (a, b) in ((at < self.x[0], (0, 1)), (at > self.x[-1], (-2, -1))):
                slope = (self.y[b] - self.y[a]) / (self.x[b] - self.x[a])
                inside = np.where(end, self.y[a] + slope * (at - self.x[a]), inside)
        return inside

    def beyond(self, values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which values are outside the points (the range of the formula)."""
        at = np.asarray(values, np.float64)
        outside: npt.NDArray[np.bool_] = (at < self.x[0]) | (at > self.x[-1])
        return outside

    def as_json(self) -> dict[str, Any]:
        """Return the function as plain JSON values."""
        if self.formula:
            return {"formula": self.formula, "range": [float(self.x[0]), float(self.x[-1])]}
        return {"x": self.x.tolist(), "y": self.y.tolist(), "outside": self.outside}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Curve:
        """Return the function that ``as_json`` describes; InputError where it describes none."""
        try:
            if "formula" in content:
                return cls(np.array(content["range"], np.float64), np.zeros(0), "line", str(content["formula"]))
            x, y = (np.array(content[key], np.float64) for key in "xy")
            return cls(x, y, str(content["outside"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"this is no curve: {error!r}", hint='{"x": […], "y": […], "outside": "edge"} or {"formula", "range"}'
            ) from None
        except HepflowError as error:
            raise InputError(error.message, hint=error.hint) from None


def from_tformula(text: str, parameters: Mapping[str, float], ends: tuple[float, float]) -> Curve:
    """Return the curve of a formula of ROOT's ``TFormula``, as files hold it (``[p0]+[p1]*TMath::Sq(x)``).

    InputError, with the formula, for what hepflow's expressions cannot say.
    """

    def number(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise InputError(f"the formula {text!r} has a parameter {match[1]!r} without a value")
        return f"({float(parameters[match[1]])!r})"

    if _INTEGERS.search(text):
        raise InputError(f"the formula {text!r} divides whole numbers, which C++ rounds", hint="write 1./2.")
    made = re.sub(r"\[(\w+)\]", number, text.replace("x[0]", "x"))
    made = re.sub(r"(?:std::|TMath::)(\w+)", lambda match: _NAMES.get(match[1], match[1]), made)
    made = _powers(made.replace("Power(", "pow(").replace("Sq(", "sq("))
    try:
        return Curve(np.array(ends, np.float64), np.zeros(0), "line", made)
    except HepflowError as error:
        raise InputError(
            f"the formula {text!r} cannot be calculated: {error.message}",
            hint="save the function as points: TF1::Save in ROOT",
        ) from None


def _powers(text: str) -> str:
    """Return the text with ``pow(a,b)`` and ``sq(a)`` written with ``**``."""
    while (match := re.search(r"\b(pow|sq)\(", text)) is not None:
        arguments, end = _arguments(text, match.end())
        if len(arguments) != {"pow": 2, "sq": 1}[match[1]]:
            raise InputError(f"the formula {text!r} calls {match[1]} with {len(arguments)} arguments")
        base, power = [*arguments, "2"][:2]
        text = f"{text[: match.start()]}(({base})**({power})){text[end:]}"
    return text


def _arguments(text: str, start: int) -> tuple[Sequence[str], int]:
    """Return the arguments of a call whose parenthesis opens before ``start``, and where the call ends."""
    depth, found, begin = 1, [], start
    for place in range(start, len(text)):
        character = text[place]
        depth += (character == "(") - (character == ")")
        if (character == "," and depth == 1) or not depth:
            found.append(text[begin:place])
            begin = place + 1
        if not depth:
            return found, place + 1
    raise InputError(f"the formula {text!r} has more ( than )")
