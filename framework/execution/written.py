"""The files of a run directory: who wrote which, for ``--force`` and ``--resume``, and what the run notes as JSON."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from hepflow.errors import OutputError
from hepflow.execution.ledger import KEPT
from hepflow.files import sha256, sync_files, write_bytes

__all__ = ["IDENTITY", "STATE", "WrittenFiles", "is_inside", "plain"]

STATE = ".hepflow"
IDENTITY = "identity.json"
"""Which run this is, signed with the key of the user who started it, in STATE."""


class _Stamp(NamedTuple):
    """What stays as it is where a file is moved, and does not where it is written."""

    inode: int
    size: int
    mtime: int


class WrittenFiles:
    """The files in a folder: ``before`` are those that were there before the run, ``files.json`` in its state names
    what the steps wrote, with sizes and, where ``checksum`` is set, SHA-256.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / STATE
        self.before: frozenset[str] = frozenset()
        self.checksum = False

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file in one step."""
        text = json.dumps(plain(content), indent=2, default=str, allow_nan=False)
        write_bytes(self.path / name, f"{text}\n".encode(), hint=KEPT)

    def load(self, name: str) -> Any:
        """Return what a file of the ledger holds, None where it is not there; OutputError where it is damaged."""
        path = self.state / name
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
            if found is not None and not _SHAPES[name](found):
                raise ValueError("it holds something else than it should")
            return found
        except ValueError as error:
            raise OutputError(
                f"{STATE}/{name} of the run is damaged: {error}",
                where=str(path),
                hint="--force starts anew; with this file lost, it leaves the outputs of the earlier run where they are"
                if name == "files.json"
                else "--force starts anew",
            ) from error

    @contextmanager
    def noting(self, step: str, written: Sequence[Path]) -> Iterator[None]:
        """Note what a step writes in here, also where it fails, for --force and for ``check_files``.

        ``written`` are the files and folders that the run has asked for; the step adds to it. A file that was there
        before the run is somebody else's. Any other belongs to the run where it is, or is in, what was asked for, or
        where it is written into a folder in which the run has files.
        """
        before, asked = self._stamps(), len(written)
        try:
            yield
        except BaseException:
            with suppress(OSError, OutputError):
                self._note(step, written, asked, before)
            raise
        self._note(step, written, asked, before)

    def _note(self, step: str, written: Sequence[Path], asked: int, before: Mapping[str, _Stamp]) -> None:
        """Note the files of a step that has ended, which began with the files ``before`` and asked for
        ``written[asked:]``.

        A file counts for the step that wrote it first; a later one may have changed its size. What a step wrote
        earlier and neither writes nor asks for now, and what it only moved, counts for none: ``--force`` may replace
        it, and nobody would make it again.
        """
        made = [PurePath(os.path.relpath(path, self.path)) for path in written]
        noted, now = self.noted(), self._stamps()
        folders = {folder for name in noted for folder in PurePath(name).parents} - {PurePath()}
        files = {name: entry for name, entry in noted.items() if name in now or entry["step"] not in ("", step)}
        earlier, fresh = {*before.values()}, list[str]()
        for name, stamp in now.items():
            places = {PurePath(name), *PurePath(name).parents}
            changed = stamp != before.get(name)
            belongs = name not in self.before and (places.intersection(made) or (changed and places & folders))
            holder = noted[name]["step"] if name in noted else ""
            if holder in ("", step) and (belongs or name in noted):
                moved = stamp in earlier
                counts = not moved if changed else places.intersection(made[asked:])
                files[name] = self._entry(name, step if counts else "", stamp)
                fresh += [name] if changed and not moved else []
            elif holder and changed:
                files[name] = self._entry(name, holder, stamp)
                fresh.append(name)
        sync_files(self.path / name for name in fresh)  # what a step has written counts as done
        if files != noted:
            self.write_json(f"{STATE}/files.json", files)

    def _entry(self, name: str, step: str, stamp: _Stamp) -> dict[str, Any]:
        checksum = {"sha256": sha256(self.path / name)} if self.checksum else {}
        return {"step": step, "size": stamp.size, **checksum}

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of what the run wrote, by name, where they are kept."""
        return {name: entry["sha256"] for name, entry in self.noted().items() if "sha256" in entry}

    def noted(self) -> dict[str, dict[str, Any]]:
        """Return what is noted of each file, by name: step, size, SHA-256; OutputError where a name leads out."""
        noted: dict[str, dict[str, Any]] = self.load("files.json") or {}
        root = self.path.resolve()
        folder = cache(lambda parent: (self.path / parent).resolve().is_relative_to(root))  # there may be many files
        outside = [name for name in noted if not (is_inside(name) and folder(PurePath(name).parent))]
        if outside:  # another one's folder: --force would remove, and --resume trust, what it names
            raise OutputError(
                f"{STATE}/files.json of the run names files outside of the run directory: {', '.join(outside[:3])}",
                where=str(self.path),
                hint="give another folder with -o",
            )
        return noted

    def _stamps(self) -> dict[str, _Stamp]:
        """Return what tells, by name, whether a file that is in the folder now is written later."""
        stats = {str(path.relative_to(self.path)): path.stat() for path in sorted(self.files())}
        return {name: _Stamp(stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def files(self) -> list[Path]:
        """Return the files that are in the folder now, the ledger left out."""
        return [p for p in self.path.rglob("*") if p.is_file() and self.state not in p.parents]


def is_inside(name: str) -> bool:
    """Tell whether a name leads to what is in the folder, links aside."""
    return not PurePath(name).is_absolute() and ".." not in PurePath(name).parts


def _is_noted(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("step"), str) and isinstance(entry.get("size"), int)


def _is_fingerprint(found: Any) -> bool:
    parts = [found.get(key) for key in ("settings", "run", "finalize")] if isinstance(found, dict) else []
    return len(parts) == 3 and all(isinstance(part, dict) for part in parts) and isinstance(found.get("inputs"), str)


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "before.json": lambda found: isinstance(found, list) and all(isinstance(name, str) for name in found),
    "files.json": lambda found: isinstance(found, dict) and all(map(_is_noted, found.values())),
    "fingerprint.json": _is_fingerprint,
    IDENTITY: lambda found: (
        isinstance(found, dict) and all(re.fullmatch("[0-9a-f]*", str(found.get(key))) for key in ("run", "signature"))
    ),
}
"""What the files of the state hold."""


def plain(content: Any) -> Any:
    """Return content with numbers that JSON does not know (inf, nan) as texts."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content
