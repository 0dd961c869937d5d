"""From a graph to a list of operations: which passes over the numbers are needed, in which order, and in which memory.

Two things keep the passes few. An affine step that follows a value (the bias of a dense layer, a normalisation,
the scale of an input) is not carried out but kept beside the value and multiplied into the weights of the next
layer. And ``max(y + b, 0)`` is computed as ``max(y, -b)`` with the shift ``b`` left to the next layer. Shifts that
are large compared with the numbers they act on would cost precision; they are carried out where they stand, and so
are the offsets of the inputs: what is left of a logarithm after its mean is subtracted is much smaller than both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepflow.networks import operations as ops
from hepflow.networks.activations import Activation
from hepflow.networks.layers import GATES, Conv1d, Dense, Embedding, Highway, Maxout, Normalization, Recurrent

if TYPE_CHECKING:
    from hepflow.networks.graph import InputNode, Network

__all__ = ["Program", "Value", "compile_network"]

Floats = NDArray[np.floating]
LARGEST_SHIFT = 16.0


@dataclass(frozen=True)
class Value:
    """A value while compiling: what it stands for is ``scale * stored + shift`` (float64 columns; None is 1 and 0)."""

    number: int
    rows: int
    packing: int | None
    scale: NDArray[np.float64] | None = None
    shift: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Program:
    """A compiled network: operations in order, the values of the outputs, and which packing each input sequence
    fills.
    """

    operations: tuple[ops.Operation, ...]
    outputs: tuple[Value, ...]
    packings: tuple[tuple[str, int], ...]
    n_buffers: int


def compile_network(network: Network, dtype: np.dtype[Any]) -> Program:
    """Compile the part of the network that its outputs need."""
    compiler = _Compiler(network, dtype)
    for number in _depth_first(network):
        compiler.node(number)
    outputs = tuple(compiler.output(output.node) for output in network.outputs)
    packings = tuple((name, number) for name, number in compiler.packings.items())
    n_buffers = _share_buffers(compiler.operations, {value.number for value in outputs})
    return Program(tuple(compiler.operations), outputs, packings, n_buffers)


def _depth_first(network: Network) -> list[int]:
    """Return the used nodes, each branch to its end before the next begins, so that few values are alive at a time."""
    done: set[int] = set()
    order: list[int] = []
    waiting = [output.node for output in reversed(network.outputs)]
    while waiting:
        number = waiting[-1]
        node = network.nodes[number]
        open_sources = (
            [] if node.type.startswith("input") else [source for source in node.sources if source not in done]
        )
        if number in done:
            waiting.pop()
        elif open_sources:
            waiting.extend(reversed(open_sources))
        else:
            done.add(number)
            order.append(number)
            waiting.pop()
    return order


def _share_buffers(operations: list[ops.Operation], keep: set[int]) -> int:
    """Give each operation a numbered buffer; a buffer is free again after the last use of its value. Returns how many
    there are.
    """
    last = {source: place for place, operation in enumerate(operations) for source in operation.sources}
    held: dict[int, int] = {}
    free: list[int] = []
    count = 0
    for place, operation in enumerate(operations):
        if not operation.in_place:
            if not free:
                free.append(count)
                count += 1
            held[operation.target] = operation.buffer = free.pop()
        over = {number for number in (*operation.sources, operation.target) if last.get(number, -1) <= place} - keep
        free.extend(held.pop(number) for number in over & held.keys())
    return count


class _Compiler:
    """Emits operations node by node; ``values`` holds what each node gave."""

    def __init__(self, network: Network, dtype: np.dtype[Any]) -> None:
        self.network, self.dtype = network, dtype
        self.operations: list[ops.Operation] = []
        self.affine: dict[int, ops.Affine] = {}
        self.packings: dict[str, int] = {}
        self.n_packings = 0
        self.n_values = 0
        self.vectors: dict[int, Value] = {}
        self.sequences: dict[int, Value] = {}
        self.wanted_vector, self.wanted_sequence = _wanted(network)
        self.users = Counter(output.node for output in network.outputs)
        for number in network.used:
            if not network.nodes[number].type.startswith("input"):
                self.users.update(network.nodes[number].sources)

    # ---- small steps

    def emit(self, operation: ops.Operation) -> Value:
        self.operations.append(operation)
        return Value(operation.target, operation.rows, operation.packing)

    def fresh(self) -> int:
        self.n_values += 1
        return self.n_values - 1

    def column(self, values: NDArray[np.float64]) -> Floats:
        return values.astype(self.dtype)[:, None]

    def owned(self, node: int, value: Value) -> Value:
        """Return a value that may be changed in place: the node's own where nobody else reads it, or a copy."""
        if self.users[node] <= 1:
            return value
        made = self.emit(ops.Copy(self.fresh(), (value.number,), value.rows, value.packing))
        return replace(value, number=made.number)

    def settled(self, node: int, value: Value) -> Value:
        """Return the value with scale and shift carried out."""
        if value.scale is None and value.shift is None:
            return value
        value = self.owned(node, value)
        scale = None if value.scale is None else self.column(value.scale)
        shift = None if value.shift is None else self.column(value.shift)
        self.emit(ops.Pointwise(value.number, value.rows, value.packing, scale, shift))
        return replace(value, scale=None, shift=None)

    def absorbed(
        self, node: int, value: Value, weights: NDArray[np.float64]
    ) -> tuple[Value, NDArray[np.float64], NDArray[np.float64]]:
        """Return (value, weights, bias) such that ``weights @ stored + bias`` is the product with what the value
        stands for.
        """
        if value.shift is not None and np.abs(value.shift).max() > LARGEST_SHIFT:
            value = self.settled(node, value)
        bias = np.zeros(weights.shape[0]) if value.shift is None else weights @ value.shift
        return value, weights if value.scale is None else weights * value.scale, bias

    def activate(self, value: Value, activation: Activation) -> Value:
        """Apply an activation in place; the value must be owned."""
        if activation.function == "linear":
            return value
        scale = None if value.scale is None else self.column(value.scale)
        if (
            activation.function == "rectified"
            and scale is None
            and value.shift is not None
            and np.abs(value.shift).max() <= LARGEST_SHIFT
        ):
            self.emit(ops.Pointwise(value.number, value.rows, value.packing, floor=self.column(-value.shift)))
            return value
        shift = None if value.shift is None else self.column(value.shift)
        self.emit(ops.Pointwise(value.number, value.rows, value.packing, scale, shift, activation))
        return replace(value, scale=None, shift=None)

    # ---- nodes

    def node(self, number: int) -> None:
        """Emit the operations of one node."""
        node = self.network.nodes[number]
        if node.type in ("input", "input_sequence"):
            self.load(number)
        elif node.type in ("concatenate", "add"):
            self.vectors[number] = self.join(number)
        elif node.type == "sum":
            self.vectors[number] = self.total(number)
        elif node.type == "sequence":
            self.scan(number)
        else:
            held = self.sequences if node.type == "time_distributed" else self.vectors
            held[number] = self.pointwise(number, held[node.sources[0]])

    def load(self, number: int) -> None:
        node = self.network.nodes[number]
        sequence = node.type == "input_sequence"
        group = (self.network.input_sequences if sequence else self.network.inputs)[node.sources[0]]
        packing = self.packing_of(group) if sequence else None
        defaults = np.array([np.nan if v.default is None else v.default for v in group.variables])
        offsets = np.array([v.offset for v in group.variables])
        value = self.emit(ops.Load(self.fresh(), packing, group.name, self.dtype, defaults, offsets))
        scale = np.array([v.scale for v in group.variables])
        (self.sequences if sequence else self.vectors)[number] = replace(
            value, scale=None if (scale == 1).all() else scale
        )

    def packing_of(self, group: InputNode) -> int:
        if group.name not in self.packings:
            self.packings[group.name] = self.n_packings
            self.n_packings += 1
        return self.packings[group.name]

    def join(self, number: int) -> Value:
        node = self.network.nodes[number]
        if node.type == "add":
            sources = [self.settled(source, self.vectors[source]) for source in node.sources]
            return self.emit(ops.Add(self.fresh(), tuple(value.number for value in sources), sources[0].rows, None))
        sources = [self.vectors[source] for source in node.sources]
        rows = sum(value.rows for value in sources)
        value = self.emit(ops.Concatenate(self.fresh(), tuple(source.number for source in sources), rows, None))
        scale = np.concatenate([np.ones(s.rows) if s.scale is None else s.scale for s in sources])
        shift = np.concatenate([np.zeros(s.rows) if s.shift is None else s.shift for s in sources])
        return replace(value, scale=None if (scale == 1).all() else scale, shift=None if (shift == 0).all() else shift)

    def total(self, number: int) -> Value:
        source = self.network.nodes[number].sources[0]
        value = self.sequences[source]
        if value.scale is not None:
            value = self.settled(source, value)
        assert value.packing is not None
        shift = None if value.shift is None else self.column(value.shift)
        if value.number in self.affine:
            self.affine[value.number].by_column = True
        return self.emit(ops.Sum(self.fresh(), value.number, value.rows, value.packing, shift))

    def pointwise(self, number: int, value: Value) -> Value:
        node = self.network.nodes[number]
        layer = self.network.layers[node.layer or 0]
        source = node.sources[0]
        if isinstance(layer, Normalization):
            scale = layer.weights if value.scale is None else layer.weights * value.scale
            shift = layer.weights * layer.bias if value.shift is None else layer.weights * (value.shift + layer.bias)
            return self.owned(source, replace(value, scale=scale, shift=shift))
        if isinstance(layer, Dense):
            return self.dense(source, value, layer)
        value = self.settled(source, value)
        if isinstance(layer, Highway):
            return self.emit(ops.HighwayOperation(self.fresh(), value.number, value.packing, layer, self.dtype))
        assert isinstance(layer, Maxout)
        return self.emit(ops.MaxoutOperation(self.fresh(), value.number, value.packing, layer, self.dtype))

    def dense(self, source: int, value: Value, layer: Dense) -> Value:
        if layer.weights is None:
            value = self.owned(source, value)
            if layer.bias is not None:
                value = replace(value, shift=layer.bias if value.shift is None else value.shift + layer.bias)
        else:
            value, weights, bias = self.absorbed(source, value, layer.weights)
            bias = bias if layer.bias is None else bias + layer.bias
            made = ops.Affine(
                self.fresh(), value.number, value.packing, np.ascontiguousarray(weights.astype(self.dtype))
            )
            self.affine[made.target] = made
            value = self.emit(made)
            value = replace(value, shift=bias if bias.any() else None)
        return self.activate(value, layer.activation)

    def scan(self, number: int) -> None:
        """Emit a sequence node: its value after every object, its last value, or both."""
        node = self.network.nodes[number]
        layer = self.network.layers[node.layer or 0]
        source = node.sources[0]
        value = self.sequences[source]
        every, last = self.wanted_sequence[number], self.wanted_vector[number]
        assert value.packing is not None
        if isinstance(layer, Recurrent):
            value, weights, bias = self.absorbed(source, value, layer.weights)
            operation = ops.RECURRENT_OPERATIONS[layer.cell]
            rows = [
                GATES[layer.cell].index(gate) * layer.n_out + unit
                for gate in operation.order
                for unit in range(layer.n_out)
            ]
            made = operation(
                self.fresh(),
                value.number,
                value.packing if every else None,
                value.packing or 0,
                (
                    weights[rows].astype(self.dtype),
                    layer.recurrent[rows].astype(self.dtype),
                    (bias + layer.bias)[rows].astype(self.dtype),
                ),
                (layer.activation, layer.inner_activation),
            )
            if not every:
                self.vectors[number] = self.emit(made)
                return
            self.sequences[number] = self.emit(made)
        else:
            value = self.settled(source, value)
            self.sequences[number] = self.convolve(number, value, layer)
        if last:
            held = self.sequences[number]
            assert held.packing is not None
            self.vectors[number] = self.emit(ops.Last(self.fresh(), held.number, held.rows, held.packing))

    def convolve(self, number: int, value: Value, layer: object) -> Value:
        packing = value.packing or 0
        if isinstance(layer, Embedding):
            where = f"node {number} (embedding)"
            return self.emit(ops.EmbeddingOperation(self.fresh(), value.number, packing, layer, self.dtype, where))
        assert isinstance(layer, Conv1d)
        given = packing
        if layer.padding == "valid" and layer.reach:
            given = self.n_packings
            self.n_packings += 1
        return self.emit(ops.Convolution(self.fresh(), value.number, given, packing, layer, self.dtype))

    def output(self, number: int) -> Value:
        held = self.sequences if self.network.is_sequence(number) else self.vectors
        value = held[number]
        settled = self.settled(number, value)
        held[number] = settled
        return settled


def _wanted(network: Network) -> tuple[dict[int, bool], dict[int, bool]]:
    """Say of each node whether it is read as one vector a tau, and whether as a sequence."""
    vector = dict.fromkeys(range(len(network.nodes)), False)
    sequence = dict.fromkeys(range(len(network.nodes)), False)
    for output in network.outputs:
        vector[output.node] = True
    for number in network.used:
        node = network.nodes[number]
        if node.type.startswith("input"):
            continue
        wanted = sequence if node.type in ("sequence", "time_distributed", "sum") else vector
        for source in node.sources:
            wanted[source] = True
    return vector, sequence
