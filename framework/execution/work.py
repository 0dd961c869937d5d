"""One work unit, from the file to its entry in the ledger: in this process, in a worker, in a batch job."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
import tarfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hepflow.errors
from hepflow.errors import HepflowError, InputError, OutputError, ToolError, WorkerError, differences
from hepflow.execution.fingerprint import READING
from hepflow.execution.keys import signature, signed, worker_key
from hepflow.execution.ledger import KEPT, Ledger, Place, Segment
from hepflow.execution.loop import Payload, UnitResult, Worker
from hepflow.execution.packing import PackingError
from hepflow.execution.plan import WorkUnit
from hepflow.execution.rundir import BATCH, LEDGER, PAYLOAD, STATE, identity_of
from hepflow.execution.totals import UNITS
from hepflow.files import replacing, sync_file, write_bytes
from hepflow.versions import versions

__all__ = [
    "REFUSED",
    "VERSIONS",
    "Recorder",
    "UnitRunner",
    "Work",
    "check_versions",
    "collected",
    "do_packed",
    "do_units",
    "note_versions",
    "numbers_of",
    "refused",
    "unpack",
    "write_payload",
    "written_numbers",
]

SYNC_UNITS, SYNC_SECONDS = 100, 1.0
"""What a worker has done is made safe on disk after so many units, or seconds."""
GIVEN = (LEDGER, "parts")
"""Folders of a run's STATE into which work units write."""
END = "end"
"""Last in the archive of a job: it is whole."""
VERSIONS, REFUSED = "versions.json", "refused.json"
"""What the jobs of a batch have to have, and why one did not begin, in its folder."""
MARK = 32
"""Bytes of the signature in front of a payload."""


class Work(dict[str, Any]):
    """What a worker says of a unit that it has done: ``about`` and ``place`` of its entry in the ledger, ``by`` whom,
    and whether all that this one did is ``safe`` on disk.
    """


class InWorker(Exception):  # noqa: N818 - it is never raised: it is the cause of an error, shown by --debug
    """The traceback of an error in another process."""


class Recorder:
    """Writes what one worker does into the ledger."""

    def __init__(self, ledger: Ledger, made: str, parts: Path) -> None:
        self.name = uuid.uuid4().hex[:8]
        self._ledger = ledger
        self._made = made
        self._parts = parts
        self._segment: Segment | None = None
        self._group = -1
        self._unsafe: list[Path] = []
        self._units = 0
        self._synced = time.monotonic()

    def record(self, unit: WorkUnit, outcome: UnitResult) -> Work | HepflowError:
        """Append what a unit gave; return what is to be said of it, or the error where that is not possible."""
        parts = {
            stream: [path.name, outcome.sizes[stream], *filter(None, [outcome.checksums.get(stream)])]
            for stream, path in outcome.parts.items()
        }
        about = {"unit": unit.key, "made": self._made, "number": unit.number, "entries": unit.entries, "parts": parts}
        try:
            place = self._segment_of(unit).append(about, [outcome.results, outcome.cutflow, outcome.notes])
            self._unsafe += outcome.parts.values()
            self._units += 1
            due = self._units >= SYNC_UNITS or time.monotonic() - self._synced >= SYNC_SECONDS
            if due:
                self.sync()
        except PackingError as error:
            return _not_recorded(outcome, error)
        except OSError as error:
            return OutputError(
                f"the results of a work unit cannot be written: {error.strerror or error}",
                where=str(error.filename or self._ledger.folder),
                hint=KEPT,
            )
        return Work(about=about, place=place, by=self.name, safe=due)

    def sync(self) -> None:
        """Make safe what was recorded."""
        for path in self._unsafe:
            sync_file(path)
        if self._unsafe:
            sync_file(self._parts)
        if self._segment is not None:
            self._segment.sync()
        self._unsafe.clear()
        self._units, self._synced = 0, time.monotonic()

    def close(self) -> None:
        """Close the file."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _segment_of(self, unit: WorkUnit) -> Segment:
        """Return where to append a unit: a group has files of its own, so that they can go when it is added up."""
        if self._segment is None or unit.group != self._group:
            if self._segment is not None:
                self._segment.sync()
                self.close()
            self._group = unit.group
            self._segment = self._ledger.segment(f"{UNITS}{self._group:06d}")
        return self._segment


class UnitRunner:
    """Runs the work units of one run in whatever process it is called in. The worker is made once in each thread, and
    gives way to that of another run: processes of a cluster outlive a run.

    ``payload`` is the file that ``write_payload`` wrote, ``key`` the key of the run; without one results are data only.
    What a ``safe`` one has done outlives a power failure.
    """

    _thread = threading.local()

    def __init__(self, payload: Path, key: bytes | None, *, safe: bool = False) -> None:
        self.payload = payload
        self.token = uuid.uuid4().hex
        self._key = key
        self._safe = safe

    def __call__(self, unit: WorkUnit) -> bytes:
        """Run a unit in this process; return, as JSON, what the worker says of it, or the error that it ended with.
        What is raised concerns all units: the tools cannot be initialized.
        """
        worker, recorder = self._ready()
        outcome = worker.attempt(unit)
        said = outcome if isinstance(outcome, HepflowError) else recorder.record(unit, outcome)
        if self._safe and isinstance(said, Work):
            recorder.sync()
            said["safe"] = True
        return json.dumps({"error": _told(said)} if isinstance(said, HepflowError) else said).encode()

    def units(self) -> tuple[WorkUnit, ...]:
        """Return the work units of the plan."""
        return self._ready()[0].payload.plan.units

    @staticmethod
    def unpack(packed: bytes) -> Work | HepflowError:
        """Return what a call has packed; the cause of an error is then the traceback where it was."""
        told = json.loads(packed)
        return _error(told["error"]) if "error" in told else Work(told, place=Place(*told["place"]))

    def _ready(self) -> tuple[Worker, Recorder]:
        token, worker, recorder = getattr(self._thread, "worker", ("", None, None))
        if token != self.token or worker is None or recorder is None:
            if worker is not None:
                worker.close()
            state = next(folder for folder in self.payload.parents if folder.name == STATE)
            payload = replace(_read_payload(self.payload, self._key), parts=state / "parts")
            worker = Worker(payload)
            ledger = Ledger(state / LEDGER, state.parent, self._key, payload.session)
            recorder = Recorder(ledger, payload.made, payload.parts)
            self._thread.worker = (self.token, worker, recorder)
        return worker, recorder


def write_payload(path: Path, payload: Payload, key: bytes | None) -> None:
    """Write a payload for workers, signed where there is a key."""
    packed = payload.pack()
    path.write_bytes((signature(packed, key) if key else bytes(MARK)) + packed)


def _read_payload(path: Path, key: bytes | None) -> Payload:
    """Return what was written; InputError where it is not signed with the key: it is code of somebody else."""
    content = path.read_bytes()
    if key is not None and not signed(content[MARK:], content[:MARK], key):
        raise InputError(
            "what this run gives its workers was not signed with your key",
            where=str(path),
            hint="only who started a run can do its work units",
        )
    return Payload.unpack(content[MARK:])


# ── batch jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def numbers_of(text: str) -> list[int]:
    """Return the numbers that a text lists; InputError where it does not.

    >>> numbers_of("1-3,7")
    [1, 2, 3, 7]
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"{text!r} lists no work units", hint="write them as in 1-3,7")
        numbers += range(int(first), int(last if dash else first) + 1)
    return numbers


def written_numbers(numbers: Sequence[int]) -> str:
    """Return ascending numbers as ``numbers_of`` reads them."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def do_units(folder: Path, numbers: Iterable[int], into: str) -> list[int]:
    """Do work units of the run in a folder, one after the other; return the numbers of those that failed.

    What they give goes into the ledger of the run; what the runner says of each, or the error that it raises, into the
    folder ``into``. InputError where the run waits for no batch jobs, or has no such unit.
    """
    state = folder / STATE
    target = state / BATCH / into
    if not into or not (target / PAYLOAD).is_file():
        raise InputError("no run here waits for work", where=str(folder), hint="has it ended, or was the folder moved?")
    runner = UnitRunner(target / PAYLOAD, worker_key(identity_of(state)), safe=True)
    units = {unit.number: unit for unit in runner.units()}
    failed = []
    for number in numbers:
        if number not in units:
            raise InputError(f"the run has no work unit {number}: it has {len(units)}", where=str(folder))
        if (target / f"{number}.json").exists():
            continue
        try:
            said = runner(units[number])
        except HepflowError as error:
            said = json.dumps({"error": _told(error), "of": "all"}).encode()
        if "error" in json.loads(said):
            failed.append(number)
        write_bytes(target / f"{number}.json", said)
    return failed


def do_packed(payload: Path, numbers: Iterable[int], archive: Path) -> list[int]:
    """Do work units of a run whose folder is not seen from here, given its payload; all that they give goes into one
    file, for ``unpack``. Return the numbers of those that failed.
    """
    with TemporaryDirectory(dir=archive.absolute().parent) as scratch:
        state = Path(scratch) / STATE
        for folder in (*GIVEN, f"{BATCH}/job"):
            (state / folder).mkdir(parents=True)
        shutil.copyfile(payload, state / BATCH / "job" / PAYLOAD)
        failed = do_units(Path(scratch), numbers, "job")
        with tarfile.open(archive, "w") as packed:
            for folder in GIVEN:
                for path in sorted((state / folder).iterdir()):
                    packed.add(path, f"{folder}/{path.name}")
            for path in sorted((state / BATCH / "job").glob("[0-9]*")):
                packed.add(path, path.name)
            packed.addfile(tarfile.TarInfo(END))
    return failed


def unpack(archive: Path, batch: Path) -> bool:
    """Put what a job sent back into the run of a batch, and remove the archive; return False where it is not there
    whole. WorkerError where it holds what no job gives.
    """
    state = batch.parents[1]
    try:
        with tarfile.open(archive) as packed:
            members = packed.getmembers()
            if not members or members[-1].name != END:
                return False
            for member in members[:-1]:
                folder, _, name = member.name.rpartition("/")
                if not member.isfile() or not re.fullmatch(rf"(({'|'.join(GIVEN)})/\w[\w.-]*|\d+\.\w+)", member.name):
                    raise WorkerError(f"a job sent back {member.name!r}, which no job gives", where=str(archive))
                opened = packed.extractfile(member)
                assert opened is not None
                with replacing((state / folder if folder else batch) / name) as temporary, temporary.open("wb") as file:
                    shutil.copyfileobj(opened, file)
    except (tarfile.TarError, EOFError):
        return False
    archive.unlink()
    return True


def collected(folder: Path, number: int) -> bytes | HepflowError | None:
    """Return what a batch job has left for a unit: what a runner says of it, or the error that it raised, which
    concerns all units; None where there is nothing.
    """
    path = folder / f"{number}.json"
    if not path.exists():
        return None
    try:
        said = path.read_bytes()
        told = json.loads(said)
        if told.get("of") == "all":
            return _error(told["error"])
        UnitRunner.unpack(said)
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        return WorkerError(f"a batch job left what cannot be read: {reason}", where=str(path))
    return said


# ── errors as data ───────────────────────────────────────────────────────────────────────────────────────────────────


def _told(error: HepflowError) -> dict[str, str]:
    kind = next(base.__name__ for base in type(error).__mro__ if getattr(hepflow.errors, base.__name__, None) is base)
    told = {key: getattr(error, key) for key in ("message", "where", "hint", "about")}
    return {"class": kind, **told, "trace": "".join(traceback.format_exception(error))}


def _error(told: dict[str, str]) -> HepflowError:
    """Return an error from what ``_told`` says of it; KeyError, TypeError or ValueError where it is none."""
    kind = getattr(hepflow.errors, str(told["class"]), None)
    if not isinstance(kind, type) or not issubclass(kind, HepflowError):
        raise ValueError(f"there is no error {told['class']}")
    error = kind(told["message"], **{key: told[key] for key in ("where", "hint", "about")})
    error.__cause__ = InWorker(told["trace"])
    return error


def _not_recorded(outcome: UnitResult, error: PackingError) -> ToolError:
    return ToolError(
        f"the results of a work unit cannot be kept: {error}",
        where=", ".join(f"tool {name}" for name, value in outcome.results.items() if value is not None),
        hint="a result is made of numbers, arrays, objects with +, and dicts, lists, dataclasses of these",
    )


# ── who does not fit ─────────────────────────────────────────────────────────────────────────────────────────────────


def note_versions(batch: Path) -> None:
    """Note in the folder of a batch which versions its jobs have to have."""
    write_bytes(batch / VERSIONS, json.dumps(_versions()).encode())


def check_versions(folder: Path, into: str) -> None:
    """Raise WorkerError where this worker has other versions than the run, and leave it for the run: before anything of
    the run is unpacked.
    """
    batch = folder / STATE / BATCH / into if into else folder
    try:
        wanted = json.loads((batch / VERSIONS).read_text(encoding="utf-8"))
    except FileNotFoundError:  # the run has ended, which is told elsewhere
        return
    other = differences(_versions(), wanted)
    if other:
        message = f"this worker has other versions than the run: {', '.join(other)}"
        hint = "let the prologue of a job bring what the run has; finished units are kept, --resume continues"
        where = f"{platform.node()}, {sys.executable}"
        write_bytes(batch / REFUSED, json.dumps({"message": message, "where": where, "hint": hint}).encode())
        raise WorkerError(message, where=where, hint=hint)


def refused(batch: Path) -> WorkerError | None:
    """Return why a worker refused to begin, once."""
    path = batch / REFUSED
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    path.unlink()
    if not text:  # sent back by a job that did begin
        return None
    told = json.loads(text)
    return WorkerError(told["message"], where=told["where"], hint=told["hint"])


def _versions() -> dict[str, str]:
    found = {name: version for name, version in versions().items() if name in READING}
    return {**found, "python": ".".join(platform.python_version_tuple()[:2])}
