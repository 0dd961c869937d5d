"""Figures of trainings: which panels they have, and the numbers beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepflow.plots import MigrationMatrix, PlotObject
from hepflow.plots.figures import Style
from hepflow.plugins.training import figures

HISTORY = [
    {"epoch": n, "loss": 1 / n, "accuracy": 1 - 1 / n, "val_loss": 1.1 / n, "val_accuracy": 1 - 1.2 / n}
    | {"learning_rate": 1e-3}
    for n in range(1, 6)
]
TRIALS = [
    {"number": 0, "value": 0.6, "state": "COMPLETE", "rate": 1e-4, "units": 16, "opt": "adam", "norm": True},
    {"number": 1, "value": 0.5, "state": "COMPLETE", "rate": 1e-2, "units": 64, "opt": None, "norm": False},
    {"number": 2, "value": None, "state": "PRUNED", "rate": 1e-3, "units": 32, "opt": "nadam", "norm": True},
    {"number": 3, "value": 0.7, "state": "COMPLETE", "rate": 1e-3, "units": 32, "opt": "x", "norm": True, "more": 3},
]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    from hepflow.plots.figures import saving

    found = []
    write = saving.picture
    monkeypatch.setattr(saving, "picture", lambda figure, kind: found.append(figure) or write(figure, kind))
    return found


def test_learning_curves(tmp_path, drawn):
    figures.learning_curves(HISTORY, 4, tmp_path / "curves", Style("My lab"))
    assert {path.name for path in tmp_path.iterdir()} == {"curves.png", "curves.pdf", "curves.json"}
    content = json.loads((tmp_path / "curves.json").read_text())
    assert content["epochs"] == HISTORY
    assert content["derived"]["best_epoch"] == 4
    loss, accuracy, rate = drawn[0].axes
    assert [axes.get_ylabel() for axes in (loss, accuracy, rate)] == ["Loss", "Accuracy", "Learning rate"]
    np.testing.assert_allclose(loss.lines[1].get_ydata(), [row["val_loss"] for row in HISTORY])
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["training", "validation", "best epoch 4"]


def test_learning_curves_of_a_regression(tmp_path, drawn):
    rows = [{"epoch": 1, "loss": 0.3, "val_loss": 0.4, "learning_rate": 1e-3}]
    figures.learning_curves(rows, 1, tmp_path / "curves", Style("My lab"))
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["Loss", "Learning rate"]
    assert json.loads((tmp_path / "curves.json").read_text())["derived"] == {"val_loss": 0.4, "best_epoch": 1}


def test_confusion_matrix(tmp_path, drawn):
    matrix = MigrationMatrix(("1p0n", "1p1n"))
    matrix.fill([0, 0, 1, 1], [0, 1, 1, 1], weight=[1.0, 3.0, 1.0, 1.0])
    figures.confusion_matrix(matrix, tmp_path / "confusion", Style("My lab"))
    content = json.loads((tmp_path / "confusion.json").read_text())
    assert [PlotObject.from_json(part) for part in content["plots"]] == [matrix]
    assert (matrix.label, content["style"]) == ("validation rows", {"text": "My lab", "lines": []})
    np.testing.assert_allclose(drawn[0].axes[0].collections[0].get_array(), [[25, 0], [75, 100]])


def test_trials(tmp_path, drawn):
    figures.trials(TRIALS, tmp_path / "trials", Style("My lab"))
    assert json.loads((tmp_path / "trials.json").read_text())["trials"] == TRIALS
    axes = {axes.get_xlabel(): axes for axes in drawn[0].axes}
    assert list(axes) == ["Trial", "rate", "units", "opt", "norm", "more"]
    np.testing.assert_allclose(axes["Trial"].lines[0].get_xydata(), [[0, 0.6], [1, 0.5], [3, 0.7]])
    np.testing.assert_allclose(axes["Trial"].lines[1].get_ydata(), [0.6, 0.5, 0.5])
    assert axes["rate"].get_xscale() == "log"
    assert axes["units"].get_xscale() == "linear"
    assert [text.get_text() for text in axes["opt"].get_xticklabels()] == ["adam", "None", "x"]
    assert [text.get_text() for text in axes["norm"].get_xticklabels()] == ["True", "False"]
    np.testing.assert_allclose(axes["more"].lines[0].get_xydata(), [[3, 0.7]])
