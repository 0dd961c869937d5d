"""The decay-mode classifier: the decision rule, its inputs against a naive calculation, both formats, and errors."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepflow import Context, Events, kfold
from hepflow.errors import NetworkError
from hepflow.networks import convert, load, write_lwtnn
from hepflow.networks.lwtnn import read_lwtnn
from hepflow.plugins.tau import NNDecayModeClassifier
from hepflow.plugins.tau.classifier import decide
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS

VECTORS = Path(__file__).parents[4] / "shared" / "lwtnn-vectors"
RAW = {"pt_log": ("pt", 1e-3), "jetpt_log": ("jetpt", 1e-3), "SECOND_R_log": ("SECOND_R", 1e-3)}
RAW |= {"CENTER_LAMBDA_log": ("CENTER_LAMBDA", 1e-3), "SECOND_ENG_DENS_log": ("SECOND_ENG_DENS", 1e-6)}
RAW |= {f"secondEtaWRTClusterPosition_EM{i}_log": (f"secondEtaWRTClusterPosition_EM{i}", 1e-6) for i in (1, 2)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The DeepSet that lwtnn's converter wrote, its inputs called as the decay-mode network calls them."""
    source = VECTORS / "dsnn.lwtnn.json"
    if not source.exists():
        pytest.skip(f"{source} is not there: the networks written by lwtnn's converter")
    content = json.loads(source.read_text(encoding="utf-8"))
    for sequence in content["input_sequences"]:
        for variable, declared in zip(sequence["variables"], DECAY_MODE_VARIABLES[sequence["name"]], strict=True):
            variable["name"] = declared.name
    path = tmp_path_factory.mktemp("weights") / "decaymode.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _run(columns, weights, **properties):
    tool = NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=str(weights), **properties)
    tool.freeze()
    tool.prepare(Context(Path(), "test"))
    made = Events.from_arrays(columns)
    tool.execute(made, None)
    return made["TauJets"]


@pytest.mark.parametrize(
    ("tracks", "consistent", "expected"),
    [(1, True, 1), (3, True, 3), (2, True, 4), (0, True, 4), (1, False, 4), (3, False, 4)],
)
def test_the_number_of_tracks_restricts_the_decision(tracks, consistent, expected):
    probabilities = np.array([[0.1, 0.2, 0.15, 0.25, 0.25]])
    probabilities[0, 4] = 0.3 if expected == 4 else 0.2
    assert decide(probabilities, np.array([tracks]), ensure_track_consistency=consistent).tolist() == [expected]


def test_of_equal_probabilities_the_first_wins():
    equal = np.full((3, 5), 0.2)
    assert decide(equal, np.array([1, 3, 2]), ensure_track_consistency=True).tolist() == [0, 3, 0]


def _wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _objects(event, tau):
    """The objects of each sequence as the reference defines them: selected, sorted, cut."""
    tracks = [event["TauTracks"][i] for i in tau["tauTrackLinks"] if i is not None]
    neutral = [event["TauNeutralParticleFlowObjects"][i] for i in tau["neutralPFOLinks"]]
    shots = [event["TauShotParticleFlowObjects"][i] for i in tau["shotPFOLinks"]]
    chosen = {
        "TauTrack": [t for t in tracks if t["flagSet"] & 32],
        "NeutralPFO": [n for n in neutral if n["pt"] >= 1500],
        "ShotPFO": [s for s in shots if s["tauShots_nPhotons"] >= 1],
        "ConvTrack": [t for t in tracks if t["flagSet"] & 128],
    }
    return {
        name: sorted(objects, key=lambda o: -o["pt"])[: SEQUENCE_CAPS[name]] for name, objects in chosen.items()
    }, tracks


def _case(event, tau):
    """One tau as lwtnn takes it: sequence → variable → list."""
    objects, tracks = _objects(event, tau)
    first = next((t for t in tracks if t["flagSet"] & 32), None)
    case = {}
    for name, chosen in objects.items():
        case[name] = {variable.name: [] for variable in DECAY_MODE_VARIABLES[name]}
        for one in chosen:
            values = {
                "dphi": _wrapped(tau["phiIntermediateAxis"] - one["phi"]),
                "deta": one["eta"] - tau["etaIntermediateAxis"],
                "dphiECal": _wrapped(one["phi"] - first["CaloSamplingPhiEM"]) if first else 0.0,
                "detaECal": one["eta"] - first["CaloSamplingEtaEM"] if first else 0.0,
                "pt": one["pt"],
                "jetpt": tau["ptIntermediateAxis"],
            }
            attributes = {key.removeprefix("cellBased_"): value for key, value in one.items()}
            values = attributes | values
            for variable in case[name]:
                raw, floor = RAW.get(variable, (variable, None))
                value = values[raw]
                case[name][variable].append(value if floor is None else math.log10(max(value, floor)))
    return case


def test_the_inputs_are_those_of_the_reference(weights, make_arrays):
    """All taus of a chunk against one tau at a time, with inputs written down from the definitions."""
    events, columns = make_arrays(40)
    taus = _run(columns, weights)
    network = load(weights)
    found = np.stack([taus.flat(f"NNDecayModeProb_{mode[2:]}") for mode in CLASSES], axis=1)
    expected, decided = [], []
    for event in events:
        for tau in event["TauJets"]:
            case = _case(event, tau)
            inputs = {
                name: (
                    np.array(list(values.values()), dtype=float).T.reshape(-1, len(values)),
                    np.array([len(values["dphi"])]),
                )
                for name, values in case.items()
            }
            expected.append(network.evaluate(inputs, dtype=np.float64)["classes"][0])
            allowed = {1: range(3), 3: range(3, 5)}.get(tau["nTracks"], range(5))
            decided.append(max(allowed, key=lambda mode: expected[-1][mode]))
    assert len(expected) > 30
    np.testing.assert_allclose(found, expected, atol=2e-5)
    margins = np.sort(np.array(expected), axis=1)
    clear = margins[:, -1] - margins[:, -2] > 1e-4
    assert (taus.flat("NNDecayMode")[clear] == np.array(decided)[clear]).all()
    assert taus.flat("NNDecayMode").dtype == np.int32
    assert found.dtype == np.float32


def test_onnx_and_lwtnn_give_the_same(weights, tmp_path, make_arrays):
    pytest.importorskip("onnx")
    convert([str(weights)], str(tmp_path / "decaymode.onnx"))
    columns = make_arrays(20)[1]
    lwtnn, onnx = _run(columns, weights), _run(columns, tmp_path / "decaymode.onnx")
    for mode in CLASSES:
        name = f"NNDecayModeProb_{mode[2:]}"
        np.testing.assert_allclose(lwtnn.flat(name), onnx.flat(name), atol=1e-5)


@pytest.fixture(scope="module")
def fold_weights(weights, tmp_path_factory):
    """Three networks that differ, as a k-fold training of three folds leaves them."""
    folder = tmp_path_factory.mktemp("folds")
    paths = []
    for number, folds in enumerate(kfold(3)):
        content = json.loads(weights.read_text(encoding="utf-8"))
        content["layers"][-1]["bias"][number] += 1.0
        paths.append(folder / str(number) / "net.json")
        paths[-1].parent.mkdir()
        write_lwtnn(replace(read_lwtnn(content), record={"folds": folds.record()}), paths[-1])
    return folder / "*" / "net.json"


def test_every_tau_gets_the_network_that_was_tested_on_its_fold(fold_weights, make_arrays):
    """All taus by each network alone, then each tau's own picked by its event number."""
    columns = make_arrays(40)[1]
    alone = [_run(columns, fold_weights.parents[1] / number / "net.json") for number in "012"]
    together = _run(columns, fold_weights)
    number = columns["EventInfo.mcEventNumber"]
    fold = np.repeat(np.asarray(number), together.counts) % 3
    assert set(fold) == {0, 1, 2}
    for name in ("NNDecayMode", *(f"NNDecayModeProb_{mode[2:]}" for mode in CLASSES)):
        expected = np.choose(fold.astype(int), [taus.flat(name) for taus in alone])
        np.testing.assert_allclose(together.flat(name), expected, atol=1e-5)
        assert (together.flat(name) != alone[0].flat(name)).any(), "the networks differ"


def test_the_output_says_that_no_network_has_seen_its_taus(fold_weights):
    record = NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=str(fold_weights)).record()
    assert record["kfold"] == {"rule": "TauJets.mcEventNumber % 3", "column": "TauJets.mcEventNumber", "number": 3}
    assert record["WeightFile"] == "0/net.json, 1/net.json, 2/net.json"
    assert [one["record"]["folds"]["test"] for one in record["networks"]] == [[0], [1], [2]]
    assert len({one["sha256"] for one in record["networks"]}) == 3
    assert record["OutputName"] == "NNDecayMode"


def test_fold_networks_that_cannot_be_applied(fold_weights):
    message = "made of TauJets.mcEventNumber, not of EventInfo.eventNumber"
    with pytest.raises(NetworkError, match=message):
        NNDecayModeClassifier("n", WeightFile=str(fold_weights), EventNumber="EventInfo.eventNumber").reads()
    with pytest.raises(NetworkError, match="fold 2 is the test fold of no"):
        NNDecayModeClassifier("n", WeightFile=str(fold_weights).replace("*", "[01]")).reads()
    with pytest.raises(NetworkError, match="no file matches"):
        NNDecayModeClassifier("n", WeightFile=str(fold_weights).replace("*", "[7]")).reads()


def test_the_event_number_is_read_where_it_is_needed(fold_weights, weights):
    needed = NNDecayModeClassifier("n", WeightFile=str(fold_weights)).reads()
    assert "EventInfo.mcEventNumber" in needed
    assert "EventInfo.mcEventNumber" not in NNDecayModeClassifier("n", WeightFile=str(weights)).reads()


def test_events_without_taus_are_ordinary(weights, make_arrays):
    events = Events.from_arrays({name: values[:0] for name, values in make_arrays(3)[1].items()})
    tool = NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=str(weights), DecorateProb=False)
    tool.prepare(Context(Path(), "test"))
    tool.execute(events, None)
    assert ak.to_list(events["TauJets"]["NNDecayMode"]) == []
    assert "NNDecayModeProb_1p0n" not in events["TauJets"]


def test_without_a_weight_file_it_says_so():
    with pytest.raises(NetworkError, match="has no WeightFile"):
        NNDecayModeClassifier("NNDecayModeClassifier", WeightFile="").reads()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["input_sequences"][0].update(name="Tracks"), "wants a sequence 'Tracks'"),
        (lambda c: c["input_sequences"][0]["variables"][4].update(name="pt_lgo"), "wants 'pt_lgo' of TauTrack"),
        (
            lambda c: c["outputs"]["classes"].update(labels=["a", "b", "c", "d", "e"]),
            "labels of the network's output are a, b",
        ),
    ],
)
def test_a_network_of_another_kind_is_refused_before_any_event(weights, tmp_path, change, message):
    content = json.loads(weights.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(NetworkError, match=message):
        NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=str(path)).reads()


def test_the_output_says_which_network_decorated(weights):
    record = NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=str(weights)).record()
    assert record["WeightFile"] == "decaymode.json"
    assert len(record["sha256"]) == 64
