"""Forests of decision trees in one form, whatever file they come from, and the model that applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError, many
from hepflow.networks.describing import Shown
from hepflow.networks.description import INPUT
from hepflow.networks.graph import InputNode, InputVariable, Output, unique
from hepflow.networks.inputs import prepare
from hepflow.plugins.trees.evaluation import Program

__all__ = ["Forest", "ForestModel", "Tree", "at_least", "forest_input"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree, node by node from the root (0). ``feature`` is -1 for a leaf, with its ``value``.

    An object goes on to the node ``below`` where its variable is less than ``cut``, else to ``above``; where it is NaN,
    ``missing_below`` tells. All arrays are (n_nodes). NetworkError where this is no tree.
    """

    feature: npt.NDArray[np.int64]
    cut: Floats
    below: npt.NDArray[np.int64]
    above: npt.NDArray[np.int64]
    missing_below: npt.NDArray[np.bool_]
    value: Floats

    def __post_init__(self) -> None:
        inner = self.feature >= 0
        children = np.concatenate((self.below[inner], self.above[inner]))
        sizes = {len(array) for array in vars(self).values()}
        if len(sizes) != 1 or not len(self.feature):
            raise NetworkError(f"a tree has arrays of {' and '.join(map(str, sorted(sizes)))} nodes")
        if np.isnan(self.cut[inner]).any() or not np.isfinite(self.value[~inner]).all():
            raise NetworkError("a cut is NaN, or the value of a leaf is not a finite number")
        wrong = (children < 1) | (children >= len(self.feature))
        if wrong.any() or len(np.unique(children)) != len(children) or len(self.order) != len(children) + 1:
            raise NetworkError("the nodes are no tree: a child is missing, or comes twice")

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The nodes that can be reached, in preorder, ``below`` first."""
        found: list[int] = []
        waiting = [0]
        while waiting and len(found) <= len(self.feature):
            node = waiting.pop()
            found.append(node)
            if self.feature[node] >= 0:
                waiting += [int(self.above[node]), int(self.below[node])]
        return tuple(found)

    @property
    def n_leaves(self) -> int:
        """Number of leaves that can be reached."""
        return (len(self.order) + 1) // 2

    def scaled(self, factor: float, shift: float = 0.0) -> Tree:
        """Return the tree with the values of its leaves multiplied, and something added."""
        return Tree(self.feature, self.cut, self.below, self.above, self.missing_below, self.value * factor + shift)


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees, and what becomes of their answers.

    ``combine`` is ``sum`` (of class ``i % n_sums`` for tree i, or ``groups[i]``, beginning with ``base``), ``average``
    (weighted with ``weights``) or ``median`` (AdaBoost.R2's weighted median); ``link`` makes the answer of it:
    ``identity``, ``tanh``, ``sigmoid``, ``softmax``, ``exp``. ``linear`` are further variables, (n_linear,
    1 + n_features): an offset and a coefficient for each variable. ``single``: variables are rounded to float32
    first.
    """

    n_features: int
    trees: tuple[Tree, ...]
    combine: str = "sum"
    link: str = "identity"
    base: tuple[float, ...] = (0.0,)
    groups: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    linear: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    single: bool = True
    slope: float = 1.0

    def __post_init__(self) -> None:
        if not self.trees:
            raise NetworkError("the model has no trees")
        most = max(int(tree.feature.max()) for tree in self.trees)
        if most >= self.n_features + len(self.linear):
            raise NetworkError(f"a tree cuts on variable {most}, but there are {self.n_features}")
        if not np.isfinite([*self.base, *self.weights, self.slope]).all():
            raise NetworkError("a weight or the start value is not a finite number")

    @property
    def group(self) -> tuple[int, ...]:
        """The sum that each tree belongs to."""
        return self.groups or tuple(n % len(self.base) for n in range(len(self.trees)))

    @cached_property
    def _program(self) -> Program:
        return Program(self.summed().trees, self.n_features + len(self.linear), self.group, len(self.base))

    def summed(self) -> Forest:
        """Return the same forest, an average as a sum: the weights are in the leaves."""
        if self.combine != "average":
            return self
        total = sum(self.weights)
        factors = [weight / total if total > np.finfo(float).eps else 0.0 for weight in self.weights]
        trees = tuple(tree.scaled(factor) for tree, factor in zip(self.trees, factors, strict=True))
        return replace(self, combine="sum", trees=trees)

    def __call__(self, values: npt.NDArray[Any]) -> Floats:
        """Return the answers (n_rows, n_outputs) for variables (n_rows, n_features)."""
        return LINKS[self.link](self.slope * self.sums(values))

    def sums(self, values: npt.NDArray[Any]) -> Floats:
        """Return what the link gets, (n_rows, n_sums)."""
        rows = self._variables(values)
        if self.combine == "median":
            return _medians(self._program.answers(rows), np.asarray(self.weights))
        found: Floats = self._program.sums(rows) + np.asarray(self.base)
        return found

    def _variables(self, values: npt.NDArray[Any]) -> Floats:
        if self.single:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32, copy=False)
        rows = values.astype(np.float64)
        if not self.single:  # what is "below or equal infinity" in LightGBM is below it here
            rows = np.minimum(rows, np.finfo(np.float64).max)
        if not len(self.linear):
            return rows
        more = np.empty((len(rows), len(self.linear)))
        more[:] = self.linear[:, 0]
        for number in range(self.n_features):  # in this order, as TMVA adds
            more += self.linear[:, 1 + number] * rows[:, number : number + 1]
        return np.concatenate((rows, more), axis=1)


def _sigmoid(sums: Floats) -> Floats:
    with np.errstate(over="ignore"):
        found: Floats = 1.0 / (1.0 + np.exp(-sums))
    return found


def _softmax(sums: Floats) -> Floats:
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    found: Floats = powers / powers.sum(axis=1, keepdims=True)
    return found


LINKS: Mapping[str, Callable[[Floats], Floats]] = {
    "identity": lambda sums: sums,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "exp": np.exp,
}


def _medians(answers: Floats, weights: Floats) -> Floats:
    """Return AdaBoost.R2's answers as ``TMVA::MethodBDT::GetRegressionValues`` calculates them: the mean of the sixth
    of the sorted answers on either side of the weighted median.
    """
    if not len(answers):
        return np.zeros((0, 1))
    order = np.argsort(answers, axis=1, kind="stable")
    ordered, n = np.take_along_axis(answers, order, axis=1), answers.shape[1]
    # C++ counts trees while what it has is at most half of all
    upto = np.cumsum(weights[order], axis=1)
    half = 0.5 * np.add.accumulate(weights)[-1]  # in the order of C++
    t = np.minimum((upto <= half).sum(axis=1) + 1, n)
    low = np.maximum((t - n // 6 - 0.5).astype(np.int64), 0)
    high = np.minimum((t + n // 6 + 0.5).astype(np.int64), n)
    sums = np.concatenate((np.zeros((len(t), 1)), np.cumsum(ordered, axis=1)), axis=1)
    rows = np.arange(len(t))
    found: Floats = ((sums[rows, high] - sums[rows, low]) / (high - low))[:, None]
    return found


def at_least(cuts: Floats) -> Floats:
    """Return the least float32 that are not below the cuts: of float32 values both select the same."""
    with np.errstate(over="ignore"):
        near = cuts.astype(np.float32)
    return np.where(near < cuts, np.nextafter(near, np.float32(np.inf)), near).astype(np.float64)


def forest_input(names: Sequence[str], name: str = INPUT) -> InputNode:
    """Return the one input of a forest; NetworkError where a name comes twice."""
    unique(names, "variable")
    return InputNode(name, tuple(map(InputVariable, names)))


@dataclass(frozen=True, eq=False)
class ForestModel(Shown):
    """A forest as a ``hepflow.protocols.Model``: one scalar input, one output.

    ``before`` and ``after`` are what the file does to variables and answers, ``decide(rows, answers)`` what it decides
    without the trees, ``of_nan`` the answer of rows with NaN, where there is one. ``kind`` is the precision of the
    answers. ``facts`` are shown by ``hepflow inspect``, ``refusals`` are what other formats cannot hold.
    """

    format: str
    origin: str
    input: InputNode
    output: Output
    forest: Forest
    record: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = ()
    decide: Callable[[npt.NDArray[Any], Floats], Floats] | None = None
    after: Callable[[Floats], Floats] | None = None
    of_nan: float | None = None
    kind: type[np.floating[Any]] = np.float64
    facts: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def input_sequences(self) -> tuple[InputNode, ...]:
        """No sequences."""
        return ()

    used_sequences = input_sequences

    @property
    def inputs(self) -> tuple[InputNode, ...]:
        """The one input."""
        return (self.input,)

    used_inputs = inputs

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The one output."""
        return (self.output,)

    @property
    def n_parameters(self) -> int:
        """Number of cuts and leaves."""
        return sum(len(tree.order) for tree in self.forest.trees)

    @property
    def graph(self) -> tuple[str, ...]:
        """Trees, leaves, what is done with them."""
        trees = self.forest.trees
        leaves = [tree.n_leaves for tree in trees]
        sizes = f"{many(len(trees), 'tree')} with {min(leaves)} to {max(leaves)} leaves, {sum(leaves):,} in all"
        return (sizes, f"answer: {self.forest.link} of the {self.forest.combine}", *self.facts)

    def sequence_of(self, output: Output) -> None:
        """Return None: a value for each object."""
        return

    def evaluate(
        self,
        inputs: Mapping[str, Any],
        sequences: Mapping[str, Any] | None = None,
        *,
        dtype: npt.DTypeLike | None = None,
    ) -> dict[str, npt.NDArray[np.floating]]:
        """Return the answers; see ``hepflow.protocols.Model``."""
        rows = prepare(inputs, sequences, (self.inputs, ())).scalars[self.input.name]
        return {self.output.name: self.answers(rows).astype(self.kind if dtype is None else dtype, copy=False)}

    def answers(self, rows: npt.NDArray[Any]) -> Floats:
        """Return the answers (n_rows, n_labels) for variables (n_rows, n_variables) in double precision."""
        given = rows
        for step in self.before:
            rows = step(rows)
        found = self.forest(rows)
        if self.decide is not None:
            found = self.decide(rows, found)
        if self.after is not None:
            found = self.after(found)
        if self.of_nan is not None:
            found = np.where(np.isnan(given).any(axis=1, keepdims=True), self.of_nan, found)
        if len(self.output.labels) == 2 and found.shape[1] == 1:
            found = np.concatenate((1.0 - found, found), axis=1)
        return found
