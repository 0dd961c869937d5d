"""Runs a compiled network over many taus, block by block, on one thread."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

from hepflow.errors import NetworkError
from hepflow.networks.compiler import Value, compile_network
from hepflow.networks.inputs import Batch, check_lengths, prepare
from hepflow.networks.operations import Frame, Load
from hepflow.networks.packing import Packing

if TYPE_CHECKING:
    from hepflow.networks.graph import Network

__all__ = ["Evaluator"]

# Two values of a block together have about this size: larger blocks fall out of the caches, smaller ones pay for calls.
BLOCK_BYTES = 2 * 1024**2
LARGEST_BLOCK = 4096


@functools.cache
def _threads() -> ThreadpoolController:
    """Find the linear-algebra libraries of this process once; looking for them takes a millisecond."""
    return ThreadpoolController()


class Evaluator:
    """A network made ready for one number type.

    float32 is for speed, float64 for checks; a network with numbers beyond float32 is always computed in float64. An
    evaluator holds no state between calls and may be used by several
    threads.
    """

    def __init__(self, network: Network, dtype: DTypeLike = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise NetworkError(f"networks are evaluated in float32 or float64, not in {self.dtype}")
        self.network = network
        self._computed = self.dtype
        try:
            with np.errstate(over="raise"):
                self.program = compile_network(network, self.dtype)
        except FloatingPointError:  # numbers beyond float32
            self._computed = np.dtype(np.float64)
            with np.errstate(over="ignore"):
                self.program = compile_network(network, self._computed)

    def __call__(
        self, inputs: Mapping[str, Any], sequences: Mapping[str, Any] | None = None, *, block: int | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Evaluate many taus.

        ``inputs`` maps each scalar input to an array (n_taus, n_variables) or a mapping from variable to (n_taus),
        and each sequence to a pair (values, counts): the objects of all taus one after the other, (n_objects,
        n_variables) or a mapping from variable to (n_objects), and the number of objects of each tau, (n_taus).
        Variables are in the order of the network's input. ``sequences`` may hold the sequences apart, and must where a
        scalar input has the name of a sequence. Inputs that no output needs may be left out.

        Returns for each output an array (n_taus, n_labels); for an output on a sequence (n_objects, n_labels). Raises
        NetworkError where inputs do not fit, and where a sequence is too short for a convolution without padding.
        ``block`` is the number of taus worked on at a time.
        """
        network = self.network
        groups = (network.inputs, network.input_sequences)
        batch = prepare(inputs, sequences, groups, (network.used_inputs, network.used_sequences))
        check_lengths(batch, network.shortest)
        starts = {name: np.concatenate(([0], np.cumsum(counts))) for name, counts in batch.counts.items()}
        results: list[list[NDArray[np.floating]]] = [[] for _ in network.outputs]
        frame = Frame(self._computed, self.program.n_buffers)
        size = block or self._block(batch)
        with _threads().limit(limits=1, user_api="blas"), np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for first in range(0, batch.n_taus, size):
                frame.n_taus = min(size, batch.n_taus - first)
                self._run(frame, batch, starts, first)
                for held, value, output in zip(results, self.program.outputs, network.outputs, strict=True):
                    held.append(_unpacked(frame, value, len(output.labels), self.dtype))
        return {
            output.name: np.concatenate(held) if held else np.empty((0, len(output.labels)), self.dtype)
            for output, held in zip(network.outputs, results, strict=True)
        }

    def _run(self, frame: Frame, batch: Batch, starts: dict[str, NDArray[np.int64]], first: int) -> None:
        """Run all operations on the block of taus that begins with ``first``."""
        end = first + frame.n_taus
        for name, number in self.program.packings:
            frame.packings[number] = Packing(batch.counts[name][first:end])
        for operation in self.program.operations:
            if isinstance(operation, Load):
                if operation.packing is None:
                    operation.load(frame, batch.scalars[operation.name][first:end])
                else:
                    edges = starts[operation.name]
                    operation.load(frame, batch.sequences[operation.name][edges[first] : edges[end]])
            else:
                operation.run(frame)

    def _block(self, batch: Batch) -> int:
        """Return a number of taus whose largest values stay in the cache."""
        objects = {
            number: max(1.0, batch.counts[name].mean() if batch.n_taus else 1.0)
            for name, number in self.program.packings
        }
        widest = max(
            (
                operation.rows * objects.get(-1 if operation.packing is None else operation.packing, 1.0)
                for operation in self.program.operations
            ),
            default=1.0,
        )
        return int(min(max(BLOCK_BYTES / (2 * widest * self._computed.itemsize), 16), LARGEST_BLOCK))


def _unpacked(frame: Frame, value: Value, features: int, dtype: np.dtype[Any]) -> NDArray[np.floating]:
    """Return a copy of the first features of a value as rows in the order of taus (or of objects)."""
    held = frame.values[value.number][:features].T
    rows: NDArray[np.floating] = np.empty(held.shape, dtype)
    if value.packing is None:
        rows[...] = held
        return rows
    rows[frame.packings[value.packing].objects] = held
    return rows
