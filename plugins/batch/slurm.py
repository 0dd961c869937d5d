"""The executor ``slurm``: work units in array jobs of Slurm."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from hepflow import Property
from hepflow.errors import WorkerError
from hepflow.execution.batch import written_numbers
from hepflow.plugins.batch.base import BatchExecutor, Task, output_of

__all__ = ["SlurmExecutor", "larger", "longer"]

ARRAY = 1000
"""Most jobs of one array: Slurm's default is to take indices up to 1000."""


class SlurmExecutor(BatchExecutor):
    """Run work units in array jobs of Slurm; the nodes see the run's folder and the input under the same paths.

    A job that vanishes (killed, node lost, out of time or memory) is submitted again, with twice the time or memory
    where that was why. After Ctrl-C one may cancel the jobs or let them go on; ``--resume`` continues.
    """

    Partition = Property("", "partition; empty: the default of the cluster")
    Account = Property("", "account that is charged")
    Time = Property("", "time limit of a job, as sbatch takes it (01:30:00); empty: that of the partition")
    Memory = Property("", "memory of a job, as sbatch takes it (2G); empty: the default of the cluster")
    Cores = Property(1, "cores of a job", minimum=1)
    MaxRunning = Property(0, "most jobs of an array that run at a time; 0: no limit", minimum=0)
    Directives: Property[tuple[str, ...]] = Property((), 'further options of sbatch ("--constraint=el9")', item=str)

    def check(self) -> None:
        """See that Slurm is there."""
        if shutil.which("sbatch") is None:
            raise WorkerError(
                "the executor slurm needs the command sbatch, which is not on this machine",
                hint="run on a machine from which jobs are submitted, or with --executor processes",
            )

    def submit(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        """Submit the jobs in arrays of at most ``ARRAY``, those that need the same together."""
        self._logs(folder).mkdir(parents=True, exist_ok=True)
        for _, group in groupby(sorted(tasks, key=_needs), key=_needs):
            same = list(group)
            for start in range(0, len(same), ARRAY):
                self._submit_array(same[start : start + ARRAY], folder, command)

    def scripts(self, tasks: Sequence[Task], folder: Path, command: str) -> list[str]:
        """Return the script of the first array; those of others differ in their numbers."""
        return [self._script(tasks[:ARRAY], folder, command, folder / "array0.txt")]

    def _logs(self, folder: Path) -> Path:
        return Path(self.LogFolder).expanduser().resolve() if self.LogFolder else folder / "logs"

    def _submit_array(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        number = len(list(folder.glob("*.sh")))
        listed, script = folder / f"array{number}.txt", folder / f"array{number}.sh"
        listed.write_text(_numbers(tasks), encoding="utf-8")
        script.write_text(self._script(tasks, folder, command, listed), encoding="utf-8")
        answer = output_of(["sbatch", "--parsable", str(script)], where=f"executor {self.name}")
        job = answer.strip().partition(";")[0]
        for index, task in enumerate(tasks):
            task.name, task.log = f"{job}_{index}", f"{self._logs(folder)}/{job}_{index}.log"

    def _script(self, tasks: Sequence[Task], folder: Path, command: str, listed: Path) -> str:
        """Return the script of an array; ``listed`` has the units of each job."""
        limit = f"%{self.MaxRunning}" if self.MaxRunning else ""
        options = {
            "job-name": f"hepflow-{folder.parents[2].name}",
            "array": f"0-{len(tasks) - 1}{limit}",
            "output": "/dev/null" if self.Copy else f"{self._logs(folder)}/%A_%a.log",
            "cpus-per-task": str(self.Cores),
            "partition": self.Partition,
            "account": self.Account,
            "time": longer(self.Time, tasks[0].time),
            "mem": larger(self.Memory, tasks[0].memory),
        }
        lines = [f"#SBATCH --{name}={value}" for name, value in options.items() if value]
        lines += [f"#SBATCH {directive}" for directive in self.Directives]
        units = f'units="$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(str(listed))})"'
        if self.Copy:  # the nodes do not see the list
            units = f"units=$(sed -n $((SLURM_ARRAY_TASK_ID + 1))p <<'EOF'\n{_numbers(tasks)}EOF\n)"
        return "\n".join(["#!/bin/bash", *lines, *self.Prologue, units, command, ""])

    def states(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        """Ask squeue; of jobs that it has forgotten none is alive."""
        arrays = sorted({_array(task) for task in tasks})
        found: dict[str, str] = {}
        for array in arrays:
            try:
                told = output_of(["squeue", "--noheader", "--array", "--jobs", array, "--format", "%i %T"])
            except WorkerError as error:
                if "Invalid job id" not in error.message:
                    raise
                continue
            found |= {name: "waiting" if state == "PENDING" else "running" for name, state in _pairs(told)}
        return found

    def reason(self, task: Task) -> str:
        """Return the state that Slurm still knows, or its accounting where there is one."""
        try:
            shown = output_of(["scontrol", "show", "job", "--oneliner", task.name])
        except WorkerError:
            try:
                asked = ["sacct", "--noheader", "--allocations", "--parsable2", "--format=State", f"--jobs={task.name}"]
                return output_of(asked).strip()
            except WorkerError:
                return ""
        state = re.search(r"JobState=(\S+)", shown)
        why = re.search(r"Reason=(\S+)", shown)
        words = [match[1] for match in (state, why) if match and match[1] != "None"]
        return ", ".join(words)

    def cancel_command(self, tasks: Sequence[Task]) -> Sequence[str]:
        """Return the scancel of the arrays."""
        return ["scancel", *sorted({_array(task) for task in tasks})]


def _numbers(tasks: Sequence[Task]) -> str:
    """Return a line for each job, with its work units."""
    return "".join(f"{written_numbers(task.units)}\n" for task in tasks)


def _array(task: Task) -> str:
    return task.name.partition("_")[0]


def _pairs(told: str) -> Iterator[tuple[str, str]]:
    for line in told.splitlines():
        name, _, state = line.strip().partition(" ")
        yield name, state


def _needs(task: Task) -> tuple[int, int]:
    return task.time, task.memory


def longer(limit: str, factor: int) -> str:
    """Return a time limit of sbatch (``D-HH:MM:SS``, ``HH:MM:SS``, ``MM:SS``, ``MM``), times a factor, in minutes.

    >>> longer("1-00:30:00", 2)
    '2940'
    """
    if not limit or factor == 1:
        return limit
    days, dash, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours, minutes, seconds = {
        1: (parts[0], 0, 0) if dash else (0, parts[0], 0),
        2: (*parts, 0) if dash else (0, *parts),
        3: parts,
    }[len(parts)]
    total = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return str(-(-total * factor // 60))


def larger(memory: str, factor: int) -> str:
    """Return an amount of memory as sbatch takes it (``2G``, ``1500``), times a factor."""
    number = re.match(r"\d+", memory)
    return f"{int(number[0]) * factor}{memory[number.end() :]}" if number else memory
