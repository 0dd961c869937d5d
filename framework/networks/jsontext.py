"""Reading JSON that may be damaged or hostile: bounded size, memory and depth, no repeated keys,
no NaN, one clear error.

Numbers may be texts, and empty lists and objects ``""`` or null: C++ lwtnn reads JSON with boost's property tree, in
which all values are texts and which writes them so.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError

__all__ = ["integer", "number", "numbers", "parse_json", "read_bytes", "section", "text"]

MAX_BYTES = 512 * 1024**2
MAX_JSON = 64 * 1024**2
MAX_DEPTH = 64
LONGEST = 10_000
# What Python needs for JSON, in bytes: a list, an object, a text, a key and its place, a number of several digits, the
# place of a value in its list. Up to SMALL is always taken; above it at most TIMES the size of the text.
LIST, OBJECT, TEXT, PLACE_OF_KEY, NUMBER, PLACE = 88, 200, 72, 72, 32, 9
SMALL, TIMES = 128 * 1024**2, 12
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}":'))
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_INTEGER = re.compile(r"\s*[+-]?\d{1,40}\s*", re.ASCII)


def read_bytes(path: str | Path) -> bytes:
    """Return the content of a model file; raises NetworkError where it cannot be read or is absurdly large."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise NetworkError("this is no file", where=str(path))
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NetworkError(f"the file has {size / 1024**2:.0f} MB, more than any network needs", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise NetworkError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error


def parse_json(content: bytes) -> Any:
    """Parse JSON; raises NetworkError for malformed, too large, too deep or ambiguous text and for NaN or infinite
    numbers.
    """
    wanted, found = _check_size(content), 0

    def count(made: dict[str, Any]) -> dict[str, Any]:
        nonlocal found
        found += len(made)
        return made

    try:
        parsed = json.loads(content.decode("utf-8-sig"), parse_constant=_constant, object_hook=count)
        if found < wanted:
            del parsed
            json.loads(content.decode("utf-8-sig"), object_pairs_hook=_no_key_twice)
            raise NetworkError("the JSON has a key twice in one object")
        if b"\\ud" in content or b"\\uD" in content:
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return parsed
    except NetworkError:
        raise
    except json.JSONDecodeError as error:
        raise NetworkError(f"malformed JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"malformed JSON: {error}") from None


def _check_size(content: bytes) -> int:
    """Return the number of keys in the text; raises NetworkError where what it holds is too large or too deep, before
    it is parsed.
    """
    size = len(content)
    if size > MAX_JSON:
        raise NetworkError(f"the JSON has {size / 1024**2:.0f} MB, more than any network needs")
    plain = content
    if b"\\" in content:
        plain = content.replace(b"\\\\", b"").replace(b'\\"', b"")  # the quotes that are left begin or end a text
    symbols = np.frombuffer(plain.translate(None, _NOT_STRUCTURE), dtype=np.uint8)
    quotes = symbols == ord('"')
    outside = symbols[~(np.logical_xor.accumulate(quotes) | quotes)]
    colons, down = outside == ord(":"), (outside == ord("[")) | (outside == ord("{"))
    pairs, commas, objects = int(colons.sum()), plain.count(b","), int((outside == ord("{")).sum())
    widest = int(np.frombuffer(content, dtype=np.uint8).max(initial=0))
    need = (
        2 * size * (4 if widest >= 0xF0 else 2 if widest >= 0xC4 else 1)  # one wide character makes all as wide
        + OBJECT * objects
        + LIST * (int(down.sum()) - objects)
        + TEXT * int(quotes.sum()) // 2
        + PLACE_OF_KEY * pairs
        + PLACE * commas
        + NUMBER * min(commas, max(size - 2 * commas, 0))  # "1,": small whole numbers are there already
    )
    if need > max(SMALL, TIMES * size):
        raise NetworkError(
            f"the JSON has {size / 1024**2:.1f} MB and would take about {need / 1024**2:.0f} MB of memory, more than "
            f"{TIMES} times its size"
        )
    if outside.size - pairs > 2 * int(down.sum()):
        raise NetworkError("malformed JSON: more brackets close than open")
    steps = np.where(down, np.int8(1), np.where(colons, np.int8(0), np.int8(-1)))
    depth = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if depth > MAX_DEPTH:
        raise NetworkError(f"the JSON is nested {depth} levels deep; a network needs fewer than {MAX_DEPTH}")
    return pairs


def _constant(name: str) -> float:
    raise NetworkError(f"the JSON has the number {name}; weights, offsets and scales must be finite")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> None:
    """Raise NetworkError where an object has a key twice."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise NetworkError(f"the JSON has the key {key!r} twice in one object")
        seen.add(key)


def section(data: Any, key: str, kind: type[Any], where: str) -> Any:
    """Return ``data[key]``, which must be there and be a ``kind``: list, dict or str; an empty text and null are an
    empty list or object.

    Raises NetworkError.
    """
    if not isinstance(data, dict):
        raise NetworkError(f"{where} is {_name(data)}, not an object")
    if key not in data:
        raise NetworkError(f"{where} has no {key!r}")
    value = data[key]
    if kind is str:
        return text(value, f"{key!r} of {where}")
    if isinstance(value, kind):
        return value
    if value is None or (isinstance(value, (str, list, dict)) and not value):
        return kind()
    raise NetworkError(f"{key!r} of {where} is {_name(value)}, not {'a list' if kind is list else 'an object'}")


def number(value: Any, what: str) -> float:
    """Return a finite number, perhaps written as a text; raises NetworkError."""
    if type(value) not in (int, float) and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise NetworkError(f"{what} is {_name(value)}, not a number")
    try:
        result = float(value)
    except OverflowError:
        result = np.inf
    if not np.isfinite(result):
        raise NetworkError(f"{what} is not a finite number")
    return result


def integer(value: Any, what: str) -> int:
    """Return a whole number that is not negative, perhaps written as a text; raises NetworkError."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is not int or value < 0:
        raise NetworkError(
            f"{what} is {value if isinstance(value, (int, float)) else _name(value)}, not a whole number from 0"
        )
    if value > 2**31:
        raise NetworkError(f"{what} is absurdly large")
    return value


def text(value: Any, what: str) -> str:
    """Return a text; a whole number is one, too. Raises NetworkError."""
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    if not isinstance(value, str):
        raise NetworkError(f"{what} is {_name(value)}, not a text")
    if len(value) > LONGEST:
        raise NetworkError(f"{what} has {len(value)} letters, more than any name")
    return value


def numbers(values: Any, what: str) -> NDArray[np.float64]:
    """Return a list of finite numbers, perhaps written as texts, as an array; raises NetworkError."""
    if values in ("", {}, None):
        values = []
    if not isinstance(values, list):
        raise NetworkError(f"{what} is {_name(values)}, not a list of numbers")
    kinds: set[type] = set(map(type, values))
    wrong = kinds - {int, float, str}
    if wrong:
        raise NetworkError(f"{what} has an entry that is no number ({', '.join(sorted(t.__name__ for t in wrong))})")
    try:
        array = np.array([number(v, f"an entry of {what}") for v in values] if str in kinds else values, np.float64)
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
