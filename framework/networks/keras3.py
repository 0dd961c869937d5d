"""Keras 3 models, live or as ``.keras`` files, on any backend."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks.graph import Network
from hepflow.networks.keras_graph import Call, KerasGraph, KerasLayer, Key, build
from hepflow.networks.keras_import import import_keras

__all__ = ["from_keras", "open_keras"]


def open_keras(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Open a ``.keras`` file in safe mode: no code from the file is run, and only registered layers are made.

    ``custom_objects`` maps names to further layer classes. Raises NetworkError where the file is damaged or wants
    unknown classes.
    """
    if not Path(path).is_file():
        raise NetworkError("there is no such file", where=str(path))
    keras = import_keras()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # Keras 3.15 reads with a spelling that numpy 2 deprecates
            return keras.saving.load_model(path, custom_objects=custom_objects, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damage leads to
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise NetworkError(
            f"the Keras file cannot be opened: {first[0][:300]}",
            where=str(path),
            hint="import the module that registers its own layers first; Lambda layers are never opened",
        ) from error


def from_keras(
    model: Any, variables: Mapping[str, Any] | None = None, record: Mapping[str, Any] | None = None
) -> Network:
    """Make a network of a live Keras 3 model, functional or sequential.

    ``variables`` is the content of a variables file: ``{"inputs": [{"name", "variables": [{"name", "offset",
    "scale"}]}], "input_sequences": […], "outputs": [{"name", "labels"}]}``; without it variables and labels are
    numbered. ``record`` is kept with the network. Masking, Dropout and Flatten are skipped, BatchNormalization
    becomes an affine layer, a layer of a class called Sum sums over objects. Raises NetworkError, naming the layer,
    for what lwtnn cannot express.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise NetworkError(
            f"the Keras model {getattr(model, 'name', model)!r} has no graph",
            hint="use a functional or sequential model and call it once before converting",
        )
    calls: dict[Key, Call] = {}
    layers: dict[str, KerasLayer] = {}
    waiting = list(outputs)
    while waiting:
        operation, number, place = waiting.pop()._keras_history
        key = (operation.name, number)
        if key in calls:
            continue
        layer = layers.setdefault(operation.name, _layer(operation))
        node = operation._inbound_nodes[number]
        if place != 0:
            raise layer.refuse("its second output is used")
        calls[key] = _call(layer, node)
        if layer.kind != "inputlayer":
            waiting.extend(_tensors(layer, node))
    # a mask says which objects are real; it reaches no layer as a value, and lwtnn sees only real objects
    inputs = [tensor for tensor in inputs if _key(tensor) in calls or str(tensor.dtype) != "bool"]
    graph = KerasGraph(calls, tuple(_key(tensor) for tensor in inputs), tuple(_key(tensor) for tensor in outputs))
    unused = [key[0] for key in graph.inputs if key not in calls]
    if unused:
        raise NetworkError(f"the Keras input {unused[0]!r} is not used")
    kept = dict(record or {})
    kept["versions"] = {**kept.get("versions", {}), "keras": _version()}
    return build(graph, None if variables is None else dict(variables), kept, "Keras 3 model")


def _version() -> str:
    import keras

    return str(keras.__version__)


def _key(tensor: Any) -> Key:
    operation, number, _ = tensor._keras_history
    return operation.name, number


def _layer(operation: Any) -> KerasLayer:
    """Describe a Keras layer, or an operation such as ``a + b`` or ``keras.ops.sum``."""
    kind = type(operation).__name__.lower()
    if not hasattr(operation, "weights") or kind in ("functional", "sequential"):
        return KerasLayer(
            operation.name,
            kind,
            {name: value for name, value in vars(operation).items() if not name.startswith("_")},
            {},
        )
    config = dict(operation.get_config()) if kind not in ("lambda",) else {}
    weights: dict[str, NDArray[Any]] = {}
    for variable, value in zip(operation.weights, operation.get_weights(), strict=True):
        weights[variable.name] = np.asarray(value)
    return KerasLayer(operation.name, kind, config, weights)


def _call(layer: KerasLayer, node: Any) -> Call:
    if layer.kind == "inputlayer":
        shape = tuple(node.outputs[0].shape)
        if len(shape) not in (2, 3) or shape[-1] is None:
            raise NetworkError(
                f"the Keras input {layer.name!r} has the shape {shape}",
                hint="expected (batch, variables) or (batch, objects, variables)",
            )
        return Call(layer, (), int(shape[-1]), len(shape) == 3)
    if layer.kind == "sum":
        axis = layer.config.get("axis", 1)
        if np.ravel(axis if axis is not None else -99).tolist() not in ([1], [-2]) or layer.config.get("keepdims"):
            raise layer.refuse(f"it sums along axis {axis}", "sum over axis 1, the objects")
    return Call(layer, tuple(_key(tensor) for tensor in _tensors(layer, node)))


def _tensors(layer: KerasLayer, node: Any) -> list[Any]:
    """Return the tensors a layer works on. Masks of padded objects are left out: lwtnn only ever sees real objects."""
    given = [*node.arguments.args, *(value for name, value in node.arguments.kwargs.items() if name != "mask")]
    flat = [tensor for value in given for tensor in (value if isinstance(value, (list, tuple)) else [value])]
    tensors = [tensor for tensor in flat if hasattr(tensor, "_keras_history")]
    return tensors[:1] if layer.kind == "sum" else tensors
