"""Files that are there whole or not at all, and their checksums."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hepflow.errors import OutputError

__all__ = [
    "link_or_copy",
    "matching_files",
    "read_sha256",
    "replacing",
    "sha256",
    "sync_file",
    "sync_files",
    "write_bytes",
    "write_text",
]


def matching_files(text: str) -> tuple[str, ...]:
    """Return the files that a path with wildcards (``network/*/model.onnx``) means, sorted; of a path without, or of a
    file with such a name, the path itself.
    """
    if not set(text) & set("*?[") or os.path.exists(text):  # noqa: PTH110 - as it is written
        return (text,)
    return tuple(sorted(glob.glob(text)))  # noqa: PTH207 - Path takes no absolute patterns


@contextmanager
def replacing(path: Path | str, *, hint: str = "is the disk full?") -> Iterator[Path]:
    """Yield a temporary path, with the ending of ``path``, that becomes ``path`` at the end; after an error nothing is
    left of it, and an older file stays.

    The folder is made where it is missing; what is written outlives a power failure. OutputError, with the hint, where
    the file cannot be written.
    """
    final = Path(path)
    temporary = final.with_name(f".part{os.getpid()}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link that somebody put there is not followed
        yield temporary
        sync_file(temporary)
        temporary.replace(final)
        sync_file(final.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{final.name} cannot be written: {reason}", where=str(final), hint=hint) from error
    finally:
        if final.parent.is_dir():
            temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Wait until a file, or the names in a folder, are safe on the disk; OSError where they cannot be written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until several files, and their names, are safe on the disk: together, which takes as long as for a few."""
    files = list(paths)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(sync_file, [*files, *{path.parent for path in files}]))


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, replacing what has it; where a file can have one name only, it is copied.

    The name is safe from a power failure when the folder is (``sync_file``): there may be many.
    """
    temporary = target.with_name(f".part{os.getpid()}-{target.name}")
    try:
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temporary)
            sync_file(temporary)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{target.name} cannot be written: {reason}", where=str(target), hint="is the disk full?"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes, *, hint: str = "is the disk full?") -> Path:
    """Write a file in one step and return its path; OutputError, with the hint, where it cannot be written."""
    with replacing(path, hint=hint) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: Path | str, text: str) -> Path:
    """Write a text file in one step and return its path; OutputError where it cannot be written."""
    return write_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file; one that did not change since the last call is not read again."""
    state = path.stat()
    return _sha256(path.absolute(), state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def _sha256(path: Path, *state: int) -> str:
    return read_sha256(path)


def read_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is read whether it looks changed or not."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
