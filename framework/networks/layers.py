"""The layers of lwtnn as plain data: weights, sizes and checks. How they are evaluated stands in ``operations``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks.activations import Activation

__all__ = ["GATES", "Conv1d", "Dense", "Embedding", "Highway", "Layer", "Maxout", "Normalization", "Recurrent"]

Floats = NDArray[np.float64]
GATES = {"lstm": "ifoc", "gru": "zrh", "simplernn": "h"}
"""The gates of the recurrent layers, in the order in which their weights are stacked."""

LINEAR, TANH, SIGMOID = Activation(), Activation("tanh"), Activation("sigmoid")
PADDINGS = ("valid", "same", "causal")


@dataclass(frozen=True, eq=False)
class Layer:
    """What all layers share: an architecture, the number of inputs, the number of outputs."""

    architecture: ClassVar[str] = ""

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        raise NetworkError(f"layer {type(self).__name__} has no number of inputs")

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        raise NetworkError(f"layer {type(self).__name__} has no number of outputs")

    @property
    def n_rows(self) -> int:
        """Number of features that are made on the way from what goes in to what comes out."""
        return self.n_out

    @property
    def kind(self) -> str:
        """lwtnn's name of the architecture."""
        return self.architecture

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation functions used."""
        return tuple(value for f in fields(self) if isinstance(value := getattr(self, f.name), Activation))

    def arrays(self) -> Iterator[Floats]:
        """Yield the arrays of weights."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                yield value

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.arrays())


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """``activation(weights @ x + bias)``. ``weights`` (n_out, n_in) and ``bias`` (n_out) may be absent, ``size`` is
    then n_in.
    """

    architecture: ClassVar[str] = "dense"
    weights: Floats | None
    bias: Floats | None
    activation: Activation = LINEAR
    size: int = 0

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return self.size if self.weights is None else int(self.weights.shape[1])

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return self.size if self.weights is None else int(self.weights.shape[0])


@dataclass(frozen=True, eq=False)
class Normalization(Layer):
    """``weights * (x + bias)``, both of length n."""

    architecture: ClassVar[str] = "normalization"
    weights: Floats
    bias: Floats

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return int(self.weights.size)

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return int(self.weights.size)


@dataclass(frozen=True, eq=False)
class Maxout(Layer):
    """Largest of k affine maps, feature by feature: ``weights`` (k, n_out, n_in), ``bias`` (k, n_out)."""

    architecture: ClassVar[str] = "maxout"
    weights: Floats
    bias: Floats

    @property
    def n_rows(self) -> int:
        """Number of features that are made on the way from what goes in to what comes out."""
        return int(self.weights.shape[0]) * self.n_out

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return int(self.weights.shape[2])

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return int(self.weights.shape[1])


@dataclass(frozen=True, eq=False)
class Highway(Layer):
    """``c * activation(weights @ x + bias) + (1 - c) * x`` with ``c = sigmoid(carry_weights @ x + carry_bias)``;
    matrices (n, n).
    """

    architecture: ClassVar[str] = "highway"
    weights: Floats
    bias: Floats
    carry_weights: Floats
    carry_bias: Floats
    activation: Activation = LINEAR

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return int(self.weights.shape[1])

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return int(self.weights.shape[0])


@dataclass(frozen=True, eq=False)
class Recurrent(Layer):
    """LSTM, GRU (reset before the matrix product) or simple recurrent layer with ``units`` outputs.

    ``weights`` (gates * units, n_in), ``recurrent`` (gates * units, units), ``bias`` (gates * units), gates as in
    GATES.
    """

    cell: str
    weights: Floats
    recurrent: Floats
    bias: Floats
    activation: Activation = TANH
    inner_activation: Activation = SIGMOID

    @property
    def kind(self) -> str:
        """lwtnn's name of the architecture."""
        return self.cell

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activation functions used."""
        return (self.activation,) if self.cell == "simplernn" else (self.activation, self.inner_activation)

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return int(self.weights.shape[1])

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return int(self.recurrent.shape[1])


@dataclass(frozen=True, eq=False)
class Conv1d(Layer):
    """Convolution along the sequence: ``weights`` (kernel, n_out, n_in), ``bias`` (n_out).

    Padding is valid, same or causal; with ``same`` and an odd number of zeros the extra one stands in front, as in
    lwtnn. Softmax runs along the sequence, as in lwtnn (in Keras it runs over the features).
    """

    architecture: ClassVar[str] = "conv1d"
    weights: Floats
    bias: Floats
    activation: Activation = LINEAR
    padding: str = "valid"
    dilation: int = 1

    @property
    def n_rows(self) -> int:
        """Number of features that are made on the way from what goes in to what comes out."""
        return int(self.weights.shape[0]) * self.n_out

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return int(self.weights.shape[2])

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return int(self.weights.shape[1])

    @property
    def reach(self) -> int:
        """Number of objects beyond the first that one output looks at."""
        return (int(self.weights.shape[0]) - 1) * self.dilation

    @property
    def left(self) -> int:
        """Number of zeros put in front."""
        return {"valid": 0, "causal": self.reach, "same": (self.reach + 1) // 2}[self.padding]


@dataclass(frozen=True, eq=False)
class Embedding(Layer):
    """Tables that replace one integer feature each by a row of numbers, one table after the other.

    ``tables``: (index of the feature, weights (n_out, categories)); the index counts features after earlier tables.
    """

    architecture: ClassVar[str] = "embedding"
    tables: tuple[tuple[int, Floats], ...]
    size: int = field(default=0)

    def arrays(self) -> Iterator[Floats]:
        """Yield the arrays of weights."""
        yield from (table for _, table in self.tables)

    @property
    def n_rows(self) -> int:
        """Number of features that are made on the way from what goes in to what comes out."""
        return len(self.tables) * max(self.n_in, self.n_out)

    @property
    def n_in(self) -> int:
        """Number of features that go in."""
        return self.size

    @property
    def n_out(self) -> int:
        """Number of features that come out."""
        return self.size + sum(int(table.shape[0]) - 1 for _, table in self.tables)
