"""A set transformer: the objects of all sequences together, through blocks of self-attention.

Blocks normalise before attention and before the dense layers, arXiv:2002.04745; a learned object that is put in front
of the others collects what the classifier reads, so that a tau without objects is an ordinary case. lwtnn has no
attention: such networks are exported as ONNX only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hepflow.errors import NetworkError
from hepflow.plugins.training.architectures.base import TRAINING, Architecture, Key, NetworkInput, open_inputs

__all__ = ["SetTransformer"]


class SetTransformer(Architecture):
    """Self-attention over the objects of all sequences."""

    NO_LWTNN: ClassVar[str] = "lwtnn has no attention; use model.onnx, or the architecture DSNN or LSTM"
    KEYS: ClassVar[Mapping[str, Key]] = {
        "n_model": Key(48),
        "n_heads": Key(4),
        "n_blocks": Key(2),
        "n_ff": Key(96),
        "n_fc": Key([64], many=True),
        "dropout": Key(0.1, fraction=True),
    }

    def check(self, config: Mapping[str, Any], inputs: Sequence[NetworkInput], where: str) -> None:
        """Raise NetworkError where the heads do not share the features evenly."""
        if config["n_model"] % config["n_heads"]:
            raise NetworkError(
                f"n_model {config['n_model']} is no multiple of n_heads {config['n_heads']}", where=where
            )

    def build(
        self, inputs: Sequence[NetworkInput], classes: Sequence[str], config: Mapping[str, Any], form: str = TRAINING
    ) -> Any:
        """Embed, attend, classify; an input without objects is one object."""
        import keras
        from keras import ops

        from hepflow.plugins.training.layers import ClassToken

        opened = open_inputs(inputs, form)
        embedded, masks = [], []
        for one in inputs:
            x = keras.layers.Dense(config["n_model"], name=f"{one.name}_embedding")(opened.features[one.name])
            x = ops.expand_dims(x, 1) if one.cap is None else x
            mask = opened.masks[one.name]
            embedded.append(x)
            masks.append(ops.any(ops.ones_like(x, dtype="bool"), axis=-1) if mask is None else mask)
        x = keras.layers.Concatenate(axis=1, name="objects")(embedded) if len(embedded) > 1 else embedded[0]
        x = ClassToken(name="token")(x)
        first = ops.ones_like(masks[0][:, :1])
        real = ops.concatenate([first, *masks], axis=1)
        for number in range(1, config["n_blocks"] + 1):
            x = _block(x, real, config, f"block_{number}")
        x = keras.layers.LayerNormalization(name="norm")(x)[:, 0, :]
        for number, size in enumerate(config["n_fc"], start=1):
            x = keras.layers.Dense(size, activation="relu", name=f"fc_{number}")(x)
        x = keras.layers.Dense(len(classes), activation="softmax", name="classes")(x)
        return keras.Model(opened.tensors, x, name="SetTransformer")


def _block(x: Any, real: Any, config: Mapping[str, Any], name: str) -> Any:
    """Return x (batch, objects, features) after attention to real objects and two dense layers, each added to it."""
    import keras

    from hepflow.plugins.training.layers import SelfAttention

    size, dropout = config["n_model"], config["dropout"]
    y = keras.layers.LayerNormalization(name=f"{name}_norm_1")(x)
    y = SelfAttention(config["n_heads"], name=f"{name}_attention")(y, real)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout_1")(y)
    x = keras.layers.Add(name=f"{name}_add_1")([x, y])
    y = keras.layers.LayerNormalization(name=f"{name}_norm_2")(x)
    y = keras.layers.Dense(config["n_ff"], activation="silu", name=f"{name}_dense_1")(y)
    y = keras.layers.Dense(size, name=f"{name}_dense_2")(y)
    if dropout:
        y = keras.layers.Dropout(dropout, name=f"{name}_dropout_2")(y)
    return keras.layers.Add(name=f"{name}_add_2")([x, y])
