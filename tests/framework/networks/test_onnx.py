"""ONNX: what hepflow writes, and models hepflow has never seen."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from hepflow.errors import NetworkError  # noqa: E402
from hepflow.networks import (  # noqa: E402
    OnnxNetwork,
    convert,
    evaluate_cases,
    largest_difference,
    load,
    read_lwtnn,
    write_onnx,
)


@pytest.mark.parametrize("seed", range(25))
def test_random_graphs(make_network: Any, make_cases: Any, tmp_path: Path, seed: int) -> None:
    data = make_network(seed)
    data["inputs"][0]["variables"][1]["default"] = 0.3
    network = read_lwtnn(data)
    cases = make_cases(data, 20, seed)
    cases[3]["in"]["inputs"]["scalar"]["v1"] = None
    write_onnx(network, tmp_path / "n.onnx")
    for case, out in zip(cases, evaluate_cases(network, cases, float64=True), strict=True):
        case["out"] = out
    size = max(1.0, *(abs(v) for case in cases for labels in case["out"].values() for v in labels.values()))
    opened = load(tmp_path / "n.onnx")
    assert largest_difference(evaluate_cases(opened, cases), cases)[0] < 1e-4 * size
    assert evaluate_cases(opened, []) == []


def test_embedding(tmp_path: Path) -> None:
    table = {"index": 0, "n_out": 2, "weights": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
    data = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": [{"name": n, "offset": 0, "scale": 1} for n in "ab"]}],
        "layers": [{"architecture": "embedding", "sublayers": [table]}],
        "nodes": [
            {"type": "input_sequence", "sources": [0], "size": 2},
            {"type": "sequence", "sources": [0], "layer_index": 0},
        ],
        "outputs": {"y": {"node_index": 1, "labels": ["p", "q", "r"]}},
    }
    write_onnx(read_lwtnn(data), tmp_path / "n.onnx")
    found = load(tmp_path / "n.onnx").evaluate({"s": (np.array([[2.0, 7.0], [1.0, 8.0]]), [2, 0])})["y"]
    np.testing.assert_array_equal(found, [[1, 4, 8], [0, 0, 0]])


def test_what_an_exported_model_says_of_itself(make_network: Any, tmp_path: Path) -> None:
    data = make_network(2) | {"hepflow": {"folds": {"train": [0, 1]}, "units": {"v0": "MeV"}}}
    (tmp_path / "n.json").write_text(json.dumps(data))
    convert([tmp_path / "n.json"], tmp_path / "n.onnx")
    model = onnx.load(tmp_path / "n.onnx")
    assert model.opset_import[0].version >= 13
    names = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    sizes = [len(group["variables"]) for group in data["input_sequences"]]
    assert names == {
        "scalar": ["batch", 3],
        "seq0": ["batch", "seq0_objects", sizes[0]],
        "seq0_counts": ["batch"],
        "seq1": ["batch", "seq1_objects", sizes[1]],
        "seq1_counts": ["batch"],
    }
    assert [value.name for value in model.graph.output] == ["a", "b", "c"]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["variables"])["scalar"] == ["v0", "v1", "v2"]
    assert json.loads(facts["labels"])["a"] == data["outputs"]["a"]["labels"]
    assert json.loads(facts["folds"]) == {"train": [0, 1]}
    assert json.loads(facts["units"]) == {"v0": "MeV"}
    assert facts["origin"] == "lwtnn graph JSON"
    assert "hepflow" in json.loads(facts["versions"])
    opened = load(tmp_path / "n.onnx")
    assert opened.record["folds"] == {"train": [0, 1]}
    assert opened.inputs == read_lwtnn(data).inputs
    found = load(tmp_path / "n.onnx")
    assert found.format == "ONNX"
    assert found.graph[0] == "in  scalar [batch, 3] float"


def _foreign(path: Path, axes: int = 2, **options: Any) -> OnnxNetwork:
    """Write a model as other programs would: y = log-softmax of a linear map, or sums over objects; open it."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(5, 2) / 10, "w")
    if axes == 2:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("LogSoftmax", ["z"], ["y"], axis=-1)]
        inputs = [helper.make_tensor_value_info("x", kind, ["n", 5])]
    else:
        shape = ["n", "objects", 5] if axes == 3 else ["objects", 5]
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("ReduceMean", ["z"], ["y"], axes=[axes - 2 if axes == 3 else 0], keepdims=int(axes == 1)),
        ]
        inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", kind, ["n" if axes > 1 else 1, 2])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    opened = load(path, **options)
    assert isinstance(opened, OnnxNetwork)
    return opened


def test_a_foreign_model_with_declared_inputs(tmp_path: Path) -> None:
    network = _foreign(tmp_path / "hh.onnx").declare(
        {"x": ["m1", "m2", "m3", "m4", "m5"]}, labels={"y": ["bkg", "sig"]}
    )
    x = np.random.default_rng(0).normal(size=(3000, 5))
    z = x @ (np.arange(10).reshape(5, 2) / 10)
    wanted = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(network.evaluate({"x": x})["y"], wanted, atol=1e-5)
    named = {f"m{k + 1}": x[:, k] for k in range(5)}
    np.testing.assert_allclose(pickle.loads(pickle.dumps(network)).evaluate({"x": named})["y"], wanted, atol=1e-5)
    assert network.outputs[0].labels == ("bkg", "sig")
    assert network.evaluate({"x": np.empty((0, 5))})["y"].shape == (0, 2)


@pytest.mark.parametrize("axes", [3, 1])
def test_a_foreign_model_on_sequences_is_never_padded(tmp_path: Path, axes: int) -> None:
    network = _foreign(tmp_path / "mean.onnx", axes).declare(
        input_sequences={"x": list("abcde")}, labels={"y": ["p", "q"]}
    )
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 5, 40)
    x = rng.normal(size=(counts.sum(), 5))
    z = x @ (np.arange(10).reshape(5, 2) / 10)
    wanted = [part.mean(axis=0) for part in np.split(z, np.cumsum(counts)[:-1])]
    np.testing.assert_allclose(network.evaluate({"x": (x, counts)})["y"], wanted, atol=1e-5)


def test_declarations_that_do_not_fit(tmp_path: Path) -> None:
    network = _foreign(tmp_path / "hh.onnx")
    with pytest.raises(NetworkError, match="takes 5 variables, 2 are declared"):
        network.declare({"x": ["a", "b"]})
    with pytest.raises(NetworkError, match="no input 'z'"):
        network.declare({"z": list("abcde")})
    with pytest.raises(NetworkError, match="'x' is not declared"):
        network.declare({})
    with pytest.raises(NetworkError, match="has 2 values, 1 labels"):
        network.declare({"x": list("abcde")}, labels={"y": ["one"]})
    with pytest.raises(NetworkError, match="no output 'q'"):
        network.declare({"x": list("abcde")}, labels={"q": ["one"]})
    with pytest.raises(NetworkError, match="x"):
        network.run({"x": np.ones((2, 4), np.float32)})
    with pytest.raises(NetworkError, match="precision"):
        network.evaluate({"x": np.ones((2, 5))}, dtype=np.float64)
    with pytest.raises(NetworkError, match="no provider 'CPUExecutionProvidr'") as caught:
        _foreign(tmp_path / "hh.onnx", provider="CPUExecutionProvidr")
    assert "CPUExecutionProvider" in caught.value.hint
    with pytest.raises(NetworkError, match="cannot be converted"):
        convert([tmp_path / "hh.onnx"], tmp_path / "n.json")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "link.bin", "missing.bin", ""])
def test_external_data_must_stand_beside_the_model(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(40))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    _foreign(folder / "n.onnx")
    model = onnx.load(folder / "n.onnx")
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location=location)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "n.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match=r"outside its folder|not beside it"):
        load(folder / "n.onnx")


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    wanted = _foreign(tmp_path / "n.onnx").run({"x": np.ones((2, 5), np.float32)})
    onnx.save(
        onnx.load(tmp_path / "n.onnx"),
        tmp_path / "e.onnx",
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    found = load(tmp_path / "e.onnx")
    assert isinstance(found, OnnxNetwork)
    np.testing.assert_array_equal(found.run({"x": np.ones((2, 5), np.float32)})["y"], wanted["y"])


def test_a_changed_weight_is_noticed(make_network: Any, tmp_path: Path) -> None:
    write_onnx(read_lwtnn(make_network(2)), tmp_path / "n.onnx")
    model = onnx.load(tmp_path / "n.onnx")
    data = bytearray(model.graph.initializer[3].raw_data)
    data[0] ^= 1
    model.graph.initializer[3].raw_data = bytes(data)
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(NetworkError, match="changed after hepflow wrote it"):
        load(tmp_path / "n.onnx")


def test_activations_that_onnx_lacks_in_recurrent_layers(maker: Any, tmp_path: Path) -> None:
    layer, units = maker(1).scan("simplernn", 2)
    layer["activation"] = {"function": "swish", "alpha": 1.0}
    data = {"inputs": maker(0).variables(2), "layers": [layer], "outputs": [f"o{k}" for k in range(units)]}
    with pytest.raises(NetworkError, match="simplernn with activation swish"):
        write_onnx(read_lwtnn(data), tmp_path / "n.onnx")
