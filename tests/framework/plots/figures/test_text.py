"""Text: wrapping, mathematics, numbers, axis titles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from hepflow.plots.figures.layout import new_figure
from hepflow.plots.figures.text import fit, power, readable, short, wrap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pt", "pt"),
        (r"$p_T$ [GeV]", r"$p_T$ [GeV]"),
        (r"costs $5 and $\foo$", r"costs \$5 and \$\foo\$"),
        (r"already \$5 and $\foo$", r"already \$5 and \$\foo\$"),
        ("one $ alone", r"one \$ alone"),
    ],
)
def test_dollars_without_mathematics_are_dollars(text, expected):
    assert readable(text) == expected


@settings(deadline=None)
@given(st.text(alphabet="ab $\\_^{}{[", max_size=30))
def test_any_text_can_be_drawn(text):
    MathTextParser("path").parse(readable(text)) if text.count("$") % 2 == 0 else None
    Figure().text(0, 0, readable(text))


def test_lines_break_between_words_and_mathematics_stays_whole():
    assert wrap("a long name of a thing", 10) == "a long\nname of a\nthing"
    assert wrap(r"ratio of $p_T^{a b c d}$ and m", 10) == "ratio of\n$p_T^{a b c d}$\nand m"
    assert wrap("first\nsecond", 40) == "first\nsecond"
    assert wrap("visible momentum [GeV / c]", 18) == "visible momentum\n[GeV / c]"
    assert wrap("taus of 20 GeV, 1 prong", 18) == "taus of 20 GeV,\n1 prong"
    assert wrap("", 10) == ""


def test_words_break_where_they_must():
    assert max(map(len, wrap("another_name_without_spaces", 10).split("\n"))) <= 10
    assert wrap("another_name_without_spaces", 10, inside_words=False) == "another_name_without_spaces"


@settings(deadline=None)
@given(st.text(alphabet="abc ", min_size=1, max_size=80), st.integers(3, 40))
def test_wrapping_loses_nothing(text, width):
    wrapped = wrap(text, width)
    assert max(map(len, wrapped.split("\n"))) <= width
    assert wrapped.replace("\n", "").replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (10, "10"), (0.25, "0.25"), (12345.6, "12350"), (1e5, "$10^{5}$"), (2.5e7, r"$2.5\times10^{7}$")],
)
def test_numbers_are_short(value, expected):
    assert short(value) == expected


def test_powers_go_into_the_unit():
    assert power("energy [MeV]", 6) == "energy [$10^{6}$ MeV]"
    assert power("Entries / 10 GeV", 3) == "Entries / 10 GeV [$10^{3}$]"
    assert power("x [a] y", -3) == "x [a] y [$10^{-3}$]"
    assert power("x", 0) == "x"


def test_a_title_is_made_to_fit():
    figure, (axes,) = new_figure()
    renderer = figure.canvas.get_renderer()
    label = axes.set_xlabel("a title that is too long for what there is")
    fit(label, 150, renderer)
    assert 1 < label.get_text().count("\n") + 1 <= 3
    assert label.get_window_extent(renderer).width <= 151
    word = axes.set_ylabel("one_word_that_is_too_long_for_what_there_is")
    fit(word, 250, renderer, vertical=True)
    assert "\n" not in word.get_text()
    assert word.get_window_extent(renderer).height <= 260
