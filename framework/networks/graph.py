"""The in-memory network: inputs, a graph of nodes over layers, outputs, and what is known of its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import NetworkError, nearest
from hepflow.networks.describing import Shown
from hepflow.networks.layers import Conv1d, Layer

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from hepflow.networks.evaluator import Evaluator
    from hepflow.networks.onnx_runtime import OnnxNetwork

__all__ = ["InputNode", "InputVariable", "Network", "Node", "Output", "check_structure", "topological_order"]

LAYERS_OF_NODE = {
    "feed_forward": ("dense", "normalization", "maxout", "highway"),
    "time_distributed": ("dense", "normalization", "maxout", "highway"),
    "sequence": ("lstm", "gru", "simplernn", "conv1d", "embedding"),
}
MAX_FEATURES = 2**22
MAX_PRODUCTS = 2**32
SEQUENCE_NODES = ("input_sequence", "time_distributed")
NODE_TYPES = ("input", "input_sequence", *LAYERS_OF_NODE, "concatenate", "add", "sum")


@dataclass(frozen=True)
class InputVariable:
    """One variable of an input: the network uses ``(x + offset) * scale``; ``default`` replaces NaN where given."""

    name: str
    offset: float = 0.0
    scale: float = 1.0
    default: float | None = None


@dataclass(frozen=True)
class InputNode:
    """A named group of variables: one row a tau (scalar input) or one row an object (sequence)."""

    name: str
    variables: tuple[InputVariable, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, in order."""
        return tuple(variable.name for variable in self.variables)


@dataclass(frozen=True)
class Node:
    """One node. ``sources`` are node numbers; of an input node, the number of the input. ``layer`` is an index into
    the layers.
    """

    type: str
    sources: tuple[int, ...]
    layer: int | None = None


@dataclass(frozen=True)
class Output:
    """A named output: the node it reads and labels of its features; features beyond the labels are left out."""

    name: str
    node: int
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Network(Shown):
    """A network with lwtnn's vocabulary.

    ``record`` is what hepflow knows beyond the weights (folds, sample, versions, units, …), plain JSON values;
    ``origin`` says what it was read from. Raises NetworkError, naming the node, where nodes, layers, inputs and
    outputs do not fit together.
    """

    inputs: tuple[InputNode, ...]
    input_sequences: tuple[InputNode, ...]
    nodes: tuple[Node, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        _check_inputs(self)
        object.__setattr__(self, "order", topological_order(self.nodes))
        object.__setattr__(self, "sizes", _check_nodes(self))
        _check_outputs(self)
        _check_numbers(self)

    order: tuple[int, ...] = field(init=False, default=())
    """Node numbers, sources before their users."""
    sizes: tuple[int, ...] = field(init=False, default=())
    """Number of features of each node."""

    @staticmethod
    def load(path: str | Path, *, threads: int = 1, provider: str = "CPUExecutionProvider") -> Network | OnnxNetwork:
        """Open the file of a network; see ``hepflow.networks.load``. ``open_model`` opens any model."""
        from hepflow import networks

        return networks.load(path, threads=threads, provider=provider)

    @property
    def format(self) -> str:
        """What kind of file it was."""
        return self.origin if self.origin.startswith("Keras") else "lwtnn JSON"

    @property
    def graph(self) -> tuple[str, ...]:
        """One line a node."""
        from hepflow.networks.describing import nodes

        return nodes(self)

    def is_sequence(self, node: int) -> bool:
        """Tell whether the node's natural value is one row an object (a recurrent node's is its last row)."""
        return self.nodes[node].type in SEQUENCE_NODES

    def sequence_of(self, output: Output) -> tuple[str, int] | None:
        """Return the input sequence whose objects an output has a row for, and how many objects of each tau it loses
        at most.

        None for one row a tau. Only a convolution with valid padding loses objects.
        """
        if not self.is_sequence(output.node):
            return None
        number, lost = self._along[output.node]
        return self.input_sequences[number].name, lost

    @cached_property
    def _along(self) -> dict[int, tuple[int, int]]:
        """Of each node on a sequence: the number of the input sequence, and how many of its objects are lost on the
        way.
        """
        found: dict[int, tuple[int, int]] = {}
        for number in self.order:
            node = self.nodes[number]
            if node.type == "input_sequence":
                found[number] = node.sources[0], 0
            elif node.type in ("sequence", "time_distributed"):
                layer = self.layers[node.layer or 0]
                source, lost = found[node.sources[0]]
                loses = layer.reach if isinstance(layer, Conv1d) and layer.padding == "valid" else 0
                found[number] = source, lost + loses
        return found

    @cached_property
    def used(self) -> frozenset[int]:
        """Numbers of the nodes that the outputs need."""
        found: set[int] = set()
        waiting = [output.node for output in self.outputs]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                if not self.nodes[node].type.startswith("input"):
                    waiting.extend(self.nodes[node].sources)
        return frozenset(found)

    @property
    def n_parameters(self) -> int:
        """Number of weights over all layers."""
        return sum(layer.n_parameters for layer in self.layers)

    @cached_property
    def used_inputs(self) -> tuple[InputNode, ...]:
        """The scalar inputs that the outputs need."""
        return tuple(self.inputs[number] for number in self._read_by("input"))

    @cached_property
    def used_sequences(self) -> tuple[InputNode, ...]:
        """The sequences that the outputs need."""
        return tuple(self.input_sequences[number] for number in self._read_by("input_sequence"))

    def _read_by(self, kind: str) -> list[int]:
        return sorted({self.nodes[n].sources[0] for n in self.used if self.nodes[n].type == kind})

    @cached_property
    def shortest(self) -> dict[str, int]:
        """The fewest objects that a sequence may have, of sequences that a convolution with valid padding shortens."""
        found: dict[str, int] = {}
        for number in self.used & self._along.keys():
            source, lost = self._along[number]
            if lost:
                name = self.input_sequences[source].name
                found[name] = max(found.get(name, 0), lost + 1)
        return found

    def evaluate(
        self, inputs: Mapping[str, Any], sequences: Mapping[str, Any] | None = None, *, dtype: DTypeLike | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Evaluate the network on many taus, by default in float32; see ``Evaluator.__call__`` for the form of inputs
        and outputs.
        """
        return self.evaluator(np.float32 if dtype is None else dtype)(inputs, sequences)

    def evaluator(self, dtype: DTypeLike = np.float32) -> Evaluator:
        """Return the compiled network for float32 (fast) or float64 (checks)."""
        from hepflow.networks.evaluator import Evaluator

        made: dict[str, Evaluator] = self.__dict__.setdefault("_evaluators", {})
        name = np.dtype(dtype).name
        if name not in made:
            made[name] = Evaluator(self, dtype)
        return made[name]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_evaluators"}


def topological_order(nodes: Sequence[Node]) -> tuple[int, ...]:
    """Return the node numbers with sources first; raises NetworkError for a source that is not there and for a
    cycle.
    """
    users: list[list[int]] = [[] for _ in nodes]
    missing = [0] * len(nodes)
    for number, node in enumerate(nodes):
        if node.type.startswith("input"):
            continue
        for source in node.sources:
            if not 0 <= source < len(nodes):
                raise NetworkError(
                    f"node {number} ({node.type}) has the source {source}, but there are {len(nodes)} nodes"
                )
            users[source].append(number)
            missing[number] += 1
    order = [number for number, count in enumerate(missing) if count == 0]
    for number in order:
        for user in users[number]:
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)
    if len(order) < len(nodes):
        stuck = [str(number) for number, count in enumerate(missing) if count]
        raise NetworkError(
            f"the graph has a cycle; it runs through or before node {', '.join(stuck[:8])}",
            hint="a node may only use earlier results",
        )
    return tuple(order)


def unique(names: Iterable[str], what: str) -> None:
    """Raise NetworkError where a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise NetworkError(f"{what} {name!r} comes twice")
        seen.add(name)


def _check_inputs(network: Network) -> None:
    """Check names and numbers of the inputs. A scalar input and a sequence may have one name, as in lwtnn."""
    unique((group.name for group in network.inputs), "input")
    unique((group.name for group in network.input_sequences), "input sequence")
    for group in (*network.inputs, *network.input_sequences):
        for variable in group.variables:
            values = (variable.offset, variable.scale, 0.0 if variable.default is None else variable.default)
            if not np.all(np.isfinite(values)):
                raise NetworkError(
                    f"input {group.name!r}: offset, scale or default of variable {variable.name!r} is not a finite "
                    "number"
                )


def check_structure(nodes: Sequence[Node], n_inputs: int, n_sequences: int) -> None:
    """Check types and sources of the nodes; raises NetworkError. The sources must be there (see
    ``topological_order``).
    """
    for number, node in enumerate(nodes):
        where = f"node {number} ({node.type})"
        if node.type not in NODE_TYPES:
            hint = nearest(str(node.type), NODE_TYPES, what="node types")
            raise NetworkError(f"node {number} has the unknown type {node.type!r}", hint=hint)
        if node.type in ("concatenate", "add"):
            if not node.sources:
                raise NetworkError(f"{where} has no sources")
        elif len(node.sources) != 1:
            raise NetworkError(f"{where} has {len(node.sources)} sources, it takes one")
        if node.type in ("input", "input_sequence"):
            count = n_inputs if node.type == "input" else n_sequences
            if not 0 <= node.sources[0] < count:
                raise NetworkError(f"{where} reads input number {node.sources[0]}, but there are {count}")
            continue
        wants_sequence = node.type in ("sequence", "time_distributed", "sum")
        for source in node.sources:
            kind = nodes[source].type
            if kind != "sequence" and (kind in SEQUENCE_NODES) != wants_sequence:
                wanted = "a sequence" if wants_sequence else "one vector a row"
                raise NetworkError(f"{where} takes {wanted}, but its source, node {source}, is of type {kind!r}")


def _check_nodes(network: Network) -> tuple[int, ...]:
    """Return the number of features of each node, checking that layers fit on the way."""
    check_structure(network.nodes, len(network.inputs), len(network.input_sequences))
    sizes = [0] * len(network.nodes)
    for number in network.order:
        node = network.nodes[number]
        where = f"node {number} ({node.type})"
        if node.type in ("input", "input_sequence"):
            groups = network.inputs if node.type == "input" else network.input_sequences
            sizes[number] = len(groups[node.sources[0]].variables)
        else:
            sizes[number] = _size(network, node, [sizes[source] for source in node.sources], where)
        if sizes[number] < 1:
            raise NetworkError(f"{where} has no features")
    features = sum(sizes) + sum(network.layers[node.layer].n_rows for node in network.nodes if node.layer is not None)
    products = sum(network.layers[node.layer].n_parameters for node in network.nodes if node.layer is not None)
    if features > MAX_FEATURES or products > MAX_PRODUCTS:
        raise NetworkError(
            f"the nodes make {features} numbers with {products} products an object, more than any network needs"
        )
    return tuple(sizes)


def concatenated(sizes: Iterable[int], where: str) -> int:
    """Return the number of features of a concatenation; raises NetworkError where it is absurdly large."""
    total = sum(sizes)
    if total > MAX_FEATURES:
        raise NetworkError(f"{where} concatenates more than {MAX_FEATURES} numbers, more than any network needs")
    return total


def _size(network: Network, node: Node, sources: list[int], where: str) -> int:
    """Return the number of features that a node with layer, concatenate, add or sum gives."""
    if node.type == "concatenate":
        return concatenated(sources, where)
    if node.type == "add":
        if len(set(sources)) > 1:
            raise NetworkError(f"{where} adds sources of different size: {', '.join(map(str, sources))}")
        return sources[0]
    if node.type == "sum":
        return sources[0]
    if node.layer is None or not 0 <= node.layer < len(network.layers):
        raise NetworkError(f"{where} uses layer {node.layer}, but there are {len(network.layers)} layers")
    layer = network.layers[node.layer]
    allowed = LAYERS_OF_NODE[node.type]
    if layer.kind not in allowed:
        raise NetworkError(
            f"{where} cannot use layer {node.layer} of architecture {layer.kind!r}",
            hint=f"it takes: {', '.join(allowed)}",
        )
    if layer.n_in != sources[0]:
        raise NetworkError(
            f"{where}: layer {node.layer} ({layer.kind}) takes {layer.n_in} features, its source gives {sources[0]}"
        )
    return layer.n_out


def _check_outputs(network: Network) -> None:
    if not network.outputs:
        raise NetworkError("the network has no outputs")
    unique((output.name for output in network.outputs), "output")
    for output in network.outputs:
        if not 0 <= output.node < len(network.nodes):
            raise NetworkError(
                f"output {output.name!r} reads node {output.node}, but there are {len(network.nodes)} nodes"
            )
        unique(output.labels, f"output {output.name!r}: label")
        if len(output.labels) > network.sizes[output.node]:
            raise NetworkError(
                f"output {output.name!r} has {len(output.labels)} labels, but node {output.node} gives "
                f"{network.sizes[output.node]} features"
            )


def _check_numbers(network: Network) -> None:
    for number, layer in enumerate(network.layers):
        if not all(np.isfinite(array).all() for array in layer.arrays()):
            raise NetworkError(f"layer {number} ({layer.kind}) has weights that are NaN or infinite")
