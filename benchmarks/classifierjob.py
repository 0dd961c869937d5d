"""A whole job of the decay-mode classifier, from file to file, beside a copy of all columns with uproot alone.

    python benchmarks/classifierjob.py XAOD [FILES]

Prints processor seconds a file of this process, where hepflow reads, selects, evaluates the shipped network and writes
an MxAOD (copies of one file; the plan is cached, as in every run but the first), and of uproot, which reads all columns
and writes them with the same compression. Files of 500 events tell what a file costs, those of 8 000 what an event
does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uproot

from hepflow import Job
from hepflow.execution import run
from hepflow.execution.options import RunOptions
from hepflow.plugins.tau import NNDecayModeClassifier, TauSelection
from hepflow.streams import MxAODStream


def classify(files: Sequence[Path], folder: Path) -> None:
    """Run the job."""
    job = Job("classifier")
    job += TauSelection("TauSelection", PtMin=15_000.0, AbsEtaMax=2.5)
    stream = MxAODStream("output")
    stream += NNDecayModeClassifier("NNDecayModeClassifier")
    job += stream
    run(job, RunOptions(inputs=[str(path) for path in files], output=str(folder), force=True))


def copy(files: Sequence[Path], folder: Path) -> None:
    """Read and write all columns with uproot."""
    folder.mkdir(exist_ok=True)
    for path in files:
        with uproot.open(path) as file, uproot.recreate(folder / path.name, compression=uproot.ZSTD(1)) as made:
            arrays = file["EventData"].arrays()
            made.mkrntuple("EventData", arrays.layout.form).extend(arrays)


def seconds(function: Callable[[Sequence[Path], Path], None], files: Sequence[Path], folder: Path) -> float:
    """Return the processor time a file."""
    begun = time.process_time()
    function(files, folder)
    return (time.process_time() - begun) / len(files)


def main(source: str, number: int) -> None:
    """Measure in turns, and print the best of three."""
    folder = Path(tempfile.mkdtemp(prefix="hepflow-classifier-"))
    try:
        files = [folder / f"in_{i:03d}.root" for i in range(number)]
        for path in files:
            shutil.copy(source, path)
        ways = {"hepflow": classify, "uproot": copy}
        for name, way in ways.items():  # libraries are loaded, files looked into
            way(files, folder / name)
        rounds = [{name: seconds(way, files, folder / name) for name, way in ways.items()} for _ in range(3)]
    finally:
        shutil.rmtree(folder)
    best = {name: min(one[name] for one in rounds) for name in ways}
    for name, taken in best.items():
        print(f"{name:8s} {taken:.4f} s of processor time a file")
    print(f"hepflow takes {best['hepflow'] / best['uproot']:.2f} of the time")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40)
