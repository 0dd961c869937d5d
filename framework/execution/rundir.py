"""The run directory: outputs, how they were made, and the ledger that resume reads."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hepflow.errors import OutputError
from hepflow.execution.loop import UnitResult

__all__ = ["PROVENANCE", "RunDirectory", "sha256"]

STATE = ".hepflow"
PROVENANCE = "provenance.json"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class RunDirectory:
    """A folder that belongs to one run. ``.hepflow`` in it holds the ledger: one file a finished work unit or
    finalize step.

    The ledger is written and read by hepflow alone, in a folder that the user's own run made; it holds tool results
    of any type and is therefore pickled.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / STATE
        self.parts = self.state / "parts"
        self.ledger = self.state / "ledger"

    @classmethod
    def prepare(cls, output: str | None, job: str, *, resume: bool, force: bool) -> RunDirectory:
        """Return the folder of a run, made if needed; OutputError where it is taken or cannot be written.

        Without ``output`` it is ``output/<job>-<time>``, with a link ``output/<job>-latest``; ``resume`` then
        continues the latest.
        """
        path = Path(output).expanduser() if output else _default(job, resume)
        directory = cls(path)
        try:
            if path.is_symlink() or path.exists():
                directory._reuse(resume, force)
            elif resume:
                raise OutputError(
                    f"there is no run to resume in {path}", hint="leave --resume out, or give its folder with -o"
                )
            directory.parts.mkdir(parents=True, exist_ok=True)
            directory.ledger.mkdir(exist_ok=True)
            if not os.access(path, os.W_OK):
                raise OutputError(f"the output folder {path} cannot be written")
            if not output:
                _link_latest(path, job)
        except OSError as error:
            raise OutputError(
                f"the output folder {path} cannot be made: {error.strerror or error}", hint="give another one with -o"
            ) from error
        return directory

    def _reuse(self, resume: bool, force: bool) -> None:
        if not self.path.is_dir():
            raise OutputError(f"the output {self.path} is a file, not a folder", hint="give another one with -o")
        ours = self.state.is_dir()
        if not ours:
            if any(self.path.iterdir()):
                raise OutputError(
                    f"the output folder {self.path} exists and was not made by a hepflow run",
                    hint="give another one with -o; --force replaces only what a hepflow run wrote",
                )
            return
        if force:
            self._clear()
        elif not resume:
            raise OutputError(
                f"the output folder {self.path} exists already",
                hint="--resume continues the run, --force replaces it, or give another folder with -o",
            )

    def _clear(self) -> None:
        """Remove what the earlier run wrote, and nothing else."""
        written = [self.path / name for name in [*(self._load("files.json") or []), PROVENANCE, "joboptions.py"]]
        for path in written:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.state)
        folders = {folder for path in written for folder in path.parents if self.path in folder.parents}
        for folder in sorted(folders, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    # ── what belongs to the run ──────────────────────────────────────────────────────────────────────────────────────

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file in one step."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
        temporary.replace(path)

    def _load(self, name: str) -> Any:
        path = self.state / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def check_fingerprint(self, fingerprint: Mapping[str, Any], *, resume: bool) -> None:
        """Record what the run is made of; when resuming, refuse to continue with anything else, showing the
        difference.
        """
        earlier = self._load("fingerprint.json")
        current = json.loads(json.dumps(fingerprint, default=str))
        if resume and earlier is not None and earlier != current:
            raise OutputError(
                "the run cannot be resumed: " + "; ".join(_differences(earlier, current)),
                where=str(self.path),
                hint="run with what it was started with, or start anew with --force",
            )
        self.write_json(f"{STATE}/fingerprint.json", current)

    def record(self, result: UnitResult) -> None:
        """Add a finished work unit to the ledger."""
        self.save_step(f"unit_{result.number:06d}", result)

    def finished_units(self) -> dict[int, UnitResult]:
        """Return the units of the ledger, by number, whose parts are still there or in a stream that was closed.

        Where a file of a closed stream is gone, nothing is finished: the ledger is emptied.
        """
        closed = [self.load_step(path.stem)[1] for path in self.ledger.glob("stream_*.pkl")]
        if not all(Path(file).exists() for files in closed for file in files):
            for path in [*self.ledger.iterdir(), *self.parts.iterdir()]:
                path.unlink()
        found: dict[int, UnitResult] = {}
        for path in sorted(self.ledger.glob("unit_*.pkl")):
            result: UnitResult = pickle.loads(path.read_bytes())  # noqa: S301 - written by this run (see the class)
            if all(part.exists() or self.load_step(f"stream_{name}")[0] for name, part in result.parts.items()):
                found[result.number] = result
        return found

    def finished_parts(self, stream: str) -> list[tuple[int, Path]]:
        """Return (number of the work unit, path) of the finished parts of a stream that is not closed yet."""
        name = re.compile(re.escape(stream) + r"_(\d{6})\.\w+")
        matches = [(name.fullmatch(path.name), path) for path in sorted(self.parts.glob("*"))]
        return [(int(match[1]), path) for match, path in matches if match]

    def save_step(self, name: str, value: Any) -> None:
        """Add a step to the ledger in one step; a value that cannot be pickled is left out and made again on resume."""
        try:
            blob = pickle.dumps(value)
        except Exception:  # whatever a value's own pickling raises
            return
        path = self.ledger / f"{name}.pkl"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(blob)
        temporary.replace(path)

    def load_step(self, name: str) -> tuple[bool, Any]:
        """Return (whether the step is in the ledger, its value)."""
        path = self.ledger / f"{name}.pkl"
        return (True, pickle.loads(path.read_bytes())) if path.exists() else (False, None)  # noqa: S301 - as above

    def close(self, before: Iterable[Path]) -> list[Path]:
        """Note which files the run wrote, for --force; return them. ``before`` are the files that were there
        already.
        """
        known = set(before)
        own = [
            p for p in sorted(self.path.rglob("*")) if p.is_file() and self.state not in p.parents and p not in known
        ]
        earlier = [self.path / name for name in self._load("files.json") or []]
        files = sorted({*own, *(path for path in earlier if path.exists())})
        self.write_json(f"{STATE}/files.json", [str(path.relative_to(self.path)) for path in files])
        return files

    def files(self) -> list[Path]:
        """Return the files that are in the folder now, the ledger left out."""
        return [p for p in self.path.rglob("*") if p.is_file() and self.state not in p.parents]


def _default(job: str, resume: bool) -> Path:
    latest = Path("output") / f"{job}-latest"
    if resume:
        if not latest.exists():
            raise OutputError(
                f"there is no run of {job} to resume: {latest} is not there", hint="give its folder with -o"
            )
        return latest.resolve()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path = Path("output") / f"{job}-{stamp}"
    number = 1
    while path.exists():
        number += 1
        path = Path("output") / f"{job}-{stamp}-{number}"
    return path


def _link_latest(path: Path, job: str) -> None:
    link = Path("output") / f"{job}-latest"
    if link.exists() and not link.is_symlink():
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(path.name)
    temporary.replace(link)


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in dict.fromkeys([*old, *new])
            if old.get(key) != new.get(key)
            for line in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        ]
    shorten = [text if len(text := repr(value)) < 80 else text[:77] + "..." for value in (old, new)]
    return [f"{where} was {shorten[0]}, is {shorten[1]}"]
