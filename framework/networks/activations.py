"""Activation functions of lwtnn, applied in place to columns of numbers."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest
from hepflow.networks.jsontext import number

_log = logging.getLogger(__name__)

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
# lwtnn's older names of the same functions
_LEGACY = {f"{name}_legacy": name for name in ("sigmoid", "hard_sigmoid", "tanh", "rectified")}
WITH_ALPHA = ("elu", "leakyrelu", "swish")


@dataclass(frozen=True)
class Activation:
    """One of lwtnn's activation functions; ``alpha`` belongs to elu, leakyrelu and swish."""

    function: str = "linear"
    alpha: float = 1.0

    @classmethod
    def read(cls, value: object, where: str) -> Activation:
        """Read both spellings of lwtnn: ``"elu"`` or ``{"function": "elu", "alpha": 1.0}``.

        lwtnn's legacy names mean the same functions. As a bare name elu has alpha 1, leakyrelu and swish have NaN, as
        in C++ lwtnn. Raises NetworkError for an unknown function and for an alpha that is no finite number.
        """
        alpha: object = None
        name = value
        if isinstance(value, dict):
            name, alpha = value.get("function"), value.get("alpha")
        name = _LEGACY.get(name, name) if isinstance(name, str) else name
        if not isinstance(name, str) or name not in FUNCTIONS:
            raise NetworkError(
                f"unknown activation {name!r}", where=where, hint=nearest(str(name), FUNCTIONS, what="activations")
            )
        if name not in WITH_ALPHA:
            return cls(name)
        if alpha is None and name == "elu":
            alpha = 1.0
        elif alpha is None and isinstance(value, str):
            right = f'{{"function": "{name}", "alpha": …}}'
            _log.warning("%s: %s without alpha gives NaN, as in C++ lwtnn; it should be %s", where, name, right)
            return cls(name, math.nan)
        elif alpha is None:
            raise NetworkError(f"activation {name!r} needs its alpha", where=where)
        return cls(name, number(alpha, f"alpha of activation {name!r} of {where}"))

    def to_json(self) -> object:
        """Return the spelling that C++ lwtnn reads."""
        if self.function in WITH_ALPHA and not math.isnan(self.alpha):
            return {"function": self.function, "alpha": self.alpha}
        return self.function

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
        np.tanh(y, out=y)
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
    """Replace y by 1 / (1 + exp(-y)); in float64 beyond ±30 by 1 and 0, as C++ lwtnn does."""
    exact = y.dtype == np.float64
    if exact:
        high, low = y > 30, y < -30
    y *= -1  # numpy 2.1 to 2.4 fill a column of a larger array wrongly with np.negative(…, out=…)
    np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)
    if exact:
        np.copyto(y, 1, where=high)
        np.copyto(y, 0, where=low)
