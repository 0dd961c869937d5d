"""hepflow's Keras layers, by hand and through a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras is not installed")


@pytest.fixture(scope="module")
def layers():
    from hepflow.plugins.training import layers

    return layers


def test_importing_the_training_plugin_imports_no_keras():
    code = "import sys, hepflow.plugins.training as t; t.Trainer, t.Tuner; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scaling(layers):
    layer = layers.Scaling([1.0, -2.0], [3.0, 0.5])
    x = np.array([[[1, 2], [0, 0]]], np.float32)
    np.testing.assert_array_equal(layer(x), [[[6, 0], [3, -1]]])
    assert layer.count_params() == 0


def test_sum_counts_only_real_objects(layers):
    x = np.array([[[1, 2], [10, 20], [np.nan, 5]], [[1, 1], [2, 2], [4, 4]]], np.float32)
    mask = np.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(layers.Sum()(x, mask=mask), [[11, 22], [0, 0]])
    np.testing.assert_array_equal(layers.Sum()(x[1:]), [[7, 7]])


def test_real_follows_counts(layers):
    found = layers.Real()(np.zeros((3, 4, 2), np.float32), np.array([0, 2, 4]))
    np.testing.assert_array_equal(found, [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])


def test_attention_by_hand(layers):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 4)).astype(np.float32)
    real = np.array([[True, True, False], [True, False, False]])
    layer = layers.SelfAttention(heads=2)
    found = np.asarray(layer(x, real))
    inside, bias, outside, last = (np.asarray(w, np.float64) for w in layer.get_weights())
    bias[:] = 0.1
    layer.set_weights([inside, bias, outside, last])
    found = np.asarray(layer(x, real))
    for tau in range(2):
        objects = np.flatnonzero(real[tau])
        q, k, v = np.split(x[tau] @ inside + bias, 3, axis=1)
        heads = []
        for head in (slice(0, 2), slice(2, 4)):
            scores = np.exp(q[:, head] @ k[objects, head].T / np.sqrt(2))
            heads.append(scores / scores.sum(axis=1, keepdims=True) @ v[objects, head])
        np.testing.assert_allclose(found[tau], np.concatenate(heads, axis=1) @ outside + last, atol=2e-6)


def test_layers_go_through_a_keras_file(layers, tmp_path):
    x, mask = keras.Input((3, 2)), keras.Input((3,), dtype="bool")
    y = layers.Scaling([0.5, 1.0], [2.0, 3.0])(x)
    y = layers.SelfAttention(1)(layers.ClassToken()(y), keras.ops.pad(mask, [[0, 0], [1, 0]], constant_values=True))
    model = keras.Model([x, mask], layers.Sum()(y))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    data = [np.ones((2, 3, 2), np.float32), np.array([[1, 1, 0], [0, 0, 0]], bool)]
    np.testing.assert_array_equal(model(data), again(data))
