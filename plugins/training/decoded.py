"""What was read of a training set and transformed, in a nameless file, so that later epochs only read it again.

The file lies where temporary files lie (``TMPDIR``) and is gone when it is closed, however the process ends. Where
there is no room, blocks are decoded every time, and the log says so.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from hepflow.plugins.training.rows import Rows

__all__ = ["Decoded"]

SHARE = 0.5
"""The file takes at most this part of the room that is free."""

_log = logging.getLogger(__name__)


class Decoded:
    """Blocks of rows by number, each decoded once. ``what`` says what they are, ``parts`` how many blocks there are."""

    def __init__(self, decode: Callable[[int], Rows], parts: int, what: str) -> None:
        self._decode, self.parts, self._what = decode, parts, what
        self._file: IO[bytes] | None = None
        self._full = False
        self._end = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, int, list[tuple[str, str, np.dtype[Any], tuple[int, ...]]]]] = {}

    def block(self, number: int) -> Rows:
        """Return a block; what its arrays hold must not be changed."""
        with self._lock:
            if number in self._held:
                return self._read(number)
            rows = self._decode(number)
            self._sizes[number] = len(rows), sum(a.nbytes for part in PARTS for a in _named(rows, part).values())
            if not self._full:
                self._keep(number, rows)
            return rows

    def size(self, number: int) -> int:
        """Return the rows of a block."""
        return self._size(number)[0]

    def nbytes(self, number: int) -> int:
        """Return the bytes of a block."""
        return self._size(number)[1]

    def _size(self, number: int) -> tuple[int, int]:
        if number not in self._sizes:
            self.block(number)
        return self._sizes[number]

    def _keep(self, number: int, rows: Rows) -> None:
        """Append a block to the file."""
        arrays = [(part, name, value) for part in PARTS for name, value in _named(rows, part).items()]
        size = sum(array.nbytes for _, _, array in arrays)
        try:
            if self._file is None:
                self._check_room(size * self.parts)
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - close() does
            for _, _, array in arrays:
                self._file.write(np.ascontiguousarray(array).data.cast("B"))
        except OSError as error:
            self._full = True
            self.close()
            _log.warning("%s are decoded anew in every epoch, which is slower: %s", self._what, error.strerror or error)
            return
        self._held[number] = (self._end, size, [(part, name, a.dtype, a.shape) for part, name, a in arrays])
        self._end += size

    def _check_room(self, size: int) -> None:
        """Raise OSError where a file of this size would take too much of what is free."""
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if size > SHARE * free:
            raise OSError(
                f"{folder} has {free / 1e9:.1f} GB free, they take {size / 1e9:.1f} GB; TMPDIR can name another"
            )

    def _read(self, number: int) -> Rows:
        """Return a block that is in the file."""
        assert self._file is not None
        start, size, arrays = self._held[number]
        content = os.pread(self._file.fileno(), size, start)
        found: dict[str, Any] = {part: {} for part in PARTS}
        place = 0
        for part, name, kind, shape in arrays:
            count = int(np.prod(shape))
            found[part][name] = np.frombuffer(content, kind, count, place).reshape(shape)
            place += count * kind.itemsize
        own = found.pop("own")
        return Rows(**found, **own)

    def close(self) -> None:
        """Give the file back."""
        self._held.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


PARTS = ("inputs", "counts", "own", "columns")


def _named(rows: Rows, part: str) -> dict[str, Any]:
    """Return the arrays of a part of rows by name."""
    return {"labels": rows.labels, "weights": rows.weights} if part == "own" else dict(getattr(rows, part))
