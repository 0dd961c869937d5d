"""Reading a training set: every value against the file as h5py alone reads it, order, roles, errors."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from hepflow import Folds, kfold
from hepflow.errors import InputError, JobOptionsError, ToolError
from hepflow.io import hdf5
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Batch, Reweighting, TrainingSelection, open_dataset
from hepflow.plugins.training import data as data_module
from hepflow.variables import Variable
from tests.plugins.training.conftest import copied, decay_mode_set

TAUS = 3000


@pytest.fixture(scope="module")
def path(tmp_path_factory, make_training_set):
    return make_training_set(tmp_path_factory.mktemp("data"), TAUS)


@pytest.fixture
def data(path):
    with open_dataset(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def raw(path):
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


def by_hand(raw, rows):
    """Inputs, masks and labels of rows, calculated object by object."""
    inputs = {}
    for group, variables in DECAY_MODE_VARIABLES.items():
        inputs[group] = np.zeros((len(rows), SEQUENCE_CAPS[group], len(variables)), dtype=np.float32)
        for i, row in enumerate(rows):
            for j, one in enumerate(raw[group][row]):
                if one["valid"]:
                    for k, v in enumerate(variables):
                        x = np.float32(one[v.column])
                        inputs[group][i, j, k] = np.log10(max(x, np.float32(v.floor))) if v.transform else x
    return inputs


def everything(data, role, size, **options):
    return Batch.join(list(data.batches(role, size, **options)))


def test_values_masks_labels_and_weights(data, raw):
    rows = np.flatnonzero(np.isin(raw["taus"]["fold"], (0,)))
    batch = everything(data, "validation", 128)
    assert len(batch) == len(rows) == TAUS // 5
    for group, expected in by_hand(raw, rows).items():
        assert batch.inputs[group].dtype == np.float32
        np.testing.assert_allclose(batch.inputs[group], expected, rtol=1e-6, atol=0)
        assert (batch.masks[group] == raw[group]["valid"][rows]).all()
    assert batch.labels.dtype == np.float32
    assert batch.labels.tolist() == np.eye(5)[raw["taus"]["label"][rows]].tolist()
    assert batch.weights.tolist() == raw["taus"]["weight"][rows].tolist()


def test_batches_have_the_size_asked_for_and_leave_nothing_out(data):
    sizes = [len(batch) for batch in data.batches("train", 700, shuffle_seed=3)]
    assert sizes == [700, 700, 400]
    assert data.size("train") == 1800
    assert [len(batch) for batch in data.batches("test", 100_000)] == [600]


def test_roles_and_counts(data, raw):
    for role, folds in (("train", (2, 3, 4)), ("validation", (0,)), ("test", (1,))):
        labels = raw["taus"]["label"][np.isin(raw["taus"]["fold"], folds)]
        assert data.counts(role).tolist() == np.bincount(labels, minlength=5).tolist()


def test_shuffling_depends_on_seed_and_epoch_alone(data, monkeypatch):
    monkeypatch.setattr(data_module, "BLOCK_ROWS", 64)

    def weights(size, **options):
        return everything(data, "train", size, **options).weights.tolist()

    first = weights(100, shuffle_seed=1, epoch=0)
    assert weights(333, shuffle_seed=1, epoch=0) == first
    others = [weights(100, shuffle_seed=1, epoch=1), weights(100, shuffle_seed=2, epoch=0), weights(100)]
    for other in others:
        assert other != first
        assert sorted(other) == sorted(first)


def test_rows_stay_together_when_shuffled(data, monkeypatch):
    monkeypatch.setattr(data_module, "BLOCK_ROWS", 64)
    plain, mixed = everything(data, "train", 500), everything(data, "train", 500, shuffle_seed=5)
    where = {weight: i for i, weight in enumerate(plain.weights.tolist())}
    assert len(where) == len(plain), "the weights are all different"
    order = [where[weight] for weight in mixed.weights.tolist()]
    for group in SEQUENCE_CAPS:
        assert (mixed.inputs[group] == plain.inputs[group][order]).all()
        assert (mixed.masks[group] == plain.masks[group][order]).all()
    assert (mixed.labels == plain.labels[order]).all()


def test_blocks_are_decoded_once_and_anew_where_there_is_no_room(data, monkeypatch, caplog):
    """Order and rows are the same, and those that ``order`` says."""
    monkeypatch.setattr(data_module, "BLOCK_ROWS", 64)
    read = []
    monkeypatch.setattr(data, "_read", lambda name, blocks, old=data._read: read.append(name) or old(name, blocks))

    def weights(seed):
        return [weight for rows in data.blocks("train", 500, shuffle_seed=seed) for weight in rows.weights.tolist()]

    first, calls = weights(1), len(read)
    assert weights(1) == first
    assert len(read) == calls, "the second epoch reads nothing of the training set"
    assert data.everything("train").weights[data.order("train", shuffle_seed=1, epoch=0)].tolist() == first
    assert data.nbytes("train") < 2_000 * 500
    data._roles.popitem()[1].close()
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1e5}))
    assert (weights(1), weights(1)) == (first, first)
    assert len(read) == 3 * calls
    assert "the 1800 taus for train are decoded anew in every epoch" in caplog.text
    assert "TMPDIR" in caplog.text


def test_a_reader_may_stop_early(data):
    batches = data.batches("train", 10)
    next(batches)
    batches.close()
    assert len(next(data.batches("train", 10))) == 10


def test_kfold_roles(path, raw):
    with open_dataset(path, kfold(5)[2]) as data:
        batch = everything(data, "test", 1000)
        assert sorted(batch.weights.tolist()) == sorted(raw["taus"]["weight"][raw["taus"]["fold"] == 2].tolist())
        assert data.record["folds"]["train"] == [0, 1, 4]


def test_declaration_and_record(data):
    assert {g: tuple(v.name for v in variables) for g, variables in data.variables.items()} == {
        g: tuple(v.name for v in variables) for g, variables in DECAY_MODE_VARIABLES.items()
    }
    assert (data.caps, data.classes, data.sequences) == (dict(SEQUENCE_CAPS), CLASSES, tuple(SEQUENCE_CAPS))
    assert json.loads(json.dumps(data.record)) == data.record
    assert data.record["rows"] == {"train": 1800, "validation": 600, "test": 600}
    assert {"schema", "version", "folds", "training_set", "seed"} <= set(data.record)


def test_selection_is_in_the_record(tmp_path, make_training_set):
    changes = {"classes": dict(enumerate(CLASSES)), "selection": "TauJets.truthIsHadronicTau", "spectators": []}
    tool = TrainingSelection("select", TrainingSet=decay_mode_set(**changes))
    with open_dataset(make_training_set(tmp_path, 800, tools=[tool], **changes)) as data:
        assert data.record["tools"]["select"]["selection"] == ["TauJets.truthIsHadronicTau"]
        assert data.declared.record() == tool.TrainingSet.record()


def test_flat_inputs_and_regression(tmp_path, make_training_set):
    path = make_training_set(
        tmp_path,
        400,
        inputs={"TauJets": (Variable("pt_log", "pt", "log10", 1.0), Variable("eta"))},
        caps={},
        target="TauJets.nTracks",
        spectators=[],
    )
    with open_dataset(path) as data, h5py.File(path) as file:
        taus = file["taus"][:]
        taus = taus[taus["fold"] == 0]
        batch = everything(data, "validation", 30)
        assert batch.inputs["TauJets"].shape == (80, 2)
        np.testing.assert_allclose(batch.inputs["TauJets"], np.stack([np.log10(taus["pt"]), taus["eta"]], 1), rtol=1e-6)
        assert batch.masks == {}
        assert batch.labels.tolist() == [[value] for value in taus["label"].tolist()]
        assert data.size("validation") == 80


def test_reweighting_multiplies_the_weights(path, raw):
    table = np.arange(1.0, 11.0).reshape(5, 2)
    with open_dataset(path, reweighting=Reweighting(CLASSES, {"pt": (0.0, 50e3, 1e6)}, table)) as data:
        taus = raw["taus"][raw["taus"]["fold"] == 0]
        expected = taus["weight"] * table[taus["label"], (taus["pt"] >= 50e3).astype(int)].astype(np.float32)
        assert everything(data, "validation", 64).weights.tolist() == expected.tolist()
        assert data.record["reweighting"]["classes"] == list(CLASSES)
    with pytest.raises(InputError, match="lacks mu"):
        open_dataset(path, reweighting=Reweighting(CLASSES, {"mu": (0.0, 50.0)}, np.ones((5, 1))))
    with pytest.raises(InputError, match="is for the classes"):
        open_dataset(path, reweighting=Reweighting(CLASSES[1:], {}, np.ones(4)))


@pytest.mark.parametrize(("fold", "role"), [((2, 3, 4), "1800 taus for train"), ((0,), "600 taus for validation")])
def test_weights_of_a_role_that_are_zero(tmp_path, make_training_set, training_columns, fold, role):
    columns = training_columns(TAUS)
    tau = columns["TauJets"]
    tau["beamSpotWeight"][np.isin(tau["mcEventNumber"] % 5, fold)] = 0
    path = make_training_set(tmp_path, columns)
    with open_dataset(path) as data, pytest.raises(ToolError, match=f"weights of the {role} add up to 0") as caught:
        data.check_weights()
    assert "dataset.h5" in caught.value.where


def test_usual_weights_and_weights_after_reweighting(path, data):
    data.check_weights()
    reweighting = Reweighting(CLASSES, {}, np.zeros(5))
    with open_dataset(path, reweighting=reweighting) as nothing, pytest.raises(ToolError, match="train add up to 0"):
        nothing.check_weights()


def test_files_that_are_no_training_set(tmp_path, path):
    with pytest.raises(InputError, match="there is no training set"):
        open_dataset(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="is no HDF5 file, or it is damaged"):
        open_dataset(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(InputError, match="was not written by a DatasetStream"):
        open_dataset(tmp_path / "other.h5")
    copied(path, tmp_path / "record.h5")
    for broken in ('{"variables": ', 7):
        with h5py.File(tmp_path / "record.h5", "r+") as file:
            file.attrs["hepflow"] = broken
        with pytest.raises(InputError, match=r"record.h5 is damaged: its attribute 'hepflow' cannot be read"):
            open_dataset(tmp_path / "record.h5")
    (tmp_path / "half.h5").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        open_dataset(tmp_path / "half.h5")


def test_a_changed_byte_is_seen_before_hdf5_sees_the_file(tmp_path, path, caplog, monkeypatch):
    monkeypatch.setattr(hdf5, "TOLD_BYTES", 1)
    content = path.read_bytes()
    damaged = tmp_path / "damaged.h5"
    for byte in (512, 1144, 2197, 3341, 3952, len(content) // 2, len(content) - 1):  # some crash the HDF5 library
        damaged.write_bytes(content[:byte] + bytes([content[byte] ^ 1]) + content[byte + 1 :])
        with pytest.raises(InputError, match="is damaged, or was changed since it was written"):
            open_dataset(damaged)
    damaged.write_bytes(content)
    caplog.clear()
    with caplog.at_level("INFO", "hepflow"):
        for _ in range(3):
            open_dataset(damaged).close()
    assert caplog.text.count("checksum of") == 1
    with open_dataset(copied(path, tmp_path / "copy.h5")) as copy, open_dataset(path) as data:
        assert copy.record == data.record


def test_damaged_values(tmp_path, path):
    broken = copied(path, tmp_path / "broken.h5")
    with h5py.File(broken) as file:
        chunk = file["NeutralPFO"].id.get_chunk_info(0)
    with broken.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)
    with open_dataset(broken) as data, pytest.raises(InputError, match="NeutralPFO cannot be read"):
        everything(data, "validation", 100)  # the first rows


def test_other_folds_empty_roles_and_empty_batches(path, data):
    with pytest.raises(InputError, match=r"TauJets.mcEventNumber % 5, not TauJets.mcEventNumber % 3"):
        open_dataset(path, Folds(3, (0,), (1,), (2,)))
    with pytest.raises(JobOptionsError, match="makes no sense"):
        next(data.batches("train", 0))
    with pytest.raises(JobOptionsError, match="there is no role"):
        next(data.batches("training", 10))


def test_class_that_is_not_in_the_training_folds(tmp_path, make_training_set, training_columns):
    columns = training_columns(300)
    tau = columns["TauJets"]
    tau["truthDecayMode"][tau["mcEventNumber"] % 5 >= 2] = 1
    path = make_training_set(tmp_path, columns)
    with pytest.raises(InputError) as caught:
        open_dataset(path)
    assert "no taus of class c_1p0n, c_1pXn" in str(caught.value)
    assert "truthDecayMode = 0 or 2 or 3 or 4" in caught.value.hint
    assert "folds 2, 3, 4" in str(caught.value)
