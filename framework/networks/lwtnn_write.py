"""Writing lwtnn graph JSON that C++ lwtnn 2.x reads, with hepflow's own record under a key that lwtnn ignores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.files import write_text
from hepflow.networks.graph import InputNode, Network, Node
from hepflow.networks.layers import GATES, Conv1d, Dense, Embedding, Highway, Layer, Maxout, Normalization, Recurrent

__all__ = ["checksum", "own_record", "to_lwtnn", "write_lwtnn"]

FORMAT = 1
PIECE, STEP = 10_000, 1_000
_CONTENT = ("inputs", "input_sequences", "nodes", "layers", "outputs")


def write_lwtnn(network: Network, path: str | Path) -> None:
    """Write a network as lwtnn graph JSON, in one step; raises OutputError where the file cannot be written."""
    write_text(path, json.dumps(to_lwtnn(network), sort_keys=True) + "\n")


def to_lwtnn(network: Network) -> dict[str, Any]:
    """Return the network as the content of an lwtnn graph JSON file."""
    data: dict[str, Any] = {
        "inputs": [_input(group) for group in network.inputs],
        "input_sequences": [_input(group) for group in network.input_sequences],
        "nodes": [_node(node, size) for node, size in zip(network.nodes, network.sizes, strict=True)],
        "layers": [layer_to_json(layer) for layer in network.layers],
        "outputs": {
            output.name: {"node_index": output.node, "labels": list(output.labels)} for output in network.outputs
        },
    }
    return {**data, "hepflow": own_record(network, checksum(data))}


def own_record(network: Network, digest: str) -> dict[str, Any]:
    """Return hepflow's record of a network as it goes into a file."""
    record = {"origin": network.origin, **network.record}
    known = record.get("versions")
    versions = known if isinstance(known, dict) else {}
    return {
        **record,
        "versions": {**versions, "hepflow": metadata.version("hepflow")},
        "format": FORMAT,
        "checksum": digest,
    }


def checksum(data: dict[str, Any]) -> str:
    """Return the SHA-256 of inputs, nodes, layers and outputs, independent of layout, order of keys and ``1`` for
    ``1.0``.
    """
    digest = hashlib.sha256()
    for piece in _canonical({key: data.get(key) for key in _CONTENT}):
        digest.update(piece.encode())
    return digest.hexdigest()


def _canonical(value: Any) -> Iterator[str]:
    """Yield JSON without blanks, keys sorted, whole numbers as floats; in pieces, as the whole takes much memory."""
    if _leaves(value) <= PIECE:
        yield _compact(value)
    elif isinstance(value, dict):
        for number, key in enumerate(sorted(value)):
            yield f"{',' if number else '{'}{json.dumps(key)}:"
            yield from _canonical(value[key])
        yield "}"
    else:
        for start in range(0, len(value), STEP):
            part = value[start : start + STEP]
            if _leaves(part) <= PIECE:
                yield ("," if start else "[") + _compact(part)[1:-1]
                continue
            for number, inner in enumerate(part, start):
                yield "," if number else "["
                yield from _canonical(inner)
        yield "]"


def _leaves(value: Any) -> int:
    """Return about how many values JSON holds: exact up to PIECE."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 1
    if len(value) > PIECE or {dict, list}.isdisjoint(map(type, value)):
        return len(value)
    return sum(map(_leaves, value))


def _compact(value: Any) -> str:
    return json.dumps(_floats(value), sort_keys=True, separators=(",", ":"))


def _floats(value: Any) -> Any:
    """Return the value with whole numbers as floats."""
    if isinstance(value, dict):
        return {key: _floats(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [float(inner) if type(inner) is int and abs(inner) < 2**53 else _floats(inner) for inner in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value


def _input(group: InputNode) -> dict[str, Any]:
    variables = []
    for variable in group.variables:
        entry: dict[str, Any] = {"name": variable.name, "offset": variable.offset, "scale": variable.scale}
        if variable.default is not None:
            entry["default"] = variable.default
        variables.append(entry)
    return {"name": group.name, "variables": variables}


def _node(node: Node, size: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": node.type, "sources": list(node.sources)}
    if node.type.startswith("input"):
        entry["size"] = size
    if node.layer is not None:
        entry["layer_index"] = node.layer
    return entry


def _flat(array: NDArray[np.float64] | None) -> list[float]:
    return [] if array is None else array.ravel().tolist()


def layer_to_json(layer: Layer) -> dict[str, Any]:
    """Return a layer in lwtnn's form."""
    entry: dict[str, Any] = {"architecture": layer.kind}
    if isinstance(layer, (Dense, Normalization)):
        entry |= {"weights": _flat(layer.weights), "bias": _flat(layer.bias)}
        if isinstance(layer, Dense):
            entry["activation"] = layer.activation.to_json()
    elif isinstance(layer, Maxout):
        parts = zip(layer.weights, layer.bias, strict=True)
        entry["sublayers"] = [{"architecture": "dense", "weights": _flat(w), "bias": _flat(b)} for w, b in parts]
    elif isinstance(layer, Highway):
        entry["components"] = {
            "t": {"weights": _flat(layer.weights), "bias": _flat(layer.bias)},
            "carry": {"weights": _flat(layer.carry_weights), "bias": _flat(layer.carry_bias)},
        }
        entry["activation"] = layer.activation.to_json()
    elif isinstance(layer, Recurrent):
        entry |= _recurrent(layer)
    elif isinstance(layer, Conv1d):
        weights = _flat(np.ascontiguousarray(layer.weights.transpose(1, 2, 0)))
        entry |= {"weights": weights, "bias": _flat(layer.bias), "activation": layer.activation.to_json()}
        entry |= {"padding": layer.padding, "dilation_rate": layer.dilation}
    elif isinstance(layer, Embedding):
        entry["sublayers"] = [
            {"index": index, "n_out": table.shape[0], "weights": _flat(table)} for index, table in layer.tables
        ]
    return entry


def _recurrent(layer: Recurrent) -> dict[str, Any]:
    units = layer.n_out
    components = {}
    for number, gate in enumerate(GATES[layer.cell]):
        rows = slice(number * units, (number + 1) * units)
        components[gate] = {
            "weights": _flat(layer.weights[rows]),
            "U": _flat(layer.recurrent[rows]),
            "bias": _flat(layer.bias[rows]),
        }
    entry: dict[str, Any] = {"components": components, "activation": layer.activation.to_json()}
    if layer.cell != "simplernn":
        entry["inner_activation"] = layer.inner_activation.to_json()
    return entry
