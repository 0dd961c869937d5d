"""Whole events: tagging probabilities, labels, missing ET and HH → bbττ kinematics."""

from __future__ import annotations

import json
from itertools import combinations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Job
from hepflow.execution import RunOptions, run
from hepflow.io.merging import FORMATS
from hepflow.io.opening import open_reader
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.plugins.simulation import EventDetector, objects
from hepflow.plugins.simulation.generator import Generator
from hepflow.plugins.simulation.hooks import chance_of_tags, chance_of_taus
from hepflow.plugins.simulation.processes import PROCESSES
from hepflow.registry.manager import registry
from hepflow.streams import MxAODStream

pytest.importorskip("pythia8mc")
NAMES = ("Jets", "TauJets", "MET", "EventInfo")


def test_two_tags_are_drawn_as_often_as_their_probability_says():
    """Against the sum over all sets of two tagged and the others untagged jets."""
    chance = np.array([0.77, 0.2, 0.77, 1 / 130])
    expected = {
        pair: np.prod([chance[k] if k in pair else 1 - chance[k] for k in range(4)])
        for pair in combinations(range(4), 2)
    }
    total, _ = objects.pair_of_tags(chance, 0.0)
    assert total == pytest.approx(sum(expected.values()))
    draws = (np.arange(20_000) + 0.5) / 20_000
    found = [objects.pair_of_tags(chance, draw)[1] for draw in draws]
    for pair, value in expected.items():
        assert found.count(pair) / len(draws) == pytest.approx(value / total, abs=1e-4)
    assert objects.pair_of_tags(chance[:1], 0.5) == (0.0, (-1, -1))


def test_efficiencies_and_resolutions_are_those_that_are_said():
    label, pt, eta = np.array([5, 4, 0, 5, 5]), np.array([3e4, 3e4, 3e4, 1e4, 3e4]), np.array([0.0, 1.0, 2.0, 0.0, 2.6])
    assert objects.tag_efficiency(label, pt, eta) == pytest.approx([0.77, 0.2, 1 / 130, 0.0, 0.0])
    assert objects.tau_efficiency(np.array([1, 3, 2])) == pytest.approx([0.85, 0.75, 0.0])
    assert objects.jet_resolution(np.array([50e3])) == pytest.approx(np.sqrt(0.06**2 + 0.49 / 50 + 0.035**2))


def test_hadrons_that_decay_weakly_label_jets():
    pdg, parents = np.array([5, 513, 511, 421, 211, 413, 421]), np.array([-1, 0, 1, 2, 3, -1, 5])
    assert list(np.flatnonzero(objects.weak_hadrons(pdg, parents, 5))) == [2]
    assert list(np.flatnonzero(objects.weak_hadrons(pdg, parents, 4))) == [3, 6]
    jets = {"eta": np.array([0.0, 2.0]), "phi": np.array([3.1, 0.0])}
    near = {"eta": np.array([0.1]), "phi": np.array([-3.1])}
    none = {"eta": np.zeros(0), "phi": np.zeros(0)}
    assert list(objects.flavour(jets, {5: near, 4: near})) == [5, 0]
    assert list(objects.flavour(jets, {5: none, 4: none})) == [0, 0]


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """300 events of HH → bbττ as they are written: {column: array}, and what the file says of their number."""
    job = Job("events", default_sample="pythia:HHbbtautau")
    job += MxAODStream("AOD", Keep=["EventInfo.*"])
    job.streams[0].tools.append(EventDetector("EventDetector"))
    result = run(job, RunOptions(events=300, output=str(tmp_path_factory.mktemp("events") / "out")))
    reader = open_reader(str(result.outputs["AOD"][0]), FORMATS)
    schema = reader.schema()
    columns = [info for info in schema.columns.values() if info.container in NAMES]
    found = {
        name: column.content if column.offsets is None else ak.unflatten(column.content, np.diff(column.offsets))
        for name, column in reader.read(columns, 0, schema.entries).items()
    }
    record = json.loads((result.directory / "provenance.json").read_text())["normalisation"]
    return found, schema.metadata["normalisation"], record, result.outputs["AOD"]


def test_a_generated_sample_counts_its_events(events):
    _, (told,), (record,), _ = events
    assert (told["events"], told["sum_of_weights"], told["cross_section"]) == (300, 300.0, 1.0)
    assert told["filter_efficiency"] == pytest.approx(2 * 0.5824 * 0.06272 * 0.6479**2)
    assert record["events"] == 300


def test_kinematics_of_hh(events):
    """b jets and taus of 300 events of mX = 500 GeV; in acceptance, without smearing, 20/42 % of hadronic pairs."""
    found, *_ = events
    taus = ak.sum((found["TauJets.pt"] > 20e3) & (abs(found["TauJets.eta"]) < 2.5), axis=1) >= 2
    b = ak.sum((found["Jets.label"] == 5) & (found["Jets.pt"] > 20e3) & (abs(found["Jets.eta"]) < 2.5), axis=1) >= 2
    accepted = np.mean(ak.to_numpy(taus & b))
    assert 0.35 < accepted < 0.60
    weights = ak.to_numpy(found["EventInfo.tagWeight"])
    assert weights[ak.to_numpy(b)].mean() == pytest.approx(0.77**2, abs=0.06)
    assert list(ak.to_numpy(ak.sum(found["Jets.isTagged"], axis=1)[weights > 0])) == [2] * np.count_nonzero(weights)


def test_missing_et_has_the_resolution_of_its_formula(events):
    found, *_ = events
    for axis, turn in (("X", np.cos), ("Y", np.sin)):
        measured, truth = (
            found[f"MET.{pt}"] * turn(found[f"MET.{phi}"]) for pt, phi in (("met", "phi"), ("truthMet", "truthPhi"))
        )
        pull = (measured - truth) / found[f"MET.resolution{axis}"]
        assert abs(pull.mean()) < 4 / np.sqrt(300)
        assert pull.std() == pytest.approx(1.0, abs=4 / np.sqrt(600))
    assert (found["MET.resolutionX"] > objects.SOFT_RESOLUTION).all()


def test_the_job_of_hh_selects_and_weighs(events, tmp_path):
    """Against numpy on the columns of the same events: L·σ·ε/Σw times the probabilities of tags and identification."""
    found, _, _, files = events
    plugins = registry()
    job = load_joboptions(find_joboptions("HHbbtautau", plugins))
    options = RunOptions(inputs=[f"X500={path}" for path in files], output=str(tmp_path / "out"), lumi=140.0)
    (path,) = run(job, options, plugins=plugins).outputs["ntuple"]
    with uproot.open(path) as file:
        rows = file["tree"].arrays(library="np")
    opposite = ak.to_numpy(ak.fill_none(ak.pad_none(found["TauJets.charge"], 2)[:, :2], 0.0)).prod(axis=1) < 0
    hard = ak.sum(found["TauJets.pt"] > 20e3, axis=1) >= 2
    tagged = ak.sum((found["Jets.isTagged"] == 1) & (found["Jets.pt"] > 20e3), axis=1) == 2
    kept = ak.to_numpy(hard & tagged) & opposite
    assert rows["event_number"].tolist() == ak.to_numpy(found["EventInfo.mcEventNumber"])[kept].tolist()
    assert 60 < kept.sum() < 220
    factor = 140e3 * 1.0 * 2 * 0.5824 * 0.06272 * 0.6479**2 / 300
    chance = [ak.to_numpy(found[f"EventInfo.{name}"]).astype(float)[kept] for name in ("tagWeight", "tauWeight")]
    assert rows["weight"] == pytest.approx(factor * chance[0] * chance[1], rel=1e-5)
    assert np.isclose(chance[1][:, None], [0.85**2, 0.85 * 0.75, 0.75**2]).any(axis=1).all()
    assert np.median(rows["mBB"]) == pytest.approx(115e3, abs=15e3)  # neutrinos of b hadrons are missing
    assert np.median(rows["mHH"]) == pytest.approx(480e3, abs=50e3)


def test_roulette_keeps_rates_and_makes_rare_events_common():
    """Two b hadrons above 20 GeV are 0.5 % without it, and with its weights."""
    made = [Generator(PROCESSES["Zjets"], seed=3).block(number) for number in (0, 1)]
    weights = np.concatenate([block.weights for block in made])
    assert weights.min() >= 1.0
    assert weights.max() <= 500.0 * (1 + 1e-9)
    hard = []
    for block in made:
        code = np.abs(block.particles["id"])
        b = np.isin(code, (511, 521, 531, 5122)) & (np.hypot(block.particles["px"], block.particles["py"]) > 20.0)
        event = np.repeat(np.arange(len(block.counts)), block.counts)
        hard.append(np.bincount(event[b], minlength=len(block.counts)) >= 2)
    share = np.concatenate(hard)
    assert share.mean() > 4 * weights[share].sum() / weights.sum()
    assert 0.0005 < weights[share].sum() / weights.sum() < 0.015
    assert (Generator(PROCESSES["Zjets"], seed=3).block(1).weights == made[1].weights).all()


def test_roulette_by_hand():
    assert chance_of_taus([(40.0, 0.0), (80.0, 1.0)]) == pytest.approx(np.sqrt(0.5 * 0.75))
    assert chance_of_taus([(40.0, 3.0), (80.0, 1.0)]) == 0.1
    assert chance_of_taus([(19.0, 0.0), (80.0, 1.0)]) == 0.25
    few = ([20.0], 1), ([20.0], 0), ([], 3), ([], 1), ([], 0)
    assert [chance_of_tags(*quarks) for quarks in few] == [0.12, 0.05, 0.06, 0.02, 0.02]
    pairs = ([50.0, 31.0], 0), ([25.0, 50.0, 12.0], 1), ([50.0, 10.5], 0), ([50.0, 12.0], 1)
    assert [chance_of_tags(*quarks) for quarks in pairs] == [1.0, 0.75, 0.05, 0.12]
