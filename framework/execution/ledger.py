"""The ledger of a run: what is done, written down by whoever did it.

An entry is a text (what it is about, as JSON) and a value, with a digest over both; entries follow each other in files,
one for each worker or batch job and group of work units. One that a killed process has left half, or that is damaged,
is ignored: what it was about is done again. Values are data (``hepflow.execution.packing``); where some of it is
pickled, the digest is a signature with the user's key for this run, and without that the entry counts as damaged.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import struct
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cramjam

from hepflow.execution.keys import signature
from hepflow.execution.packing import PackingError, pack, unpack
from hepflow.files import sync_file, write_bytes

__all__ = ["KEPT", "Entry", "Ledger", "Place", "Segment"]

_HEAD = struct.Struct("<8sIQ32s")
"""In front of an entry: magic, bytes of the text, bytes of the value, digest."""
_DATA, _SIGNED = b"hepflow2", b"hepflowT"
SUFFIX = ".entries"
KEPT = "is the disk full? finished work units are kept, --resume continues"
"""What to do where a file of the run cannot be written."""


class Place(NamedTuple):
    """Where an entry is."""

    file: str
    offset: int
    length: int


class Entry(NamedTuple):
    """What an entry is about, and where it is."""

    about: dict[str, Any]
    place: Place


class Ledger:
    """The entries in a folder, of the run directory ``root``. Without ``key`` they are read and written as data
    only.
    """

    def __init__(self, folder: Path, root: Path, key: bytes | None = None, session: str = "") -> None:
        self.folder = folder
        self.root = root.resolve()
        self.key = key
        self.session = session or uuid.uuid4().hex
        """Values whose classes only this process and its workers know are not read by others."""

    def segment(self, name: str) -> Segment:
        """Return a new file of entries, called ``name`` and something unique; it is made with the first entry."""
        return Segment(self, self.folder / f"{name}-{uuid.uuid4().hex[:8]}{SUFFIX}")

    def encode(self, about: Mapping[str, Any], value: Any) -> bytes:
        """Return an entry as bytes; PackingError where the value is no data and cannot or may not be pickled."""
        content, pickled, local = pack(value, self.root, pickles=self.key is not None)
        told = {**about, "session": self.session} if local else about
        text = json.dumps(told).encode()
        body = bytes(cramjam.zstd.compress(content, level=1))
        magic = _SIGNED if pickled else _DATA
        return _HEAD.pack(magic, len(text), len(body), self._digest(magic, text, body)) + text + body

    def save(self, name: str, about: Mapping[str, Any], value: Any) -> Place:
        """Write one entry into a file of its own, in one step, safe from a power failure; OutputError where it cannot
        be written, PackingError as ``encode``.
        """
        return self.save_all(name, [self.encode(about, value)])[0]

    def save_all(self, name: str, entries: list[bytes]) -> list[Place]:
        """Write encoded entries likewise; return their places."""
        write_bytes(self.folder / f"{name}{SUFFIX}", b"".join(entries), hint=KEPT)
        places, offset = [], 0
        for entry in entries:
            places.append(Place(f"{name}{SUFFIX}", offset, len(entry)))
            offset += len(entry)
        return places

    def load(self, name: str) -> tuple[bool, Any]:
        """Return (whether there is an entry in a file of this name and it can be read, its value)."""
        try:
            entry = next(self._entries(self.folder / f"{name}{SUFFIX}"), None)
            return (False, None) if entry is None else (True, self.value(entry.place))
        except PackingError:
            return False, None

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return (self.folder / f"{name}{SUFFIX}").exists()

    def names(self, prefix: str) -> list[str]:
        """Return the names of the files that begin so."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"{prefix}*{SUFFIX}"))

    def written(self, name: str) -> float:
        """Return when the file of this name was written last (seconds since the epoch)."""
        return (self.folder / f"{name}{SUFFIX}").stat().st_mtime

    def titles(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield what the entries of a file are about, unchecked: to count them."""
        with suppress(ValueError, struct.error), (self.folder / f"{name}{SUFFIX}").open("rb") as file:
            while head := file.read(_HEAD.size):
                _, of_text, of_body, _ = _HEAD.unpack(head)
                yield json.loads(file.read(of_text))
                file.seek(of_body, os.SEEK_CUR)

    def remove(self, file: str) -> None:
        """Remove a file of entries."""
        (self.folder / file).unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove the file of this name."""
        self.remove(f"{name}{SUFFIX}")

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all whole entries, file after file."""
        for path in sorted(self.folder.glob(f"{prefix}*{SUFFIX}")):
            yield from self._entries(path)

    def since(self, file: str, offset: int) -> Iterator[Entry]:
        """Yield the whole entries of the file of this name from a place on, to which somebody still appends: not what
        follows one that is not to be read, which may not be there yet.
        """
        return self._entries(self.folder / f"{file}{SUFFIX}", offset, growing=True)

    def _entries(self, path: Path, offset: int = 0, *, growing: bool = False) -> Iterator[Entry]:
        if path.is_symlink() or not path.is_file():
            return
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(offset)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                magic, of_text, of_body, digest = _HEAD.unpack(head)
                length = _HEAD.size + of_text + of_body
                if magic not in (_DATA, _SIGNED) or offset + length > size:
                    return
                text, body = file.read(of_text), file.read(of_body)
                if self._matches(magic, text, body, digest):
                    if (about := self._about(text)) is not None:
                        yield Entry(about, Place(path.name, offset, length))
                elif growing:
                    return
                offset += length

    def _about(self, text: bytes) -> dict[str, Any] | None:
        about = json.loads(text)
        known = isinstance(about, dict) and about.get("session", self.session) == self.session
        return about if known else None

    def read(self, place: Place) -> bytes:
        """Return an entry as it is written."""
        with (self.folder / place.file).open("rb") as file:
            file.seek(place.offset)
            return file.read(place.length)

    def value(self, place: Place) -> Any:
        """Return the value of an entry; PackingError where it is damaged."""
        try:
            content = self.read(place)
            magic, of_text, of_body, digest = _HEAD.unpack(content[: _HEAD.size])
        except (OSError, struct.error) as error:
            raise PackingError(f"an entry of the ledger cannot be read: {error}") from error
        text = content[_HEAD.size : _HEAD.size + of_text]
        body = content[_HEAD.size + of_text : _HEAD.size + of_text + of_body]
        if not self._matches(magic, text, body, digest):
            raise PackingError("an entry of the ledger is damaged")
        try:
            return unpack(bytes(cramjam.zstd.decompress(body)), self.root, trusted=magic == _SIGNED)
        except cramjam.DecompressionError as error:
            raise PackingError(f"an entry of the ledger is damaged: {error}") from error

    def _digest(self, magic: bytes, text: bytes, body: bytes) -> bytes:
        content = b"".join([magic, len(text).to_bytes(8, "little"), text, body])
        if magic == _DATA:
            return hashlib.sha256(content).digest()
        return signature(content, self.key) if self.key else b""

    def _matches(self, magic: bytes, text: bytes, body: bytes, digest: bytes) -> bool:
        return hmac.compare_digest(self._digest(magic, text, body), digest)


class Segment:
    """A file that one worker appends entries to. ``sync`` makes them safe from a power failure."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._file: Any = None
        self._offset = 0

    def append(self, about: Mapping[str, Any], value: Any) -> Place:
        """Write an entry and return its place; PackingError as ``Ledger.encode``, OSError where it cannot be
        written.
        """
        entry = self._ledger.encode(about, value)
        if self._file is None:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._write(entry)
        place = Place(self._path.name, self._offset, len(entry))
        self._offset += len(entry)
        return place

    def _write(self, entry: bytes) -> None:
        rest = memoryview(entry)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._offset)  # what comes behind half an entry could not be read
            self._file.seek(self._offset)
            raise

    def sync(self) -> None:
        """Make what was appended safe."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            sync_file(self._path.parent)

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                if error.errno != errno.EBADF:  # a tool closed it
                    raise

    def __del__(self) -> None:
        self.close()  # a worker of a cluster goes without a word
