"""What a worker is at, noted beside its output parts before each step: one that is killed cannot say it any more."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from hepflow.errors import ToolError

__all__ = ["Doing", "doing_at"]

PREFIX, SUFFIX = "doing-", ".part"
"""How these files are called: what is left of them goes with the unfinished parts."""
SIZE = 256


class Doing:
    """The note of one worker. Where it cannot be written, it says nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{PREFIX}{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._unit = self._place = ""
        self._file, self._identity = -1, (0, 0)

    def begin(self, unit: str) -> None:
        """Note that a work unit, by its key, begins."""
        self._unit, self._place = unit, ""
        if self._file < 0:
            with suppress(OSError):
                self._open()

    def at(self, place: str) -> None:
        """Note what is done next; ToolError where what was done before closed the file of the note: others of this
        process are then closed, too.
        """
        if self._file < 0:
            return
        try:
            state = os.fstat(self._file)
            closed = (state.st_dev, state.st_ino) != self._identity
        except OSError as error:
            closed = error.errno == errno.EBADF
        if closed:
            self._say_closed()
        self._place = place
        with suppress(OSError):  # a full disk: others will tell
            os.pwrite(self._file, f"{self._unit}\t{place}".encode()[:SIZE].ljust(SIZE), 0)

    def close(self) -> None:
        """Remove the note."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
            self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        state = os.fstat(self._file)
        self._identity = (state.st_dev, state.st_ino)

    def _say_closed(self) -> None:
        """Raise the error; who reads the note gets it, too, where this process cannot tell it any more."""
        self._file = -1
        place, text = self._place, "it closed files of this process that are not its own (os.close, os.closerange)"
        with suppress(OSError):
            self._open()
            self.at(f"{place}: {text}")
        raise ToolError(f"{place} failed: {text}", where=place, hint="a tool closes what it has opened, by its object")


def doing_at(folder: Path, unit: str) -> str:
    """Return what a worker that is gone was at in a work unit, by its key; nothing where that is not known."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            key, _, place = path.read_bytes().decode(errors="replace").strip().partition("\t")
            if key == unit and place:
                path.unlink(missing_ok=True)
                return place
    return ""
