"""The operations of a compiled network. Each works on one block of taus, with features as rows and taus or objects as
columns.

Features as rows make every pass over the numbers (bias, activation, gate) run along the long axis, and every matrix
product is ``weights @ x`` into a buffer that stays in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks.activations import Activation, apply_activation, sigmoid
from hepflow.networks.layers import Conv1d, Embedding, Highway, Maxout
from hepflow.networks.packing import Packing

__all__ = ["Frame", "Operation"]

Floats = NDArray[np.floating]


class Frame:
    """One block of taus on its way through the operations: values by number, packings by number, and reused memory."""

    def __init__(self, dtype: np.dtype[Any], n_buffers: int) -> None:
        self.dtype = dtype
        self.n_taus = 0
        self.values: dict[int, Floats] = {}
        self.packings: dict[int, Packing] = {}
        self._buffers: list[Floats] = [np.empty(0, dtype)] * n_buffers
        self._scratch: dict[int, Floats] = {}

    def new(self, buffer: int, rows: int, columns: int) -> Floats:
        """Return uninitialised memory (rows, columns) of a numbered buffer."""
        need = rows * columns
        if self._buffers[buffer].size < need:
            self._buffers[buffer] = np.empty(need + need // 4, self.dtype)
        return self._buffers[buffer][:need].reshape(rows, columns)

    def scratch(self, number: int, rows: int, columns: int) -> Floats:
        """Return memory that lasts until the operation ends."""
        need = rows * columns
        held = self._scratch.get(number)
        if held is None or held.size < need:
            held = self._scratch[number] = np.empty(need + need // 4, self.dtype)
        return held[:need].reshape(rows, columns)


class Operation:
    """Computes value ``target`` (of ``rows`` features) from values ``sources``; ``buffer`` is where it goes.

    ``packing`` numbers the packing of a sequence; None means one column a tau.
    """

    in_place = False

    def __init__(self, target: int, sources: tuple[int, ...], rows: int, packing: int | None) -> None:
        self.target, self.sources, self.rows, self.packing = target, sources, rows, packing
        self.buffer = -1

    def run(self, frame: Frame) -> None:
        """Compute the value of the block in ``frame``."""
        raise NetworkError(f"operation {type(self).__name__} cannot run")

    def columns(self, frame: Frame) -> int:
        """Return the number of columns of the result."""
        return frame.n_taus if self.packing is None else frame.packings[self.packing].n_objects

    def result(self, frame: Frame) -> Floats:
        """Make and register the memory of the result."""
        made = frame.values[self.target] = frame.new(self.buffer, self.rows, self.columns(frame))
        return made


class Load(Operation):
    """Brings an input into features × columns, packs sequences, adds the offsets and replaces NaN by defaults.

    ``offsets`` (float64) are added in the precision of the values before these become float32, or in float32; no
    offset is None. ``defaults`` are NaN where a variable has none.
    """

    def __init__(
        self,
        target: int,
        packing: int | None,
        name: str,
        dtype: np.dtype[Any],
        defaults: NDArray[np.float64],
        offsets: NDArray[np.float64],
    ) -> None:
        super().__init__(target, (), defaults.size, packing)
        self.name = name
        self.exact = offsets if offsets.any() else None
        self.offsets = offsets.astype(dtype)[:, None] if offsets.any() else None
        filled = defaults + offsets
        self.filled = None if np.isnan(filled).all() else filled.astype(dtype)[:, None]

    def load(self, frame: Frame, values: NDArray[Any]) -> None:
        """Take the block's rows ``values`` (n_taus or n_objects, n_variables)."""
        offsets = self.offsets
        if offsets is not None and values.dtype != frame.dtype:
            values, offsets = values + self.exact, None
        if self.packing is None:
            held = self.result(frame)
            np.copyto(held, values.T, casting="unsafe")
        else:
            objects = frame.packings[self.packing].objects
            rows = frame.new(self.buffer, objects.size, self.rows)
            if values.dtype == frame.dtype:
                np.take(values, objects, axis=0, out=rows, mode="clip")
            else:
                rows[...] = values[objects]
            held = frame.values[self.target] = rows.T
        if offsets is not None:
            held += offsets
        if self.filled is not None:
            np.copyto(held, self.filled, where=np.isnan(held) & ~np.isnan(self.filled))


class Affine(Operation):
    """``weights @ x``, nothing else; the bias follows where it is needed. ``by_column`` lays the result out column
    after column.
    """

    by_column = False

    def __init__(self, target: int, source: int, packing: int | None, weights: Floats) -> None:
        super().__init__(target, (source,), weights.shape[0], packing)
        self.weights = weights

    def run(self, frame: Frame) -> None:
        if self.by_column:
            x = frame.values[self.sources[0]]
            rows = frame.new(self.buffer, self.columns(frame), self.rows)
            np.matmul(x.T, self.weights.T, out=rows)
            frame.values[self.target] = rows.T
        else:
            np.matmul(self.weights, frame.values[self.sources[0]], out=self.result(frame))


class Pointwise(Operation):
    """``activation(scale * x + shift)``, in place. ``floor`` does the same for a rectified layer whose shift is left
    to the next layer.
    """

    in_place = True

    def __init__(
        self,
        target: int,
        rows: int,
        packing: int | None,
        scale: Floats | None = None,
        shift: Floats | None = None,
        activation: Activation | None = None,
        floor: Floats | None = None,
    ) -> None:
        super().__init__(target, (target,), rows, packing)
        self.scale, self.shift, self.activation, self.floor = scale, shift, activation, floor

    def run(self, frame: Frame) -> None:
        y = frame.values[self.target]
        if self.scale is not None:
            y *= self.scale
        if self.shift is not None:
            y += self.shift
        if self.floor is not None:
            np.maximum(y, self.floor, out=y)
        if self.activation is not None:
            apply_activation(self.activation, y)


class Copy(Operation):
    """A copy of a value that others still need."""

    def run(self, frame: Frame) -> None:
        np.copyto(self.result(frame), frame.values[self.sources[0]])


class Concatenate(Operation):
    """The features of all sources, one below the other."""

    def run(self, frame: Frame) -> None:
        np.concatenate([frame.values[source] for source in self.sources], axis=0, out=self.result(frame))


class Add(Operation):
    """The sum of the sources, feature by feature."""

    def run(self, frame: Frame) -> None:
        total = self.result(frame)
        np.copyto(total, frame.values[self.sources[0]])
        for source in self.sources[1:]:
            total += frame.values[source]


def _unsort(frame: Frame, operation: Operation, values: Floats, packing: Packing) -> None:
    """Bring columns sorted by count back into the order of the taus."""
    np.copyto(operation.result(frame), values[:, packing.inverse])


class Sum(Operation):
    """The sum over the objects of each tau, plus ``shift`` once an object; no objects give zero. ``over`` numbers the
    packing.

    Works on one row an object: then every slice is one run of memory, and bringing back the order of the taus moves
    whole rows.
    """

    def __init__(self, target: int, source: int, rows: int, over: int, shift: Floats | None) -> None:
        super().__init__(target, (source,), rows, None)
        self.over, self.shift = over, shift

    def run(self, frame: Frame) -> None:
        packing = frame.packings[self.over]
        x = frame.values[self.sources[0]].T
        total = frame.scratch(0, frame.n_taus, self.rows)
        steps = packing.steps
        if self.shift is not None:
            np.multiply(packing.counts.astype(frame.dtype)[:, None], self.shift.T, out=total)
        elif steps:
            size = steps[0][1]
            np.copyto(total[:size], x[:size])
            total[size:] = 0
            steps = steps[1:]
        else:
            total[...] = 0
        for offset, size in steps:
            part = total[:size]
            np.add(part, x[offset : offset + size], out=part)
        rows = frame.new(self.buffer, frame.n_taus, self.rows)
        np.take(total, packing.inverse, axis=0, out=rows, mode="clip")
        frame.values[self.target] = rows.T


class Last(Operation):
    """The last object of each tau; zeros where there is none."""

    def __init__(self, target: int, source: int, rows: int, over: int) -> None:
        super().__init__(target, (source,), rows, None)
        self.over = over

    def run(self, frame: Frame) -> None:
        packing = frame.packings[self.over]
        places = packing.last()
        held = frame.scratch(0, self.rows, frame.n_taus)
        held[:, : places.size] = frame.values[self.sources[0]][:, places]
        held[:, places.size :] = 0
        _unsort(frame, self, held, packing)


class RecurrentOperation(Operation):
    """LSTM, GRU or simple recurrent layer, stepping through all sequences of the block at once.

    Gives the last state of each tau (``packing`` None) or the state after every object. ``over`` numbers the packing
    of the source. ``weights`` are those of the inputs, of the state, and the bias, gate below gate in ``order``.
    """

    order = ""

    def __init__(
        self,
        target: int,
        source: int,
        packing: int | None,
        over: int,
        weights: tuple[Floats, Floats, Floats],
        activations: tuple[Activation, Activation],
    ) -> None:
        self.weights, recurrent, bias = weights
        super().__init__(target, (source,), recurrent.shape[1], packing)
        self.over, self.bias = over, bias[:, None]
        # the state carries a row of ones, so that the product with it brings the bias along
        self.recurrent = np.ascontiguousarray(np.concatenate((recurrent, self.bias), axis=1))
        self.activation, self.inner = activations

    def run(self, frame: Frame) -> None:
        packing = frame.packings[self.over]
        state = frame.scratch(0, self.rows + 1, frame.n_taus)
        memory = frame.scratch(1, self.rows + 1, frame.n_taus)
        state[:-1] = 0
        state[-1] = memory[-1] = 1
        inputs = frame.scratch(2, self.weights.shape[0], packing.n_objects)
        np.matmul(self.weights, frame.values[self.sources[0]], out=inputs)
        every = None if self.packing is None else self.result(frame)
        for offset, size in packing.steps:
            now = slice(offset, offset + size)
            if offset == 0:
                self.first(frame, inputs[:, now], state[:-1, :size], memory[:-1, :size])
            else:
                self.step(frame, inputs[:, now], state[:, :size], memory[:, :size])
            if every is not None:
                every[:, now] = state[:-1, :size]
        if every is None:
            _unsort(frame, self, state[:-1], packing)

    def first(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        """Set ``state`` and ``memory`` (units, taus) from the first object of each tau; the state before it is zero."""
        raise NetworkError(f"{type(self).__name__} has no first step")

    def step(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        """Advance ``state`` and ``memory`` (units and a row of ones, taus) by one object of each tau."""
        raise NetworkError(f"{type(self).__name__} has no step")


class Lstm(RecurrentOperation):
    """Gates c, i, o, f: memory = f * memory + i * act(c), state = o * act(memory)."""

    order = "ciof"

    def first(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        n = self.rows
        gates = frame.scratch(3, 3 * n, inputs.shape[1])
        np.add(inputs[: 3 * n], self.bias[: 3 * n], out=gates)
        self._gates(gates)
        np.multiply(gates[:n], gates[n : 2 * n], out=memory)
        self._state(frame, gates, state, memory)

    def step(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        n = self.rows
        gates = frame.scratch(3, 4 * n, inputs.shape[1])
        np.matmul(self.recurrent, state, out=gates)
        gates += inputs
        self._gates(gates)
        memory = memory[:n]
        memory *= gates[3 * n :]
        candidate = gates[:n]
        candidate *= gates[n : 2 * n]
        memory += candidate
        self._state(frame, gates, state[:n], memory)

    def _gates(self, gates: Floats) -> None:
        apply_activation(self.activation, gates[: self.rows])
        _each(self.inner, gates[self.rows :], self.rows)

    def _state(self, frame: Frame, gates: Floats, state: Floats, memory: Floats) -> None:
        out = gates[: self.rows]
        np.copyto(out, memory)
        apply_activation(self.activation, out)
        np.multiply(out, gates[2 * self.rows : 3 * self.rows], out=state)


class Gru(RecurrentOperation):
    """Gates z, r, h: candidate = act(h + U_h (r * state)), state = z * state + (1 - z) * candidate."""

    order = "zrh"

    def first(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        gates = frame.scratch(3, *inputs.shape)
        np.add(inputs, self.bias, out=gates)
        self._mix(gates, state)

    def step(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        n = self.rows
        gates = frame.scratch(3, *inputs.shape)
        np.matmul(self.recurrent[: 2 * n], state, out=gates[: 2 * n])
        gates[: 2 * n] += inputs[: 2 * n]
        reset = frame.scratch(4, n, inputs.shape[1])
        np.copyto(reset, gates[n : 2 * n])
        _each(self.inner, reset, n)
        np.multiply(reset, state[:n], out=memory[:n])
        np.matmul(self.recurrent[2 * n :], memory, out=gates[2 * n :])
        gates[2 * n :] += inputs[2 * n :]
        self._mix(gates, state[:n])

    def _mix(self, gates: Floats, state: Floats) -> None:
        update, candidate = gates[: self.rows], gates[2 * self.rows :]
        apply_activation(self.inner, update)
        apply_activation(self.activation, candidate)
        state *= update
        _complement(update)
        candidate *= update
        state += candidate


class SimpleRnn(RecurrentOperation):
    """state = act(W x + b + U state)."""

    order = "h"

    def first(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        np.add(inputs, self.bias, out=state)
        apply_activation(self.activation, state)

    def step(self, frame: Frame, inputs: Floats, state: Floats, memory: Floats) -> None:
        gates = frame.scratch(3, *inputs.shape)
        np.matmul(self.recurrent, state, out=gates)
        np.add(gates, inputs, out=state[:-1])
        apply_activation(self.activation, state[:-1])


def _complement(gate: Floats) -> None:
    """Replace a gate by 1 - gate; ``gate * a + (1 - gate) * b`` keeps a where the gate is 1 and b is large."""
    np.subtract(1, gate, out=gate)


def _each(activation: Activation, gates: Floats, rows: int) -> None:
    """Apply to gates of ``rows`` features each; only softmax cares where one gate ends."""
    if activation.function == "softmax":
        for start in range(0, gates.shape[0], rows):
            apply_activation(activation, gates[start : start + rows])
    else:
        apply_activation(activation, gates)


RECURRENT_OPERATIONS: dict[str, type[RecurrentOperation]] = {"lstm": Lstm, "gru": Gru, "simplernn": SimpleRnn}


class Convolution(Operation):
    """Convolution along the sequences: all kernel positions in one product, then slices shifted against each other.

    ``over`` numbers the packing of the source and ``packing`` that of the result, a new one where sequences get
    shorter.
    """

    def __init__(self, target: int, source: int, packing: int, over: int, layer: Conv1d, dtype: np.dtype[Any]) -> None:
        super().__init__(target, (source,), layer.n_out, packing)
        self.over, self.given, self.layer = over, packing, layer
        self.weights = layer.weights.reshape(-1, layer.n_in).astype(dtype)
        self.bias = layer.bias.astype(dtype)[:, None]

    def run(self, frame: Frame) -> None:
        packing, layer = frame.packings[self.over], self.layer
        if self.given != self.over:
            frame.packings[self.given] = packing.shortened(layer.reach)
        products = frame.scratch(0, self.weights.shape[0], packing.n_objects)
        np.matmul(self.weights, frame.values[self.sources[0]], out=products)
        y = self.result(frame)
        y[...] = self.bias
        steps = packing.steps
        for step, (offset, size) in enumerate(frame.packings[self.given].steps):
            for position in range(layer.weights.shape[0]):
                seen = step + position * layer.dilation - layer.left
                if 0 <= seen < len(steps):
                    start, available = steps[seen]
                    width = min(size, available)
                    rows = slice(position * self.rows, (position + 1) * self.rows)
                    y[:, offset : offset + width] += products[rows, start : start + width]
        if layer.activation.function == "softmax":
            _softmax_along(y, frame.packings[self.given].steps)
        else:
            apply_activation(layer.activation, y)


def _softmax_along(y: Floats, steps: list[tuple[int, int]]) -> None:
    """Apply softmax to each feature along the sequence of each tau, as C++ lwtnn does in a convolution."""
    if not steps:
        return
    largest = y[:, : steps[0][1]].copy()
    for offset, size in steps[1:]:
        np.maximum(largest[:, :size], y[:, offset : offset + size], out=largest[:, :size])
    total = np.zeros_like(largest)
    for offset, size in steps:
        part = y[:, offset : offset + size]
        part -= largest[:, :size]
        np.exp(part, out=part)
        total[:, :size] += part
    for offset, size in steps:
        y[:, offset : offset + size] /= total[:, :size]


class HighwayOperation(Operation):
    """c * act(W x + b) + (1 - c) * x with c = sigmoid(W_c x + b_c)."""

    def __init__(self, target: int, source: int, packing: int | None, layer: Highway, dtype: np.dtype[Any]) -> None:
        super().__init__(target, (source,), layer.n_out, packing)
        self.weights, self.carry = layer.weights.astype(dtype), layer.carry_weights.astype(dtype)
        self.bias, self.carry_bias = layer.bias.astype(dtype)[:, None], layer.carry_bias.astype(dtype)[:, None]
        self.activation = layer.activation

    def run(self, frame: Frame) -> None:
        x = frame.values[self.sources[0]]
        y = self.result(frame)
        np.matmul(self.weights, x, out=y)
        y += self.bias
        apply_activation(self.activation, y)
        gate = frame.scratch(0, self.rows, y.shape[1])
        np.matmul(self.carry, x, out=gate)
        gate += self.carry_bias
        sigmoid(gate)
        y *= gate
        _complement(gate)
        gate *= x
        y += gate


class MaxoutOperation(Operation):
    """The largest of several affine maps."""

    def __init__(self, target: int, source: int, packing: int | None, layer: Maxout, dtype: np.dtype[Any]) -> None:
        super().__init__(target, (source,), layer.n_out, packing)
        self.weights, self.bias = layer.weights.astype(dtype), layer.bias.astype(dtype)[:, :, None]

    def run(self, frame: Frame) -> None:
        x = frame.values[self.sources[0]]
        y = self.result(frame)
        part = frame.scratch(0, self.rows, y.shape[1])
        for number, (weights, bias) in enumerate(zip(self.weights, self.bias, strict=True)):
            np.matmul(weights, x, out=part if number else y)
            if number:
                part += bias
                np.maximum(y, part, out=y)
            else:
                y += bias


class EmbeddingOperation(Operation):
    """Integer features replaced by rows of tables. Raises NetworkError for a value that is no category."""

    def __init__(
        self, target: int, source: int, packing: int | None, layer: Embedding, dtype: np.dtype[Any], where: str
    ) -> None:
        super().__init__(target, (source,), layer.n_out, packing)
        self.tables = [(index, table.astype(dtype)) for index, table in layer.tables]
        self.where = where

    def run(self, frame: Frame) -> None:
        x = frame.values[self.sources[0]]
        for index, table in self.tables:
            values = x[index]
            good = (values >= 0) & (values < table.shape[1]) & (np.floor(values) == values)
            if not good.all():
                wrong = values[~good][0]
                raise NetworkError(
                    f"{self.where}: {wrong:g} is no category; feature {index} takes whole numbers from 0 to "
                    f"{table.shape[1] - 1}"
                )
            x = np.concatenate((x[:index], table[:, values.astype(np.int64)], x[index + 1 :]), axis=0)
        np.copyto(self.result(frame), x)
