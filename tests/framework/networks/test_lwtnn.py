"""What C++ lwtnn 2.14 reads and computes from JSON that others write: numbers as texts, shared names, unused inputs,
old activations. The numbers are those of C++ lwtnn or are worked out by hand.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepflow.errors import NetworkError
from hepflow.networks import Network, evaluate_cases, load, read_lwtnn, to_lwtnn, write_onnx
from hepflow.networks.jsontext import parse_json
from hepflow.networks.lwtnn_write import checksum


def variables(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "offset": 0, "scale": 1} for name in names]


def bare(activation: Any) -> dict[str, Any]:
    return {"architecture": "dense", "weights": [], "bias": [], "activation": activation}


def graph(layer: dict[str, Any], **top: Any) -> dict[str, Any]:
    """Return a network of one layer on two variables."""
    return {
        "inputs": [{"name": "a", "variables": variables("v0", "v1")}],
        "input_sequences": [],
        "nodes": [
            {"type": "input", "sources": [0], "size": 2},
            {"type": "feed_forward", "sources": [0], "layer_index": 0},
        ],
        "layers": [layer],
        "outputs": {"o": {"node_index": 1, "labels": ["l0", "l1"]}},
        **top,
    }


def one(network: Network, **case: Any) -> dict[str, float]:
    """Return the labels of the only output for one case, in double precision."""
    found: dict[str, float] = next(iter(evaluate_cases(network, [{"in": case}], float64=True)[0].values()))
    return found


CASE = {"inputs": {"a": {"v0": -1.5, "v1": 2.0}}}
TANH = {"l0": -0.9051482536448664, "l1": 0.9640275800758169}


def as_texts(value: Any) -> Any:
    """Return JSON as boost's property tree writes it: numbers as texts, empty lists and objects as empty texts."""
    if isinstance(value, (dict, list)) and not value:
        return ""
    if isinstance(value, dict):
        return {key: as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_texts(inner) for inner in value]
    return value if isinstance(value, str) else repr(value)


@pytest.mark.parametrize("seed", range(6))
def test_any_network_may_be_written_in_texts(make_network: Any, make_cases: Any, tmp_path: Path, seed: int) -> None:
    data = make_network(seed)
    data["inputs"][0]["variables"][0]["default"] = 0.25
    (tmp_path / "n.json").write_text(json.dumps(as_texts(data)))
    cases = make_cases(data, 3, seed)
    cases[1]["in"]["inputs"]["scalar"]["v0"] = None
    found = load(tmp_path / "n.json")
    assert isinstance(found, Network)
    assert evaluate_cases(found, cases, float64=True) == evaluate_cases(read_lwtnn(data), cases, float64=True)


def test_texts_of_numbers_and_numbers_of_texts() -> None:
    data = graph({**bare("tanh"), "weights": ["1", " 1.e0\n", "+.5", "-5e-1"]})
    data["outputs"]["o"]["labels"] = [0, 1]  # a text in C++, whatever it looks like
    data["inputs"][0]["name"] = 7
    found = one(read_lwtnn(data), inputs={"7": {"v0": -1.5, "v1": 2.0}})
    assert found == {"0": pytest.approx(np.tanh(0.5)), "1": pytest.approx(np.tanh(-1.75))}


def shared() -> dict[str, Any]:
    """Return a network with a scalar input and a sequence of one name: x + the sum of the sequence."""
    return {
        "inputs": [{"name": "x", "variables": variables("v")}],
        "input_sequences": [{"name": "x", "variables": variables("v")}],
        "nodes": [
            {"type": "input", "sources": [0], "size": 1},
            {"type": "input_sequence", "sources": [0], "size": 1},
            {"type": "sum", "sources": [1]},
            {"type": "add", "sources": [0, 2]},
        ],
        "layers": [],
        "outputs": {"o": {"node_index": 3, "labels": ["l"]}, "every": {"node_index": 1, "labels": ["l"]}},
    }


def test_a_scalar_input_and_a_sequence_of_one_name(tmp_path: Path) -> None:
    network = read_lwtnn(shared())
    write_onnx(network, tmp_path / "n.onnx")
    (tmp_path / "n.json").write_text(json.dumps(to_lwtnn(network)))
    given: tuple[Any, Any] = ({"x": [[1.0], [5.0]]}, {"x": ([[1.0], [2.0]], [2, 0])})
    for model in (network, load(tmp_path / "n.json"), load(tmp_path / "n.onnx")):
        found = model.evaluate(*given)
        np.testing.assert_array_equal(found["o"], [[4.0], [5.0]])
        np.testing.assert_array_equal(found["every"], [[1.0], [2.0]])
        cases = [{"in": {"inputs": {"x": {"v": 1}}, "input_sequences": {"x": {"v": [1, 2]}}}}]
        assert evaluate_cases(model, cases) == [{"o": {"l": 4.0}, "every": {"l": [1.0, 2.0]}}]
        with pytest.raises(NetworkError, match="'x' is the name of a scalar input and of a sequence"):
            model.evaluate({"x": [[1.0]]})
    assert [group.name for group in load(tmp_path / "n.onnx").input_sequences] == ["x"]


def test_inputs_that_no_output_needs_are_not_wanted(tmp_path: Path) -> None:
    data = graph(bare("tanh"))
    data["inputs"].insert(0, {"name": "unused", "variables": variables("u")})
    data["input_sequences"] = [{"name": "a", "variables": variables("w")}]
    data["nodes"][0]["sources"] = [1]
    network = read_lwtnn(data)
    assert [group.name for group in network.inputs] == ["unused", "a"]
    assert [group.name for group in network.used_inputs] == ["a"]
    assert network.used_sequences == ()
    write_onnx(network, tmp_path / "n.onnx")
    for model in (network, load(tmp_path / "n.onnx")):
        np.testing.assert_allclose(model.evaluate({"a": [[-1.5, 2.0]]}, {})["o"], [list(TANH.values())], rtol=1e-6)
    assert one(network, **CASE) == pytest.approx(TANH, rel=1e-15)
    both = {"inputs": {**CASE["inputs"], "unused": {"u": 1.0}}, "input_sequences": {"a": {"w": []}}}
    assert one(network, **both) == pytest.approx(TANH, rel=1e-15)


def test_labels_may_be_fewer_than_features(tmp_path: Path) -> None:
    data = graph(bare("tanh"), outputs={"o": {"node_index": 1, "labels": ["x"]}, "no": {"node_index": 0, "labels": []}})
    network = read_lwtnn(data)
    assert one(network, **CASE) == {"x": pytest.approx(-0.9051482536448664, rel=1e-15)}
    write_onnx(network, tmp_path / "n.onnx")
    found = load(tmp_path / "n.onnx").evaluate({"a": [[-1.5, 2.0], [0.0, 0.0]]})
    assert {name: values.shape for name, values in found.items()} == {"o": (2, 1), "no": (2, 0)}
    assert found["o"][0, 0] == pytest.approx(-0.9051482536448664, rel=1e-6)
    assert to_lwtnn(network)["outputs"]["o"]["labels"] == ["x"]


def test_one_variable_twice_in_an_input() -> None:
    twice = variables("v0", "v0")
    twice[1]["offset"] = 1
    network = read_lwtnn(graph(bare("tanh"), inputs=[{"name": "a", "variables": twice}]))
    wanted = {"l0": -0.9051482536448664, "l1": -0.46211715726000974}
    assert one(network, inputs={"a": {"v0": -1.5}}) == pytest.approx(wanted, rel=1e-15)
    np.testing.assert_allclose(network.evaluate({"a": {"v0": [-1.5]}})["o"], [list(wanted.values())], rtol=1e-6)


@pytest.mark.parametrize(
    ("activation", "wanted"),
    [
        ("sigmoid_legacy", [0.18242552380635635, 0.8807970779778823]),
        ("hard_sigmoid_legacy", [0.2, 0.9]),
        ("tanh_legacy", list(TANH.values())),
        ("rectified_legacy", [0.0, 2.0]),
        ({"function": "tanh_legacy", "alpha": "0.0"}, list(TANH.values())),
        ("elu", [np.exp(-1.5) - 1, 2.0]),
        ({"function": "elu", "alpha": "2"}, [2 * (np.exp(-1.5) - 1), 2.0]),
        ("leakyrelu", [np.nan, 2.0]),
        ("swish", [np.nan, np.nan]),
        ({"function": "swish", "alpha": 1}, [-1.5 / (1 + np.exp(1.5)), 2 / (1 + np.exp(-2))]),
        ("abs", [1.5, 2.0]),
    ],
)
def test_activations_as_texts_and_objects(
    activation: Any, wanted: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="hepflow"):
        network = read_lwtnn(graph(bare(activation)))
    again = read_lwtnn(json.loads(json.dumps(to_lwtnn(network))))
    for model in (network, again):
        np.testing.assert_allclose(list(one(model, **CASE).values()), wanted, rtol=1e-14)
    assert ("without alpha gives NaN" in caplog.text) == any(np.isnan(wanted))


def test_defaults_of_the_sequential_form(caplog: pytest.LogCaptureFixture) -> None:
    """``defaults`` counts alone, also where it is empty; names that are no inputs are told."""

    def value(**top: Any) -> float:
        own = variables("v")
        own[0]["default"] = 7
        data = {"inputs": own, "layers": [bare("linear")], "outputs": ["l"], **top}
        return one(read_lwtnn(data), inputs={"any": {"v": None}})["l"]

    assert value() == 7.0
    assert value(defaults={"v": "3"}) == 3.0
    for nothing in ({}, "", None):  # C++ lwtnn reads null as an empty object, too
        assert np.isnan(value(defaults=nothing, miscellaneous=nothing))
    with caplog.at_level(logging.WARNING, logger="hepflow"):
        assert value(defaults={"v": 2, "zz": 3}, miscellaneous="") == 2.0
    assert "defaults of 'zz'" in caplog.text
    with pytest.raises(NetworkError, match="'defaults' of the network is no object"):
        value(defaults=5)


def test_nodes_in_any_order_and_a_dilation_beyond_the_sequence() -> None:
    conv = {"architecture": "conv1d", "weights": [1, 2], "bias": [1], "activation": "linear"}
    data = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": variables("v")}],
        "nodes": [
            {"type": "sequence", "sources": [1], "layer_index": 0},
            {"type": "input_sequence", "sources": [0], "size": 1},
        ],
        "layers": [{**conv, "padding": "causal", "dilation_rate": 20000}],
        "outputs": {"o": {"node_index": 0, "labels": ["l"]}},
    }
    assert one(read_lwtnn(data), input_sequences={"s": {"v": [1, 2, 3]}}) == {"l": 7.0}


def test_an_embedding_replaces_the_feature_it_names() -> None:
    """C++ lwtnn 2.14 copies the wrong rows behind a feature that is not the last."""
    table = {"index": "0", "n_out": "2", "weights": [1, 2, 3, 4, 5, 6]}
    data = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": variables("c", "v")}],
        "nodes": [
            {"type": "input_sequence", "sources": [0], "size": 2},
            {"type": "sequence", "sources": [0], "layer_index": 0},
        ],
        "layers": [{"architecture": "embedding", "sublayers": [table]}],
        "outputs": {"o": {"node_index": 1, "labels": ["a", "b", "c"]}},
    }
    found = one(read_lwtnn(data), input_sequences={"s": {"c": [0, 1, 2], "v": [7, 8, 9]}})
    assert found == {"a": 3.0, "b": 6.0, "c": 9.0}


def test_odd_records_and_names(tmp_path: Path) -> None:
    data = graph(bare("tanh"), hepflow={"versions": 5}, outputs={"": {"node_index": 1, "labels": ["l0", "l1"]}})
    data["inputs"][0]["name"] = ""
    network = read_lwtnn(data)
    assert to_lwtnn(network)["hepflow"]["versions"].keys() == {"hepflow"}
    write_onnx(network, tmp_path / "n.onnx")
    found = load(tmp_path / "n.onnx").evaluate({"": [[-1.5, 2.0]]})[""]
    np.testing.assert_allclose(found, [list(TANH.values())], rtol=1e-6)


# ----------------------------------------------------------------------------------------------- size, time and depth


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" + b"[]," * 5_000_000 + b"[]]", "MB of memory"),
        (b"[" + b'"ab",' * 4_000_000 + b"1]", "MB of memory"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(1_200_000)) + b"}", "MB of memory"),
        (b"[" + b'{"a":1},' * 1_000_000 + b"1]", "MB of memory"),
        (b" " * (100 * 1024**2), "more than any network needs"),
        (b"{" + b",".join(b'"k%d":1' % n for n in range(200_000)) + b',"k7":1}', "'k7' twice"),
        (b'{"a": [{"b": {"c": 1, "c": 2}}]}', "'c' twice"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested 65 levels"),
    ],
)
def test_what_would_take_too_much_is_refused_at_once(content: bytes, message: str) -> None:
    start = time.process_time()
    with pytest.raises(NetworkError, match=message):
        parse_json(content)
    assert time.process_time() - start < 2


def test_the_checksum_of_long_lists_is_that_of_the_text() -> None:
    """The text is hashed in pieces: it must be what json.dumps makes of the whole."""
    data = graph({**bare("tanh"), "weights": [k / 7 if k % 3 else k for k in range(25_000)]})
    data["inputs"] *= 12_000
    keys = ("inputs", "input_sequences", "nodes", "layers", "outputs")
    plain = json.loads(json.dumps({key: data[key] for key in keys}), parse_int=float)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert checksum(data) == hashlib.sha256(text.encode()).hexdigest()


def test_brackets_colons_and_quotes_in_texts_are_only_texts() -> None:
    data = {"a\\": '[{"\\"}]:::' * 100, '"b":': ["\\\\", '\\"', {"c:": "\\"}], "é€😀": 1}
    assert parse_json(json.dumps(data).encode()) == data
    assert parse_json(json.dumps(data, ensure_ascii=False).encode()) == data


def test_small_files_of_much_work_are_refused() -> None:
    """Concatenations that double, and one large layer that many nodes share."""
    doubling = graph(bare("linear"))
    doubling["nodes"] += [{"type": "concatenate", "sources": [n, n]} for n in range(1, 20_000)]
    doubling["outputs"]["o"]["node_index"] = 20_000
    with pytest.raises(NetworkError, match="more than any network needs"):
        read_lwtnn(doubling)
    conv = {"architecture": "conv1d", "weights": [0.5] * 100_000, "bias": [0.0], "activation": "linear"}
    many: dict[str, Any] = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": variables("v")}],
        "nodes": [{"type": "input_sequence", "sources": [0], "size": 1}],
        "layers": [{**conv, "padding": "same"}],
        "outputs": {"o": {"node_index": 50, "labels": ["l"]}},
    }
    many["nodes"] += [{"type": "sequence", "sources": [n], "layer_index": 0} for n in range(50)]
    with pytest.raises(NetworkError, match="more than any network needs"):
        read_lwtnn(many)


def test_time_is_linear_in_the_number_of_nodes() -> None:
    """Thousands of convolutions without padding in a chain, sums and outputs on each."""
    n = 4000
    conv = {"architecture": "conv1d", "weights": [1, 0], "bias": [0], "activation": "linear"}
    data = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": variables("v")}],
        "nodes": [{"type": "input_sequence", "sources": [0], "size": 1}]
        + [{"type": "sequence", "sources": [k], "layer_index": 0} for k in range(n)]
        + [{"type": "time_distributed", "sources": [k], "layer_index": 1} for k in range(n)]
        + [{"type": "sum", "sources": [n + 1 + k]} for k in range(n)],
        "layers": [
            {**conv, "padding": "valid"},
            {"architecture": "dense", "weights": [1], "bias": [], "activation": "abs"},
        ],
        "outputs": {f"o{k}": {"node_index": n + 1 + k, "labels": ["l"]} for k in range(2 * n)},
    }
    start = time.process_time()
    network = read_lwtnn(data)
    assert network.shortest == {"s": n}
    network.evaluator()
    assert time.process_time() - start < 8
