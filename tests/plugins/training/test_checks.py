"""What is wrong with a training is told before the event loop, when nothing is written; a corrected file just runs."""

from __future__ import annotations

import json

import pytest

from hepflow import Folds, Job, kfold
from hepflow.errors import HepflowError, NetworkError
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import (
    Int,
    ModelExporter,
    Normaliser,
    Reweighter,
    Trainer,
    Tuner,
)
from hepflow.plugins.training.engines import keras as engine
from hepflow.variables import Variable
from tests.plugins.training.conftest import decay_mode_set

pytest.importorskip("keras", reason="Keras is not installed")

SEQUENCE = {
    "inputs": {"TauTrack": DECAY_MODE_VARIABLES["TauTrack"]},
    "caps": {"TauTrack": SEQUENCE_CAPS["TauTrack"]},
}
FLAT = {"inputs": {"TauJets": (Variable("pt"), Variable("eta"))}, "caps": {}}
SMALL = "n_inputs: [4], n_hiddens: [4], n_fc1: 4, n_fc2: 4"


@pytest.fixture(scope="module")
def go(tmp_path_factory, training_columns, write_training_ntuple, make_decay_mode_stream):
    """Run these tools, normaliser, data set and these tools: ``go(folder, tools…, first=…, shape=…, resume=…)``."""
    source = write_training_ntuple(tmp_path_factory.mktemp("checks") / "n.root", training_columns(600))

    def call(folder, *tools, first=(), shape=SEQUENCE, resume=False, dataset=None, **normaliser):
        job = Job("checks")
        for tool in first:
            job += tool
        job += Normaliser("Normaliser", TrainingSet=decay_mode_set(spectators=[], **{**shape, **normaliser}))
        job += make_decay_mode_stream(spectators=[], **{**shape, **(dataset or {})})
        for tool in tools:
            job += tool
        return run(job, RunOptions(inputs=[str(source)], output=str(folder), resume=resume))

    return call


@pytest.mark.parametrize(
    ("conf", "arch", "message"),
    [
        ("DSNN: {epoch: 3}", "", "did you mean 'epochs'"),
        ("DSNN: {opt: adm}", "", "did you mean 'adam'"),
        ("LSTM: {arch: Arch.yaml}", f"DSNN: {{{SMALL}}}", "of the architecture 'DSNN', not 'LSTM'"),
        ("", f"DSNN: {{{SMALL}, n_fc3: 4}}", "there is no key 'n_fc3'"),
        ("", f"DSNN: {{{SMALL}, n_tdd: {{TauTrak: 1}}}}", "did you mean 'TauTrack'"),
        ("", f"DSNN: {{{SMALL}, n_tdd: 2}}", "n_tdd of TauTrack is 2, but n_inputs has 1 sizes"),
        ("", f"DSNN: {{{SMALL}, n_classes: 3}}", "n_classes is 3 in the architecture, 5 in the data set"),
        ("", "SetTransformer: {n_model: 5}", "n_model 5 is no multiple of n_heads 4"),
    ],
)
def test_wrong_files(go, tmp_path, conf, arch, message):
    properties = {}
    for key, name, text in (("ConfFile", "Conf.yaml", conf), ("ArchFile", "Arch.yaml", arch)):
        (tmp_path / name).write_text(text)
        properties |= {key: str(tmp_path / name)} if text else {}
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", Trainer("Trainer", **properties))
    assert message in str(caught.value)
    assert "tool Trainer, before the event loop" in caught.value.where
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Architecture": "Dense"}, "'TauTrack' is a sequence"),
        ({"Architecture": "DSN"}, "did you mean 'DSNN'"),
        ({"Dataset": "datset"}, "did you mean 'dataset'"),
        ({"Dataset": "Other"}, "Other writes no training set"),
        ({"Reweighter": "Normalizer"}, "did you mean 'Normaliser'"),
        ({"Normaliser": "nowhere/x.json"}, "path of a variables.json that one has written"),
        ({"Dataset": "Normaliser"}, "Normaliser writes no training set"),
        ({"Normaliser": "dataset"}, "dataset is no Normaliser, but a DatasetStream"),
        ({"Normaliser": "Other"}, "Other is no Normaliser, but a Trainer"),
        ({"Reweighter": "Normaliser"}, "Normaliser is no Reweighter, but a Normaliser"),
        ({"OutputName": "other"}, "Other writes into the folder 'other' as well"),
        ({"OutputName": "./other/"}, "Other writes into the folder 'other' as well"),
        ({"OutputName": "../other"}, "OutputName = '../other' is no folder in the run directory"),
        ({"OutputName": "."}, "OutputName = '.' is no folder in the run directory"),
    ],
)
def test_wrong_properties(go, tmp_path, properties, message):
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", Trainer("Trainer", **properties), Trainer("Other", OutputName="other"))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


TRAINER, TUNER = Trainer("Trainer"), Tuner("Tuner", Space={"n_fc1": Int(1, 2)})


@pytest.mark.parametrize("tool", [TRAINER, TUNER])
@pytest.mark.parametrize(
    ("normaliser", "message"),
    [
        (
            {"folds": kfold(3)},
            "Normaliser has the folds TauJets.mcEventNumber % 3, dataset has TauJets.mcEventNumber % 5",
        ),
        (FLAT, "training set and normalisation differ in TauTrack."),
        ({"inputs": {"TauTrack": SEQUENCE["inputs"]["TauTrack"][1:]}}, "(not normalised)"),
        ({"inputs": {"TauTrack": (*SEQUENCE["inputs"]["TauTrack"], Variable("x"))}}, "x (not in the training set)"),
    ],
)
def test_training_set_and_normaliser_that_differ(go, tmp_path, tool, normaliser, message):
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", tool.copy(), **normaliser)
    assert message in str(caught.value)
    assert f"tool {tool.name}, before the event loop" in caught.value.where
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"folds": [Folds(train=(1, 2, 3), test=(4,))]}, "Reweighter has other training folds than the models"),
        ({"column": "TauJets.nTracks"}, "target of Reweighter is (Target(column='TauJets.nTracks'"),
        ({"classes": dict(enumerate(CLASSES[1:]))}, "target of Reweighter is"),
        (
            {"weight": "TauJets.pt"},
            "weight of Reweighter is 'TauJets.pt', that of the training set dataset is",
        ),
    ],
)
def test_reweighter_that_measures_something_else(go, tmp_path, properties, message):
    reweighter = Reweighter("Reweighter", TrainingSet=decay_mode_set(**properties))
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", Trainer("Trainer", Reweighter="Reweighter"), first=[reweighter])
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_tuner_of_several_networks(go, tmp_path):
    with pytest.raises(HepflowError, match="Tuner tunes one model, the training set has the folds of 5"):
        go(tmp_path / "run", TUNER.copy(), dataset={"folds": kfold(5)}, folds=kfold(5))
    with pytest.raises(HepflowError, match="Trainer writes into the folder 'tuning' as well"):
        go(tmp_path / "run", TUNER.copy(), Trainer("Trainer", OutputName="tuning"))
    assert not (tmp_path / "run").exists()


def test_order_of_the_tools(go, tmp_path):
    with pytest.raises(HepflowError, match="Trainer stands before Normaliser, which it needs") as caught:
        go(tmp_path / "run", first=[TRAINER.copy()])
    assert "add Normaliser to the job first" in caught.value.hint
    with pytest.raises(HepflowError, match="Exporter stands before Trainer, which it needs"):
        go(tmp_path / "run", ModelExporter("Exporter", Trainer="Trainer"), TRAINER.copy())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ("Trainr", "did you mean 'Trainer'"),
        ("Normaliser", "Normaliser is no Trainer, but a Normaliser"),
        ("folder", "configuration.json"),
    ],
)
def test_exporter_of_what_is_no_training(go, tmp_path, monkeypatch, trainer, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", TRAINER.copy(), ModelExporter("Exporter", Trainer=trainer))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["[]", "3", '{"inputs": [3]}', '{"inputs": [{"name": "TauTrack"}]}'])
def test_a_file_without_variables(go, tmp_path, text):
    (tmp_path / "variables.json").write_text(text)
    with pytest.raises(NetworkError, match="no list of variables"):
        go(tmp_path / "run", Trainer("Trainer", Normaliser=str(tmp_path / "variables.json")))
    assert not (tmp_path / "run").exists()


def test_numbers_and_classes(go, tmp_path):
    (tmp_path / "Arch.yaml").write_text("Dense: {task: regression}")
    tool = Trainer("Trainer", ArchFile=str(tmp_path / "Arch.yaml"))
    with pytest.raises(HepflowError, match="has classes, the network is for numbers"):
        go(tmp_path / "run", tool, shape=FLAT)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tool", [TRAINER, TUNER])
def test_missing_backend(go, tmp_path, monkeypatch, tool):
    def missing():
        raise NetworkError("no backend")

    monkeypatch.setattr(engine, "check_keras", missing)
    with pytest.raises(NetworkError, match="no backend"):
        go(tmp_path / "run", tool.copy())
    assert not (tmp_path / "run").exists()


def test_corrected_file_runs_and_a_changed_one_keeps_the_training_set(go, tmp_path, caplog):
    caplog.set_level("INFO", "hepflow")
    conf, out = tmp_path / "Conf.yaml", tmp_path / "run"
    (tmp_path / "Arch.yaml").write_text(f"DSNN: {{{SMALL}}}")

    def train(text, **options):
        conf.write_text(text)
        return go(out, Trainer("Trainer", ConfFile=str(conf), BatchSize=200, Report=()), **options)

    with pytest.raises(HepflowError, match="'epochs'"):
        train("DSNN: {epoch: 1, arch: Arch.yaml}")
    train("DSNN: {epochs: 1, arch: Arch.yaml}")
    written = (out / "dataset.h5").stat().st_mtime_ns
    result = train("DSNN: {epochs: 1, opt: nadam, arch: Arch.yaml}", resume=True)
    assert (result.kept, (out / "dataset.h5").stat().st_mtime_ns) == (1, written)
    assert "Trainer.ConfFile (SHA-256): " in caplog.text
    assert "kept in network-1; it had other settings or data:\n  schedule.optimiser: 'adam' → 'nadam'" in caplog.text
    (tmp_path / "Arch.yaml").write_text(f"DSNN: {{{SMALL}, batch_norm: 0}}")
    result = train("DSNN: {epochs: 1, opt: nadam, arch: Arch.yaml}", resume=True)
    assert (result.kept, (out / "dataset.h5").stat().st_mtime_ns) == (1, written)
    assert "Trainer.ArchFile (SHA-256): " in caplog.text
    assert "kept in network-2; it had other settings or data:\n  plan.config.batch_norm: " in caplog.text
    configuration = json.loads((out / "network/configuration.json").read_text())
    assert {key: file["name"] for key, file in configuration["files"].items()} == {
        "ConfFile": "Conf.yaml",
        "ArchFile": "Arch.yaml",
    }


def test_mixed_precision_is_refused():
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    from hepflow.plugins.training.engines import Schedule
    from hepflow.plugins.training.engines.keras import KerasEngine, compile_model

    part = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, dtype="mixed_float16", name="half")])
    with pytest.raises(NetworkError, match="less than float32: half;"):
        compile_model(keras.Sequential([keras.Input((3,)), part]), Schedule(), "mean_squared_error")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pytest.raises(NetworkError, match="Keras calculates in mixed_bfloat16"):
            KerasEngine.check()
    finally:
        keras.config.set_dtype_policy("float32")
    KerasEngine.check()
