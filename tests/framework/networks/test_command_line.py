"""convert and evaluate as commands, and what inspect shows of a network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hepflow.cli.convert import convert_command
from hepflow.cli.evaluate import evaluate_command
from hepflow.cli.model import show_model
from hepflow.errors import NetworkError
from hepflow.networks import load


@pytest.fixture
def files(make_network: Any, make_cases: Any, plain: Any, tmp_path: Path) -> Path:
    data = make_network(6)
    cases = make_cases(data, 4, 0)
    for case in cases:
        case["out"] = json.loads(json.dumps(plain(data)(case), default=float))
    (tmp_path / "n.json").write_text(json.dumps(data))
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}))
    return tmp_path


def test_convert_then_evaluate(files: Path) -> None:
    runner = CliRunner()
    for target in ("again.json", "n.onnx"):
        made = runner.invoke(
            convert_command, [str(files / "n.json"), "-o", str(files / target)], catch_exceptions=False
        )
        assert made.exit_code == 0
        arguments = [str(files / target), str(files / "cases.json"), "--check", "--tolerance", "1e-3"]
        checked = runner.invoke(evaluate_command, arguments, catch_exceptions=False)
        assert checked.output.startswith("largest difference of 4 cases: ")
    printed = runner.invoke(
        evaluate_command, [str(files / "n.json"), str(files / "cases.json"), "--float64"], catch_exceptions=False
    )
    lines = [json.loads(line) for line in printed.output.splitlines()]
    wanted = json.loads((files / "cases.json").read_text())["cases"]
    for line, case in zip(lines, wanted, strict=True):
        for name, labels in case["out"].items():
            np.testing.assert_allclose(list(line[name].values()), list(labels.values()), rtol=1e-10, atol=1e-12)


def test_check_fails_above_the_tolerance(files: Path) -> None:
    cases = json.loads((files / "cases.json").read_text())
    label = next(iter(cases["cases"][2]["out"]["a"]))
    cases["cases"][2]["out"]["a"][label] += 0.25
    (files / "cases.json").write_text(json.dumps(cases))
    with pytest.raises(NetworkError, match=r"differ by 0\.25") as caught:
        CliRunner().invoke(
            evaluate_command,
            [str(files / "n.json"), str(files / "cases.json"), "--check", "--float64"],
            catch_exceptions=False,
        )
    assert "case 2, output a" in caught.value.where


@pytest.mark.parametrize(
    "arguments", [["n.json", "-o", "n.txt"], ["n.json", "n.json", "-o", "x.json"], ["no.json", "-o", "x.json"]]
)
def test_sources_and_targets_that_do_not_fit(files: Path, arguments: list[str]) -> None:
    with pytest.raises(NetworkError):
        CliRunner().invoke(
            convert_command, [a if a == "-o" else str(files / a) for a in arguments], catch_exceptions=False
        )


def test_description(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = load(files / "n.json")
    data = json.loads((files / "n.json").read_text())
    assert found.format == "lwtnn JSON"
    assert len(found.graph) == len(data["nodes"])
    assert [group.name for group in found.input_sequences] == ["seq0", "seq1"]
    assert found.n_parameters == sum(len(v) for layer in data["layers"] for v in _lists(layer))
    show_model(str(files / "n.json"))
    shown = capsys.readouterr().out
    assert "seq1" in shown
    assert hashlib.sha256((files / "n.json").read_bytes()).hexdigest() in shown


def _lists(value: Any) -> list[list[float]]:
    """Return all lists of numbers inside a layer."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in _lists(inner)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [found for inner in value for found in _lists(inner)]
    return [value] if isinstance(value, list) else []


def test_the_names_of_an_onnx_model_stand_beside_the_cases(vectors: Path, tmp_path: Path) -> None:
    """The network of onnx_cpp_minimal with its reference rows, under the names of its variables."""
    folder = vectors.parent / "hh"
    if not (folder / "onnx_cpp_minimal_model.onnx").exists():
        pytest.skip(f"{folder} is not there: a network of peppapiggyme/onnx_cpp_minimal")
    reference = json.loads((folder / "onnx_cpp_minimal.reference.json").read_text())
    names, labels = reference["variables"], reference["classes"]
    cases = [
        {
            "in": {"inputs": {"input": dict(zip(names, row, strict=True))}},
            "out": {"output": dict(zip(labels, out, strict=True))},
        }
        for row, out in zip(reference["rows"], reference["log_softmax"], strict=True)
    ]

    def run(declared: Any) -> str:
        (tmp_path / "cases.json").write_text(json.dumps({"cases": cases, "declare": declared}))
        arguments = [str(folder / "onnx_cpp_minimal_model.onnx"), str(tmp_path / "cases.json")]
        done = CliRunner().invoke(
            evaluate_command, [*arguments, "--check", "--tolerance", "2e-6"], catch_exceptions=False
        )
        return done.output

    assert run({"inputs": {"input": names}, "labels": {"output": labels}}).startswith("largest difference of 64 cases")
    for wrong, message in (
        ({"input": {"input": names}}, "nothing is declared by 'input'"),
        ({"inputs": {"input": "mHH"}}, "is a text, not a list"),
        ({"inputs": {"input": [None] * 5}}, "is null, not a text"),
        ({"inputs": {"inputs": names}}, "no input 'inputs'"),
    ):
        with pytest.raises(NetworkError, match=message):
            run(wrong)
