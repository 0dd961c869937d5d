"""The configuration of a Keras model, as files of Keras 2 and 3 hold it, as a graph of calls. No code is looked up by
name: a layer is known because Keras or hepflow writes it so, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks.keras_graph import Call, KerasGraph
from hepflow.networks.keras_layers import KerasLayer, Key
from hepflow.networks.lwtnn import SEQUENTIAL_INPUT

__all__ = ["Weights", "input_sequence", "read_graph", "snake_case"]

_OWN = {"hepflow>Sum": "sum", "hepflow>Scaling": "scaling", "hepflow>Real": "real"}
_BY_NAME = ("sum", "scaling", "real", "swish")
"""Layers that lwtnn's converters know by the name of their class; files of Keras 2 do not say where a class comes
from."""
_OPERATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "Add": ("add", {}),
    "Sum": ("sum", {}),
    "Concatenate": ("concatenate", {}),
    "Relu": ("relu", {}),
    "Softmax": ("softmax", {}),
    "LeakyRelu": ("leakyrelu", {}),
    "Elu": ("elu", {}),
    **{name.capitalize(): ("activation", {"activation": name}) for name in ("sigmoid", "tanh", "silu")},
}
_MODULES = ("keras.layers", "keras.models", "keras")


class Weights(Protocol):
    """Where the weights of layers come from."""

    def of(self, layer: KerasLayer) -> dict[str, NDArray[np.float64]]:
        """Return the weights of a layer by name; raises NetworkError where they cannot be read."""


def read_graph(model: Any, major: int, weights: Weights, sums: frozenset[str] = frozenset()) -> KerasGraph:
    """Return the graph of ``{"class_name", "config"}`` as Keras ``major`` wrote it. Layers named in ``sums`` are known
    to sum over objects.

    Raises NetworkError for a damaged configuration and for a layer lwtnn cannot express.
    """
    kind = model.get("class_name") if isinstance(model, dict) else None
    try:
        if kind == "Sequential":
            return _sequential(model["config"], _Reader(major, weights, sums))
        if kind in ("Model", "Functional"):
            return _functional(model["config"], _Reader(major, weights, sums))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise NetworkError(f"the Keras configuration is damaged: {type(error).__name__} {error}") from error
    raise NetworkError(
        f"the file holds no functional or sequential Keras model, but a {kind!r}",
        hint="a model of a class of its own has no graph in its file; build it with keras.Model(inputs, outputs)",
    )


def input_sequence(config: Mapping[str, Any]) -> bool:
    """Tell whether an input layer takes one row an object."""
    return len(_shape(config)) == 3


def snake_case(name: str) -> str:
    """Return the name of a class as Keras spells it in files of weights."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _shape(config: Mapping[str, Any]) -> tuple[Any, ...]:
    shapes = [config[key] for key in ("batch_shape", "batch_input_shape") if key in config]
    if not shapes or not isinstance(shapes[0], list | tuple):
        raise NetworkError(f"the input layer {config.get('name', '')!r} says no shape", hint="the file is damaged")
    return tuple(shapes[0])


class _Reader:
    """Makes layers and calls of their entries in a configuration."""

    def __init__(self, major: int, weights: Weights, sums: frozenset[str]) -> None:
        self.major, self.weights, self.sums = major, weights, sums

    def layer(self, entry: dict[str, Any], name: str) -> KerasLayer:
        """Return a layer with its weights."""
        kind, more = self.kind(entry, name)
        layer = KerasLayer(name, kind, {**dict(entry.get("config") or {}), **more}, {}, self.major)
        layer.check_type()
        if kind == "timedistributed":
            wrapped = layer.config["layer"]
            inner = KerasLayer(name, self.kind(wrapped, name)[0], dict(wrapped.get("config") or {}), {}, self.major)
            inner.check_type()
            weights = self.weights.of(replace(layer, inner=inner))
            return replace(layer, inner=replace(inner, weights=weights))
        return replace(layer, weights=self.weights.of(layer))

    def kind(self, entry: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
        """Return what a layer or operation is, and settings that its name implies."""
        cls, module, registered = str(entry["class_name"]), entry.get("module"), entry.get("registered_name")
        config = entry.get("config")
        if name in self.sums:
            return "sum", {}
        if own := _OWN.get(str(registered or cls)):
            return own, {}
        if self.major >= 3 and ("keras.src.ops" in str(module) or _is_operation(entry)):
            return _OPERATIONS.get(cls, (f"operation {cls}", {}))
        if not isinstance(config, dict):
            raise NetworkError(f"the configuration of the Keras layer {name!r} is damaged")
        known, inside = cls.lower(), str(module).startswith("keras.src.")
        own_file = not inside and (registered or module not in _MODULES) if "module" in entry else ">" in cls
        if self.major >= 3 and (own_file or known in _BY_NAME):
            raise _unknown(name, cls, str(module or ""))
        return known, {}

    def call(self, layer: KerasLayer, node: Any, entries: Mapping[str, dict[str, Any]]) -> Call:
        """Return one use of a layer: the calls it takes its inputs from; refuses other arguments."""
        if isinstance(node, dict):
            given, more = node.get("args") or [], dict(node.get("kwargs") or {})
        else:
            given, more = [[{"keras_history": source[:3]} for source in _sources(node)]], {}
            for source in _sources(node):
                more.update(source[3] if len(source) > 3 and isinstance(source[3], dict) else {})
            if isinstance(more.get("mask"), list):
                more["mask"] = {"keras_history": more["mask"]}
        flat = [one for value in given for one in (value if isinstance(value, list) else [value])]
        mask = more.pop("mask", None)
        if layer.kind == "sum" and len(flat) == 2:
            flat, mask = flat[:1], flat[1]
        sources = tuple(_tensor(layer, value) for value in flat)
        for name, value in more.items():
            if value not in (None, False):
                raise layer.refuse(
                    f"it is called with {name}={'a tensor' if isinstance(value, (dict, list)) else value}"
                )
        if mask is not None and not _padding(_tensor(layer, mask), entries):
            raise layer.refuse(
                "its mask is computed from values",
                "take which objects are real from an input of type bool, or from Masking behind the input",
            )
        return Call(layer, sources, masked=mask is not None)

    def input(self, layer: KerasLayer) -> Call:
        """Return the call that an input layer is."""
        shape, kind = _shape(layer.config), str(layer.config.get("dtype") or "float32")
        if len(shape) not in (2, 3) or not isinstance(shape[-1], int):
            raise NetworkError(
                f"the Keras input {layer.name!r} has the shape {shape}",
                hint="expected (batch, variables) or (batch, objects, variables)",
            )
        if kind not in ("float32", "float64") and not re.fullmatch(r"u?int\d+", kind):
            raise layer.refuse(f"it takes {kind}", "give it float32")
        return Call(layer, (), features=shape[-1], sequence=len(shape) == 3)


def _is_operation(entry: Mapping[str, Any]) -> bool:
    """Tell an operation (``a + b``) from a layer where the file does not say the module: only layers are trainable."""
    config = entry.get("config")
    return "module" not in entry and isinstance(config, dict) and not {"trainable", "batch_shape"} & set(config)


def _unknown(name: str, cls: str, module: str) -> NetworkError:
    origin = f" of {module}" if module else ""
    return NetworkError(
        f"lwtnn cannot express the Keras layer {name!r}: its class {cls}{origin} is none of Keras' own",
        hint="use Keras' layers, and Sum and Scaling of hepflow.plugins.training.layers",
    )


def _sources(node: Any) -> list[Any]:
    """Return the entries of one node of Keras 2, which may stand alone."""
    return [node] if node and isinstance(node[0], str) else list(node)


def _tensor(layer: KerasLayer, value: Any) -> Key:
    """Return the call that made an argument; refuses constants and second outputs."""
    config = value.get("config", value) if isinstance(value, dict) else {}
    history = config.get("keras_history") if isinstance(config, dict) else None
    if not isinstance(history, list) or len(history) != 3:
        shown = "an array" if isinstance(value, (dict, list)) else value
        raise layer.refuse(f"it works with the constant {shown}", "put constants into a Dense or Rescaling layer")
    return _key(history, layer)


def _key(history: Any, layer: KerasLayer | None = None) -> Key:
    name, number, place = history[0], history[1], history[2]
    if not isinstance(name, str) or type(number) is not int:
        raise ValueError(f"{history} names no layer")
    if place != 0:
        user = f" by {layer.name!r}" if layer else ""
        raise NetworkError(f"lwtnn cannot express the Keras layer {name!r}: its second output is used{user}")
    return name, number


def _padding(key: Key, entries: Mapping[str, dict[str, Any]]) -> bool:
    """Tell whether a mask says which objects are real: an input of type bool, hepflow's Real, or what Masking makes
    of an input: ``any(input != value, axis=-1)``.
    """
    entry = entries[key[0]]
    config = entry.get("config") or {}
    if entry["class_name"] == "InputLayer":
        return str(config.get("dtype")) == "bool"
    if _OWN.get(str(entry.get("registered_name") or entry["class_name"])) == "real":
        return True
    if entry["class_name"] != "Any" or config.get("axis") not in (-1, 2) or config.get("keepdims"):
        return False
    compared = entries[entry["inbound_nodes"][key[1]]["args"][0]["config"]["keras_history"][0]]
    if compared["class_name"] != "NotEqual":
        return False
    first, second = compared["inbound_nodes"][0]["args"]
    source = entries[first["config"]["keras_history"][0]]
    return source["class_name"] == "InputLayer" and isinstance(second, (int, float))


def _flat(value: Any) -> Iterator[tuple[Any, str]]:
    """Yield (layer, call, output) of a nested list or object of them, each with the name that an object gives it."""
    if isinstance(value, dict):
        for name in sorted(value):
            for history, _ in _flat(value[name]):
                yield history, str(name)
    elif len(value) == 3 and isinstance(value[0], str):
        yield value, ""
    else:
        for inner in value:
            yield from _flat(inner)


def _functional(config: dict[str, Any], reader: _Reader) -> KerasGraph:
    """Read a graph; calls are listed in the order in which lwtnn's converter meets them, which numbers its layers."""
    entries = {entry["name"]: entry for entry in config["layers"]}
    if len(entries) < len(config["layers"]):
        raise NetworkError("two Keras layers have the same name")
    outputs = [(_key(history), name) for history, name in _flat(config["output_layers"])]
    inputs = [_key(history) for history, _ in _flat(config["input_layers"])]
    calls: dict[Key, Call] = {}
    layers: dict[str, KerasLayer] = {}
    waiting = [key for key, _ in outputs]
    while waiting:
        key = waiting.pop()
        if key in calls:
            continue
        name, number = key
        if name not in layers:
            layers[name] = reader.layer(entries[name], name)
        if layers[name].kind == "inputlayer":
            calls[key] = reader.input(layers[name])
            continue
        calls[key] = reader.call(layers[name], entries[name]["inbound_nodes"][number], entries)
        waiting.extend(calls[key].sources)
    for key in inputs:
        if key not in calls and not _only_says_which(key, entries):
            raise NetworkError(f"the Keras input {key[0]!r} is not used")
    ordered = {key: calls[key] for key in _in_order(config, entries, [key for key, _ in outputs]) if key in calls}
    used = tuple(key for key in inputs if key in calls)
    return KerasGraph({**ordered, **calls}, used, tuple(k for k, _ in outputs), tuple(name for _, name in outputs))


def _only_says_which(key: Key, entries: Mapping[str, dict[str, Any]]) -> bool:
    """Tell whether an input says which objects are real, by a mask or a number; it reaches no layer as a value."""
    config = entries[key[0]]["config"]
    return str(config.get("dtype")) == "bool" or len(_shape(config)) == 1


def _in_order(config: dict[str, Any], entries: Mapping[str, Any], outputs: list[Key]) -> Iterator[Key]:
    """Yield the calls as lwtnn's converter meets them: by what each layer of a Keras 2 file takes, then the outputs."""
    for entry in entries.values():
        for node in entry["inbound_nodes"]:
            if not isinstance(node, dict):
                for source in _sources(node):
                    yield source[0], source[1]
    yield from outputs


def _sequential(config: Any, reader: _Reader) -> KerasGraph:
    """Read a list of layers; without an input layer the first layer's ``batch_input_shape`` says what goes in."""
    entries = config["layers"] if isinstance(config, dict) else config
    named = [reader.layer(entry, str(entry.get("name") or entry["config"]["name"])) for entry in entries]
    if named[0].kind != "inputlayer":
        shape = _shape(named[0].config) if "batch_input_shape" in named[0].config else config["build_input_shape"]
        named.insert(0, KerasLayer(SEQUENTIAL_INPUT, "inputlayer", {"batch_input_shape": shape}, {}, reader.major))
    key: Key = (named[0].name, 0)
    calls = {key: reader.input(named[0])}
    for layer in named[1:]:
        calls[(layer.name, 0)] = Call(layer, (key,))
        key = (layer.name, 0)
    if len(calls) != len(named):
        raise NetworkError("two Keras layers have the same name")
    return KerasGraph(calls, ((named[0].name, 0),), (key,), ("",))
