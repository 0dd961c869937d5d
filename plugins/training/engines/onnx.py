"""ONNX that other libraries export, with inputs and description as in hepflow's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepflow.files import write_bytes
from hepflow.networks.onnx_file import RECORD
from hepflow.networks.onnx_write import sign
from hepflow.plugins.training.engines.base import Plan

__all__ = ["describe", "write_described"]


def describe(plan: Plan, output: str, record: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return the description that ``hepflow.networks.onnx_runtime`` reads; tensors have the names of the inputs."""
    groups: dict[str, list[dict[str, Any]]] = {"inputs": [], "input_sequences": []}
    for one in plan.inputs:
        variables = [
            {"name": name, "offset": offset, "scale": scale}
            for name, offset, scale in zip(one.variables, one.offset, one.scale, strict=True)
        ]
        entry: dict[str, Any] = {"name": one.name, "tensor": one.name, "variables": variables}
        if one.cap is not None:
            entry["counts"] = f"{one.name}_counts"
        groups["inputs" if one.cap is None else "input_sequences"].append(entry)
    outputs = [{"name": output, "tensor": output, "labels": list(plan.classes), "sequence": None}]
    return {**groups, "outputs": outputs, "record": {**record, "origin": origin}}


def write_described(
    content: bytes, path: Path, plan: Plan, output: str, record: Mapping[str, Any], origin: str
) -> None:
    """Check ONNX that a library made, describe it and write it."""
    import onnx

    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    facts = {RECORD: json.dumps(describe(plan, output, record, origin)), "origin": origin}
    write_bytes(path, sign(model, facts))
