"""Keras layers, wherever they were read, as layers of lwtnn, or a refusal by name of what lwtnn cannot express. A
setting that is not known here is refused, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks.activations import Activation
from hepflow.networks.layers import Conv1d, Dense, Layer, Normalization, Recurrent

__all__ = ["CELLS", "SEQUENCES", "SKIPPED", "KerasLayer", "Key", "check_axis", "convert_layer"]

Key = tuple[str, int]
"""One use of a layer: its name, and the number of the call."""
SKIPPED = (
    "masking",
    "dropout",
    "flatten",
    "gaussiannoise",
    "gaussiandropout",
    "alphadropout",
    "spatialdropout1d",
    "activityregularization",
    "identity",
)
CELLS = ("lstm", "gru", "simplernn")
SEQUENCES = (*CELLS, "conv1d")
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
    2 or 3; ``inner`` the layer that a TimeDistributed layer wraps.
    """

    name: str
    kind: str
    config: dict[str, Any]
    weights: dict[str, NDArray[Any]]
    major: int = 3
    inner: KerasLayer | None = None

    @property
    def work(self) -> KerasLayer:
        """The layer that works: the wrapped one of a TimeDistributed layer."""
        return self.inner or self

    @property
    def does_nothing(self) -> bool:
        """Tell whether the layer changes nothing when applied to real objects."""
        return self.work.kind in SKIPPED

    def variables(self) -> list[str]:
        """Return the names of the layer's weights, in Keras' order."""
        config, kind = self.config, self.kind
        if kind in ("dense", "conv1d", *CELLS):
            names = ["kernel", *(["recurrent_kernel"] if kind in CELLS else [])]
            return [*names, *(["bias"] if config.get("use_bias", True) else [])]
        if kind == "batchnormalization":
            names = [name for name, flag in (("gamma", "scale"), ("beta", "center")) if config.get(flag, True)]
            return [*names, "moving_mean", "moving_variance"]
        if kind == "normalization" and config.get("mean") is None:
            return ["mean", "variance", "count"]
        return []

    def check_type(self) -> None:
        """Refuse a layer that computes with other numbers than float32 or float64."""
        kind = self.config.get("dtype")
        inside = kind.get("config") if isinstance(kind, dict) else None
        name: Any = inside.get("name", inside.get("mode", kind)) if isinstance(inside, dict) else kind
        if self.kind != "inputlayer" and name not in (None, "float32", "float64"):
            raise self.refuse(f"it computes in {name}", "build the model in float32 and give it the same weights")

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


_ALWAYS = ("name", "trainable", "dtype", "seed", "batch_input_shape", "batch_shape", "autocast", "activation")
"""Settings that every layer may have; the activation is looked at where there is one."""
_TRAINING = ("_initializer", "_regularizer", "_constraint")
_CELL = (
    "units use_bias recurrent_activation unit_forget_bias dropout recurrent_dropout implementation unroll "
    "return_sequences return_state go_backwards stateful time_major reset_after zero_output_for_mask use_cudnn"
)
_LORA = "lora_rank lora_alpha"
_SETTINGS = {
    "dense": f"units use_bias {_LORA}",
    "conv1d": f"filters kernel_size strides padding data_format dilation_rate groups use_bias rank {_LORA}",
    "batchnormalization": "axis momentum epsilon center scale synchronized fused virtual_batch_size renorm "
    "renorm_clipping renorm_momentum",
    "normalization": "axis invert mean variance",
    "rescaling": "scale offset",
    "scaling": "scale offset",
    "relu": "max_value negative_slope threshold",
    "softmax": "axis",
    "leakyrelu": "negative_slope alpha",
    "elu": "alpha",
    "swish": "beta",
    **dict.fromkeys(CELLS, _CELL),
}
"""The settings of each layer that its converter looks at or that only training needs."""


def convert_layer(layer: KerasLayer, n_in: int) -> Layer:
    """Return the layer of lwtnn; raises NetworkError, naming the layer, where there is none that does the same."""
    if layer.kind not in _CONVERTERS:
        raise layer.refuse()
    known = (*_ALWAYS, *_SETTINGS.get(layer.kind, "").split())
    for key, value in layer.config.items():
        if key not in known and not key.endswith(_TRAINING) and value not in (None, False):
            raise layer.refuse(f"its setting {key} is not known to hepflow")
    try:
        return _CONVERTERS[layer.kind](layer, n_in)
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise NetworkError(
            f"the settings or weights of the Keras layer {layer.name!r} ({layer.kind}) are damaged: {error}"
        ) from error


def check_axis(layer: KerasLayer, rank: int) -> None:
    """Refuse a layer that works along another axis than the features, the last of ``rank``."""
    if layer.kind in ("batchnormalization", "normalization", "softmax", "concatenate"):
        axis = layer.config.get("axis", -1)
        axes = axis if isinstance(axis, (list, tuple)) else [axis]
        if any(one not in (-1, rank - 1) for one in axes) and axis is not None:
            raise layer.refuse(f"it works along axis {axis}", "use axis=-1, the features")


def _activation(layer: KerasLayer, key: str = "activation") -> tuple[Activation, float]:
    """Return an activation and the factor its argument takes: Keras 3 has a hard sigmoid of slope 1/6, lwtnn and
    Keras 2 of 1/5.
    """
    name = layer.config.get(key)
    name = "linear" if name is None else name
    if isinstance(name, dict) and name.get("module", "keras.layers") == "keras.layers":
        inner = KerasLayer(layer.name, str(name.get("class_name")).lower(), dict(name.get("config") or {}), {})
        inner = replace(inner, major=layer.major)
        inner.check_type()
        found = convert_layer(inner, 1) if inner.kind in _ONLY_ACTIVATIONS and not name.get("registered_name") else None
        if isinstance(found, Dense) and found.weights is None:
            check_axis(inner, 0)
            return found.activation, 1.0
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        shown: Any = name
        if isinstance(name, dict):
            shown = name.get("config") if name.get("class_name") == "function" else name.get("class_name")
        raise layer.refuse(f"its activation is {shown!r}", f"use one of {', '.join(sorted(_ACTIVATIONS))}")
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
    # lwtnn's converter computes in the float32 of the legacy files; so do we for these, to give the same numbers
    kind = np.float32 if layer.major < 3 else np.float64
    mean, variance = layer.weight("moving_mean").astype(kind), layer.weight("moving_variance").astype(kind)
    gamma = layer.weight("gamma").astype(kind) if layer.config.get("scale", True) else np.ones_like(mean)
    beta = layer.weight("beta").astype(kind) if layer.config.get("center", True) else np.zeros_like(mean)
    deviation = np.sqrt(variance + layer.config.get("epsilon", 1e-3))
    if any(array.shape != (n_in,) for array in (mean, variance, gamma, beta)):
        raise layer.refuse(f"its weights do not fit its {n_in} features")
    if np.any(gamma == 0):
        scale = _wide(gamma / deviation)
        return Dense(np.diag(scale), _wide(beta) - _wide(mean) * scale, Activation(), n_in)
    return Normalization(_wide(gamma / deviation), _wide(-mean + (beta * deviation / gamma)))


def _normalization(layer: KerasLayer, n_in: int) -> Normalization:
    """Return Keras' preprocessing layer, (x - mean) / max(sqrt(variance), epsilon), as an affine layer."""
    if layer.config.get("invert"):
        raise layer.refuse("it is inverted")
    held = layer.weight if layer.config.get("mean") is None else layer.config.__getitem__
    mean, variance = (_wide(held(name)).ravel() for name in ("mean", "variance"))
    mean, variance = np.broadcast_to(mean, n_in), np.broadcast_to(variance, n_in)
    return Normalization(1 / np.maximum(np.sqrt(variance), 1e-7), -mean)


def _scaling(layer: KerasLayer, n_in: int) -> Normalization:
    """Return a layer (x + offset) * scale; both as weights or in the configuration."""
    offset, scale = (
        np.broadcast_to(_wide(layer.weights.get(name, layer.config.get(name, 0.0))).ravel(), n_in)
        for name in ("offset", "scale")
    )
    return Normalization(scale.copy(), offset.copy())


def _rescaling(layer: KerasLayer, n_in: int) -> Layer:
    """Return Keras' layer x * scale + offset."""
    scale, offset = (
        np.broadcast_to(_wide(layer.config.get(key, default)).ravel(), n_in).copy()
        for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    return Normalization(scale, offset / scale) if np.all(scale) else Dense(np.diag(scale), offset)


def _recurrent(layer: KerasLayer, n_in: int) -> Recurrent:
    """Stack the gates in our order; Keras has i, f, c, o for the LSTM and z, r, h for the GRU."""
    for flag, why in (
        ("go_backwards", "it runs backwards"),
        ("stateful", "it keeps its state"),
        ("return_state", "it returns its state"),
        ("time_major", "its first axis is the objects"),
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
    return Dense(None, None, Activation("softmax"), n_in)


def _with_alpha(function: str, keys: tuple[str, ...], default: float) -> Callable[[KerasLayer, int], Layer]:
    def convert(layer: KerasLayer, n_in: int) -> Dense:
        given = next((layer.config[key] for key in keys if key in layer.config), default)
        return Dense(None, None, Activation(function, float(np.asarray(given).ravel()[0])), n_in)

    return convert


_ONLY_ACTIVATIONS = ("activation", "relu", "softmax", "leakyrelu", "elu")
_CONVERTERS: dict[str, Callable[[KerasLayer, int], Layer]] = {
    "dense": _dense,
    "batchnormalization": _batch_normalization,
    "normalization": _normalization,
    "scaling": _scaling,
    "rescaling": _rescaling,
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
