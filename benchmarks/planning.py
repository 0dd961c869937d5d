"""Planning: what a file costs where it is known from before, and what two workers gain where it is not.

    python benchmarks/planning.py [FILES] [FILE FILES]

The first part plans FILES names (default: 10,000) of small files that are in the cache. Aims: at most 2 ms a file, 500
MB of memory at 100,000 files, and what a worker is given does not grow with them. The second plans as many copies
(default: 60) of a FILE without a cache, with one worker and with two. Aim: a gain of at least 1.7. On a machine that
others use, too, processor time that does not grow says that the gain is there.
"""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import uproot

from hepflow import Job
from hepflow.execution.cache import FileCache
from hepflow.execution.executors import ProcessExecutor
from hepflow.execution.inputs import InputFile, expand, formats
from hepflow.execution.options import RunOptions
from hepflow.execution.plan import Plan, make_plan
from hepflow.execution.planning import plan_job
from hepflow.execution.schemas import Look, Looked
from hepflow.registry.manager import registry
from hepflow.streams import NtupleStream

LINKS = 1000
"""Names of one file: file systems have a limit."""


def job_of(*names: str) -> Job:
    """Return a job that reads these columns."""
    job = Job("planning")
    job += NtupleStream("out", Container="", Keep=names)
    job.freeze()
    return job


def make_files(folder: Path, number: int) -> None:
    """Make a folder with so many names of small files, a hundred columns each."""
    folder.mkdir(parents=True)
    for i in range(number):
        path = folder / f"f{i:06d}.root"
        if i % LINKS:
            path.hardlink_to(folder / f"f{i - i % LINKS:06d}.root")
        else:
            with uproot.recreate(path) as file:
                file.mktree("tree", {f"x{n}": "f4" for n in range(100)}).extend(
                    {f"x{n}": np.zeros(10, "f4") for n in range(100)}
                )


def fill_cache(files: list[InputFile]) -> None:
    """Know all files as if they had been looked into."""
    known = formats(registry())
    cache, look = FileCache(known), Look(known, counts=True)
    looked: dict[int, Looked] = {}
    for file in files:
        status = Path(file.path).stat()
        if status.st_ino not in looked:
            found = look(file)
            assert isinstance(found, Looked)
            looked[status.st_ino] = found
        one = looked[status.st_ino]
        cache.add(file, replace(one, facts=replace(one.facts, mtime=status.st_mtime)))
    cache.close()


def known_files(scratch: Path, number: int) -> None:
    """Plan files that are known."""
    make_files(scratch / "in", number)
    pattern = [str(scratch / "in")]
    files = expand(pattern, registry(), (), lambda name: ())
    fill_cache(files)
    made = {}
    for name, options in {"all": RunOptions(pattern), "-n of half": RunOptions(pattern, events=5 * number)}.items():
        began = time.perf_counter()
        plan = made[name] = plan_job(job_of("*"), options)
        seconds = time.perf_counter() - began
        assert plan.looked == 0
        sys.stdout.write(f"  {name:20s} {seconds / number * 1e3:8.3f} ms a file, {len(plan.units):,} units\n")
    told(made["all"])


def told(plan: Plan) -> None:
    """Say what a plan takes."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    worker, unit = (len(pickle.dumps(one)) for one in (plan.of_workers(), plan.units[0]))
    sys.stdout.write(f"  memory {memory:,.0f} MB, what a worker gets {worker:,} bytes, with a unit {unit:,} bytes\n")


def unknown_files(scratch: Path, file: str, number: int) -> None:
    """Plan copies of a file that are not known."""
    (scratch / "copies").mkdir()
    paths = [shutil.copy(file, scratch / "copies" / f"{i}.root") for i in range(number)]
    files = [InputFile(str(path), "s") for path in paths]
    seconds = {}
    for workers in (1, 2):
        shutil.rmtree(scratch / "cache", ignore_errors=True)
        executor = ProcessExecutor("processes", Workers=workers) if workers > 1 else None
        before, began = os.times(), time.perf_counter()
        plan = make_plan(job_of("*TauJets.pt"), files, formats(registry()), executor=executor)
        seconds[workers] = time.perf_counter() - began
        after = os.times()
        assert plan.looked == number
        processor = sum(after[:4]) - sum(before[:4])
        sys.stdout.write(f"  {workers} workers  {seconds[workers]:8.1f} s, processor time {processor:.1f} s\n")
    sys.stdout.write(f"  gain {seconds[1] / seconds[2]:.2f}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEPFLOW_CACHE"] = f"{folder}/cache"
        number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
        sys.stdout.write(f"{number:,} files that are known\n")
        known_files(Path(folder), number)
        if len(sys.argv) > 2:
            copies = int(sys.argv[3]) if len(sys.argv) > 3 else 60
            sys.stdout.write(f"{copies} copies of {sys.argv[2]}\n")
            unknown_files(Path(folder), sys.argv[2], copies)
