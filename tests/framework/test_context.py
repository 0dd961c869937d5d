"""What tools ask of the run: results, outputs, paths."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from hepflow import Context, Sample
from hepflow.errors import JobOptionsError


def test_results_and_outputs_by_name(tmp_path):
    context = Context(tmp_path, "job", results={"Trainer": None}, outputs={"tree": [Path("a.root")]})
    assert context.result("Trainer") is None
    assert context.output("tree") == [Path("a.root")]
    with pytest.raises(JobOptionsError, match="no result of a tool 'Triner' yet") as caught:
        context.result("Triner")
    assert "did you mean 'Trainer'" in caught.value.hint
    assert "job order" in caught.value.hint
    assert caught.value.where == "job job"
    with pytest.raises(JobOptionsError, match="no output of a stream 'trees'") as caught:
        context.output("trees")
    assert "did you mean 'tree'" in caught.value.hint


def test_paths_stay_in_the_run_directory(tmp_path):
    context = Context(tmp_path / "run", "job")
    assert context.path("plots/roc.pdf") == tmp_path / "run" / "plots" / "roc.pdf"
    assert (tmp_path / "run" / "plots").is_dir()
    assert context.path("a/../b.txt") == tmp_path / "run" / "b.txt"
    for outside in ("../x", "/etc/x", "a/../../x", "../run2/x"):
        with pytest.raises(JobOptionsError, match="leads out of the run directory"):
            context.path(outside)
    assert not (tmp_path / "run2").exists()


def test_a_link_does_not_lead_out(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "away").symlink_to(tmp_path)
    with pytest.raises(JobOptionsError, match="leads out"):
        Context(tmp_path / "run", "job").path("away/x")


def test_context_is_read_only_and_travels(tmp_path):
    context = Context(tmp_path, "job", seed=4, workers=2)
    with pytest.raises(FrozenInstanceError):
        context.seed = 5
    assert pickle.loads(pickle.dumps(context)) == context
    assert context.log.name == "hepflow"


def test_sample_has_name_and_metadata():
    assert Sample("Gammatautau").metadata == {}
    assert Sample("Dijet", {"xsec": 3.0}).metadata["xsec"] == 3.0
