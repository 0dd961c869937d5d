"""Ranges of entries, cut and joined where a file can be read without unpacking a basket or cluster twice."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

__all__ = ["BLOCK_BYTES", "LARGEST_BLOCK_BYTES", "cut_blocks", "cut_range"]

BLOCK_BYTES = 32 * 2**20
"""Neighbouring baskets or clusters are read together up to this; larger blocks leave the processor's cache."""
LARGEST_BLOCK_BYTES = 128 * 2**20
"""One basket or cluster above this is cut, and unpacked once for each piece: memory is bounded."""


def cut_blocks(marks: Sequence[int], bytes_per_entry: float, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the blocks of ``[start, stop)``: they end on marks where that keeps them small enough."""
    if start >= stop:
        return [(start, stop)]
    inner = [start, *marks[bisect_right(marks, start) : bisect_left(marks, stop)], stop]
    usual, largest = (
        max(1, min(stop - start, int(limit / bytes_per_entry) if bytes_per_entry else stop - start))
        for limit in (BLOCK_BYTES, LARGEST_BLOCK_BYTES)
    )
    return list(cut_range(inner, usual, start, stop, largest))


def cut_range(
    marks: Sequence[int], limit: int, first: int, last: int, largest: int | None = None
) -> Iterator[tuple[int, int]]:
    """Join neighbouring intervals between marks up to ``limit`` entries; one above ``largest`` (default: limit) is cut
    evenly. Only those that touch [first, last).
    """
    largest = largest or limit
    position = 0
    while position < len(marks) - 1 and marks[position] < last:
        start = marks[position]
        following = bisect_right(marks, start + limit) - 1
        if following > position:
            stop = marks[following]
            if stop > first:
                yield start, stop
            position = following
            continue
        stop = marks[position + 1]
        length, pieces = stop - start, -(-(stop - start) // largest)
        piece = max((first - start) * pieces // length, 0)
        while piece < pieces and (low := start + length * piece // pieces) < last:
            high = start + length * (piece + 1) // pieces
            if high > first:
                yield low, high
            piece += 1
        position += 1
