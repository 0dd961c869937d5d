"""What is wrong with a training is told before the event loop, when nothing is written; a corrected file just runs."""

from __future__ import annotations

import json

import pytest

from hepflow import Job
from hepflow.errors import HepflowError, NetworkError
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Int, KerasTrainer, Normaliser, Tuner, trainer, tuner
from hepflow.variables import Variable

pytest.importorskip("keras", reason="Keras is not installed")

SEQUENCE = {
    "Variables": {"TauTrack": DECAY_MODE_VARIABLES["TauTrack"]},
    "Caps": {"TauTrack": SEQUENCE_CAPS["TauTrack"]},
}
FLAT = {"Variables": {"TauJets": (Variable("pt"), Variable("eta"))}, "Caps": {}}
SMALL = "n_inputs: [4], n_hiddens: [4], n_fc1: 4, n_fc2: 4"


@pytest.fixture(scope="module")
def go(tmp_path_factory, training_columns, write_training_ntuple, make_decay_mode_stream):
    """Run normaliser, data set and these tools: ``go(folder, tools…, inputs=…, resume=…)``."""
    source = write_training_ntuple(tmp_path_factory.mktemp("checks") / "n.root", training_columns(600))

    def call(folder, *tools, inputs=SEQUENCE, resume=False):
        classes = {**dict(enumerate(CLASSES)), 5: CLASSES[4]}
        job = Job("checks")
        job += Normaliser("Normaliser", Classes=classes, **inputs)
        job += make_decay_mode_stream(Spectators=[], Classes=classes, **inputs)
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
        go(tmp_path / "run", KerasTrainer("KerasTrainer", **properties))
    assert message in str(caught.value)
    assert "tool KerasTrainer, before the event loop" in caught.value.where
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
        ({"OutputName": "other"}, "Other writes into the folder 'other' as well"),
    ],
)
def test_wrong_properties(go, tmp_path, properties, message):
    with pytest.raises(HepflowError) as caught:
        go(tmp_path / "run", KerasTrainer("KerasTrainer", **properties), KerasTrainer("Other", OutputName="other"))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_numbers_and_classes(go, tmp_path):
    (tmp_path / "Arch.yaml").write_text("Dense: {task: regression}")
    tool = KerasTrainer("KerasTrainer", ArchFile=str(tmp_path / "Arch.yaml"))
    with pytest.raises(HepflowError, match="has classes, the network is for numbers"):
        go(tmp_path / "run", tool, inputs=FLAT)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tool", [KerasTrainer("t"), Tuner("t", Space={"n_fc1": Int(1, 2)})])
def test_missing_backend(go, tmp_path, monkeypatch, tool):
    def missing():
        raise NetworkError("no backend")

    for module in (trainer, tuner):
        monkeypatch.setattr(module, "check_keras", missing)
    with pytest.raises(NetworkError, match="no backend"):
        go(tmp_path / "run", tool)
    assert not (tmp_path / "run").exists()


def test_corrected_file_runs_and_a_changed_one_keeps_the_training_set(go, tmp_path, caplog):
    caplog.set_level("INFO", "hepflow")
    conf, out = tmp_path / "Conf.yaml", tmp_path / "run"
    (tmp_path / "Arch.yaml").write_text(f"DSNN: {{{SMALL}}}")

    def train(text, **options):
        conf.write_text(text)
        return go(out, KerasTrainer("KerasTrainer", ConfFile=str(conf), BatchSize=200), **options)

    with pytest.raises(HepflowError, match="'epochs'"):
        train("DSNN: {epoch: 1, arch: Arch.yaml}")
    train("DSNN: {epochs: 1, arch: Arch.yaml}")
    written = (out / "dataset.h5").stat().st_mtime_ns
    result = train("DSNN: {epochs: 1, opt: nadam, arch: Arch.yaml}", resume=True)
    assert (result.kept, (out / "dataset.h5").stat().st_mtime_ns) == (1, written)
    assert "KerasTrainer.ConfFile (SHA-256): " in caplog.text
    assert "kept in network-1; it had other settings or data:\n  schedule.optimiser: 'adam' → 'nadam'" in caplog.text
    (tmp_path / "Arch.yaml").write_text(f"DSNN: {{{SMALL}, batch_norm: 0}}")
    result = train("DSNN: {epochs: 1, opt: nadam, arch: Arch.yaml}", resume=True)
    assert (result.kept, (out / "dataset.h5").stat().st_mtime_ns) == (1, written)
    assert "KerasTrainer.ArchFile (SHA-256): " in caplog.text
    assert "kept in network-2; it had other settings or data:\n  plan.config.batch_norm: " in caplog.text
    configuration = json.loads((out / "network/configuration.json").read_text())
    assert {key: file["name"] for key, file in configuration["files"].items()} == {
        "ConfFile": "Conf.yaml",
        "ArchFile": "Arch.yaml",
    }
