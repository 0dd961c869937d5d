"""From Keras layers, wherever they were read, to a network: what lwtnn can express, and a refusal by name of what it
cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.activations import Activation
from hepflow.networks.graph import InputNode, InputVariable, Network, Node, Output
from hepflow.networks.layers import Conv1d, Dense, Layer, Normalization, Recurrent
from hepflow.networks.lwtnn import read_input

__all__ = ["Call", "KerasGraph", "KerasLayer", "build"]

Key = tuple[str, int]
SKIPPED = ("masking", "dropout", "flatten", "gaussiannoise", "gaussiandropout", "spatialdropout1d")
SEQUENCES = ("lstm", "gru", "simplernn", "conv1d")
_ACTIVATIONS = {
    "relu": "rectified",
    "silu": "swish",
    "leaky_relu": "leakyrelu",
    **{name: name for name in ("linear", "sigmoid", "hard_sigmoid", "tanh", "softmax", "elu", "swish", "abs")},
}
_INSTEAD = {
    "bidirectional": "use one forward layer; a backward one is a forward one on objects sorted the other way round",
    "globalaveragepooling1d": "sum over the objects with a Sum layer",
    "globalmaxpooling1d": "sum over the objects with a Sum layer",
    "averagepooling1d": "sum over the objects with a Sum layer",
    "maxpooling1d": "sum over the objects with a Sum layer",
    "multiply": "mask and sum in one Sum layer; lwtnn has only add, concatenate and sum",
    "layernormalization": "use BatchNormalization",
    "groupnormalization": "use BatchNormalization",
    "multiheadattention": "export to ONNX, or use a DeepSet (Dense layers, Sum) or an LSTM",
    "attention": "export to ONNX, or use a DeepSet (Dense layers, Sum) or an LSTM",
    "embedding": "lwtnn embeds single variables of a sequence; give the categories as numbers or one-hot",
    "lambda": "use layers by name; code in a model file is never run",
    "prelu": "use LeakyReLU",
    "functional": "use the layers of the inner model directly",
    "sequential": "use the layers of the inner model directly",
}
_GENERAL = "lwtnn has dense, batch normalisation, LSTM, GRU, SimpleRNN, Conv1D, concatenate, add and a Sum of objects"


@dataclass(frozen=True)
class KerasLayer:
    """One Keras layer: its class in lower case, configuration and weights by name. ``major`` is the version of Keras,
    2 or 3.
    """

    name: str
    kind: str
    config: dict[str, Any]
    weights: dict[str, NDArray[Any]]
    major: int = 3

    def refuse(self, why: str = "", instead: str = "") -> NetworkError:
        """Return the error that refuses this layer."""
        reason = f": {why}" if why else ""
        return NetworkError(
            f"lwtnn cannot express the Keras layer {self.name!r} ({self.kind}){reason}",
            hint=instead or _INSTEAD.get(self.kind, _GENERAL),
        )

    def weight(self, name: str) -> NDArray[Any]:
        """Return a weight; raises NetworkError where there is none."""
        if name not in self.weights:
            raise NetworkError(
                f"the Keras layer {self.name!r} ({self.kind}) has no weights {name!r}",
                hint="do weights and architecture belong together?",
            )
        return self.weights[name]


@dataclass(frozen=True)
class Call:
    """One use of a layer. Of an input, ``features`` is the size of the last axis and ``sequence`` says whether there
    is an object axis.
    """

    layer: KerasLayer
    sources: tuple[Key, ...]
    features: int = 0
    sequence: bool = False


@dataclass(frozen=True)
class KerasGraph:
    """All calls by (layer name, number of the call), and which of them are inputs and outputs."""

    calls: dict[Key, Call]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]


def build(graph: KerasGraph, variables: dict[str, Any] | None, record: dict[str, Any], origin: str) -> Network:
    """Make a network. ``variables`` is the content of a variables file (inputs, input_sequences, outputs) or None for
    numbered names.

    Raises NetworkError for a layer that lwtnn cannot express and for variables that do not fit the inputs.
    """
    builder = _Builder(graph)
    keys = sorted(key for key in graph.calls if builder.resolved(key) == key)
    numbers = {key: number for number, key in enumerate(keys)}
    for key in graph.calls:
        builder.visit(builder.resolved(key))
    groups = _input_groups(graph, variables)
    places = {key: (kind, place) for kind, held in enumerate(groups) for place, (key, _) in enumerate(held)}
    nodes = []
    for key in keys:
        call = graph.calls[key]
        if call.layer.kind == "inputlayer":
            kind, place = places[key]
            nodes.append(Node(("input", "input_sequence")[kind], (place,)))
        else:
            sources = tuple(numbers[builder.resolved(source)] for source in call.sources)
            nodes.append(Node(builder.types[key], sources, builder.layer_of.get(key)))
    sizes = [builder.sizes[builder.resolved(key)] for key in graph.outputs]
    outputs = []
    for (name, labels), key in zip(_outputs(graph, variables, sizes), graph.outputs, strict=True):
        resolved = builder.resolved(key)
        if builder.sequence[resolved] and builder.types[resolved] == "sequence":
            raise graph.calls[resolved].layer.refuse(
                "its whole sequence is an output", "set return_sequences=False, or follow it by a TimeDistributed layer"
            )
        outputs.append(Output(name, numbers[resolved], labels))
    inputs = tuple(group for _, group in groups[0])
    sequences = tuple(group for _, group in groups[1])
    return Network(inputs, sequences, tuple(nodes), tuple(builder.layers), tuple(outputs), record, origin)


class _Builder:
    """Walks the calls from inputs to outputs and converts each layer once."""

    def __init__(self, graph: KerasGraph) -> None:
        self.graph = graph
        self.sizes: dict[Key, int] = {}
        self.sequence: dict[Key, bool] = {}
        self.types: dict[Key, str] = {}
        self.layers: list[Layer] = []
        self.layer_of: dict[Key, int] = {}
        self.by_name: dict[str, int] = {}

    def resolved(self, key: Key) -> Key:
        """Return the call whose result this is, behind layers that do nothing when applied."""
        for _ in range(len(self.graph.calls)):
            call = self.graph.calls[key]
            if not _does_nothing(call.layer):
                return key
            if len(call.sources) != 1:
                raise call.layer.refuse("it has more than one input")
            if call.layer.kind == "flatten" and self.is_sequence(call.sources[0]):
                raise call.layer.refuse(
                    "it would flatten a sequence", "sum over the objects with a Sum layer, or use a recurrent layer"
                )
            key = call.sources[0]
        raise NetworkError("the Keras graph has a cycle")

    def is_sequence(self, key: Key) -> bool:
        """Tell whether a call gives one row an object."""
        key = self.resolved(key)
        self.visit(key)
        return self.sequence[key]

    def visit(self, key: Key) -> None:
        """Convert the call and, before it, everything it needs."""
        waiting = [(key, False)]
        active: set[Key] = set()
        while waiting:
            now, ready = waiting.pop()
            if now in self.sizes:
                continue
            call = self.graph.calls[now]
            sources = [self.resolved(source) for source in call.sources]
            if ready:
                active.discard(now)
                self.convert(now, call, sources)
            elif now in active:
                raise NetworkError("the Keras graph has a cycle")
            else:
                active.add(now)
                waiting.append((now, True))
                waiting.extend((source, False) for source in reversed(sources) if source not in self.sizes)

    def convert(self, key: Key, call: Call, sources: list[Key]) -> None:
        layer, kind = call.layer, call.layer.kind
        on_sequence = [self.sequence[source] for source in sources]
        size = self.sizes[sources[0]] if sources else call.features
        if kind == "inputlayer":
            self.finish(key, "input", call.features, call.sequence)
        elif kind in ("concatenate", "add"):
            if any(on_sequence):
                raise layer.refuse(
                    "it works on sequences", "concatenate or add after the Sum or recurrent layer of each sequence"
                )
            if kind == "concatenate" and layer.config.get("axis", -1) not in (-1, 1):
                raise layer.refuse(f"it concatenates along axis {layer.config['axis']}")
            self.finish(key, kind, sum(self.sizes[s] for s in sources) if kind == "concatenate" else size, False)
        elif len(sources) != 1 and not (kind == "sum" and sources):
            raise layer.refuse(f"it has {len(sources)} inputs")
        elif kind == "sum":
            if not on_sequence[0]:
                raise layer.refuse("it does not sum over the objects of a sequence")
            self.finish(key, "sum", size, False)
        else:
            self.with_layer(key, layer, size, on_sequence[0])

    def finish(self, key: Key, kind: str, size: int, sequence: bool) -> None:
        self.types[key], self.sizes[key], self.sequence[key] = kind, size, sequence

    def with_layer(self, key: Key, layer: KerasLayer, n_in: int, on_sequence: bool) -> None:
        """Convert a layer with weights or an activation; a layer used twice is shared."""
        inner = layer
        if layer.kind == "timedistributed":
            wrapped = layer.config.get("layer") or {}
            inner = KerasLayer(
                layer.name,
                str(wrapped.get("class_name", "")).lower(),
                wrapped.get("config") or {},
                layer.weights,
                layer.major,
            )
        if inner.kind not in _CONVERTERS:
            raise inner.refuse()
        if inner.kind in SEQUENCES and not on_sequence:
            raise inner.refuse("its input is no sequence")
        if layer.name not in self.by_name:
            self.by_name[layer.name] = len(self.layers)
            self.layers.append(_CONVERTERS[inner.kind](inner, n_in))
        self.layer_of[key] = self.by_name[layer.name]
        n_out = self.layers[self.by_name[layer.name]].n_out
        if inner.kind in SEQUENCES:
            gives_sequence = inner.kind == "conv1d" or bool(inner.config.get("return_sequences"))
            self.finish(key, "sequence", n_out, gives_sequence)
        else:
            self.finish(key, "time_distributed" if on_sequence else "feed_forward", n_out, on_sequence)


def _does_nothing(layer: KerasLayer) -> bool:
    if layer.kind == "timedistributed":
        wrapped = layer.config.get("layer") or {}
        return str(wrapped.get("class_name", "")).lower() in SKIPPED
    return layer.kind in SKIPPED


# ------------------------------------------------------------------------------------------------- variables and labels


def _input_groups(
    graph: KerasGraph, variables: dict[str, Any] | None
) -> tuple[list[tuple[Key, InputNode]], list[tuple[Key, InputNode]]]:
    """Return scalar and sequence inputs with their variables; matched by name where all names fit, else by order as
    in lwtnn.
    """
    held: tuple[list[tuple[Key, InputNode]], list[tuple[Key, InputNode]]] = ([], [])
    for kind, section in enumerate(("inputs", "input_sequences")):
        keys = [key for key in graph.inputs if graph.calls[key].sequence == bool(kind)]
        if variables is None:
            for key in keys:
                numbered = tuple(InputVariable(f"variable_{n}") for n in range(graph.calls[key].features))
                held[kind].append((key, InputNode(key[0], numbered)))
            continue
        groups = [
            read_input(entry, section) for entry in jsontext.section(variables, section, list, "the variables file")
        ]
        if len(groups) != len(keys):
            raise NetworkError(
                f"the variables file has {len(groups)} {section}, the Keras model has {len(keys)}",
                hint=f"in Keras: {', '.join(k[0] for k in keys) or 'none'}",
            )
        if {group.name for group in groups} == {key[0] for key in keys}:
            by_name = {key[0]: key for key in keys}
            keys = [by_name[group.name] for group in groups]
        for key, group in zip(keys, groups, strict=True):
            if graph.calls[key].features != len(group.variables):
                raise NetworkError(
                    f"input {group.name!r} has {len(group.variables)} variables, the Keras input {key[0]!r} takes "
                    f"{graph.calls[key].features}"
                )
            held[kind].append((key, group))
    return held


def _outputs(
    graph: KerasGraph, variables: dict[str, Any] | None, sizes: list[int]
) -> list[tuple[str, tuple[str, ...]]]:
    if variables is None:
        names = [name if number == 0 else f"{name}_{number}" for name, number in graph.outputs]
        return [(name, tuple(f"out_{n}" for n in range(size))) for name, size in zip(names, sizes, strict=True)]
    entries = jsontext.section(variables, "outputs", list, "the variables file")
    if len(entries) != len(sizes):
        raise NetworkError(f"the variables file has {len(entries)} outputs, the Keras model has {len(sizes)}")
    found = []
    for entry, size in zip(entries, sizes, strict=True):
        name = jsontext.section(entry, "name", str, "an entry of outputs")
        labels = tuple(
            jsontext.text(label, f"a label of output {name!r}")
            for label in jsontext.section(entry, "labels", list, f"output {name!r}")
        )
        if len(labels) != size:
            raise NetworkError(f"output {name!r} has {len(labels)} labels, the Keras output has {size} values")
        found.append((name, labels))
    return found


# ------------------------------------------------------------------------------------------------------------- layers


def _activation(layer: KerasLayer, key: str = "activation") -> tuple[Activation, float]:
    """Return an activation and the factor its argument takes: Keras 3 has a hard sigmoid of slope 1/6, lwtnn and
    Keras 2 of 1/5.
    """
    name = layer.config.get(key)
    name = "linear" if name is None else name
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise layer.refuse(f"its activation is {name!r}", f"use one of {', '.join(sorted(_ACTIVATIONS))}")
    alpha = 0.2 if name == "leaky_relu" else 1.0
    return Activation(_ACTIVATIONS[name], alpha), 5 / 6 if name == "hard_sigmoid" and layer.major >= 3 else 1.0


def _wide(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64)


def _dense(layer: KerasLayer, n_in: int) -> Dense:
    kernel = _wide(layer.weight("kernel"))
    if kernel.ndim != 2 or kernel.shape[0] != n_in:
        raise NetworkError(
            f"the kernel of the Keras layer {layer.name!r} has the shape {kernel.shape}, its input has {n_in} features"
        )
    activation, factor = _activation(layer)
    bias = _wide(layer.weight("bias")) * factor if layer.config.get("use_bias", True) else None
    return Dense(np.ascontiguousarray(kernel.T) * factor, bias, activation, n_in)


def _batch_normalization(layer: KerasLayer, n_in: int) -> Layer:
    """Return the affine layer that batch normalisation is when applied."""
    axis = layer.config.get("axis", -1)
    if (axis[0] if isinstance(axis, (list, tuple)) and axis else axis) not in (-1, 1, 2):
        raise layer.refuse(f"it normalises along axis {axis}")
    # lwtnn's converter computes in the float32 of the legacy files; so do we for these, to give the same numbers
    kind = np.float32 if layer.major < 3 else np.float64
    mean, variance = layer.weight("moving_mean").astype(kind), layer.weight("moving_variance").astype(kind)
    gamma = layer.weight("gamma").astype(kind) if layer.config.get("scale", True) else np.ones_like(mean)
    beta = layer.weight("beta").astype(kind) if layer.config.get("center", True) else np.zeros_like(mean)
    deviation = np.sqrt(variance + layer.config.get("epsilon", 1e-3))
    if np.any(gamma == 0):
        scale = _wide(gamma / deviation)
        return Dense(np.diag(scale), _wide(beta) - _wide(mean) * scale, Activation(), n_in)
    return Normalization(_wide(gamma / deviation), _wide(-mean + (beta * deviation / gamma)))


def _normalization(layer: KerasLayer, n_in: int) -> Normalization:
    """Return Keras' preprocessing layer, (x - mean) / max(sqrt(variance), epsilon), as an affine layer."""
    if layer.config.get("invert"):
        raise layer.refuse("it is inverted")
    mean, variance = (_wide(layer.weight(name)).ravel() for name in ("mean", "variance"))
    mean, variance = np.broadcast_to(mean, n_in), np.broadcast_to(variance, n_in)
    return Normalization(1 / np.maximum(np.sqrt(variance), 1e-7), -mean)


def _scaling(layer: KerasLayer, n_in: int) -> Normalization:
    """Return a layer (x + offset) * scale; both as weights or in the configuration."""
    offset, scale = (
        np.broadcast_to(_wide(layer.weights.get(name, layer.config.get(name, 0.0))).ravel(), n_in)
        for name in ("offset", "scale")
    )
    return Normalization(scale.copy(), offset.copy())


def _recurrent(layer: KerasLayer, n_in: int) -> Recurrent:
    """Stack the gates in our order; Keras has i, f, c, o for the LSTM and z, r, h for the GRU."""
    for flag, why in (
        ("go_backwards", "it runs backwards"),
        ("stateful", "it keeps its state"),
        ("return_state", "it returns its state"),
    ):
        if layer.config.get(flag):
            raise layer.refuse(
                why, f"set {flag}=False" + ("; sort the objects the other way round" if flag == "go_backwards" else "")
            )
    bias = _wide(layer.weights["bias"]) if layer.config.get("use_bias", True) and "bias" in layer.weights else None
    if layer.kind == "gru" and (layer.config.get("reset_after") or (bias is not None and bias.ndim == 2)):
        raise layer.refuse("it resets after the matrix product", "build the layer with GRU(…, reset_after=False)")
    order = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "simplernn": (0,)}[layer.kind]
    kernel, recurrent = _wide(layer.weight("kernel")), _wide(layer.weight("recurrent_kernel"))
    units = recurrent.shape[0]
    if kernel.shape != (n_in, len(order) * units) or recurrent.shape != (units, len(order) * units):
        raise NetworkError(
            f"the weights of the Keras layer {layer.name!r} have the shapes {kernel.shape} and {recurrent.shape}, "
            f"its input has {n_in} features"
        )
    bias = np.zeros(len(order) * units) if bias is None else bias
    activation, outer = _activation(layer)
    inner, factor = (Activation(), 1.0) if layer.kind == "simplernn" else _activation(layer, "recurrent_activation")
    if outer != 1.0:
        raise layer.refuse("its activation is the hard sigmoid of Keras 3", "use tanh")
    gates = [slice(place * units, (place + 1) * units) for place in order]
    factors = {"lstm": (factor, factor, factor, 1.0), "gru": (factor, factor, 1.0), "simplernn": (1.0,)}[layer.kind]

    def stack(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([matrix.T[gate] * by for gate, by in zip(gates, factors, strict=True)])

    return Recurrent(layer.kind, stack(kernel), stack(recurrent), stack(bias), activation, inner)


def _conv1d(layer: KerasLayer, n_in: int) -> Conv1d:
    """Return the convolution. With an odd number of padding zeros Keras puts the extra one behind, lwtnn in front.

    For Keras 3 a kernel padded with zero weights makes both the same; the legacy files convert as with lwtnn's own
    converter.
    """
    if tuple(np.ravel(layer.config.get("strides", 1))) != (1,) or layer.config.get("groups", 1) != 1:
        raise layer.refuse("it has strides or groups", "use strides=1, groups=1")
    if layer.config.get("data_format", "channels_last") not in ("channels_last", None):
        raise layer.refuse("its data format is channels_first")
    kernel = _wide(layer.weight("kernel"))
    if kernel.ndim != 3 or kernel.shape[1] != n_in:
        raise NetworkError(
            f"the kernel of the Keras layer {layer.name!r} has the shape {kernel.shape}, its input has {n_in} features"
        )
    bias = _wide(layer.weight("bias")) if layer.config.get("use_bias", True) else np.zeros(kernel.shape[2])
    activation, factor = _activation(layer)
    if activation.function == "softmax":
        raise layer.refuse(
            "it has softmax, which lwtnn runs along the sequence",
            "use a linear convolution and a Softmax layer behind it",
        )
    dilation = int(np.ravel(layer.config.get("dilation_rate", 1))[0])
    padding = str(layer.config.get("padding", "valid"))
    reach = (kernel.shape[0] - 1) * dilation
    if padding == "same" and reach % 2 and layer.major >= 3:
        spread = np.zeros((reach + 2, *kernel.shape[1:]))
        spread[1::dilation] = kernel
        kernel, dilation = spread, 1
    return Conv1d(
        np.ascontiguousarray(kernel.transpose(0, 2, 1)) * factor, bias * factor, activation, padding, dilation
    )


def _only_activation(layer: KerasLayer, n_in: int) -> Dense:
    activation, factor = _activation(layer)
    weights = np.eye(n_in) * factor if factor != 1.0 else None
    return Dense(weights, None, activation, n_in)


def _relu(layer: KerasLayer, n_in: int) -> Dense:
    if layer.config.get("max_value") is not None or layer.config.get("threshold"):
        raise layer.refuse("it has a maximum or a threshold", "use a plain ReLU")
    slope = float(layer.config.get("negative_slope") or 0.0)
    return Dense(None, None, Activation("leakyrelu", slope) if slope else Activation("rectified"), n_in)


def _softmax(layer: KerasLayer, n_in: int) -> Dense:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, [-1]):
        raise layer.refuse(f"it runs along axis {axis}", "use axis=-1")
    return Dense(None, None, Activation("softmax"), n_in)


def _with_alpha(function: str, keys: tuple[str, ...], default: float) -> Callable[[KerasLayer, int], Layer]:
    def convert(layer: KerasLayer, n_in: int) -> Dense:
        given = next((layer.config[key] for key in keys if key in layer.config), default)
        return Dense(None, None, Activation(function, float(np.asarray(given).ravel()[0])), n_in)

    return convert


_CONVERTERS: dict[str, Callable[[KerasLayer, int], Layer]] = {
    "dense": _dense,
    "batchnormalization": _batch_normalization,
    "normalization": _normalization,
    "scaling": _scaling,
    "lstm": _recurrent,
    "gru": _recurrent,
    "simplernn": _recurrent,
    "conv1d": _conv1d,
    "activation": _only_activation,
    "relu": _relu,
    "softmax": _softmax,
    "leakyrelu": _with_alpha("leakyrelu", ("negative_slope", "alpha"), 0.3),
    "elu": _with_alpha("elu", ("alpha",), 1.0),
    "swish": _with_alpha("swish", ("beta",), 1.0),
}
