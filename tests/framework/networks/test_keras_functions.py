"""Keras models of all kinds: live, as .keras and as .h5 they give the same numbers as Keras, or are refused by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="Keras is not installed")

from hepflow.errors import NetworkError  # noqa: E402
from hepflow.networks import from_keras, load  # noqa: E402
from hepflow.plugins.training.layers import Scaling, Sum  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)
Make = Callable[[Any], Any]


class Doubled(L.Dense):  # type: ignore[misc, name-defined]
    """Only bears the name of a layer of Keras."""

    def call(self, x: Any, training: Any = None) -> Any:
        return 2 * super().call(x)


Doubled.__name__ = "Dense"


class Mean(L.Layer):  # type: ignore[misc, name-defined]
    """Only bears the name of the layer that sums."""

    def call(self, x: Any) -> Any:
        return ops.mean(x, axis=1)


Mean.__name__ = "Sum"


def relu(x: Any) -> Any:
    """Only bears the name of an activation of Keras."""
    return 3 * ops.relu(x)


def _of_vector(*makes: Make) -> Any:
    given = keras.Input((5,), name="given")
    made = [make(given) for make in makes]
    return keras.Model(given, made[0] if len(made) == 1 else made)


def _of_sequence(*makes: Make) -> Any:
    given = keras.Input((4, 4), name="given")
    made = [make(given) for make in makes]
    return keras.Model(given, made[0] if len(made) == 1 else made)


def _lora(layer: Any) -> Make:
    def make(x: Any) -> Any:
        y = layer(x)
        layer.enable_lora(2)
        return y

    return make


def _own_call(x: Any) -> Any:
    layer = L.Dense(3)
    y = layer(x)
    layer.call = lambda inputs, training=None: inputs[:, :3]
    return y


def _twice(x: Any) -> Any:
    shared = L.Dense(5, activation="tanh")
    return shared(shared(x))


def _activation_on_two_sizes(x: Any) -> Any:
    shared = L.LeakyReLU(0.2)
    return shared(L.Dense(3)(shared(x)))


def _permuted(vector: bool) -> Any:
    a, b = keras.Input((5,), name="b_first"), keras.Input((5,), name="a_second")
    return keras.Model([b, a] if vector else [a, b], L.Concatenate()([a, L.Dense(2)(b)]))


def _masked(after: Make, value: float = 0.0) -> Make:
    return lambda x: after(L.Masking(mask_value=value)(x))


VECTOR: dict[str, Make] = {
    "rescaling": lambda x: L.Rescaling([1.0, 2.0, 0.0, 3.0, -1.0], [0.0, 1.0, 2.0, 3.0, 4.0])(x),
    "normalization": lambda x: L.Normalization(mean=[1.0] * 5, variance=[4.0, 1, 9, 0.5, 2])(x),
    "normalization of one number": lambda x: L.Normalization(axis=None, mean=1.0, variance=4.0)(x),
    "batch normalisation": lambda x: L.BatchNormalization(center=False)(L.BatchNormalization(scale=False, axis=1)(x)),
    "batch normalisation, frozen": lambda x: L.BatchNormalization(trainable=False, epsilon=0.1)(x),
    "add": lambda x: L.Dense(5)(x) + x,
    "the same twice": lambda x: L.Add()([x, x, L.Dropout(0.3)(x)]),
    "concatenate": lambda x: L.Concatenate(axis=1)([ops.concatenate([x, x], axis=-1), L.Dense(2)(x)]),
    "activations": lambda x: L.Concatenate()(
        [L.Dense(3, activation=a)(x) for a in (None, "relu", "elu", "silu", "swish", "hard_sigmoid", "leaky_relu")]
    ),
    "activation layers": lambda x: L.Concatenate()(
        [f(x) for f in (L.ReLU(negative_slope=0.1), L.ELU(0.7), L.LeakyReLU(0.3), L.Softmax(), L.Activation("tanh"))]
    ),
    "layers as activations": lambda x: L.Dense(3, activation=L.LeakyReLU(0.3))(L.Dense(4, activation=L.ELU(0.5))(x)),
    "operations as activations": lambda x: ops.relu(ops.sigmoid(L.Dense(3)(ops.tanh(x)))),
    "shared": _twice,
    "activation on two sizes": _activation_on_two_sizes,
    "LoRA": _lora(L.Dense(3)),
    "constraint": lambda x: L.Dense(3, kernel_constraint="non_neg", kernel_regularizer="l2", activity_regularizer="l1")(
        x
    ),
    "scaling": lambda x: Scaling([1.0] * 5, [2.0] * 5)(x),
    "identity": lambda x: L.Identity()(L.ActivityRegularization(0.1)(L.GaussianNoise(0.3)(L.Flatten()(x)))),
    "float64": lambda x: L.Dense(3, dtype="float64")(x),
    "one bias less": lambda x: L.Dense(3, use_bias=False)(x),
}
SEQUENCE: dict[str, Make] = {
    "sum": lambda x: Sum()(L.Dense(3)(x)),
    "sum, operation": lambda x: ops.sum(L.Dense(3)(x), axis=-2),
    "LSTM": lambda x: L.LSTM(3, unroll=True, use_bias=False)(L.LSTM(2, return_sequences=True, dropout=0.2)(x)),
    "softmax gates": lambda x: L.LSTM(3, activation="softmax", recurrent_activation="softmax")(x),
    "GRU": lambda x: L.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid", recurrent_dropout=0.1)(x),
    "SimpleRNN": lambda x: L.SimpleRNN(3, activation="relu")(x),
    "Conv1D": lambda x: Sum()(L.Conv1D(2, 2, padding="same")(L.Conv1D(3, 3, dilation_rate=2, padding="causal")(x))),
    "Conv1D valid": lambda x: Sum()(L.Conv1D(2, 3, activation="elu")(x)),
    "Conv1D with LoRA": lambda x: Sum()(_lora(L.Conv1D(3, 2))(x)),
    "time distributed": lambda x: Sum()(L.TimeDistributed(L.Dense(3, "relu"))(L.TimeDistributed(L.Dropout(0.1))(x))),
    "time distributed norm": lambda x: Sum()(L.TimeDistributed(L.BatchNormalization(axis=1))(x)),
    "batch normalisation of objects": lambda x: Sum()(L.BatchNormalization(axis=2)(x)),
    "softmax of objects": lambda x: Sum()(L.Softmax()(x)),
    "masking": _masked(lambda x: L.LSTM(3)(L.BatchNormalization()(L.Dense(3, "relu")(x)))),
    "masking and sum": _masked(lambda x: Sum()(L.Dense(3, "relu")(L.Dropout(0.1)(x))), -9.0),
}
REFUSED_VECTOR: dict[str, Make] = {
    "constant": lambda x: L.Dense(3)(x) + 1.0,
    "constant first": lambda x: 2.0 + L.Dense(3)(x),
    "array": lambda x: ops.add(L.Dense(3)(x), np.ones(3, "f4")),
    "times": lambda x: L.Dense(5)(x) * x,
    "broadcast": lambda x: L.Dense(1)(x) + x,
    "training": lambda x: L.BatchNormalization()(x, training=True),
    "dropout in use": lambda x: L.Dropout(0.5)(x, training=True),
    "half": lambda x: L.Dense(3, dtype="mixed_float16")(x),
    "bfloat16": lambda x: L.Dense(3, dtype="bfloat16")(x),
    "PReLU": lambda x: L.PReLU()(x),
    "ReLU6": lambda x: L.ReLU(max_value=6)(x),
    "threshold": lambda x: L.ReLU(threshold=0.5)(x),
    "gelu": lambda x: L.Dense(3, activation="gelu")(x),
    "function": lambda x: L.Dense(3, activation=lambda y: 2 * y)(x),
    "average": lambda x: L.Average()([x, L.Dense(5)(x)]),
    "maximum": lambda x: L.Maximum()([x, L.Dense(5)(x)]),
    "layer normalisation": lambda x: L.LayerNormalization()(x),
    "inverse": lambda x: L.Normalization(mean=1.0, variance=2.0, invert=True, axis=None)(x),
    "spectral": lambda x: L.SpectralNormalization(L.Dense(3))(x),
    "reshape": lambda x: L.Reshape((5,))(x),
    "concatenated taus": lambda x: L.Concatenate(axis=0)([x, x]),
    "model in a model": lambda x: keras.Sequential([L.Input((5,)), L.Dense(3)])(x),
    "masked vector": lambda x: L.Dense(3)(L.Masking(mask_value=1.0)(x)),
}
ONLY_LIVE: dict[str, Make] = {
    "own call": _own_call,
    "name of a layer": lambda x: Doubled(3)(x),
    "name of an activation": lambda x: L.Dense(3, activation=relu)(x),
}
REFUSED_SEQUENCE: dict[str, Make] = {
    "axis": lambda x: Sum()(L.BatchNormalization(axis=1)(x)),
    "axis of mean": lambda x: Sum()(L.Normalization(axis=1, mean=[1.0] * 4, variance=[2.0] * 4)(x)),
    "softmax of the sequence": lambda x: Sum()(L.Softmax(axis=1)(x)),
    "mean": lambda x: L.GlobalAveragePooling1D()(x),
    "pooling": lambda x: Sum()(L.MaxPooling1D()(x)),
    "strides": lambda x: Sum()(L.Conv1D(2, 2, strides=2)(x)),
    "groups": lambda x: Sum()(L.Conv1D(2, 2, groups=2)(x)),
    "convolved softmax": lambda x: Sum()(L.Conv1D(2, 2, activation="softmax")(x)),
    "backwards": lambda x: L.LSTM(2, go_backwards=True)(x),
    "both ways": lambda x: L.Bidirectional(L.LSTM(2), merge_mode="sum")(x),
    "state": lambda x: L.LSTM(2, return_state=True)(x)[1],
    "reset after": lambda x: L.GRU(2)(x),
    "given state": lambda x: L.LSTM(4)(x, initial_state=[Sum()(x), Sum()(x)]),
    "features": lambda x: ops.sum(x, axis=2),
    "kept": lambda x: ops.sum(x, axis=1, keepdims=True),
    "permuted": lambda x: Sum()(L.Permute((2, 1))(x)),
    "unmasked sum": _masked(lambda x: ops.sum(L.Dense(3)(x), axis=1)),
    "late masking": lambda x: L.LSTM(2)(L.Masking()(L.Dense(3, "relu")(x))),
    "masked convolution": _masked(lambda x: Sum()(L.Conv1D(3, 3, padding="same")(L.Dense(3)(x)))),
    "masked causal convolution": _masked(lambda x: Sum()(L.Conv1D(3, 2, padding="causal")(x))),
    "masked softmax": lambda x: L.Softmax()(Sum()(x), mask=ops.greater(Sum()(x), 0.0)),
    "computed mask": lambda x: L.LSTM(2)(x, mask=ops.greater(x[..., 0], 0.0)),
}


def _shaken(model: Any) -> Any:
    """Give all weights random values."""
    for variable in model.variables:
        if "variance" in variable.path:
            variable.assign(RNG.uniform(0.5, 2, variable.shape))
        elif variable.shape and variable.dtype in ("float32", "float64"):
            variable.assign(np.asarray(variable) + RNG.normal(0, 0.3, variable.shape))
    return model


def _forms(model: Any, folder: Path) -> list[Callable[[], Any]]:
    """Return the ways in which a network is made of a model."""
    forms: list[Callable[[], Any]] = [lambda: from_keras(model)]
    for name in ("m.keras", "m.h5"):
        model.save(folder / name)
        forms.append(lambda name=name: load(folder / name))  # type: ignore[misc]
    return forms


def _compare(model: Any, network: Any) -> None:
    """Compare with Keras; sequences of a model with Masking are filled up with its value."""
    given = model.inputs[0]
    if len(given.shape) == 2:
        inputs = [RNG.normal(size=(6, *one.shape[1:])).astype(np.float32) for one in model.inputs]
        feed: Any = {one.name: values for one, values in zip(model.inputs, inputs, strict=True)}
    else:
        value = next((layer.mask_value for layer in model.layers if isinstance(layer, L.Masking)), None)
        counts = np.full(6, 4) if value is None else RNG.integers(1, 5, 6)
        real = np.arange(4) < counts[:, None]
        values = np.where(real[..., None], RNG.normal(size=(6, 4, 4)), 0.0 if value is None else value)
        inputs, feed = [values.astype(np.float32)], {given.name: (values[real].astype(np.float32), counts)}
    wanted = keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
    found = network.evaluate(feed)
    assert len(found) == len(wanted)
    for output, values in zip(network.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[output.name], keras.ops.convert_to_numpy(values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("makes", [VECTOR, SEQUENCE], ids=["vector", "sequence"])
def test_the_same_function(tmp_path: Path, makes: dict[str, Make]) -> None:
    wrong = {}
    for name, make in makes.items():
        model = _shaken((_of_vector if makes is VECTOR else _of_sequence)(make))
        for number, form in enumerate(_forms(model, tmp_path)):
            try:
                _compare(model, form())
            except (NetworkError, AssertionError) as error:
                if "LoRA weights stand beside" not in str(error):  # an .h5 file does not add them to the kernel
                    wrong[f"{name}, {('live', '.keras', '.h5')[number]}"] = str(error)[:200]
    assert not wrong


@pytest.mark.parametrize("makes", [REFUSED_VECTOR, REFUSED_SEQUENCE, ONLY_LIVE], ids=["vector", "sequence", "live"])
def test_another_function_is_refused(tmp_path: Path, makes: dict[str, Make]) -> None:
    wrong = []
    for name, make in makes.items():
        model = (_of_sequence if makes is REFUSED_SEQUENCE else _of_vector)(make)
        forms = [lambda model=model: from_keras(model)] if makes is ONLY_LIVE else _forms(model, tmp_path)
        for number, form in enumerate(forms):
            try:
                form()
                said = "nothing"
            except NetworkError as error:
                said = error.message
            if "Keras layer" not in said:
                wrong.append(f"{name}, {('live', '.keras', '.h5')[number]}: {said}")
    assert not wrong


def test_quantised_models_and_own_sums_are_refused() -> None:
    model = _of_vector(L.Dense(3))
    model.quantize("int8")
    with pytest.raises(NetworkError, match="computes in int8"):
        from_keras(model)
    with pytest.raises(NetworkError, match="something else than a sum"):
        from_keras(_of_sequence(lambda x: Mean()(x)))


def test_several_inputs_and_outputs() -> None:
    for order in (True, False):
        model = _permuted(order)
        _compare(model, from_keras(model))
    given = keras.Input((5,), name="given")
    shared = L.Dense(2, name="d")
    outputs = {"score": shared(given), "other": shared(L.Dense(5)(given)), "again": shared.output}
    network = from_keras(keras.Model({"a": given}, outputs))
    assert [output.name for output in network.outputs] == ["again", "other", "score"]
