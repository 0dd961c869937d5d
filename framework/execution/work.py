"""One work unit, from the file to its entry in the ledger: in this process, in a worker, in a batch job."""

from __future__ import annotations

import json
import platform
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hepflow.errors
from hepflow.errors import HepflowError, InputError, OutputError, WorkerError
from hepflow.execution.keys import signature, signed
from hepflow.execution.ledger import KEPT, Ledger, Place, Segment
from hepflow.execution.loop import Payload, UnitResult, Worker
from hepflow.execution.packing import PackingError
from hepflow.execution.plan import WorkUnit
from hepflow.execution.rundir import LEDGER, STATE
from hepflow.execution.totals import not_kept, segment_of
from hepflow.files import sync_file

__all__ = ["Recorder", "UnitRunner", "Work", "error_of", "told_of", "write_payload"]

SYNC_UNITS, SYNC_SECONDS = 100, 1.0
"""What a worker has done is made safe on disk after so many units, or seconds."""
MARK = 32
"""Bytes of the signature in front of a payload."""


class Work(dict[str, Any]):
    """What a worker says of a unit that it has done: ``about`` and ``place`` of its entry in the ledger, ``by`` whom,
    and whether all that this one did is ``safe`` on disk.
    """


class InWorker(Exception):  # noqa: N818 - it is never raised: it is the cause of an error, shown by --debug
    """The traceback of an error in another process."""


class Recorder:
    """Writes what one worker does into the ledger; with ``safe`` what is there outlives a power failure."""

    def __init__(self, ledger: Ledger, made: str, parts: Path, *, safe: bool = False) -> None:
        self.name = uuid.uuid4().hex[:8]
        self._ledger = ledger
        self._made = made
        self._parts = parts
        self._safe = safe
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
            self._unsafe += outcome.parts.values()
            if self._safe:  # who reads the entry counts on them
                self._sync_parts()
            place = self._segment_of(unit).append(about, [outcome.results, outcome.cutflow, outcome.notes])
            self._units += 1
            due = self._safe or self._units >= SYNC_UNITS or time.monotonic() - self._synced >= SYNC_SECONDS
            if due:
                self.sync()
        except PackingError as error:
            return not_kept(error)
        except OSError as error:
            return OutputError(
                f"the results of a work unit cannot be written: {error.strerror or error}",
                where=str(error.filename or self._ledger.folder),
                hint=KEPT,
            )
        return Work(about=about, place=place, by=self.name, safe=due)

    def sync(self) -> None:
        """Make safe what was recorded."""
        self._sync_parts()
        if self._segment is not None:
            self._segment.sync()
        self._units, self._synced = 0, time.monotonic()

    def _sync_parts(self) -> None:
        for path in self._unsafe:
            sync_file(path)
        if self._unsafe:
            sync_file(self._parts)
        self._unsafe.clear()

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
            self._segment = self._ledger.segment(segment_of(self._group))
        return self._segment


class UnitRunner:
    """Runs the work units of one run in whatever process it is called in. The worker is made once in each thread, and
    gives way to that of another run: processes of a cluster outlive a run.

    ``payload`` is the file that ``write_payload`` wrote, ``key`` the key of the run; without one results are data only.
    What a ``safe`` one has done outlives a power failure. ``made`` and ``session`` are those of the run, for who reads
    its ledger.
    """

    _thread = threading.local()

    def __init__(
        self, payload: Path, key: bytes | None, *, safe: bool = False, made: str = "", session: str = ""
    ) -> None:
        self.payload = payload
        self.made = made
        self.token = uuid.uuid4().hex
        self._key = key
        self._safe = safe
        self._session = session

    def __call__(self, unit: WorkUnit) -> bytes:
        """Run a unit in this process; return, as JSON, what the worker says of it, or the error that it ended with.
        What is raised concerns all units: the tools cannot be initialized.
        """
        worker, recorder = self._ready()
        outcome = worker.attempt(unit)
        said = outcome if isinstance(outcome, HepflowError) else recorder.record(unit, outcome)
        return json.dumps({"error": told_of(said)} if isinstance(said, HepflowError) else said).encode()

    def job(self) -> Payload:
        """Return what the worker of this process has."""
        return self._ready()[0].payload

    def done(self, units: Iterable[WorkUnit]) -> set[str]:
        """Return the keys of those units, and of others, that are in the ledger and not yet added up: a job may begin
        again, where its node was lost.
        """
        made, ledger = self.job().made, self.ledger
        entries = (entry for group in {unit.group for unit in units} for entry in ledger.entries(segment_of(group)))
        return {entry.about["unit"] for entry in entries if entry.about.get("made") == made and "unit" in entry.about}

    @property
    def ledger(self) -> Ledger:
        """Return the ledger of the run."""
        state = next(folder for folder in self.payload.parents if folder.name == STATE)
        return Ledger(state / LEDGER, state.parent, self._key, self._session)

    @staticmethod
    def unpack(packed: bytes) -> Work | HepflowError:
        """Return what a call has packed; the cause of an error is then the traceback where it was."""
        told = json.loads(packed)
        return error_of(told["error"]) if "error" in told else Work(told, place=Place(*told["place"]))

    def _ready(self) -> tuple[Worker, Recorder]:
        token, worker, recorder = getattr(self._thread, "worker", ("", None, None))
        if token != self.token or worker is None or recorder is None:
            if worker is not None:
                worker.close()
            payload = _read_payload(self.payload, self._key)
            self._session = payload.session
            ledger = self.ledger
            payload = replace(payload, parts=ledger.folder.with_name("parts"))
            worker = Worker(payload)
            recorder = Recorder(ledger, payload.made, payload.parts, safe=self._safe)
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
    try:
        return Payload.unpack(content[MARK:])
    except (ImportError, AttributeError) as error:
        raise WorkerError(
            f"this worker cannot load the job: {error}",
            where=f"{platform.node()}, {sys.executable}",
            hint="install what the job needs where its work units run: what it was started with here is not there",
        ) from error


# ── errors as data ───────────────────────────────────────────────────────────────────────────────────────────────────


def told_of(error: HepflowError) -> dict[str, str]:
    """Return an error, with its traceback, as plain data."""
    kind = next(base.__name__ for base in type(error).__mro__ if getattr(hepflow.errors, base.__name__, None) is base)
    told = {key: getattr(error, key) for key in ("message", "where", "hint", "about")}
    return {"class": kind, **told, "trace": "".join(traceback.format_exception(error))}


def error_of(told: dict[str, str]) -> HepflowError:
    """Return an error from what ``told_of`` says of it; KeyError, TypeError or ValueError where it is none."""
    kind = getattr(hepflow.errors, str(told["class"]), None)
    if not isinstance(kind, type) or not issubclass(kind, HepflowError):
        raise ValueError(f"there is no error {told['class']}")
    error = kind(told["message"], **{key: told[key] for key in ("where", "hint", "about")})
    error.__cause__ = InWorker(told["trace"])
    return error
