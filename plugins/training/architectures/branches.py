"""DeepSets (DSNN) and LSTM networks: one branch for each input, joined by two dense layers.

Sizes and layers are those of the decay-mode networks of NNAlgs. Dense layers work on all objects at once, and an
explicit mask takes the padding out of the sum (of the LSTM's steps); the functions are those of Masking and
TimeDistributed, at twice the speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hepflow.errors import NetworkError
from hepflow.plugins.training.architectures.base import (
    RAGGED,
    TRAINING,
    Architecture,
    Key,
    NetworkInput,
    Opened,
    open_inputs,
    switch,
)

__all__ = ["DSNN", "LSTM"]

PHI = {"TauTrack": [30, 30, 20], "NeutralPFO": [80, 80, 60, 60], "ShotPFO": [20, 20, 20], "ConvTrack": [30, 30, 20]}
F = {"TauTrack": [20, 20, 20], "NeutralPFO": [60, 40, 40], "ShotPFO": [20, 20, 20], "ConvTrack": [20, 20, 20]}
PER_OBJECT = {**PHI, "NeutralPFO": [80, 80, 60, 40]}
UNITS = {"TauTrack": 20, "NeutralPFO": 40, "ShotPFO": 20, "ConvTrack": 20}
OTHER = [30, 30, 20]
"""Sizes for inputs of other names."""


def _dense(x: Any, sizes: Sequence[int], name: str) -> Any:
    import keras

    for number, size in enumerate(sizes, start=1):
        x = keras.layers.Dense(size, activation="relu", name=f"{name}_{number}")(x)
    return x


def _first(config: Mapping[str, Any], sizes: str, count: str, name: str) -> list[int]:
    """Return the layer sizes of an input, as many as the file wants to use; 0 is all."""
    listed: list[int] = config[sizes][name]
    return listed[: config[count][name] or None]


class _Branches(Architecture):
    """The common part: a branch for each input, batch normalisation, two dense layers, softmax."""

    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = ("dropout",)
    COUNTED: ClassVar[Mapping[str, str]] = {}
    """Key with sizes of layers → key with the number of them that is used."""

    def check(self, config: Mapping[str, Any], inputs: Sequence[NetworkInput], where: str) -> None:
        """Raise NetworkError where more layers are to be used than there are sizes."""
        for sizes, count in self.COUNTED.items():
            for name, listed in config[sizes].items():
                if config[count][name] > len(listed):
                    raise NetworkError(
                        f"{count} of {name} is {config[count][name]}, but {sizes} has {len(listed)} sizes", where=where
                    )

    def branch(self, opened: Opened, one: NetworkInput, config: Mapping[str, Any], form: str) -> Any:
        """Return the features of one input, one row a tau."""
        raise TypeError(f"{type(self).__name__} has no branches")

    def build(
        self, inputs: Sequence[NetworkInput], classes: Sequence[str], config: Mapping[str, Any], form: str = TRAINING
    ) -> Any:
        """Build the branches and join them."""
        import keras

        opened = open_inputs(inputs, form)
        branches = []
        for one in inputs:
            x = self.branch(opened, one, config, form)
            if config["batch_norm"]:
                x = keras.layers.BatchNormalization(name=f"{one.name}_norm")(x)
            branches.append(x)
        x = keras.layers.Concatenate(name="joined")(branches) if len(branches) > 1 else branches[0]
        for number in (1, 2):
            x = keras.layers.Dense(config[f"n_fc{number}"], activation="relu", name=f"fc_{number}")(x)
        x = keras.layers.Dense(len(classes), activation="softmax", name="classes")(x)
        return keras.Model(opened.tensors, x, name=type(self).__name__)


class DSNN(_Branches):
    """DeepSets: of each sequence the objects go through dense layers, are summed, and go through more dense layers."""

    KEYS: ClassVar[Mapping[str, Key]] = {
        "batch_norm": switch(1),
        "n_inputs": Key(per_input=True, many=True),
        "n_tdd": Key(0, per_input=True, minimum=0),
        "n_hiddens": Key(per_input=True, many=True),
        "n_h": Key(0, per_input=True, minimum=0),
        "n_fc1": Key(),
        "n_fc2": Key(),
    }
    COUNTED: ClassVar[Mapping[str, str]] = {"n_inputs": "n_tdd", "n_hiddens": "n_h"}
    RAGGED: ClassVar[bool] = True

    def defaults(self, inputs: Sequence[NetworkInput]) -> dict[str, Any]:
        """Return the sizes of the decay-mode network."""
        phi, after = ({i.name: sizes.get(i.name, OTHER) for i in inputs} for sizes in (PHI, F))
        return {"n_inputs": phi, "n_hiddens": after, "n_fc1": 100, "n_fc2": 50}

    def branch(self, opened: Opened, one: NetworkInput, config: Mapping[str, Any], form: str) -> Any:
        """Return the summed and transformed objects; of an input without objects only the later layers."""
        from hepflow.plugins.training.layers import RaggedSum, Sum

        x, mask = opened.features[one.name], opened.masks[one.name]
        if one.cap is not None:
            x = _dense(x, _first(config, "n_inputs", "n_tdd", one.name), f"{one.name}_phi")
            name = f"{one.name}_sum"
            x = RaggedSum(name=name)(x, *mask) if form == RAGGED else Sum(name=name)(x, mask=mask)
        return _dense(x, _first(config, "n_hiddens", "n_h", one.name), f"{one.name}_f")


class LSTM(_Branches):
    """Recurrent: of each sequence the objects go through dense layers and, in order, through an LSTM."""

    KEYS: ClassVar[Mapping[str, Key]] = {
        "batch_norm": switch(1),
        "backwards": switch(0),
        "bidirectional": switch(0),
        "n_inputs": Key(per_input=True, many=True),
        "n_tdd_layers": Key(0, per_input=True, minimum=0),
        "n_hiddens": Key(per_input=True),
        "n_layers": Key(1, per_input=True),
        "n_fc1": Key(),
        "n_fc2": Key(),
    }
    COUNTED: ClassVar[Mapping[str, str]] = {"n_inputs": "n_tdd_layers"}

    def defaults(self, inputs: Sequence[NetworkInput]) -> dict[str, Any]:
        """Return the sizes of the decay-mode network."""
        sizes = {i.name: PER_OBJECT.get(i.name, OTHER) for i in inputs}
        units = {i.name: UNITS.get(i.name, OTHER[-1]) for i in inputs}
        return {"n_inputs": sizes, "n_hiddens": units, "n_fc1": 100, "n_fc2": 50}

    def branch(self, opened: Opened, one: NetworkInput, config: Mapping[str, Any], form: str) -> Any:
        """Return the last output of the LSTM: zeros for no objects, as in lwtnn."""
        import keras

        x = _dense(opened.features[one.name], _first(config, "n_inputs", "n_tdd_layers", one.name), f"{one.name}_dense")
        if one.cap is None:
            return x
        layers: int = config["n_layers"][one.name]
        for number in range(1, layers + 1):
            layer = keras.layers.LSTM(
                config["n_hiddens"][one.name],
                return_sequences=number < layers,
                go_backwards=bool(config["backwards"]),
                unroll=form == TRAINING,
                name=f"{one.name}_lstm_{number}",
            )
            if config["bidirectional"]:
                layer = keras.layers.Bidirectional(layer, name=f"{one.name}_both_{number}")
            x = layer(x, mask=opened.masks[one.name])
        return x
