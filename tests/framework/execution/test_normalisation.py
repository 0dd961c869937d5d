"""Normalisation: sums of weights before any selection travel with files; ``--lumi`` makes L·σ·w/Σw of them."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import uproot

from hepflow import Folds, Job, Target, TrainingSet
from hepflow.errors import ColumnError, InputError
from hepflow.execution import RunOptions, run
from hepflow.execution.merge import merge_parts
from hepflow.execution.planning import plan_job
from hepflow.io.bookkeeping import bookkept
from hepflow.io.merging import FORMATS
from hepflow.io.opening import open_reader
from hepflow.plugins.common import Filter
from hepflow.plugins.performance import HistogramPlots
from hepflow.plugins.training import Normaliser, TrainingSelection
from hepflow.streams import DatasetStream, NtupleStream
from hepflow.variables import Variable

LUMI = 2.0


class Undrawn(HistogramPlots):
    """Fills and draws nothing."""

    def figures(self, samples, draw):
        """Draw nothing: that takes its time."""


def nano(path, weights, sumw, *, first=1, x=1.0):
    """Write a NanoAOD with these generator weights; its Runs tell what was generated in two runs."""
    n = len(weights)
    events = {"run": np.ones(n, "u4"), "luminosityBlock": np.ones(n, "u4"), "event": np.arange(first, first + n)}
    with uproot.recreate(path) as file:
        content = {**events, "genWeight": np.asarray(weights, "f4"), "x": np.full(n, x)}
        runs = {"genEventSumw": np.array([0.25, 0.75]) * sumw, "genEventCount": np.array([n, 3 * n])}
        for name, branches in (("Events", content), ("Runs", runs)):
            file.mktree(name, {key: values.dtype for key, values in branches.items()}).extend(branches)
    return path


@pytest.fixture
def samples(tmp_path):
    """Signal in two files, one of which is empty: Σw = 100 + 20; background Σw = 1000."""
    return [
        f"S={nano(tmp_path / 's1.root', [2.0, -1.0, 3.0, 4.0], 100.0)}",
        f"S={nano(tmp_path / 's2.root', [], 20.0)}",
        f"B={nano(tmp_path / 'b.root', [10.0] * 5, 1000.0, x=3.0)}",
    ]


def make_job(*, stream=False, cut="Events.x > 0", background=True):
    job = Job("test")
    job.sample("S", cross_section=0.5, k_factor=1.2, filter_efficiency=0.1)
    if background:
        job.sample("B", cross_section=3.0)
    job += Filter("Filter", Cut=cut)
    if stream:
        job += NtupleStream("tree", Container="", Keep=["Events.*"])
    else:
        job += Undrawn("Plots", Variables=["Events.x:2;0;4"], Weight="Events.x")
    return job


def go(job, tmp_path, inputs, name="out", **options):
    return run(job, RunOptions(inputs=inputs, output=str(tmp_path / name), **options))


def after_cut(result):
    """Return the weights before and after the cut, by sample."""
    return {sample: weights for sample, lines in result.yields.items() for weights in lines.values()}


def content(result, sample):
    """Return the sum of weights in the plot of a sample."""
    (plot,) = result.results["Plots"][sample].values()
    return plot.values().sum()


def test_lumi_makes_weights_for_plots_and_cutflow(tmp_path, samples):
    result = go(make_job(cut="Events.genWeight > 0"), tmp_path, samples, lumi=LUMI)
    signal = 2000 * 0.5 * 1.2 * 0.1 / 120  # per unit of w: L in fb⁻¹, σ in pb
    background = 2000 * 3.0 / 1000
    assert after_cut(result) == {
        "S": pytest.approx([8 * signal, 9 * signal]),
        "B": pytest.approx([50 * background] * 2),
    }
    assert content(result, "S") == pytest.approx(9 * signal)
    assert content(result, "B") == pytest.approx(50 * background * 3)
    record = json.loads((result.directory / "provenance.json").read_text())
    assert record["luminosity"] == LUMI
    assert [(one["sample"], one["sum_of_weights"], one["factor"]) for one in record["normalisation"]] == [
        ("S", pytest.approx(120), pytest.approx(signal)),
        ("B", pytest.approx(1000), pytest.approx(background)),
    ]


def test_lumi_makes_weights_of_a_training(tmp_path, samples):
    """``weight="Sample.weight"``: rows weigh L·σ·w/Σw; without ``--lumi`` the error names it."""
    job = Job("training")
    job.sample("S", cross_section=0.06)
    declared = TrainingSet(
        inputs={"Events": (Variable("x"),)},
        target=Target("Events.x"),
        rows="Events",
        weight="Sample.weight",
        negative_weights="keep",
        folds=Folds(column="Events.event"),
    )
    job += TrainingSelection("TrainingSelection", TrainingSet=declared)
    job += Normaliser("Normaliser", TrainingSet=declared)
    job += DatasetStream("dataset", TrainingSet=declared)
    result = go(job, tmp_path, samples[:2], lumi=LUMI)
    with h5py.File(result.outputs["dataset"][0]) as file:
        weights = np.sort(file["events"]["weight"])
    assert weights == pytest.approx(2000 * 0.06 / 120 * np.array([-1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(ColumnError, match=r"reads Sample\.weight.*") as error:
        go(job, tmp_path, samples[:2], "without")
    assert error.value.hint == "--lumi makes it"


def test_a_part_of_a_sample_stands_for_all_of_it(tmp_path, samples):
    """Three of four events of the file with Σw = 100 (+ 20 of the empty one)."""
    plan = plan_job(make_job(background=False), RunOptions(inputs=samples[:2], events=3, lumi=LUMI))
    (factor,) = {kind.factor for kind in plan.kinds}
    assert factor == pytest.approx(2000 * 0.06 / (0.75 * 100))


def test_outputs_and_merged_files_keep_the_sums(tmp_path, samples):
    """A selection is undone by the sum before it; a file made with the sums of both parts needs no job.sample."""
    result = go(make_job(stream=True, cut="Events.genWeight > 2.5"), tmp_path, samples)
    parts = result.outputs["tree"]
    whole = tmp_path / "whole.root"
    merge_parts(parts[:1], whole)
    told = open_reader(str(whole), FORMATS).schema().metadata["normalisation"]
    assert [(one["sample"], one["events"], one["sum_of_weights"]) for one in told] == [("S", 16, pytest.approx(120))]
    job = Job("again")
    job += Undrawn("Plots", Variables=["Events.x:2;0;4"])
    again = go(job, tmp_path, [f"S={whole}", f"B={parts[1]}"], "again", lumi=LUMI)
    assert content(again, "S") == pytest.approx(7 * 2000 * 0.06 / 120)
    merge_parts(parts, both := tmp_path / "both.root")
    with pytest.raises(InputError, match=r"several samples or cross-sections \(S, B\)"):
        go(job, tmp_path, [f"S={both}"], "both", lumi=LUMI)


def test_units_that_are_left_out_count_no_weights(tmp_path):
    good, bad = (nano(tmp_path / f"{name}.root", [1.0] * 400, 500.0) for name in "ab")
    inputs = [f"S={good}", f"S={bad}"]
    damaged = bytearray(bad.read_bytes())
    with uproot.open(bad) as file:
        place = file["Events"]["x"].member("fBasketSeek")[0]
    start = place + int.from_bytes(damaged[place + 14 : place + 16], "big")  # behind the key of the basket
    damaged[start : start + 9] = bytes(9)
    bad.write_bytes(damaged)
    job = make_job(background=False)
    with pytest.raises(Exception, match="failed"):
        go(job, tmp_path, inputs, lumi=LUMI, retries=0)
    result = go(job, tmp_path, inputs, lumi=LUMI, retries=0, resume=True, leave_out=True)
    assert [one.start for one in result.left_out] == [0]
    assert content(result, "S") == pytest.approx(400 * 2000 * 0.06 / 500)


def test_what_cannot_be_normalised_is_refused(tmp_path, samples):
    def refused(text, inputs, job=None):
        with pytest.raises(InputError, match=text):
            plan_job(job or make_job(), RunOptions(inputs=inputs, lumi=LUMI))

    refused("cross-section of the sample B is not known", samples, make_job(background=False))
    zero = nano(tmp_path / "zero.root", [1.0, -1.0], 0.0)
    refused("sum of weights of the sample B is 0", [*samples[:2], f"B={zero}"])
    refused("a sample 'B' that is not among the inputs", samples[:2])
    with uproot.recreate(tmp_path / "flat.root") as file:
        file["Events"] = {"x": np.ones(3), "weight": np.ones(3)}
    flat = Job("flat")
    flat.sample("F", cross_section=1.0, sum_of_weights=7.0, events=3.0)
    flat += Filter("Filter", Cut="Events.x > 0")
    refused("no weights of events are known", [f"F={tmp_path / 'flat.root'}"], flat)


def test_weights_are_not_applied_twice(tmp_path, samples):
    made = go(make_job(stream=True), tmp_path, samples, lumi=LUMI).outputs["tree"]
    job = Job("again")
    job += Undrawn("Plots", Variables=["Events.x:2;0;4"])
    with pytest.raises(InputError, match="made with --lumi"):
        plan_job(job, RunOptions(inputs=[f"S={made[0]}"], lumi=LUMI))


def test_data_counts_one_beside_simulation(tmp_path, samples):
    job = make_job(background=False)
    job.sample("B", data=True)
    result = go(job, tmp_path, samples, lumi=LUMI)
    assert after_cut(result)["B"] == [5.0, 5.0]


def test_an_xaod_tells_the_sum_of_its_cutbookkeepers(physlite):
    reader = open_reader(str(physlite("PHYSLITE_rntuple.root")), FORMATS)
    told = reader.bookkept()
    assert (told.events, told.sum_of_weights) == (100, pytest.approx(81567.26385498047))


def test_bookkeeping_is_read_where_it_is_needed(samples, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("hepflow.io.root.bookkept", lambda opened: asked.append(1) or bookkept(opened))
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path / "cache"))
    options = RunOptions(inputs=samples)
    plan_job(make_job(), options)
    assert asked == []
    weighted = plan_job(make_job(), replace(options, lumi=10.0))  # what the cache lacks is looked up
    assert len(asked) == 3
    assert {kind.sample for kind in weighted.kinds if kind.factor != 1} == {"S", "B"}
    assert all(file.normalisation for file in plan_job(make_job(stream=True), options).files)
    assert plan_job(make_job(), options).looked == 0
    assert len(asked) == 3
