"""Samples that are made on demand: a job that generates them, and a cache that keeps the files."""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hepflow.context import Context
from hepflow.errors import InputError, OutputError, UnitsFailedError, many
from hepflow.execution.cache import cache_directory
from hepflow.execution.inputs import InputFile, formats
from hepflow.execution.loop import Payload, Worker
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import WorkUnit, make_plan
from hepflow.execution.rundir import RunDirectory
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.registry.manager import Registry

__all__ = ["RunJob", "SampleRecipe", "other_versions", "planned_files", "sample_files"]

RunJob = Callable[..., object]
"""Runs a job as ``hepflow.execution.run.run`` does."""


@dataclass(frozen=True)
class SampleRecipe:
    """How a named sample is made.

    ``job`` (a job-option file by name) writes it through its stream ``stream``, ``events`` in all, ``per_file`` in
    each file; it reads ``source``, or its default sample. ``version`` names everything its content depends on
    (generator, detector, seed); another version is another folder of the cache. ``check`` raises InputError where the
    sample cannot be made, because something is not installed.
    """

    name: str
    job: str
    stream: str
    version: str
    source: str = ""
    events: int = 20_000
    per_file: int = 500
    doc: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[], object] | None = None

    def path(self, number: int) -> Path:
        """Return where the file of this number, counted from 1, is kept."""
        return self.folder / f"{self.name}_{number:06d}.root"

    @property
    def folder(self) -> Path:
        """Return the folder of the cache that holds the sample."""
        return cache_directory() / "samples" / f"{self.name}-{self.version}"


def sample_files(
    name: str,
    until: int | None,
    workers: int,
    plugins: Registry,
    reporter: Reporter,
    run: RunJob,
    *,
    first: int = 0,
) -> list[InputFile]:
    """Return the files of a sample that hold its first ``until`` events (all if None); those that are missing are made
    by a job that ``run`` runs.

    Two runs that need the same files wait for each other. Raises OutputError where the cache cannot be written,
    InputError where files are missing and what makes them is not installed.
    """
    recipe, files = _listed(name, until, first, plugins)
    if not all(Path(file.path).exists() for file in files):
        _check(recipe)
        _make_folder(recipe)
        with _alone(recipe, reporter):
            for left in recipe.folder.glob(".making-*"):  # of a run that was killed
                _keep(recipe, left)
            lacking = [i for i in range(1, len(files) + 1) if not recipe.path(i).exists()]
            try:
                for start, stop in _ranges(lacking):
                    _make(recipe, start, stop, workers, plugins, reporter, run)
            except KeyboardInterrupt:
                whole = sum(Path(file.path).exists() for file in files)
                reporter.step(f"kept: {whole} of {many(len(files), 'file')} of the sample {name}, in {recipe.folder}")
                raise
    return files


def planned_files(
    name: str, until: int | None, notes: list[str], *, first: int = 0, plugins: Registry
) -> list[InputFile]:
    """Return what ``sample_files`` does without generating anything: files that are missing as they will be. A note
    tells how many these are.
    """
    recipe, files = _listed(name, until, first, plugins)
    later = [file for file in files if not Path(file.path).exists()]
    made = [file.path for file in files if file not in later]
    if not later:
        return files
    notes.append(f"{len(later)} of {len(files)} files of the sample {name} are not made yet; a run makes them first")
    like = made[0] if made else str(_columns_of(recipe, plugins))
    return [replace(f, like=like, entries=recipe.per_file) if f in later else f for f in files]


def other_versions(recipe: SampleRecipe) -> dict[Path, int]:
    """Return folders of the cache with files of other versions of a sample, and how many: nothing reads or removes
    them."""
    folders = [path for path in recipe.folder.parent.glob(f"{recipe.name}-*") if path != recipe.folder]
    found = {path: len(list(path.glob(f"{recipe.name}_??????.root"))) for path in sorted(folders)}
    return {path: number for path, number in found.items() if number}


def _check(recipe: SampleRecipe) -> None:
    """Raise InputError where files of a sample cannot be made here; it names what is kept of other versions."""
    try:
        if recipe.check is not None:
            recipe.check()
    except InputError as error:
        kept = [
            f"-i '{path}/{recipe.name}_*.root' reads {many(n, 'file')}" for path, n in other_versions(recipe).items()
        ]
        older = f"; or {kept[-1]} of another version" if kept else ""
        raise InputError(
            f"the sample {recipe.name} is not made yet: {error.message}", hint=error.hint + older
        ) from error


@contextmanager
def _alone(recipe: SampleRecipe, reporter: Reporter) -> Iterator[None]:
    """Be the only run that makes files of a sample; say whom this one waits for."""
    lock, note = FileLock(recipe.folder / "lock"), recipe.folder / "maker"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = note.read_text(encoding="utf-8") if note.exists() else "another run"
        reporter.step(f"waiting for the sample {recipe.name}, which {who} makes in {recipe.folder}")
        lock.acquire()
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        note.write_text(f"{_user()} (process {os.getpid()} on {platform.node()}, since {since})", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"user {os.getuid()}"


def _listed(name: str, until: int | None, first: int, plugins: Registry) -> tuple[SampleRecipe, list[InputFile]]:
    """Return the recipe of a sample, and its files that hold the first ``until`` events, made or not."""
    recipe: SampleRecipe = plugins.load("samples", name)
    wanted = recipe.events if until is None else min(until, recipe.events)
    if first >= recipe.events:
        raise InputError(f"--skip {first} goes beyond the {recipe.events} events of the sample {name}")
    numbers = range(1, max(1, -(-wanted // recipe.per_file)) + 1)
    return recipe, [InputFile(str(recipe.path(i)), recipe.name, metadata=recipe.metadata) for i in numbers]


def _make_folder(recipe: SampleRecipe) -> None:
    try:
        recipe.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the cache folder for the sample {recipe.name} cannot be made: {error.strerror}",
            where=str(recipe.folder),
            hint="set HEPFLOW_CACHE",
        ) from error


def _columns_of(recipe: SampleRecipe, plugins: Registry) -> Path:
    """Return a file with the columns of a sample: its job is run on no event, once, and what it writes is kept."""
    path = recipe.folder / "columns.root"
    if not path.exists():
        _make_folder(recipe)
        job = load_joboptions(find_joboptions(recipe.job, plugins)).job
        job.freeze()
        plan = make_plan(job, [InputFile(recipe.source or job.default_sample, recipe.name)], formats(plugins), events=1)
        with tempfile.TemporaryDirectory(dir=recipe.folder) as folder:
            parts = Path(folder)
            payload = Payload(job, plan, Context(parts, job.name), formats(plugins), 1, parts)
            with closing(Worker(payload)) as worker:
                worker.run(WorkUnit(1, plan.files[0], 0, 0)).parts[recipe.stream].replace(path)
    return path


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Return runs of consecutive numbers as (first, last)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _make(
    recipe: SampleRecipe,
    first: int,
    last: int,
    workers: int,
    plugins: Registry,
    reporter: Reporter,
    run: RunJob,
) -> None:
    """Generate the files ``first`` to ``last``; those that are whole are kept even when the rest fails."""
    job = load_joboptions(find_joboptions(recipe.job, plugins))
    events = (last - first + 1) * recipe.per_file
    scratch = recipe.folder / f".making-{first}-{last}"
    options = RunOptions(
        inputs=(recipe.source,) if recipe.source else (),
        output=str(scratch),
        events=events,
        skip=(first - 1) * recipe.per_file,
        workers=min(workers, last - first + 1),
    )
    inner = reporter.nested(f"making the sample {recipe.name}: {events:,} events, kept in {recipe.folder}")
    try:
        run(job, options, plugins=plugins, reporter=inner)
    except UnitsFailedError as error:
        hint = "its whole files are kept: the same command makes those that are missing"
        raise error.but(where=str(recipe.folder), hint=hint) from None
    finally:
        inner.done()
        _keep(recipe, scratch)


def _keep(recipe: SampleRecipe, scratch: Path) -> None:
    """Move the whole files of a run, ended or not, to their places and remove the rest of it."""
    first = int(scratch.name.split("-")[1])
    closed = [(int(path.stem[-6:]), path) for path in scratch.glob(f"{recipe.stream}_??????.root")]
    for number, path in [*closed, *RunDirectory(scratch).finished_parts(recipe.stream)]:
        path.replace(recipe.path(first - 1 + number))
    shutil.rmtree(scratch, ignore_errors=True)
