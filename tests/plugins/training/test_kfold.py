"""Several networks in one job: who trains on what, that each is what it would be alone, and that resuming works."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepflow import Context, Folds, Job, kfold
from hepflow.errors import JobOptionsError
from hepflow.execution import RunOptions, run
from hepflow.folds import kfold_roles
from hepflow.networks import load
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import ModelExporter, Normaliser, Reweighting, Trainer, trainer
from hepflow.plugins.training.checkpoint import Checkpoint
from tests.plugins.training.conftest import decay_mode_set

pytest.importorskip("keras", reason="Keras is not installed")

INPUTS = {"inputs": {"TauTrack": DECAY_MODE_VARIABLES["TauTrack"]}, "caps": {"TauTrack": SEQUENCE_CAPS["TauTrack"]}}


@pytest.fixture(scope="module")
def job_of(tmp_path_factory, training_columns, write_training_ntuple, make_decay_mode_stream):
    """Run selection, training and export with these folds: ``job_of(folder, networks, resume=…)``."""
    folder = tmp_path_factory.mktemp("kfold")
    source = write_training_ntuple(folder / "n.root", training_columns(600))
    arch = folder / "Arch.yaml"
    arch.write_text("DSNN: {n_inputs: [4], n_hiddens: [4], n_fc1: 4, n_fc2: 4}\n")

    def go(name, networks, resume=False):
        job = Job("kfold")
        job += Normaliser("Normaliser", TrainingSet=decay_mode_set(folds=networks, **INPUTS))
        job += make_decay_mode_stream(folds=networks, **INPUTS)
        job += Trainer("Trainer", BatchSize=100, Epochs=2, ArchFile=str(arch), Report=())
        job += ModelExporter("ModelExporter")
        return run(job, RunOptions(inputs=[str(source)], output=str(folder / name), resume=resume))

    return go


@pytest.fixture(scope="module")
def several(job_of):
    return job_of("several", kfold(3))


def weights(folder):
    return Checkpoint.load(folder / "checkpoint.npz").best


def test_each_network_has_its_own_folds_and_offsets(several):
    files = [result["files"]["weights-for-lwtnn.json"] for result in several.results["ModelExporter"]]
    records = [load(file).record for file in files]
    assert kfold_roles(files, records) == kfold(3)
    offsets = set()
    for number, file in enumerate(files):
        assert str(several.directory / "network" / str(number)) in file
        measured = json.loads((several.directory / f"variables_{number}.json").read_text())["input_sequences"][0]
        written = json.loads(several.directory.joinpath(file).read_text())["input_sequences"][0]
        for one, two in zip(measured["variables"], written["variables"], strict=True):
            assert one["offset"] == pytest.approx(two["offset"], rel=1e-6)
        offsets.add(measured["variables"][4]["offset"])
    assert len(offsets) == 3
    taus = [record["data"]["rows"] for record in records]
    assert sum(one["test"] for one in taus) == 600
    assert [one["best_epoch"] > 0 for one in several.results["Trainer"]] == [True] * 3


def test_a_network_is_what_it_would_be_alone(several, job_of):
    alone = job_of("alone", kfold(3)[1:2])
    assert (alone.directory / "network/model.keras").exists()
    for one, two in zip(weights(several.directory / "network/1"), weights(alone.directory / "network"), strict=True):
        assert np.array_equal(one, two)


def test_interrupted_in_the_second_network_and_resumed(several, job_of, monkeypatch):
    class Interrupted(trainer._Writer):
        def after_epoch(self, state):
            super().after_epoch(state)
            if self.folder.name == "1":
                raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_Writer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        job_of("broken", kfold(3)[:2])
    monkeypatch.undo()
    again = job_of("broken", kfold(3)[:2], resume=True)
    for number in "01":
        pairs = zip(
            weights(again.directory / "network" / number), weights(several.directory / "network" / number), strict=True
        )
        assert all(np.array_equal(one, two) for one, two in pairs)


def test_factors_of_other_folds_are_refused(several, tmp_path):
    factors = (Reweighting(CLASSES, {}, np.ones(5), Folds()),) * 3
    results = {**several.results, "Reweighter": factors}
    context = Context(tmp_path, "kfold", results=results, outputs=several.outputs)
    with pytest.raises(JobOptionsError, match="Reweighter has other training folds than the models"):
        Trainer("t", Reweighter="Reweighter").finalize(None, context)
