"""Keras 3 models: what lwtnn can express agrees with model.predict, the rest is refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="Keras is not installed")

from hepflow.errors import NetworkError  # noqa: E402
from hepflow.networks import convert, from_keras, load, open_keras, write_lwtnn, write_onnx  # noqa: E402

# Keras 3.15 saves with a spelling that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def layers() -> Any:
    return keras.layers


@pytest.fixture(scope="module")
def sum_layer() -> Any:
    from hepflow.plugins.training.layers import Sum

    return Sum


def _ragged(features: int, longest: int, taus: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return padded objects for Keras, flat objects and counts for hepflow."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, longest + 1, taus)
    padded = np.zeros((taus, longest, features), np.float32)
    real = np.arange(longest) < counts[:, None]
    padded[real] = rng.standard_normal((counts.sum(), features))
    return padded, padded[real], counts


def _model(layers: Any, pool: Any) -> Any:
    """Return a model with two sequences and a scalar input, two outputs; ``pool`` makes the layer that ends a
    sequence.
    """
    inputs, branches = [], []
    for name, features in (("tracks", 5), ("clusters", 7)):
        x = layers.Input((None, features), name=name)
        inputs.append(x)
        x = layers.Masking()(x)
        x = layers.Dense(16, activation="relu")(x)
        x = layers.TimeDistributed(layers.Dense(12, activation="leaky_relu"))(x)
        x = layers.Dropout(0.1)(x)
        branches.append(layers.BatchNormalization()(pool()(x)))
    scalar = layers.Input((3,), name="scalar")
    x = layers.Concatenate()([*branches, layers.Dense(4, activation="silu")(scalar)])
    x = layers.Dense(10)(x)
    x = layers.LeakyReLU()(x)
    outputs = [
        layers.Dense(3, activation="softmax", name="classes")(x),
        layers.Dense(1, use_bias=False, name="energy")(x),
    ]
    model = keras.Model([*inputs, scalar], outputs)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    return model


VARIABLES = {
    "inputs": [{"name": "scalar", "variables": [{"name": f"s{k}", "offset": 0.0, "scale": 1.0} for k in range(3)]}],
    "input_sequences": [  # not in the order of the model: matched by name
        {"name": "clusters", "variables": [{"name": f"c{k}", "offset": 0.0, "scale": 1.0} for k in range(7)]},
        {"name": "tracks", "variables": [{"name": f"t{k}", "offset": 0.0, "scale": 1.0} for k in range(5)]},
    ],
    "outputs": [{"name": "classes", "labels": ["a", "b", "c"]}, {"name": "energy", "labels": ["e"]}],
}


@pytest.mark.parametrize("kind", ["sum", "lstm"])
def test_models_agree_with_predict(layers: Any, sum_layer: Any, tmp_path: Path, kind: str) -> None:
    model = _model(layers, sum_layer if kind == "sum" else lambda: layers.LSTM(8, recurrent_activation="hard_sigmoid"))
    padded, inputs = [], {}
    for name, features, longest in (("tracks", 5, 4), ("clusters", 7, 9)):
        values, flat, counts = _ragged(features, longest, 60, features)
        padded.append(values)
        inputs[name] = (flat, counts)
    scalar = np.random.default_rng(3).standard_normal((60, 3)).astype(np.float32)
    inputs["scalar"] = scalar
    wanted = model.predict([*padded, scalar], verbose=0)

    network = from_keras(model, VARIABLES, {"folds": {"train": [2, 3, 4]}})
    write_lwtnn(network, tmp_path / "network.json")
    write_onnx(network, tmp_path / "network.onnx")
    (tmp_path / "variables.json").write_text(json.dumps(VARIABLES))
    model.save(tmp_path / "model.keras")
    convert([tmp_path / "model.keras", tmp_path / "variables.json"], tmp_path / "saved.json")
    for opened in (
        network,
        *(load(tmp_path / name) for name in ("network.json", "network.onnx", "saved.json")),
    ):
        found = opened.evaluate(inputs)
        for name, values in zip(("classes", "energy"), wanted, strict=True):
            np.testing.assert_allclose(found[name], values, atol=1e-5)
    record = load(tmp_path / "network.onnx").record
    assert record["folds"] == {"train": [2, 3, 4]}
    assert record["versions"]["keras"] == keras.__version__
    assert record["origin"] == "Keras 3 model"


def test_convolutions_and_other_recurrent_layers(layers: Any) -> None:
    given = layers.Input((9, 4), name="hits")
    x = layers.Conv1D(6, 4, padding="same", activation="relu")(given)
    x = layers.Conv1D(5, 2, padding="same", dilation_rate=3)(x)
    x = layers.Conv1D(5, 2, padding="causal", dilation_rate=2, activation="hard_sigmoid")(x)
    x = layers.Conv1D(5, 3, padding="valid", activation="tanh")(x)
    x = layers.GRU(5, return_sequences=True, reset_after=False)(x)
    x = layers.Dense(4, activation="elu")(x)
    x = layers.SimpleRNN(3)(x)
    x = layers.Activation("hard_sigmoid")(x)
    model = keras.Model(given, layers.Add()([x, layers.ReLU()(x), x]))
    values = np.random.default_rng(0).standard_normal((40, 9, 4)).astype(np.float32)
    found = from_keras(model).evaluate({"hits": (values.reshape(-1, 4), np.full(40, 9))})
    np.testing.assert_allclose(next(iter(found.values())), model.predict(values, verbose=0), atol=1e-5)


def test_sequential_shared_and_preprocessing_layers(layers: Any) -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((200, 4)) * 3 + 5).astype(np.float32)
    scale = layers.Normalization()
    scale.adapt(values)
    shared = layers.Dense(4, activation="tanh")
    model = keras.Sequential(
        [layers.Input((4,)), scale, shared, layers.Dense(3), shared.__class__(2), layers.Softmax()]
    )
    found = from_keras(model).evaluate({from_keras(model).inputs[0].name: values})
    np.testing.assert_allclose(next(iter(found.values())), model.predict(values, verbose=0), atol=1e-5)

    given = layers.Input((4,), name="x")
    twice = keras.Model(given, shared(shared(given)))
    network = from_keras(twice)
    assert len(network.layers) == 1
    np.testing.assert_allclose(
        next(iter(network.evaluate({"x": values}).values())), twice.predict(values, verbose=0), atol=1e-5
    )


def test_sum_as_an_operation(layers: Any) -> None:
    given = layers.Input((None, 4), name="x")
    model = keras.Model(given, layers.Dense(2)(keras.ops.sum(layers.Dense(3)(given), axis=1)))
    values = np.ones((3, 5, 4), np.float32)
    found = from_keras(model).evaluate({"x": (values.reshape(-1, 4), [5, 5, 5])})
    np.testing.assert_allclose(next(iter(found.values())), model.predict(values, verbose=0), atol=1e-5)


REFUSED = [
    (lambda k, x: k.GRU(3)(x), "gru.*resets after", "reset_after=False"),
    (lambda k, x: k.GlobalAveragePooling1D()(x), "globalaveragepooling1d", "Sum"),
    (lambda k, x: k.Flatten()(x), "flatten a sequence", "Sum"),
    (lambda k, x: k.Bidirectional(k.LSTM(2))(x), "bidirectional", "other way round"),
    (lambda k, x: k.LSTM(2, go_backwards=True)(x), "runs backwards", "go_backwards=False"),
    (lambda k, x: k.LSTM(2, return_sequences=True)(x), "whole sequence", "return_sequences=False"),
    (lambda k, x: k.LayerNormalization()(x), "layernormalization", "BatchNormalization"),
    (lambda k, x: k.Lambda(lambda y: y)(x), "lambda", "never run"),
    (lambda k, x: k.Dense(3, activation="gelu")(x), "activation is 'gelu'", "relu"),
    (lambda k, x: k.Concatenate()([x, x]), "works on sequences", "after the Sum"),
    (lambda k, x: k.Conv1D(2, 3, strides=2)(x), "strides", "strides=1"),
    (lambda k, x: k.MultiHeadAttention(2, 2)(x, x), "multiheadattention", "DeepSet"),
    (lambda k, x: k.ReLU(max_value=6)(x), "maximum", "plain ReLU"),
]


@pytest.mark.parametrize(("make", "message", "hint"), REFUSED)
def test_what_lwtnn_cannot_express_is_refused_by_name(layers: Any, make: Any, message: str, hint: str) -> None:
    given = layers.Input((9, 4), name="hits")
    with pytest.raises(NetworkError, match=message) as caught:
        from_keras(keras.Model(given, make(layers, given)))
    assert hint in caught.value.hint


def test_models_without_graph_and_unfitting_variables(layers: Any, sum_layer: Any) -> None:
    with pytest.raises(NetworkError, match="has no graph"):
        from_keras(keras.Sequential([layers.Dense(3)]))
    model = _model(layers, sum_layer)
    short = json.loads(json.dumps(VARIABLES))
    short["input_sequences"][0]["variables"].pop()
    with pytest.raises(NetworkError, match="'clusters' has 6 variables"):
        from_keras(model, short)
    with pytest.raises(NetworkError, match="has 1 input_sequences, the Keras model has 2"):
        from_keras(model, VARIABLES | {"input_sequences": VARIABLES["input_sequences"][:1]})
    with pytest.raises(NetworkError, match="output 'classes' has 2 labels"):
        from_keras(model, VARIABLES | {"outputs": [{"name": "classes", "labels": ["a", "b"]}, VARIABLES["outputs"][1]]})


def test_keras_files_run_no_code(layers: Any, tmp_path: Path) -> None:
    given = layers.Input((4,))
    keras.Model(given, layers.Lambda(lambda y: y)(given)).save(tmp_path / "code.keras")
    with pytest.raises(NetworkError, match="cannot be opened"):
        open_keras(tmp_path / "code.keras")
    (tmp_path / "damaged.keras").write_bytes((tmp_path / "code.keras").read_bytes()[:900])
    with pytest.raises(NetworkError, match="cannot be opened"):
        open_keras(tmp_path / "damaged.keras")
    with pytest.raises(NetworkError, match="no such file"):
        open_keras(tmp_path / "missing.keras")
