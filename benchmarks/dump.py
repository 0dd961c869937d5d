"""Dumping six jagged and ten flat columns: hepflow beside a hand-written uproot loop that does the same.

    python benchmarks/dump.py [EVENTS]

Prints the ratio (aim: at most 1.2), the gain of two workers on 30 s of work (aim: at least 1.7) and the growth of peak
memory with ten times the events (aim: at most 1.2).
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from common import FLAT, JAGGED, in_turns, jagged_names, make_input, report, timed

from hepflow import Job
from hepflow.execution import RunOptions, run
from hepflow.streams import NtupleStream

SCRATCH = Path(tempfile.gettempdir()) / "hepflow-benchmarks"


def by_hand(source: Path, target: Path) -> None:
    """Copy with uproot alone: iterate in steps of 100 000 entries, one counter a group."""
    types: dict[str, object] = dict.fromkeys(FLAT, np.float32)
    for group, names in JAGGED.items():
        types[group] = ak.types.ListType(ak.types.RecordType([ak.types.NumpyType("float32")] * len(names), names))
    with uproot.recreate(target, compression=uproot.LZ4(1)) as file:
        tree = file.mktree(
            "tree", types, field_name=lambda outer, inner: f"{outer}.{inner}", counter_name=lambda name: f"n{name}"
        )
        for chunk in uproot.iterate({source: "tree"}, [*FLAT, *jagged_names()], step_size=100_000):
            columns: dict[str, object] = {name: chunk[name] for name in FLAT}
            for group, names in JAGGED.items():
                columns[group] = ak.zip({name: chunk[f"{group}.{name}"] for name in names})
            tree.extend(columns)


def with_hepflow(source: Path, target: Path, workers: int = 1) -> None:
    """Copy with an NtupleStream."""
    job = Job("dump")
    job += NtupleStream("tree", Container="", Keep=["*"])
    run(job, RunOptions(inputs=[str(source)], output=str(target), workers=workers))


def fresh(name: str) -> Path:
    """Return a folder that is not there."""
    path = SCRATCH / name
    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return path


def _peak(source: Path) -> int:
    with_hepflow(source, fresh("memory"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_memory(source: Path) -> int:
    """Return the peak memory (kB) of a fresh process that copies the file."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (source,))


def main(events: int) -> None:
    """Measure and print."""
    SCRATCH.mkdir(exist_ok=True)
    source = make_input(SCRATCH / f"events_{events}.root", events)
    times = in_turns(
        {
            "uproot by hand": lambda target: by_hand(source, target),
            "hepflow": lambda target: with_hepflow(source, target),
        },
        fresh,
    )
    report(f"copying {events:,} events, 10 flat and 6 jagged columns", times, "uproot by hand")

    many = max(events, int(events * 32 / times["hepflow"]))
    source = make_input(SCRATCH / f"events_{many}.root", many)
    scaling = {}
    for workers in (1, 2):
        target = fresh("scaling")
        scaling[f"{workers} worker"] = timed(lambda: with_hepflow(source, target, workers))  # noqa: B023 - called at once
    report(f"copying {many:,} events", scaling, "2 worker")

    memory = {
        f"{n:,} events": float(peak_memory(make_input(SCRATCH / f"events_{n}.root", n))) for n in (events, 10 * events)
    }
    report("peak memory", memory, f"{events:,} events", "kB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    for folder in ("hepflow", "scaling", "memory"):
        shutil.rmtree(SCRATCH / folder, ignore_errors=True)
