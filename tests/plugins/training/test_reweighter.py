"""Reweighting: sums of weights of training taus after it, calculated from the columns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepflow import Job, kfold
from hepflow.errors import JobOptionsError, ToolError
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import CLASSES
from hepflow.plugins.training import Reweighter, Reweighting
from tests.plugins.training.conftest import decay_mode_set

EDGES = (15e3, 30e3, 60e3, 100e3)
MODES = {**dict(enumerate(CLASSES)), 5: CLASSES[4]}
WEIGHT = "TauJets.beamSpotWeight"


@pytest.fixture
def go(tmp_path, training_columns, write_training_ntuple):
    """Run a Reweighter over 2 000 random taus; return its result, labels, pts and weights of the training taus."""

    def call(number=2000, classes=MODES, **properties):
        columns = training_columns(number)
        path = write_training_ntuple(tmp_path / "n.root", columns)
        job = Job("reweight")
        job += Reweighter("reweight", TrainingSet=decay_mode_set(classes=classes), **properties)
        result = run(job, RunOptions(inputs=[str(path)], output=str(tmp_path / "run"), chunk=301))
        (made,) = result.results["reweight"]
        again = json.loads((result.directory / "reweighting.json").read_text())
        assert again == made.record()
        assert Reweighting.from_record(again).record() == again
        tau = columns["TauJets"]
        train = tau["mcEventNumber"] % 5 >= 2
        label = np.minimum(tau["truthDecayMode"], 4)[train]
        return made, label, tau["pt"][train], tau["beamSpotWeight"][train].astype(float)

    return call


def test_balanced_classes(go):
    made, label, pt, weight = go()
    after = weight * made.factors(label, {"pt": pt})
    sums = np.bincount(label, after)
    assert sums == pytest.approx(np.full(5, weight.sum() / 5), rel=1e-6)


def test_flat_spectrum_in_each_class_and_classes_as_they_are(go):
    made, label, pt, weight = go(BalanceClasses=False, Flat={"TauJets.pt": EDGES})
    after = weight * made.factors(label, {"pt": pt})
    for mode in range(5):
        mine = label == mode
        spectrum = np.histogram(pt[mine], EDGES, weights=after[mine])[0]
        assert spectrum == pytest.approx(np.full(3, weight[mine].sum() / 3), rel=1e-6)


def test_both(go):
    made, label, pt, weight = go(Flat={"TauJets.pt": EDGES})
    after = weight * made.factors(label, {"pt": pt})
    assert np.bincount(label, after) == pytest.approx(np.full(5, weight.sum() / 5), rel=1e-6)
    assert np.histogram(pt, EDGES, weights=after)[0] == pytest.approx(np.full(3, weight.sum() / 3), rel=1e-6)


def test_classes_get_the_spectrum_of_one_of_them_in_joined_bins(go):
    edges = (0.0, 15e3, 15.1e3, 30e3, 60e3, 100e3, 1e6, 2e6)
    made, label, pt, weight = go(Flat={"TauJets.pt": edges}, Like=CLASSES[0], MinRows=20)
    after = weight * made.factors(label, {"pt": pt})
    assert np.bincount(label, after) == pytest.approx(np.full(5, weight.sum() / 5), rel=1e-6)
    joined = made.axes["pt"]
    assert joined[0] == 0
    assert joined[-1] == 2e6
    assert set(joined) < set(edges)
    rows = [np.histogram(pt[label == mode], joined)[0] for mode in range(5)]
    assert np.min(rows) >= 20
    spectra = [np.histogram(pt[label == mode], joined, weights=after[label == mode])[0] for mode in range(5)]
    own = np.histogram(pt[label == 0], joined, weights=weight[label == 0])[0]
    for spectrum in spectra:
        np.testing.assert_allclose(spectrum / spectrum.sum(), own / own.sum(), rtol=1e-5)


def test_factors_of_several_networks_are_those_of_their_own_training_folds(
    tmp_path, training_columns, write_training_ntuple
):
    columns = training_columns(3000)
    path = write_training_ntuple(tmp_path / "n.root", columns)
    job = Job("reweight")
    job += Reweighter("reweight", TrainingSet=decay_mode_set(weight="", folds=kfold(3)))
    result = run(job, RunOptions(inputs=[str(path)], output=str(tmp_path / "run"), chunk=301))
    tau = columns["TauJets"]
    for number, (made, folds) in enumerate(zip(result.results["reweight"], kfold(3), strict=True)):
        assert made.folds == folds
        label = np.minimum(tau["truthDecayMode"], 4)[tau["mcEventNumber"] % 3 == folds.train[0]]
        assert np.bincount(label, made.factors(label, {})) == pytest.approx(np.full(5, len(label) / 5), rel=1e-6)
        written = json.loads((result.directory / f"reweighting_{number}.json").read_text())
        assert Reweighting.from_record(written).folds == folds


def test_values_outside_count_to_the_nearest_bin():
    made = Reweighting(("a",), {"pt": (0.0, 1.0, 2.0)}, np.array([[3.0, 4.0]]))
    found = made.factors(np.zeros(4, dtype=int), {"pt": np.array([-5.0, 0.5, 2.0, 7.0])})
    assert found.tolist() == [3.0, 3.0, 4.0, 4.0]


def test_values_that_are_no_numbers(tmp_path, training_columns, write_training_ntuple):
    columns = training_columns(100)
    columns["TauJets"]["pt"][[7, 50]] = np.nan
    job = Job("reweight")
    job += Reweighter("reweight", TrainingSet=decay_mode_set(), Flat={"TauJets.pt": EDGES})
    path = write_training_ntuple(tmp_path / "n.root", columns)
    with pytest.raises(ToolError, match=r"TauJets.pt is not a number in 2 of 100 rows") as caught:
        run(job, RunOptions(inputs=[str(path)], output=str(tmp_path / "run")))
    assert "a cut in the selection" in caught.value.hint
    made = Reweighting(("a",), {"pt": (0.0, 1.0)}, np.array([[3.0]]))
    with pytest.raises(ToolError, match="pt is not a number in 1 of 2 rows"):
        made.factors(np.zeros(2, dtype=int), {"pt": np.array([0.5, np.nan])})


@pytest.mark.parametrize(
    ("properties", "error", "words"),
    [
        ({"BalanceClasses": False}, JobOptionsError, "nothing to do"),
        ({"classes": {}}, JobOptionsError, "nothing to do"),
        ({"Flat": {"TauJets.pt": (1.0, 1.0)}}, JobOptionsError, "increasing, finite bin edges"),
        ({"Flat": {"TauJets.pt": (1.0, np.inf)}}, JobOptionsError, "increasing, finite bin edges"),
        ({"Like": "c_1p"}, JobOptionsError, "needs one column in Flat"),
        ({"Flat": {"TauJets.pt": EDGES}, "Like": CLASSES[0]}, ToolError, r"too few training rows .* c_1p0n"),
        ({"classes": {**MODES, 9: "never"}}, ToolError, "training rows of never have no positive sum"),
    ],
)
def test_errors(go, properties, error, words):
    with pytest.raises(error, match=words):
        go(100, **properties)
