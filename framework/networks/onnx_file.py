"""What must be known of an ONNX file before ONNX Runtime opens it: its metadata, and whether it reaches outside its
folder.

An ONNX file is a protocol-buffer message. Only the few fields needed are followed, so that reading needs no further
library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hepflow.errors import NetworkError

__all__ = ["CHECKSUM", "RECORD", "OnnxFile", "graph_digest", "read_onnx_file"]

RECORD = "hepflow"
CHECKSUM = "hepflow_checksum"
MAX_DEPTH = 48

# message → field number → message inside; the numbers are those of onnx.proto
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 14: "metadata", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}


@dataclass
class OnnxFile:
    """Metadata, names of external data files and the SHA-256 of the graph."""

    metadata: dict[str, str]
    external: list[str]
    digest: str


def read_onnx_file(content: bytes, path: Path) -> OnnxFile:
    """Read what an ONNX file says of itself; raises NetworkError where it is none, or uses data outside its folder."""
    found = OnnxFile({}, [], "")
    _walk(memoryview(content), "model", found, 0)
    if not found.digest:
        raise NetworkError("the file is neither lwtnn JSON nor ONNX", hint="an ONNX file holds a graph")
    folder = path.parent.resolve()
    for name in found.external:
        place = folder / name
        inside = bool(name) and not Path(name).is_absolute() and place.resolve().is_relative_to(folder)
        if not inside:
            raise NetworkError(
                f"the ONNX model reads data outside its folder: {name!r}",
                hint="external data must stand beside the model",
            )
        if not place.is_file():
            raise NetworkError(f"the ONNX model needs the file {name!r}, which is not beside it")
    return found


def graph_digest(content: bytes) -> str:
    """Return the SHA-256 of the graph in an ONNX file."""
    return next(
        hashlib.sha256(value).hexdigest()
        for field, value in _fields(memoryview(content))
        if field == 7 and value is not None
    )


def _walk(message: memoryview, kind: str, found: OnnxFile, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NetworkError(f"the ONNX model is nested more than {MAX_DEPTH} levels deep")
    inside = _FIELDS[kind]
    for field, value in _fields(message):
        what = inside.get(field)
        if what is None or value is None:
            continue
        if kind == "model" and field == 7:
            found.digest = hashlib.sha256(value).hexdigest()
        if what in ("metadata", "external"):
            key, entry = _entry(value)
            if what == "metadata":
                found.metadata[key] = entry
            elif key == "location":
                found.external.append(entry)
        else:
            _walk(value, what, found, depth + 1)


def _entry(message: memoryview) -> tuple[str, str]:
    """Return a key and a value, both texts."""
    parts = {field: bytes(value) for field, value in _fields(message) if value is not None}
    try:
        return parts.get(1, b"").decode(), parts.get(2, b"").decode()
    except UnicodeDecodeError:
        raise NetworkError("the ONNX file is damaged: a text is no UTF-8") from None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Yield (field number, content) of a message; content is None where the field is a plain number."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise _damaged()
        if wire == 0:
            _, place = _varint(message, place)
            yield field, None
        elif wire == 2:
            size, place = _varint(message, place)
            if place + size > end:
                raise _damaged()
            yield field, message[place : place + size]
            place += size
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
            if place > end:
                raise _damaged()
            yield field, None
        else:
            raise _damaged()


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise _damaged()


def _damaged() -> NetworkError:
    return NetworkError(
        "the file is neither lwtnn JSON nor ONNX, or it is damaged",
        hint="is it complete? compare its size with the original",
    )
