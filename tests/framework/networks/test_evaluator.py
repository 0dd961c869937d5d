"""The evaluator against a plain recursion, layer by layer and for whole random graphs; the form of inputs; corners."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.errors import NetworkError
from hepflow.networks import evaluate_cases, largest_difference, load, read_lwtnn, to_lwtnn, to_onnx, write_onnx
from hepflow.networks.evaluator import Evaluator


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_graphs(make_network: Any, make_cases: Any, plain: Any, seed: int) -> None:
    data = make_network(seed)
    cases = make_cases(data, 7, seed)
    for case in cases:
        case["out"] = plain(data)(case)
    size = max(1.0, *(abs(v) for case in cases for labels in case["out"].values() for v in labels.values()))
    network = read_lwtnn(json.loads(json.dumps(data)))
    assert largest_difference(evaluate_cases(network, cases, float64=True), cases)[0] < 1e-10 * size
    assert largest_difference(evaluate_cases(network, cases), cases)[0] < 1e-4 * size
    again = read_lwtnn(json.loads(json.dumps(to_lwtnn(network))))
    assert evaluate_cases(again, cases, float64=True) == evaluate_cases(network, cases, float64=True)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_with_unbounded_states(make_network: Any, make_cases: Any, plain: Any, seed: int) -> None:
    data = make_network(seed, wild=True)
    cases = make_cases(data, 5, seed, longest=3)
    with np.errstate(all="ignore"):
        for case in cases:
            case["out"] = plain(data)(case)
    size = max(1.0, *(abs(v) for case in cases for labels in case["out"].values() for v in labels.values()))
    assert largest_difference(evaluate_cases(read_lwtnn(data), cases, float64=True), cases)[0] < 1e-10 * size


def vector_network(layer: dict[str, Any], n_in: int, n_out: int, sequence: bool = False) -> dict[str, Any]:
    """Return a network of one layer."""
    group = [{"name": "x", "variables": [{"name": f"v{k}", "offset": 0.0, "scale": 1.0} for k in range(n_in)]}]
    kind = "input_sequence" if sequence else "input"
    return {
        "inputs": [] if sequence else group,
        "input_sequences": group if sequence else [],
        "layers": [layer],
        "nodes": [
            {"type": kind, "sources": [0], "size": n_in},
            {"type": "sequence" if sequence else "feed_forward", "sources": [0], "layer_index": 0},
        ],
        "outputs": {"y": {"node_index": 1, "labels": [f"y{k}" for k in range(n_out)]}},
    }


def test_maxout_is_the_largest_of_affine_maps() -> None:
    rng = np.random.default_rng(1)
    w, b, x = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2)), rng.normal(size=(50, 4))
    layer = {
        "architecture": "maxout",
        "sublayers": [{"weights": w[k].ravel().tolist(), "bias": b[k].tolist()} for k in range(3)],
    }
    found = read_lwtnn(vector_network(layer, 4, 2)).evaluate({"x": x}, dtype=np.float64)["y"]
    np.testing.assert_allclose(found, (np.einsum("koi,ni->nko", w, x) + b).max(axis=1), atol=1e-13)


def test_highway_mixes_input_and_transform() -> None:
    rng = np.random.default_rng(2)
    w, b, c, d, x = (rng.normal(size=s) for s in ((3, 3), 3, (3, 3), 3, (50, 3)))
    layer = {
        "architecture": "highway",
        "activation": "rectified",
        "components": {
            "t": {"weights": w.ravel().tolist(), "bias": b.tolist()},
            "carry": {"weights": c.ravel().tolist(), "bias": d.tolist()},
        },
    }
    gate = 1 / (1 + np.exp(-(x @ c.T + d)))
    wanted = gate * np.maximum(x @ w.T + b, 0) + (1 - gate) * x
    found = read_lwtnn(vector_network(layer, 3, 3)).evaluate({"x": x}, dtype=np.float64)["y"]
    np.testing.assert_allclose(found, wanted, atol=1e-13)


def test_embedding_replaces_one_feature_by_a_row_of_its_table() -> None:
    table = np.arange(12.0).reshape(3, 4)  # 3 numbers for each of 4 categories
    layer = {"architecture": "embedding", "sublayers": [{"index": 1, "n_out": 3, "weights": table.ravel().tolist()}]}
    network = read_lwtnn(vector_network(layer, 2, 4, sequence=True))
    found = network.evaluate({"x": (np.array([[0.5, 3.0], [0.25, 0.0], [7.0, 1.0]]), [2, 0, 1])})["y"]
    np.testing.assert_array_equal(found, [[0.25, 0, 4, 8], [0, 0, 0, 0], [7, 1, 5, 9]])
    for wrong in (4.0, -1.0, 0.5, np.nan):
        with pytest.raises(NetworkError, match="is no category"):
            network.evaluate({"x": (np.array([[0.5, wrong]]), [1])})


def test_conv1d_with_same_padding_puts_the_extra_zero_in_front() -> None:
    layer = {"architecture": "conv1d", "weights": [1.0, 10.0], "bias": [0.0], "activation": "linear"}
    network = read_lwtnn(vector_network(layer | {"padding": "same", "dilation_rate": 1}, 1, 1, sequence=True))
    # with one zero in front the last output is 1 * x[-2] + 10 * x[-1]
    np.testing.assert_allclose(network.evaluate({"x": (np.array([[2.0], [3.0], [5.0]]), [3])})["y"], [[53.0]])


VALID = {"architecture": "conv1d", "weights": [1.0, 1.0, 1.0], "bias": [4.0], "activation": "linear"}


def test_conv1d_without_padding_takes_no_short_sequence(tmp_path: Path) -> None:
    network = read_lwtnn(vector_network(VALID | {"padding": "valid", "dilation_rate": 1}, 1, 1, sequence=True))
    assert network.shortest == {"x": 3}
    write_onnx(network, tmp_path / "n.onnx")
    values = np.arange(1.0, 8.0)[:, None]
    for model in (network, load(tmp_path / "n.onnx")):
        np.testing.assert_allclose(model.evaluate({"x": (values, [3, 4])})["y"], [[4 + 1 + 2 + 3], [4 + 5 + 6 + 7]])
        with pytest.raises(NetworkError, match=r"row 1 has 2 objects of the sequence 'x'; .* take at least 3"):
            model.evaluate({"x": (values, [5, 2])})


def test_conv1d_shortens_step_by_step(plain: Any) -> None:
    """Two convolutions without padding, the second dilated, then a sum, the last object and every object."""
    data = vector_network(VALID | {"padding": "valid", "dilation_rate": 1}, 1, 1, sequence=True)
    data["layers"].append(VALID | {"weights": [1.0, -2.0], "padding": "valid", "dilation_rate": 2})
    data["nodes"] += [
        {"type": "sequence", "sources": [1], "layer_index": 1},
        {"type": "sum", "sources": [2]},
        {"type": "time_distributed", "sources": [2], "layer_index": 2},
    ]
    data["layers"].append({"architecture": "dense", "weights": [2.0], "bias": [], "activation": "linear"})
    data["outputs"] = {f"o{n}": {"node_index": n, "labels": ["l"]} for n in (2, 3, 4)}
    network = read_lwtnn(data)
    assert network.shortest == {"x": 5}
    rng = np.random.default_rng(1)
    cases = [{"in": {"input_sequences": {"x": {"v0": rng.normal(size=n).tolist()}}}} for n in (5, 9, 6, 5, 12)]
    for case in cases:
        case["out"] = plain(data)(case)
    assert largest_difference(evaluate_cases(network, cases, float64=True), cases)[0] < 1e-12


def test_conv1d_with_softmax_runs_along_the_sequence() -> None:
    layer = VALID | {"weights": [1.0, 0.5], "bias": [0.3, 0.0], "activation": "softmax", "dilation_rate": 1}
    network = read_lwtnn(vector_network(layer | {"padding": "same"}, 1, 2, sequence=True))
    sequences = [[2.0, -1.0, 500.0], [], [7.0], [0.1, 0.2], [1.0] * 9]
    found = network.evaluate({"x": (np.concatenate(sequences)[:, None], [len(s) for s in sequences])}, dtype="f8")["y"]
    for values, row in zip(sequences, found, strict=True):
        z = np.outer([1.0, 0.5], values) + np.array([[0.3], [0.0]])
        weights = np.exp(z - z.max(axis=1, keepdims=True, initial=-1e300))
        last = weights[:, -1] / weights.sum(axis=1) if values else [0.0, 0.0]
        np.testing.assert_allclose(row, last, rtol=1e-12)


def _gates(seed: int, n_in: int, units: int, names: str) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {"weights": (units, n_in), "U": (units, units), "bias": (units,)}
    return {name: {key: rng.normal(size=shape).ravel().tolist() for key, shape in shapes.items()} for name in names}


LAYERS = {
    "lstm": {"components": _gates(1, 2, 2, "ifoc"), "activation": "tanh", "inner_activation": "sigmoid"},
    "gru": {"components": _gates(2, 2, 2, "zrh"), "activation": "elu", "inner_activation": "hard_sigmoid"},
    "simplernn": {"components": _gates(3, 2, 2, "h"), "activation": {"function": "swish", "alpha": 0.5}},
    "conv1d": {"weights": [0.1, -0.2, 0.3, 0.4, 0.5, -0.6], "bias": [0.2], "activation": "sigmoid", "padding": "same"},
    "embedding": {"sublayers": [{"index": 0, "n_out": 2, "weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}]},
    "dense": {"weights": [0.5, -1.0, 2.0, 0.3], "bias": [0.1, 0.2], "activation": "sigmoid"},
    "normalization": {"weights": [0.5, 3.0], "bias": [0.2, -0.3]},
    "maxout": {"sublayers": [{"weights": [0.5 * k, -1.0, 2.0, k], "bias": [0.1, 0.2 * k]} for k in range(3)]},
    "highway": {"components": _gates(4, 2, 2, "t") | {"carry": _gates(5, 2, 2, "h")["h"]}, "activation": "softmax"},
}


@pytest.mark.parametrize("kind", LAYERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_tau_by_itself_is_the_tau_in_any_block(kind: str, data: st.DataObject) -> None:
    """numpy 2.1 to 2.4 get np.negative(…, out=…) wrong for a column of an array of 4 float32 or 8 float64 columns."""
    layer = {"architecture": kind} | LAYERS[kind]
    recurrent = kind in ("lstm", "gru", "simplernn", "conv1d", "embedding")
    n_out = {"conv1d": 1, "embedding": 3}.get(kind, 2)
    made = vector_network(layer, 2, n_out, sequence=True)
    if not recurrent:
        made["nodes"][1]["type"] = "time_distributed"
    network = read_lwtnn(made)
    counts = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=17))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    values = np.random.default_rng(sum(counts)).normal(size=(sum(counts), 2)) * 3
    values[:, 0] = np.abs(np.round(values[:, 0])) % 3 if kind == "embedding" else values[:, 0]
    together = network.evaluate({"x": (values, np.array(counts))}, dtype=dtype)["y"]
    edges = np.cumsum([0, *counts])
    parts = [values[a:b] for a, b in itertools.pairwise(edges)]
    alone = [network.evaluate({"x": (part, np.array([len(part)]))}, dtype=dtype)["y"] for part in parts]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5 if dtype == "float32" else 1e-13)


def test_a_gate_that_is_closed_keeps_the_state_beside_a_large_candidate() -> None:
    """The second object has z = 1 and the candidate 1e8: the state stays what the first left, (1 - 1/2) * 0.2469."""
    parts = {
        gate: {"weights": weights, "U": [0.0], "bias": [0.0]}
        for gate, weights in (("z", [0.0, 40.0]), ("r", [0.0, 0.0]), ("h", [1.0, 1e8]))
    }
    gru = {"architecture": "gru", "components": parts, "activation": "rectified", "inner_activation": "sigmoid"}
    network = read_lwtnn(vector_network(gru, 2, 1, sequence=True))
    values = np.array([[0.2469, 0.0], [0.0, 1.0]])
    for dtype in ("float32", "float64"):
        assert network.evaluate({"x": (values, [2])}, dtype=dtype)["y"][0, 0] == pytest.approx(0.12345, rel=1e-6)
    # a highway: the gate is 0 where the transform is 1e8, so x goes through
    open_, shut = {"weights": [1e8], "bias": [0.0]}, {"weights": [0.0], "bias": [-40.0]}
    highway = {"architecture": "highway", "components": {"t": open_, "carry": shut}, "activation": "linear"}
    found = read_lwtnn(vector_network(highway, 1, 1)).evaluate({"x": [[0.12345]]}, dtype="float64")["y"][0, 0]
    assert found == 0.12345  # beyond 30 the sigmoid of C++ lwtnn is 0 or 1
    shut["bias"] = [40.0]
    open_["weights"] = [1e-3]
    found = read_lwtnn(vector_network(highway, 1, 1)).evaluate({"x": [[1e6]]})["y"][0, 0]
    assert found == pytest.approx(1e3, rel=1e-6)


SEQUENTIAL = {
    "inputs": [{"name": "a", "offset": 1.0, "scale": 2.0}, {"name": "b", "offset": 0.0, "scale": 0.5}],
    "layers": [
        {
            "architecture": "dense",
            "weights": [1.0, 2.0, -1.0, 0.5, 0.0, 1.0],
            "bias": [0.1, 0.2, 0.3],
            "activation": "rectified",
        },
        {"architecture": "dense", "weights": [1.0, 1.0, 1.0], "bias": [0.0], "activation": "sigmoid"},
    ],
    "outputs": ["score"],
    "defaults": {"b": 4.0},
    "miscellaneous": {"note": "kept"},
}


def test_sequential_form_by_hand() -> None:
    network = read_lwtnn(SEQUENTIAL)
    found = network.evaluate({"input_node": np.array([[0.5, 2.0], [0.5, np.nan]])}, dtype=np.float64)["output_node"]
    # (0.5 + 1) * 2 = 3; 2 * 0.5 = 1, or the default 4 * 0.5 = 2
    first = max(3 + 2 + 0.1, 0) + max(-3 + 0.5 + 0.2, 0) + max(1 + 0.3, 0)
    second = max(3 + 4 + 0.1, 0) + max(-3 + 1 + 0.2, 0) + max(2 + 0.3, 0)
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp([-first, -second])), rtol=1e-14)
    assert network.record["miscellaneous"] == {"note": "kept"}
    cases = [{"in": {"inputs": {"any": {"a": 0.5, "b": 2.0}}}, "out": {"score": float(found[0, 0])}}]
    assert largest_difference(evaluate_cases(network, cases, float64=True), cases)[0] == 0


def test_sequential_form_with_a_recurrent_layer(maker: Any, plain: Any) -> None:
    make = maker(3)
    lstm, units = make.scan("lstm", 2)
    dense = make.dense(units, 2, "tanh")
    data = {"inputs": make.variables(2), "layers": [lstm, dense], "outputs": ["p", "q"]}
    graph = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": data["inputs"]}],
        "layers": [lstm, dense],
        "nodes": [
            {"type": "input_sequence", "sources": [0], "size": 2},
            {"type": "sequence", "sources": [0], "layer_index": 0},
            {"type": "feed_forward", "sources": [1], "layer_index": 1},
        ],
        "outputs": {"o": {"node_index": 2, "labels": ["p", "q"]}},
    }
    case = {"in": {"input_sequences": {"s": {"v0": [0.1, 0.2, -1.0], "v1": [1.0, 0.0, 0.3]}}}}
    wanted = plain(graph)(case)["o"]
    found = read_lwtnn(data).evaluate(
        {"input_node": (np.array([[0.1, 1.0], [0.2, 0.0], [-1.0, 0.3]]), [3])}, dtype="f8"
    )
    np.testing.assert_allclose(found["output_node"][0], list(wanted.values()), atol=1e-14)


def test_defaults_replace_nan_and_other_nan_stay_with_their_tau(make_network: Any, make_cases: Any) -> None:
    data = make_network(5)
    data["input_sequences"][0]["variables"][0]["default"] = 0.25
    network = read_lwtnn(data)
    cases = make_cases(data, 30, 1)
    spoiled = json.loads(json.dumps(cases))
    filled = json.loads(json.dumps(cases))
    for k, (bad, good) in enumerate(zip(spoiled, filled, strict=True)):
        values = bad["in"]["input_sequences"]["seq0"]["v0"]
        if values:
            values[0] = None
            good["in"]["input_sequences"]["seq0"]["v0"][0] = 0.25
        if k % 3 == 0:
            bad["in"]["inputs"]["scalar"]["v1"] = None
    found, wanted = evaluate_cases(network, spoiled, float64=True), evaluate_cases(network, filled, float64=True)
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        values = np.array(list(a["b"].values()))
        if k % 3:
            np.testing.assert_allclose(values, list(b["b"].values()), rtol=1e-12)
        else:
            assert np.isnan(values).any()


def test_no_taus_one_tau_and_only_empty_sequences(make_network: Any, make_cases: Any, plain: Any) -> None:
    for seed in range(10):
        data = make_network(seed)
        network = read_lwtnn(data)
        assert evaluate_cases(network, []) == []
        case = make_cases(data, 1, seed)[0]
        for longest in (0, 3):
            case = make_cases(data, 1, seed, longest)[0]
            found = evaluate_cases(network, [case], float64=True)[0]
            for name, labels in plain(data)(case).items():
                np.testing.assert_allclose(list(found[name].values()), list(labels.values()), atol=1e-11)


def test_an_output_on_a_sequence_has_one_row_an_object(maker: Any, plain: Any) -> None:
    make = maker(7)
    conv, n = make.scan("conv1d", 2)
    conv |= {"padding": "valid", "dilation_rate": 1}
    data = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": make.variables(2)}],
        "layers": [conv, make.dense(n, 2, "tanh")],
        "nodes": [
            {"type": "input_sequence", "sources": [0], "size": 2},
            {"type": "sequence", "sources": [0], "layer_index": 0},
            {"type": "time_distributed", "sources": [1], "layer_index": 1},
        ],
        "outputs": {"o": {"node_index": 2, "labels": ["p", "q"]}},
    }
    rng = np.random.default_rng(0)
    cases = []
    for length in (6, 4, 5, 9, 4):
        case = {
            "in": {
                "inputs": {},
                "input_sequences": {"s": {"v0": rng.normal(size=length).tolist(), "v1": [0.5] * length}},
            }
        }
        cases.append(case | {"out": plain(data)(case)})
    assert largest_difference(evaluate_cases(read_lwtnn(data), cases, float64=True), cases)[0] < 1e-13


def test_forms_of_input_agree(make_network: Any) -> None:
    network = read_lwtnn(make_network(11))
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"scalar": rng.normal(size=(20, 3))}
    named: dict[str, Any] = {"scalar": {f"v{k}": arrays["scalar"][:, k] for k in (2, 0, 1)}}
    for group in network.input_sequences:
        counts = rng.integers(0, 4, 20)
        values = np.asfortranarray(rng.normal(size=(counts.sum(), len(group.variables))))
        arrays[group.name] = (values, counts)
        named[group.name] = ({name: values[:, k] for k, name in enumerate(group.names)}, counts.tolist())
    for dtype in (np.float32, np.float64):
        first, second = network.evaluate(arrays, dtype=dtype), network.evaluate(named, dtype=dtype)
        for name, values in first.items():
            assert values.dtype == dtype
            np.testing.assert_array_equal(values, second[name])


def test_large_offsets_keep_their_precision() -> None:
    layer = {"architecture": "dense", "weights": [1.0, -1.0], "bias": [0.5], "activation": "rectified"}
    data = vector_network(layer, 2, 1)
    data["inputs"][0]["variables"] = [{"name": f"v{k}", "offset": -1e5, "scale": 1.0} for k in range(2)]
    found = read_lwtnn(data).evaluate({"x": np.array([[1e5 + 0.25, 1e5 - 0.5]], dtype=np.float32)})["y"]
    np.testing.assert_allclose(found, [[1.25]], atol=1e-6)


def test_offsets_of_double_precision_are_added_in_double_precision() -> None:
    """A number of 64 bits beside an offset as large: in float32 both would lose what is between them."""
    data = vector_network({"architecture": "dense", "weights": [1.0], "bias": [], "activation": "linear"}, 1, 1)
    data["inputs"][0]["variables"][0] |= {"offset": -1e9, "scale": 0.5, "default": 1e9 + 8}
    network = read_lwtnn(data)
    for values in (np.array([[1e9 + 2.5], [1e9 - 4]]), np.array([[10**9 + 2], [10**9 - 4]])):
        wanted = (values - 1e9) * 0.5
        np.testing.assert_array_equal(network.evaluate({"x": values})["y"], wanted.astype(np.float32))
    assert network.evaluate({"x": np.array([[np.nan]])})["y"] == 4.0


def test_numbers_beyond_float32_are_computed_in_double_precision() -> None:
    data = vector_network({"architecture": "dense", "weights": [1e-30], "bias": [], "activation": "linear"}, 1, 1)
    data["inputs"][0]["variables"][0] |= {"offset": 1e40, "scale": 1e-10}
    network = read_lwtnn(data)
    found = network.evaluate({"x": np.array([[0.0], [1e40]])})["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[1.0], [2.0]], rtol=1e-6)
    with pytest.raises(NetworkError, match="numbers beyond float32"):
        to_onnx(network)


def test_networks_pickle(make_network: Any) -> None:
    network = read_lwtnn(make_network(1))
    inputs = {"scalar": np.ones((3, 3))}
    for group in network.input_sequences:
        inputs[group.name] = (np.ones((3, len(group.variables))), [1, 0, 2])
    wanted = network.evaluate(inputs)
    for name, values in pickle.loads(pickle.dumps(network)).evaluate(inputs).items():
        np.testing.assert_array_equal(values, wanted[name])


def test_offsets_that_are_large_beside_the_spread_cost_no_precision() -> None:
    """A logarithm of a momentum: 5.0 ± 0.05, brought to 0 ± 0.5 by offset and scale. Multiplied into the weights, the
    offset would leave 25 times the rounding."""
    rng = np.random.default_rng(1)
    layer = {"architecture": "dense", "weights": rng.normal(size=8).tolist(), "bias": [0.0], "activation": "linear"}
    data = vector_network(layer, 8, 1)
    for variable in data["inputs"][0]["variables"]:
        variable.update(offset=-5.0, scale=10.0)
    x = rng.normal(5, 0.05, (1000, 8)).astype(np.float32)
    network = read_lwtnn(data)
    single, double = (Evaluator(network, dtype)({"x": x})["y"] for dtype in (np.float32, np.float64))
    assert double.std() > 0.5
    assert np.abs(single - double).max() < 1e-6
