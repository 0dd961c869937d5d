"""lwtnn JSON, both forms: a graph (inputs, input_sequences, nodes, layers, outputs) and the older sequential list of
layers.

What C++ lwtnn 2.14 accepts is read with the numbers that it computes. Refused, with the reason, is what it accepts and
cannot mean: keys, inputs or labels of one name twice, and a recurrent layer behind a feed-forward one in the sequential
form (C++ lwtnn moves it to the front). An embedding replaces the feature it names; C++ lwtnn does so for the last only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest
from hepflow.networks import jsontext
from hepflow.networks.activations import Activation
from hepflow.networks.graph import (
    NODE_TYPES,
    InputNode,
    InputVariable,
    Network,
    Node,
    Output,
    check_structure,
    concatenated,
    topological_order,
)
from hepflow.networks.layers import (
    GATES,
    PADDINGS,
    Conv1d,
    Dense,
    Embedding,
    Highway,
    Layer,
    Maxout,
    Normalization,
    Recurrent,
)
from hepflow.networks.lwtnn_write import checksum

__all__ = ["SEQUENTIAL_INPUT", "SEQUENTIAL_OUTPUT", "read_lwtnn"]

# The sequential form names neither; these are the names lwtnn itself gives when it turns one into a graph.
SEQUENTIAL_INPUT = "input_node"
SEQUENTIAL_OUTPUT = "output_node"
_log = logging.getLogger(__name__)
_RECURRENT = ("lstm", "gru", "simplernn", "conv1d", "embedding")


def read_lwtnn(data: Any) -> Network:
    """Make a network of parsed lwtnn JSON; unknown top-level keys are ignored.

    Raises NetworkError, naming node, layer or variable, where it is no network or its parts do not fit.
    """
    if not isinstance(data, dict):
        raise NetworkError("the JSON is no network: lwtnn files hold an object with layers, inputs and outputs")
    record = _own_record(data)
    if "nodes" in data or "input_sequences" in data:
        return _read_graph(data, record)
    if "layers" in data and "inputs" in data and "outputs" in data:
        return _read_sequential(data, record)
    wanted = "inputs, input_sequences, nodes, layers, outputs (graph) or inputs, layers, outputs (sequential)"
    raise NetworkError(
        "the JSON is no lwtnn network",
        hint=f"it needs the keys {wanted}; it has {', '.join(sorted(data)[:10]) or 'none'}",
    )


def _own_record(data: dict[str, Any]) -> dict[str, Any]:
    """Return what hepflow wrote beside the network; raises NetworkError where the network was changed since."""
    record = data.get("hepflow", {})
    if not isinstance(record, dict):
        return {}
    if "checksum" in record and record["checksum"] != checksum(data):
        raise NetworkError(
            "the network was changed after hepflow wrote it, or is damaged",
            hint="its checksum does not fit; convert it again",
        )
    return {key: value for key, value in record.items() if key not in ("checksum", "format")}


def _read_graph(data: dict[str, Any], record: dict[str, Any]) -> Network:
    inputs = [read_input(entry, "inputs") for entry in jsontext.section(data, "inputs", list, "the network")]
    sequences = [
        read_input(entry, "input_sequences") for entry in jsontext.section(data, "input_sequences", list, "the network")
    ]
    nodes = [
        _read_node(entry, number, (inputs, sequences))
        for number, entry in enumerate(jsontext.section(data, "nodes", list, "the network"))
    ]
    layers, renumbered = _read_layers(jsontext.section(data, "layers", list, "the network"), nodes, (inputs, sequences))
    outputs = []
    for name, entry in jsontext.section(data, "outputs", dict, "the network").items():
        where = f"output {name!r}"
        labels = [
            jsontext.text(label, f"a label of {where}") for label in jsontext.section(entry, "labels", list, where)
        ]
        outputs.append(Output(name, jsontext.integer(entry.get("node_index"), f"node_index of {where}"), tuple(labels)))
    return Network(tuple(inputs), tuple(sequences), renumbered, layers, tuple(outputs), record, "lwtnn graph JSON")


def read_input(entry: Any, group: str, defaults: dict[str, Any] | None = None) -> InputNode:
    """Read a named input with its variables; raises NetworkError."""
    name = jsontext.text(jsontext.section(entry, "name", str, f"an entry of {group}"), "name")
    where = f"input {name!r}"
    variables = [read_variable(variable, where) for variable in jsontext.section(entry, "variables", list, where)]
    return InputNode(name, tuple(variables))


def read_variable(entry: Any, where: str) -> InputVariable:
    """Read one variable: name, offset, scale and perhaps default; raises NetworkError."""
    name = jsontext.section(entry, "name", str, f"a variable of {where}")
    what = f"variable {name!r} of {where}"
    for key in ("offset", "scale"):
        if key not in entry:
            raise NetworkError(f"{what} has no {key!r}")
    default = entry.get("default")
    return InputVariable(
        name,
        jsontext.number(entry["offset"], f"offset of {what}"),
        jsontext.number(entry["scale"], f"scale of {what}"),
        None if default is None else jsontext.number(default, f"default of {what}"),
    )


def _read_node(entry: Any, number: int, groups: tuple[list[InputNode], list[InputNode]]) -> Node:
    where = f"node {number}"
    kind = jsontext.section(entry, "type", str, where)
    if kind not in NODE_TYPES:
        raise NetworkError(f"{where} has the unknown type {kind!r}", hint=nearest(kind, NODE_TYPES, what="node types"))
    sources = [
        jsontext.integer(source, f"a source of {where}") for source in jsontext.section(entry, "sources", list, where)
    ]
    layer = None
    if kind in ("feed_forward", "time_distributed", "sequence"):
        layer = jsontext.integer(entry.get("layer_index"), f"layer_index of {where}")
    if kind in ("input", "input_sequence"):
        size = jsontext.integer(entry.get("size"), f"size of {where}")
        group = groups[kind == "input_sequence"]
        if len(sources) == 1 and sources[0] < len(group) and len(group[sources[0]].variables) != size:
            given = group[sources[0]]
            raise NetworkError(
                f"{where} has size {size}, but its input {given.name!r} has {len(given.variables)} variables"
            )
    return Node(kind, tuple(sources), layer)


def _read_layers(
    entries: list[Any], nodes: list[Node], groups: tuple[list[InputNode], list[InputNode]]
) -> tuple[tuple[Layer, ...], tuple[Node, ...]]:
    """Build the layers that nodes use (their shapes follow from the graph), and the nodes with numbers that leave the
    others out.
    """
    order = topological_order(nodes)
    check_structure(nodes, len(groups[0]), len(groups[1]))
    sizes: dict[int, int] = {}
    built: dict[int, Layer] = {}
    for number in order:
        node = nodes[number]
        if node.type in ("input", "input_sequence"):
            sizes[number] = len(groups[node.type == "input_sequence"][node.sources[0]].variables)
        elif node.layer is None:
            held = [sizes[source] for source in node.sources]
            sizes[number] = concatenated(held, f"node {number}") if node.type == "concatenate" else held[0]
        else:
            if node.layer >= len(entries):
                raise NetworkError(f"node {number} ({node.type}) uses layer {node.layer}, but there are {len(entries)}")
            if node.layer not in built:
                where = f"layer {node.layer}, used by node {number}"
                built[node.layer] = read_layer(entries[node.layer], sizes[node.sources[0]], where)
            sizes[number] = built[node.layer].n_out
    numbering = {old: new for new, old in enumerate(sorted(built))}
    renumbered = tuple(
        Node(node.type, node.sources, None if node.layer is None else numbering[node.layer]) for node in nodes
    )
    return tuple(built[old] for old in sorted(built)), renumbered


def _read_sequential(data: dict[str, Any], record: dict[str, Any]) -> Network:
    """Read the sequential form; recurrent layers read a sequence and the feed-forward layers follow on its last
    step.
    """
    where = "the network"
    variables = [read_variable(entry, where) for entry in jsontext.section(data, "inputs", list, where)]
    if "defaults" in data:  # these count alone, as in C++ lwtnn
        defaults = data["defaults"] or {}
        if not isinstance(defaults, dict):
            raise NetworkError("'defaults' of the network is no object")
        known = {name: jsontext.number(value, f"default of variable {name!r}") for name, value in defaults.items()}
        variables = [replace(variable, default=known.get(variable.name)) for variable in variables]
        others = known.keys() - {variable.name for variable in variables}
        if others:
            names = ", ".join(repr(name) for name in sorted(others)[:10])
            _log.warning("the network has defaults of %s, which it does not read", names)
    group = (InputNode(SEQUENTIAL_INPUT, tuple(variables)),)
    configs = jsontext.section(data, "layers", list, where)
    kinds = [jsontext.section(config, "architecture", str, f"layer {number}") for number, config in enumerate(configs)]
    n_recurrent = sum(kind in _RECURRENT for kind in kinds)
    if any(kind in _RECURRENT for kind in kinds[n_recurrent:]):
        raise NetworkError(
            "a recurrent layer stands after a feed-forward layer",
            hint="use lwtnn's graph form, with time_distributed nodes",
        )
    nodes = [Node("input_sequence" if n_recurrent else "input", (0,))]
    layers: list[Layer] = []
    size = len(variables)
    for number, config in enumerate(configs):
        layer = read_layer(config, size, f"layer {number}")
        nodes.append(Node("sequence" if number < n_recurrent else "feed_forward", (number,), number))
        layers.append(layer)
        size = layer.n_out
    labels = tuple(
        jsontext.text(label, "a label of the outputs") for label in jsontext.section(data, "outputs", list, where)
    )
    if len(labels) != size:
        raise NetworkError(f"the network has {len(labels)} outputs, but its last layer gives {size} features")
    outputs = (Output(SEQUENTIAL_OUTPUT, len(nodes) - 1, labels),)
    record = {"miscellaneous": data["miscellaneous"], **record} if data.get("miscellaneous") else record
    scalar, sequence = ((), group) if n_recurrent else (group, ())
    return Network(scalar, sequence, tuple(nodes), tuple(layers), outputs, record, "lwtnn sequential JSON")


# ------------------------------------------------------------------------------------------ layers


def read_layer(config: Any, n_in: int, where: str) -> Layer:
    """Build a layer that takes ``n_in`` features; raises NetworkError where weights are missing or their number does
    not fit.
    """
    kind = jsontext.section(config, "architecture", str, where)
    if kind not in _READERS:
        raise NetworkError(
            f"{where} has the unknown architecture {kind!r}", hint=nearest(kind, _READERS, what="architectures")
        )
    if n_in < 1:
        raise NetworkError(f"{where} ({kind}) gets no features")
    return _READERS[kind](config, n_in, f"{where} ({kind})")


def _array(config: Any, key: str, where: str) -> NDArray[np.float64]:
    if not isinstance(config, dict) or key not in config:
        raise NetworkError(f"{where} has no {key!r}")
    return jsontext.numbers(config[key], f"{key!r} of {where}")


def _matrix(config: Any, key: str, n_in: int, where: str, n_out: int = 0) -> NDArray[np.float64]:
    """Read a flat list as (n_out, n_in); without ``n_out`` any whole number of rows fits."""
    return _rows(_array(config, key, where), n_in, key, where, n_out)


def _rows(flat: NDArray[np.float64], n_in: int, key: str, where: str, n_out: int = 0) -> NDArray[np.float64]:
    rows, rest = divmod(flat.size, n_in)
    if rest or rows < 1 or (n_out and rows != n_out):
        wanted = f"{n_out} × {n_in}" if n_out else f"a multiple of the {n_in} inputs"
        raise NetworkError(f"{key!r} of {where} has {flat.size} numbers, expected {wanted}")
    return flat.reshape(rows, n_in)


def _vector(config: Any, key: str, size: int, where: str) -> NDArray[np.float64]:
    flat = _array(config, key, where)
    if flat.size != size:
        raise NetworkError(f"{key!r} of {where} has {flat.size} numbers, expected {size}")
    return flat


def _activation(config: Any, where: str, key: str = "activation") -> Activation:
    return Activation.read(config.get(key, "linear"), where)


def _dense(config: Any, n_in: int, where: str) -> Dense:
    weights, bias = (_array(config, key, where) for key in ("weights", "bias"))
    matrix = _rows(weights, n_in, "weights", where) if weights.size else None
    n_out = n_in if matrix is None else matrix.shape[0]
    if bias.size not in (0, n_out):
        raise NetworkError(f"'bias' of {where} has {bias.size} numbers, expected {n_out}")
    return Dense(matrix, bias if bias.size else None, _activation(config, where), n_in)


def _normalization(config: Any, n_in: int, where: str) -> Normalization:
    return Normalization(_vector(config, "weights", n_in, where), _vector(config, "bias", n_in, where))


def _maxout(config: Any, n_in: int, where: str) -> Maxout:
    parts = jsontext.section(config, "sublayers", list, where)
    if not parts:
        raise NetworkError(f"{where} has no sublayers")
    matrices = [_matrix(part, "weights", n_in, f"sublayer {k} of {where}") for k, part in enumerate(parts)]
    sizes = {matrix.shape[0] for matrix in matrices}
    if len(sizes) > 1:
        raise NetworkError(f"the sublayers of {where} have different sizes: {', '.join(map(str, sorted(sizes)))}")
    n_out = sizes.pop()
    biases = [_vector(part, "bias", n_out, f"sublayer {k} of {where}") for k, part in enumerate(parts)]
    return Maxout(np.stack(matrices), np.stack(biases))


def _component(config: Any, key: str, where: str) -> tuple[Any, str]:
    return jsontext.section(
        jsontext.section(config, "components", dict, where), key, dict, where
    ), f"component {key!r} of {where}"


def _highway(config: Any, n_in: int, where: str) -> Highway:
    part, place = _component(config, "t", where)
    carry, carry_place = _component(config, "carry", where)
    return Highway(
        _matrix(part, "weights", n_in, place, n_in),
        _vector(part, "bias", n_in, place),
        _matrix(carry, "weights", n_in, carry_place, n_in),
        _vector(carry, "bias", n_in, carry_place),
        _activation(config, where),
    )


def _recurrent(config: Any, n_in: int, where: str) -> Recurrent:
    cell = config["architecture"]
    weights, recurrent, bias = [], [], []
    units = 0
    for gate in GATES[cell]:
        part, place = _component(config, gate, where)
        weights.append(_matrix(part, "weights", n_in, place, units))
        units = units or weights[0].shape[0]
        recurrent.append(_matrix(part, "U", units, place, units))
        bias.append(_vector(part, "bias", units, place))
    if "activation" not in config or (cell != "simplernn" and "inner_activation" not in config):
        raise NetworkError(f"{where} has no 'activation' or no 'inner_activation'")
    inner = Activation() if cell == "simplernn" else _activation(config, where, "inner_activation")
    return Recurrent(
        cell,
        np.concatenate(weights),
        np.concatenate(recurrent),
        np.concatenate(bias),
        _activation(config, where),
        inner,
    )


def _conv1d(config: Any, n_in: int, where: str) -> Conv1d:
    """Read a convolution; lwtnn's flat list runs over outputs, then inputs, then kernel positions."""
    bias = _array(config, "bias", where)
    if bias.size < 1:
        raise NetworkError(f"{where} has no bias, and its number of outputs follows from it")
    rows = _matrix(config, "weights", n_in * bias.size, where)
    kernel = rows.reshape(bias.size, n_in, -1).transpose(2, 0, 1)
    padding = config.get("padding", "valid")
    if padding not in PADDINGS:
        raise NetworkError(
            f"{where} has the unknown padding {padding!r}", hint=nearest(str(padding), PADDINGS, what="paddings")
        )
    dilation = jsontext.integer(config.get("dilation_rate", 1), f"dilation_rate of {where}")
    if not dilation:
        raise NetworkError(f"dilation_rate of {where} is 0, expected 1 or more")
    return Conv1d(np.ascontiguousarray(kernel), bias, _activation(config, where), padding, dilation)


def _embedding(config: Any, n_in: int, where: str) -> Embedding:
    tables = []
    size = n_in
    for k, part in enumerate(jsontext.section(config, "sublayers", list, where)):
        place = f"sublayer {k} of {where}"
        index = jsontext.integer(part.get("index") if isinstance(part, dict) else None, f"index of {place}")
        n_out = jsontext.integer(part.get("n_out"), f"n_out of {place}")
        if index >= size or n_out < 1:
            raise NetworkError(f"{place} replaces feature {index} of {size} by {n_out} numbers")
        flat = _array(part, "weights", place)
        if flat.size < 1 or flat.size % n_out:
            raise NetworkError(f"'weights' of {place} has {flat.size} numbers, expected a multiple of n_out = {n_out}")
        tables.append((index, flat.reshape(n_out, -1)))
        size += n_out - 1
    if not tables:
        raise NetworkError(f"{where} has no sublayers")
    return Embedding(tuple(tables), n_in)


_READERS: dict[str, Callable[[Any, int, str], Layer]] = {
    "dense": _dense,
    "normalization": _normalization,
    "maxout": _maxout,
    "highway": _highway,
    "lstm": _recurrent,
    "gru": _recurrent,
    "simplernn": _recurrent,
    "conv1d": _conv1d,
    "embedding": _embedding,
}
