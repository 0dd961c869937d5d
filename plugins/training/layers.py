"""hepflow's own Keras layers, for any backend: scaling of the inputs, sums and masks over the objects of a tau.

Importing this module imports Keras and registers the layers, so that ``.keras`` files with them can be opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["ClassToken", "Real", "Scaling", "Sum"]

_register = keras.saving.register_keras_serializable(package="hepflow")


@_register
class Scaling(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
    """Return ``(x + offset) * scale``, variable by variable, as lwtnn does with its inputs.

    ``offset`` and ``scale`` have one value for each variable, the last axis; they are settings, not weights.
    """

    def __init__(self, offset: Sequence[float], scale: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.offset = [float(value) for value in offset]
        self.scale = [float(value) for value in scale]

    def call(self, x: Any) -> Any:
        """Scale (…, n_variables)."""
        offset, scale = (ops.convert_to_tensor(np.asarray(v, np.float32)) for v in (self.offset, self.scale))
        return (x + ops.cast(offset, x.dtype)) * ops.cast(scale, x.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {**super().get_config(), "offset": self.offset, "scale": self.scale}


@_register
class Sum(keras.layers.Layer):  # type: ignore[misc]
    """Sum over the objects: (batch, objects, features) → (batch, features).

    ``mask`` (batch, objects) is true for real objects; the others do not count, whatever stands in them. lwtnn's
    converters know the layer by the name of its class.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def compute_mask(self, x: Any, mask: Any = None) -> None:
        """Return no mask: what comes out has no objects."""
        return

    def call(self, x: Any, mask: Any = None) -> Any:
        """Sum the real objects."""
        if mask is None:
            return ops.sum(x, axis=1)
        return ops.sum(ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x)), axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (batch, features)."""
        return input_shape[0], input_shape[2]


@_register
class ClassToken(keras.layers.Layer):  # type: ignore[misc]
    """Put one learned object in front of all others: (batch, objects, features) → (batch, 1 + objects, features)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the learned object."""
        self.token = self.add_weight(name="token", shape=(1, 1, input_shape[-1]), initializer="glorot_uniform")

    def call(self, x: Any) -> Any:
        """Return the objects with the learned one first."""
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape with one object more."""
        objects = input_shape[1]
        return input_shape[0], None if objects is None else objects + 1, input_shape[2]


@_register
class Real(keras.layers.Layer):  # type: ignore[misc]
    """Return which objects are real, (batch, objects), for objects (batch, objects, variables) and counts (batch)."""

    def call(self, x: Any, counts: Any) -> Any:
        """Compare places with counts."""
        places = ops.arange(ops.shape(x)[1], dtype="int32")
        return ops.expand_dims(places, 0) < ops.expand_dims(ops.cast(counts, "int32"), 1)

    def compute_output_spec(self, x: Any, counts: Any) -> Any:
        """Return (batch, objects), bool."""
        return keras.KerasTensor(x.shape[:2], dtype="bool")
