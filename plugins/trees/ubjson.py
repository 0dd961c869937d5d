"""Reading UBJSON, the binary JSON of XGBoost: bounded depth, no more values than the file can hold."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hepflow.errors import NetworkError

__all__ = ["read_ubjson"]

MAX_DEPTH = 64
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"Z": None, "T": True, "F": False}


def read_ubjson(content: bytes) -> Any:
    """Return what a UBJSON text says; NetworkError where it is cut off or malformed."""
    reader = _Reader(content)
    try:
        found = reader.value(reader.marker(), 0)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise NetworkError(f"malformed UBJSON at byte {reader.place}: {error}") from None
    if reader.place != len(content):
        raise NetworkError(f"malformed UBJSON: {len(content) - reader.place} bytes behind its end")
    return found


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, n: int) -> bytes:
        if n < 0 or self.place + n > len(self.content):
            raise NetworkError(f"the UBJSON ends too early: {n} bytes are missing at byte {self.place}")
        found = self.content[self.place : self.place + n]
        self.place += n
        return found

    def marker(self) -> str:
        found = "N"
        while found == "N":  # nothing, as often as one likes
            found = self.take(1).decode("latin-1")
        return found

    def number(self, kind: str) -> Any:
        if kind not in _NUMBERS:
            raise NetworkError(f"malformed UBJSON: {kind!r} is no number at byte {self.place}")
        form = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(form.itemsize), form)[0].item()

    def length(self) -> int:
        found = self.number(self.marker())
        if not isinstance(found, int) or found < 0:
            raise NetworkError(f"malformed UBJSON: {found} is no length at byte {self.place}")
        return found

    def text(self) -> str:
        return self.take(self.length()).decode()

    def value(self, kind: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise NetworkError(f"the UBJSON is nested deeper than {MAX_DEPTH}")
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind == "S":
            return self.text()
        if kind == "C":
            return self.take(1).decode("latin-1")
        if kind == "[":
            return self.array(depth)
        if kind == "{":
            return self.object(depth)
        return self.number(kind)

    def header(self) -> tuple[str, int | None]:
        """Return type and number of the values of a container, where it says them."""
        kind, count = "", None
        if self.content[self.place : self.place + 1] == b"$":
            self.take(1)
            kind = self.take(1).decode("latin-1")
        if self.content[self.place : self.place + 1] == b"#":
            self.take(1)
            count = self.length()
        if kind and count is None:
            raise NetworkError("malformed UBJSON: a type without a number of values")
        if count is not None and kind not in _NUMBERS and count > len(self.content) - self.place:
            raise NetworkError(f"the UBJSON ends too early: {count} values at byte {self.place}")
        return kind, count

    def array(self, depth: int) -> list[Any]:
        kind, count = self.header()
        if kind in _NUMBERS and count is not None:
            form = np.dtype(_NUMBERS[kind])
            held: list[Any] = np.frombuffer(self.take(count * form.itemsize), form).tolist()
            return held
        found: list[Any] = []
        while count is None or len(found) < count:
            marker = kind or self.marker()
            if count is None and marker == "]":
                break
            found.append(self.value(marker, depth + 1))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        kind, count = self.header()
        found: dict[str, Any] = {}
        while count is None or len(found) < count:
            if count is None and self.content[self.place : self.place + 1] == b"}":
                self.take(1)
                break
            key = self.text()
            if key in found:
                raise NetworkError(f"the UBJSON has the key {key!r} twice in one object")
            found[key] = self.value(kind or self.marker(), depth + 1)
        return found
