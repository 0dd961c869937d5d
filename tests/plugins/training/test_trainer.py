"""The trainer: what it writes, that it repeats and resumes bitwise, when it stops, and what it refuses."""

from __future__ import annotations

import csv
import dataclasses
import gc
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest

from hepflow import Context, Folds, Job, kfold
from hepflow.errors import HepflowError, InputError, NetworkError, OutputError, ToolError
from hepflow.execution import RunOptions, run
from hepflow.plugins.training import Normalisation, Normaliser, Trainer, open_dataset
from hepflow.plugins.training.checkpoint import CHECKPOINT, Checkpoint
from hepflow.plugins.training.engines import Schedule
from hepflow.plugins.training.engines.keras import compile_model
from hepflow.plugins.training.fitting import DivergedError, State, fit
from hepflow.plugins.training.fitting import _advance as advance
from hepflow.plugins.training.rows import Rows
from tests.plugins.training.conftest import copied, decay_mode_set

keras = pytest.importorskip("keras", reason="Keras is not installed")


def train(folder, small_training, arch, resume=False, **properties):
    job = Job("training")
    settings = {"BatchSize": 100, "Epochs": 3, "ArchFile": str(arch), "LearningRate": 0.01, "Report": ()}
    settings |= small_training
    job += Trainer("Trainer", **{**settings, **properties})
    run(job, RunOptions(output=str(folder), resume=resume))


def held(folder):
    return Checkpoint.load(folder / CHECKPOINT)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_what_is_written(trained, small_training):
    folder, result, _ = trained
    figures = [f"{name}.{kind}" for name in ("learning-curves", "confusion-matrix") for kind in ("png", "pdf")]
    numbers = ["confusion-matrix.json", "learning-curves.json", "log.csv", "summary.json", "configuration.json"]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*figures, *numbers, "model.keras", "checkpoint.npz"])
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    losses = [float(row["val_loss"]) for row in rows]
    assert len(rows) == 3
    assert losses[2] < losses[0]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["val_loss"] == result["val_loss"] == min(losses)
    assert summary["best_epoch"] == result["best_epoch"] == 1 + int(np.argmin(losses))
    with open_dataset(small_training["Dataset"]) as data:
        assert summary["validation_rows"] == data.size("validation")
        weights = np.concatenate([b.weights for b in data.batches("validation", 10**6)])
        assert np.sum(summary["confusion"]["weights"]) == pytest.approx(weights.sum(dtype=float))
    configuration = json.loads((folder / "configuration.json").read_text())
    assert configuration["data"]["folds"]["test"] == [1]
    assert configuration["files"]["ArchFile"]["name"] == "ArchSmall.yaml"
    assert {"keras", "numpy", "hepflow"} <= set(configuration["versions"])


def test_model_is_that_of_the_best_epoch(trained, small_training):
    """Loss and accuracy, calculated here from what the model file predicts."""
    folder, result, _ = trained
    from hepflow.plugins.training import layers  # noqa: F401

    model = keras.saving.load_model(folder / "model.keras")
    with open_dataset(small_training["Dataset"]) as data:
        batch = next(data.batches("validation", 10**6))
    inputs = {**batch.inputs, **{f"{name}_mask": mask for name, mask in batch.masks.items()}}
    found = np.asarray(model.predict_on_batch(inputs), float)
    right = found[batch.labels == 1]
    assert np.average(-np.log(right), weights=batch.weights) == pytest.approx(result["val_loss"], rel=1e-6)
    accuracy = np.average(found.argmax(axis=1) == batch.labels.argmax(axis=1), weights=batch.weights)
    assert json.loads((folder / "summary.json").read_text())["val_accuracy"] == pytest.approx(accuracy)


def test_resume_and_seed(trained, small_training, tmp_path, monkeypatch):
    """Interrupted after one epoch and resumed: bitwise the weights, the optimiser and the losses of one training."""
    folder, _, arch = trained
    from hepflow.plugins.training import trainer

    class Interrupted(trainer._Writer):
        def after_epoch(self, state):
            super().after_epoch(state)
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_Writer", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", small_training, arch)
    assert held(tmp_path / "run/network").state["epoch"] == 1
    assert (tmp_path / "run/network/model.keras").exists(), "nothing finished is lost"
    monkeypatch.undo()
    train(tmp_path / "run", small_training, arch, resume=True)
    one, two = held(folder), held(tmp_path / "run/network")
    assert same(one.model, two.model)
    assert same(one.optimiser, two.optimiser)
    assert same(one.best, two.best)
    assert [row["val_loss"] for row in one.state["history"]] == [row["val_loss"] for row in two.state["history"]]


def test_more_epochs_go_on(trained, small_training, tmp_path):
    """Two epochs and, resumed, a third: bitwise those of a training of three."""
    folder, _, arch = trained
    train(tmp_path / "run", small_training, arch, Epochs=2)
    train(tmp_path / "run", small_training, arch, Epochs=3, resume=True)
    one, two = held(folder), held(tmp_path / "run/network")
    assert same([*one.model, *one.optimiser, *one.best], [*two.model, *two.optimiser, *two.best])
    assert two.state["stopped"] == "3 epochs done"
    assert not (tmp_path / "run/network-1").exists()
    log = tmp_path / "run/network/log.csv"
    before = log.read_text()
    log.unlink()  # as one that is killed behind the last checkpoint leaves it
    train(tmp_path / "run", small_training, arch, Epochs=3, resume=True)
    assert log.read_text() == before


def test_other_settings_start_anew_and_keep_the_earlier_training(trained, small_training, tmp_path, caplog):
    folder, _, arch = trained
    caplog.set_level("INFO", "hepflow")
    run_folder = tmp_path / "run"
    shutil.copytree(folder.parent, run_folder)
    for number, settings in ((1, {"LearningRate": 0.02}), (2, {"LearningRate": 0.02, "Epochs": 1})):
        before = (run_folder / "network" / CHECKPOINT).read_bytes()
        train(run_folder, small_training, arch, resume=True, **settings)
        assert (run_folder / f"network-{number}" / CHECKPOINT).read_bytes() == before
    assert "Trainer.LearningRate: 0.01 → 0.02" in caplog.text
    assert "kept in network-1; it had other settings or data:\n  schedule.learning_rate: 0.01 → 0.02\n" in caplog.text
    assert "kept in network-2; it had other settings or data:\n  epochs: 3 → 1\n" in caplog.text
    train(tmp_path / "fresh", small_training, arch, **settings)
    assert same(held(run_folder / "network").model, held(tmp_path / "fresh/network").model)
    train(run_folder, small_training, arch, resume=True, **settings)
    assert not (run_folder / "network-3").exists(), "up to date"


def test_files_that_are_made_anew_count(trained, small_training, tmp_path, caplog):
    import h5py
    import hdf5plugin  # noqa: F401 - makes LZ4 known

    caplog.set_level("INFO", "hepflow")
    files = {key: shutil.copy(path, tmp_path) for key, path in small_training.items()}
    files["Dataset"] = str(copied(small_training["Dataset"], tmp_path / "copy.h5"))
    train(tmp_path / "run", files, trained[2], Epochs=1)
    train(tmp_path / "run", files, trained[2], Epochs=1, resume=True)
    assert not (tmp_path / "run/network-1").exists()
    with h5py.File(files["Dataset"], "r+") as file:  # as many taus as before
        rows = file["taus"][:]
        rows["weight"] *= np.linspace(1, 2, len(rows))
        file["taus"][...] = rows
    caplog.clear()
    train(tmp_path / "run", files, trained[2], Epochs=1, resume=True)
    assert "Trainer.Dataset (SHA-256): " in caplog.text
    assert "kept in network-1; it had other settings or data:\n  dataset (SHA-256): " in caplog.text
    variables = Path(files["Normaliser"])
    content = json.loads(variables.read_text())
    content["input_sequences"][0]["variables"][0]["offset"] += 1
    variables.write_text(json.dumps(content))
    train(tmp_path / "run", files, trained[2], Epochs=1, resume=True)
    assert "Trainer.Normaliser (SHA-256): " in caplog.text
    assert (tmp_path / "run/network-2").exists()


def test_damaged_checkpoint(small_training, tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / CHECKPOINT).write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ToolError, match="checkpoint cannot be read"):
        Trainer("Trainer", Report=(), **small_training).finalize(None, Context(tmp_path, "training"))


def test_a_checkpoint_is_read_whole_or_not_at_all(tmp_path):
    path = tmp_path / CHECKPOINT
    Checkpoint({"a": 1}, {"epoch": 2}, [np.ones(3)], [np.arange(2)], [np.zeros(3)]).save(path)
    read = Checkpoint.load(path)
    assert (read.identity, read.state, read.model[0].tolist()) == ({"a": 1}, {"epoch": 2}, [1.0, 1.0, 1.0])
    content = path.read_bytes()
    for byte in range(0, len(content), 7):
        path.write_bytes(content[:byte] + bytes([content[byte] ^ 1 << byte % 8]) + content[byte + 1 :])
        with pytest.raises(ToolError, match="checkpoint cannot be read"):
            Checkpoint.load(path)
    for size in (0, 10, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ToolError, match="checkpoint cannot be read"):
            Checkpoint.load(path)


def test_full_disk_keeps_the_model_of_before(tmp_path):
    from hepflow.plugins.training.trainer import _Writer

    class Engine:
        MODEL = "model.keras"

        def save(self, path):
            path.write_text("half")
            raise OSError(28, "No space left on device")

    (tmp_path / "model.keras").write_text("before")
    with pytest.raises(OutputError, match=r"model.keras cannot be written: No space left") as caught:
        _Writer(tmp_path, Engine()).save_model()
    assert "--resume" in caught.value.hint
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.keras", "before")]


def test_diverging_loss_keeps_the_last_good_checkpoint(small_training, tmp_path):
    inputs = keras.Input((2,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, activation="softmax")(inputs))
    data = Flat(bad_epoch=1)
    schedule = Schedule(epochs=4, batch_size=10)
    engine = compile_model(model, schedule, "categorical_crossentropy")
    with pytest.raises(DivergedError, match=r"epoch 2; the best epoch so far, 1,.*the checkpoint is that of epoch 1"):
        fit(engine, data, schedule, "categorical_crossentropy", checkpoint=tmp_path / "checkpoint.npz")
    kept = Checkpoint.load(tmp_path / "checkpoint.npz")
    assert kept.state["epoch"] == 1
    assert all(np.isfinite(array).all() for array in kept.model)


@pytest.mark.parametrize("what", ["weights", "optimiser's variables"])
def test_finite_loss_with_weights_that_are_not(tmp_path, what):
    """The layer's weight takes no part in the loss, as behind a mask; it is lost as the second epoch ends."""

    class Idle(keras.layers.Layer):
        def build(self, shape):
            self.weight = self.add_weight(shape=(2,), trainable=False)

        def call(self, x):
            return x

    inputs = keras.Input((2,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, activation="softmax")(Idle()(inputs)))
    schedule = Schedule(epochs=4, batch_size=10)
    engine = compile_model(model, schedule, "categorical_crossentropy")
    lost = model.layers[1].weight if what == "weights" else engine.steps.optimiser.variables[-1]

    class Losing(Flat):
        def blocks(self, role, size, shuffle_seed=None, epoch=0):
            yield from super().blocks(role, size, shuffle_seed, epoch)
            if role == "train" and epoch == 1:
                lost.assign(np.full(lost.shape, np.nan))

    path, seen = tmp_path / "checkpoint.npz", []
    with pytest.raises(DivergedError, match=rf"the {what} are not finite numbers in epoch 2; the best epoch so far, 1"):
        fit(engine, Losing(), schedule, "categorical_crossentropy", checkpoint=path, after_epoch=seen.append)
    kept = Checkpoint.load(path)
    assert (len(seen), kept.state["epoch"]) == (1, 1)
    assert all(np.isfinite(array).all() for array in [*kept.model, *kept.optimiser, *kept.best])
    assert same([np.asarray(one) for one in model.get_weights()], kept.best)


def test_taus_without_weight_are_told_before_training(tmp_path, make_training_set, training_columns):
    columns = training_columns(300)
    tau = columns["TauJets"]
    tau["beamSpotWeight"][tau["mcEventNumber"] % 5 == 0] = 0
    path = make_training_set(tmp_path, columns, [Normaliser("n", TrainingSet=decay_mode_set())])
    tool = Trainer("t", Dataset=str(path), Normaliser=str(path.parent / "variables.json"))
    with pytest.raises(ToolError, match="weights of the 60 taus for validation add up to 0"):
        tool.finalize(None, Context(tmp_path, "training"))
    assert not (tmp_path / "network").exists()


def test_an_empty_fold_is_told_before_the_first_of_several_networks(tmp_path, make_training_set, training_columns):
    columns = training_columns(500)
    tau = columns["TauJets"]
    tau["mcEventNumber"][tau["mcEventNumber"] % 5 == 0] += 1
    path = make_training_set(tmp_path, columns, [Normaliser("n", TrainingSet=decay_mode_set())])
    variables = json.loads((path.parent / "variables.json").read_text())
    measured = [Normalisation(folds, variables, {}) for folds in kfold(5)]  # the last one is validated on fold 0
    context = Context(tmp_path, "training", results={"Normaliser": measured}, outputs={"dataset": [path]})
    with pytest.raises(InputError, match="the training set has no taus for validation") as caught:
        Trainer("t", TrainingSet=decay_mode_set(folds=kfold(5))).finalize(None, context)
    assert caught.value.where.endswith("dataset.h5, folds 0")
    assert caught.value.hint.startswith("folds 0 of TauJets.mcEventNumber % 5 are empty: use more events")
    assert not (tmp_path / "network").exists()


def test_an_epoch_that_is_reported_is_saved(tmp_path):
    inputs = keras.Input((2,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, activation="softmax")(inputs))
    schedule = Schedule(epochs=2, batch_size=10)
    engine = compile_model(model, schedule, "categorical_crossentropy")
    path = tmp_path / "checkpoint.npz"
    held, after = [], []
    fit(
        engine, Flat(), schedule, "categorical_crossentropy",
        checkpoint=path,
        report=lambda line: held.append((line[:11], Checkpoint.load(path).state["epoch"], len(after))),
        after_epoch=after.append,
    )  # fmt: skip
    assert held == [("epoch   1/2", 1, 1), ("epoch   2/2", 2, 2)]


class Flat:
    """Forty taus with two variables; from one epoch on a value is not finite."""

    classes = ("a", "b")
    folds = Folds()

    def __init__(self, bad_epoch=None):
        self.caps = {}
        rng = np.random.default_rng(1)
        self.x, self.bad_epoch = rng.normal(size=(40, 2)).astype(np.float32), bad_epoch
        self.y = np.eye(2, dtype=np.float32)[(self.x[:, 0] > 0).astype(int)]
        self.weights = np.ones(40, np.float32)

    def size(self, role):
        return 40

    def blocks(self, role, size, shuffle_seed=None, epoch=0):
        x = self.x.copy()
        if role == "train" and self.bad_epoch is not None and epoch >= self.bad_epoch:
            x[0] = np.nan
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            yield Rows({"x": x[rows]}, {}, self.y[rows], self.weights[rows])

    def batches(self, role, size, shuffle_seed=None, epoch=0):
        for rows in self.blocks(role, size, shuffle_seed, epoch):
            yield rows.padded({})


class Watched(Flat):
    """Gives out arrays that a backend may use in place, and watches what becomes of them."""

    def __init__(self):
        super().__init__()
        self.watched = []

    def blocks(self, role, size, shuffle_seed=None, epoch=0):
        for rows in super().blocks(role, 2, shuffle_seed, epoch):
            room = np.zeros(rows.inputs["x"].size + 16, np.float32)
            start = (-room.ctypes.data % 64) // 4  # aligned
            x = room[start : start + rows.inputs["x"].size].reshape(rows.inputs["x"].shape)
            x[...] = rows.inputs["x"]
            self.watched.append(weakref.ref(room))
            yield dataclasses.replace(rows, inputs={"x": x})


def test_taus_do_not_stay_in_memory():
    inputs = keras.Input((2,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, activation="softmax")(inputs))
    data, schedule = Watched(), Schedule(epochs=1, batch_size=2)
    engine = compile_model(model, schedule, "categorical_crossentropy")
    fit(engine, data, schedule, "categorical_crossentropy")
    gc.collect()
    assert len(data.watched) == 40
    assert sum(one() is not None for one in data.watched) <= 3, "a backend may hold the last batches for a while"


def test_loss_and_accuracy_of_an_epoch():
    """Without learning: calculated from what the network predicts, over batches of 10, 10, 10, 7."""
    inputs = keras.Input((2,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, activation="softmax")(inputs))
    data, schedule = Flat(), Schedule(batch_size=10, learning_rate=0.0)
    data.x, data.y = data.x[:37], data.y[:37]
    data.weights = np.linspace(0.5, 2, 37, dtype=np.float32)
    engine = compile_model(model, schedule, "categorical_crossentropy")
    row = engine.fit_epoch(data, 0)
    found = np.asarray(model.predict_on_batch({"x": data.x}), float)
    losses = -np.log(found[data.y == 1])
    assert row["loss"] == pytest.approx(np.average(losses, weights=data.weights), rel=1e-5)
    right = found.argmax(axis=1) == data.y.argmax(axis=1)
    assert row["accuracy"] == pytest.approx(np.average(right, weights=data.weights), rel=1e-5)


class FakeEngine:
    learning_rate = 1e-3


def test_stopping_and_learning_rate():
    """The rules of EarlyStopping and ReduceLROnPlateau, epoch by epoch."""
    schedule = Schedule(patience=4, min_delta=0.01, reduce_patience=2, reduce_factor=0.5, min_learning_rate=3e-4)
    engine, state = FakeEngine(), State()
    rates, waited = [], []
    for loss in (1.0, 0.9, 0.895, 0.893, 0.894, 0.896):
        advance(state, schedule, loss, engine)
        rates.append(engine.learning_rate)
        waited.append(state.waited)
    assert waited == [0, 0, 1, 2, 3, 4]
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 3e-4]
    assert (state.best_epoch, state.best_loss) == (4, 0.893), "the smallest loss, however little smaller"
    assert "no improvement by 0.01 in 4 epochs" in state.stopped


def test_conf_gives_settings_and_properties_win(tmp_path, caplog):
    (tmp_path / "Conf.yaml").write_text("DSNN: {epochs: 7, patience: 3, opt: Nadam, verbose: 0}")
    conf = str(tmp_path / "Conf.yaml")
    schedule, verbose = Trainer("t", ConfFile=conf, Patience=5)._schedule()
    assert (schedule.epochs, schedule.patience, schedule.optimiser, verbose) == (7, 5, "nadam", 0)
    reference = Trainer("t")._schedule()[0]
    assert reference == Schedule(100, 1000, "adam", 1e-3, 10, 1e-4, 0.4, 3, 4e-6, 42)
    (tmp_path / "Conf.yaml").write_text("DSNN: {opt: adm}")
    with pytest.raises(HepflowError, match="did you mean 'adam'"):
        Trainer("t", ConfFile=conf)._schedule()


def test_what_does_not_go_together(small_training, tmp_path):
    context = Context(tmp_path, "training")
    variables = json.loads(Path(small_training["Normaliser"]).read_text())
    tracks, neutrals = (group["variables"] for group in variables["input_sequences"])
    tracks[0]["name"] = "other"
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    wrong = {**small_training, "Normaliser": str(tmp_path / "variables.json")}
    with pytest.raises(NetworkError) as caught:
        Trainer("t", **wrong).finalize(None, context)
    differ = "TauTrack.dphiECal (not normalised), TauTrack.other (not in the training set)"
    assert caught.value.message == f"training set and normalisation differ in {differ}"
    names = [f"NeutralPFO.{variable['name']}" for variable in neutrals[:5]]
    del neutrals[:5]
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    with pytest.raises(NetworkError) as caught:
        Trainer("t", **wrong).finalize(None, context)
    assert f"{differ}, {', '.join(f'{name} (not normalised)' for name in names[:3])} and 2 more" in str(caught.value)
