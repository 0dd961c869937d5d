"""Export of a trained network: names as Athena wants them, the record, the parity check, what lwtnn cannot have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hepflow import Context
from hepflow.errors import InputError, NetworkError, OutputError
from hepflow.networks import Network, load
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES
from hepflow.plugins.training import ModelExporter, Trainer, open_dataset
from hepflow.plugins.training.engines import keras_export

pytest.importorskip("keras", reason="Keras is not installed")

SMALL = "SetTransformer: {n_model: 4, n_heads: 2, n_blocks: 1, n_ff: 4, n_fc: [4]}"


@pytest.fixture(scope="module")
def exported(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(trained[0], folder / "network")
    context = Context(folder, "training", results={"Trainer": ({"folder": str(folder / "network")},)})
    return context, ModelExporter("ModelExporter").finalize(None, context)[0]


def test_names_are_those_of_athena(exported, small_training):
    context, result = exported
    data = json.loads((context.directory / "network/weights-for-lwtnn.json").read_text())
    assert data["inputs"] == []
    assert {s["name"]: [v["name"] for v in s["variables"]] for s in data["input_sequences"]} == {
        name: [v.name for v in DECAY_MODE_VARIABLES[name]] for name in ("TauTrack", "NeutralPFO")
    }
    assert list(data["outputs"]) == ["classes"]
    assert data["outputs"]["classes"]["labels"] == list(CLASSES)
    measured = json.loads(Path(small_training["Normaliser"]).read_text())["input_sequences"][1]["variables"]
    written = data["input_sequences"][1]["variables"]
    for one, two in zip(measured, written, strict=True):
        assert (two["offset"], two["scale"]) == pytest.approx((one["offset"], one["scale"]), rel=1e-7)
    assert sorted(result["files"]) == ["model.keras", "model.onnx", "weights-for-lwtnn.json"]


def test_parity_is_measured_and_recorded(exported, small_training):
    """The difference that is recorded, calculated here from the files."""
    context, result = exported
    folder = context.directory / "network"
    from hepflow.networks import open_keras
    from hepflow.plugins.training import layers  # noqa: F401

    with open_dataset(small_training["Dataset"]) as data:
        batch = next(data.batches("validation", 5000))
    inputs = {**batch.inputs, **{f"{name}_mask": mask for name, mask in batch.masks.items()}}
    expected = np.asarray(open_keras(folder / "model.keras").predict_on_batch(inputs))
    ragged = {name: (batch.inputs[name][mask], mask.sum(axis=1)) for name, mask in batch.masks.items()}
    for name in ("weights-for-lwtnn.json", "model.onnx"):
        found = load(folder / name).evaluate(ragged)["classes"]
        assert np.abs(found - expected).max() == pytest.approx(result["differences"][name], abs=1e-7)
        assert result["differences"][name] < 1e-5
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["export"]["differences"] == result["differences"]
    assert summary["export"]["rows"] == len(batch)


def test_the_record_travels(exported):
    context, _ = exported
    for name in ("weights-for-lwtnn.json", "model.onnx"):
        record = load(context.directory / "network" / name).record
        assert record["folds"]["test"] == [1]
        assert record["folds"]["rule"] == "TauJets.mcEventNumber % 5"
        pt = next(v for v in record["variables"]["TauTrack"] if v["name"] == "pt_log")
        assert (pt["column"], pt["transform"], pt["floor"], pt["unit"]) == ("pt", "log10", 1e-3, "MeV")
        assert record["training"]["architecture"] == "DSNN"
        assert record["training"]["schedule"]["seed"] == 42
        assert {"keras", "hepflow"} <= set(record["versions"])
        assert record["caps"] == {"TauTrack": 3, "NeutralPFO": 8}


def test_a_difference_is_an_error(exported):
    context, _ = exported
    with pytest.raises(NetworkError, match="differs from Keras by"):
        ModelExporter("ModelExporter", Tolerance=0).finalize(None, context)
    again = ModelExporter("ModelExporter", Trainer=str(context.directory / "network"))
    assert again.finalize(None, Context(context.directory, "other"))[0]["differences"]


def test_a_run_that_was_moved_is_exported_from_its_own_training_set(tmp_path, small_training, trained):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(small_training["Dataset"], run / "own.h5")
    settings = {**small_training, "Dataset": str(run / "own.h5"), "Epochs": 1, "BatchSize": 200, "Report": ()}
    settings |= {"ArchFile": str(trained[2])}
    Trainer("Trainer", **settings).finalize(None, Context(run, "job"))
    moved = run.rename(tmp_path / "moved")
    assert ModelExporter("e", Trainer=str(moved / "network")).finalize(None, Context(moved, "job"))[0]["differences"]


def test_a_folder_that_is_trained_anew_counts(tmp_path, trained):
    folder = tmp_path / "network"
    shutil.copytree(trained[0], folder)
    tool = ModelExporter("e", Trainer=str(folder))
    assert set(tool.data_files()) == {"Trainer/model.keras", "Trainer/configuration.json"}
    for number in "01":
        shutil.copytree(trained[0], folder / number)
    assert tool.data_files()["Trainer/1/model.keras"] == str(folder / "1/model.keras")
    assert ModelExporter("e", Trainer="Trainer").data_files() == {}


def test_weights_that_are_not_finite(tmp_path, trained):
    from hepflow.networks import open_keras
    from hepflow.plugins.training import layers  # noqa: F401

    folder = tmp_path / "network"
    shutil.copytree(trained[0], folder)
    model = open_keras(folder / "model.keras")
    model.set_weights([np.full_like(array, np.nan) if n == 0 else array for n, array in enumerate(model.get_weights())])
    model.save(folder / "model.keras")
    with pytest.raises(NetworkError, match="weights of the network are not finite") as caught:
        ModelExporter("e", Trainer=str(folder)).finalize(None, Context(tmp_path, "job"))
    assert "smaller LearningRate" in caught.value.hint
    assert not list(folder.glob("*.onnx"))
    assert not (folder / "weights-for-lwtnn.json").exists()


def test_a_difference_that_is_not_finite(tmp_path, trained, monkeypatch):
    folder = tmp_path / "network"
    shutil.copytree(trained[0], folder)
    before = (folder / "summary.json").read_text()
    monkeypatch.setattr(Network, "evaluate", lambda self, inputs, sequences: {"classes": np.full(5, np.nan)})
    with pytest.raises(NetworkError, match="gives values that are not finite"):
        ModelExporter("e", Trainer=str(folder)).finalize(None, Context(tmp_path, "job"))
    assert (folder / "summary.json").read_text() == before


def test_full_disk(tmp_path, trained, monkeypatch):
    def full(network, path):
        raise OutputError("No space left on device", where=str(path), hint="is the disk full?")

    shutil.copytree(trained[0], tmp_path / "network")
    monkeypatch.setattr(keras_export, "write_lwtnn", full)
    with pytest.raises(OutputError) as caught:
        ModelExporter("e", Trainer=str(tmp_path / "network")).finalize(None, Context(tmp_path, "job"))
    assert caught.value.hint == "is the disk full? what is finished is kept, --resume continues"
    assert caught.value.where.endswith("weights-for-lwtnn.json")


def test_attention_is_written_as_onnx_alone(tmp_path, small_training, caplog):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    (tmp_path / "Arch.yaml").write_text(SMALL)
    settings = {"BatchSize": 400, "Epochs": 1, "ArchFile": str(tmp_path / "Arch.yaml"), **small_training}
    trained = Trainer("Trainer", Report=(), **settings).finalize(None, Context(tmp_path, "training"))
    context = Context(tmp_path, "training", results={"Trainer": trained})
    (tmp_path / "network/weights-for-lwtnn.json").write_text("of an earlier training")
    (result,) = ModelExporter("ModelExporter").finalize(None, context)
    assert list(result["differences"]) == ["model.onnx"]
    assert result["differences"]["model.onnx"] < 1e-5
    assert not (tmp_path / "network/weights-for-lwtnn.json").exists()
    assert "lwtnn has no attention" in caplog.text
    network = load(tmp_path / "network/model.onnx")
    assert network.record["folds"]["test"] == [1]
    assert network.outputs[0].labels == CLASSES
    values = np.ones((3, 10), np.float32), np.array([0, 3])
    empty = np.ones((0, 22), np.float32), np.array([0, 0])
    assert np.isfinite(network.evaluate({"TauTrack": values, "NeutralPFO": empty})["classes"]).all()


def test_a_folder_without_training(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        ModelExporter("e", Trainer=str(tmp_path / "empty")).finalize(None, Context(tmp_path, "job"))
