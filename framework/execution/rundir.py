"""The run directory: outputs, how they were made, and the ledger that resume reads."""

from __future__ import annotations

import fcntl
import io
import json
import math
import os
import pickle
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from hepflow.errors import OutputError, differences, listed
from hepflow.execution.loop import UnitResult
from hepflow.files import read_sha256, sha256, write_bytes

__all__ = ["BATCH", "FAILURES", "JOBS", "KEPT", "PAYLOAD", "PROVENANCE", "RUN", "STATE", "RunDirectory"]

STATE = ".hepflow"
PAYLOAD = "payload.pkl"
"""What workers that are no processes of the run read of it, in STATE."""
BATCH = "batch"
"""Folder of what batch jobs leave for the run, in STATE."""
JOBS = "jobs.json"
"""What is known of these jobs, in a folder of BATCH: they outlive the process that submitted them."""
RUN = "run.json"
"""Who runs this, since when, how much there is to do, and how it ended, in STATE."""
PROVENANCE = "provenance.json"
FAILURES = "failures.json"
OWN = (PROVENANCE, FAILURES, "joboptions.py", "cutflow.json")
KEPT = "is the disk full? finished work units are kept, --resume continues"
"""What to do where a file of the run cannot be written."""


class _Stamp(NamedTuple):
    """What stays as it is where a file is moved, and does not where it is written."""

    inode: int
    size: int
    mtime: int


class RunDirectory:
    """A folder that belongs to one run. ``.hepflow`` in it holds the ledger: one file a finished work unit or
    finalize step, and ``files.json``: the files that the steps wrote, with their sizes. ``before.json`` names the files
    that were there before; it goes when the run has finished, so that what a killed process wrote is not among them.

    The ledger is written and read by hepflow alone, in a folder that the user's own run made; it holds tool results
    of any type and is therefore pickled. Paths in it are those of the folder as it is called when they are read: it
    may have been moved or copied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before: frozenset[str] = frozenset()
        self.state = path / STATE
        self.parts = self.state / "parts"
        self.ledger = self.state / "ledger"
        self.checksum = False  # whether SHA-256 are kept of what the run writes
        self._lock = FileLock(self.state / "lock")

    @classmethod
    def prepare(cls, output: str | None, job: str, *, resume: bool, force: bool) -> RunDirectory:
        """Return the folder of a run, made if needed; OutputError where it is taken or cannot be written.

        Without ``output`` it is ``output/<job>-<time>``, with a link ``output/<job>-latest``; ``resume`` then
        continues the latest.
        """
        path = Path(output).expanduser() if output else _default(job, resume)
        directory = cls(path)
        try:
            directory._check(resume, force)
            directory.state.mkdir(parents=True, exist_ok=True)
            directory._acquire()
            if force:
                directory._clear()
            directory._sweep()
            directory.parts.mkdir(parents=True, exist_ok=True)
            directory.ledger.mkdir(exist_ok=True)
            if not os.access(path, os.W_OK):
                raise OutputError(f"the output folder {path} cannot be written")
            directory._start()
            if not output:
                _link_latest(path, job)
        except OSError as error:
            directory.release()
            raise OutputError(
                f"the output folder {path} cannot be made: {error.strerror or error}", hint="give another one with -o"
            ) from error
        except BaseException:
            directory.release()
            raise
        return directory

    @classmethod
    def check(cls, output: str | None, job: str, *, resume: bool, force: bool) -> None:
        """Raise OutputError where ``prepare`` would refuse; nothing is made or changed."""
        if output or resume:
            cls(Path(output).expanduser() if output else _default(job, resume))._check(resume, force)

    def _sweep(self) -> None:
        """Remove what a killed process left under temporary names."""
        for left in self.path.rglob(".part*"):
            if re.match(r"\.part\d+-.", left.name) and self.state / BATCH not in left.parents:
                left.unlink(missing_ok=True)
        (self.state / PAYLOAD).unlink(missing_ok=True)

    @classmethod
    def has_checksums(cls, output: str | None, job: str) -> bool:
        """Return whether the run that is there knows the SHA-256 of its inputs."""
        earlier = cls(Path(output).expanduser() if output else _default(job, True))._load("fingerprint.json") or {}
        return any("sha256" in entry for entry in earlier.get("run", {}).get("inputs", {}).values())

    def _start(self) -> None:
        """Keep which files were there before the run, or read it where the run is one that goes on."""
        names = self._load("before.json")
        if names is None:
            names = [str(path.relative_to(self.path)) for path in self.files()]
            self.write_json(f"{STATE}/before.json", names)
        self.before = frozenset(names)

    def finish(self, outputs: Iterable[Path]) -> None:
        """Know that the run has come to its end: what others add from now on is theirs, and no part is needed.

        OutputError where the folder went away meanwhile, with the outputs in it.
        """
        gone = [path for path in outputs if not path.exists()]
        if gone or not self.parts.is_dir():
            lost = gone[0] if gone else self.parts
            raise OutputError(
                f"the run directory was removed or moved during the run: {lost} is not there",
                where=str(self.path),
                hint="run again",
            )
        for part in self.parts.iterdir():
            part.unlink()
        (self.state / "before.json").unlink(missing_ok=True)

    def executors_with_jobs(self) -> set[str]:
        """Return the executors of which jobs may go on without the run."""
        told = [json.loads(path.read_text(encoding="utf-8")) for path in self.state.glob(f"{BATCH}/*/{JOBS}")]
        return {batch["executor"] for batch in told if batch["tasks"]}

    def progress(self) -> tuple[int, float | None]:
        """Return how many work units are finished, and when the last one was (seconds since the epoch)."""
        found = [path.stat().st_mtime for path in self.ledger.glob("unit_*.pkl")]
        return len(found), max(found, default=None)

    def steps(self) -> list[str]:
        """Return the streams that are closed and the tools that are finalized, as ``stream NAME``, ``tool NAME``."""
        paths = [*self.ledger.glob("stream_*.pkl"), *self.ledger.glob("tool_*.pkl")]
        return [path.stem.replace("_", " ", 1) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]

    @property
    def is_finished(self) -> bool:
        """Tell whether the run has come to its end."""
        return (self.path / PROVENANCE).is_file() and not (self.state / "before.json").exists()

    def is_running(self) -> bool:
        """Tell whether a run is writing here, as far as this machine can see."""
        try:
            with Path(self._lock.lock_file).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def release(self) -> None:
        """Let other runs use the folder."""
        self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(
                f"another run is writing to {self.path}", hint="wait for it, or give another folder with -o"
            ) from None

    def _check(self, resume: bool, force: bool) -> None:
        if not self.path.exists() and not self.path.is_symlink():
            if resume:
                raise OutputError(
                    f"there is no run to resume in {self.path}", hint="leave --resume out, or give its folder with -o"
                )
            return
        if not self.path.is_dir():
            raise OutputError(f"the output {self.path} is a file, not a folder", hint="give another one with -o")
        linked = [folder for folder in (self.state, self.parts, self.ledger) if folder.is_symlink()]
        if linked:
            raise OutputError(
                f"{linked[0]} is a link: what the run keeps there would lie elsewhere",
                hint="give another folder with -o",
            )
        ours = self.state.is_dir()
        if not ours:
            if any(self.path.iterdir()):
                raise OutputError(
                    f"the output folder {self.path} exists and was not made by a hepflow run",
                    hint="give another one with -o; --force replaces only what a hepflow run wrote",
                )
            return
        if not resume and not force:
            raise OutputError(
                f"the output folder {self.path} exists already",
                hint="--resume continues the run, --force replaces it, or give another folder with -o",
            )

    def _clear(self) -> None:
        """Remove what the earlier run wrote, and nothing else."""
        noted: Iterable[str] = ()
        with suppress(OutputError):  # nobody knows any more what it wrote
            noted = self._noted()
        written = [self.path / name for name in [*noted, *OWN]]
        for path in written:
            path.unlink(missing_ok=True)
        for entry in self.state.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry != Path(self._lock.lock_file):
                entry.unlink()
        folders = {folder for path in written for folder in path.parents if self.path in folder.parents}
        for folder in sorted(folders, reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    # ── what belongs to the run ──────────────────────────────────────────────────────────────────────────────────────

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file in one step."""
        text = json.dumps(_plain(content), indent=2, default=str, allow_nan=False)
        write_bytes(self.path / name, f"{text}\n".encode(), hint=KEPT)

    def _load(self, name: str) -> Any:
        """Return what a file of the ledger holds, None where it is not there; OutputError where it is damaged."""
        path = self.state / name
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except ValueError as error:
            raise OutputError(
                f"{STATE}/{name} of the run is damaged: {error}",
                where=str(path),
                hint="--force starts anew; with this file lost, it leaves the outputs of the earlier run where they are"
                if name == "files.json"
                else "--force starts anew",
            ) from error

    def check_fingerprint(
        self, fingerprint: Mapping[str, Mapping[str, Any]], *, resume: bool, failed: Iterable[str] = ()
    ) -> list[str]:
        """Record what the run is made of; when resuming, refuse to continue with other work units, showing the
        difference.

        ``settings`` are those of the tools and streams of the event loop, ``run`` is all else that must be the same.
        ``finalize`` names every tool, in job order, with the settings of those that only finalize: these may change.
        The steps of the ledger from the first such tool on are forgotten; what has changed is returned in words.
        ``failed`` are inputs that failed, or fail now: they may be others.
        """
        earlier = self._load("fingerprint.json")
        current = json.loads(json.dumps(_plain(fingerprint)))
        changed: list[str] = []
        if resume and earlier is None and any(self.ledger.iterdir()):
            raise OutputError(
                "the run cannot be resumed: what it was made of is not known any more",
                where=str(self.state / "fingerprint.json"),
                hint="start anew with --force",
            )
        if resume and earlier is not None:
            refused = differences(earlier.get("settings", {}), current["settings"])
            old, new = (_without(made.get("run", {}), {*failed}) for made in (earlier, current))
            refused += differences(old, new)
            if refused:
                raise OutputError(
                    f"the run cannot be resumed, this has changed:{listed(refused)}",
                    where=str(self.path),
                    hint="run with what it was started with, or start anew with --force",
                )
            old, new = earlier["finalize"], current["finalize"]
            changed = [*differences(old, new), *_moved(old, new)]
            same = sum(
                1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old.items(), new.items(), strict=False))
            )
            self._forget([*list(old)[same:], *list(new)[same:]])
        self.write_json(f"{STATE}/fingerprint.json", current)
        return changed

    def failures(self) -> list[dict[str, Any]]:
        """Return what ``failures.json`` says: the units of this run that failed."""
        try:
            rows = json.loads((self.path / FAILURES).read_text(encoding="utf-8"))
            return [row for row in rows if isinstance(row["file"], str)]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def note_failures(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``failures.json``, or remove it where nothing failed."""
        if rows:
            self.write_json(FAILURES, rows)
        else:
            (self.path / FAILURES).unlink(missing_ok=True)

    def leave_out(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Note what outputs will lack; return whether that was otherwise, so that what was closed and finalized is
        forgotten, outputs included.
        """
        now = [[row["file"], row["entries"]] for row in rows]
        if now == (self._load("left_out.json") or []):
            return False
        for path in self.ledger.glob("stream_*.pkl"):
            for output in self.load_step(path.stem)[1] or ():
                output.unlink(missing_ok=True)
        closed = [*self.ledger.glob("stream_*.pkl"), *self.ledger.glob("tool_*.pkl")]
        for path in closed:
            path.unlink()
        self.write_json(f"{STATE}/left_out.json", now)
        return bool(closed)

    def record(self, result: UnitResult) -> None:
        """Add a finished work unit to the ledger."""
        self.save_step(f"unit_{result.key}", result)

    def finished_units(self) -> dict[str, UnitResult]:
        """Return the units of the ledger, by key, whose parts are still there, with the size that they had, or in a
        stream that was closed.
        """
        found: dict[str, UnitResult] = {}
        steps = [path.stem for path in self.ledger.glob("stream_*.pkl")]
        closed = {step.removeprefix("stream_") for step in steps if self.load_step(step)[0]}
        for path in sorted(self.ledger.glob("unit_*.pkl")):
            there, result = self.load_step(path.stem)
            if there and all(
                name in closed or _is_whole(part, result.sizes[name], result.checksums.get(name))
                for name, part in result.parts.items()
            ):
                found[result.key] = result
        return found

    def finished_parts(self, stream: str) -> list[tuple[int, Path]]:
        """Return (number of the work unit, path) of the finished parts of a stream that is not closed yet."""
        name = re.compile(re.escape(stream) + r"_(\d{6})-\w+\.\w+")
        matches = [(name.fullmatch(path.name), path) for path in sorted(self.parts.glob("*"))]
        return [(int(match[1]), path) for match, path in matches if match]

    def save_step(self, name: str, value: Any) -> None:
        """Add a step to the ledger in one step; a value that cannot be pickled is left out and made again on resume."""
        blob = io.BytesIO()
        try:
            _Pickler(blob, self.path.resolve()).dump(value)
        except Exception:  # whatever a value's own pickling raises
            return
        write_bytes(self.ledger / f"{name}.pkl", blob.getvalue(), hint=KEPT)

    def load_step(self, name: str) -> tuple[bool, Any]:
        """Return (whether the step is in the ledger, its value); a step that cannot be read is not."""
        path = self.ledger / f"{name}.pkl"
        if not path.exists():
            return False, None
        blob = io.BytesIO(path.read_bytes())
        try:
            return True, _Unpickler(blob, self.path.resolve()).load()
        except Exception:  # whatever damaged bytes, or a value's own unpickling, raise
            return False, None

    def _forget(self, tools: Iterable[str]) -> None:
        for name in tools:
            (self.ledger / f"tool_{name}.pkl").unlink(missing_ok=True)

    # ── the files that it wrote ──────────────────────────────────────────────────────────────────────────────────────

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
        noted, now = self._noted(), self._stamps()
        folders = {folder for name in noted for folder in PurePath(name).parents} - {PurePath()}
        files = {name: entry for name, entry in noted.items() if name in now or entry["step"] not in ("", step)}
        for name, stamp in now.items():
            places = {PurePath(name), *PurePath(name).parents}
            changed = stamp != before.get(name)
            belongs = name not in self.before and (places.intersection(made) or (changed and places & folders))
            holder = noted[name]["step"] if name in noted else ""
            if holder in ("", step) and (belongs or name in noted):
                moved = stamp in before.values()
                counts = not moved if changed else places.intersection(made[asked:])
                files[name] = self._entry(name, step if counts else "", stamp)
            elif holder and changed:
                files[name] = self._entry(name, holder, stamp)
        if files != noted:
            self.write_json(f"{STATE}/files.json", files)

    def _entry(self, name: str, step: str, stamp: _Stamp) -> dict[str, Any]:
        checksum = {"sha256": sha256(self.path / name)} if self.checksum else {}
        return {"step": step, "size": stamp.size, **checksum}

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of what the run wrote, by name, where they are kept."""
        return {name: entry["sha256"] for name, entry in self._noted().items() if "sha256" in entry}

    @contextmanager
    def adding(self, names: Iterable[str]) -> Iterator[None]:
        """Let something else than a run write these files in here; a later run with --force may replace them.

        OutputError where a run is writing. Where there is no ledger, nothing is noted.
        """
        if not self.state.is_dir():
            yield
            return
        self._acquire()
        try:
            yield
            noted = self._noted()
            for name in names:
                noted[name] = {
                    "step": noted.get(name, {}).get("step", ""),
                    "size": (self.path / name).stat().st_size,
                }
            self.write_json(f"{STATE}/files.json", noted)
        finally:
            self.release()

    def check_files(self, tools: Sequence[str]) -> list[str]:
        """Forget the steps that cannot be read or whose files are gone or have another size, and those behind them;
        return these files, and what is wrong, in words.

        ``tools`` are all tools in job order. Where a file of a closed stream is concerned, nothing is finished.
        """
        wrong: dict[str, str] = {}
        steps: set[str] = set()
        for name, entry in self._noted().items():
            path, step = self.path / name, entry["step"]
            size = path.stat().st_size if path.is_file() else None
            if not (self.ledger / f"{step}.pkl").exists():
                continue
            if size != entry["size"]:
                wrong[name] = "is gone" if size is None else f"has {size:,} bytes, not {entry['size']:,}"
                steps.add(step)
            elif "sha256" in entry and read_sha256(path) != entry["sha256"]:
                wrong[name] = "has another SHA-256"
                steps.add(step)
        for path in [*self.ledger.glob("stream_*.pkl"), *self.ledger.glob("tool_*.pkl")]:
            if not self.load_step(path.stem)[0]:
                wrong[str(path.relative_to(self.path))] = "cannot be read"
                steps.add(path.stem)
        if any(step.startswith("stream_") for step in steps):
            for path in [*self.ledger.iterdir(), *self.parts.iterdir()]:
                path.unlink()
        first = next((number for number, name in enumerate(tools) if f"tool_{name}" in steps), len(tools))
        self._forget(tools[first:])
        return [f"{name} {what}" for name, what in wrong.items()]

    def _noted(self) -> dict[str, dict[str, Any]]:
        noted: dict[str, dict[str, Any]] = self._load("files.json") or {}
        outside = [name for name in noted if not (self.path / name).resolve().is_relative_to(self.path.resolve())]
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


class _Pickler(pickle.Pickler):
    """Pickles paths in a folder, as Path or as text, by what they are called in there."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self._folder = str(folder)

    def persistent_id(self, thing: Any) -> tuple[bool, str] | None:
        """Return (whether it is a text, what follows the folder) of such a path, None of anything else."""
        if type(thing) is not str and not isinstance(thing, PurePath):
            return None
        path = str(thing)
        inside = path == self._folder or path.startswith(self._folder + os.sep)
        return (path is thing, path.removeprefix(self._folder)) if inside else None


class _Unpickler(pickle.Unpickler):
    """Reads what ``_Pickler`` wrote, in a folder that may be another one."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self._folder = str(folder)

    def persistent_load(self, held: tuple[bool, str]) -> str | Path:
        """Return the path in this folder."""
        is_text, rest = held
        path = self._folder + rest
        return path if is_text else Path(path)


def _is_whole(part: Path, size: int, checksum: str | None) -> bool:
    whole = part.exists() and part.stat().st_size == size
    return whole and (checksum is None or read_sha256(part) == checksum)


def _without(made: Mapping[str, Any], failed: Collection[str]) -> dict[str, Any]:
    """Return what a run is made of, these inputs left out."""
    kept = {name: told for name, told in made.get("inputs", {}).items() if told["path"] not in failed}
    return {**made, "inputs": kept, "files": [name for name in made.get("files", ()) if name in kept]}


def _moved(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return in words which of the names that both have stand elsewhere now."""
    new = list(new)
    both = [name for name in old if name in new]
    pairs = [(a, b) for a, b in zip(both, (name for name in new if name in both), strict=True) if a != b]
    return [f"order: {' → '.join(', '.join(names) for names in zip(*pairs, strict=True))}"] if pairs else []


def _plain(content: Any) -> Any:
    """Return content with numbers that JSON does not know (inf, nan) as texts."""
    if isinstance(content, dict):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return str(content) if isinstance(content, float) and not math.isfinite(content) else content


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
