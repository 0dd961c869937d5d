"""Architectures: parameter counts of the reference, masks, lwtnn's empty sequences, the three forms of a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hepflow import Folds
from hepflow.errors import NetworkError, PluginError
from hepflow.plugins.tau.variables import CLASSES
from hepflow.plugins.training.architectures import NetworkInput, mask_name
from hepflow.plugins.training.architectures.base import RAGGED
from hepflow.plugins.training.configuration import NetworkPlan, plan_network
from hepflow.plugins.training.engines import Schedule
from hepflow.plugins.training.engines.keras import compile_model
from hepflow.plugins.training.engines.keras_export import to_network
from hepflow.plugins.training.engines.keras_steps import PlainSteps
from hepflow.plugins.training.engines.keras_tensorflow import RaggedSteps, TensorFlowSteps
from hepflow.plugins.training.source import Source
from hepflow.registry.manager import registry

keras = pytest.importorskip("keras", reason="Keras is not installed")

FLAT = (NetworkInput("jets", ("m", "pt", "dr"), None, (0.0, 1.0, 2.0), (1.0, 2.0, 3.0)),)


def feed(values, masks):
    return {**values, **{mask_name(name): mask for name, mask in masks.items()}}


def randomised(model, seed=1):
    """Give every weight a value, those of batch normalisation as well."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.01, 0.1, w.shape) for w in model.get_weights()])
    return model


def plan(name, inputs, **keys):
    kind = registry().load("architectures", name)()
    given = {**kind.defaults(inputs), **keys}
    return NetworkPlan(name, kind, kind.resolve(given, inputs, CLASSES), inputs, CLASSES)


@pytest.mark.parametrize(("name", "parameters"), [("DSNN", 48_905), ("LSTM", 58_965)])
def test_parameters_of_the_reference(name, parameters, network_inputs):
    model = plan_network(name, None, network_inputs, CLASSES).build()
    assert model.count_params() == parameters
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 200


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("DSNN", {"n_inputs": [7, 6], "n_hiddens": [5]}),
        ("LSTM", {"n_inputs": [7], "n_hiddens": 4}),
        ("LSTM", {"n_inputs": [7], "n_hiddens": 4, "n_layers": 2, "batch_norm": 0}),
    ],
)
def test_padding_does_not_matter_and_lwtnn_agrees(name, keys, network_inputs, random_taus):
    """The evaluator sees only real objects: what stands in the padding cannot reach it."""
    made = plan(name, network_inputs, **keys, n_fc1=8, n_fc2=6)
    model = randomised(made.build())
    values, masks = random_taus(50)
    expected = np.asarray(model.predict_on_batch(feed(values, masks)))
    network = to_network(model, made, "classes", {})
    ragged = {k: (v[masks[k]], masks[k].sum(axis=1)) for k, v in values.items()}
    np.testing.assert_allclose(network.evaluate(ragged)["classes"], expected, atol=1e-5)
    assert [(o.name, o.labels) for o in network.outputs] == [("classes", CLASSES)]
    assert [i.name for i in network.input_sequences] == [i.name for i in network_inputs]
    assert "pt_log" in network.input_sequences[0].names
    affine = sum(2 * sum(w.shape[0] for w in layer.weights[:1]) for layer in model.layers if "norm" in layer.name)
    assert network.n_parameters == model.count_params() - affine, "4 numbers a unit become 2"


def test_empty_sequences_of_an_lstm_are_zeros(network_inputs, random_taus):
    made = plan("LSTM", network_inputs, n_inputs=[5], n_hiddens=4)
    model = randomised(made.build())
    import keras

    inner = keras.Model(model.inputs, model.get_layer("TauTrack_lstm_1").output)
    values, masks = random_taus(3)
    masks["TauTrack"][1] = True
    found = np.asarray(inner.predict_on_batch(feed(values, masks)))
    assert (found[0] == 0).all()
    assert (found[1] != 0).any()


def test_transformer_takes_objects_in_any_order_and_number(network_inputs, random_taus):
    made = plan("SetTransformer", network_inputs, n_model=8, n_heads=2, n_blocks=1, n_ff=8, n_fc=[6])
    model = randomised(made.build())
    values, masks = random_taus(20)
    expected = np.asarray(model.predict_on_batch(feed(values, masks)))
    assert np.isfinite(expected).all()
    turned = {k: v[:, ::-1] for k, v in values.items()}, {k: m[:, ::-1] for k, m in masks.items()}
    np.testing.assert_allclose(np.asarray(model.predict_on_batch(feed(*turned))), expected, atol=1e-6)
    padded = {k: np.where(masks[k][..., None], v, 99) for k, v in values.items()}
    np.testing.assert_allclose(np.asarray(model.predict_on_batch(feed(padded, masks))), expected, atol=1e-6)


def test_dense_classifies_and_regresses():
    data = {"jets": np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)}
    classifier = plan("Dense", FLAT, n_hiddens=[4], batch_norm=1, dropout=0.1)
    model = classifier.build()
    np.testing.assert_allclose(np.asarray(model.predict_on_batch(data)).sum(axis=1), 1, atol=1e-6)
    found = to_network(model, classifier, "classes", {}).evaluate(data)["classes"]
    np.testing.assert_allclose(found, np.asarray(model.predict_on_batch(data)), atol=1e-6)
    kind = registry().load("architectures", "Dense")()
    config = kind.resolve({"n_hiddens": 4, "task": "regression"}, FLAT, ("mass",))
    regressor = NetworkPlan("Dense", kind, config, FLAT, ("mass",))
    assert regressor.loss == "mean_squared_error"
    assert regressor.build().output_shape == (None, 1)


def test_dense_refuses_sequences(network_inputs):
    with pytest.raises(NetworkError, match="'TauTrack' is a sequence"):
        plan("Dense", network_inputs).build()


def test_bidirectional_lstm_is_refused_by_lwtnn_alone(network_inputs):
    made = plan("LSTM", network_inputs, n_inputs=[4], n_hiddens=3, bidirectional=1)
    with pytest.raises(NetworkError, match="bidirectional"):
        to_network(made.build(), made, "classes", {})


def test_unknown_architecture_names_the_nearest(network_inputs):
    with pytest.raises(PluginError, match="did you mean 'DSNN'"):
        plan_network("DSN", None, network_inputs, CLASSES)


def test_a_plan_comes_back_from_its_description(network_inputs):
    made = plan("LSTM", network_inputs)
    again = NetworkPlan.from_description(json.loads(json.dumps(made.describe())))
    assert (again.inputs, again.classes, again.config) == (made.inputs, made.classes, made.config)


def test_all_steps_agree(small_training, monkeypatch, caplog):
    """Weights after an epoch: Keras' own steps, padded ones, ragged ones, and a set that lives on a device."""
    caplog.set_level("INFO")
    variables = json.loads(Path(small_training["Normaliser"]).read_text())
    source, found = Source(Path(small_training["Dataset"]), Folds(), None, variables), {}
    with source.open() as data:
        made = plan("DSNN", source.inputs(data), n_inputs=[8, 6], n_hiddens=[5], n_fc1=8, n_fc2=6)
        kinds = {"plain": PlainSteps, "padded": TensorFlowSteps, "device": TensorFlowSteps, "ragged": RaggedSteps}
        for name, kind in kinds.items():
            memory = {"device": 1e9, "padded": 1e4}.get(name)
            monkeypatch.setattr("hepflow.plugins.training.backend.free_memory", lambda memory=memory: memory)
            keras.utils.set_random_seed(1)
            model, form = randomised(made.build()), made.build(RAGGED) if name == "ragged" else None
            if form is not None:
                assert [w.path.split("/")[-2:] for w in form.weights] == [w.path.split("/")[-2:] for w in model.weights]
            monkeypatch.setattr("hepflow.plugins.training.engines.keras_steps.ANSWERED", 64)
            steps = kind(model, form, made.loss, Schedule(batch_size=50, optimiser="sgd"))
            sums = list(steps.epoch(data, 0))
            batches = ((steps.predict(one), one.labels, one.weights) for one in data.batches("validation", 600))
            answers = steps.answers(data, "validation") if name == "device" else batches
            found[name] = [
                *(np.concatenate([getattr(one, what) for one in sums]) for what in ("losses", "weights", "right")),
                *map(np.concatenate, zip(*answers, strict=True)),
                *model.get_weights(),
            ]
            assert sum(sum(one.rows) for one in sums) == data.size("train")
    for name in ("padded", "device", "ragged"):
        for one, other in zip(found[name], found["plain"], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)
    assert "do not fit into 0.00 GB that are free" in caplog.text
    assert "lives in the memory of cpu:0" in caplog.text


def test_a_device_that_fails(small_training, monkeypatch, caplog):
    """Memory that does not suffice beside the set: the epoch begins anew with blocks; any other end is told."""
    variables = json.loads(Path(small_training["Normaliser"]).read_text())
    source = Source(Path(small_training["Dataset"]), Folds(), None, variables)
    monkeypatch.setattr("hepflow.plugins.training.backend.free_memory", lambda: 1e9)
    with source.open() as data:
        made = plan("DSNN", source.inputs(data), n_inputs=[4], n_hiddens=[4], n_fc1=4, n_fc2=4)
        keras.utils.set_random_seed(1)
        engine, failures = compile_model(made.build(), Schedule(batch_size=50), made.loss), [0, 0, ""]
        whole, run = engine.arrays(), engine.steps.run
        monkeypatch.setattr("hepflow.plugins.training.backend.accelerated", lambda: True)

        def fails(store, order):
            failures[0] += 1
            if failures[0] == failures[1]:
                raise RuntimeError(failures[2])
            return run(store, order)

        expected = engine.fit_epoch(data, 0)
        assert engine.steps._held["train"] is not None
        engine.assign(*whole)
        monkeypatch.setattr(engine.steps, "run", fails)
        failures[:] = 0, 2, "RESOURCE_EXHAUSTED: no 4 bytes"
        monkeypatch.setattr("hepflow.plugins.training.engines.keras_steps.BLOCK_STEPS", 2)
        assert engine.fit_epoch(data, 0)["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert "goes there in blocks now" in caplog.text
        for reason, hint in (("RESOURCE_EXHAUSTED: no 4 bytes", "smaller batches"), ("device lost", "--resume")):
            failures[:] = 0, 1, reason
            with pytest.raises(NetworkError, match=f"the device failed in epoch 2: {reason}") as caught:
                engine.fit_epoch(data, 1)
            assert hint in caught.value.hint


EPOCH = """
import sys, json, numpy as np
from hepflow.plugins.training.configuration import NetworkPlan
from hepflow import Folds
from hepflow.plugins.training.engines import Schedule
from hepflow.plugins.training.engines.keras import compile_model
from hepflow.plugins.training.fitting import evaluate
from hepflow.plugins.training.source import Source
from hepflow.networks.keras_import import import_keras
from hepflow.registry.manager import registry
from pathlib import Path
import_keras()
source = Source(Path(sys.argv[1]), Folds(), None, json.loads(Path(sys.argv[2]).read_text()))
found = []
with source.open() as data:
    inputs = source.inputs(data)
    for name, optimiser, keys in (
        ("DSNN", "sgd", {"n_inputs": [8, 6], "n_hiddens": [5], "n_fc1": 8, "n_fc2": 6}),
        ("LSTM", "adam", {"n_inputs": [8], "n_hiddens": 6, "n_fc1": 8, "n_fc2": 6}),
        ("SetTransformer", "adam", {"n_model": 8, "n_heads": 2, "n_ff": 8, "n_fc": [8], "dropout": 0.0}),
    ):
        kind = registry().load("architectures", name)()
        plan = NetworkPlan(name, kind, kind.resolve(keys, inputs, data.classes), inputs, data.classes)
        model = plan.build()
        rng = np.random.default_rng(1)
        model.set_weights([rng.uniform(-0.3, 0.4, w.shape) ** 2 for w in model.get_weights()])
        schedule = Schedule(batch_size=50, optimiser=optimiser)
        engine = compile_model(model, schedule, plan.loss)
        row = engine.fit_epoch(data, 0)
        found.append([row["loss"], evaluate(engine, data, "validation", plan.loss).loss])
Path(sys.argv[3]).write_text(json.dumps(found))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_agree_after_an_epoch(backend, small_training, tmp_path):
    """Losses; a DeepSet with Adam would by itself turn 1e-7 in its first weights into 1e-4 of the loss."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    losses = {}
    for name in (backend, "tensorflow"):
        target = tmp_path / f"{name}.json"
        command = [sys.executable, "-c", EPOCH, small_training["Dataset"], small_training["Normaliser"], str(target)]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": name}, timeout=300)
        losses[name] = json.loads(target.read_text())
    np.testing.assert_allclose(losses[backend], losses["tensorflow"], rtol=0, atol=1e-5)
