"""What must be known of an ONNX file before ONNX Runtime opens it: its metadata, its graph, and whether it reaches
outside its folder.

An ONNX file is a protocol-buffer message. Only the few fields needed are followed, so that reading needs no further
library.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError

__all__ = ["CHECKSUM", "RECORD", "Message", "OnnxFile", "model_digest", "read_onnx_file"]

RECORD = "hepflow"
CHECKSUM = "hepflow_sha256"
MAX_DEPTH = 48
MAX_PARTS = 1_000_000
"""Most fields that are read; a network has some thousands of nodes of some ten fields."""
MAX_EXTERNAL = 2**30
"""Most bytes of external data, as often as they are used."""
# floats, ints and short strings of attributes, one field each: the trees of a large ensemble
_RUNS = re.compile(
    rb"(?s:(?:\x3d.{4})+|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+|(?:\x4a(?:%s))+)"
    % b"|".join(re.escape(bytes([n])) + b".{%d}" % n for n in range(32))
)
Message = dict[str, list[Any]]
"""A message as far as it is read: name of a field → its values, in order."""

# message → field number → (name, what it holds); the numbers are those of onnx.proto
_FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "model": {
        2: ("producer", "text"),
        3: ("producer", "text"),
        7: ("graph", "graph"),
        14: ("metadata", "entry"),
        20: ("training", "training"),
        25: ("function", "function"),
    },
    "training": {1: ("graph", "graph"), 2: ("graph", "graph")},
    "graph": {
        1: ("node", "node"),
        5: ("tensor", "tensor"),
        15: ("sparse", "sparse"),
        11: ("input", "value"),
        12: ("output", "value"),
    },
    "value": {1: ("name", "text")},
    "function": {
        1: ("name", "text"),
        4: ("input", "text"),
        7: ("node", "node"),
        10: ("domain", "text"),
        11: ("attribute", "attribute"),
    },
    "node": {
        1: ("input", "text"),
        2: ("output", "text"),
        4: ("op", "text"),
        5: ("attribute", "attribute"),
        7: ("domain", "text"),
    },
    "attribute": {
        1: ("name", "text"),
        5: ("tensor", "tensor"),
        6: ("graph", "graph"),
        10: ("tensor", "tensor"),
        11: ("graph", "graph"),
        22: ("sparse", "sparse"),
        23: ("sparse", "sparse"),
    },
    "sparse": {1: ("tensor", "tensor"), 2: ("tensor", "tensor"), 3: ("dims", "whole")},
    "tensor": {
        1: ("dims", "whole"),
        8: ("name", "text"),
        13: ("external", "entry"),
        14: ("location", "whole"),
        **dict.fromkeys((4, 5, 6, 7, 9, 10, 11), ("data", "data")),
    },
    "entry": {1: ("key", "text"), 2: ("value", "text")},
}


@dataclass
class OnnxFile:
    """Metadata, what made the file, the graph and the functions that it calls, and the SHA-256 of all but the checksum
    itself.
    """

    producer: str
    metadata: dict[str, str]
    graph: Message
    functions: list[Message]
    digest: str
    external: list[Message] = field(default_factory=list)


def read_onnx_file(content: bytes, path: Path) -> OnnxFile:
    """Read what an ONNX file says of itself; raises NetworkError where it is none, is damaged, holds less data than
    it claims, or uses data outside its folder.
    """
    if content[4:8] == b"ORTM":
        raise NetworkError("this is ONNX Runtime's own format, not ONNX", hint="use the .onnx file it was made from")
    if content[:1] == b"\x80":
        raise NetworkError("this is a pickle, which may run any code: none is opened", hint="save the model as ONNX")
    if content[:4] == b"root":
        raise NetworkError("this ROOT file holds no forest of MVAUtils, or it is damaged", hint="is it a whole copy?")
    walk = _Walk()
    model = walk.read(memoryview(content), "model", 0)
    if "graph" not in model:
        raise NetworkError("the file is neither lwtnn JSON nor ONNX", hint="an ONNX file holds a graph")
    if len(model["graph"]) > 1:
        raise _damaged()
    _check_external(walk.external, path)
    metadata = dict(_entry(entry) for entry in model.get("metadata", ()))
    producer = " ".join(filter(None, model.get("producer", ())))
    functions = model.get("function", [])
    return OnnxFile(producer, metadata, model["graph"][0], functions, model_digest(content), walk.external)


def model_digest(content: bytes) -> str:
    """Return the SHA-256 of an ONNX file without the metadata entry that holds it."""
    found = hashlib.sha256()
    for number, value in _fields(memoryview(content)):
        data = value if isinstance(value, memoryview) else str(value).encode()
        if number == 14 and _entry(_Walk().read(memoryview(data), "entry", 0))[0] == CHECKSUM:
            continue
        found.update(f"{number} {len(data)} ".encode())
        found.update(data)
    return found.hexdigest()


class _Walk:
    """Reads the fields of messages that are followed. ``external`` are the tensors whose data stand elsewhere."""

    def __init__(self) -> None:
        self.external: list[Message] = []
        self.parts = 0

    def read(self, message: memoryview, kind: str, depth: int) -> Message:
        """Read one message and those in it."""
        if depth > MAX_DEPTH:
            raise NetworkError(f"the ONNX model is nested more than {MAX_DEPTH} levels deep")
        known = _FIELDS[kind]
        found: Message = {}
        for number, value in _fields(message, _RUNS if kind == "attribute" else None):
            self.parts += 1
            if self.parts > MAX_PARTS:
                raise NetworkError(f"the ONNX file has more than {MAX_PARTS:,} parts, more than any network needs")
            if number not in known:
                continue
            name, what = known[number]
            held = found.setdefault(name, [])
            if what in ("whole", "data"):
                _add_numbers(held, value, what)
            elif not isinstance(value, memoryview):
                raise _damaged()
            elif what == "text":
                held.append(_text(value))
            else:
                held.append(self.read(value, what, depth + 1))
        if kind == "tensor":
            if "external" in found or 1 in found.get("location", ()):
                self.external.append(found)
            else:
                _check_size(found)
        return found


def _text(value: memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise NetworkError("the ONNX file is damaged: a text is no UTF-8") from None


def _add_numbers(held: list[Any], value: memoryview | int | None, what: str) -> None:
    """Add whole numbers, packed or not; of data only the size in bytes is kept, at least one a number."""
    if what == "data":
        held[:] = [sum(held) + (max(len(value), 1) if isinstance(value, memoryview) else 8)]
    elif isinstance(value, int):
        held.append(value)
    elif value is not None:
        place = 0
        while place < len(value):
            number, place = _varint(value, place)
            held.append(number)


def _check_size(tensor: Message) -> None:
    """Check that a tensor has the data for its axes: what ONNX Runtime takes for it is bounded by the file."""
    held = sum(tensor.get("data", ()))
    if _numbers(tensor) > 4 * held:  # the smallest types have four numbers a byte
        name = (tensor.get("name") or ["without a name"])[-1]
        raise NetworkError(f"the ONNX file is damaged: tensor {name!r} has {held} bytes for axes of more numbers")


def _numbers(tensor: Message) -> int:
    axes = tensor.get("dims", ())
    if len(axes) > MAX_DEPTH:
        raise NetworkError(f"the ONNX file is damaged: a tensor has {len(axes)} axes")
    return math.prod(axes)


def _check_external(tensors: list[Message], path: Path) -> None:
    """Check that external data stand beside the model and are as large as the tensors need."""
    folder, total = path.parent.resolve(), 0
    for tensor in tensors:
        facts = dict(_entry(entry) for entry in tensor.get("external", ()))
        name = facts.get("location", "")
        try:
            place = (folder / name).resolve()
            inside = bool(name) and not Path(name).is_absolute() and place.is_relative_to(folder)
            size = place.stat().st_size if inside and place.is_file() else None
        except (OSError, ValueError):  # a name that no file can have
            inside, size = "\0" not in name, None
        if not inside or "_ORT_MEM_ADDR_" in name:  # which ONNX Runtime takes for a place in memory
            raise NetworkError(
                f"the ONNX model reads data outside its folder: {name[:200]!r}",
                hint="external data must stand beside the model",
            )
        if size is None:
            raise NetworkError(f"the ONNX model needs the file {name[:200]!r}, which is not beside it")
        try:
            first, length = int(facts.get("offset", 0)), int(facts.get("length", size))
        except ValueError:
            raise _damaged() from None
        if first < 0 or length < 0 or (first + length > size and "length" in facts) or first > size:
            raise NetworkError(f"the ONNX model needs more data than the file {name!r} has: is it complete?")
        total += min(length, size - first)
        if total > MAX_EXTERNAL:
            raise NetworkError(f"the ONNX model has more than {MAX_EXTERNAL / 2**30:g} GiB of external data")
        if _numbers(tensor) > 4 * min(length, size - first):
            raise NetworkError(f"the ONNX model needs more data than the file {name!r} has: is it complete?")


def _entry(message: Message) -> tuple[str, str]:
    """Return a key and a value, both texts."""
    return (message.get("key") or [""])[-1], (message.get("value") or [""])[-1]


def _fields(
    message: memoryview, skipped: re.Pattern[bytes] | None = None
) -> Iterator[tuple[int, memoryview | int | None]]:
    """Yield (field number, content) of a message; content is None for a number of fixed size.

    What matches ``skipped`` is left out at once.
    """
    place, end = 0, len(message)
    while place < end:
        if skipped is not None and (run := skipped.match(message, place)):
            place = run.end()
            continue
        tag, place = _varint(message, place)
        number, wire = (tag & 0xFFFFFFFF) >> 3, tag & 7  # protobuf keeps 32 bits of a tag
        if number == 0:
            raise _damaged()
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
        elif wire == 2:
            size, place = _varint(message, place)
            if place + size > end:
                raise _damaged()
            yield number, message[place : place + size]
            place += size
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
            if place > end:
                raise _damaged()
            yield number, None
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
