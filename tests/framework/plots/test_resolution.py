"""Positions and widths: known distributions, loki's definitions, errors with the right coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hepflow.errors import PlotError
from hepflow.plots import Axis, ResolutionProfile
from hepflow.plots.shapes import MIN_ENTRIES, quantile

ONE = Axis("x", (0.0, 1.0))
TWO = Axis("x", (0.0, 1.0, 2.0))
FINE = Axis("ratio", tuple(np.linspace(0, 2, 1001)))
MODES = ResolutionProfile.MODES


def profile_of(y, weight=None, response=FINE):
    profile = ResolutionProfile(ONE, response)
    profile.fill(np.full(len(y), 0.5), y, weight=weight)
    return profile


def expected_gaussian(mean, width):
    """What the modes of a Gaussian are."""
    core, tail = norm.ppf([0.84, 0.975]) * width
    return {
        "median": mean, "mode": mean, "winmode": mean, "fit_mean": mean,
        "rms": width, "fit_width": width, "core": core, "tail": tail,
        "relative_core": core / mean, "relative_tail": tail / mean,
    }  # fmt: skip


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mean", "width"), [(1.0, 0.1), (0.8, 0.05)])
def test_gaussian(mode, mean, width):
    # at the quantiles: a Gaussian without fluctuations
    y = norm.ppf((np.arange(200_000) + 0.5) / 200_000, mean, width)
    (value,), (error,) = profile_of(y).values(mode)
    expected = expected_gaussian(mean, width)[mode]
    tolerance = {"mode": 0.02, "winmode": 0.01}.get(mode, 1e-3)
    assert value == pytest.approx(expected, abs=tolerance * (1 if "mode" in mode else expected))
    assert 0 < error < 0.1 * width or mode == "mode"


def test_exponential():
    y = -np.log((np.arange(200_000) + 0.5) / 200_000) / 5
    profile = profile_of(y, response=Axis("residual", tuple(np.linspace(-1, 5, 1201))))
    expected = {
        "median": np.log(2) / 5,
        "core": (np.log(1 / 0.16) - np.log(1 / 0.84)) / 10,
        "tail": (np.log(1 / 0.025) - np.log(1 / 0.975)) / 10,
        "rms": 1 / 5,
    }
    for mode, number in expected.items():
        assert profile.values(mode)[0][0] == pytest.approx(number, rel=2e-3)
    # the fullest bin and window are the first ones
    assert profile.values("mode")[0][0] == pytest.approx(0.0025, abs=1e-9)
    assert profile.values("winmode")[0][0] == pytest.approx(0.15, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.5, 0.975]), st.integers(20, 400))
def test_quantiles_are_those_of_numpy_to_the_width_of_a_bin(seed, probability, number):
    y = np.random.default_rng(seed).normal(1, 0.3, number).clip(0.001, 1.999)
    counts = np.pad(np.histogram(y, FINE.edges)[0], 1)
    found = quantile(counts[np.newaxis], np.asarray(FINE.edges), probability)[0]
    low, high = (np.quantile(y, probability, method=f"{side}") for side in ("lower", "higher"))
    below, above = (np.sort(y)[max(0, int(np.ceil(probability * number)) - 2)], high)
    assert min(low, below) - 0.002 <= found <= above + 0.002


def test_a_core_does_not_know_the_tails():
    core = norm.ppf((np.arange(100_000) + 0.5) / 100_000, 1, 0.1)
    tails = np.concatenate([np.linspace(0.01, 0.5, 2500), np.linspace(1.5, 1.99, 2500)])
    profile = profile_of(np.concatenate([core, tails]))
    assert profile.values("core")[0][0] == pytest.approx(0.1 * norm.ppf(0.84), rel=0.1)
    assert profile.values("fit_width")[0][0] == pytest.approx(0.1, rel=0.15)
    assert profile.values("rms")[0][0] > 0.15


def test_what_is_outside_the_response_axis_counts_for_quantiles():
    y = np.concatenate([np.full(60, 1.001), np.full(40, 7.0)])
    profile = profile_of(y)
    assert profile.values("median")[0][0] == pytest.approx(1.001, abs=0.002)
    for mode in ("core", "tail"):
        assert np.isnan(profile.values(mode)).all()
    assert "40 % of the responses are outside 0 … 2" in profile.note


def test_ties_of_the_window_are_taken_in_their_middle():
    profile = ResolutionProfile(ONE, Axis("ratio", tuple(np.linspace(0, 2, 201))))
    profile.fill(np.full(20, 0.5), np.full(20, 1.005))
    assert profile.values("winmode")[0][0] == pytest.approx(1.005)
    assert profile.values("mode")[0][0] == pytest.approx(1.005)


def test_flat_and_single_valued_responses_have_no_fit():
    flat = profile_of(np.repeat(np.linspace(0.001, 1.999, 1000), 5))
    single = profile_of(np.full(1000, 1.001))
    for profile in (flat, single):
        for mode in ("fit_width", "fit_mean"):
            assert np.isnan(profile.values(mode)).all()
    assert single.values("rms")[0][0] == pytest.approx(0, abs=1e-9)
    assert single.values("core")[0][0] < 0.002


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("mode", "number"), [("median", 200), ("core", 200), ("tail", 400), ("rms", 200)])
def test_bootstrap_errors_cover_the_truth(mode, number, weighted):
    generator = np.random.default_rng(7)
    truth = expected_gaussian(1.0, 0.1)[mode]
    bins, rounds = 10, 30
    axis = Axis("x", tuple(np.arange(bins + 1.0)))
    covered, pulls = [], []
    for _ in range(rounds):
        profile = ResolutionProfile(axis, FINE)
        x = np.repeat(np.arange(bins) + 0.5, number)
        weight = generator.uniform(0.3, 1.7, len(x)) if weighted else None
        profile.fill(x, generator.normal(1, 0.1, len(x)), weight=weight)
        value, error = profile.values(mode)
        covered += list(np.abs(value - truth) < error)
        pulls += list((value - truth) / error)
    assert 0.60 < np.mean(covered) < 0.76
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("mode", ["fit_width", "fit_mean"])
def test_errors_of_fits_cover_the_truth(mode):
    generator = np.random.default_rng(8)
    truth = expected_gaussian(1.0, 0.1)[mode]
    axis = Axis("x", tuple(np.arange(11.0)))
    covered = []
    for _ in range(12):
        profile = ResolutionProfile(axis, FINE)
        profile.fill(np.repeat(np.arange(10) + 0.5, 4000), generator.normal(1, 0.1, 40_000))
        value, error = profile.values(mode)
        covered += list(np.abs(value - truth) < error)
    assert 0.58 < np.mean(covered) < 0.82


def test_errors_are_the_same_for_one_seed_and_do_not_depend_on_other_bins():
    y = np.random.default_rng(9).normal(1, 0.1, 300)
    alone, both = ResolutionProfile(TWO, FINE), ResolutionProfile(TWO, FINE)
    alone.fill(np.full(300, 1.5), y)
    both.fill(np.concatenate([np.full(300, 1.5), np.full(300, 0.5)]), np.concatenate([y, y[::-1] ** 2]))
    for mode in MODES:
        for one, other in zip(alone.values(mode), both.values(mode), strict=True):
            assert one[1] == other[1] or np.isnan([one[1], other[1]]).all()
    assert alone.values("core", seed=2)[1][1] != alone.values("core")[1][1]
    assert alone.values("core", toys=1000)[1][1] == pytest.approx(alone.values("core")[1][1], rel=0.4)


def test_the_size_of_equal_weights_does_not_matter():
    y = np.random.default_rng(10).normal(1, 0.1, 2000)
    plain, scaled = profile_of(y), profile_of(y, weight=np.full(2000, 0.25))
    for mode in MODES:
        np.testing.assert_allclose(scaled.values(mode), plain.values(mode), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_too_few_entries_have_no_number(mode):
    y = np.random.default_rng(11).normal(1, 0.1, MIN_ENTRIES[mode] - 1)
    profile = profile_of(y)
    assert np.isnan(profile.values(mode)).all()
    assert np.isnan(ResolutionProfile(ONE, FINE).values(mode)).all()


def test_bins_with_few_entries_are_said():
    profile = ResolutionProfile(TWO, FINE)
    profile.fill([0.5] * 3 + [1.5] * 20, np.linspace(0.9, 1.1, 23))
    assert np.isnan(profile.values("median")[0]).tolist() == [True, False]
    assert profile.note == "1 bin left out: fewer than 10 effective entries"


def test_negative_weights():
    generator = np.random.default_rng(12)
    y, weight = generator.normal(1, 0.1, 5000), np.where(generator.random(5000) < 0.1, -1.0, 1.0)
    profile = profile_of(y, weight)
    for mode in ("median", "core", "rms"):
        (value,), (error,) = profile.values(mode)
        assert value == pytest.approx(expected_gaussian(1, 0.1)[mode], abs=5 * error)
        assert error < 0.02
    assert "with negative weight" in profile.note
    negative = profile_of(y, np.full(5000, -1.0))
    assert np.isnan(negative.values("median")).all()


def test_unknown_modes_and_uneven_responses():
    with pytest.raises(PlotError, match="did you mean 'winmode' or 'mode'"):
        profile_of([1.0]).values("winmod")
    with pytest.raises(PlotError, match="bins of one width"):
        ResolutionProfile(ONE, Axis("ratio", (0.0, 0.5, 2.0)))


def test_json_says_value_and_error_of_every_mode():
    derived = profile_of(np.random.default_rng(13).normal(1, 0.1, 500)).to_json()["derived"]
    assert set(derived) == {*MODES, "method"}
    assert derived["core"]["error"][0] > 0
