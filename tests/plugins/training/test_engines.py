"""Engines: one training set for all, the same rows and folds; what they export, how they resume, what they refuse."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepflow import Context, Folds, Job, Target, TrainingSet, kfold
from hepflow.datafiles import data_folders, find_data_file
from hepflow.errors import HepflowError
from hepflow.execution import RunOptions, run
from hepflow.plugins.networks import ModelDecorator
from hepflow.plugins.training import Choice, ModelExporter, Normaliser, Trainer, Tuner, open_dataset
from hepflow.plugins.training.checkpoint import Checkpoint
from hepflow.plugins.training.engines.trees import read_bdt
from hepflow.registry.models import open_model, recipes
from hepflow.streams import DatasetStream, NtupleStream
from hepflow.variables import Variable

EVENTS = 900
NEGATIVE = 11
DECLARED = TrainingSet(
    rows="Nominal",
    inputs={"Nominal": (Variable("x"), Variable("y_log", "y", "log10", 1e-3), Variable("z", missing=-999.0, fill=0.0))},
    target=Target("Nominal.signal", {0: "background", 1: "signal"}),
    weight="Nominal.weight",
    negative_weights="ignore-in-training",
    folds=Folds(column="Nominal.event"),
    spectators="Nominal.mass",
)
ENGINES = {
    "keras": {"Architecture": "Dense", "Epochs": 2, "BatchSize": 50, "LearningRate": 0.01},
    "torch": {"Epochs": 2, "BatchSize": 50, "LearningRate": 0.01},
    "xgboost": {"Settings": {"n_estimators": 20, "max_depth": 3, "threads": 1}},
    "lightgbm": {"Settings": {"n_estimators": 20, "max_depth": 3, "threads": 1}},
    "sklearn": {"Settings": {"n_estimators": 10}},
}
PACKAGES = {"sklearn": "skl2onnx"}


def columns(number=EVENTS):
    rng = np.random.default_rng(4)
    signal = rng.integers(0, 2, number)
    z = rng.normal(size=number) + 0.4 * signal
    return {
        "event": np.arange(number),
        "signal": signal.astype(np.int32),
        "weight": np.where(np.arange(number) % NEGATIVE == 0, -0.5, 1.0).astype(np.float32),
        "mass": rng.uniform(20, 200, number).astype(np.float32),
        "x": (rng.normal(size=number) + signal).astype(np.float32),
        "y": rng.lognormal(1 + 0.5 * signal, 1).astype(np.float32),
        "z": np.where(rng.random(number) < 0.1, -999.0, z).astype(np.float32),
    }


def write(folder, declared, **changes):
    """Write ntuple, training set and variables.json; return the last two as settings of a trainer."""
    with uproot.recreate(folder / "n.root") as file:
        file["Nominal"] = {**columns(), **changes}
    job = Job("events")
    job += Normaliser("Normaliser", TrainingSet=declared)
    job += DatasetStream("dataset", TrainingSet=declared)
    result = run(job, RunOptions(inputs=[str(folder / "n.root")], output=str(folder / "run")))
    return {"Dataset": str(result.outputs["dataset"][0]), "Normaliser": str(result.directory / "variables.json")}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    return write(tmp_path_factory.mktemp("events"), DECLARED)


def train(folder, events, engine, **properties):
    pytest.importorskip(PACKAGES.get(engine, engine), reason=f"{engine} is not installed")
    given = events if engine in ("keras", "torch") else {"Dataset": events["Dataset"]}
    tool = Trainer("Trainer", Engine=engine, **{**given, **ENGINES[engine], "Report": (), **properties})
    return tool.finalize(None, Context(folder, "training"))


def test_negative_weights_are_left_out_of_training_alone(events):
    negative = np.arange(EVENTS) % NEGATIVE == 0
    with open_dataset(events["Dataset"]) as data:
        train, validation = data.whole("train"), data.whole("validation")
        assert sorted(train.columns["event"]) == [n for n in range(EVENTS) if n % 5 >= 2 and not negative[n]]
        assert data.size("train") == len(train) == sum(len(b) for b in data.batches("train", 64, shuffle_seed=1))
        assert set(train.weights) == {1.0}
        assert (validation.weights < 0).sum() == np.count_nonzero(negative[::5])
        assert np.isfinite(train.inputs["Nominal"]).all()
        assert data.declared.called == "events"
        assert data.declared.record() == DECLARED.record()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_training_set_for_all_engines(events, tmp_path, engine):
    (result,) = train(tmp_path, events, engine)
    exporter = ModelExporter("e", Trainer=str(tmp_path / "network"))
    (exported,) = exporter.finalize(None, Context(tmp_path, "export"))
    assert max(exported["differences"].values()) < 1e-5
    summary = json.loads((tmp_path / "network/summary.json").read_text())
    configuration = json.loads((tmp_path / "network/configuration.json").read_text())
    assert configuration["data"]["rows"] == {"train": 492, "validation": 180, "test": 180}
    assert configuration["data"]["folds"]["test"] == [1]
    assert summary["validation_rows"] == 180
    models = [open_model(tmp_path / "network" / name) for name in exported["differences"]]
    assert models[-1].format == "ONNX"
    for model in models:
        assert (model.outputs[0].labels, model.record["folds"]["test"]) == (("background", "signal"), [1])
        assert recipes(model)["Nominal"]["z"].fill == 0.0
    with open_dataset(events["Dataset"]) as data:
        whole = data.whole("validation")
    found = next(iter(model.evaluate(whole.inputs).values()))
    right = found[np.arange(180), whole.labels.argmax(axis=1)]
    loss = np.average(-np.log(np.clip(right, 1e-7, 1)), weights=whole.weights)
    assert loss == pytest.approx(result["val_loss"], rel=1e-4)
    assert np.average(right > 0.5, weights=whole.weights) > 0.62


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_trees_that_are_kept_are_those_that_are_told(events, tmp_path, engine):
    """With MinDelta fewer trees are kept than the smallest loss has; the best epoch is that of the model."""
    settings = {"n_estimators": 60, "max_depth": 3, "threads": 1}
    (result,) = train(tmp_path, events, engine, Settings=settings, MinDelta=0.01, Patience=3)
    (exported,) = ModelExporter("e", Trainer=result["folder"]).finalize(None, Context(tmp_path, "export"))
    forest = open_model(next(iter(exported["files"].values()))).forest
    assert len(forest.trees) == result["best_epoch"]
    with (tmp_path / "network/log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["best_epoch"] + 3
    assert float(rows[result["best_epoch"] - 1]["val_loss"]) == pytest.approx(result["val_loss"], rel=1e-4)
    summary = json.loads((tmp_path / "network/summary.json").read_text())
    leaves = sum(tree.n_leaves for tree in forest.trees)
    assert summary["parameters"] == {"xgboost": 2 * leaves - len(forest.trees), "lightgbm": leaves}[engine]


def test_report(events, tmp_path):
    (result,) = train(tmp_path, events, "xgboost", Report=("train", "validation"))
    folder = Path(result["folder"])
    numbers = json.loads((folder / "report.json").read_text())
    assert numbers["rows"] == {"train": {"shown": 492, "of": 492}, "validation": {"shown": 180, "of": 180}}
    for name in ("roc", "scores", "calibration", "importance", "correlations", "gain"):
        assert (folder / f"{name}.png").exists()
    with open_dataset(events["Dataset"]) as data:
        whole = data.whole("validation")
    ModelExporter("e", Trainer=str(folder)).finalize(None, Context(tmp_path, "export"))
    scores = next(iter(open_model(folder / "model.json").evaluate(whole.inputs).values()))[:, 1]
    signal = whole.labels[:, 1] > 0.5
    s, b, ws, wb = scores[signal], scores[~signal], whole.weights[signal], whole.weights[~signal]
    wins = ((s[:, None] > b) + 0.5 * (s[:, None] == b)) * ws[:, None] * wb
    assert numbers["auc"]["validation"]["signal"] == pytest.approx(wins.sum() / (ws.sum() * wb.sum()), abs=2e-3)
    assert next(iter(numbers["importance"])) == "Nominal.x"
    assert sum(numbers["gain"].values()) == pytest.approx(1)


def test_every_row_has_a_model_that_has_not_seen_it_and_finished_models_are_kept(tmp_path, monkeypatch):
    several = replace(DECLARED, folds=kfold(3, "Nominal.event"))
    events = write(tmp_path, several)
    results = train(tmp_path, events, "xgboost")
    context = Context(tmp_path, "export", results={"Trainer": results})
    files = [one["files"]["model.json"] for one in ModelExporter("e").finalize(None, context)]
    tests = [open_model(file).record["folds"]["test"] for file in files]
    assert tests == [[0], [1], [2]]
    from hepflow.plugins.training.engines import xgboost as module

    monkeypatch.setattr(module.XGBoostEngine, "fit", None)  # nothing is left to fit
    assert train(tmp_path, events, "xgboost") == results


def test_torch_resumes_bitwise(events, tmp_path, monkeypatch):
    for folder, epochs in (("whole", (3,)), ("parts", (1, 3))):
        (tmp_path / folder).mkdir()
        if folder == "parts":  # batch by batch, as of training sets that are too large to be held in memory
            monkeypatch.setattr("hepflow.plugins.training.engines.torch.HELD_BYTES", 0)
        for number in epochs:
            train(tmp_path / folder, events, "torch", Epochs=number, Settings={"schedule": "cosine"})
    one, two = (Checkpoint.load(tmp_path / name / "network/checkpoint.npz") for name in ("whole", "parts"))
    pairs = zip([*one.model, *one.optimiser, *one.best], [*two.model, *two.optimiser, *two.best], strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_module_of_the_user(events, tmp_path, monkeypatch, capfd):
    pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / "usersnets.py").write_text(
        "import torch\n"
        "def net(width=4):\n"
        "    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, kind=''):\n"
        "        super().__init__()\n"
        "        self.inner, self.kind = torch.nn.Linear(3, 2), kind\n"
        "    def forward(self, x):\n"
        "        if self.kind == 'batch':\n"
        "            x = x - x.mean(dim=0)\n"
        "        if self.kind == 'random':\n"
        "            x = torch.nn.functional.dropout(x)\n"
        "        if self.kind == 'numpy':\n"
        "            x = x + torch.from_numpy(x.numpy())\n"
        "        if self.kind == 'operator':\n"
        "            x = x + torch.linalg.pinv(x[:, :, None])[:, 0]\n"
        "        return (self.inner(x), x) if self.kind == 'pair' else self.inner(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"Architecture": "usersnets:net", "Settings": {"arguments": {"width": 6}}}
    (result,) = train(tmp_path, events, "torch", **settings)
    assert Path(result["folder"], "weights.npz").exists()
    (exported,) = ModelExporter("e", Trainer=result["folder"]).finalize(None, Context(tmp_path, "export"))
    assert exported["differences"]["model.onnx"] < 1e-5
    with pytest.raises(HepflowError, match=r"usersnets:nett' cannot be imported"):
        train(tmp_path, events, "torch", Architecture="usersnets:nett", OutputName="other")
    for kind, message in (
        ("batch", "answers a row by the other rows of the batch, or at random"),
        ("random", "answers a row by the other rows of the batch, or at random"),
        ("numpy", "as ONNX is not what it is in PyTorch"),
        ("operator", "PyTorch cannot export the module"),
        ("pair", "answers 3 rows with a tuple, not with (3, 2)"),
        ({}, "cannot be made with the arguments {'width': 3}"),
    ):
        arguments = {"kind": kind} if isinstance(kind, str) else {"width": 3}
        job = Job("checks")
        job += Trainer("t", Engine="torch", Architecture="usersnets:Net", Settings={"arguments": arguments}, **events)
        with pytest.raises(HepflowError, match=re.escape(message)):
            job.tools[0].check(job)
        assert "graph" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("engine", "properties", "message"),
    [
        ("xgbost", {}, "did you mean 'xgboost'"),
        ("xgboost", {"Settings": {"max_dept": 3}}, "did you mean 'max_depth'"),
        ("xgboost", {"Epochs": 3}, "Epochs has no effect on xgboost"),
        ("xgboost", {"ArchFile": "ArchLSTM-R22.yaml"}, "ArchFile has no effect on xgboost"),
        ("xgboost", {"Settings": {"subsample": 2.0}}, "it must be a number above 0, at most 1"),
        ("sklearn", {"Architecture": "HistGradientBoostingClassifier"}, "cannot be kept: skl2onnx does not convert it"),
        ("sklearn", {"Settings": {"n_estimator": 3}}, "did you mean 'n_estimators'"),
        ("torch", {"Optimiser": "lion"}, "torch has no optimiser 'lion' here"),
        ("torch", {"Architecture": "DSNN"}, "DSNN is of keras, not of torch"),
        ("keras", {"Architecture": "TorchDense"}, "TorchDense is of torch, not of Keras"),
    ],
)
def test_what_is_refused(events, tmp_path, engine, properties, message):
    if engine in ENGINES:
        pytest.importorskip(PACKAGES.get(engine, engine), reason=f"{engine} is not installed")
    given = events if engine in ("keras", "torch") else {"Dataset": events["Dataset"]}
    job = Job("checks")
    job += Trainer("Trainer", Engine=engine, **{**given, **properties})
    with pytest.raises(HepflowError) as caught:
        run(job, RunOptions(output=str(tmp_path / "run")))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_early_stopping_without_validation(events, tmp_path):
    alone = replace(DECLARED, folds=Folds(5, (0, 2, 3, 4), (), (1,), "Nominal.event"))
    with pytest.raises(HepflowError, match="early stopping needs rows to validate with"):
        train(tmp_path, events, "xgboost", TrainingSet=alone)
    (result,) = train(tmp_path, events, "xgboost", TrainingSet=alone, Patience=0)
    assert result["best_epoch"] == 20


def test_an_engine_that_is_not_installed(events, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(HepflowError, match="needs the package lightgbm") as caught:
        Trainer("t", Engine="lightgbm", Dataset=events["Dataset"]).check(Job("j"))
    assert "hepflow[bdt]" in caught.value.hint


def test_missing_values_without_a_fill_and_negative_weights_for_xgboost(tmp_path):
    bare = replace(DECLARED, inputs={"Nominal": (Variable("x"), Variable("z", missing=-999.0))})
    with pytest.raises(HepflowError, match=r"Nominal.z is missing or not finite in \d+ of 900 values: -999") as caught:
        write(tmp_path, bare)
    assert 'Variable("z", fill=…)' in str(caught.value)
    (tmp_path / "keep").mkdir()
    kept = write(tmp_path / "keep", replace(DECLARED, negative_weights="keep"))
    with pytest.raises(HepflowError, match="xgboost trains with no negative weights, 48 of 540 events have one"):
        train(tmp_path, kept, "xgboost")


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_values_that_stay_missing_do_so_from_training_to_decorator(tmp_path, engine):
    z = Variable("z", missing=-999.0, fill=float("nan"))
    bare = write(tmp_path, replace(DECLARED, inputs={"Nominal": (Variable("x"), z)}))
    train(tmp_path, bare, engine)
    (exported,) = ModelExporter("e", Trainer=str(tmp_path / "network")).finalize(None, Context(tmp_path, "export"))
    assert max(exported["differences"].values()) < 1e-5
    with open_dataset(bare["Dataset"]) as data:
        rows = data.whole("test")
    absent = np.isnan(rows.inputs["Nominal"][:, 1])
    assert 0 < absent.sum() < len(absent)
    for name in exported["differences"]:
        path = tmp_path / "network" / name
        model = open_model(path)
        assert np.isnan(recipes(model)["Nominal"]["z"].fill)
        wanted = next(iter(model.evaluate(rows.inputs).values()))[:, 1]
        job = Job("apply")
        job += ModelDecorator("Score", WeightFile=str(path), Container="Nominal", OutputPrefix="of_")
        job += NtupleStream("out", Container="", Keep=["*"])
        options = RunOptions(inputs=[str(tmp_path / "n.root")], output=str(tmp_path / f"{name}_run"))
        (written,) = run(job, options).outputs["out"]
        with uproot.open(f"{written}:Nominal") as tree:
            found = tree.arrays(library="np")
        score = next(values for key, values in found.items() if key == "of_signal")
        places = np.searchsorted(found["event"], rows.columns["event"])
        assert score[places] == pytest.approx(wanted, abs=1e-6)


def test_a_grid_around_the_options_of_tmva(events, tmp_path):
    """Every combination is a trial; the best one is a Conf file, with which the trainer finds the same loss."""
    pytest.importorskip("optuna", reason="Optuna is not installed")
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    common = {"Dataset": events["Dataset"], "Engine": "xgboost", "Settings": {"n_estimators": 5, "threads": 1}}
    conf = str(find_data_file("ConfBDT-R21.yaml", data_folders()))
    tool = Tuner("Tuner", ConfFile=conf, Sampler="grid", Executions=1, Trials=9, **common)
    tool.Space = {"max_depth": Choice(2, 3), "learning_rate": Choice(0.1, 0.3)}
    result = tool.finalize(None, Context(tmp_path, "tuning"))
    table = (tmp_path / "tuning/trials.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in table] == ["COMPLETE"] * 4
    assert (result["config"]["subsample"], result["config"]["n_estimators"]) == (0.6, 5)
    (again,) = train(tmp_path, events, "xgboost", ConfFile=str(tmp_path / "tuning/best.yaml"), Settings={"threads": 1})
    assert again["val_loss"] == pytest.approx(result["value"], rel=1e-5)
    pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")  # of it, properties say all
    space = {"Space": {"n_estimators": Choice(2, 4)}, "Settings": {"max_depth": 2}}
    tool = Tuner("Tuner", **common | space | {"Engine": "sklearn", "OutputName": "other"}, Sampler="grid", Executions=1)
    best = tool.finalize(None, Context(tmp_path, "tuning"))
    assert best["properties"] == {"Settings": {"max_depth": 2, "n_estimators": 4}}
    (again,) = train(tmp_path, events, "sklearn", **best["properties"])
    assert again["val_loss"] == pytest.approx(best["value"], rel=1e-5)


def test_options_of_tmva():
    settings, ignored = read_bdt(find_data_file("ConfBDT-R21.yaml", data_folders()))
    assert settings == {
        "n_estimators": 400,
        "max_bin": 200,
        "learning_rate": 0.1,
        "max_depth": 6,
        "min_node_percent": 0.1,
        "subsample": 0.6,
    }
    assert set(ignored) == {"PruneMethod", "SeparationType", "UseYesNoLeaf"}
