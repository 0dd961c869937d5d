"""What a run will take, from a few of its work units."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hepflow.context import Context
from hepflow.errors import HepflowError
from hepflow.execution.inputs import formats
from hepflow.execution.loop import Payload, Worker
from hepflow.execution.options import RunOptions
from hepflow.execution.plan import Plan, WorkUnit
from hepflow.job import Job
from hepflow.registry.manager import Registry

__all__ = ["JOB_SECONDS", "Forecast", "forecast"]

JOB_SECONDS = 3600.0
"""Length of a batch job that is worth its start and is not lost for long where it fails."""


@dataclass(frozen=True)
class Forecast:
    """What the work units that were tried took, scaled to all of them by entries: seconds of one worker, without its
    ``start``; bytes by stream. ``memory`` is the most that the process had, in bytes.
    """

    tried: Sequence[WorkUnit]
    units: int
    start: float
    seconds: float
    memory: int
    outputs: Mapping[str, int]

    @property
    def units_per_job(self) -> int:
        """Return how many work units make a batch job of about JOB_SECONDS."""
        return max(1, min(self.units, int(JOB_SECONDS * self.units / max(self.seconds, 1e-9))))


def forecast(job: Job, plan: Plan, options: RunOptions, number: int, plugins: Registry) -> Forecast:
    """Run some of the work units of a plan, spread over it, in this process, and return what all of them will take.

    What they write is thrown away. Raises the HepflowError of a unit that fails.
    """
    units = plan.units
    tried = [units[(2 * i + 1) * len(units) // (2 * number)] for i in range(number)] if number < len(units) else units
    outputs: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        payload = Payload(job, plan, Context(Path(folder), job.name), formats(plugins), options.chunk, Path(folder))
        began = time.perf_counter()
        with closing(Worker(Payload.unpack(payload.pack()))) as worker:
            ready = time.perf_counter()
            for unit in tried:
                done = worker.attempt(unit)
                if isinstance(done, HepflowError):
                    raise done
                outputs.update(done.sizes)
            seconds = time.perf_counter() - ready
    scale = plan.entries / max(sum(unit.entries for unit in tried), 1)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sizes = {name: round(size * scale) for name, size in outputs.items()}
    return Forecast(tried, len(units), ready - began, seconds * scale, memory, sizes)
