"""Activation functions of lwtnn, applied in place to columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest

__all__ = ["FUNCTIONS", "Activation", "apply_activation"]

FUNCTIONS = (
    "linear",
    "sigmoid",
    "hard_sigmoid",
    "rectified",
    "tanh",
    "softmax",
    "elu",
    "leakyrelu",
    "swish",
    "abs",
)
# Keras leaves out alpha of these two where it is 1; leakyrelu has no agreed value, so it must be written.
_DEFAULT_ALPHA = {"elu": 1.0, "swish": 1.0}
WITH_ALPHA = ("elu", "leakyrelu", "swish")


@dataclass(frozen=True)
class Activation:
    """One of lwtnn's activation functions; ``alpha`` belongs to elu, leakyrelu and swish."""

    function: str = "linear"
    alpha: float = 1.0

    @classmethod
    def read(cls, value: object, where: str) -> Activation:
        """Read both spellings of lwtnn: ``"elu"`` or ``{"function": "elu", "alpha": 1.0}``.

        Raises NetworkError for an unknown function and for an alpha that is missing or no finite number.
        """
        alpha: object = None
        name = value
        if isinstance(value, dict):
            name, alpha = value.get("function"), value.get("alpha")
        if not isinstance(name, str) or name not in FUNCTIONS:
            raise NetworkError(
                f"unknown activation {name!r}", where=where, hint=nearest(str(name), FUNCTIONS, what="activations")
            )
        if name not in WITH_ALPHA:
            return cls(name)
        if alpha is None:
            if name not in _DEFAULT_ALPHA:
                raise NetworkError(
                    f"activation {name!r} needs its alpha",
                    where=where,
                    hint=f'write {{"function": "{name}", "alpha": …}}',
                )
            alpha = _DEFAULT_ALPHA[name]
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not np.isfinite(alpha):
            raise NetworkError(f"alpha of activation {name!r} is {alpha!r}, not a finite number", where=where)
        return cls(name, float(alpha))

    def to_json(self) -> object:
        """Return the spelling that C++ lwtnn reads."""
        return {"function": self.function, "alpha": self.alpha} if self.function in WITH_ALPHA else self.function

    def __str__(self) -> str:
        return f"{self.function}({self.alpha:g})" if self.function in WITH_ALPHA else self.function


def apply_activation(activation: Activation, y: NDArray[np.floating]) -> None:
    """Apply the activation to ``y`` (features, entries), in place; softmax runs over the features.

    The caller silences overflow: exp(-x) may be infinite, which gives the right limit.
    """
    name, alpha = activation.function, activation.alpha
    if name == "rectified":
        np.maximum(y, 0, out=y)
    elif name == "sigmoid":
        sigmoid(y)
    elif name == "tanh":
        # twice as fast as np.tanh, and as exact in absolute terms
        y *= 2
        sigmoid(y)
        y *= 2
        y -= 1
    elif name == "hard_sigmoid":
        y *= 0.2
        y += 0.5
        np.clip(y, 0, 1, out=y)
    elif name == "softmax":
        y -= np.max(y, axis=0)
        np.exp(y, out=y)
        y /= np.sum(y, axis=0)
    elif name == "elu":
        np.copyto(y, alpha * np.expm1(np.minimum(y, 0)), where=~(y >= 0))
    elif name == "leakyrelu":
        np.copyto(y, alpha * y, where=~(y > 0))
    elif name == "swish":
        gate = y * np.asarray(alpha, y.dtype)
        sigmoid(gate)
        y *= gate
    elif name == "abs":
        np.abs(y, out=y)


def sigmoid(y: NDArray[np.floating]) -> None:
    """Replace y by 1 / (1 + exp(-y))."""
    np.negative(y, out=y)
    np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)
