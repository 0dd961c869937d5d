"""The plain network: dense layers on inputs with one row an object or event, to classify or to estimate values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hepflow.plugins.training.architectures.base import (
    TRAINING,
    Architecture,
    Key,
    NetworkInput,
    check_flat,
    open_inputs,
    switch,
)

__all__ = ["Dense"]


class Dense(Architecture):
    """Dense layers on flat inputs: a classifier (softmax, cross-entropy) or a regressor (linear, squared error)."""

    KEYS: ClassVar[Mapping[str, Key]] = {
        "task": Key("classification", choices=("classification", "regression")),
        "n_hiddens": Key([64, 64], many=True),
        "batch_norm": switch(0),
        "dropout": Key(0.0, fraction=True),
    }

    def check(self, config: Mapping[str, Any], inputs: Sequence[NetworkInput], where: str) -> None:
        """Raise NetworkError for an input that is a sequence."""
        check_flat("the architecture Dense", inputs, where)

    def loss(self, config: Mapping[str, Any]) -> str:
        """Return cross-entropy or squared error."""
        return "categorical_crossentropy" if config["task"] == "classification" else "mean_squared_error"

    def build(
        self, inputs: Sequence[NetworkInput], classes: Sequence[str], config: Mapping[str, Any], form: str = TRAINING
    ) -> Any:
        """Join the inputs and put the layers behind."""
        import keras

        opened = open_inputs(inputs, form)
        features = [opened.features[one.name] for one in inputs]
        x = keras.layers.Concatenate(name="joined")(features) if len(features) > 1 else features[0]
        for number, size in enumerate(config["n_hiddens"], start=1):
            x = keras.layers.Dense(size, activation="relu", name=f"dense_{number}")(x)
            if config["batch_norm"]:
                x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
            if config["dropout"]:
                x = keras.layers.Dropout(config["dropout"], name=f"dropout_{number}")(x)
        activation = "softmax" if config["task"] == "classification" else "linear"
        x = keras.layers.Dense(len(classes), activation=activation, name="classes")(x)
        return keras.Model(opened.tensors, x, name="Dense")
