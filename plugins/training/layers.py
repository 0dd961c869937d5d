"""hepflow's own Keras layers, for any backend: scaling of the inputs, sums and masks over the objects of a tau.

Importing this module imports Keras and registers the layers, so that ``.keras`` files with them can be opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["ClassToken", "RaggedSum", "Real", "Scaling", "SelfAttention", "Sum"]

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
class RaggedSum(keras.layers.Layer):  # type: ignore[misc]
    """Sum over the objects of each row: (objects, features) and their rows (objects) → (rows, features)."""

    def call(self, x: Any, rows: Any, counts: Any) -> Any:
        """Sum; ``counts`` has one entry a row, those without objects too."""
        return ops.segment_sum(x, rows, num_segments=ops.shape(counts)[0])

    def compute_output_spec(self, x: Any, rows: Any, counts: Any) -> Any:
        """Return (rows, features)."""
        return keras.KerasTensor((None, x.shape[-1]), dtype=x.dtype)


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


@_register
class SelfAttention(keras.layers.Layer):  # type: ignore[misc]
    """Let every object take from the real objects of its tau: scaled dot-product attention, arXiv:1706.03762.

    (batch, objects, features) → the same shape; ``real`` (batch, objects) is true for real objects. Written with plain
    matrix products, which train and export faster than Keras' general layer.
    """

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projections: query, key and value in one, and the output."""
        features = int(input_shape[-1] or 0)
        self.inside = keras.layers.Dense(3 * features, name="inside")
        self.outside = keras.layers.Dense(features, name="outside")
        self.inside.build(input_shape)
        self.outside.build(input_shape)

    def call(self, x: Any, real: Any) -> Any:
        """Attend."""
        objects, size = ops.shape(x)[1], x.shape[-1] // self.heads
        parts = ops.reshape(self.inside(x), (-1, objects, 3 * self.heads, size))
        query, key, value = ops.split(ops.transpose(parts, (0, 2, 1, 3)), 3, axis=1)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / float(np.sqrt(size))
        seen = ops.reshape(real, (-1, 1, 1, objects))
        weights = ops.softmax(ops.where(seen, scores, ops.full_like(scores, -1e9)), axis=-1)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.outside(ops.reshape(mixed, (-1, objects, self.heads * size)))

    def compute_output_spec(self, x: Any, real: Any) -> Any:
        """Return the shape of the objects."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the settings."""
        return {**super().get_config(), "heads": self.heads}
