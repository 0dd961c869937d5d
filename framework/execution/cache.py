"""The user's cache folder, and in it what is known of files that were looked into before.

What is kept of a file holds for its path, size and times (an address: size, and what its server says of the version).
Wrong or damaged entries cost a look, nothing else: each has a checksum, and the UUID is compared when a worker opens
the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from hepflow import io, protocols
from hepflow.errors import OutputError
from hepflow.execution import schemas
from hepflow.execution.inputs import InputFile
from hepflow.execution.schemas import Facts, Looked, digest_of, read_schema
from hepflow.files import sha256, write_bytes
from hepflow.io.opening import local_path
from hepflow.io.remote import version_of
from hepflow.io.trees import split_called
from hepflow.protocols import FileSchema, Reader
from hepflow.versions import versions

__all__ = ["FileCache", "cache_directory"]

LIMIT = 512 * 2**20
"""Bytes that the cache may have; where it has more, what was not used for longest goes."""
STALE = 3
"""A shard is written anew where it has so many times more lines than files."""
THREADS = 16

_State = list[Any]


def cache_directory() -> Path:
    """Return the user's cache folder of hepflow (``HEPFLOW_CACHE`` moves it)."""
    own = os.environ.get("HEPFLOW_CACHE")
    return Path(own) if own else Path(platformdirs.user_cache_dir("hepflow"))


class FileCache:
    """What is known of files: a file a schema, by digest, and a line a file, those of one folder together.

    Other versions of what reads files have another folder. Lines are only ever appended, each with its checksum: who
    writes at the same time, or is killed, spoils at most a line, which then counts for nothing.
    """

    def __init__(self, formats: Iterable[type[Reader]]) -> None:
        self._root = cache_directory() / "files"
        self.folder = self._root / _code(formats)
        self._shards: dict[str, dict[str, tuple[_State, Facts]]] = {}
        self._states: dict[str, _State | None] = {}
        self._schemas: dict[str, FileSchema | None] = {}
        self._new: dict[str, list[str]] = {}
        self._written = time.monotonic()
        self._added = False

    def find(self, files: Sequence[InputFile], *, counts: bool = False) -> list[Facts | None]:
        """Return what is known of files as they are now; None for those that must be looked into, with ``counts`` also
        where their bookkeeping was not asked.
        """
        paths = [file.like or file.path for file in files]
        remote = [path for path in paths if local_path(path) is None]
        with ThreadPoolExecutor(THREADS) as pool:
            self._states |= zip(remote, pool.map(version_of, remote), strict=True)
        found = [self._find(path, file.tree) for path, file in zip(paths, files, strict=True)]
        return [None if counts and facts and facts.normalisation is None else facts for facts in found]

    def _find(self, path: str, tree: str) -> Facts | None:
        state = self._state(path)
        known = self._shard(path).get(_key(path, tree)) if state else None
        if known is None or known[0] != state or self.schema(known[1].digest) is None:
            return None
        return known[1]

    def schema(self, digest: str) -> FileSchema | None:
        """Return a schema that is kept; None where it is not, or is damaged."""
        if digest not in self._schemas:
            self._schemas[digest] = None
            with suppress(OSError, ValueError, TypeError, KeyError):
                packed = (self.folder / f"{digest}.json").read_bytes()
                if digest_of(packed) == digest:
                    self._schemas[digest] = read_schema(packed)
        return self._schemas[digest]

    def add(self, file: InputFile, looked: Looked) -> FileSchema:
        """Keep what was found in a file, and return its schema."""
        digest, path = looked.facts.digest, file.like or file.path
        schema = self.schema(digest) or read_schema(looked.schema)
        state = None if schema.endless else self._state(path)
        facts, local = looked.facts, local_path(path)
        if state is not None and (local is None or state == [facts.size, facts.mtime, facts.ctime]):
            told = [facts.digest, facts.entries, facts.boundaries, facts.identity, facts.size, facts.mtime, facts.ctime]
            told.append(facts.normalisation)
            text = json.dumps([_key(path, file.tree), state, told])
            self._keep(path, text)
            if self._schemas[digest] is None:
                with suppress(OutputError):
                    write_bytes(self.folder / f"{digest}.json", looked.schema)
        self._schemas[digest] = schema
        if time.monotonic() - self._written > 5:
            self.flush()
        return schema

    def forget(self, path: str, tree: str) -> None:
        """Know no longer what a file holds: it is another than its size and time say. ``tree`` is that which was read,
        chosen or not, and what it was called.
        """
        for one in (tree, tree.removeprefix(split_called(tree)[0])):
            self._keep(path, json.dumps([_key(path, one), None, None]))
        self.flush()

    def _keep(self, path: str, text: str) -> None:
        self._new.setdefault(_shard_name(path), []).append(f"{_checksum(text)} {text}\n")
        self._added = True

    def flush(self) -> None:
        """Write what is new; a folder that cannot be written is none to keep anything in."""
        self._written = time.monotonic()
        new, self._new = self._new, {}
        with suppress(OSError):
            if new:
                self.folder.mkdir(parents=True, exist_ok=True)
            for shard, lines in new.items():
                handle = os.open(self.folder / shard, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, ("\n" + "".join(lines)).encode())  # one that was killed left half a line
                finally:
                    os.close(handle)

    def close(self) -> None:
        """Write what is new; where all that is kept takes too much, remove what was not used for longest."""
        if not self._added:
            return
        self.flush()
        with suppress(OSError):
            self._bound()

    def _bound(self) -> None:
        found = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._root.glob("*/*")]
        size = sum(size for _, size, _ in found)
        for _, length, path in sorted(found):
            if size <= LIMIT:
                break
            path.unlink(missing_ok=True)
            size -= length
        for folder in self._root.iterdir():
            if folder != self.folder and not any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)

    def _shard(self, path: str) -> Mapping[str, tuple[_State, Facts]]:
        name = _shard_name(path)
        if name not in self._shards:
            self._shards[name] = _read_shard(self.folder / name)
        return self._shards[name]

    def _state(self, path: str) -> _State | None:
        """Return what tells this version of a file from another: size, time, and the time of any change, which nobody
        sets back; None where that is not known.
        """
        local = local_path(path)
        if local is None:
            if path not in self._states:
                self._states[path] = version_of(path)
            return self._states[path]
        try:
            status = local.stat()
        except (OSError, ValueError):
            return None
        return [status.st_size, status.st_mtime, status.st_ctime_ns]


def _read_shard(path: Path) -> dict[str, tuple[_State, Facts]]:
    """Return what the lines of a shard say, the last of each file; lines that are damaged say nothing."""
    found: dict[str, tuple[_State, Facts]] = {}
    kept: dict[str, bytes] = {}
    try:
        lines = path.read_bytes().split(b"\n")
        os.utime(path)
    except OSError:
        return found
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != _checksum(text).encode():
            continue
        key, state, told = json.loads(text)
        found.pop(key, None)
        kept.pop(key, None)
        if told is not None:
            digest, entries, boundaries, identity, size, mtime, ctime, numbers = told
            numbers = None if numbers is None else tuple(numbers)
            found[key] = (state, Facts(digest, entries, tuple(boundaries), identity, size, mtime, ctime, numbers))
            kept[key] = line
    if len(lines) > STALE * (len(kept) + 1000):
        with suppress(OutputError):  # what another process adds meanwhile may be lost, and is looked up again
            write_bytes(path, b"\n".join([*kept.values(), b""]))
    return found


def _key(path: str, tree: str) -> str:
    return f"{_whole(path)}\n{tree}"


def _whole(path: str) -> str:
    return str(Path(path).absolute()) if local_path(path) is not None and not path.startswith("file:") else path


def _shard_name(path: str) -> str:
    return (
        hashlib.sha256(_whole(path).rpartition("/")[0].encode("utf-8", "surrogateescape")).hexdigest()[:24] + ".lines"
    )


def _checksum(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def _code(formats: Iterable[type[Reader]]) -> str:
    """Return a name for the code that looks into files: what it found holds for no other."""
    classes = {base for reader in formats for base in reader.__mro__}
    files = {getattr(sys.modules.get(one.__module__), "__file__", None) or "" for one in classes}
    files |= {
        __file__,
        str(schemas.__file__),
        str(protocols.__file__),
        *map(str, Path(str(io.__file__)).parent.glob("*.py")),
    }
    told = [sha256(Path(file)) for file in sorted(files) if Path(file).is_file()]
    told += [f"{name} {version}" for name, version in versions().items() if name in ("awkward", "numpy", "uproot")]
    return hashlib.sha256(" ".join(told).encode()).hexdigest()[:16]
