"""What tells one version of an input from another: compared where it is planned with, opened, and read to the end."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from hepflow.io.opening import local_path
from hepflow.io.remote import version_of

__all__ = ["Stamp", "stamp_of"]

_HEADER = 75
"""Bytes of the header of a TFile, up to its UUID; where it begins in it, and in that of a file over 2 GB."""
_UUID, _UUID_LARGE = 47, 59


class Stamp(NamedTuple):
    """Size in bytes, time of writing (seconds since the epoch), time of any change (nanoseconds; nobody can set it
    back), UUID of the ROOT file, and where it lies (device and inode; at a server what tells its version). Times of 0
    and an empty UUID are not known.
    """

    size: int
    mtime: float
    ctime: int
    identity: str
    place: tuple[int | str, ...]

    def differs(self, size: int, mtime: float, ctime: int, identity: str) -> str:
        """Return in words what is not as it was, "" for nothing; what is not known is not compared."""
        told = []
        if self.size != size:
            told.append(f"{size:,} bytes, now {self.size:,}")
        if self.mtime != mtime and mtime and self.mtime:
            told.append(f"written {_time(mtime)}, now {_time(self.mtime)}")
        if self.identity != identity and self.identity:
            told.append(f"UUID {identity}, now {self.identity}")
        if not told and self.ctime != ctime and ctime and self.ctime:
            told.append(
                f"touched {_time(self.ctime / 1e9)} (bytes may be others, with the time set back, or only its name, "
                "links or rights)"
            )
        return "; ".join(told)


def stamp_of(path: str) -> Stamp | None:
    """Return the stamp of an input as it is now; None where it is not there, or where nothing is known: a generator, a
    server that does not say.
    """
    local = local_path(path)
    if local is None:
        found = version_of(path)
        return Stamp(int(found[0]), 0.0, 0, "", tuple(found)) if found else None
    try:
        return _local(local)
    except OSError:
        return None


def _local(path: Path) -> Stamp | None:
    if not path.is_file():  # a pipe would wait
        return None
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEADER)
        status = os.fstat(file.fileno())
    at = _UUID_LARGE if int.from_bytes(head[4:8], "big") >= 1_000_000 else _UUID
    is_root = head[:4] == b"root" and len(head) >= at + 16
    identity = str(UUID(bytes=head[at : at + 16])) if is_root else ""
    return Stamp(status.st_size, status.st_mtime, status.st_ctime_ns, identity, (status.st_dev, status.st_ino))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "milliseconds")
