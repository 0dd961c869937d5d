"""How models show themselves: nodes and layers, or tensors of ONNX, in lines of text; a table in notebooks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hepflow.html import table

if TYPE_CHECKING:
    from hepflow.networks.graph import Network
    from hepflow.networks.onnx_runtime import OnnxNetwork
    from hepflow.protocols import Model

__all__ = ["Shown", "nodes", "tensors"]

LONGEST = 200
"""Characters of a value of the record in a notebook."""


class Shown:
    """Shows a model in a notebook: inputs, outputs, format and record."""

    def _repr_html_(self: Model) -> str:
        rows = [("format", self.format)]
        rows += [("inputs", f"{group.name}: {', '.join(group.names)}") for group in self.inputs]
        rows += [("sequences", f"{group.name}: {', '.join(group.names)}") for group in self.input_sequences]
        rows += [("outputs", f"{output.name}: {', '.join(output.labels)}") for output in self.outputs]
        rows += [("parameters", f"{self.n_parameters:,}")] if self.n_parameters is not None else []
        for name, value in self.record.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((name, text if len(text) <= LONGEST else f"{text[:LONGEST]}…"))
        return table(("", "model"), rows)


def nodes(network: Network) -> tuple[str, ...]:
    """Return one line a node."""
    return tuple(_node(network, number) for number in network.order)


def tensors(network: OnnxNetwork) -> tuple[str, ...]:
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
                f": {len(names[number].labels)} a row" if owner is None else f": a row for each object of {owner[0]}"
            )
        elif tensor.name in network.trial.left:
            line += f": left aside, it {network.trial.left[tensor.name]}"
        lines.append(line)
    if network.problem is None and network.described is None:
        lines.append("the file has no names for variables and values: give yours (Inputs, InputSequences, Labels)")
    elif network.problem is not None:
        lines += [network.problem.message, *([network.problem.hint] if network.problem.hint else [])]
    return tuple(lines)


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
