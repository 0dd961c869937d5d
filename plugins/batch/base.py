"""What executors of batch systems share: jobs are submitted, watched through what they leave in the run's folder, and
submitted again where they vanish.

The word of the batch system about a job is a hint only: what counts is whether the results of its units are there.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hepflow import Property
from hepflow.errors import HepflowError, PluginError, WorkerError
from hepflow.execution.executors import without_interrupts
from hepflow.execution.loop import UnitRunner
from hepflow.execution.rundir import BATCH
from hepflow.execution.work import collected, written_numbers
from hepflow.executor import Executor

__all__ = ["BatchExecutor", "Task", "output_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")

OUT_OF_TIME, OUT_OF_MEMORY = "TIMEOUT", "OUT_OF_MEMORY"
"""Why a job may have vanished: its units are tried again with twice as much."""


@dataclass
class Task:
    """One job: the units that it does, how often they were tried before, factors on the usual time and memory, what the
    batch system calls it, where its log is, and since when it is gone (None: it is not).
    """

    units: tuple[int, ...]
    tried: int = 0
    time: int = 1
    memory: int = 1
    name: str = ""
    log: str = ""
    gone: float | None = None


class BatchExecutor(Executor):
    """Base of the executors that hand work units to a batch system, whose nodes see the folder of the run and the input
    under the same paths and have the same installation.
    """

    UnitsPerJob = Property(1, "work units of one job", minimum=1)
    Retries = Property(2, "how often the units of a job that vanished are tried again", minimum=0)
    Poll = Property(5.0, "seconds between two looks", unit="s", minimum=0)
    Patience = Property(60.0, "seconds until what an ended job wrote is seen everywhere", unit="s", minimum=0)
    Prologue: Property[tuple[str, ...]] = Property((), "lines of shell before the work, in each job", item=str)
    LogFolder = Property("", "folder of the jobs' logs; empty: one in the folder of the run")

    # ── what a batch system says ─────────────────────────────────────────────────────────────────────────────────────

    def submit(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        """Submit jobs and set their names; ``command`` does the units that are appended to it. ``folder`` is for files.

        WorkerError where they are refused.
        """
        raise TypeError(f"{type(self).__name__} does not say how to submit: override submit()")

    def alive(self, tasks: Sequence[Task]) -> set[str]:
        """Return the names of those jobs that wait or run; WorkerError where that cannot be known now."""
        raise TypeError(f"{type(self).__name__} does not say how to ask: override alive()")

    def reason(self, task: Task) -> str:
        """Return in words how a job ended, OUT_OF_TIME or OUT_OF_MEMORY among them; empty where it is not known."""
        return ""

    def cancel(self, tasks: Sequence[Task]) -> None:
        """End jobs that wait or run."""
        raise TypeError(f"{type(self).__name__} does not say how to cancel: override cancel()")

    # ── what all do the same way ─────────────────────────────────────────────────────────────────────────────────────

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
        """Submit the work units; yield (position, result) as they come (see ``hepflow.executor.Executor``)."""
        if not isinstance(function, UnitRunner):
            raise PluginError(f"the executor {self.name} does work units and nothing else")
        state = function.payload.parent
        folder = state / BATCH / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        python = [sys.executable, "-c", "from hepflow.cli import main; main()"]
        command = shlex.join([*python, "work", str(state.parent), "--into", folder.name])
        waiting: dict[int, int] = {item.number: position for position, item in enumerate(items)}  # type: ignore[attr-defined]
        numbers = sorted(waiting)
        chunks = [tuple(numbers[i : i + self.UnitsPerJob]) for i in range(0, len(numbers), self.UnitsPerJob)]
        tasks = [Task(units) for units in chunks]
        try:
            self._submit_all(tasks, folder, command)
            while waiting:
                yield from self._collect(folder, waiting)
                lost = self._lost(tasks, waiting)
                if lost:
                    again: list[Task] = []
                    yield from self._again(lost, waiting, again)
                    if again:
                        self._submit_all(again, folder, command)
                    tasks = [task for task in tasks if task not in lost] + again
                if waiting:
                    time.sleep(self.Poll)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            if waiting:
                self._give_up(tasks)

    def _submit_all(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        with without_interrupts():  # Ctrl-C waits until it is known which jobs are to be cancelled
            self.submit(tasks, folder, command)

    @staticmethod
    def _collect(folder: Path, waiting: dict[int, int]) -> Iterator[tuple[int, Any]]:
        there = {path.stem for path in folder.iterdir() if path.suffix in (".pkl", ".json")}
        for number in [number for number in waiting if str(number) in there]:
            found = collected(folder, number)
            if isinstance(found, HepflowError):
                raise found
            if found is not None:
                (folder / f"{number}.pkl").unlink()
                yield waiting.pop(number), found

    def _lost(self, tasks: list[Task], waiting: Mapping[int, int]) -> list[Task]:
        """Forget the jobs that are done; return those that are gone without the results of all their units."""
        tasks[:] = [task for task in tasks if any(unit in waiting for unit in task.units)]
        try:
            alive = self.alive(tasks) if tasks else set()
        except WorkerError as error:  # the batch system does not answer: the results will tell
            logging.getLogger("hepflow").debug("%s", error.message)
            return []
        now = time.monotonic()
        for task in tasks:
            task.gone = None if task.name in alive else now if task.gone is None else task.gone
        return [task for task in tasks if task.gone is not None and now - task.gone >= self.Patience]

    def _again(
        self, lost: Sequence[Task], waiting: dict[int, int], again: list[Task]
    ) -> Iterator[tuple[int, WorkerError]]:
        """Put the jobs that do what lost ones have not done into ``again``; yield the units that jobs died at as often
        as may be.
        """
        for task in lost:
            units = tuple(unit for unit in task.units if unit in waiting)
            reason = self.reason(task)
            told = f"the job {task.name} vanished" + (f" ({reason})" if reason else "")
            if task.tried >= self.Retries:  # it does one unit after the other, and was at the first
                before = f", as {task.tried} before it with the same work units" if task.tried else ""
                hint = f"its log is {task.log}; finished units are kept, --resume continues"
                yield waiting.pop(units[0]), WorkerError(told + before, hint=hint)
                again += [Task(units[1:])] if units[1:] else []
                continue
            logging.getLogger("hepflow").warning("%s: work units %s are submitted again", told, written_numbers(units))
            longer, larger = (2 if limit in reason else 1 for limit in (OUT_OF_TIME, OUT_OF_MEMORY))
            again.append(replace(Task(units, task.tried + 1), time=task.time * longer, memory=task.memory * larger))

    def _give_up(self, tasks: Sequence[Task]) -> None:
        try:
            self.cancel(tasks)
            logging.getLogger("hepflow").warning("cancelled %d jobs of %s", len(tasks), self.name)
        except WorkerError as error:
            logging.getLogger("hepflow").warning("jobs of %s could not be cancelled: %s", self.name, error.message)


def output_of(command: Sequence[str], *, where: str = "") -> str:
    """Return what a command of a batch system prints; WorkerError with its words where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    except FileNotFoundError:
        raise WorkerError(f"there is no command {command[0]} on this machine", where=where) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"{command[0]} failed: {error}", where=where) from error
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
        raise WorkerError(f"{command[0]}: {words}", where=where)
    return done.stdout
