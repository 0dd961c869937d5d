"""Many work units that do next to nothing: what hepflow itself costs, and how that grows.

    python benchmarks/scale.py 1000 10000 [100000]

Units come from a synthetic source. Printed for each number: milliseconds a unit with -j 2, those of the processor (all
processes, without what a run of one unit takes), seconds of --resume of the finished run, peak memory of the main
process. It ends with exit status 1 where a bound is broken: 5 ms of the processor a unit, growth of 1.2, 60 s of
--resume and 500 MB at 100,000.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from hepflow import Events, Job, Tool
from hepflow.events.column import Column
from hepflow.execution import RunOptions, run
from hepflow.protocols import ColumnInfo, FileSchema
from hepflow.registry.manager import Registry

WORKERS = 2


class Units:
    """A source of one entry a work unit."""

    format: ClassVar[str] = "units"
    scheme: ClassVar[str] = "units"
    identity = "units"

    def __init__(self, path: str) -> None:
        self.path = path

    def schema(self) -> FileSchema:
        """Describe the source."""
        columns = {"Events.x": ColumnInfo("Events.x", ("x",), "float32", 0)}
        limit = 10**7
        return FileSchema(
            self.path, "units", "units", limit, columns, (0, limit), "units", unit_entries=1, endless=True
        )

    def blocks(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> Sequence[tuple[int, int]]:
        """Return the range."""
        return [(start, stop)]

    def read(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        """Return numbers."""
        return {info.name: Column(None, np.arange(start, stop, dtype=np.float32)) for info in columns}

    def close(self) -> None:
        """Nothing is open."""


class Sum(Tool):
    """Sums a column into a histogram."""

    def reads(self) -> Sequence[str]:
        """Return the column."""
        return ["Events.x"]

    def start(self) -> Any:
        """Return nothing filled."""
        return {"n": 0, "x": np.zeros(100)}

    def execute(self, events: Events, result: Any) -> None:
        """Fill."""
        result["n"] += len(events)
        result["x"][0] += float(events["Events"].flat("x").sum())


class WithUnits(Registry):
    """The plugins, and the source."""

    def names(self, kind: str) -> Any:
        """Return what there is of a kind."""
        found = super().names(kind)
        return {**found, "units": SimpleNamespace(load=lambda: Units)} if kind == "readers" else found


def one(number: int, folder: str, resume: bool) -> None:
    """Do one run, or resume it, in this process; print seconds, those of the processor, and peak memory (MB)."""
    job = Job("scale")
    job += Sum("sum")
    began = time.perf_counter()
    options = RunOptions(inputs=["units:"], events=number, output=folder, workers=WORKERS, resume=resume)
    result = run(job, options, plugins=WithUnits())
    assert result.results["sum"]["n"] == number
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(time.perf_counter() - began, sum(u.ru_utime + u.ru_stime for u in used), used[0].ru_maxrss / 1024)


def measured(*arguments: str) -> list[float]:
    """Return what a process of its own prints."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def main(numbers: Sequence[int]) -> int:
    """Measure all; return the exit status."""
    rates: dict[int, float] = {}
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        start = measured("1", f"{folder}/run", "")[1]
    print("   units   ms a unit   of processor   main MB   --resume s   main MB")
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            seconds, used, memory = measured(str(number), f"{folder}/run", "")
            _, again, memory_again = measured(str(number), f"{folder}/run", "resume")
        rates[number] = (used - start) / number * 1e3
        wall = seconds / number * 1e3
        print(
            f"{number:8,} {wall:11.2f} {rates[number]:14.2f} {memory:9.0f} {again:12.1f} {memory_again:9.0f}",
            flush=True,
        )
        broken += [f"{number:,}: {rates[number]:.1f} ms a unit"] if rates[number] > 5 else []
        broken += [f"{number:,}: --resume {again:.0f} s"] if again > max(60 * number / 1e5, 5) else []
        broken += [f"{number:,}: {memory:.0f} MB"] if max(memory, memory_again) > 500 else []
    if len(rates) > 1 and rates[max(rates)] > 1.2 * rates[min(rates)]:
        broken.append(f"time a unit grows by {rates[max(rates)] / rates[min(rates)]:.2f}")
    print(*broken, sep="\n")
    return bool(broken)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]), sys.argv[3], bool(sys.argv[4]))
    else:
        sys.exit(main([int(text) for text in sys.argv[1:]] or [1000, 10_000]))
