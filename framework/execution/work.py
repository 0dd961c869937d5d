"""Work units that a batch job does: read from the folder of a run, results left there for the run to collect."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import hepflow.errors
from hepflow.errors import HepflowError, InputError, WorkerError, differences
from hepflow.execution.fingerprint import READING
from hepflow.execution.loop import UnitRunner
from hepflow.execution.rundir import BATCH, PAYLOAD, STATE
from hepflow.files import write_bytes
from hepflow.versions import versions

__all__ = [
    "check_versions",
    "collected",
    "do_units",
    "note_versions",
    "numbers_of",
    "refused",
    "written_numbers",
]

VERSIONS, REFUSED = "versions.json", "refused.json"
"""What the jobs of a batch have to have, and why one did not begin, in its folder."""


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

    What the runner packs for each, or the error that it raises, is written into the folder ``into`` of the run.
    InputError where the run waits for no batch jobs, or has no such unit.
    """
    state = folder / STATE
    target = state / BATCH / into
    if not into or not (target / PAYLOAD).is_file():
        raise InputError("no run here waits for work", where=str(folder), hint="has it ended, or was the folder moved?")
    runner = UnitRunner(target / PAYLOAD)
    units = {unit.number: unit for unit in runner.units()}
    failed = []
    for number in numbers:
        if number not in units:
            raise InputError(f"the run has no work unit {number}: it has {len(units)}", where=str(folder))
        if (target / f"{number}.pkl").exists():
            continue
        try:
            packed = runner(units[number])
            if isinstance(UnitRunner.unpack(packed), HepflowError):
                failed.append(number)
            write_bytes(target / f"{number}.pkl", packed)
        except HepflowError as error:
            failed.append(number)
            told = {key: getattr(error, key) for key in ("message", "where", "hint", "about")}
            write_bytes(target / f"{number}.json", json.dumps({"class": type(error).__name__, **told}).encode())
    return failed


def collected(folder: Path, number: int) -> bytes | HepflowError | None:
    """Return what a batch job has left for a unit: what a runner has packed, or the error that it raised; None where
    there is nothing.
    """
    if (folder / f"{number}.pkl").exists():
        return (folder / f"{number}.pkl").read_bytes()
    path = folder / f"{number}.json"
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(hepflow.errors, str(told.pop("class")))
        error: HepflowError = kind(told.pop("message"), **told)
    except (ValueError, TypeError, AttributeError, KeyError) as reason:
        return WorkerError(f"a batch job left an error that cannot be read: {reason}", where=str(path))
    return error


# ── who does not fit ─────────────────────────────────────────────────────────────────────────────────────────────────


def note_versions(batch: Path) -> None:
    """Note in the folder of a batch which versions its jobs have to have."""
    write_bytes(batch / VERSIONS, json.dumps(_versions()).encode())


def check_versions(folder: Path, into: str) -> None:
    """Raise WorkerError where this worker has other versions than the run, and leave it for the run: before anything of
    the run is unpacked.
    """
    batch = folder / STATE / BATCH / into
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
    told = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return WorkerError(told["message"], where=told["where"], hint=told["hint"])


def _versions() -> dict[str, str]:
    found = {name: version for name, version in versions().items() if name in READING}
    return {**found, "python": ".".join(platform.python_version_tuple()[:2])}
