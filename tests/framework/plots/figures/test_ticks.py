"""Ticks: round numbers that can be read, on linear and logarithmic axes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.plots.figures.layout import new_figure, renderer_of
from hepflow.plots.figures.style import house_style
from hepflow.plots.figures.ticks import categories, exponent, linear, logarithmic


def labels(low, high, *, log=False, **options):
    """The texts at the major ticks of an axis."""
    with house_style():
        _, (axes,) = new_figure()
        axes.set(xscale="log" if log else "linear", xlim=(low, high))
        (logarithmic if log else linear)(axes.xaxis, **options)
        return axes.xaxis.get_major_formatter().format_ticks(axes.xaxis.get_majorticklocs())


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 2000, 0), (0, 99_999, 0), (0, 1e5, 3), (0, 2e6, 6), (0, 0.02, 0), (0, 3e-7, -9), (-5e8, 1, 6), (0, 0, 0)],
)
def test_exponents_are_multiples_of_three(low, high, expected):
    assert exponent(low, high) == expected


def test_linear_ticks():
    assert labels(0, 300) == ["0", "50", "100", "150", "200", "250", "300"]
    assert labels(-2.5, 2.5) == ["−2", "−1", "0", "1", "2"]
    assert labels(0, 5e8, power=6) == ["0", "100", "200", "300", "400", "500"]
    assert labels(0, 1.4, highest=1.0) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (20, 2000, ["20", "50", "100", "200", "500", "1000", "2000"]),
        (30, 90, ["30", "40", "50", "60", "70", "80", "90"]),
        (1, 1e4, ["1", "10", "100", "1000", "10000"]),
        (1, 1e6, ["1", "10", "$10^{2}$", "$10^{3}$", "$10^{4}$", "$10^{5}$", "$10^{6}$"]),
        (1e-8, 3e-7, ["$10^{-8}$", r"$2\times10^{-8}$", r"$5\times10^{-8}$", "$10^{-7}$", r"$2\times10^{-7}$"]),
    ],
)
def test_logarithmic_ticks(low, high, expected):
    assert labels(low, high, log=True) == expected


@given(st.floats(-300, 290), st.floats(0.01, 300))
@settings(deadline=None, max_examples=50)
def test_a_logarithmic_axis_always_has_some_labels_and_not_too_many(start, decades):
    found = labels(10.0**start, 10.0 ** min(start + decades, 300), log=True)
    assert len(found) <= 12
    assert len(set(found)) == len(found)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9))
@settings(deadline=None, max_examples=50)
def test_a_linear_axis_always_has_some_labels_and_not_too_many(low, width):
    found = labels(low, low + width)
    assert 2 <= len(found) <= 9
    assert len(set(found)) == len(found)


def turned(names, pixels):
    with house_style():
        figure, (axes,) = new_figure()
        axes.set_xlim(-0.5, len(names) - 0.5)
        categories(axes.xaxis, names, list(range(len(names))), pixels, renderer_of(figure))
        texts = axes.xaxis.get_ticklabels()
    return {text.get_rotation() for text in texts}, {text.get_fontsize() for text in texts}


def test_names_of_categories_turn_where_they_do_not_fit():
    names = [f"category {i}" for i in range(8)]
    assert turned(names, 120) == ({0}, {14.0})
    assert turned(names, 40)[0] == {45}
    assert turned(names, 12)[0] == {90}
    assert max(turned(names, 12)[1]) < 14
