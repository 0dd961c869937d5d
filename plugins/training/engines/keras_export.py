"""Files of a Keras network: lwtnn JSON, where lwtnn can express it, and ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks import Network, from_keras, write_lwtnn, write_onnx
from hepflow.plugins.training.architectures.base import BARE
from hepflow.plugins.training.configuration import NetworkPlan
from hepflow.plugins.training.engines.keras_onnx import write_keras_onnx

__all__ = ["LWTNN", "ONNX", "export", "to_network"]

LWTNN, ONNX = "weights-for-lwtnn.json", "model.onnx"


def export(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any], folder: Path) -> str:
    """Write both files; returns why lwtnn cannot express the network, empty where it can."""
    refused = plan.architecture.NO_LWTNN
    if not refused:
        try:
            network = to_network(model, plan, output, record)
        except NetworkError as error:
            refused = f"{error.message}; {error.hint}" if error.hint else error.message
    if refused:
        write_keras_onnx(model, plan, output, record, folder / ONNX)
    else:
        write_lwtnn(network, folder / LWTNN)
        write_onnx(network, folder / ONNX)
    return refused


def to_network(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any]) -> Network:
    """Return the network in lwtnn's words: the same weights without masks, offset and scale at the inputs.

    Raises NetworkError for what lwtnn cannot express.
    """
    bare = plan.build(BARE)
    bare.set_weights(model.get_weights())
    groups: dict[str, list[Any]] = {"inputs": [], "input_sequences": []}
    for one in plan.inputs:
        variables = [
            {"name": name, "offset": offset, "scale": scale}
            for name, offset, scale in zip(one.variables, one.offset, one.scale, strict=True)
        ]
        groups["inputs" if one.cap is None else "input_sequences"].append({"name": one.name, "variables": variables})
    outputs = [{"name": output, "labels": list(plan.classes)}]
    return from_keras(bare, {**groups, "outputs": outputs}, record)
