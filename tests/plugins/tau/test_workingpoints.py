"""Working points: cuts against hand counts, the flattened score against Athena's rule in plain Python and ROOT, files,
and which events they may be found on."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Context, Events, Folds, Job
from hepflow.context import Sample
from hepflow.errors import HepflowError, InputError, JobOptionsError, NetworkError, ToolError
from hepflow.plugins.tau import WorkingPointDecorator, WorkingPointTuner
from hepflow.plugins.tau.flattening import EFFICIENCIES, Flattening, Taus, derive, quantile_grid
from hepflow.plugins.tau.flatteningfile import WorkingPointFile, read_working_points

OUTPUTS = ["TauJets.Score"]
NETWORK = {"WeightFile": "id.json", "sha256": "a1", "record": {"folds": Folds().record()}, "decorations": OUTPUTS}


def taus(score, x=1.0, y=1.0, weight=1.0):
    score = np.asarray(score, dtype=np.float64)
    return Taus(score, *(np.broadcast_to(np.float64(part), score.shape) for part in (x, y, weight)))


def one_cell(held, least=1):
    return derive(held, (0, 2), (0, 2), least, "here").flattening


def test_a_cut_is_halfway_below_the_lowest_score_that_is_needed():
    cuts = one_cell(taus(np.arange(1, 201))).cuts[:, 0, 0]
    assert cuts[60] == 80.5  # the highest 120 of 200: 81 … 200
    assert cuts[1] == 198.5
    assert cuts[99] == 2.5
    assert cuts[0] == 200  # nothing is above the highest
    weighted = one_cell(taus(np.arange(1, 201), weight=np.repeat([1.0, 3.0], 100)))
    assert weighted.cuts[60, 0, 0] == 120.5  # 240 of 400: 80 of weight 3
    negative = one_cell(taus(np.arange(1, 201), weight=np.where(np.arange(200) == 199, -1.0, 1.0)))
    assert negative.cuts[50, 0, 0] == 99.5  # 99 of 198: -1 + 100


@pytest.fixture(scope="module")
def sloped():
    """Scores that depend on x and y, 4 × 2 cells, and as many independent ones."""
    rng = np.random.default_rng(1)

    def make(number):
        x, y = 20e3 * np.exp(rng.exponential(0.8, number)), rng.uniform(20, 70, number)
        raw = rng.normal(1, 1, number) + np.log(x / 20e3) - y / 50
        return Taus(1 / (1 + np.exp(-raw)), x, y, rng.uniform(0.5, 1.5, number))

    held = make(12_000)
    return held, derive(held, *quantile_grid(held, 1000), 1000, "here"), make(40_000)


def test_interpolated_cuts_deliver_their_efficiency_in_each_cell(sloped):
    held, derived, others = sloped
    found = derived.flattening
    assert derived.counts.shape == (4, 2)
    assert derived.counts.min() >= 1000
    assert not derived.merged
    for sample, allowed in ((held, 0.004), (others, 0.06)):  # 1500 taus a cell: 0.013 a standard deviation
        passed = found.transform(sample.score, sample.x, sample.y)[:, None] > 1 - np.array([0.95, 0.75, 0.45])
        places = (np.digitize(sample.x, found.x[1:-1]), np.digitize(sample.y, found.y[1:-1]))
        for cell in np.ndindex(4, 2):
            own = (places[0] == cell[0]) & (places[1] == cell[1])
            delivered = np.average(passed[own], axis=0, weights=sample.weight[own])
            np.testing.assert_allclose(delivered, (0.95, 0.75, 0.45), atol=allowed)


def test_cells_with_few_taus_share_their_cuts_and_are_named():
    x = np.repeat([0.5, 1.5, 2.5], [200, 50, 200])
    derived = derive(taus(np.arange(450.0), x), (0, 1, 2, 3), (0, 2), 200, "here")
    assert derived.counts.ravel().tolist() == [200, 50, 200]
    assert derived.merged == ("x 1 … 3, y 0 … 2",)
    assert (derived.flattening.cuts[:, 1] == derived.flattening.cuts[:, 2]).all()


@pytest.mark.parametrize(
    ("held", "least", "message"),
    [
        (taus(np.arange(50.0)), 100, "50 taus are too few"),
        (taus(np.arange(200.0), weight=np.tile([1.0, -1.0], 100)), 1, "sum up to 0"),
        (taus(np.where(np.arange(200) < 60, -1111.0, np.arange(200))), 1, r"0.75 cannot be reached.*60 of 200.*-1111"),
        (taus(np.where(np.arange(200) < 60, np.nan, np.arange(200))), 1, "0.75 cannot be reached: 60 of 200"),
        (taus(np.arange(200.0), np.full(200, 2e4)), 1, "none of 200 taus has its x variable between 0 and 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_reached_is_said(held, least, message):
    with pytest.raises(ToolError, match=message):
        one_cell(held, least)


def test_what_no_working_point_needs_only_flattens():
    """Ten of 200 share the highest score: no efficiency below 0.05; two have none: no 0.99 + 1 %."""
    score = np.where(np.arange(200) >= 190, 190.0, np.arange(200))
    score[:3] = np.nan
    derived = derive(taus(score), (0, 2), (0, 2), 1, "here")
    cuts = derived.flattening.cuts[:, 0, 0]
    assert cuts[1] == cuts[4] == cuts[5] == 189.5
    assert cuts[98] == 3.5
    assert 2.999 < cuts[99] < 3


def athena(file, score, x, y, interpolate):
    """TauWPDecorator's rule for one tau, in plain Python."""
    low, high, above, below, got = -1.01, 1.01, 1.0, 0.0, [False, False]
    centre = [(edges[-2] + edges[-1]) / 2 for edges in (file.x, file.y)]
    at = [min(c, max(edges[0], value)) for c, edges, value in zip(centre, (file.x, file.y), (x, y), strict=True)]
    for number in range(100):
        cut = interpolate(number, *at)
        if cut <= score and (not got[0] or abs(cut - score) < abs(low - score)):
            low, above, got[0] = cut, number / 100, True
        elif cut > score and (not got[1] or abs(cut - score) < abs(high - score)):
            high, below, got[1] = cut, number / 100, True
        if all(got):
            break
    if score > high:
        return 1 - below
    if score < low:
        return 1 - above
    return 1 - (above + (score - low) / (high - low) * (below - above))


def test_two_cells_by_hand():
    """Cuts 1 − e and 0.8 (1 − e), centres 1 and 3."""
    cuts = np.stack([1 - EFFICIENCIES, 0.8 * (1 - EFFICIENCIES)], axis=1)[:, :, None]
    found = Flattening(np.array([0.0, 2, 4]), np.array([0.0, 1]), cuts)
    flat = found.transform(np.full(5, 0.45), np.array([-9.0, 1, 2, 3, 99]), np.zeros(5))
    np.testing.assert_allclose(flat, [0.45, 0.45, 0.5, 0.5625, 0.5625])
    ends = found.transform(np.array([2.0, 1.0, -9999.0, np.nan]), np.ones(4), np.zeros(4))
    np.testing.assert_allclose(ends, [1, 1, 0, np.nan])
    with pytest.raises(ToolError, match=r"y variable .* missing or infinite for 1 of 1"):
        found.transform(np.zeros(1), np.ones(1), np.array([np.nan]))


def test_athenas_rule_with_roots_own_interpolation(tmp_path, sloped):
    ROOT = pytest.importorskip("ROOT", reason="PyROOT (wheel `root`, alpha) is not installed")
    found = sloped[1].flattening
    WorkingPointFile(found, 1).write_root(tmp_path / "wp.root")
    file = ROOT.TFile.Open(str(tmp_path / "wp.root"))
    histograms = [file.Get(f"h2_{number:02d}") for number in range(100)]
    assert all(isinstance(one, ROOT.TH2) for one in histograms)
    rng = np.random.default_rng(2)
    score, x, y = rng.uniform(-1.2, 1.2, 60), rng.uniform(0, 4e5, 60), rng.uniform(0, 100, 60)
    expected = [athena(found, *one, lambda n, a, b: histograms[n].Interpolate(a, b)) for one in zip(score, x, y)]  # noqa: B905
    np.testing.assert_allclose(found.transform(score, x, y), expected, atol=1e-12)


def test_athenas_rule_also_for_cuts_that_do_not_fall(sloped):
    """Cuts of others may be smoothed, so that some are equal or in another order."""
    found = sloped[1].flattening
    uneven = Flattening(found.x, found.y[:2], np.round(found.cuts[:, :, :1], 1))
    uneven.cuts[30:32] = uneven.cuts[31:29:-1]
    rng = np.random.default_rng(2)
    score, x = np.round(rng.uniform(-1.2, 1.2, 60), 1), found.x[0] + np.zeros(60)
    expected = [athena(uneven, one, x[0], 0.0, lambda n, a, b: uneven.cuts[n, 0, 0]) for one in score]
    np.testing.assert_allclose(uneven.transform(score, x, np.zeros(60)), expected, atol=1e-12)


def test_files(tmp_path, sloped):
    texts = ("ID", "TauJets.Score", "TauJets.pt", "TauJets.mu")
    made = WorkingPointFile(sloped[1].flattening, 3, *texts, (NETWORK,), {"merged": ["a"]})
    made.write_json(tmp_path / "a.json")
    made.write_root(tmp_path / "a.root")
    for name in ("a.json", "a.root"):
        read = read_working_points(tmp_path / name)
        for field in ("x", "y", "cuts"):
            assert (getattr(read.flattening, field) == getattr(made.flattening, field)).all()
        assert read.record() == made.record()
    with uproot.recreate(tmp_path / "b.root") as file:
        file["h2_00"] = (np.zeros((1, 1)), np.array([0.0, 1]), np.array([0.0, 1]))
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "d.json").write_text("h2")
    held = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "e.json").write_text(json.dumps({**held, "cuts": held["cuts"][1:]}))
    (tmp_path / "f.root").write_bytes((tmp_path / "a.root").read_bytes()[:5000])
    for name, message in {
        "b.root": "no TH2 h2_01",
        "c.json": "no JSON file of working points",
        "d.json": "neither ROOT nor JSON",
        "e.json": "damaged: its cuts are not 100 × 4 × 2 finite",
        "f.root": "cannot be read",
        "g.json": "cannot be read",
    }.items():
        with pytest.raises(InputError, match=message):
            read_working_points(tmp_path / name)


def events(records=None, number=5000, seed=3):
    """One tau an event; event numbers 0, 1, …; one, two or three tracks; score uniform in 0 … 1."""
    rng = np.random.default_rng(seed)
    columns = {
        "pt": rng.uniform(2e4, 1e5, number),
        "Score": rng.random(number).astype(np.float32),
        "nTracks": np.resize([1, 3, 3, 2], number),
        "truthProng": np.resize([1, 3, 3, 3], number),
        "IsTruthMatched": np.ones(number, dtype=np.int8),
    }
    arrays = {f"TauJets.{name}": ak.unflatten(values, np.ones(number, dtype=int)) for name, values in columns.items()}
    arrays["EventInfo.mcEventNumber"] = np.arange(number, dtype=np.uint64)
    arrays["EventInfo.averageInteractionsPerCrossing"] = rng.uniform(20, 70, number)
    return Events.from_arrays(arrays, sample=Sample("s", records={"id": NETWORK} if records is None else records))


def tune(tmp_path, *chunks, **properties):
    tool = WorkingPointTuner("tuner", **{"Score": "TauJets.Score", "MinTaus": 100, **properties})
    tool.check(Job("j"))
    total = tool.start()
    for chunk in chunks:
        part = tool.start()
        tool.execute(chunk, part)
        total = total + part
    return tool.finalize(total, Context(tmp_path, "job"))


def test_they_are_found_on_the_validation_folds_and_applied(tmp_path):
    written = tune(tmp_path, events())
    held = {prongs: read_working_points(path) for prongs, path in written.items()}
    assert {prongs: int(np.sum(file.about["taus"])) for prongs, file in held.items()} == {1: 250, 3: 500}  # fold 0 of 5
    assert held[1].about["events"] == ["validation folds 0 of 5"]
    files = {"FlatteningFile1Prong": str(written[1]), "FlatteningFile3Prong": str(tmp_path / "Score_3p.root")}
    tool = WorkingPointDecorator("wp", **files)
    assert list(tool.reads()) == [
        "TauJets.Score",
        "TauJets.pt",
        "EventInfo.averageInteractionsPerCrossing",
        "TauJets.nTracks",
    ]
    assert next(iter(tool.writes())) == "TauJets.ScoreSigTrans"
    record = tool.record()
    assert record["record"] == NETWORK["record"]  # so that plots know which events are unseen
    assert record["working_points"]["3p"]["file"] == "Score_3p.root"
    tool.prepare(Context(tmp_path, "job"))
    applied = events(seed=4)
    tool.execute(applied, None)
    found = applied["TauJets"]
    flat, tracks = found.flat("ScoreSigTrans"), found.flat("nTracks")
    assert flat.dtype == np.float32
    for name, one, other in (
        ("VeryLoose", 0.95, 0.95),
        ("Loose", 0.85, 0.75),
        ("Medium", 0.75, 0.6),
        ("Tight", 0.6, 0.45),
    ):
        passed = found.flat(f"Score{name}") == 1
        assert (passed == (flat > 1 - np.where(tracks == 1, one, other).astype(np.float32))).all()
        for prongs, efficiency in ((1, one), (3, other), (2, other)):
            assert passed[tracks == prongs].mean() == pytest.approx(efficiency, abs=0.08)


def test_out_of_fold_scores_are_used_of_all_events(tmp_path):
    record = {"kfold": {"number": 5}, "networks": [{"sha256": str(k)} for k in range(5)], "decorations": OUTPUTS}
    written = tune(tmp_path, events({"id": {**record, "WeightFile": "0/id.json"}}))
    assert np.sum(read_working_points(written[1]).about["taus"]) == 1250


@pytest.mark.parametrize(
    ("records", "properties", "message"),
    [
        ({}, {}, "does not say which events the network of TauJets.Score was trained on"),
        (None, {"AllEvents": True}, "AllEvents is set, but the input says"),
        ({"id": {**NETWORK, "record": {}}}, {}, "does not say which events it has seen"),
        ({"id": {**NETWORK, "record": {"folds": Folds().record() | {"validation": []}}}}, {}, "validation"),
        (None, {"Score": "1 - TauJets.Score"}, "needs an OutputName"),
        (None, {"XEdges": (1.0, 0.0)}, "increasing"),
        ({}, {"Folds": (7,)}, "no fold 7 of 5"),
    ],
)
def test_never_on_test_events(tmp_path, records, properties, message):
    with pytest.raises(HepflowError, match=message):
        tune(tmp_path, events(records), **properties)


def test_two_networks_are_not_mixed(tmp_path):
    other = {"id": {**NETWORK, "sha256": "b2"}}
    with pytest.raises(ToolError, match="different networks"):
        tune(tmp_path, events(), events(other))
    written = tune(tmp_path, events())
    files = {f"FlatteningFile{prongs}Prong": str(path) for prongs, path in written.items()}
    tool = WorkingPointDecorator("wp", **files)
    tool.prepare(Context(tmp_path, "job"))
    with pytest.raises(NetworkError, match="another network"):
        tool.execute(events(other), None)
    for wrong, message in (
        ({"FlatteningFile3Prong": str(written[1])}, "for taus with 1 tracks"),
        ({"FlatteningFile3Prong": ""}, "no FlatteningFile3Prong"),
        ({"XVariable": "TauJets.eta"}, "XVariable is TauJets.eta, but .* TauJets.pt"),
        ({"DecorWPCutEffs1P": (0.5,)}, "an efficiency between 0 and 1 for each"),
    ):
        tool, job = WorkingPointDecorator("wp", **{**files, **wrong}), Job("j")
        job += tool
        with pytest.raises(JobOptionsError, match=message):
            tool.check(job)


def test_the_reference_grid_of_loki_is_accepted():
    """57 bins and more in MeV; taus outside count to the nearest bin."""
    rng = np.random.default_rng(5)
    held = taus(rng.random(9000), rng.uniform(1e4, 3e6, 9000), rng.uniform(-5, 90, 9000))
    derived = derive(held, (2e4, 1e5, 2e6), (-0.5, 31.5, 61.5), 100, "here")
    assert derived.counts.sum() == 9000
