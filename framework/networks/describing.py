"""What a model file holds: inputs with variables, graph, outputs, number of parameters, origin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepflow.networks import jsontext
from hepflow.networks.graph import InputNode, Network, Output
from hepflow.networks.loading import load
from hepflow.networks.onnx_runtime import OnnxNetwork

__all__ = ["Description", "describe"]


@dataclass(frozen=True)
class Description:
    """A summary of a model file. ``graph`` has one line a node, or a tensor of an ONNX model; ``n_parameters`` is
    None for ONNX.
    """

    path: str
    format: str
    origin: str
    sha256: str
    inputs: tuple[InputNode, ...]
    input_sequences: tuple[InputNode, ...]
    outputs: tuple[Output, ...]
    graph: tuple[str, ...]
    n_parameters: int | None
    record: dict[str, Any]


def describe(path: str | Path) -> Description:
    """Open a model file and summarise it; raises NetworkError where it is damaged."""
    digest = hashlib.sha256(jsontext.read_bytes(path)).hexdigest()
    network = load(path)
    if isinstance(network, OnnxNetwork):
        graph = _tensors(network)
    else:
        graph = [_node(network, number) for number in network.order]
    return Description(
        str(path),
        _format(network),
        str(network.record.get("origin", network.origin)),
        digest,
        network.inputs,
        network.input_sequences,
        network.outputs,
        tuple(graph),
        network.n_parameters if isinstance(network, Network) else None,
        dict(network.record),
    )


def _tensors(network: OnnxNetwork) -> list[str]:
    """Return one line a tensor: axes, type, what hepflow takes it for; then what must be declared."""
    lines = []
    for tensor in network.tensors:
        layout = network.layouts.get(tensor.name)
        least = network.trial.least.get(tensor.name, 0)
        objects = f", at least {least} objects" if least else ""
        lines.append(f"in  {tensor}" + (f": axes {', '.join(layout.axes) or 'none'}{objects}" if layout else ""))
    names = {output.node: output for output in network.outputs}
    for number, tensor in enumerate(network.results):
        line = f"out {tensor}"
        if number in names:
            owner = network.sequence_of(names[number])
            line += (
                f": {len(names[number].labels)} a tau" if owner is None else f": a row for each object of {owner[0]}"
            )
        elif tensor.name in network.trial.left:
            line += f": left aside, it {network.trial.left[tensor.name]}"
        lines.append(line)
    if network.problem is None and network.described is None:
        lines.append("the file has no names for variables and values: give yours (Inputs, InputSequences, Labels)")
    elif network.problem is not None:
        lines += [network.problem.message, *([network.problem.hint] if network.problem.hint else [])]
    return lines


def _format(network: Network | OnnxNetwork) -> str:
    if isinstance(network, OnnxNetwork):
        return "ONNX"
    return network.origin if network.origin.startswith("Keras") else "lwtnn JSON"


def _node(network: Network, number: int) -> str:
    """Return one line: number, type, layer and sizes of a node, and where its input comes from."""
    node = network.nodes[number]
    if node.type in ("input", "input_sequence"):
        group = (network.inputs if node.type == "input" else network.input_sequences)[node.sources[0]]
        return f"{number}: {node.type} {group.name} → {network.sizes[number]}"
    what = ""
    if node.layer is not None:
        layer = network.layers[node.layer]
        functions = ", ".join(str(a) for a in layer.activations if a.function != "linear")
        what = f" {layer.kind}" + (f" ({functions})" if functions else "")
    sources = ", ".join(map(str, node.sources))
    return f"{number}: {node.type}{what} of {sources} → {network.sizes[number]}"
