"""Random numbers of events: the generator's published vectors, keys, independence, distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hepflow.events import Column, EventRandom, Events, Scope
from hepflow.events.random import entry_keys, philox

PI_COUNTER = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
PI_KEY = (0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI_COUNTER, PI_KEY, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_philox_known_answers(counter, key, expected):
    words = philox([np.array([word, word], dtype=np.uint64) for word in counter], key)
    assert [word.tolist() for word in words] == [[e, e] for e in expected]


def numbers(n, start=0):
    return np.arange(start, start + n, dtype=np.uint64)


def test_a_number_depends_on_seed_tool_event_and_position_alone():
    reference = EventRandom(1, "Smear", numbers(5)).uniform(3).reshape(5, 3)
    assert len(set(reference.ravel().tolist())) == 15
    assert np.array_equal(EventRandom(1, "Smear", numbers(5)[::-1]).uniform(3).reshape(5, 3), reference[::-1])
    more = EventRandom(1, "Smear", numbers(5)).uniform([3, 4, 5, 6, 7])
    starts = np.cumsum([0, 3, 4, 5, 6])
    assert np.array_equal([more[s : s + 3] for s in starts], reference)
    for other in (EventRandom(2, "Smear", numbers(5)), EventRandom(1, "Smea", numbers(5))):
        assert not np.isin(other.uniform(3), reference).any()


def test_large_event_numbers_keep_all_their_bits():
    high = np.array([1, 1 + 2**32, 1 + 2**63], dtype=np.uint64)
    assert len(set(EventRandom(1, "t", high).uniform().tolist())) == 3


def test_calls_continue_with_fresh_numbers():
    dice = EventRandom(1, "Smear", numbers(100))
    drawn = np.concatenate([dice.uniform(2), dice.uniform(2), dice.exponential(), dice.normal()])
    assert len(set(drawn.tolist())) == len(drawn)


def test_no_events_and_no_numbers():
    assert EventRandom(1, "t", numbers(0)).uniform(3).shape == (0,)
    assert EventRandom(1, "t", numbers(3)).normal(0).shape == (0,)


def test_moments():
    n = 200_000
    dice = EventRandom(7, "Moments", numbers(n))
    flat, normal, exponential = dice.uniform(), dice.normal(), dice.exponential()
    assert flat.min() >= 0
    assert flat.max() < 1
    for values, moments in [
        (flat, (1 / 2, 1 / 3, 1 / 4, 1 / 5)),
        (normal, (0, 1, 0, 3)),
        (exponential, (1, 2, 6, 24)),
    ]:
        for power, expected in enumerate(moments, start=1):
            powers = values**power
            assert abs(powers.mean() - expected) < 4.5 * powers.std() / math.sqrt(n), (power, expected)
    assert abs(np.corrcoef(flat, normal)[0, 1]) < 4.5 / math.sqrt(n)
    assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < 4.5 / math.sqrt(n)
    assert np.isfinite(normal).all()
    bits = (flat * 2.0**53).astype(np.uint64)
    lowest = np.array([(bits >> np.uint64(b)).astype(np.int64) & 1 for b in range(53)]).mean(axis=1)
    assert (np.abs(lowest - 0.5) < 4.5 * 0.5 / math.sqrt(n)).all(), "53 random bits"


def test_generators_are_those_of_the_event():
    one = [g.integers(0, 2**60) for g in EventRandom(1, "t", numbers(4)).generators()]
    two = [g.integers(0, 2**60) for g in EventRandom(1, "t", numbers(2, start=2)).generators()]
    assert len(set(one)) == 4
    assert one[2:] == two


def events(n=6, seed=3):
    return Events.from_arrays({"EventInfo.eventNumber": numbers(n, 100), "EventInfo.x": np.zeros(n)}, seed=seed)


def test_events_random_goes_on_and_skips_hidden_events():
    every = events()
    first, second = every.random("Smear").uniform(), every.random("Smear").uniform()
    assert not np.isin(first, second).any()
    some = events()
    some.select_events(np.arange(6) % 2 == 0, "even")
    assert np.array_equal(some.random("Smear").uniform(), first[::2])
    assert not np.array_equal(events(seed=4).random("Smear").uniform(), first)
    assert np.array_equal(events().child("a").random("Smear").uniform(), first)


def test_entries_of_an_ntuple_have_their_own_numbers_whatever_the_chunks():
    columns = {"EventInfo.eventNumber": Column(None, np.array([7, 7, 7, 8, 8, 2**63], dtype=np.uint64))}

    def drawn(start, stop, hide=()):
        cut = {name: column[start:stop] for name, column in columns.items()}
        chunk = Events(Scope.from_columns(cut, stop - start, seed=3, first_entry=40 + start))
        chunk.select_events(~np.isin(np.arange(start, stop), hide), "some")
        return chunk.child("stream").random("Smear").uniform().tolist()

    every = drawn(0, 6)
    assert len(set(every)) == 6
    assert drawn(0, 2) + drawn(2, 6) == every
    assert drawn(0, 6, hide=[1, 4]) == [every[i] for i in (0, 2, 3, 5)]


def test_keys_of_entries_do_not_meet():
    events, entries = np.divmod(np.arange(1_000_000), 3)
    assert len(np.unique(entry_keys(events, entries + events))) == 1_000_000
    assert len(np.unique(entry_keys(np.zeros(1_000_000), np.arange(1_000_000)))) == 1_000_000


def test_a_tool_is_known_by_its_name():
    class Named:
        name = "Smear"

    assert np.array_equal(events().random(Named()).uniform(), events().random("Smear").uniform())
    assert not np.isin(events().random("Other").uniform(), events().random("Smear").uniform()).any()
