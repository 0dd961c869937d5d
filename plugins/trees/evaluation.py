"""Many rows through many trees at once, with numpy alone.

Each leaf of a tree is a bit, in order. A cut that a row does not stay below strikes out the leaves of its lower branch;
the lowest bit that is left is the leaf. What a variable strikes out in all trees depends only on which of the cuts on
it are at most its value: that is looked up in a table with a line for each interval between cuts, and a row costs a
search and a line a variable instead of a walk through each tree (Lucchese et al., "QuickScorer", SIGIR 2015).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hepflow.plugins.trees.forest import Tree

__all__ = ["Program"]

Floats = npt.NDArray[np.float64]
TABLE_BYTES = 2**20
"""The tables of the trees that are worked on together have about this size, to stay in the cache."""
ROWS, TOGETHER = 512, 8192
"""Rows worked on at once, and rows that go through the trees of one table before those of the next."""
WIDEST = 64
"""Trees with more leaves are walked through."""


class Program:
    """Trees made ready: ``sums(rows)`` and ``answers(rows)``; rows are (n_rows, n_features), double precision."""

    def __init__(self, trees: Sequence[Tree], n_features: int, groups: Sequence[int], n_sums: int) -> None:
        self.n_trees, self.n_sums = len(trees), n_sums
        self._groups = np.asarray(groups)
        cuts: list[list[Floats]] = [[] for _ in range(n_features)]
        for tree in trees:
            for feature in np.unique(tree.feature[tree.feature >= 0]):
                cuts[feature].append(tree.cut[tree.feature == feature])
        self._cuts = [np.unique(np.concatenate(held)) if held else np.zeros(0) for held in cuts]
        self._blocks: list[_Block] = []
        narrow = [n for n, tree in enumerate(trees) if tree.n_leaves <= WIDEST]
        narrow.sort(key=lambda n: (_width(trees[n].n_leaves), n))
        waiting: list[int] = []
        size = 0
        for number in narrow:
            width = _width(trees[number].n_leaves)
            cost = (size + trees[number].n_leaves) * (len(waiting) + 1) * width // 8
            if waiting and (cost > TABLE_BYTES or width != _width(trees[waiting[0]].n_leaves)):
                self._blocks.append(_Block.of(waiting, trees, self._cuts))
                waiting, size = [], 0
            waiting.append(number)
            size += trees[number].n_leaves
        if waiting:
            self._blocks.append(_Block.of(waiting, trees, self._cuts))
        self._wide = [n for n, tree in enumerate(trees) if tree.n_leaves > WIDEST]
        self._walked = {n: trees[n] for n in self._wide}
        for block in self._blocks:
            block.group(self._groups, n_sums)

    def sums(self, rows: Floats) -> Floats:
        """Return the sums over the trees of each group, (n_rows, n_sums)."""
        found = np.zeros((len(rows), self.n_sums))
        for block, first, values in self._values(rows):
            block.add(values, found[first : first + len(values)])
        for number, tree in self._walked.items():
            found[:, self._groups[number]] += _walk(tree, rows)
        return found

    def answers(self, rows: Floats) -> Floats:
        """Return the answer of each tree, (n_rows, n_trees)."""
        found = np.empty((len(rows), self.n_trees))
        for block, first, values in self._values(rows):
            found[first : first + len(values), block.numbers] = values
        for number, tree in self._walked.items():
            found[:, number] = _walk(tree, rows)
        return found

    def _values(self, rows: Floats) -> Iterator[tuple[_Block, int, Floats]]:
        """Yield the answers of the trees of a block for some rows from a first one on. They are overwritten."""
        scratch = [_Scratch.of(block, min(len(rows), ROWS)) for block in self._blocks]
        for start in range(0, len(rows), TOGETHER):
            places = self._places(rows[start : start + TOGETHER])
            for block, room in zip(self._blocks, scratch, strict=True):
                for first in range(0, min(TOGETHER, len(rows) - start), ROWS):
                    part = [place[first : first + ROWS] for place in places]
                    yield block, start + first, block.values(part, room)

    def _places(self, rows: Floats) -> list[npt.NDArray[np.intp]]:
        """Return for each variable how many of its cuts are at most the value; one more than there are for NaN."""
        places = []
        for cuts, column in zip(self._cuts, np.ascontiguousarray(rows.T), strict=True):
            place = np.searchsorted(cuts, column, side="right")
            place[np.isnan(column)] = len(cuts) + 1
            places.append(place)
        return places


def _width(leaves: int) -> int:
    """Return the bits that hold so many leaves."""
    return next(width for width in (8, 16, 32, 64) if leaves <= width)


@dataclass
class _Block:
    """Some trees with their tables. ``tables`` holds (variable, line of each place or None, lines)."""

    numbers: npt.NDArray[np.intp]
    width: int
    tables: list[tuple[int, npt.NDArray[np.intp] | None, npt.NDArray[Any]]]
    leaves: Floats
    """Values of the leaves, (n_trees * width)."""
    starts: npt.NDArray[np.intp]
    edges: list[tuple[int, npt.NDArray[np.intp] | None]] | None = None

    @classmethod
    def of(cls, numbers: Sequence[int], trees: Sequence[Tree], cuts: Sequence[Floats]) -> _Block:
        width = _width(trees[numbers[0]].n_leaves)
        kind = np.dtype(f"u{width // 8}")
        leaves = np.zeros((len(numbers), width))
        struck: dict[int, list[tuple[float, int, int, bool]]] = {}
        for place, number in enumerate(numbers):
            tree = trees[number]
            values, nodes = _leaves(tree)
            leaves[place, : len(values)] = values
            for node, mask in nodes:
                entry = (float(tree.cut[node]), place, mask, bool(tree.missing_below[node]))
                struck.setdefault(int(tree.feature[node]), []).append(entry)
        full = int(np.iinfo(kind).max)
        tables: list[tuple[int, npt.NDArray[np.intp] | None, npt.NDArray[Any]]] = []
        for feature, entries in sorted(struck.items()):
            own = np.unique([entry[0] for entry in entries])
            table = np.full((len(own) + 2, len(numbers)), full, kind)
            lines = np.searchsorted(own, [entry[0] for entry in entries]) + 1
            for line, (_, place, mask, below) in zip(lines, entries, strict=True):
                table[line, place] &= kind.type(full & ~mask)
                if not below:
                    table[-1, place] &= kind.type(full & ~mask)
            np.bitwise_and.accumulate(table[:-1], axis=0, out=table[:-1])
            every = cuts[feature]
            line_of = None
            if len(own) != len(every):
                line_of = np.searchsorted(own, np.concatenate(([-np.inf], every, [np.inf])), side="right")
                line_of[-1] = len(own) + 1
            tables.append((feature, line_of, table))
        starts = np.arange(len(numbers), dtype=np.intp) * width
        return cls(np.asarray(numbers, dtype=np.intp), width, tables, leaves.ravel(), starts)

    def group(self, groups: npt.NDArray[np.intp], n_sums: int) -> None:
        """Prepare for the sums of groups of trees."""
        own = groups[self.numbers]
        self.edges = [(0, None)] if n_sums == 1 else [(g, np.flatnonzero(own == g)) for g in np.unique(own)]

    def add(self, values: Floats, sums: Floats) -> None:
        """Add the answers of the trees to the sums of their groups."""
        for group, columns in self.edges or ():
            sums[:, group] += (values if columns is None else values[:, columns]).sum(axis=1)

    def values(self, places: Sequence[npt.NDArray[np.intp]], room: _Scratch) -> Floats:
        """Return the answer of each tree, (n_rows, n_trees), in the scratch."""
        n = len(places[0])
        left, lines, index, values = room.left[:n], room.lines[:n], room.index[:n], room.values[:n]
        left[...] = np.iinfo(left.dtype).max
        for feature, line_of, table in self.tables:
            place = places[feature] if line_of is None else line_of[places[feature]]
            np.take(table, place, axis=0, out=lines, mode="clip")
            np.bitwise_and(left, lines, out=left)
        np.add(_lowest(left, lines, room.bits[:n]), self.starts, out=index)
        return np.take(self.leaves, index, out=values, mode="clip")


@dataclass
class _Scratch:
    """Room for the numbers of a block of trees and rows: made once a call, for arrays of this size are dear to make."""

    left: npt.NDArray[Any]
    lines: npt.NDArray[Any]
    bits: npt.NDArray[np.uint8]
    index: npt.NDArray[np.intp]
    values: Floats

    @classmethod
    def of(cls, block: _Block, rows: int) -> _Scratch:
        shape, kind = (rows, len(block.numbers)), f"u{block.width // 8}"
        return cls(
            np.empty(shape, kind),
            np.empty(shape, kind),
            np.empty(shape, np.uint8),
            np.empty(shape, np.intp),
            np.empty(shape),
        )


_LOWEST8 = np.array([0] + [(n & -n).bit_length() - 1 for n in range(1, 256)], dtype=np.intp)


def _lowest(bits: npt.NDArray[Any], other: npt.NDArray[Any], count: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Return the number of the lowest bit that is set; ``other`` and ``count`` are room for it, ``bits`` is lost."""
    if hasattr(np, "bitwise_count"):
        np.subtract(bits, bits.dtype.type(1), out=other)
        np.invert(bits, out=bits)
        np.bitwise_and(bits, other, out=other)
        np.bitwise_count(other, out=count)
        return count
    if bits.dtype.itemsize == 1:  # numpy before 2.0
        return _LOWEST8.take(bits, mode="clip")
    lowest = (bits & (~bits + bits.dtype.type(1))).astype(np.float64)
    found: npt.NDArray[np.int64] = (lowest.view(np.int64) >> 52) - 1023
    return found


def _leaves(tree: Tree) -> tuple[list[float], list[tuple[int, int]]]:
    """Return the values of the leaves from below to above, and for each node with a cut the bits of the leaves of its
    lower branch.
    """
    values: list[float] = []
    nodes: list[tuple[int, int]] = []
    first: dict[int, int] = {}
    # each node is met twice where it has a lower branch: on the way down, and when the branch is done
    waiting: list[tuple[int, bool]] = [(0, False)]
    while waiting:
        node, done = waiting.pop()
        if done:
            nodes.append((node, (1 << len(values)) - (1 << first[node])))
        elif tree.feature[node] < 0:
            values.append(float(tree.value[node]))
        else:
            first[node] = len(values)
            waiting += [(int(tree.above[node]), False), (node, True), (int(tree.below[node]), False)]
    return values, nodes


def _walk(tree: Tree, rows: Floats) -> Floats:
    """Return the answer of one tree, level by level."""
    node = np.zeros(len(rows), dtype=np.int64)
    active = np.arange(len(rows))
    while True:
        active = active[tree.feature[node[active]] >= 0]
        if not len(active):
            found: Floats = tree.value[node]
            return found
        at = node[active]
        x = rows[active, tree.feature[at]]
        below = (x < tree.cut[at]) | (np.isnan(x) & tree.missing_below[at])
        node[active] = np.where(below, tree.below[at], tree.above[at])
