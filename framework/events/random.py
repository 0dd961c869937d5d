"""Random numbers that belong to an event: keyed by (seed, tool, event number), never by chunk or worker.

Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11, 2011): the n-th
number of an event is a function of the key and n alone, computed for all events at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EventRandom", "entry_keys", "philox"]

_MULTIPLY = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio, odd: its multiples spread over all bits (Knuth, TAOCP vol. 3, 6.4)."""
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)

Words = npt.NDArray[np.uint64]


def philox(counter: Sequence[Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Return four arrays of 32-bit random words (held in uint64) for four arrays of 32-bit counters and a 64-bit
    key.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        low, high = c0 * _MULTIPLY[0], c2 * _MULTIPLY[1]
        c0, c1, c2, c3 = (high >> _WORD) ^ c1 ^ k0, high & _LOW, (low >> _WORD) ^ c3 ^ k1, low & _LOW
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


class EventRandom:
    """Random numbers for the visible events of a chunk.

    Every method takes ``counts``, how many numbers each event gets (an int for the same number in all events), and
    returns them flat, event by event. A second call continues each event's sequence with fresh numbers.
    """

    def __init__(self, seed: int, tool: str, event_numbers: npt.NDArray[Any], first_call: int = 0) -> None:
        digest = hashlib.sha256(f"{seed}/{tool}".encode()).digest()
        self._key = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))
        self._events = np.asarray(event_numbers).astype(np.uint64)
        self._call = first_call

    def uniform(self, counts: npt.ArrayLike = 1) -> npt.NDArray[np.float64]:
        """Return numbers uniform in [0, 1), with 53 random bits."""
        return self._pair(counts)[0]

    def normal(self, counts: npt.ArrayLike = 1) -> npt.NDArray[np.float64]:
        """Return standard normal numbers (Box and Muller, Ann. Math. Stat. 29 (1958) 610)."""
        first, second = self._pair(counts)
        normal: npt.NDArray[np.float64] = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
        return normal

    def exponential(self, counts: npt.ArrayLike = 1) -> npt.NDArray[np.float64]:
        """Return numbers of the exponential distribution with mean 1."""
        return -np.log1p(-self.uniform(counts))

    def generators(self) -> list[np.random.Generator]:
        """Return one numpy generator for each event, for code that goes event by event."""
        words = self._pair(1)
        seeds = np.stack([(word * 2.0**53).astype(np.uint64) for word in words], axis=1)
        return [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]

    def _pair(self, counts: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return two independent uniform numbers for each requested one."""
        per_event = np.broadcast_to(np.asarray(counts, dtype=np.int64), self._events.shape)
        events = np.repeat(self._events, per_event)
        starts = np.cumsum(per_event) - per_event
        position = (np.arange(len(events)) - np.repeat(starts, per_event)).astype(np.uint64)
        call = np.full_like(events, self._call)
        self._call += 1
        words = philox((events & _LOW, events >> _WORD, position, call), self._key)
        return _double(words[0], words[1]), _double(words[2], words[3])


def entry_keys(event_numbers: npt.NDArray[Any], entries: npt.NDArray[Any]) -> Words:
    """Return 64-bit keys that differ where event number or entry do (but for chance, 1 in 2⁶⁴ a pair)."""
    keys: Words = (entries.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    keys ^= keys >> _WORD
    keys ^= np.asarray(event_numbers).astype(np.uint64)
    return keys


def _double(high: Words, low: Words) -> npt.NDArray[np.float64]:
    """Return 53 of the 64 bits as a number in [0, 1)."""
    bits: Words = (high << np.uint64(21)) | (low >> np.uint64(11))
    return bits.astype(np.float64) * 2.0**-53
