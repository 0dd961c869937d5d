"""Ntuples as NNDecayModeTree writes them, with random but plausible values, and training sets made of them."""

from __future__ import annotations

import os

# before TensorFlow is loaded: quiet, and one thread
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from hepflow import Job, Target, TrainingSet
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Normaliser, Trainer
from hepflow.plugins.training.architectures import NetworkInput
from hepflow.streams import DatasetStream

MEAN_OBJECTS = {"TauTrack": 1.6, "NeutralPFO": 3.0, "ShotPFO": 1.5, "ConvTrack": 0.4}


def make_columns(number, seed=1, first=0):
    """Columns of an ntuple: modes 0…4 (and some 5), sequences whose contents depend on the mode, weights near 1."""
    rng = np.random.default_rng([seed, first])
    mode = rng.choice(6, number, p=[0.15, 0.35, 0.2, 0.2, 0.08, 0.02]).astype(np.int32)
    columns = {
        "TauJets": {
            "pt": rng.uniform(15e3, 100e3, number).astype(np.float32),
            "eta": rng.uniform(-2.5, 2.5, number).astype(np.float32),
            "nTracks": np.where(mode < 3, 1, 3).astype(np.int32),
            "truthDecayMode": mode,
            "truthIsHadronicTau": (rng.random(number) < 0.95).astype(np.int8),
            "mcEventNumber": np.arange(first, first + number, dtype=np.uint64),
            "beamSpotWeight": rng.uniform(0.5, 1.5, number).astype(np.float32),
        }
    }
    for group, variables in DECAY_MODE_VARIABLES.items():
        counts = rng.poisson(MEAN_OBJECTS[group] + (0.5 * (mode % 3) if group == "NeutralPFO" else 0), number)
        total = int(counts.sum())
        values = {}
        for variable in variables:
            if variable.transform:
                values[variable.column] = rng.lognormal(3, 2, total).astype(np.float32)
            elif variable.column.startswith("NPos"):
                values[variable.column] = rng.poisson(3, total).astype(np.int32)
            else:
                shift = 0.1 * np.repeat(mode, counts)
                values[variable.column] = (rng.normal(0, 0.3, total) + shift).astype(np.float32)
        columns[group] = (counts, values)
    return columns


def write_ntuple(path, columns):
    """Write columns as uproot alone writes them: a TTree with one entry a tau."""
    branches = {f"TauJets.{name}": values for name, values in columns["TauJets"].items()}
    for group, listed in columns.items():
        if group != "TauJets":
            counts, values = listed
            branches[group] = ak.zip({name: ak.unflatten(array, counts) for name, array in values.items()})
    with uproot.recreate(path, compression=uproot.LZ4(1)) as file:
        types = {
            name: values.dtype if isinstance(values, np.ndarray) else values.type for name, values in branches.items()
        }
        types = {name: kind if isinstance(kind, np.dtype) else kind.content for name, kind in types.items()}
        tree = file.mktree(
            "tree", types, field_name=lambda outer, inner: f"{outer}.{inner}", counter_name=lambda name: f"n{name}"
        )
        tree.extend(branches)
    return path


MODES = {**dict(enumerate(CLASSES)), 5: CLASSES[4]}


def decay_mode_set(column="TauJets.truthDecayMode", classes=MODES, **changes):
    """What the decay-mode training declares, with mode 5 counted to the last class."""
    declared = {
        "inputs": DECAY_MODE_VARIABLES,
        "caps": SEQUENCE_CAPS,
        "target": Target(column, classes),
        "weight": "TauJets.beamSpotWeight",
        "spectators": ["TauJets.pt", "TauJets.truthDecayMode"],
    }
    return TrainingSet(**{**declared, **changes})


def decay_mode_stream(name="dataset", Seed=42, Compression="LZ4", **changes):  # noqa: N803
    """The stream of the decay-mode training, with another declaration."""
    return DatasetStream(name, TrainingSet=decay_mode_set(**changes), Seed=Seed, Compression=Compression)


def make_dataset(folder, taus, tools=(), **properties):
    """Write a training set of so many random taus, or of the columns given; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = make_columns(taus) if isinstance(taus, int) else taus
    source = write_ntuple(folder / "ntuple.root", columns)
    job = Job("dataset")
    for tool in tools:
        job += tool
    job += decay_mode_stream(**properties)
    result = run(job, RunOptions(inputs=[str(source)], output=str(folder / "run")))
    return result.outputs["dataset"][0]


@pytest.fixture(scope="session")
def training_columns():
    """Make the columns of random taus: ``training_columns(number, seed=…, first=…)``."""
    return make_columns


@pytest.fixture(scope="session")
def write_training_ntuple():
    """Write columns into an ntuple: ``write_training_ntuple(path, columns)``."""
    return write_ntuple


@pytest.fixture(scope="session")
def make_decay_mode_stream():
    """Make the stream of the decay-mode training: ``make_decay_mode_stream(name, **properties)``."""
    return decay_mode_stream


@pytest.fixture(scope="session")
def make_training_set():
    """Write a training set: ``make_training_set(folder, number or columns, tools=…, **properties)``."""
    return make_dataset


@pytest.fixture(scope="session")
def training_set(tmp_path_factory):
    """A training set of 3 000 random taus."""
    return make_dataset(tmp_path_factory.mktemp("training_set"), 3000)


@pytest.fixture(scope="session")
def small_training(tmp_path_factory):
    """A training set of 700 random taus, with two sequences, and its variables.json, as settings of a trainer."""
    inputs = {
        "inputs": {name: DECAY_MODE_VARIABLES[name] for name in ("TauTrack", "NeutralPFO")},
        "caps": {name: SEQUENCE_CAPS[name] for name in ("TauTrack", "NeutralPFO")},
    }
    normaliser = Normaliser("Normaliser", TrainingSet=decay_mode_set(**inputs))
    path = make_dataset(tmp_path_factory.mktemp("small_training"), 700, [normaliser], **inputs)
    return {"Dataset": str(path), "Normaliser": str(path.parent / "variables.json")}


@pytest.fixture(scope="session")
def network_inputs():
    """The inputs of the decay-mode networks, with made offsets and scales."""
    rng = np.random.default_rng(3)
    inputs = []
    for name, variables in DECAY_MODE_VARIABLES.items():
        numbers = (tuple(rng.uniform(low, high, len(variables)).tolist()) for low, high in ((-1, 1), (0.3, 2)))
        inputs.append(NetworkInput(name, tuple(v.name for v in variables), SEQUENCE_CAPS[name], *numbers))
    return tuple(inputs)


@pytest.fixture(scope="session")
def random_taus(network_inputs):
    """Inputs of taus for a network in the training form; the first tau has no objects, padding is not zero."""

    def make(number, inputs=network_inputs, seed=5):
        rng = np.random.default_rng(seed)
        values, counts = {}, {}
        for one in inputs:
            values[one.name] = rng.normal(size=(number, one.cap, len(one.variables))).astype(np.float32)
            counts[one.name] = np.where(np.arange(number) == 0, 0, rng.integers(0, one.cap + 1, number))
        masks = {one.name: np.arange(one.cap) < counts[one.name][:, None] for one in inputs}
        return values, masks

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory, small_training):
    """A small DeepSet trained for three epochs: its folder (only to be read), the trainer's result, its Arch file."""
    folder = tmp_path_factory.mktemp("trained")
    arch = folder / "ArchSmall.yaml"
    arch.write_text("DSNN: {n_inputs: [6], n_hiddens: [5], n_fc1: 8, n_fc2: 6}\n")
    job = Job("training")
    settings = {"BatchSize": 100, "Epochs": 3, "ArchFile": str(arch), "LearningRate": 0.01, **small_training}
    job += Trainer("Trainer", Report=(), **settings)
    (result,) = run(job, RunOptions(output=str(folder / "run"))).results["Trainer"]
    return folder / "run/network", result, arch


def copied(path, target):
    """Copy a training set as other programs do: it has no checksum of its own."""
    with h5py.File(path) as old, h5py.File(target, "w") as new:
        for name in old:
            old.copy(name, new)
        new.attrs["hepflow"] = old.attrs["hepflow"]
    return target
