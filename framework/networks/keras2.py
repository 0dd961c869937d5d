"""Legacy Keras 2 files, as lwtnn's converters take them: architecture.json, weights.h5 and variables.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import Network
from hepflow.networks.keras_graph import SEQUENCES, Call, KerasGraph, KerasLayer, Key, build
from hepflow.networks.lwtnn import SEQUENTIAL_INPUT, SEQUENTIAL_OUTPUT

__all__ = ["read_keras2"]


def read_keras2(architecture: str | Path, weights: str | Path, variables: str | Path) -> Network:
    """Make a network of the three files; numbering and weights are those of lwtnn's own converter.

    Raises NetworkError for a damaged file, a layer lwtnn cannot express, and weights or variables that do not fit.
    """
    arch = _json(architecture)
    spec = _json(variables)
    kind = arch.get("class_name") if isinstance(arch, dict) else None
    if kind not in ("Model", "Functional", "Sequential"):
        raise NetworkError(
            "the file is no Keras architecture", where=str(architecture), hint="write it with model.to_json()"
        )
    version = str(arch.get("keras_version", "2"))
    if not version.startswith("2"):
        raise NetworkError(
            f"the architecture was written by Keras {version}, only Keras 2 is read from these files",
            where=str(architecture),
            hint="convert the .keras file",
        )
    arrays = _Weights(weights)
    try:
        graph = _sequential(arch["config"], arrays) if kind == "Sequential" else _functional(arch["config"], arrays)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise NetworkError(
            f"the Keras architecture is damaged: {type(error).__name__} {error}", where=str(architecture)
        ) from error
    return build(
        graph,
        _as_graph(spec, graph) if kind == "Sequential" else spec,
        {"versions": {"keras": version}},
        "Keras 2 files",
    )


def _json(path: str | Path) -> Any:
    try:
        return jsontext.parse_json(jsontext.read_bytes(path))
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where or str(path), hint=error.hint) from error


class _Weights:
    """The weights of all layers of an HDF5 file, by layer."""

    def __init__(self, path: str | Path) -> None:
        import h5py

        self.path = path
        self.layers: dict[str, dict[str, NDArray[Any]]] = {}
        try:
            with h5py.File(path, "r") as file:
                group = file.get("model_weights", file)
                for name in group:
                    self.layers[name] = {}
                    self._collect(group, name, self.layers[name], depth=0)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise NetworkError(f"the weights cannot be read: {error}", where=str(path)) from error

    def _collect(self, group: Any, name: str, found: dict[str, NDArray[Any]], depth: int) -> None:
        """Gather the datasets below, by their last name without TensorFlow's ``:0``."""
        import h5py

        if depth > 8 or isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise NetworkError(
                f"the weights of {name!r} are nested too deep or stand in another file", where=str(self.path)
            )
        item = group[name]
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind not in "fiu":
                raise NetworkError(f"the weights {name!r} are no numbers", where=str(self.path))
            found[name.split(":")[0]] = np.asarray(item)
        else:
            for inner in item:
                self._collect(item, inner, found, depth + 1)

    def of(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the weights of a layer, none where it has none."""
        return self.layers.get(name, {})


def _layer(entry: dict[str, Any], weights: _Weights, name: str) -> KerasLayer:
    return KerasLayer(name, str(entry["class_name"]).lower(), dict(entry.get("config") or {}), weights.of(name), 2)


def _input_call(layer: KerasLayer) -> Call:
    shape = layer.config["batch_input_shape"]
    if len(shape) not in (2, 3) or not isinstance(shape[-1], int):
        raise NetworkError(
            f"the Keras input {layer.name!r} has the shape {shape}",
            hint="expected (batch, variables) or (batch, objects, variables)",
        )
    return Call(layer, (), shape[-1], len(shape) == 3)


def _functional(config: dict[str, Any], weights: _Weights) -> KerasGraph:
    """Read a graph; calls are listed in the order in which lwtnn's converter meets them, which numbers its layers."""
    entries = {entry["name"]: entry for entry in config["layers"]}
    calls: dict[Key, Call] = {}
    layers = {name: _layer(entry, weights, name) for name, entry in entries.items()}

    def add(key: Key) -> None:
        if key in calls:
            return
        name, number = key
        if layers[name].kind == "inputlayer":
            calls[key] = _input_call(layers[name])
        else:
            sources = entries[name]["inbound_nodes"][number]
            for source in sources:
                if source[2] != 0 or any(source[3:]):
                    raise layers[name].refuse("it takes a second output or arguments of another layer")
            calls[key] = Call(layers[name], tuple((source[0], source[1]) for source in sources))

    for entry in entries.values():
        for sink in entry["inbound_nodes"]:
            for source in sink:
                add((source[0], source[1]))
    outputs = tuple((output[0], output[1]) for output in config["output_layers"])
    for key in outputs:
        add(key)
    return KerasGraph(calls, tuple((given[0], given[1]) for given in config["input_layers"]), outputs)


def _sequential(config: Any, weights: _Weights) -> KerasGraph:
    """Read a list of layers; without an input layer the first layer's ``batch_input_shape`` says what goes in."""
    entries = config["layers"] if isinstance(config, dict) else config
    named = [_layer(entry, weights, entry["config"]["name"]) for entry in entries]
    first = named[0]
    calls: dict[Key, Call] = {}
    if first.kind != "inputlayer":
        first = KerasLayer(
            SEQUENTIAL_INPUT, "inputlayer", {"batch_input_shape": first.config["batch_input_shape"]}, {}, 2
        )
        named.insert(0, first)
    key: Key = (first.name, 0)
    calls[key] = _input_call(first)
    for layer in named[1:]:
        calls[(layer.name, 0)] = Call(layer, (key,))
        key = (layer.name, 0)
    if len(calls) != len(named):
        raise NetworkError("two Keras layers have the same name")
    return KerasGraph(calls, ((first.name, 0),), (key,))


def _as_graph(spec: Any, graph: KerasGraph) -> Any:
    """Bring the variables file of sequential models (inputs, class_labels) into the form for graphs."""
    if not isinstance(spec, dict) or "class_labels" not in spec:
        return spec
    group = [{"name": SEQUENTIAL_INPUT, "variables": spec.get("inputs")}]
    sequence = graph.calls[graph.inputs[0]].sequence or any(
        call.layer.kind in SEQUENCES for call in graph.calls.values()
    )
    return {
        "inputs": [] if sequence else group,
        "input_sequences": group if sequence else [],
        "outputs": [{"name": SEQUENTIAL_OUTPUT, "labels": spec["class_labels"]}],
    }
