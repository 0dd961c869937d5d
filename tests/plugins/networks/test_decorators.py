"""Any network on any container: lwtnn with scalars and sequences, a foreign ONNX model, and errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepflow import Context, Events, kfold
from hepflow.context import Sample
from hepflow.errors import ColumnError, NetworkError
from hepflow.events.links import container_id
from hepflow.networks import load, write_lwtnn
from hepflow.plugins.networks import LwtnnDecorator, ModelDecorator, OnnxDecorator
from hepflow.plugins.performance import UnseenEvents
from hepflow.variables import Variable

VECTORS = Path(__file__).parents[4] / "shared" / "lwtnn-vectors"
HH = ("mHH", "mMMC", "mBB", "dRTauTau", "dRBB")


def _execute(tool, events):
    tool.freeze()
    assert tool.reads()
    tool.prepare(Context(Path(), "test"))
    tool.execute(events, None)
    return events[tool.Container]


def _dense(path, layers, inputs):
    content = {
        "inputs": [{"name": "event", "variables": [{"name": n, "offset": 0.5, "scale": 2.0} for n in inputs]}],
        "input_sequences": [],
        "nodes": [{"type": "input", "sources": [0], "size": len(inputs)}]
        + [{"type": "feed_forward", "sources": [i], "layer_index": i} for i in range(len(layers))],
        "layers": [
            {"architecture": "dense", "weights": w.T.ravel().tolist(), "bias": b.tolist(), "activation": a}
            for w, b, a in layers
        ],
        "outputs": {"out": {"node_index": len(layers), "labels": ["signal", "background"]}},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def hh_events():
    rng = np.random.default_rng(3)
    return Events.from_arrays({f"EventInfo.{name}": rng.normal(size=50).astype(np.float32) for name in HH})


@pytest.fixture
def hh_weights():
    rng = np.random.default_rng(4)
    return [rng.normal(size=(5, 8)), rng.normal(size=8), rng.normal(size=(8, 2)), rng.normal(size=2)]


def _log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def _hh_onnx(path, weights):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    named = [
        numpy_helper.from_array(w.astype(np.float32), n) for n, w in zip(("w1", "b1", "w2", "b2"), weights, strict=True)
    ]
    nodes = [
        helper.make_node("Gemm", ["hh_input", "w1", "b1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w2", "b2"], ["c"]),
        helper.make_node("LogSoftmax", ["c"], ["hh_output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "hh",
        [helper.make_tensor_value_info("hh_input", TensorProto.FLOAT, ["batch", 5])],
        [helper.make_tensor_value_info("hh_output", TensorProto.FLOAT, ["batch", 2])],
        named,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_foreign_onnx_model_on_events(hh_events, hh_weights, tmp_path):
    """The HH → bbττ network: five variables, two log-softmax outputs, exponentiated."""
    path = _hh_onnx(tmp_path / "hh.onnx", hh_weights)
    tool = OnnxDecorator(
        "hh",
        WeightFile=str(path),
        Container="EventInfo",
        Inputs={"hh_input": HH},
        Labels={"hh_output": ["signal", "background"]},
        OutputPrefix="hh_",
        Exponentiate=True,
    )
    info = _execute(tool, hh_events)
    w1, b1, w2, b2 = hh_weights
    x = np.stack([info[name] for name in HH], axis=1).astype(float)
    expected = np.exp(_log_softmax(np.maximum(x @ w1 + b1, 0) @ w2 + b2))
    np.testing.assert_allclose(np.stack([info["hh_signal"], info["hh_background"]], axis=1), expected, atol=1e-5)


def test_an_lwtnn_model_with_renamed_and_transformed_variables(hh_weights, tmp_path):
    w1, b1, w2, b2 = hh_weights
    path = _dense(tmp_path / "net.json", [(w1, b1, "rectified"), (w2, b2, "linear")], ["pt_log", *"abcd"])
    columns = {f"TauJets.{name}": ak.Array([[1.0, 20.0], [], [300.0]]) for name in ("pt", "aa", "b", "c", "d")}
    events = Events.from_arrays(columns)
    tool = LwtnnDecorator(
        "net", WeightFile=str(path), Variables={"pt_log": Variable("pt_log", "pt", "log10", 10.0), "a": "aa"}
    )
    taus = _execute(tool, events)
    raw = np.array([1.0, 20.0, 300.0])
    x = (np.stack([np.log10(np.maximum(raw, 10.0)), raw, raw, raw, raw], axis=1) + 0.5) * 2.0
    expected = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(taus.flat("signal"), expected[:, 0], rtol=1e-5)
    assert ak.num(taus["signal"]).tolist() == [2, 0, 1]


def test_scalars_and_sequences_of_a_real_network(tmp_path):
    """The tau-ID network of the vectors: its own cases, written as taus with linked objects, give its own outputs."""
    if not (VECTORS / "tauid.cases.json").exists():
        pytest.skip(f"{VECTORS} is not there: networks and outputs of C++ lwtnn")
    cases = json.loads((VECTORS / "tauid.cases.json").read_text(encoding="utf-8"))["cases"]
    network = load(VECTORS / "tauid.lwtnn.json")
    columns, sequences = {}, {}
    for node in network.inputs:
        for name in node.names:
            columns[f"TauJets.{node.name}_{name}"] = ak.Array(
                [[case["in"]["inputs"][node.name][name]] for case in cases]
            )
    for node in network.input_sequences:
        for name in node.names:
            values = [case["in"]["input_sequences"][node.name][name] for case in cases]
            columns[f"{node.name}.{name}"] = ak.values_astype(ak.Array(values), np.float64)
        index = ak.local_index(columns[f"{node.name}.{node.names[0]}"], axis=1)
        links = ak.zip({"container": ak.full_like(index, container_id(node.name)), "index": index})
        columns[f"TauJets.{node.name}Links"] = ak.unflatten(links, np.ones(len(cases), dtype=int), axis=0)
        sequences[node.name] = f"{node.name}Links->{node.name}"
    variables = {f"{node.name}.{name}": f"{node.name}_{name}" for node in network.inputs for name in node.names}
    tool = LwtnnDecorator(
        "tauid",
        WeightFile=str(VECTORS / "tauid.lwtnn.json"),
        Variables=variables,
        Sequences=sequences,
        OutputPrefix="out_",
    )
    taus = _execute(tool, Events.from_arrays(columns))
    labels = [label for output in network.outputs for label in output.labels]
    for output in network.outputs:
        for label in output.labels:
            name = label if labels.count(label) == 1 else f"{output.name}_{label}"
            expected = [case["out"][output.name][label] for case in cases]
            np.testing.assert_allclose(taus.flat(f"out_{name}"), expected, atol=1e-5)


def _objects(*links):
    """Return events with taus, linked by number to tracks (pt 1, 2, … times 10 for z)."""
    pt = ak.Array([[1.0, 2.0, 3.0], [4.0]])
    index = ak.Array(links)
    made = ak.zip({"container": ak.full_like(index, container_id("TauTracks")), "index": index})
    columns = {"TauJets.pt": ak.Array([[1.0] * len(event) for event in links]), "TauJets.tauTrackLinks": made}
    return Events.from_arrays(columns | {"TauTracks.pt": pt, "TauTracks.z": 10 * pt})


def test_a_scalar_input_and_a_sequence_of_one_name_and_an_input_that_nothing_reads(tmp_path):
    one = {"offset": 0, "scale": 1}
    content = {
        "inputs": [
            {"name": "node_0", "variables": [{"name": "pt", **one}]},
            {"name": "unused", "variables": [{"name": "no_column", **one}]},
        ],
        "input_sequences": [{"name": "node_0", "variables": [{"name": "z", **one}]}],
        "nodes": [
            {"type": "input", "sources": [0], "size": 1},
            {"type": "input_sequence", "sources": [0], "size": 1},
            {"type": "sum", "sources": [1]},
            {"type": "add", "sources": [0, 2]},
        ],
        "layers": [],
        "outputs": {"out": {"labels": ["y"], "node_index": 3}},
    }
    (tmp_path / "net.json").write_text(json.dumps(content), encoding="utf-8")
    tool = LwtnnDecorator(
        "shared", WeightFile=str(tmp_path / "net.json"), Sequences={"node_0": "tauTrackLinks->TauTracks"}
    )
    taus = _execute(tool, _objects([[0, 2], [1]], [[0]]))
    assert list(tool.reads()) == ["TauJets.pt", "TauJets.tauTrackLinks", "TauTracks.z"]
    np.testing.assert_array_equal(taus.flat("y"), [1 + 10 + 30, 1 + 20, 1 + 40])


def _tracks_onnx(path, *shape):
    """Write a model of tracks (N, …, 2): their sum, and twice of each."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]
    outputs = {"sum": ["N", 2], "twice": ["N", *shape, 2]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape, 2])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in outputs.items()],
        [numpy_helper.from_array(np.array([1]), "axis")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return {
        "WeightFile": str(path),
        "InputSequences": {"x": ["pt", "z"]},
        "Sequences": {"x": "tauTrackLinks->TauTracks"},
        "Labels": {"sum": ["a", "b"], "twice": ["pt2", "z2"]},
    }


@pytest.mark.parametrize("length", ["n", 2])
def test_values_of_objects_decorate_these(tmp_path, length):
    """Of a model of fixed length the first objects are taken; those that no tau has, or the model did not get, are
    missing.
    """
    given = _tracks_onnx(tmp_path / "n.onnx", length) | {"Axes": {"x": ("batch", "objects", "variables")}}
    tool = OnnxDecorator("net", **given, SortBy={"x": "pt"})
    events = _objects([[0, 1], [2]], [[]])
    taus = _execute(tool, events)
    assert tool.writes() == ["TauJets.a", "TauJets.b", "TauTracks.pt2", "TauTracks.z2"]
    assert taus["a"].tolist() == [[3.0, 3.0], [0.0]]
    assert ak.fill_none(ak.nan_to_none(events["TauTracks"]["z2"]), -1).tolist() == [[20.0, 40.0, 60.0], [-1]]
    cut = OnnxDecorator("net", **given, SortBy={"x": "pt"}, MaxObjects={"x": 1})
    events = _objects([[0, 1], [2]], [[]])
    assert _execute(cut, events)["a"].tolist() == [[2.0, 3.0], [0.0]]
    assert ak.fill_none(ak.nan_to_none(events["TauTracks"]["pt2"]), -1).tolist() == [[-1, 4.0, 6.0], [-1]]


def test_an_object_of_two_taus_cannot_get_two_values(tmp_path):
    tool = OnnxDecorator("net", **_tracks_onnx(tmp_path / "n.onnx", "n"))
    events = _objects([[0, 1], [1]], [[0]])
    assert _execute(tool, events)["a"].tolist() == [[3.0, 2.0], [4.0]]  # both taus give the track the same value
    linked = events["TauJets"].follow("tauTrackLinks", "TauTracks")
    with pytest.raises(ColumnError, match="two values"):
        linked["shared"] = [1.0, 2.0, 3.0, 4.0]


def test_a_sequence_of_fixed_length_is_checked_in_the_plan(tmp_path):
    given = _tracks_onnx(tmp_path / "n.onnx", 3)
    with pytest.raises(NetworkError, match="keeps 4 objects of 'x', the model takes 3"):
        OnnxDecorator("net", **given, MaxObjects={"x": 4}).reads()
    given = _tracks_onnx(tmp_path / "n.onnx", 2)
    with pytest.raises(NetworkError, match="two axes of 2"):
        OnnxDecorator("net", **given).reads()
    OnnxDecorator("net", **given, Axes={"x": ("batch", "objects", "variables")}).reads()


def test_tensors_of_the_same_objects_come_from_the_same(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    info, floats = helper.make_tensor_value_info, TensorProto.FLOAT
    nodes = [helper.make_node("Concat", ["p", "f"], ["y"], axis=2)]
    inputs = [info("p", floats, ["N", "n", 1]), info("f", floats, ["N", "n", 1])]
    graph = helper.make_graph(nodes, "g", inputs, [info("y", floats, ["N", "n", 2])])
    path = tmp_path / "n.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    given = {"InputSequences": {"p": ["pt"], "f": ["z"]}, "Labels": {"y": ["one", "two"]}}
    source = "tauTrackLinks->TauTracks"
    tool = OnnxDecorator("net", WeightFile=str(path), **given, Sequences={"p": source, "f": source})
    events = _objects([[0, 1], [2]], [[]])
    _execute(tool, events)
    assert events["TauTracks"]["two"].tolist()[0] == [10.0, 20.0, 30.0]
    with pytest.raises(NetworkError, match="'p' and 'f' are of the same objects"):
        OnnxDecorator(
            "net", WeightFile=str(path), **given, Sequences={"p": source, "f": source}, MaxObjects={"p": 1}
        ).reads()


def test_the_network_of_onnx_cpp_minimal():
    """A model of a batch of one, its weights among the inputs, with reference rows of its own."""
    folder = VECTORS.parent / "hh"
    if not (folder / "onnx_cpp_minimal_model.onnx").exists():
        pytest.skip(f"{folder} is not there: a network of peppapiggyme/onnx_cpp_minimal")
    reference = json.loads((folder / "onnx_cpp_minimal.reference.json").read_text(encoding="utf-8"))
    rows = np.array(reference["rows"])
    events = Events.from_arrays({f"EventInfo.{name}": rows[:, k] for k, name in enumerate(HH)})
    tool = OnnxDecorator(
        "hh",
        WeightFile=str(folder / "onnx_cpp_minimal_model.onnx"),
        Container="EventInfo",
        Inputs={"input": HH},
        Labels={"output": ["background", "signal"]},
    )
    info = _execute(tool, events)
    found = np.stack([info["background"], info["signal"]], axis=1)
    np.testing.assert_allclose(found, reference["log_softmax"], atol=2e-6)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({}, "does not say where the sequence"),
        ({"Sequences": {"trakcs": "l->T"}}, "Sequences names 'trakcs'"),
        ({"Variables": {"nothing": "x"}}, "Variables names 'nothing'"),
    ],
)
def test_inputs_that_do_not_fit_are_named(properties, message):
    if not (VECTORS / "tauid.lwtnn.json").exists():
        pytest.skip(f"{VECTORS} is not there: networks and outputs of C++ lwtnn")
    with pytest.raises(NetworkError, match=message):
        LwtnnDecorator("net", WeightFile=str(VECTORS / "tauid.lwtnn.json"), **properties).reads()


def test_the_kinds_of_files_are_not_mixed_up(hh_weights, tmp_path):
    w1, b1, w2, b2 = hh_weights
    lwtnn = _dense(tmp_path / "net.json", [(w1, b1, "rectified"), (w2, b2, "linear")], list("abcde"))
    with pytest.raises(NetworkError, match="lwtnn JSON, not ONNX"):
        OnnxDecorator("net", WeightFile=str(lwtnn)).reads()
    onnx = _hh_onnx(tmp_path / "hh.onnx", hh_weights)
    with pytest.raises(NetworkError, match="ONNX, not lwtnn JSON"):
        LwtnnDecorator("net", WeightFile=str(onnx)).reads()
    with pytest.raises(NetworkError, match="hh_inputs"):
        OnnxDecorator("net", WeightFile=str(onnx), Inputs={"hh_inputs": HH}).reads()
    with pytest.raises(NetworkError, match="5 variables, 2"):
        OnnxDecorator("net", WeightFile=str(onnx), Inputs={"hh_input": HH[:2]}).reads()


TMVA = VECTORS.parent / "tmva"


def test_trees_of_tmva_with_the_expressions_of_their_file():
    """Inputs are what the weight file says: abs(eta), min(mEflow, 4000); the answers are those of TMVA."""
    if not TMVA.is_dir():
        pytest.skip(f"{TMVA} is not there: weight files and answers of TMVA")
    reference = json.loads((TMVA / "cls_BDTG.reference.json").read_text())
    rows, wanted = np.array(reference["rows"]), np.ravel(reference["outputs"])
    possible = (rows[:, 1] >= 0) & (rows[:, 4] <= 4000)
    rows, wanted = rows[possible], wanted[possible]
    names = ("pt", "eta", "centFrac", "innerTrkAvgDist", "mEflow", "nTracks")
    columns = {f"TauJets.{name}": ak.unflatten(rows[:, k], [40, 0, len(rows) - 40]) for k, name in enumerate(names)}
    columns["TauJets.eta"] = -columns["TauJets.eta"]
    tool = ModelDecorator("bdt", WeightFile=str(TMVA / "cls_BDTG.weights.xml"), OutputPrefix="BDT_")
    taus = _execute(tool, Events.from_arrays(columns))
    np.testing.assert_allclose(taus.flat("BDT_score"), wanted, atol=2e-6)
    assert sorted(tool.reads()) == sorted(columns)
    assert tool.record()["decorations"] == ["TauJets.BDT_score"]
    replaced = ModelDecorator("b", WeightFile=tool.WeightFile, Variables={"abseta": "EventInfo.x", "pt": "pt / 2"})
    assert {"EventInfo.x", "TauJets.pt"} <= set(replaced.reads())
    wrong = ModelDecorator("b", WeightFile=tool.WeightFile, Variables={"pt": "pt ^ 2"})
    with pytest.raises(NetworkError, match="hepflow cannot calculate"):
        wrong.reads()


def test_each_event_gets_the_model_that_has_not_seen_it(hh_weights, tmp_path):
    """Three networks of two formats as a k-fold set, on events; recipes are those of the files."""
    w1, b1, w2, b2 = hh_weights
    for number, folds in enumerate(kfold(3, "event.number")):
        made = load(
            _dense(tmp_path / "n.json", [(w1, b1, "rectified"), (w2, b2 + number, "linear")], [*"abcd", "x_log"])
        )
        recipe = {"name": "x_log", "column": "x", "transform": "log10", "floor": 1.0}
        record = {"folds": folds.record(), "variables": {"event": [recipe]}}
        (tmp_path / str(number)).mkdir()
        write_lwtnn(replace(made, record=record), tmp_path / str(number) / "net.json")
    rng = np.random.default_rng(5)
    columns = {f"event.{name}": rng.normal(size=30) for name in "abcdx"} | {"event.number": np.arange(30)}
    tool = ModelDecorator(
        "nn", WeightFile=str(tmp_path / "[0-9]" / "net.json"), Container="event", EventNumber="event.number"
    )
    found = _execute(tool, Events.from_arrays(columns))
    x = np.stack([*(columns[f"event.{name}"] for name in "abcd"), np.log10(np.maximum(columns["event.x"], 1))], axis=1)
    wanted = np.maximum((x + 0.5) * 2 @ w1 + b1, 0) @ w2 + b2 + (np.arange(30) % 3)[:, None]
    np.testing.assert_allclose(found["signal"], wanted[:, 0], rtol=1e-4, atol=1e-4)
    record = tool.record()
    assert record["kfold"]["number"] == 3
    sample = Sample("s", records={"nn": record})
    seen = Events.from_arrays(columns, sample=sample)
    unseen = UnseenEvents("u", Classifiers=["signal"], EventNumber="event.number")
    unseen.execute(seen, result := unseen.start())
    assert result == {"all events are unseen": 30}
