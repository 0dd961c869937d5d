"""Reading JSON that may be damaged or hostile: bounded size and depth, no repeated keys, no NaN, one clear error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError

__all__ = ["integer", "number", "numbers", "parse_json", "read_bytes", "section", "text"]

MAX_BYTES = 512 * 1024**2
MAX_DEPTH = 64
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a model file; raises NetworkError where it cannot be read or is absurdly large."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NetworkError(f"the file has {size / 1024**2:.0f} MB, more than any network needs", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise NetworkError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error


def parse_json(content: bytes) -> Any:
    """Parse JSON; raises NetworkError for malformed, too deep or ambiguous text and for NaN or infinite numbers."""
    brackets = np.frombuffer(_STRING.sub(b"", content).translate(None, _NOT_BRACKETS), dtype=np.uint8)
    # '[' 91 and '{' 123 go down, ']' 93 and '}' 125 go up
    depth = int(np.cumsum(np.where((brackets == 91) | (brackets == 123), 1, -1)).max(initial=0))
    if depth > MAX_DEPTH:
        raise NetworkError(f"the JSON is nested {depth} levels deep; a network needs fewer than {MAX_DEPTH}")
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_constant, object_pairs_hook=_pairs)
    except NetworkError:
        raise
    except json.JSONDecodeError as error:
        raise NetworkError(f"malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"malformed JSON: {error}") from None


def _constant(name: str) -> float:
    raise NetworkError(f"the JSON has the number {name}; weights, offsets and scales must be finite")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NetworkError(f"the JSON has the key {twice!r} twice in one object")
    return made


def section(data: Any, key: str, kind: type[Any], where: str) -> Any:
    """Return ``data[key]``, which must be there and be a ``kind``; raises NetworkError."""
    if not isinstance(data, dict):
        raise NetworkError(f"{where} is {_name(data)}, not an object")
    if key not in data:
        raise NetworkError(f"{where} has no {key!r}")
    value = data[key]
    if not isinstance(value, kind):
        raise NetworkError(
            f"{key!r} of {where} is {_name(value)}, not "
            f"{'a list' if kind is list else 'an object' if kind is dict else 'a text'}"
        )
    return value


def number(value: Any, what: str) -> float:
    """Return a finite number; raises NetworkError."""
    if type(value) not in (int, float):
        raise NetworkError(f"{what} is {_name(value)}, not a number")
    try:
        result = float(value)
    except OverflowError:
        result = np.inf
    if not np.isfinite(result):
        raise NetworkError(f"{what} is not a finite number")
    return result


def integer(value: Any, what: str) -> int:
    """Return a whole number that is not negative; raises NetworkError."""
    if type(value) is not int or value < 0:
        raise NetworkError(
            f"{what} is {value if isinstance(value, (int, float)) else _name(value)}, not a whole number from 0"
        )
    if value > 2**31:
        raise NetworkError(f"{what} is absurdly large")
    return value


def text(value: Any, what: str) -> str:
    """Return a text; raises NetworkError."""
    if not isinstance(value, str):
        raise NetworkError(f"{what} is {_name(value)}, not a text")
    return value


def numbers(values: Any, what: str) -> NDArray[np.float64]:
    """Return a list of finite numbers as an array; raises NetworkError."""
    if not isinstance(values, list):
        raise NetworkError(f"{what} is {_name(values)}, not a list of numbers")
    wrong: Iterable[type] = set(map(type, values)) - {int, float}
    if wrong:
        raise NetworkError(f"{what} has an entry that is no number ({', '.join(sorted(t.__name__ for t in wrong))})")
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        array = np.array([np.inf])
    if not np.isfinite(array).all():
        raise NetworkError(f"{what} has entries that are NaN or infinite")
    return array


def _name(value: Any) -> str:
    if value is None:
        return "null"
    return {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }[type(value)]
