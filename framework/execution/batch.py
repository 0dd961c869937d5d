"""Work units that batch jobs do: what a job is given, how it does them, and how the run hears of it: through the
ledger, to which a job appends what it has done and what has failed.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hepflow.errors import HepflowError, InputError, WorkerError, differences
from hepflow.execution.fingerprint import READING
from hepflow.execution.keys import worker_key
from hepflow.execution.ledger import Entry, Ledger
from hepflow.execution.rundir import BATCH, LEDGER, PAYLOAD, STATE, identity_of
from hepflow.execution.totals import UNITS
from hepflow.execution.work import UnitRunner, Work, error_of, told_of
from hepflow.files import replacing, write_bytes
from hepflow.versions import versions

__all__ = ["TOLD", "News", "do_packed", "do_units", "note_batch", "numbers_of", "unpack", "written_numbers"]

TOLD = "job.json"
"""What a job is told before it unpacks anything of the run: the batch that it is of, and which versions it has to have;
beside the payload.
"""
GIVEN = ("parts", LEDGER)
"""Folders of a run's STATE into which work units write: an entry of the ledger comes behind its parts."""
ERRORS = f"{UNITS}errors"
"""Name of the file of the ledger in which a job notes what failed."""
END = "end"
"""Last in the archive of a job: it is whole."""


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


# ── in a job ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def do_units(folder: Path, numbers: Iterable[int], into: str) -> list[int]:
    """Do work units of the run in a folder, one after the other, as a job of its batch ``into``; return the numbers of
    those that failed. What is done already is left out.

    What they give, and the error of each that fails, goes into the ledger of the run; so does what is raised, which
    concerns all units: InputError where there is no such unit, WorkerError where this worker has other versions than
    the run. InputError where the run waits for no batch jobs.
    """
    state = folder / STATE
    given = state / BATCH / into
    if not into or not (given / PAYLOAD).is_file():
        raise InputError("no run here waits for work", where=str(folder), hint="has it ended, or was the folder moved?")
    told = json.loads((given / TOLD).read_text(encoding="utf-8"))
    key = worker_key(identity_of(state))
    errors = Ledger(state / LEDGER, folder, key).segment(ERRORS)

    def note(unit: str, error: dict[str, str]) -> None:
        errors.append({"failed": unit, "batch": told["batch"], "error": error}, None)
        errors.sync()

    failed = []
    try:
        _check_versions(told["versions"])
        runner = UnitRunner(given / PAYLOAD, key, safe=True)
        units = {unit.number: unit for unit in runner.job().plan.units}
        numbers = list(numbers)
        for number in numbers:
            if number not in units:
                raise InputError(f"the run has no work unit {number}: it has {len(units)}", where=str(folder))
        done = runner.done(units[number] for number in numbers)
        for unit in (units[number] for number in numbers):
            said = {} if unit.key in done else json.loads(runner(unit))
            if "error" in said:
                failed.append(unit.number)
                note(unit.key, said["error"])
    except HepflowError as error:
        note("", told_of(error))
        raise
    finally:
        errors.close()
    return failed


def do_packed(payload: Path, numbers: Iterable[int], archive: Path) -> list[int]:
    """Do work units of a run whose folder is not seen from here, given its payload, and what a job is told beside it;
    all that they give goes into one file, for ``unpack``. Return the numbers of those that failed; raises as
    ``do_units``.
    """
    with TemporaryDirectory(dir=archive.absolute().parent) as scratch:
        state = Path(scratch) / STATE
        for folder in (*GIVEN, f"{BATCH}/job"):
            (state / folder).mkdir(parents=True)
        for name in (PAYLOAD, TOLD):
            shutil.copyfile(payload.with_name(name), state / BATCH / "job" / name)
        try:
            return do_units(Path(scratch), numbers, "job")
        finally:
            with tarfile.open(archive, "w") as packed:
                for folder in GIVEN:
                    for path in sorted((state / folder).iterdir()):
                        packed.add(path, f"{folder}/{path.name}")
                packed.addfile(tarfile.TarInfo(END))


def _check_versions(wanted: dict[str, str]) -> None:
    other = differences(_versions(), wanted)
    if other:
        raise WorkerError(
            f"this worker has other versions than the run: {', '.join(other)}",
            where=f"{platform.node()}, {sys.executable}",
            hint="let the prologue of a job bring what the run has; finished units are kept, --resume continues",
        )


def _versions() -> dict[str, str]:
    found = {name: version for name, version in versions().items() if name in READING}
    return {**found, "python": ".".join(platform.python_version_tuple()[:2])}


# ── for the run ──────────────────────────────────────────────────────────────────────────────────────────────────────


def note_batch(batch: Path) -> None:
    """Note in the folder of a batch what its jobs are told."""
    write_bytes(batch / TOLD, json.dumps({"batch": batch.name, "versions": _versions()}).encode())


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
                if not member.isfile() or not re.fullmatch(rf"({GIVEN[0]}/|{LEDGER}/{UNITS})\w[\w.-]*", member.name):
                    raise WorkerError(f"a job sent back {member.name!r}, which no job gives", where=str(archive))
                opened = packed.extractfile(member)
                assert opened is not None
                with replacing(state / member.name) as temporary, temporary.open("wb") as file:
                    shutil.copyfileobj(opened, file)
    except (tarfile.TarError, EOFError):
        return False
    archive.unlink()
    return True


class News:
    """What jobs append to the ledger of a run while it waits for them."""

    def __init__(self, runner: UnitRunner) -> None:
        self._ledger = runner.ledger
        self._parts = self._ledger.folder.with_name("parts")
        self._made = runner.made
        self._read: dict[str, int] = {}

    def read(self, waiting: Collection[str]) -> Iterator[tuple[str, str, bytes | HepflowError]]:
        """Yield what is new of work units that are waited for, by key: (batch, key, what their runner said); the batch
        of those that succeeded is empty. An error that concerns all units of a batch comes as such, without a key.

        An entry whose parts are not seen yet waits, with those behind it: a file system may be slow to show them.
        """
        for name in self._ledger.names(UNITS):
            for entry in self._ledger.since(name, self._read.get(name, 0)):
                about, place = entry
                if about.get("made") == self._made and about.get("unit") in waiting:
                    if not all(_is_there(self._parts / part[0], part[1]) for part in about["parts"].values()):
                        break
                    yield "", about["unit"], json.dumps(Work(about=about, place=place, by=name, safe=True)).encode()
                elif "failed" in about:
                    yield _failed(entry)
                self._read[name] = place.offset + place.length


def _failed(entry: Entry) -> tuple[str, str, bytes | HepflowError]:
    about = entry.about
    try:
        error = error_of(about["error"])
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        error = WorkerError(f"a batch job left what cannot be read: {reason}", where=entry.place.file)
        return about.get("batch", ""), "", error
    return about["batch"], about["failed"], json.dumps({"error": about["error"]}).encode() if about["failed"] else error


def _is_there(part: Path, size: int) -> bool:
    return part.is_file() and part.stat().st_size == size
