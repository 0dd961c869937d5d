"""Damaged and unfitting networks: one clear NetworkError each, naming node, layer or variable; never a wrong number."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepflow.errors import NetworkError
from hepflow.networks import (
    evaluate_cases,
    largest_difference,
    load,
    read_cases,
    read_lwtnn,
    write_lwtnn,
    write_onnx,
)


@pytest.fixture(scope="module")
def data(make_network: Any) -> dict[str, Any]:
    made: dict[str, Any] = make_network(3)
    return made


def _of(data: dict[str, Any], kind: str) -> int:
    return next(k for k, node in enumerate(data["nodes"]) if node["type"] == kind)


def _layer(data: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(layer for layer in data["layers"] if layer["architecture"] == kind)


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return change


def _append(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in path:
            data = data[key]
        data.append(value)  # type: ignore[attr-defined]

    return change


CHANGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: d["layers"].__setitem__(0, {"architecture": "attention"}), "layer 0.*unknown architecture 'attention'"),
    (lambda d: _layer(d, "dense")["weights"].append(1.0), r"'weights' of layer \d+.*has \d+ numbers"),
    (lambda d: _layer(d, "dense")["bias"].append(1.0), r"'bias' of layer \d+"),
    (lambda d: _layer(d, "dense").update(activation="gelu"), "unknown activation 'gelu'"),
    (lambda d: _layer(d, "dense").update(activation={"function": "leakyrelu"}), "needs its alpha"),
    (lambda d: _layer(d, "dense")["weights"].__setitem__(0, float("nan")), "NaN or infinite"),
    (lambda d: _layer(d, "dense")["weights"].__setitem__(0, 10**400), "NaN or infinite"),
    (lambda d: _layer(d, "dense")["weights"].__setitem__(0, "one"), "an entry of 'weights' of .* is a text, not a num"),
    (lambda d: _layer(d, "dense")["weights"].__setitem__(0, "1e999"), "is not a finite number"),
    (lambda d: _layer(d, "dense")["weights"].__setitem__(0, "0x10"), "is a text, not a number"),
    (lambda d: _layer(d, "dense").update(activation={"function": "elu", "alpha": 10**400}), "alpha .* not a finite"),
    (lambda d: _layer(d, "dense").pop("bias"), "has no 'bias'"),
    (lambda d: d["nodes"][_of(d, "concatenate")].update(type="multiply"), r"node \d+ has the unknown type 'multiply'"),
    (lambda d: d["nodes"][_of(d, "concatenate")]["sources"].append(len(d["nodes"]) - 1), "cycle"),
    (lambda d: d["nodes"][_of(d, "concatenate")].update(sources=[]), "has no sources"),
    (lambda d: d["nodes"][_of(d, "concatenate")].update(sources=[999]), r"node \d+ \(concatenate\) has the source 999"),
    (lambda d: d["nodes"][_of(d, "concatenate")]["sources"].append(_of(d, "input_sequence")), "takes one vector a row"),
    (lambda d: d["nodes"][_of(d, "feed_forward")].update(layer_index=99), r"uses layer 99, but there are"),
    (lambda d: d["nodes"][_of(d, "feed_forward")].update(layer_index=-1), "layer_index of node"),
    (lambda d: d["nodes"][_of(d, "feed_forward")].update(layer_index=True), "layer_index of node"),
    (lambda d: d["nodes"][_of(d, "input")].update(size=2), "has size 2, but its input 'scalar' has 3 variables"),
    (lambda d: d["nodes"][_of(d, "input")].update(sources=[4]), "reads input number 4"),
    (lambda d: d["outputs"]["a"].update(node_index=500), "output 'a' reads node 500"),
    (lambda d: d["outputs"]["a"]["labels"].append("more"), "output 'a' has"),
    (lambda d: d["outputs"].clear(), "no outputs"),
    (lambda d: d["outputs"]["a"]["labels"].__setitem__(0, "x" * 20_000), "label of .* has 20000 letters"),
    (lambda d: d.pop("layers"), "has no 'layers'"),
    (lambda d: d.pop("nodes"), "the network has no 'nodes'"),
    (lambda d: d["inputs"].append(d["inputs"][0]), "input 'scalar' comes twice"),
    (lambda d: d["inputs"][0]["variables"][1].pop("scale"), "variable 'v1' of input 'scalar' has no 'scale'"),
    (lambda d: d["inputs"][0]["variables"][1].update(scale=None), "scale of variable 'v1'"),
    (lambda d: d["input_sequences"][1].update(name="seq0"), "input sequence 'seq0' comes twice"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_broken_networks(data: dict[str, Any], change: Callable[[dict[str, Any]], Any], message: str) -> None:
    broken = copy.deepcopy(data)
    change(broken)
    with pytest.raises(NetworkError, match=message):
        read_lwtnn(broken)


def test_hint_names_the_nearest(data: dict[str, Any]) -> None:
    broken = copy.deepcopy(data)
    _layer(broken, "dense")["activation"] = "rectifed"
    with pytest.raises(NetworkError) as caught:
        read_lwtnn(broken)
    assert "rectified" in caught.value.hint


FILES: list[tuple[bytes, str]] = [
    (b"", "empty"),
    (b"   \n", "empty"),
    (b'{"inputs": [', "malformed JSON"),
    (b'{"inputs": [], "inputs": []}', "'inputs' twice"),
    (b"[1, 2]", "no network"),
    (b"{}", "no lwtnn network"),
    (b'{"layers": [], "inputs": [], "outputs": [], "x": NaN}', "NaN"),
    (b'{"a":' * 100_000, "nested"),
    (b"[" * 100_000 + b"]" * 100_000, "nested"),
    (b'{"a": "\xff"}', "malformed JSON"),
    (b"[" + b"]" * 1000, "malformed JSON: more brackets close than open"),
    (b'{"a": "\\ud800"}', "malformed JSON"),
    (b"5", "neither lwtnn JSON nor ONNX"),
    (b'{"a": ' + b"9" * 5000 + b"}", "malformed JSON|no lwtnn network"),
    (b"\x08\x07garbage", "neither lwtnn JSON nor ONNX"),
    (b"\x80\x04\x95pickle", "this is a pickle, which may run any code"),
    (b"root\x00\x00", "holds no forest of MVAUtils"),
    (b"PK\x03\x04 a zip", "keras file is damaged"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_files_that_are_no_network(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match=message) as caught:
        load(path)
    assert str(path) in caught.value.where


def test_missing_and_absurdly_large_files(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="cannot be read"):
        load(tmp_path / "nothing.json")
    for endless in (Path("/dev/zero"), tmp_path):
        with pytest.raises(NetworkError, match="no file"):
            load(endless)
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(600 * 1024**2)
    with pytest.raises(NetworkError, match="more than any network needs"):
        load(tmp_path / "large.json")


def test_deep_chains_are_no_problem() -> None:
    bare = {"architecture": "dense", "weights": [], "bias": [], "activation": "tanh"}
    data = {
        "inputs": [{"name": "x", "variables": [{"name": "a", "offset": 0, "scale": 1}]}],
        "input_sequences": [],
        "layers": [bare],
        "nodes": [{"type": "input", "sources": [0], "size": 1}]
        + [{"type": "feed_forward", "sources": [k], "layer_index": 0} for k in range(5000)],
        "outputs": {"y": {"node_index": 5000, "labels": ["y"]}},
    }
    assert read_lwtnn(data).evaluate({"x": [[0.0]]})["y"] == 0
    data["nodes"][0] = {"type": "feed_forward", "sources": [5000], "layer_index": 0}  # type: ignore[index]
    with pytest.raises(NetworkError, match="cycle"):
        read_lwtnn(data)


INPUTS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda i: i.pop("scalar"), "input 'scalar' is missing"),
    (lambda i: i.update(more=1), "no input 'more'"),
    (lambda i: i.update(scalar={"v0": [1.0], "v1": [1.0]}), "variable 'v2' is missing"),
    (
        lambda i: i.update(scalar={"v0": [1.0] * 2, "v1": [1.0] * 2, "v2": [1.0] * 2, "v3": [1.0] * 2}),
        "no variable 'v3'",
    ),
    (lambda i: i.update(scalar={"v0": [1.0] * 2, "v1": [1.0], "v2": [1.0] * 2}), "variable 'v1' has 1 values"),
    (lambda i: i.update(scalar=np.ones((2, 4))), r"shape \(2, 4\)"),
    (lambda i: i.update(scalar=np.ones((3, 3))), "counts for 2 rows"),
    (lambda i: i.update(scalar=[["a", "b", "c"]] * 2), "not numbers"),
    (lambda i: i.update(scalar=[[1.0], [1.0, 2.0]]), "ragged"),
    (lambda i: i.update(seq0=i["seq0"][0]), "takes a pair"),
    (lambda i: i.update(seq0=(i["seq0"][0], [1, 1])), "shape|values"),
    (lambda i: i.update(seq0=(i["seq0"][0], [-1, 4])), "whole numbers"),
    (lambda i: i.update(seq0=(i["seq0"][0], [1.0, 2.0])), "whole numbers"),
]


@pytest.mark.parametrize(("change", "message"), INPUTS)
def test_inputs_that_do_not_fit(data: dict[str, Any], change: Callable[[dict[str, Any]], Any], message: str) -> None:
    network = read_lwtnn(data)
    inputs: dict[str, Any] = {"scalar": np.ones((2, 3))}
    for group in network.input_sequences:
        inputs[group.name] = (np.ones((3, len(group.variables))), [1, 2])
    network.evaluate(inputs)
    change(inputs)
    with pytest.raises(NetworkError, match=message):
        network.evaluate(inputs)


CASES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda c: c["in"]["inputs"]["scalar"].pop("v1"), "case 1: input 'scalar': variable 'v1' is missing"),
    (lambda c: c["in"]["inputs"]["scalar"].update(more=1.0), "case 1: input 'scalar' has no variable 'more'"),
    (lambda c: c["in"]["inputs"].update(more={}), "case 1: the network has no input 'more'"),
    (lambda c: c["in"]["input_sequences"].pop("seq1"), "case 1: input 'seq1' is missing"),
    (lambda c: c["in"]["input_sequences"]["seq0"]["v0"].append(1.0), "case 1: variable '.*' of input 'seq0' has"),
    (lambda c: c["in"]["input_sequences"]["seq0"].update(v0=1.0), "is no list"),
    (lambda c: c["in"]["inputs"]["scalar"].update(v0="x"), "is a text, not a number"),
    (lambda c: c["in"].update(inputs=5), "case 1: 'inputs' is no object"),
    (lambda c: c["in"].update(input_sequences=[None]), "case 1: 'input_sequences' is no object"),
    (lambda c: c.pop("in"), "case 1 has no 'in'"),
]


@pytest.mark.parametrize(("change", "message"), CASES)
def test_cases_that_do_not_fit(make_network: Any, make_cases: Any, change: Callable[[Any], Any], message: str) -> None:
    data = next(d for d in map(make_network, range(99)) if len(d["input_sequences"][0]["variables"]) > 1)
    cases = make_cases(data, 3, 0)
    change(cases[1])
    with pytest.raises(NetworkError, match=message):
        evaluate_cases(read_lwtnn(data), cases)


def test_cases_to_compare_with(data: dict[str, Any], make_cases: Any, tmp_path: Path) -> None:
    cases = make_cases(data, 2, 0)
    results = evaluate_cases(read_lwtnn(data), cases)
    with pytest.raises(NetworkError, match='no "out"'):
        largest_difference(results, cases)
    for case, result in zip(cases, results, strict=True):
        case["out"] = copy.deepcopy(result)
    assert largest_difference(results, cases) == (0.0, "nowhere")
    label = next(iter(cases[1]["out"]["b"]))
    cases[1]["out"]["b"][label] = float("nan")
    assert largest_difference(results, cases)[0] == float("inf")
    cases[1]["out"]["b"][label] = results[1]["b"][label] + 0.5
    difference, place = largest_difference(results, cases)
    assert difference == pytest.approx(0.5)
    assert place == f"case 1, output b, label {label}"
    cases[1]["out"].pop("b")
    with pytest.raises(NetworkError, match="expects the outputs"):
        largest_difference(results, cases)
    (tmp_path / "cases.json").write_text('{"cases": [{"inn": {}}]}')
    with pytest.raises(NetworkError, match="case 0 has no 'in'"):
        read_cases(tmp_path / "cases.json")


def _outcome(path: Path, inputs: dict[str, Any]) -> dict[str, np.ndarray] | None:
    """Load and evaluate a file; None where a NetworkError says that it is damaged."""
    try:
        return load(path).evaluate(inputs)
    except NetworkError:
        return None


@pytest.fixture(scope="module")
def written(make_network: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a network as lwtnn JSON and ONNX, inputs, and the right outputs."""
    folder = tmp_path_factory.mktemp("damaged")
    network = read_lwtnn(make_network(4))
    write_lwtnn(network, folder / "network.json")
    write_onnx(network, folder / "network.onnx")
    inputs: dict[str, Any] = {"scalar": np.full((3, 3), 0.5)}
    for group in network.input_sequences:
        inputs[group.name] = (np.full((4, len(group.variables)), -0.3), [1, 0, 3])
    return folder, inputs, network.evaluate(inputs)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["json", "onnx"]), st.data())
def test_damaged_files_raise_or_give_the_right_numbers(written: Any, ending: str, data: st.DataObject) -> None:
    folder, inputs, wanted = written
    content = bytearray((folder / f"network.{ending}").read_bytes())
    damages = data.draw(st.integers(1, 4))
    for _ in range(damages):
        place = data.draw(st.integers(0, len(content) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "remove", "repeat"]))
        if what == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            del content[max(place, 1) :]
        elif what == "remove":
            del content[place : place + data.draw(st.integers(1, 40))]
        else:
            content[place:place] = content[place : place + data.draw(st.integers(1, 40))]
        if not content:
            break
    path = folder / f"damaged.{ending}"
    path.write_bytes(bytes(content))
    found = _outcome(path, inputs)
    if found is not None and damages == 1:  # several may hit the numbers and their checksum
        # damage outside the network itself: a version text, a space, or the names of inputs and outputs elsewhere
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.floats(allow_nan=False)
    | st.sampled_from(["dense", "lstm", "input", "", "v0"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "weights", "bias", "type"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_anywhere_raises_only_network_errors(make_network: Any, data: st.DataObject) -> None:
    network = json.loads(json.dumps(make_network(data.draw(st.integers(0, 20)))))
    place: Any = network
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.integers(0, 3)) == 0:
            if data.draw(st.booleans()):
                place[key] = data.draw(VALUES)
            else:
                del place[key]
            break
        place = place[key]
    try:
        made = read_lwtnn(network)
        inputs: dict[str, Any] = {group.name: np.zeros((2, len(group.variables))) for group in made.inputs}
        for group in made.input_sequences:
            inputs[group.name] = (np.zeros((2, len(group.variables))), [2, 0])
        for name, values in made.evaluate(inputs, dtype=np.float64).items():
            output = next(o for o in made.outputs if o.name == name)
            assert values.shape[1] == len(output.labels)
    except NetworkError:
        return


def test_importing_and_evaluating_needs_no_heavy_library(tmp_path: Path, make_network: Any) -> None:
    path = tmp_path / "network.json"
    path.write_text(json.dumps(make_network(1)))
    code = (
        "import sys, hepflow.networks; from hepflow.networks import load;"
        f"load({str(path)!r}).evaluator();"
        "print([m for m in ('onnx', 'onnxruntime', 'keras', 'tensorflow', 'h5py', 'awkward') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
