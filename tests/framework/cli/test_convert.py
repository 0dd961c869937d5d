"""``hepflow convert`` of a Keras model with hepflow's own layers."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow.networks import load


def test_a_keras_model_with_own_layers(hepflow, tmp_path):
    """A mask input says which objects are real and drops out."""
    keras = pytest.importorskip("keras", reason="Keras comes with the extra 'train'")
    from hepflow.plugins.training.layers import Scaling, Sum

    objects, mask = keras.Input((4, 3), name="hits"), keras.Input((4,), dtype="bool", name="hits_mask")
    x = keras.layers.Dense(5, activation="relu")(Scaling([0.5, 0.0, -1.0], [2.0, 1.0, 0.1])(objects))
    out = keras.layers.Dense(2, activation="softmax", name="classes")(Sum()(x, mask=mask))
    model = keras.Model([objects, mask], out)
    model.save(tmp_path / "model.keras")
    said = hepflow("convert", "model.keras", "-o", "net.json").fine().out
    assert "no variables file: the inputs are called variable_0" in said
    network = load(tmp_path / "net.json")
    counts = np.array([4, 0, 2])
    values = np.random.default_rng(1).normal(size=(3, 4, 3)).astype(np.float32)
    real = np.arange(4) < counts[:, None]
    found = network.evaluate({network.input_sequences[0].name: (values[real], counts)})
    expected = keras.ops.convert_to_numpy(model([values, real]))
    np.testing.assert_allclose(next(iter(found.values())), expected, atol=1e-6)
