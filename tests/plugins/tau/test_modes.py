"""Decay modes from numbers of particles."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.plugins.tau.modes import MODES, NOT_SET, OTHER, decay_mode
from hepflow.plugins.tau.truth import truth_decay_mode

TABLE = {
    (1, 0): 0,
    (1, 1): 1,
    (1, 2): 2,
    (1, 5): 2,
    (3, 0): 3,
    (3, 1): 4,
    (3, 4): 4,
    (2, 0): 5,
    (4, 1): 5,
    (5, 0): 5,
    (0, 0): 6,
    (0, 2): 6,
    (6, 0): 6,
    (9, 1): 6,
}


def test_names_and_numbers():
    assert MODES == ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")
    assert (OTHER, NOT_SET) == (5, 6)


def test_table():
    charged, neutral = np.array(list(TABLE)).T
    modes = decay_mode(charged, neutral)
    assert modes.tolist() == list(TABLE.values())
    assert modes.dtype == np.int32
    assert decay_mode(charged.astype(np.uint64), neutral).tolist() == list(TABLE.values())


@pytest.mark.parametrize(
    ("products", "mode"),
    [
        ([16, -211], 0),
        ([-16, 321], 0),
        ([16, -211, 111], 1),
        ([16, -211, 111, 111], 2),
        ([16, -211, 211, -321], 3),
        ([16, -211, 211, -211, 111], 4),
        ([16, -211, 130], 0),  # a neutral kaon is neither charged nor a neutral pion
        ([16, -211, 22, 22, -12], 0),
        ([16, -11, -12], 6),
        ([16, -211, 310, 311, 211], 5),
        ([], 6),
    ],
)
def test_truth_products(products, mode):
    lists = ak.values_astype(ak.Array([products, [16, -211]]), np.int32)
    assert truth_decay_mode(lists).tolist() == [mode, 0]
