"""Dumping six jagged and ten flat columns: hepflow beside a hand-written uproot loop that does the same.

    python benchmarks/dump.py [EVENTS]

Prints the ratio (aim: at most 1.2), the gain of two workers on at least 30 s of work, their start included (aim: at
least 1.7), and the growth of peak memory with ten times the events (aim: at most 1.2). Beside the gain stands that of
two uproot loops that know nothing of each other, which is what the machine gives, and the processor time of each: on a
machine that others use, too, the times say little, and processor time that does not grow says that the gain is there.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
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


def by_hand_side_by_side(sources: list[Path], target: Path, processes: int) -> None:
    """Copy files with uproot alone, each process its share."""
    target.mkdir()
    work = [(source, target / source.name) for source in sources]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(by_hand, work, chunksize=1)


def links(source: Path, number: int) -> list[Path]:
    """Return so many files with the same content, which takes the space of one."""
    folder = fresh("many")
    folder.mkdir()
    made = [folder / f"part{i:03d}.root" for i in range(number)]
    for path in made:
        os.link(source, path)
    return made


def clocked(function: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that a call takes, and the processor time of this process and of those it started."""
    before = os.times()
    seconds = timed(function)
    after = os.times()
    return seconds, sum(after[:4]) - sum(before[:4])


def scaling(source: Path, events: int, seconds: float) -> None:
    """Copy at least 30 s of work with one and two workers, and print what is gained."""
    number = max(2, -(-int(32 / seconds) // 2) * 2)
    sources = links(source, number)
    folder = sources[0].parent
    times, processor = {}, {}
    for workers in (1, 2):
        for name, function in (
            ("hepflow", lambda target, n=workers: with_hepflow(folder, target, n)),
            ("uproot", lambda target, n=workers: by_hand_side_by_side(sources, target, n)),
        ):
            target = fresh("scaling")
            os.sync()
            times[f"{name}, {workers}"], processor[f"{name}, {workers}"] = clocked(lambda: function(target))  # noqa: B023 - called at once
            fresh("scaling")
    report(f"copying {number} × {events:,} events with one and two processes", times, "hepflow, 2")
    report("processor time of that", processor, "hepflow, 1")
    for name in ("hepflow", "uproot"):
        print(f"  gain of two processes, {name}: {times[f'{name}, 1'] / times[f'{name}, 2']:.2f}")
    fresh("many")


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

    scaling(source, events, times["hepflow"])

    memory = {
        f"{n:,} events": float(peak_memory(make_input(SCRATCH / f"events_{n}.root", n))) for n in (events, 10 * events)
    }
    report("peak memory", memory, f"{events:,} events", "kB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    for folder in ("scaling", "memory", "many", "target"):
        fresh(folder)
