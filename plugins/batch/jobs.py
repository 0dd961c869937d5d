"""The jobs of a run, as they stand in its folder: who continues the run finds them there."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hepflow.errors import OutputError
from hepflow.execution.batch import note_batch, unpack
from hepflow.execution.plan import WorkUnit
from hepflow.execution.rundir import BATCH, JOBS, PAYLOAD, STATE
from hepflow.files import link_or_copy, write_text

__all__ = ["HEPFLOW", "Batch", "Task"]


HEPFLOW = (sys.executable, "-c", "from hepflow.cli import main; main()")
"""How hepflow is called where its installation is the same as here."""


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


@dataclass
class Batch:
    """Jobs of one payload, in a folder of the run: the keys of its work units by number, the jobs, by which executor
    and for which folder they were submitted.
    """

    path: Path
    executor: str
    folder: str
    keys: dict[int, str]
    tasks: list[Task]

    @classmethod
    def new(cls, payload: Path, units: Sequence[WorkUnit], executor: str) -> Batch:
        """Make the folder of a batch beside the payload of a run."""
        path = payload.parent / BATCH / uuid.uuid4().hex[:8]
        path.mkdir(parents=True)
        link_or_copy(payload, path / PAYLOAD)
        note_batch(path)
        return cls(path, executor, str(payload.parent.parent), {unit.number: unit.key for unit in units}, [])

    @classmethod
    def of_run(cls, folder: Path) -> list[Batch]:
        """Return the batches of the run in a folder; OutputError where what is noted of them is damaged."""
        found = []
        for path in sorted((folder / STATE / BATCH).glob(f"*/{JOBS}")):
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
                tasks = [Task(**{**task, "units": tuple(task["units"])}) for task in told["tasks"]]
                keys = {int(number): str(key) for number, key in told["keys"].items()}
                found.append(cls(path.parent, told["executor"], told["folder"], keys, tasks))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                hint = "cancel the jobs of this run, then remove this file: --resume does anew what it does not know"
                raise OutputError(
                    f"what the run knows of its jobs is damaged: {error}", where=str(path), hint=hint
                ) from error
        return found

    def save(self) -> None:
        """Note the jobs that may not be done."""
        tasks = [{**asdict(task), "gone": None} for task in self.tasks]
        told = {"executor": self.executor, "folder": self.folder, "keys": self.keys, "tasks": tasks}
        write_text(self.path / JOBS, json.dumps(told))

    def unpack(self) -> None:
        """Put into the run what jobs that do not see its folder have sent back."""
        for archive in self.path.glob("*.tar"):
            unpack(archive, self.path)
