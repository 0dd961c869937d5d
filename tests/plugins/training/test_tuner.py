"""The tuner: search spaces, a small search that resumes, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from hepflow import Context, Job
from hepflow.errors import HepflowError, JobOptionsError
from hepflow.execution import RunOptions, run
from hepflow.joboptions import load_joboptions
from hepflow.plugins.training import Choice, Float, Int, Layers, Tuner
from hepflow.plugins.training.space import suggest_all
from tests.plugins.training.conftest import copied

optuna = pytest.importorskip("optuna", reason="optuna is not installed")

SPACE = {"n_inputs": Layers(Int(1, 2), Int(2, 4)), "n_hiddens": Int(2, 3), "n_fc1": Int(3, 5), "n_fc2": Int(3, 4)}


def tuner(small_training, **properties):
    settings = {"Space": SPACE, "Trials": 2, "Executions": 1, "Epochs": 1, "BatchSize": 200, **small_training}
    return Tuner("Tuner", **{**settings, **properties})


def search(folder, small_training, resume=False, **properties):
    job = Job("tuning")
    job += tuner(small_training, **properties)
    return run(job, RunOptions(output=str(folder), resume=resume)).results["Tuner"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, small_training):
    folder = tmp_path_factory.mktemp("searched")
    return folder, tuner(small_training).finalize(None, Context(folder, "tuning"))


def test_ranges_suggest_what_they_say():
    fixed = {"a": 7, "b": 0.5, "c": "x", "d.layers": 2, "d.1": 5, "d.2": 8}
    space = {"a": Int(1, 9), "b": Float(0.1, 1, log=True), "c": Choice("x", "y"), "d": Layers(Int(1, 3), Int(2, 8, 3))}
    found = suggest_all(space, optuna.trial.FixedTrial(fixed), ["one"])
    assert found == {"a": 7, "b": 0.5, "c": "x", "d": [5, 8]}
    with pytest.warns(UserWarning, match="out of the range"):
        Int(2, 8, 3).suggest(optuna.trial.FixedTrial({"n": 9}), "n")


def test_a_key_for_one_input_leaves_the_others_together():
    trial = optuna.trial.FixedTrial({"n": 4, "n.B": 9})
    assert suggest_all({"n": Int(1, 9), "n.B": Int(1, 9)}, trial, ["A", "B", "C"]) == {"n": {"A": 4, "C": 4, "B": 9}}


@pytest.mark.parametrize("make", [lambda: Int(3, 2), lambda: Int(1, 2, 0), lambda: Float(0, 1, log=True), Choice])
def test_empty_ranges(make):
    with pytest.raises(JobOptionsError):
        make()


def test_search_and_what_it_writes(searched):
    folder, result = searched
    rows = list(csv.DictReader((folder / "tuning/trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["COMPLETE", "COMPLETE"]
    assert result["value"] == pytest.approx(min(float(row["val_loss"]) for row in rows))
    assert {f"trials.{kind}" for kind in ("png", "pdf", "csv", "journal")} < {p.name for p in folder.glob("tuning/*")}
    assert json.loads((folder / "tuning/best.json").read_text())["config"] == result["config"]


def test_best_yaml_is_an_arch_file(searched, network_inputs):
    from hepflow.plugins.tau.variables import CLASSES
    from hepflow.plugins.training.configuration import plan_network

    folder, result = searched
    plan = plan_network("DSNN", folder / "tuning/best.yaml", network_inputs[:2], CLASSES)
    assert plan.config == result["config"]
    assert 3 <= plan.config["n_fc1"] <= 5


def test_finished_search_is_not_repeated_and_another_is_refused(searched, small_training):
    folder, result = searched
    before = (folder / "tuning/trials.journal").read_bytes()
    assert tuner(small_training).finalize(None, Context(folder, "tuning"))["trial"] == result["trial"]
    after = (folder / "tuning/trials.journal").read_bytes()
    assert b'"number"' not in after[len(before) :], "no trial was added"
    other = tuner(small_training, Space={**SPACE, "n_fc1": Int(3, 6)})
    with pytest.raises(JobOptionsError, match="trials of another search") as caught:
        other.finalize(None, Context(folder, "tuning"))
    assert caught.value.hint == "use another OutputName; --resume keeps the training set"


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Space": {"n_input": Int(1, 2)}}, "did you mean 'n_inputs'"),
        ({"Space": {"n_inputs.Tautrack": Int(1, 2)}}, "did you mean 'TauTrack'"),
        ({"Space": {}}, "nothing to search for"),
        ({"Architecture": "DSN"}, "did you mean 'DSNN'"),
        ({"Dataset": "none.h5"}, "there is no training set none.h5"),
    ],
)
def test_what_is_told_before_anything_is_written(small_training, tmp_path, properties, message):
    with pytest.raises(HepflowError) as caught:
        search(tmp_path / "run", small_training, **properties)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_resumed_search_goes_on_to_more_trials_until_its_files_are_made_anew(small_training, tmp_path):
    def states():
        return [row["state"] for row in csv.DictReader((tmp_path / "run/tuning/trials.csv").read_text().splitlines())]

    files = {key: shutil.copy(path, tmp_path) for key, path in small_training.items()}
    files["Dataset"] = str(copied(small_training["Dataset"], tmp_path / "copy.h5"))
    assert tuner(files).data_files() == files
    assert Tuner("Tuner").data_files() == {}
    search(tmp_path / "run", files, Trials=1)
    assert states() == ["COMPLETE"]
    search(tmp_path / "run", files, Trials=2, resume=True)
    assert states() == ["COMPLETE", "COMPLETE"]
    with Path(files["Dataset"]).open("ab") as file:
        file.write(b"0")
    with pytest.raises(JobOptionsError, match="trials of another search"):
        search(tmp_path / "run", files, resume=True)


def test_shipped_space_is_that_of_the_reference():
    from pathlib import Path

    job = load_joboptions(Path(__file__).parents[3] / "jobconfigs/TuneNNDecayMode.py").job
    found = job.find("Tuner")
    assert found.Space["n_inputs"] == Layers(Int(3, 4), Int(10, 40, 3))
    assert found.Space["n_hiddens.NeutralPFO"] == Layers(Int(3, 5), Int(30, 80, 4))
    assert found.Space["Optimiser"].values == ("adam", "nadam")
    assert (found.Trials, found.Executions, found.Epochs, found.BatchSize) == (20, 2, 20, 200)
