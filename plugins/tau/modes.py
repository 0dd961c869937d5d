"""Decay modes: 1p0n, 1p1n, 1pXn, 3p0n, 3pXn = 0…4, 5 Other, 6 NotSet (ATLAS's enumeration)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MODES", "NOT_SET", "OTHER", "decay_mode"]

MODES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")
OTHER = 5
NOT_SET = 6


def decay_mode(charged: npt.NDArray[Any], neutral: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the decay modes of taus with these numbers of charged and neutral particles.

    1p0n, 1p1n, 1pXn (two or more neutral), 3p0n, 3pXn (one or more); 2, 4 and 5 charged are Other, 0 and from 6 on
    NotSet.
    """
    mode = np.full(len(charged), NOT_SET, dtype=np.int32)
    mode[np.isin(charged, (2, 4, 5))] = OTHER
    one, three = charged == 1, charged == 3
    mode[one] = np.minimum(neutral[one], 2)
    mode[three] = 3 + np.minimum(neutral[three], 1)
    return mode
