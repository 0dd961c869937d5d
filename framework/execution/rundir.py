"""The run directory: outputs, how they were made, and the ledger that resume reads."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock, Timeout

from hepflow.errors import OutputError, listed
from hepflow.execution.fingerprint import compared
from hepflow.execution.keys import run_key, signature, signed
from hepflow.execution.ledger import KEPT, Ledger
from hepflow.execution.packing import PackingError
from hepflow.execution.written import IDENTITY, STATE, WrittenFiles, is_inside, plain
from hepflow.files import link_or_copy, read_sha256, sync_file

__all__ = [
    "BATCH",
    "FAILURES",
    "JOBS",
    "KEPT",
    "LEDGER",
    "PAYLOAD",
    "PROVENANCE",
    "RUN",
    "STATE",
    "STREAM",
    "TOOL",
    "RunDirectory",
    "identity_of",
]

LEDGER = "ledger"
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
STREAM, TOOL, CLOSED = "stream_", "tool_", "closed"
"""How the steps in the ledger are called: closed streams, finalized tools, and what the outputs are made of."""
INPUTS = "inputs-"
"""How that with the inputs of the run is called, before its digest."""


class RunDirectory(WrittenFiles):
    """A folder that belongs to one run. ``.hepflow`` in it holds the ledger: what is done, work units, closed streams
    and finalized tools; and ``files.json``: the files that the steps wrote, with their sizes. ``before.json`` names the
    files that were there before; it goes when the run has finished, so that what a killed process wrote is not among
    them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.parts = self.state / "parts"
        self.ledger = Ledger(self.state / LEDGER, path)
        self.made = ""  # fingerprint of the run, for its ledger
        self._resumed = False
        self._lock = FileLock(self.state / "lock")

    @classmethod
    def prepare(cls, output: str | None, job: str, *, resume: bool, force: bool) -> RunDirectory:
        """Return the folder of a run, made if needed; OutputError where it is taken or cannot be written.

        Without ``output`` it is ``output/<job>-<time>``, with a link ``output/<job>-latest``; ``resume`` then
        continues the latest.
        """
        path = _folder(output, job, resume)
        directory = cls(path)
        try:
            directory._check(resume, force)
            directory.state.mkdir(parents=True, exist_ok=True)
            directory._acquire()
            if force:
                directory._clear()
            directory._sweep()
            directory.parts.mkdir(parents=True, exist_ok=True)
            directory.ledger.folder.mkdir(exist_ok=True)
            if not os.access(path, os.W_OK):
                raise OutputError(f"the output folder {path} cannot be written")
            directory._identify()
            directory._start()
            if not output:
                _link_latest(path, job)
        except OSError as error:
            directory.release()
            raise _not_made(path, error.strerror or str(error)) from error
        except BaseException:
            directory.release()
            raise
        return directory

    @classmethod
    def check(cls, output: str | None, job: str, *, resume: bool, force: bool) -> None:
        """Raise OutputError where ``prepare`` would refuse; nothing is made or changed."""
        if output or resume:
            path = _folder(output, job, resume)
            try:
                cls(path)._check(resume, force)
            except OSError as error:
                raise _not_made(path, error.strerror or str(error)) from error

    def _sweep(self) -> None:
        """Remove what a killed process left under temporary names."""
        for left in self.path.rglob(".part*"):
            if re.match(r"\.part\d+-.", left.name) and self.state / BATCH not in left.parents:
                left.unlink(missing_ok=True)
        (self.state / PAYLOAD).unlink(missing_ok=True)

    @classmethod
    def has_checksums(cls, output: str | None, job: str) -> bool:
        """Return whether the run that is there knows the SHA-256 of its inputs."""
        earlier = cls(_folder(output, job, True)).load("fingerprint.json") or {}
        return bool(earlier.get("checksum"))

    def _identify(self) -> None:
        """Know the key of the run, which is a new one, or of this user: only then is what is there to be trusted."""
        told = self.load(IDENTITY)
        if told is None and not any(self.ledger.folder.iterdir()):
            identity = uuid.uuid4().hex
            key = run_key(identity)
            mark = signature(IDENTITY.encode(), key).hex() if key else ""
            self.write_json(f"{STATE}/{IDENTITY}", {"run": identity, "signature": mark})
        else:
            identity, mark = (told["run"], told["signature"]) if told else ("", "")
            key = run_key(identity)
            if key is None or not signed(IDENTITY.encode(), bytes.fromhex(mark), key):
                raise OutputError(
                    "this run was not started by you here: another user's, from another machine, or of an old hepflow",
                    where=str(self.path),
                    hint="its files can be read, but it cannot go on; give another folder with -o",
                )
        self.ledger = Ledger(self.state / LEDGER, self.path, key)

    def _start(self) -> None:
        """Know which files were there before the run."""
        names = self.load("before.json")
        self._resumed = names is not None
        self.before = frozenset([str(p.relative_to(self.path)) for p in self.files()] if names is None else names)

    def begin(self) -> None:
        """Note that the run begins, or goes on: from now on, until ``finish``, it counts as unfinished."""
        if not self._resumed:
            self.write_json(f"{STATE}/before.json", sorted(self.before))

    def finish(self, outputs: Iterable[Path], *, keep_parts: bool = False) -> None:
        """Know that the run has come to its end: what others add from now on is theirs, and no part is needed, but
        where some units were left out, which may be put back.

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
        for part in () if keep_parts else self.parts.iterdir():
            part.unlink()
        (self.state / "before.json").unlink(missing_ok=True)

    def executors_with_jobs(self) -> set[str]:
        """Return the executors of which jobs may go on without the run."""
        told = [json.loads(path.read_text(encoding="utf-8")) for path in self.state.glob(f"{BATCH}/*/{JOBS}")]
        return {batch["executor"] for batch in told if batch["tasks"]}

    def steps(self) -> list[str]:
        """Return the streams that are closed and the tools that are finalized, as ``stream NAME``, ``tool NAME``."""
        names = [*self.ledger.names(STREAM), *self.ledger.names(TOOL)]
        return [name.replace("_", " ", 1) for name in sorted(names, key=self.ledger.written)]

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
        with suppress(OSError):  # a tool closed the file, and the lock is gone with it
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            who = ""
            with suppress(OSError, ValueError, KeyError, TypeError):  # it is only about to begin
                told = json.loads((self.state / RUN).read_text(encoding="utf-8"))
                who = f"process {told['pid']} on {told['host']}"
            raise OutputError(
                f"another run is writing to {self.path}",
                where=who,
                hint="wait for it (hepflow status shows how far it is), or give another folder with -o",
            ) from None

    def _check(self, resume: bool, force: bool) -> None:
        if not self.path.exists() and not self.path.is_symlink():
            if resume:
                raise OutputError(
                    f"there is no run to resume in {self.path}", hint="leave --resume out, or give its folder with -o"
                )
            return
        if self.path.is_symlink() and not self.path.exists():
            raise OutputError(f"the output {self.path} is a link that leads nowhere", hint="give another one with -o")
        if not self.path.is_dir():
            raise OutputError(f"the output {self.path} is a file, not a folder", hint="give another one with -o")
        own = (self.state, self.parts, self.ledger.folder, Path(self._lock.lock_file))
        linked = [path for path in own if path.is_symlink()]
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
            noted = self.noted()
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

    def check_fingerprint(
        self, fingerprint: Mapping[str, Mapping[str, Any]], *, resume: bool, failed: Iterable[str] = ()
    ) -> list[str]:
        """Record what the run is made of; when resuming, refuse to continue with other work units, showing the
        difference.

        ``settings`` are those of the tools and streams of the event loop, ``run`` is all else that must be the same,
        ``inputs`` are the inputs, by name, as lists.
        ``finalize`` names every tool, in job order, with the settings of those that only finalize: these may change.
        The steps of the ledger from the first such tool on are forgotten; what has changed is returned in words.
        ``failed`` are inputs that failed, or fail now: they may be others.
        """
        earlier = self.load("fingerprint.json")
        inputs = fingerprint["inputs"]
        current = json.loads(json.dumps(plain({key: told for key, told in fingerprint.items() if key != "inputs"})))
        self.made = hashlib.sha256(repr([current["settings"], current["run"]]).encode()).hexdigest()
        changed: list[str] = []
        if resume and earlier is not None:
            known, packed = self.load_step(earlier["inputs"])
            earlier = {**earlier, "inputs": json.loads(packed)} if known else None
        if resume and earlier is None and {*self.ledger.names("")} != {*self.ledger.names(INPUTS)}:
            raise OutputError(
                "the run cannot be resumed: its ledger is damaged, or of another version of hepflow",
                where=str(self.state / "fingerprint.json"),
                hint="start anew with --force",
            )
        if resume and earlier is not None:
            refused, changed, same, touched = compared(earlier, {**current, "inputs": inputs}, {*failed})
            if refused:
                raise OutputError(
                    f"the run cannot be resumed, this has changed:{listed(refused)}",
                    where=str(self.path),
                    hint="run with what it was started with, or start anew with --force",
                )
            if touched:
                logging.getLogger("hepflow").warning(
                    "inputs were touched since then: their name, links or rights changed, or bytes with the time set "
                    "back, which --checksum would tell:%s",
                    listed(touched),
                )
            self._forget([*list(earlier["finalize"])[same:], *list(current["finalize"])[same:]])
        packed = json.dumps(inputs, separators=(",", ":")).encode()
        name = f"{INPUTS}{hashlib.sha256(packed).hexdigest()[:16]}"
        self.save_step(name, packed)  # there may be many
        told = {**current, "inputs": name, "checksum": self.checksum}
        self.write_json(f"{STATE}/fingerprint.json", told)
        for other in {*self.ledger.names(INPUTS)} - {name}:
            self.ledger.forget(other)
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

    def close_with(self, units: Iterable[str], left_out: Sequence[Mapping[str, Any]]) -> bool:
        """Note what the outputs are made of (keys of work units, what is left out); return whether it was something
        else, so that what was closed and finalized is forgotten, outputs included.
        """
        lacking = [[row["file"], row["entries"]] for row in left_out]
        now = [hashlib.sha256("\n".join(units).encode()).hexdigest(), lacking]
        known, before = self.load_step(CLOSED)
        if known and now == before:
            return False
        streams = [name.removeprefix(STREAM) for name in self.ledger.names(STREAM)]
        for stream in streams:
            self._reopen(stream)
        tools = self.ledger.names(TOOL)
        self._forget([name.removeprefix(TOOL) for name in tools])
        self.save_step(CLOSED, now)
        return bool(streams)

    def save_stream(self, stream: str, outputs: Sequence[Path], parts: Sequence[Path]) -> None:
        """Note that a stream is closed: its files, and the parts that they were made of."""
        files = [os.path.relpath(path, self.path) for path in outputs]
        self.save_step(f"{STREAM}{stream}", {"files": files, "parts": [path.name for path in parts]})

    def closed_stream(self, stream: str) -> list[Path] | None:
        """Return the files of a stream, None where it is not closed."""
        known, closed = self.load_step(f"{STREAM}{stream}")
        return [self.path / name for name in closed["files"]] if known else None

    def _reopen(self, stream: str, broken: Iterable[str] = ()) -> None:
        """Forget that a stream was closed, and remove its files; those that are numbered parts become parts again."""
        known, closed = self.load_step(f"{STREAM}{stream}")
        files, parts = (closed["files"], closed["parts"]) if known else ((), ())
        for number, (file, part) in enumerate(zip(files, parts, strict=False), start=1):
            numbered = file == f"{stream}_{number:06d}{PurePath(part).suffix}" and len(files) == len(parts)
            if numbered and file not in broken and (self.path / file).is_file() and not (self.parts / part).exists():
                link_or_copy(self.path / file, self.parts / part)
        sync_file(self.parts)
        self.ledger.forget(f"{STREAM}{stream}")
        for file in files:
            if is_inside(file):
                (self.path / file).unlink(missing_ok=True)

    def part_check(self) -> Callable[[str, Sequence[Any]], bool]:
        """Return what tells whether a part of a stream (name, size, SHA-256 where it is known) is as it was written, or
        in a stream that was closed.
        """
        closed = {name.removeprefix(STREAM) for name in self.ledger.names(STREAM)}
        return lambda stream, part: stream in closed or _is_whole(self.parts / part[0], *part[1:])

    def finished_parts(self, stream: str) -> list[tuple[int, Path]]:
        """Return (number of the work unit, path) of the finished parts of a stream that is not closed yet."""
        name = re.compile(re.escape(stream) + r"_(\d{6,})-\w+\.\w+")
        matches = [(name.fullmatch(path.name), path) for path in sorted(self.parts.glob("*"))]
        return [(int(match[1]), path) for match, path in matches if match]

    def save_step(self, name: str, value: Any) -> None:
        """Add a step to the ledger; a value that cannot be packed, or that no other process could read, is left out and
        made again on resume.
        """
        with suppress(PackingError):
            self.ledger.save(name, {"step": name}, value)

    def load_step(self, name: str) -> tuple[bool, Any]:
        """Return (whether the step is in the ledger, its value); a step that cannot be read is not."""
        return self.ledger.load(name)

    def _forget(self, tools: Iterable[str]) -> None:
        for name in tools:
            self.ledger.forget(f"{TOOL}{name}")

    # ── the files that it wrote ──────────────────────────────────────────────────────────────────────────────────────

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
            noted = self.noted()
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

        ``tools`` are all tools in job order. Of a closed stream, the files that are as they were become parts again.
        """
        wrong: dict[str, str] = {}
        steps: set[str] = set()
        for name, entry in self.noted().items():
            path, step = self.path / name, entry["step"]
            size = path.stat().st_size if path.is_file() else None
            if not self.ledger.has(step):
                continue
            if size != entry["size"]:
                wrong[name] = "is gone" if size is None else f"has {size:,} bytes, not {entry['size']:,}"
                steps.add(step)
            elif "sha256" in entry and read_sha256(path) != entry["sha256"]:
                wrong[name] = "has another SHA-256"
                steps.add(step)
        for name in [*self.ledger.names(STREAM), *self.ledger.names(TOOL)]:
            if not self.load_step(name)[0]:
                wrong[f"{STATE}/{LEDGER}/{name}"] = "cannot be read"
                steps.add(name)
        streams = [name for name in self.ledger.names(STREAM) if name in steps]
        for name in streams:
            self._reopen(name.removeprefix(STREAM), wrong)
        if streams:
            self._forget(tools)
        first = next((number for number, name in enumerate(tools) if f"{TOOL}{name}" in steps), len(tools))
        self._forget(tools[first:])
        return [f"{name} {what}" for name, what in wrong.items()]


def identity_of(state: Path) -> str:
    """Return who the run with this state is; empty where that is not to be read."""
    try:
        told = json.loads((state / IDENTITY).read_text(encoding="utf-8"))
        return str(told["run"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _is_whole(part: Path, size: int, checksum: str | None = None) -> bool:
    whole = part.exists() and part.stat().st_size == size
    return whole and (checksum is None or read_sha256(part) == checksum)


def _not_made(path: object, reason: str) -> OutputError:
    return OutputError(f"the output folder {path} cannot be made: {reason}", hint="give another one with -o")


def _folder(output: str | None, job: str, resume: bool) -> Path:
    """Return the folder of a run."""
    try:
        return Path(output).expanduser() if output else _default(job, resume)
    except RuntimeError as error:  # ~somebody
        raise _not_made(output, str(error)) from None


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
