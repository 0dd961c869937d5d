"""The energy scale against numbers calculated by hand from the formulas of tauRecTools."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest

import hepflow
from hepflow import Events, Job
from hepflow.errors import InputError, JobOptionsError, NetworkError, ToolError
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.plugins.tau import (
    DeriveCombined,
    DeriveLC,
    MvaTESEvaluator,
    NNDecayModeClassifier,
    TauCalibrateLC,
    TauCombinedTES,
    TauSelection,
    TauTruthMatching,
)
from hepflow.plugins.tau.energyscale.calibrations import Combination, LocalCalibration, Resolution
from hepflow.plugins.tau.energyscale.curves import Curve, from_tformula
from hepflow.plugins.tau.energyscale.derivation import derive_combination, derive_local
from hepflow.plugins.tau.energyscale.files import (
    read_combination,
    read_local,
    write_combination,
    write_local,
)
from hepflow.plugins.tau.modes import MODES

CONTEXT = SimpleNamespace(log=SimpleNamespace(warning=lambda *_: None))


def points(x, y, outside="edge"):
    return Curve(np.array(x, float), np.array(y, float), outside)


def constant(value, low=10e3, high=1e6, outside="line"):
    return points([low, high], [value, value], outside)


def local(record=None):
    one = [
        constant(0.8, 10, 100, "edge"),
        points([10, 110], [0.5, 1.0]),
        Curve(np.array([0.0, 500.0]), np.zeros(0), "line", "0.9 + x / 1000"),
    ]
    several = [constant(0.9, 20, 60, "zero"), constant(-1.0, 1, 9), constant(0.5, 1, 9)]
    slopes = np.array([[0.1, 0.2, 0.0], [0.3, -0.1, 0.05]])
    return LocalCalibration(np.array([0, 0.8, 1.5, 2.5]), 20.0, slopes, (one, several), record or {})


# pt [GeV], η, tracks, pile-up vertices → calibrated pt [GeV]
LOCAL = [
    (40, 0.1, 1, 20, 50), (40, -0.1, 1, 30, 48.75), (40, 0.1, 0, 10, 51.25), (40, 0.8, 1, 20, 40 / 0.65),
    (10, 1.0, 1, 20, 20), (5, 1.0, 1, 20, 10), (200, 1.0, 1, 20, 200), (1, 1.0, 1, 30, 2), (2, 1.0, 1, 30, 4),
    (60, 1.0, 1, 30, 58 / 0.74), (100, 1.5, 1, 50, 100), (100, 2.5, 1, 50, 100), (100, -3.9, 1, 50, 100),
    (50, 2.0, 1, 0, 50 / 0.95), (40, 0, 3, 20, 40 / 0.9), (40, 0, 2, 20, 40 / 0.9), (70, 0, 3, 20, 70),
    (40, 0.79, 3, 30, 37 / 0.9), (40, 1.2, 3, 30, 41), (0, 1.2, 3, 20, 1e-6), (-1.111, 1.2, 3, 20, 1e-6),
    (10_000, 2, 3, 20, 10_000), (9_999, 2, 3, 20, 19_998), (10, 2, 5, 40, 18),
]  # fmt: skip


def combination(record=None):
    wide, narrow, none = constant(0.2), constant(0.1), constant(0.0)
    calo = [[Resolution(none, wide)] * 5 for _ in MODES]
    flow = [[Resolution(none, narrow)] * 5 for _ in MODES]
    calo[1] = [Resolution(constant(0.1, 10e3, 50e3), wide)] * 5
    flow[1] = [Resolution(constant(-0.1, 10e3, 50e3), narrow)] * 5
    calo[2], flow[2] = [Resolution(none, none)] * 5, [Resolution(none, none)] * 5
    flow[4] = [Resolution(none, points([10e3, 110e3], [0.1, 0.3], "line"))] * 5
    rho = np.array([[0.0, 0.5, 0.0, 0.0, -0.5]] * 5)
    rho[4, 2] = 0.9
    allowed = [constant(3.0)] * 3 + [constant(-1.0), points([0, 100e3], [1.0, 5.0], "line")]
    return Combination(calo, flow, rho, allowed, record or {})


# Et of calorimeter and particle flow [GeV], η, mode → combined Et [GeV], weight of the calorimeter.
# w = (s_f² − ρ s_c s_f) / (s_c² + s_f² − 2 ρ s_c s_f); all with s_c = 0.2 Et, s_f = 0.1 Et unless said otherwise
COMBINED = [
    (40, 40, 0.0, 0, 40, 16 / 80),
    (40, 44, 0.29, 0, 44 - 4 * 19.36 / 83.36, 19.36 / 83.36),
    (40, 44, -0.3, 0, 44 - 4 * (19.36 - 17.6) / (83.36 - 35.2), (19.36 - 17.6) / (83.36 - 35.2)),
    (40, 44, 0.8, 0, 44 - 4 * 19.36 / 83.36, 19.36 / 83.36),
    (40, 44, 1.3, 0, 44 - 4 * 19.36 / 83.36, 19.36 / 83.36),
    (40, 44, 1.6, 0, 44 - 4 * (19.36 + 17.6) / (83.36 + 35.2), (19.36 + 17.6) / (83.36 + 35.2)),
    (40, 44, 2.59, 0, 44 - 4 * (19.36 + 17.6) / (83.36 + 35.2), (19.36 + 17.6) / (83.36 + 35.2)),
    (40, 44, 2.6, 0, 40, 1),  # no calibration from 2.6 on
    (40, 44, 0.0, 5, 40, 1),
    (40, 44, 0.0, 6, 40, 1),
    (40, 44, 0.0, -1111, 40, 1),
    (10, 20, 0.0, 0, 10, 1),  # differ by 10 > 3 √(2² + 2²) = 8.49
    (10, 18, 0.0, 0, 18 - 8 * 3.24 / 7.24, 3.24 / 7.24),  # 8 < 3 √7.24 = 8.07
    (100, 20, 0.3, 0, 100, 1),  # 80 > 3 √(20² + 2² − 40) = 57.24
    (40, 40, 0.0, 1, 44 - 8 * 0.2, 0.2),  # 40 − 4 and 40 + 4
    (50, 50, 0.0, 1, 55 - 10 * 0.2, 0.2),  # the last point counts
    (50.1, 50.1, 0.0, 1, 50.1, 0.2),  # above it there is no bias
    (40, 40, 0.0, 2, 40, 0),  # no widths: weight 0
    (40, 41, 0.0, 2, 40, 1),  # and any difference is too much
    (40, 40, 0.0, 3, 40, 0.2),  # nSigma is at least 0
    (40, 40.5, 0.0, 3, 40, 1),
    (40, 60, 0.0, 4, 60 - 20 * 144 / 208, 144 / 208),  # s_f = 0.2 · 60 = 12; s_c = 8; allowed 2.6 √208 = 37.5
    (100, 200, 0.0, 4, 200 - 100 * 0.9, 0.9),  # s_f = 0.3 · 200, as at the last point; allowed 5 · 63.2
    (40, 60, 0.9, 4, 40, 1),  # 20 > 2.6 √(208 − 172.8) = 15.4
    (40, 50, 0.9, 4, 40, 1),  # s_f = 9: w = (81 − 64.8) / (145 − 129.6) = 1.05 is 1; 10 < 2.6 √15.4 = 10.2
]


def taus(**columns):
    return Events.from_arrays({f"TauJets.{k}": ak.Array([np.asarray(v)]) for k, v in columns.items()})


def run(tool, events):
    """Execute a tool; returns what it counted."""
    tool.prepare(CONTEXT)
    result = tool.start()
    tool.execute(events, result)
    return result


def check_local(path):
    pt, eta, tracks, npv, expected = np.array(LOCAL, float).T
    events = taus(
        ptIntermediateAxis=pt * 1000, etaIntermediateAxis=eta, phiIntermediateAxis=0 * eta,
        nTracks=tracks.astype(int), nVtxPU=npv.astype(int),
    )  # fmt: skip
    counted = run(TauCalibrateLC("lc", calibrationFile=str(path)), events)
    assert events["TauJets"].flat("ptTauEnergyScale") == pytest.approx(expected * 1000, rel=1e-6)
    assert events["TauJets"].flat("mTauEnergyScale").tolist() == [0.0] * len(pt)
    return counted


def check_combined(path, **properties):
    calo, flow, eta, mode, expected, weight = np.array(COMBINED, float).T
    events = taus(
        ptTauEnergyScale=calo * 1000, etaTauEnergyScale=eta, ptPanTauCellBased=flow * 1000, etaPanTauCellBased=eta,
        phiPanTauCellBased=0 * eta, mPanTauCellBased=0 * eta, PanTau_DecayMode=mode.astype(int),
    )  # fmt: skip
    tool = TauCombinedTES("c", WeightFileName=str(path), addCalibrationResultVariables=True, **properties)
    counted = run(tool, events)
    found = events["TauJets"]
    assert found.flat("ptCombined") == pytest.approx(expected * 1000, rel=1e-6)
    assert found.flat("weightCombined") == pytest.approx(weight, abs=1e-6)
    return counted


def test_local_calibration(tmp_path):
    write_local(tmp_path / "lc.json", local())
    counted = check_local(tmp_path / "lc.json")
    assert counted == {
        "taus": 24,
        "no pt of the IntermediateAxis: 0.001 MeV": 2,
        "pt outside the range of the response": 7,
    }


def test_combination(tmp_path):
    write_combination(tmp_path / "c.json", combination())
    counted = check_combined(tmp_path / "c.json")
    assert [value for key, value in counted.items() if "no decay mode" in key] == [4]


def test_decay_mode_is_told_or_found(tmp_path):
    write_combination(tmp_path / "c.json", combination())
    columns = {f"{n}{a}": [1.0] for n in ("pt", "eta", "phi", "m") for a in ("TauEnergyScale", "PanTauCellBased")}
    tool = TauCombinedTES("c", WeightFileName=str(tmp_path / "c.json"))
    with pytest.raises(ToolError, match="neither PanTau_DecayMode nor NNDecayMode"):
        run(tool, taus(**columns))
    columns |= {"ptTauEnergyScale": [40e3], "ptPanTauCellBased": [44e3]}
    events = taus(**columns, NNDecayMode=[0], PanTau_DecayMode=[5])
    run(tool, events)
    assert events["TauJets"].flat("ptCombined").tolist() == [40e3]
    run(TauCombinedTES("c", WeightFileName=str(tmp_path / "c.json"), DecayMode="NNDecayMode"), events)
    assert events["TauJets"].flat("ptCombined")[0] > 40e3


def test_calibrations_belong_together(tmp_path):
    write_local(tmp_path / "lc.json", local())
    write_combination(tmp_path / "c.json", combination({"upstream": {"TauJets.ptTauEnergyScale": "0" * 64}}))
    job = Job("job")
    job += TauCalibrateLC("lc", calibrationFile=str(tmp_path / "lc.json"))
    tool = TauCombinedTES("c", WeightFileName=str(tmp_path / "c.json"))
    job += tool
    with pytest.raises(JobOptionsError, match=r"derived with another TauJets\.ptTauEnergyScale than it is applied to"):
        tool.check(job)
    columns = {f"{n}{a}": [1.0] for n in ("pt", "eta", "phi", "m") for a in ("TauEnergyScale", "PanTauCellBased")}
    with pytest.raises(JobOptionsError, match="the input does not say what made it"):
        run(TauCombinedTES("c", WeightFileName=str(tmp_path / "c.json")), taus(**columns, NNDecayMode=[0]))
    tool.AllowOtherUpstream = True
    tool.check(job)
    run(tool, taus(**columns, NNDecayMode=[0]))


def simulated(number=60_000, seed=3):
    """Taus whose response, pile-up, resolutions and correlation are known: GeV."""
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.uniform(np.log(15), np.log(400), number))
    eta, prongs, npv = rng.uniform(-2.5, 2.5, number), rng.choice([1.0, 3.0], number), rng.integers(10, 50, number)
    response = 0.8 + 0.05 * np.log(truth / 20) - 0.1 * (prongs > 1)
    a, b = rng.standard_normal((2, number))
    pt = truth * response * (1 + 0.1 * a) + np.where(prongs > 1, 0.05, 0.1) * (npv - 30)
    flow = 0.95 * truth * (1 + 0.1 * (0.5 * a + np.sqrt(0.75) * b))
    flow = np.where(rng.uniform(size=number) < 0.03, flow * 0.5, flow)  # some miss a particle
    taus = {"truth": truth, "eta": eta, "prongs": prongs, "npv": npv.astype(float), "pt": pt, "flow": flow}
    return taus | {"mode": rng.integers(0, 5, number)}


def closure(values, truth, low, high):
    """Return median and relative core of values / truth, with their errors."""
    ratio = (values / truth)[(truth > low) & (truth < high)]
    low, middle, high = np.quantile(ratio, [0.1587, 0.5, 0.8413])
    return middle, (high - low) / 2 / middle, 1.25 * (high - low) / 2 / np.sqrt(len(ratio))


@pytest.fixture(scope="module")
def derived():
    """Both calibrations of simulated taus."""
    made = simulated()
    lc = derive_local(made, (0.0, 1.0, 2.5), 20.0, (20.0, 80.0), 200)
    calo, _ = lc.apply(made["pt"] * 1e3, made["eta"], made["prongs"], made["npv"])
    combined = derive_combination({**made, "calo": calo / 1e3}, 20.0, 200)
    return lc, combined


def test_what_is_derived_closes_on_other_taus(derived):
    """On taus that it was not derived from: no bias, no pile-up, and the resolution of the best linear estimate."""
    lc, combined = derived
    assert lc.slopes == pytest.approx(np.array([[0.1, 0.1], [0.05, 0.05]]), abs=0.02)
    assert lc.responses[0][0](40 * 0.8346) == pytest.approx(0.8346, abs=0.008)  # 0.8 + 0.05 ln 2
    other = simulated(seed=4)
    truth = other["truth"]
    calo = lc.apply(other["pt"] * 1e3, other["eta"], other["prongs"], other["npv"])[0] / 1e3
    for low, high in ((30, 60), (60, 120), (120, 350)):
        middle, core, error = closure(calo, truth, low, high)
        assert middle == pytest.approx(1.0, abs=4 * error)
    for low, high in ((10, 30), (30, 50)):
        few = (other["npv"] >= low) & (other["npv"] < high)
        middle, _, error = closure(calo[few], truth[few], 30, 80)
        assert middle == pytest.approx(1.0, abs=4 * error)
    made = combined.apply(calo * 1e3, other["flow"] * 1e3, other["eta"], other["mode"])
    assert combined.rho == pytest.approx(np.full((5, 5), 0.5), abs=0.12)  # clipped, and 3 % are elsewhere
    middle, both, error = closure(made.et / 1e3, truth, 60, 350)
    _, core, _ = closure(calo, truth, 60, 350)
    _, flow, _ = closure(other["flow"], truth, 60, 350)
    assert middle == pytest.approx(1.0, abs=0.01)  # weights that go with the fluctuations pull by σ² / 2
    assert both == pytest.approx(min(core, flow) * np.sqrt(0.75), rel=0.07)  # σ² (1 + ρ) / 2 of equal widths
    assert 0.02 < made.incompatible.mean() < 0.1


def test_what_cannot_be_derived():
    made = simulated(20_000)
    edges, slope = (0.0, 2.5), (20.0, 80.0)
    falling = made | {"pt": made["pt"] * (20 / made["truth"]) ** 1.2}
    with pytest.raises(ToolError, match=r"cannot be inverted between true pt of .* GeV"):
        derive_local(falling, edges, 20.0, slope, 200)
    with pytest.raises(ToolError, match=r"several prongs, 0 < \|η\| < 2.5: 0 taus with 20 < .* tell nothing"):
        derive_local(made | {"prongs": np.ones(20_000)}, edges, 20.0, slope, 200)
    with pytest.raises(ToolError, match="too few for two bins of 9000"):
        derive_local(made, edges, 20.0, slope, 9000)
    jumps = made | {"pt": made["pt"] * (1 + 0.4 * np.sin(40 * np.log(made["truth"])))}
    with pytest.raises(ToolError, match="no polynomial up to degree 7 describes"):
        derive_local(jumps, edges, 20.0, slope, 20)
    with pytest.raises(ToolError, match="mode 1pXn: 0 taus above 20 GeV are too few"):
        derive_combination({**made, "calo": made["pt"], "mode": made["mode"] * 2 % 5 // 3}, 20.0, 50)


def test_derived_and_applied_by_jobs(tmp_path, sample_cache):
    """DeriveLC, then DeriveCombined on top of it: the file names what it was derived with, and others are refused."""
    first, second = Job("lc"), Job("combined")
    for job in (first, second):
        job += TauSelection("TauSelection")
        job += TauTruthMatching("TauTruthMatching")
    few = {"MinEntries": 5}
    first += DeriveLC("DeriveLC", EtaEdges=(0.0, 2.5), **few)
    lc = hepflow.run(first, "Gammatautau", tmp_path / "1", events=600).results["DeriveLC"]
    second += NNDecayModeClassifier("NNDecayModeClassifier")
    second += TauCalibrateLC("TauCalibrateLC", calibrationFile=lc)
    second += DeriveCombined("DeriveCombined", **few)
    made = hepflow.run(second, "Gammatautau", tmp_path / "2", events=600).results["DeriveCombined"]
    record = json.loads(Path(made).read_text())["record"]
    upstream = record["upstream"]
    assert upstream["TauJets.ptTauEnergyScale"] == hashlib.sha256(Path(lc).read_bytes()).hexdigest()
    assert upstream["TauJets.NNDecayMode"] == second.find("NNDecayModeClassifier").record()["sha256"]
    assert record["samples"] == ["Gammatautau"]
    third = Job("apply")
    third += TauCombinedTES("c", WeightFileName=made)
    with pytest.raises(JobOptionsError, match="the input does not say what made it"):  # the sample's own column
        hepflow.run(third, "Gammatautau", tmp_path / "3", events=10)


def test_curves():
    line, edge = points([10, 20, 40], [1.0, 2.0, 1.0], "line"), points([10, 20, 40], [1.0, 2.0, 1.0])
    at = [0, 10, 15, 20, 30, 40, 50]
    assert line(at).tolist() == [0.0, 1.0, 1.5, 2.0, 1.5, 1.0, 0.5]
    assert edge(at).tolist() == [1.0, 1.0, 1.5, 2.0, 1.5, 1.0, 1.0]
    assert edge.beyond(at).tolist() == [True, *[False] * 5, True]
    made = from_tformula("[p0]+[p1]*TMath::Sq(x-1)+pow(x,(1+2))/[b]", {"p0": 1, "p1": -2.0, "b": 4}, (0, 9))
    assert made([3.0, 2.0]).tolist() == [1 - 2 * 4 + 27 / 4, 1 - 2 + 2]
    for text, message in (
        ("1/2*x", "divides whole numbers"), ("TMath::Gaus(x,0,1)", "cannot be calculated"), ("[p7]*x", "a value")
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            from_tformula(text, {}, (0, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hepflow": "tau energy scale: combined"}, "is no calibration of the tau energy scale: local"),
        ({"eta": [0.1, 0.8, 1.5, 2.5]}, "must begin at 0"),
        ({"slopes": {"1P": [1, 2, 3]}}, "lacks '3P'"),
        ({"responses": {"1P": [], "3P": []}}, "do not fit"),
    ],
)
def test_files_that_are_no_calibration(tmp_path, change, message):
    write_local(tmp_path / "lc.json", local())
    content = json.loads((tmp_path / "lc.json").read_text()) | change
    (tmp_path / "lc.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=re.escape(message)):
        read_local(str(tmp_path / "lc.json"))


def forest(path, names, record=None):
    """Write a file of MVAUtils with one tree: 1.25 where the first input is below 0.5, else 0.75."""
    from hepflow.networks.graph import Output
    from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, forest_input
    from hepflow.plugins.trees.mvautils import MvaUtilsWriter

    columns = ([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1], [True] * 3, [0, 1.25, 0.75])
    kinds = ("i8", "f8", "i8", "i8", "?", "f8")
    tree = Tree(*(np.array(c, k) for c, k in zip(columns, kinds, strict=True)))
    output = Output("o", 0, ("factor",))
    model = ForestModel("XGBoost", "", forest_input(names), output, Forest(len(names), (tree,)), record or {})
    MvaUtilsWriter.write(model, path)
    return str(path)


# ptCombined, ptIntermediateAxis [MeV], tracks → pt with the ratio axis / combined below 0.5 or not, and without tracks
FINAL = [
    (40e3, 10e3, 1, 50e3), (40e3, 20e3, 1, 30e3), (40e3, 19e3, 3, 50e3), (40e3, 40e3, 2, 30e3), (80e3, 1e3, 1, 100e3),
    (1e6, 1e6, 1, 750e3), (20e3, 9.99e3, 1, 25e3), (20e3, 10.01e3, 1, 15e3), (1.0, 1.0, 1, 1.0), (0.5, 0.1, 1, 1.0),
    (0.0, 10e3, 1, 1.0), (2.0, 2.0, 1, 1.5), (0.9, 0.1, 3, 1.125), (40e3, -1111, 1, 50e3), (100, 60, 5, 75),
    (-5.0, 1.0, 1, 1.0), (40e3, 10e3, 0, 30e3), (40e3, 30e3, 0, 30e3), (40e3, 1e3, 0, 30e3), (0.0, 1e3, 0, 1.0),
]  # fmt: skip


def test_regression(tmp_path):
    ratio = "TauJetsAuxDyn.ptIntermediateAxis/TauJetsAuxDyn.ptCombined"
    many = forest(tmp_path / "many.root", [ratio])
    none = forest(tmp_path / "none.root", ["TauJetsAuxDyn.PanTau_BDTValue_1p0n_vs_1p1n"])
    combined, axis, tracks, expected = np.array(FINAL, float).T
    bdt = np.full(len(axis), 3.0)
    events = taus(
        ptCombined=combined, ptIntermediateAxis=axis, nTracks=tracks.astype(int), etaPanTauCellBased=axis,
        phiPanTauCellBased=axis, PanTau_BDTValue_1p0n_vs_1p1n=bdt,
    )  # fmt: skip
    counted = run(MvaTESEvaluator("tes", WeightFileName=many, WeightFileName0p=none), events)
    assert events["TauJets"].flat("ptFinalCalib") == pytest.approx(expected, rel=1e-6)
    assert counted["taus"] == 20
    counted = run(MvaTESEvaluator("tes", WeightFileName=many), events)  # without the second: ptCombined
    assert events["TauJets"].flat("ptFinalCalib")[-4:].tolist() == [40e3, 40e3, 40e3, 1.0]
    assert counted["no track, and no regression for these (WeightFileName0p): ptCombined is kept"] == 4


def test_the_calibrations_that_ship(tmp_path, sample_cache):
    """They fit together and are applied by default; pt stays as it is unless it is asked for."""
    taus = {}
    for name, options in (("column", {}), ("pt", {"set-pt": None})):
        file = load_joboptions(find_joboptions("EnergyScale"), options)
        made = hepflow.run(file, "Gammatautau", tmp_path / name, events=300).outputs["output"]
        columns = ("TauJets.pt", "TauJets.ptFinalCalib", "TauJets.ptCombined")
        taus[name] = {key.rpartition(".")[2]: ak.flatten(v) for key, v in hepflow.open(made).arrays(*columns).items()}
    before = hepflow.open("Gammatautau", events=300).arrays("TauJets.pt", "TauJets.ptFinalCalib", "TauJets.ptCombined")
    before = {key.rpartition(".")[2]: ak.flatten(values) for key, values in before.items()}
    assert ak.all(taus["column"]["pt"] == before["pt"])
    assert ak.all(taus["column"]["ptFinalCalib"] == before["ptFinalCalib"])  # that of the sample is the same
    assert ak.mean(taus["column"]["ptCombined"] == before["ptCombined"]) < 0.5  # which keeps its own combination
    assert ak.all(taus["pt"]["pt"] == taus["column"]["ptFinalCalib"])
    factor = taus["column"]["ptFinalCalib"] / taus["column"]["ptCombined"]
    assert 0.3 < ak.min(factor) < 0.95
    assert 1.05 < ak.max(factor) < 3.0
    assert np.median(factor) == pytest.approx(1.0, abs=0.1)


def test_bdt_values_are_clipped(tmp_path):
    from hepflow.plugins.tau.energyscale.regression import _column

    name = "PanTau_BDTValue_1p0n_vs_1p1n"
    assert _column(f"TauJetsAuxDyn.{name}") == _column(name) == f"max(TauJets.{name}, -5.1)"
    tool = MvaTESEvaluator("tes", WeightFileName=forest(tmp_path / "m.root", [f"0.01*TauJetsAuxDyn.{name}+0.552"]))
    columns = {n: [40e3, 40e3] for n in ("ptCombined", "etaPanTauCellBased", "phiPanTauCellBased")}
    events = taus(**columns, nTracks=[1, 1], **{name: [-1111.0, -5.0]})
    run(tool, events)  # 0.552 − 0.051 is above 0.5, and so is 0.552 − 0.050
    assert events["TauJets"].flat("ptFinalCalib").tolist() == [30e3, 30e3]


def test_a_regression_has_one_answer(tmp_path):
    with pytest.raises(JobOptionsError, match="no WeightFileName"):
        MvaTESEvaluator("tes", WeightFileName="").reads()
    file = forest(tmp_path / "m.root", ["TauJets.pt"])
    with pytest.raises(NetworkError, match="which is no input"):
        MvaTESEvaluator("tes", WeightFileName=file, Variables={"x": "TauJets.pt"}).reads()


def write_root(path, ROOT):  # noqa: N803 - as everyone writes it
    """Write both calibrations as Athena has them."""
    lc, made = local(), combination()
    file = ROOT.TFile.Open(str(path), "RECREATE")
    kept = []

    def histogram(name, values, edges, underflow=0.0):
        one = ROOT.TH1F(name, "", len(edges) - 1, np.array(edges, float))
        for number, value in enumerate([underflow, *values]):
            one.SetBinContent(number, float(value))
        one.Write()
        kept.append(one)

    histogram("etaBinning", [], lc.eta)
    for row, (name, base) in enumerate((("1P", "OneP"), ("3P", "MultiP"))):
        histogram(f"slopeNPV{name}", lc.slopes[row], lc.eta, lc.average_npv)
        for number, curve in enumerate(lc.responses[row]):
            if curve.formula:
                one = ROOT.TF1(f"{base}_Eta_{number}", "[0]+x*[1]", *curve.x)
                one.SetParameters(0.9, 0.001)
            elif curve.outside == "edge" and len(set(curve.y)) > 1:
                text = "[0]+0.005*(TMath::Min(TMath::Max(x,10.),110.)-10.)"
                one = ROOT.TF1(f"{base}_Eta_{number}", text, *curve.x)
                one.SetParameter(0, 0.5)
            elif curve.outside == "zero":  # saved points of what is compiled
                ROOT.gInterpreter.ProcessLine("double hepflow_flat(double*, double*) { return 0.9; }")
                one = ROOT.TF1(f"{base}_Eta_{number}", ROOT.hepflow_flat, 20.0, 60.0, 0)
            else:
                one = ROOT.TF1(f"{base}_Eta_{number}", "pol0", *curve.x)
                one.SetParameter(0, curve.y[0])
            one.Write()
    for row, mode in enumerate(MODES):
        histogram(f"CorrelationCoeff_tauRec_{mode}", made.rho[row][1:], [0, 1, 2, 3, 4, 5], made.rho[row][0])
        low, high = made.compatibility[row].y[:2]
        one = ROOT.TF1(f"nSigmaCompatibility_{mode}", "[0]+[1]*x/100000.", 0, 1e5)
        one.SetParameters(low, high - low)
        one.Write()
    for folder, parts in (("tauRec", made.calo), ("ConstituentEt", made.flow)):
        file.mkdir(folder).cd()
        for row, mode in enumerate(MODES):
            for number, part in enumerate(parts[row]):
                for what, curve in zip(("MeanEt", "ResolutionEt"), part, strict=True):
                    graph = ROOT.TGraph(len(curve.x), curve.x, curve.y)
                    graph.Write(f"Graph_from_{what}_{folder}_{mode}_{number}")
    file.Close()


def test_athena_layout(tmp_path):
    root = pytest.importorskip("ROOT", reason="PyROOT (wheel `root`, alpha) is not installed")
    path = tmp_path / "athena.root"
    write_root(path, root)
    check_local(path)
    check_combined(path)
    shifted = read_combination(str(path), athena_rho_bin=False)
    assert shifted.rho[0].tolist() == [0.5, 0.0, 0.0, -0.5, 0.0]


def test_root_files_of_another_layout(tmp_path):
    import uproot

    path = str(tmp_path / "other.root")
    with uproot.recreate(path) as file:
        file["etaBinningX"] = np.histogram([1.0], [0.0, 1.0, 2.0])
    for read in (read_local, read_combination):
        with pytest.raises(InputError, match="another layout"):
            read(path)
