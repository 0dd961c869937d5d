"""Numbers of expressions: whole numbers exactly, in 64 bits; floats as float64; compared and picked in their own type.

An operand is an array (bool, int64, uint64 or floats) or a Python number, which takes the type of what it meets.
Whole numbers are int64, uint64 where all that take part are (a Python number that is not negative counts as either).
OverflowError where a result does not fit: it is never wrapped around.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["absolute", "arithmetic", "compare", "fits", "is_in", "pick", "to_float", "whole_sums"]

Array = npt.NDArray[Any]
Operand = Any

_EXACT = 2**53
"""Whole numbers up to this are floats without loss."""

_RANGE: Final[dict[np.dtype[Any], tuple[int, int]]] = {
    np.dtype(np.int64): (-(2**63), 2**63 - 1),
    np.dtype(np.uint64): (0, 2**64 - 1),
}
_PYTHON: Final[dict[str, Callable[..., Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "&": operator.and_,
    "|": operator.or_,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
_NUMPY: Final[dict[str, Callable[..., Any]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "&": np.bitwise_and,
    "|": np.bitwise_or,
}
_COMPARE: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "<": (operator.lt, np.less),
    "<=": (operator.le, np.less_equal),
    ">": (operator.gt, np.greater),
    ">=": (operator.ge, np.greater_equal),
    "==": (operator.eq, np.equal),
    "!=": (operator.ne, np.not_equal),
}


def kind(value: Operand) -> str:
    """Return ``b``, ``i`` (whole) or ``f`` (float)."""
    if isinstance(value, np.ndarray):
        return "i" if value.dtype.kind in "iu" else value.dtype.kind
    return "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"


def whole(value: Operand) -> Operand:
    """Return a condition as 0 and 1, anything else as it is."""
    if kind(value) != "b":
        return value
    return value.astype(np.int64) if isinstance(value, np.ndarray) else int(value)


def to_float(value: Operand) -> Operand:
    """Return a value as float64."""
    return value.astype(np.float64, copy=False) if isinstance(value, np.ndarray) else float(value)


def bounds(value: Operand) -> tuple[int, int]:
    """Return the smallest and the largest of whole numbers; 0 and 0 of none."""
    if isinstance(value, np.ndarray):
        return (int(value.min()), int(value.max())) if value.size else (0, 0)
    return int(value), int(value)


def fits(value: Operand, dtype: np.dtype[Any]) -> bool:
    """Tell whether whole numbers are numbers of this type."""
    low, high = bounds(value)
    least, most = _RANGE[dtype]
    return least <= low and high <= most


def arithmetic(sign: str, left: Operand, right: Operand) -> Operand:
    """Return ``left sign right``; whole numbers stay whole, except with ``/``.

    A divisor of ``//`` and ``%`` that is 0 must be masked before.
    """
    left, right = whole(left), whole(right)
    if isinstance(left, Fraction) or isinstance(right, Fraction):
        found = _with_unit(sign, left, right)
        if found is not None:
            return found
        left, right = (float(side) if isinstance(side, Fraction) else side for side in (left, right))
    if sign != "/" and kind(left) == kind(right) == "i":
        if sign != "**" or bounds(right)[0] >= 0:
            return _whole_result(sign, left, right)
        if isinstance(right, np.ndarray):
            raise ArithmeticError("whole numbers to a negative power are no whole numbers: write 1.0 * …")
    if sign in ("&", "|", "<<", ">>"):
        raise TypeError(sign)
    found = _NUMPY[sign](left, right, dtype=np.float64)
    return found if isinstance(found, np.ndarray) else float(found)


def _with_unit(sign: str, left: Operand, right: Operand) -> Operand:
    """Multiply or divide by a unit, rounding once; None for other operations."""
    if sign == "**" and isinstance(right, int) and abs(right) < 10:
        return left**right
    if sign == "/" and isinstance(right, Fraction):
        sign, right = "*", 1 / right
    if isinstance(left, Fraction) and isinstance(right, Fraction) and sign == "*":
        return left * right
    if sign != "*":
        return None
    unit, value = (left, right) if isinstance(left, Fraction) else (right, left)
    value = to_float(value)
    return value * float(unit.numerator) if unit.denominator == 1 else value / float(1 / unit)


def _target(sign: str, left: Operand, right: Operand) -> np.dtype[Any]:
    sides = [side for side in (left, right) if isinstance(side, np.ndarray)]
    unsigned = all(side.dtype == np.uint64 for side in sides) and sign != "-"
    unsigned = unsigned and all(side >= 0 for side in (left, right) if not isinstance(side, np.ndarray))
    return np.dtype(np.uint64 if unsigned and sides else np.int64)


def _whole_result(sign: str, left: Operand, right: Operand) -> Operand:
    if not isinstance(left, np.ndarray) and not isinstance(right, np.ndarray):
        _check_size(sign, left, right)
        return _checked(_PYTHON[sign](left, right))
    target = _target(sign, left, right)
    if sign == "**" and max(map(abs, bounds(left))) <= 1:
        right = np.where(np.greater(right, 3), 2 + np.asarray(right) % 2, right)  # of -1, 0, 1 only odd or even counts
    if sign in ("<<", ">>"):
        return _shifted(sign, left, right, target)
    if _is_safe(sign, left, right, target):
        if sign == "%" and not isinstance(right, np.ndarray):
            return _remainder(_as(left, target), _as(right, target))
        return _NUMPY[sign](_as(left, target), _as(right, target))  # modulo 2**64: right where the result fits
    if sign == "**":
        _check_power(left, right)
    return _exactly(sign, left, right, target)


def _remainder(left: Any, right: Any) -> Array:
    """Return the rest of a division by one number, three times as fast as ``np.mod``: numpy divides by multiplying."""
    found = np.floor_divide(left, right)
    found *= right
    rest: Array = np.subtract(left, found, out=found)
    return rest


def _is_safe(sign: str, left: Operand, right: Operand, target: np.dtype[Any]) -> bool:
    (low, high), (least, most) = bounds(left), bounds(right)
    if sign in ("+", "-", "*"):
        corners = [_PYTHON[sign](a, b) for a in (low, high) for b in (least, most)]
        return bool(_RANGE[target][0] <= min(corners) and max(corners) <= _RANGE[target][1])
    if sign == "**":
        largest = max(abs(low), abs(high))
        return largest <= 1 or largest.bit_length() * most <= 62
    inside = fits(left, target) and fits(right, target)
    return inside and not (sign == "//" and low == -(2**63) and least <= -1 <= most)


def _as(value: Operand, target: np.dtype[Any]) -> Operand:
    if isinstance(value, np.ndarray):
        return value.astype(target, copy=False)
    return np.array(value % 2**64, dtype=np.uint64).astype(target)


def _exactly(sign: str, left: Operand, right: Operand, target: np.dtype[Any]) -> Array:
    """Calculate with Python's numbers, for the few chunks in which 64 bits may not do."""
    sides = [side.astype(object) if isinstance(side, np.ndarray) else side for side in (left, right)]
    function = np.frompyfunc(_PYTHON[sign], 2, 1)
    found = np.asarray(function(*sides))
    if found.size and not (_RANGE[target][0] <= min(found) and max(found) <= _RANGE[target][1]):
        raise OverflowError
    return found.astype(target)


def _checked(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise OverflowError
    return value


def _check_size(sign: str, left: int, right: int) -> None:
    if sign in ("<<", ">>") and right < 0:
        raise ArithmeticError("a shift by a negative number")
    if (sign == "**" and abs(left) > 1 and right > 64) or (sign == "<<" and left and right > 64):
        raise OverflowError


def _check_power(left: Operand, right: Operand) -> None:
    """Raise OverflowError for a power far outside 64 bits, before it is calculated."""
    size = np.log2(np.maximum(np.abs(to_float(left)), 1))
    if (size * to_float(right) > 65).any():
        raise OverflowError


def _shifted(sign: str, left: Operand, right: Operand, target: np.dtype[Any]) -> Array:
    low, high = bounds(right)
    if low < 0:
        raise ArithmeticError("a shift by a negative number")
    if sign == "<<":
        right = np.where(np.equal(left, 0), 0, right)  # of 0 any shift is 0
        if bounds(right)[1] > 63:
            raise OverflowError
        return np.asarray(_whole_result("*", left, np.left_shift(np.uint64(1), right.astype(np.uint64))))
    if not fits(left, target) or high > 63:
        return _exactly(">>", left, np.minimum(right, 64), target)
    return np.asarray(np.right_shift(_as(left, target), _as(right, target)))


def absolute(value: Operand) -> Operand:
    """Return the absolute value."""
    value = whole(value)
    if kind(value) == "i":
        if bounds(value)[0] == -(2**63):
            raise OverflowError
        return np.abs(value) if isinstance(value, np.ndarray) else abs(value)
    return np.abs(value) if isinstance(value, np.ndarray) else abs(float(value))


def compare(sign: str, left: Operand, right: Operand) -> Operand:
    """Return ``left sign right``, exactly; a Python number beside floats of 32 bits is one of these, too."""
    python, function = _COMPARE[sign]
    left, right = (float(side) if isinstance(side, Fraction) else side for side in (left, right))
    if not isinstance(left, np.ndarray) and not isinstance(right, np.ndarray):
        return bool(python(left, right))
    if kind(left) == kind(right) == "b":
        return function(left, right)
    left, right = whole(left), whole(right)
    kinds = kind(left) + kind(right)
    if kinds == "ff":
        return function(_float_like(left, right), _float_like(right, left))
    if kinds == "ii":
        for dtype in (np.dtype(np.int64), np.dtype(np.uint64)):
            if fits(left, dtype) and fits(right, dtype):
                return function(_as(left, dtype), _as(right, dtype))
    floats, others = (left, right) if kinds == "fi" else (right, left)
    rounded = _narrow(floats) and not isinstance(others, np.ndarray)
    if kinds != "ii" and (rounded or max(map(abs, bounds(others))) <= _EXACT):
        return function(_float_like(left, right), _float_like(right, left))
    sides = [side.astype(object) if isinstance(side, np.ndarray) else side for side in (left, right)]
    return np.asarray(np.frompyfunc(python, 2, 1)(*sides)).astype(np.bool_)


def _narrow(value: Operand) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype.itemsize < 8


def _float_like(value: Operand, other: Operand) -> Operand:
    """Return a Python number in the type of the floats that it meets; an array as it is."""
    if isinstance(value, np.ndarray):
        return value
    narrow = _narrow(other)
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype=np.float64).astype(other.dtype if narrow else np.float64)


def is_in(value: Array, numbers: Sequence[Any]) -> Array:
    """Tell which values equal one of the numbers, as ``compare`` does."""
    value = whole(value)
    if kind(value) == "f":
        plain = [number for number in map(_plain, numbers) if _narrow(value) or float(number) == number]
        known = [_float_like(number, value) for number in plain]
    else:
        exact = [int(number) for number in map(_plain, numbers) if int(number) == number]
        known = [np.array(number, value.dtype) for number in exact if fits(number, value.dtype)]
    return np.isin(value, np.array(known, dtype=value.dtype))


def _plain(number: Any) -> Any:
    return float(number) if isinstance(number, Fraction) else number


def pick(chosen: Array, left: Operand, right: Operand) -> Array:
    """Return ``left`` where ``chosen`` is true, else ``right``, in a type that holds both; OverflowError where there
    is none.
    """
    left, right = (float(side) if isinstance(side, Fraction) else side for side in (left, right))
    if kind(left) != "b" or kind(right) != "b":
        left, right = whole(left), whole(right)
    dtype = _common(left, right)
    picked: Any = (_cast(left, dtype), _cast(right, dtype))
    found: Array = np.where(chosen, *picked)
    return found


def _common(left: Operand, right: Operand) -> np.dtype[Any]:
    kinds = {kind(left), kind(right)}
    if kinds == {"b"}:
        return np.dtype(np.bool_)
    if kinds == {"i"}:
        return _target("pick", left, right)
    sides: list[Any] = [left, right]
    arrays: list[np.dtype[Any]] = [s.dtype for s in sides if isinstance(s, np.ndarray) and s.dtype.kind == "f"]
    numbers = [side for side in sides if not isinstance(side, np.ndarray)]
    if len(arrays) == len(numbers) == 1 and (isinstance(numbers[0], float) or abs(numbers[0]) < 2**24):
        return arrays[0]  # a Python number takes the type of the column
    return np.result_type(*arrays, np.float64 if "i" in kinds or not arrays else arrays[0])


def _cast(value: Operand, dtype: np.dtype[Any]) -> Operand:
    if dtype.kind in "iu":
        if not fits(value, dtype):
            raise OverflowError
    elif dtype.kind == "f" and kind(value) == "i" and max(map(abs, bounds(value))) > _EXACT:
        raise OverflowError
    with np.errstate(over="ignore"):
        return value.astype(dtype, copy=False) if isinstance(value, np.ndarray) else np.asarray(value).astype(dtype)


def whole_sums(values: Array, starts: npt.NDArray[np.int64], longest: int) -> Array:
    """Return the sums of the parts of whole numbers that begin at ``starts``; none is longer than ``longest``."""
    low, high = bounds(values)
    least, most = _RANGE[values.dtype]
    if low * longest >= least and high * longest <= most:
        return np.add.reduceat(values, starts)
    sums = np.add.reduceat(values.astype(object), starts)
    if min(sums) < least or max(sums) > most:
        raise OverflowError
    return sums.astype(values.dtype)
