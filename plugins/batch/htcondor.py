"""The executor ``htcondor``: work units in jobs of HTCondor."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from hepflow import Property
from hepflow.errors import WorkerError
from hepflow.execution.batch import TOLD, written_numbers
from hepflow.execution.keys import RUN_KEY
from hepflow.execution.rundir import PAYLOAD
from hepflow.files import write_text
from hepflow.plugins.batch.base import GIVEN, BatchExecutor, Task, output_of

__all__ = ["HTCondorExecutor"]

FLAVOURS = ("espresso", "microcentury", "longlunch", "workday", "tomorrow", "testmatch", "nextweek")
"""Job flavours of CERN's batch system, from 20 minutes to a week."""
STATES = {"1": "waiting", "2": "running", "6": "running", "7": "waiting"}
"""JobStatus of jobs that may still do their work; what is held (5) does not go on by itself."""
MEMORY_CODES, TIME_CODES = {"34"}, {"46", "47"}
"""HoldReasonCode of jobs that used more memory, or ran longer, than they asked for."""


class HTCondorExecutor(BatchExecutor):
    """Run work units in jobs of HTCondor; the nodes see the run's folder and the input under the same paths.

    A job that vanishes or is held (removed, evicted, out of time, memory or disk) is submitted again, with the next
    longer flavour and twice the time, or twice the memory, where that was why. After Ctrl-C one may cancel the jobs or
    let them go on; ``--resume`` continues.
    """

    Flavour = Property("", "job flavour, of sites that have them; empty: none", choices=("", *FLAVOURS))
    Time = Property(0.0, "longest time that a job may run (+MaxRuntime); 0: the default", unit="min", minimum=0)
    Memory = Property(0, "memory of a job; 0: the default of the pool", unit="MB", minimum=0)
    Disk = Property(0, "scratch disk of a job; 0: the default of the pool", unit="MB", minimum=0)
    Cores = Property(1, "cores of a job", minimum=1)
    Requirements = Property("", 'what a machine must have, as HTCondor writes it (OpSysAndVer == "AlmaLinux9")')
    Transfer = Property(
        False, "nodes do not see the folder of the run: HTCondor brings and takes what is needed; inputs are then URLs"
    )
    Directives: Property[tuple[str, ...]] = Property((), "further lines of the submit description", item=str)

    @property
    def sees_folder(self) -> bool:
        """Tell whether jobs see the folder of the run."""
        return super().sees_folder and not self.Transfer

    def check(self) -> None:
        """See that HTCondor is there."""
        for command in ("condor_submit", "condor_q"):
            if shutil.which(command) is None:
                raise WorkerError(
                    f"the executor htcondor needs the command {command}, which is not on this machine",
                    hint="run on a machine from which jobs are submitted, or with --executor processes",
                )

    def scripts(self, tasks: Sequence[Task], folder: Path, command: str) -> list[str]:
        """Return the script of all jobs, and the submit description."""
        logs = Path(self.LogFolder).expanduser().resolve() if self.LogFolder else folder / "logs"
        described = self.description(tasks[0], folder / "job.sh", logs, folder / "cluster0.txt")
        return [self._script(command), described]

    def _script(self, command: str) -> str:
        return "\n".join(["#!/bin/bash", 'units="$1"', *self.Prologue, command, ""])

    def submit(self, tasks: Sequence[Task], folder: Path, command: str) -> None:
        """Submit the jobs, those that need the same in one cluster."""
        logs = Path(self.LogFolder).expanduser().resolve() if self.LogFolder else folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        script = folder / "job.sh"
        write_text(script, self._script(command))
        script.chmod(0o755)
        for _, group in groupby(sorted(tasks, key=_needs), key=_needs):
            self._submit_cluster(list(group), folder, logs, script)

    def _submit_cluster(self, tasks: Sequence[Task], folder: Path, logs: Path, script: Path) -> None:
        number = len(list(folder.glob("*.sub")))
        listed, path = folder / f"cluster{number}.txt", folder / f"cluster{number}.sub"
        write_text(listed, "".join(f"{written_numbers(task.units)}\n" for task in tasks))
        write_text(path, self.description(tasks[0], script, logs, listed))
        answer = output_of(["condor_submit", str(path)], where=f"executor {self.name}")
        found = re.search(r"submitted to cluster (\d+)", answer)
        if found is None:
            raise WorkerError(f"condor_submit does not name a cluster: {' '.join(answer.split())}", where=str(path))
        for index, task in enumerate(tasks):
            task.name, task.log = f"{found[1]}.{index}", f"{logs}/{found[1]}.{index}.log"

    def description(self, task: Task, script: Path, logs: Path, listed: Path) -> str:
        """Return the submit description of jobs that need what this one does; ``listed`` has the units of each."""
        flavour = (
            self.Flavour and FLAVOURS[min(FLAVOURS.index(self.Flavour) + task.time.bit_length() - 1, len(FLAVOURS) - 1)]
        )
        batch = listed.parent
        files = {"transfer_output_files": '""'}  # the script travels; all else is in the run's folder, which jobs see
        if self.Transfer:
            files = {
                "transfer_input_files": f"{batch / PAYLOAD},{batch / TOLD}",
                "transfer_output_files": GIVEN,
                "transfer_output_remaps": f'"{GIVEN}={batch}/$(units).tar"',
                "when_to_transfer_output": "ON_EXIT",
            }
        lines = {
            "batch_name": f"hepflow-{listed.parents[3].name}",
            "executable": str(script),
            "arguments": '"$(units)"',
            "output": f"{logs}/$(ClusterId).$(ProcId).log",
            "error": f"{logs}/$(ClusterId).$(ProcId).log",
            "log": f"{listed.parent}/events.log",
            "should_transfer_files": "YES",
            **files,
            "getenv": RUN_KEY,
            "request_cpus": str(self.Cores),
            "request_memory": str(self.Memory * task.memory) if self.Memory else "",
            "request_disk": f"{self.Disk}M" if self.Disk else "",
            "requirements": self.Requirements,
            "+JobFlavour": f'"{flavour}"' if flavour else "",
            "+MaxRuntime": str(int(self.Time * 60 * task.time)) if self.Time else "",
        }
        text = [f"{name} = {value}" for name, value in lines.items() if value]
        return "\n".join([*text, *self.Directives, f"queue units from {listed}", ""])

    def states(self, tasks: Sequence[Task]) -> Mapping[str, str]:
        """Ask condor_q; what it has forgotten, or holds, does not go on."""
        told = output_of(["condor_q", *_clusters(tasks), "-af:j", "JobStatus"])
        pairs = (line.split() for line in told.splitlines() if line.strip())
        return {name: STATES[status] for name, status in pairs if status in STATES}

    def reason(self, task: Task) -> str:
        """Return why a job is held, else how it ended, as far as HTCondor knows."""
        told = ""
        for asked in (["condor_q", task.name], ["condor_history", task.name, "-limit", "1"]):
            try:
                told = told or output_of([*asked, "-af", "HoldReasonCode", "HoldReason", "RemoveReason"]).strip()
            except WorkerError:
                continue
        code, _, text = told.partition(" ")
        words = [word for word in text.split() if word != "undefined"]
        limit = "OUT_OF_MEMORY, " if code in MEMORY_CODES else "TIMEOUT, " if code in TIME_CODES else ""
        return limit + " ".join(words)

    def discard(self, tasks: Sequence[Task]) -> None:
        """Remove jobs that are held: others are submitted in their place."""
        for task in tasks:
            try:
                output_of(["condor_rm", task.name])
            except WorkerError:  # it is gone
                continue

    def cancel_command(self, tasks: Sequence[Task]) -> Sequence[str]:
        """Return the condor_rm of the clusters."""
        return ["condor_rm", *_clusters(tasks)]


def _clusters(tasks: Sequence[Task]) -> list[str]:
    return sorted({task.name.partition(".")[0] for task in tasks})


def _needs(task: Task) -> tuple[int, int]:
    return task.time, task.memory
