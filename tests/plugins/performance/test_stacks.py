"""StackPlots: what is stacked with which weights, against numpy; data, signal, pseudo-data; samples without a place."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hepflow import Events, Job
from hepflow.context import Context, Sample
from hepflow.errors import JobOptionsError
from hepflow.plots import load_plots
from hepflow.plugins.performance import StackPlots
from hepflow.variables import Binning, Variable

MBB = Variable("mBB", "tree.mBB", unit="GeV", binnings={"": Binning.regular(10, 0, 200)})
SIZES = {"TTbar": 400, "Zjets": 100, "HH": 50, "Data": 300}


def sample(name):
    rng = np.random.default_rng(len(name))
    columns = {"tree.mBB": rng.uniform(0, 200, SIZES[name]), "tree.weight": rng.uniform(0.2, 1, SIZES[name])}
    if name == "Data":
        del columns["tree.weight"]  # it has none
    elif name == "TTbar":
        columns["Sample.weight"] = np.full(SIZES[name], 2.0)  # of --lumi
    return Events.from_arrays(columns, sample=Sample(name))


SAMPLES = {name: sample(name) for name in SIZES}


def drawn(fill, folder, *names, **properties):
    """Return the plots of the figure by label, in order, and the yields by sample."""
    tool = StackPlots("stack", Variables=[MBB], Weight="tree.weight", **properties)
    tool.check(Job("j"))
    tool.finalize(fill(tool, *(SAMPLES[name] for name in names)), Context(folder, "stack"))
    rows = json.loads((folder / "stack/yields.json").read_text())
    return {plot.label: plot for plot in load_plots(folder / "stack/mBB.json")}, {row["sample"]: row for row in rows}


def test_samples_are_stacked_with_their_weights(fill, tmp_path):
    plots, yields = drawn(fill, tmp_path, *SIZES, Signal={"HH": 10.0}, Data=["Data"])
    assert list(plots) == ["TTbar", "Zjets", "HH × 10", "data"]
    weights = {name: events["tree"].flat("weight") for name, events in SAMPLES.items() if name != "Data"}
    for label, name, factor in (("Zjets", "Zjets", 1), ("TTbar", "TTbar", 2), ("HH × 10", "HH", 10)):
        values = SAMPLES[name]["tree"].flat("mBB")
        expected = [np.histogram(values, 10, (0, 200), weights=(factor * weights[name]) ** k)[0] for k in (1, 2)]
        np.testing.assert_allclose(plots[label].values(), expected[0])
        np.testing.assert_allclose(plots[label].variances(), expected[1])
    np.testing.assert_array_equal(plots["data"].values(), plots["data"].variances())
    assert plots["data"].total == SIZES["Data"]
    w = 2 * weights["TTbar"]
    row = {"yield": w.sum(), "error": np.sqrt((w**2).sum()), "effective": w.sum() ** 2 / (w**2).sum(), "entries": 400}
    assert yields["TTbar"] == {"sample": "TTbar"} | {key: pytest.approx(value) for key, value in row.items()}


def test_groups_and_pseudo_data(fill, tmp_path):
    stack = {"rare": ["HH", "Zjets"], "top": ["TTbar"]}
    (tmp_path / "again").mkdir()
    plots, _ = drawn(fill, tmp_path, "TTbar", "Zjets", "HH", Stack=stack, PseudoData=3)
    again, _ = drawn(fill, tmp_path / "again", "HH", "Zjets", "TTbar", Stack=stack, PseudoData=3)
    assert list(plots) == ["rare", "top", "pseudo-data"]
    assert plots["pseudo-data"] == again["pseudo-data"]
    expected = plots["rare"].values() + plots["top"].values()
    pulls = (plots["pseudo-data"].values() - expected) / np.sqrt(expected)
    assert np.abs(pulls).max() < 4
    assert (np.abs(pulls) > 0).all()


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Signal": {"hh": 1.0}}, "got no events of hh"),
        ({"Data": ["data"]}, "got no events of data"),
        ({"Stack": {"top": ["TTbar"]}}, "'HH' has no place in stack"),
        ({"Stack": {"top": ["HH", "TTbar"]}, "Signal": {"HH": 1.0}}, "HH has two places"),
        ({"Data": ["HH"], "PseudoData": 1}, "exclude each other"),
        ({"Together": True}, "Together means nothing to a stack"),
        ({"Signal": {"HH": 1.0, "TTbar": 1.0}}, "no sample to stack"),
    ],
)
def test_what_is_refused(fill, tmp_path, properties, message):
    with pytest.raises(JobOptionsError, match=message):
        drawn(fill, tmp_path, "HH", "TTbar", **properties)
