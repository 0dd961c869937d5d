"""What executors of batch systems share: jobs are submitted, watched through what they leave in the run's folder, and
submitted again where they vanish.

The word of the batch system about a job is a hint only: what counts is whether the results of its units are there.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from hepflow import Property
from hepflow.errors import HepflowError, InputError, OutputError, PluginError, WorkerError, many
from hepflow.execution.batch import TOLD, News, written_numbers
from hepflow.execution.keys import RUN_KEY, worker_key
from hepflow.execution.plan import WorkUnit
from hepflow.execution.rundir import BATCH, PAYLOAD, STATE, identity_of
from hepflow.execution.work import UnitRunner
from hepflow.executor import Detached, Executor, Jobs
from hepflow.io.opening import local_path
from hepflow.plugins.batch.jobs import HEPFLOW, Batch, Task
from hepflow.processes import without_interrupts

__all__ = ["GIVEN", "BatchExecutor", "Task", "output_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")

OUT_OF_TIME = re.compile(r"TIMEOUT|DUE TO TIME LIMIT|wall ?time|allowed (execute|job) duration", re.IGNORECASE)
OUT_OF_MEMORY = re.compile(r"OUT_OF_MEMORY|oom.kill|memory (limit|usage)|memory was exceeded", re.IGNORECASE)
"""What is said of a job, by the batch system or in its log, that needs more: it gets twice as much."""
GIVEN = "given.tar"
"""What a job that does not see the folder of the run gives."""
WORDS = 4096
"""Bytes at the end of a log that are looked at."""


class BatchExecutor(Executor):
    """Base of the executors that hand work units to a batch system, whose nodes see the folder of the run and the input
    under the same paths and have the same installation.
    """

    units_only = True

    UnitsPerJob = Property(1, "work units of one job", minimum=1)
    JobTime = Property(
        0.0,
        "wanted length of a job: the first work unit is done here, to know how many make one; 0: UnitsPerJob",
        unit="min",
        minimum=0,
    )
    Retries = Property(2, "how often the units of a job that vanished are tried again", minimum=0)
    Poll = Property(5.0, "time between two queries", unit="s", minimum=0)
    Patience = Property(60.0, "longest time until files of a finished job are visible here", unit="s", minimum=0)
    Prologue: Property[tuple[str, ...]] = Property((), "shell commands at the start of each job", item=str)
    LogFolder = Property("", "folder of the jobs' logs; empty: one in the folder of the run")
    Copy = Property(
        "",
        "where nodes do not see the folder of the run: the command with which a job copies a file (scp -q); inputs are "
        "then URLs",
    )
    Address = Property("", "what stands before a path of this machine in that command (login01:)")
    Command = Property("", "command for hepflow on the nodes; empty: as here")
    Detach = Property(False, "return once all is submitted (--detach); --resume collects")

    # ── what a batch system says ─────────────────────────────────────────────────────────────────────────────────────

    def submit(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        """Submit jobs and set their names and logs; ``command`` (lines of shell) does the units that are in the shell
        variable ``units``. ``folder`` is for files. WorkerError where they are refused.
        """
        raise TypeError(f"{type(self).__name__} does not say how to submit: override submit()")

    def scripts(self, tasks: Sequence[Task], folder: Path, command: str) -> list[str]:
        """Return what ``submit`` would write for these jobs, file by file; nothing is written."""
        return []

    def states(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        """Return name → state in a word of those jobs that wait or run; WorkerError where that cannot be known now."""
        raise TypeError(f"{type(self).__name__} does not say how to ask: override states()")

    def reason(self, task: Task) -> str:
        """Return in words how a job ended; empty where it is not known."""
        return ""

    def cancel_command(self, tasks: Sequence[Task]) -> Sequence[str]:
        """Return the command that ends jobs."""
        raise TypeError(f"{type(self).__name__} does not say how to cancel: override cancel_command()")

    def discard(self, tasks: Sequence[Task]) -> None:
        """Remove what the batch system keeps of jobs that will not go on: others do their units."""

    # ── what all do the same way ─────────────────────────────────────────────────────────────────────────────────────

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
        """Collect what jobs of an earlier run have done, submit the other work units; yield (position, result) as they
        come (see ``hepflow.executor.Executor``).
        """
        if not isinstance(function, UnitRunner):
            raise PluginError(f"the executor {self.name} does work units and nothing else")
        units = cast("Sequence[WorkUnit]", items)
        here = {unit.file.path for unit in units if local_path(unit.file.path) is not None}
        if here and not self.sees_folder:
            raise InputError(
                f"nodes that do not see the folder of the run do not see this input: {min(here)}",
                hint="give its URL (root://…, https://…)",
            )
        batches = Batch.of_run(function.payload.parent.parent)
        self._check_place(batches, function.payload.parent.parent)
        waiting = {unit.key: position for position, unit in enumerate(units)}
        batches.append(Batch.new(function.payload, units, self.name))
        try:
            failed = yield from self._run(function, units, batches, waiting)
        except Detached:
            raise
        except BaseException as error:
            self._leave(batches, error)
            raise
        for batch in batches:
            if failed:  # the logs are there to be read
                batch.tasks = []
                batch.save()
            else:
                shutil.rmtree(batch.path, ignore_errors=True)

    def sketch(self, units: Sequence[int], folder: Path) -> list[str]:
        """Return how many jobs there would be, and what would be submitted."""
        size = self.UnitsPerJob
        tasks = [Task(tuple(units[i : i + size])) for i in range(0, len(units), size)]
        batch = Batch(folder / STATE / BATCH / "ID", self.name, str(folder), {}, tasks)
        told = f"{many(len(tasks), 'job')} of {self.name}, {many(min(size, len(units)), 'work unit')} each"
        if self.JobTime:
            told = f"jobs of {self.name} of about {self.JobTime:g} min: the first work unit, done here, tells how many"
        return [told, *(self.scripts(tasks, batch.path, self._command(batch)) if tasks else [])]

    def _run(
        self, function: UnitRunner, units: Sequence[WorkUnit], batches: list[Batch], waiting: dict[str, int]
    ) -> Generator[tuple[int, Any], None, int]:
        """Submit what no earlier batch does, to the last one, and watch them all; return how many units failed."""
        news = News(function)
        yield from self._collect(batches, news, waiting)
        taken = {batch.keys[number] for batch in batches for task in batch.tasks for number in task.units}
        numbers = [unit.number for unit in units if unit.key in waiting and unit.key not in taken]
        size = self.UnitsPerJob
        if self.JobTime and numbers:
            size = yield from self._measure(function, units, numbers, waiting)
        self._submit([Task(tuple(numbers[i : i + size])) for i in range(0, len(numbers), size)], batches[-1])
        failed = 0
        while waiting:
            yield from self._collect(batches, news, waiting)
            lost, settled = self._lost(batches, waiting)
            failed += yield from self._again(lost, units, batches[-1], waiting)
            if waiting and self.Detach and settled:
                for batch in batches:
                    batch.save()
                jobs = sum(len(batch.tasks) for batch in batches)
                raise Detached(f"left to {many(jobs, 'job')} of {self.name}: {many(len(waiting), 'work unit')}")
            if waiting:
                time.sleep(self.Poll)
        return failed

    def _measure(
        self, function: UnitRunner, units: Sequence[WorkUnit], numbers: list[int], waiting: dict[str, int]
    ) -> Generator[tuple[int, Any], None, int]:
        """Do work units here until one succeeds; return how many of its kind make a job of the wanted length."""
        by_number = {unit.number: unit for unit in units}
        while numbers:
            unit = by_number[numbers.pop(0)]
            began = time.monotonic()
            packed = function(unit)
            seconds = time.monotonic() - began
            yield waiting.pop(unit.key), packed
            if not isinstance(function.unpack(packed), HepflowError):
                size = max(1, int(self.JobTime * 60 / max(seconds, 1e-3)))
                logging.getLogger("hepflow").info("a work unit takes %.1f s: %s make a job", seconds, size)
                return size
        return self.UnitsPerJob

    def _submit(self, tasks: list[Task], batch: Batch) -> None:
        """Submit jobs and note them; Ctrl-C waits until they are."""
        with without_interrupts():
            try:
                with _key_in_environment(batch.path.parents[1]):
                    if tasks:
                        self.submit(tasks, batch.path, self._command(batch))
            finally:
                batch.tasks += [task for task in tasks if task.name]
                batch.save()

    def _command(self, batch: Batch) -> str:
        """Return what a job does with the units in the shell variable ``units``: with its exit status."""
        hepflow = self.Command or shlex.join(HEPFLOW)
        if self.sees_folder:
            # exec: so that the signal which announces the end reaches hepflow, which keeps the units that are done
            return f'exec {hepflow} work {shlex.quote(batch.folder)} --into {batch.path.name} "$units"'
        work = f'{hepflow} work . "$units" --pack {GIVEN}\ncode=$?'
        if not self.Copy:  # the batch system itself brings and takes files, whether they are there or not
            return f"{work}\ntouch {GIVEN}\nexit $code"
        there = f"{self.Address}{batch.path}"
        lines = [
            'cd "$(mktemp -d)" || exit 1',
            "trap 'rm -rf \"$PWD\"' EXIT",
            *(f"{self.Copy} {shlex.quote(f'{there}/{name}')} {name} || exit 1" for name in (PAYLOAD, TOLD)),
            work,
            f'[ ! -e {GIVEN} ] || {self.Copy} {GIVEN} {shlex.quote(there)}/"$units.tar" || exit 1',
            "exit $code",
        ]
        return "\n".join(lines)

    @property
    def sees_folder(self) -> bool:
        """Tell whether jobs see the folder of the run."""
        return not self.Copy

    def _check_place(self, batches: Sequence[Batch], folder: Path) -> None:
        """Raise OutputError where jobs wait or run that work for the folder under an earlier name."""
        for batch in batches:
            moved = batch.tasks and not _same(Path(batch.folder), folder)
            if moved and self.states(batch.tasks):
                raise OutputError(
                    f"the folder was moved while its jobs work: they look for it in {batch.folder}",
                    where=str(folder),
                    hint=f"move it back, or end them: {' '.join(self.cancel_command(batch.tasks))}",
                )

    @staticmethod
    def _collect(batches: Sequence[Batch], news: News, waiting: dict[str, int]) -> Iterator[tuple[int, Any]]:
        """Yield what jobs have done; what failed counts where it is of a batch that has jobs: of others it was told."""
        for batch in batches:
            batch.unpack()
        live = {batch.path.name for batch in batches if batch.tasks}
        for name, key, found in news.read(waiting):
            if isinstance(found, HepflowError):
                if name in live:
                    raise found
            elif key in waiting and (not name or name in live):
                yield waiting.pop(key), found

    def _lost(self, batches: Sequence[Batch], waiting: Mapping[str, int]) -> tuple[list[tuple[Batch, Task]], bool]:
        """Forget the jobs that are done; return those that are gone without the results of all their units, and whether
        that is decided for all.
        """
        lost: list[tuple[Batch, Task]] = []
        settled = True
        for batch in batches:
            batch.tasks = [task for task in batch.tasks if any(batch.keys[unit] in waiting for unit in task.units)]
            try:
                alive = self.states(batch.tasks) if batch.tasks else {}
            except WorkerError as error:  # the batch system does not answer: the results will tell
                logging.getLogger("hepflow").debug("%s", error.message)
                continue
            now = time.monotonic()
            for task in batch.tasks:
                task.gone = None if task.name in alive else now if task.gone is None else task.gone
                if task.gone is not None and now - task.gone >= self.Patience:
                    lost.append((batch, task))
                settled = settled and task.gone is None
            batch.tasks = [task for task in batch.tasks if (batch, task) not in lost]
        return lost, settled

    def _again(
        self, lost: Sequence[tuple[Batch, Task]], units: Sequence[WorkUnit], batch: Batch, waiting: dict[str, int]
    ) -> Generator[tuple[int, WorkerError], None, int]:
        """Submit again what lost jobs have not done; yield the units that jobs died at as often as may be, and return
        how many these are.
        """
        numbers = {unit.key: unit.number for unit in units}
        again: list[Task] = []
        failed = 0
        for owner, task in lost:
            left = [owner.keys[unit] for unit in task.units if owner.keys[unit] in waiting]
            told, time_factor, memory_factor = self._fate(task)
            self.discard([task])
            if task.tried >= self.Retries:  # it does one unit after the other, and was at the first
                before = f", as {task.tried} before it with the same work units" if task.tried else ""
                hint = f"its log is {task.log}; finished units are kept, --resume continues"
                failed += 1
                yield waiting.pop(left[0]), WorkerError(told + before, hint=hint)
                again += [Task(tuple(numbers[key] for key in left[1:]))] if left[1:] else []
                continue
            factors = {"time": time_factor, "memory": memory_factor}
            more = "".join(f", with {factor} times the {name}" for name, factor in factors.items() if factor > 1)
            text = written_numbers(sorted(numbers[key] for key in left))
            logging.getLogger("hepflow").warning("%s: work units %s are submitted again%s", told, text, more)
            again.append(Task(tuple(numbers[key] for key in left), task.tried + 1, time_factor, memory_factor))
        try:
            self._submit(again, batch)
        except WorkerError as error:
            refused = {batch.keys[unit]: task for task in again if not task.name for unit in task.units}
            for key, task in refused.items():
                if (task.time, task.memory) == (1, 1):  # what was taken before
                    raise
                failed += 1
                text = f"a job vanished, and is refused with more time or memory: {error.message}"
                yield waiting.pop(key), WorkerError(text, where=error.where, hint=error.hint)
        return failed

    def _fate(self, task: Task) -> tuple[str, int, int]:
        """Return in words how a job ended, and the factors on time and memory that the next one gets."""
        reason, words = self.reason(task), _last_words(task.log)
        told = f"the job {task.name} vanished" + (f" ({reason})" if reason else "")
        told += f"; the end of its log: {words[-1]}" if words else ""
        text = "\n".join([reason, *words])
        time_factor, memory_factor = (2 if need.search(text) else 1 for need in (OUT_OF_TIME, OUT_OF_MEMORY))
        return told, task.time * time_factor, task.memory * memory_factor

    def _leave(self, batches: Sequence[Batch], error: BaseException) -> None:
        """End the jobs after an error; after Ctrl-C they go on, and whoever continues the run has them."""
        while error is not None and not isinstance(error, KeyboardInterrupt):
            error = error.__context__  # type: ignore[assignment]
        if error is not None:
            return
        for batch in batches:
            self._end(batch)

    def _end(self, batch: Batch) -> None:
        try:
            if batch.tasks:
                output_of(self.cancel_command(batch.tasks))
                logging.getLogger("hepflow").warning("cancelled %d jobs of %s", len(batch.tasks), self.name)
            batch.tasks = []
            batch.save()
        except HepflowError as error:
            logging.getLogger("hepflow").warning("jobs of %s could not be cancelled: %s", self.name, error.message)

    def jobs(self, folder: Path) -> Jobs | None:
        """Return what is known of the jobs of the run in a folder; None where there are none."""
        batches = [batch for batch in Batch.of_run(folder) if batch.tasks]
        tasks = [task for batch in batches for task in batch.tasks]
        if not batches:
            return None
        try:
            alive, unknown = self.states(tasks) if tasks else {}, ""
        except WorkerError as error:
            alive, unknown = {}, error.message
        states = {} if unknown else Counter(alive.get(task.name, "gone") for task in tasks)
        moved = [batch.folder for batch in batches if batch.tasks and not _same(Path(batch.folder), folder)]
        cancel = self.cancel_command(tasks) if tasks else ()
        return Jobs(states, cancel, moved[0] if moved else str(folder), unknown)

    def cancel_jobs(self, folder: Path) -> None:
        """End the jobs of the run in a folder."""
        for batch in Batch.of_run(folder):
            self._end(batch)


@contextmanager
def _key_in_environment(state: Path) -> Iterator[None]:
    """Let the environment that a batch system hands to jobs have the key of the run: they may not see the file."""
    key, before = worker_key(identity_of(state)), os.environ.get(RUN_KEY)
    os.environ[RUN_KEY] = key.hex() if key else ""
    try:
        yield
    finally:
        os.environ.pop(RUN_KEY)
        if before is not None:
            os.environ[RUN_KEY] = before


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _last_words(log: str) -> list[str]:
    """Return the last lines of a job's log; nothing where there is none."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - WORDS))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("error: ")]  # by hepflow: where, and what to do, stand below
    return [*lines, *said[-1:]]


def output_of(command: Sequence[str], *, where: str = "", folder: Path | None = None) -> str:
    """Return what a command of a batch system prints; WorkerError with its words where it is not there or fails."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
        )
    except FileNotFoundError:
        raise WorkerError(f"there is no command {command[0]} on this machine", where=where) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{command[0]} failed: {error}", where=where) from error
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise WorkerError(f"{command[0]}: {words}", where=where)
    return done.stdout
