"""The reference networks: outputs of C++ lwtnn 2.14.1 in double precision, and the Keras 2 files they came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepflow.networks import (
    convert,
    evaluate_cases,
    largest_difference,
    load,
    read_cases,
    read_keras2,
    to_lwtnn,
    write_onnx,
)

NAMES = ["dsnn", "lstm", "tauid", "convmix", "dense"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("float64", "tolerance"), [(True, 1e-9), (False, 1e-5)])
def test_outputs_of_lwtnn(vectors: Path, name: str, float64: bool, tolerance: float) -> None:
    network = load(vectors / f"{name}.lwtnn.json")
    cases = read_cases(vectors / f"{name}.cases.json")
    difference, place = largest_difference(evaluate_cases(network, cases, float64=float64), cases)
    assert len(cases) == 64
    assert difference < tolerance, place


@pytest.mark.parametrize("name", NAMES)
def test_onnx_gives_the_same(vectors: Path, tmp_path: Path, name: str) -> None:
    write_onnx(load(vectors / f"{name}.lwtnn.json"), tmp_path / "network.onnx")
    cases = read_cases(vectors / f"{name}.cases.json")
    difference, place = largest_difference(evaluate_cases(load(tmp_path / "network.onnx"), cases), cases)
    assert difference < 1e-5, place


@pytest.mark.parametrize("name", NAMES)
def test_keras2_files_convert_to_the_network_of_lwtnn(vectors: Path, tmp_path: Path, name: str) -> None:
    wanted = json.loads((vectors / f"{name}.lwtnn.json").read_text())
    network = read_keras2(*(vectors / f"{name}.{part}" for part in ("arch.json", "h5", "variables.json")))
    found = to_lwtnn(network)
    assert {key: found[key] for key in wanted} == wanted
    convert([vectors / f"{name}.{part}" for part in ("arch.json", "h5", "variables.json")], tmp_path / "made.json")
    assert to_lwtnn(load(tmp_path / "made.json"))["layers"] == wanted["layers"]


@pytest.mark.parametrize(("name", "numbers"), [("dsnn", 48_705), ("lstm", 58_765)])
def test_numbers_of_the_reference_networks(vectors: Path, name: str, numbers: int) -> None:
    assert load(vectors / f"{name}.lwtnn.json").n_parameters == numbers


def test_a_wrong_weight_shows(vectors: Path) -> None:
    data = json.loads((vectors / "dense.lwtnn.json").read_text())
    data["layers"][1]["weights"][5] += 0.01
    from hepflow.networks import read_lwtnn

    cases = read_cases(vectors / "dense.cases.json")
    assert largest_difference(evaluate_cases(read_lwtnn(data), cases), cases)[0] > 1e-5


def test_block_size_does_not_matter(vectors: Path) -> None:
    network = load(vectors / "lstm.lwtnn.json")
    rng = np.random.default_rng(0)
    inputs = {}
    for group in network.input_sequences:
        counts = rng.integers(0, 6, 500)
        inputs[group.name] = (rng.standard_normal((counts.sum(), len(group.variables))), counts)
    wanted = network.evaluator(np.float64)(inputs)["classes"]
    for block in (1, 7, 100, 4096):
        assert np.abs(network.evaluator(np.float64)(inputs, block=block)["classes"] - wanted).max() < 1e-14
        assert np.abs(network.evaluator(np.float32)(inputs, block=block)["classes"] - wanted).max() < 2e-6
