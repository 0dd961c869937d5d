"""Building a training set: hepflow beside the reference's way, one LMDB record for each tau and sequence.

    python benchmarks/dataset.py [TAUS]

All times are of the processor. Both read the same ntuple of NNDecayModeTree's form. The reference's way loops over taus
and sequences: ``np.asarray`` of the variables, ``np.pad``, standardise what is not 0, one record, a commit every 1000
records. Prints the ratio (aim: at least 50), the time h5py alone needs to write the same bytes, the share of reading
batches in a training of 35 000 taus/s, and the growth of peak memory with ten times the taus (aim: at most 1.2).
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import awkward as ak
import h5py
import hdf5plugin
import numpy as np
import uproot
from common import report, worked

from hepflow import Job
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES, SEQUENCE_CAPS, decay_mode_training
from hepflow.plugins.training import Normaliser, open_dataset
from hepflow.streams import DatasetStream

SCRATCH = Path(tempfile.gettempdir()) / "hepflow-benchmarks"
MEAN_OBJECTS = {"TauTrack": 1.6, "NeutralPFO": 3.0, "ShotPFO": 1.5, "ConvTrack": 0.4}
LABEL, WEIGHT, NUMBER = "TauJets.truthDecayMode", "TauJets.beamSpotWeight", "TauJets.mcEventNumber"


def make_ntuple(path: Path, taus: int, step: int = 100_000) -> Path:
    """Write an ntuple with one entry a tau and the variables of the decay-mode networks, unless it is there."""
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    types: dict[str, object] = {LABEL: np.int32, WEIGHT: np.float32, NUMBER: np.uint64}
    for group, variables in DECAY_MODE_VARIABLES.items():
        record = ak.types.RecordType([ak.types.NumpyType("float32")] * len(variables), [v.column for v in variables])
        types[group] = ak.types.ListType(record)
    temporary = path.with_suffix(".part")
    with uproot.recreate(temporary, compression=uproot.LZ4(1)) as file:
        tree = file.mktree(
            "tree", types, field_name=lambda outer, inner: f"{outer}.{inner}", counter_name=lambda name: f"n{name}"
        )
        for start in range(0, taus, step):
            size = min(step, taus - start)
            columns: dict[str, object] = {
                LABEL: rng.integers(0, 5, size, dtype=np.int32),
                WEIGHT: rng.uniform(0.5, 1.5, size).astype(np.float32),
                NUMBER: np.arange(start, start + size, dtype=np.uint64),
            }
            for group, variables in DECAY_MODE_VARIABLES.items():
                counts = rng.poisson(MEAN_OBJECTS[group], size)
                values = {v.column: rng.normal(size=counts.sum()).astype(np.float32) for v in variables}
                columns[group] = ak.unflatten(ak.zip(values), counts)
            tree.extend(columns)
    temporary.replace(path)
    return path


def reference_way(source: Path, target: Path, taus: int) -> None:
    """Read, and write one LMDB record for each tau and sequence; the statistics are taken as known."""
    import lmdb

    scaling = {group: (np.zeros(len(v)), np.ones(len(v))) for group, v in DECAY_MODE_VARIABLES.items()}
    environment = lmdb.open(str(target), map_size=1 << 40)
    tree = uproot.open({source: "tree"})
    for group, variables in DECAY_MODE_VARIABLES.items():
        arrays = tree.arrays([f"{group}.{v.column}" for v in variables], entry_stop=taus, how=tuple)
        cap, (means, widths) = SEQUENCE_CAPS[group], scaling[group]
        # plain numpy below: indexing awkward arrays tau by tau would cost the reference's way another factor
        offsets = arrays[0].layout.offsets.data
        contents = [array.layout.content.data for array in arrays]
        writing = environment.begin(write=True)
        for tau in range(taus):
            low, high = offsets[tau], min(offsets[tau + 1], offsets[tau] + cap)
            values = np.asarray([content[low:high] for content in contents], dtype=np.float32).T
            padded = np.pad(values, ((0, cap - len(values)), (0, 0)))
            there = padded != 0
            scaled = np.where(there, (padded - means) * 0.5 / widths, 0).astype(np.float32)
            writing.put(f"{group}-{tau:09d}".encode(), scaled.tobytes())
            if tau % 1000 == 999:
                writing.commit()
                writing = environment.begin(write=True)
        writing.commit()
    environment.close()


def with_hepflow(source: Path, target: Path, *, normalise: bool = False) -> Path:
    """Write a training set with a DatasetStream; with ``normalise`` measure mean and width of all inputs as well."""
    job = Job("dataset")
    taus = replace(decay_mode_training(), spectators=())
    if normalise:
        job += Normaliser("Normaliser", TrainingSet=taus)
    job += DatasetStream("dataset", TrainingSet=taus)
    return run(job, RunOptions(inputs=[str(source)], output=str(target))).outputs["dataset"][0]


def bare_h5py(arrays: dict[str, tuple[np.ndarray, tuple[int, ...]]], target: Path) -> None:
    """Write arrays that are in memory."""
    with h5py.File(target, "w") as file:
        for name, (values, chunks) in arrays.items():
            file.create_dataset(name, data=values, chunks=chunks, **hdf5plugin.LZ4())


def read_once(path: Path) -> int:
    """Read an epoch of the training folds, shuffled; return the number of taus."""
    with open_dataset(path) as data:
        return sum(len(batch) for batch in data.batches("train", 1000, shuffle_seed=1))


def _peak(source: Path) -> float:
    read_once(with_hepflow(source, fresh("memory"), normalise=True))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peak_memory(source: Path) -> float:
    """Return the peak memory (MiB) of a fresh process that builds the training set and reads it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (source,))


def fresh(name: str) -> Path:
    """Return a path where nothing is."""
    path = SCRATCH / name
    path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return path


def main(taus: int) -> None:
    """Measure and print."""
    SCRATCH.mkdir(exist_ok=True)
    sizes = (taus // 5, 2 * taus)  # first: a process inherits the peak of the one that starts it
    memory = {f"{n:,} taus": peak_memory(make_ntuple(SCRATCH / f"training_taus_{n}.root", n)) for n in sizes}
    report("peak memory, building and reading", memory, f"{sizes[0]:,} taus", "MiB")

    source = make_ntuple(SCRATCH / f"training_taus_{taus}.root", taus)
    few = max(taus // 50, 1000)
    per_tau = {
        "reference's way": min(worked(lambda: reference_way(source, fresh("lmdb"), few)) for _ in range(3)) / few * 1e6
    }
    for name, normalise in (("hepflow", False), ("hepflow with normalisation", True)):
        seconds = min(worked(lambda: with_hepflow(source, fresh("hepflow"), normalise=normalise)) for _ in range(3))  # noqa: B023 - called at once
        per_tau[name] = seconds / taus * 1e6
    path = SCRATCH / "hepflow" / "dataset.h5"
    with h5py.File(path) as file:
        arrays = {name: (file[name][:], file[name].chunks) for name in file}
    per_tau["h5py alone, same bytes"] = (
        min(worked(lambda: bare_h5py(arrays, fresh("bare"))) for _ in range(3)) / taus * 1e6
    )
    report(f"building a training set of {taus:,} taus ({few:,} the reference's way)", per_tau, "hepflow", "µs/tau")
    ratio = per_tau["reference's way"] / per_tau["hepflow"]
    print(f"  the reference's way takes {ratio:.0f} times as long")

    read = read_once(path)
    reading = {
        "one epoch read": min(worked(lambda: read_once(path)) for _ in range(3)) / read * 1e6,
        "training": 1e6 / 35_000,
    }
    report("reading shuffled batches of 1000, beside a training of 35 000 taus/s", reading, "training", "µs/tau")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    for folder in ("hepflow", "lmdb", "bare", "memory"):
        fresh(folder)
