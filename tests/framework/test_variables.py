"""Variables and their binnings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow.errors import PropertyError
from hepflow.variables import Binning, Variable

PT = Variable(
    "pt",
    "TauJets.pt / 1000",
    label="pt",
    unit="GeV",
    binnings={"default": Binning.regular(51, 20, 1000), "log": Binning.logarithmic(10, 20, 2000)},
)


def test_binnings_by_name_and_by_numbers():
    assert PT.binning() is PT.binnings["default"]
    assert PT.binning("log").log
    assert PT.binning("4;0;2").edges == (0.0, 0.5, 1.0, 1.5, 2.0)
    assert Binning.categories(("1p0n", "1p1n")).edges == (-0.5, 0.5, 1.5)


@given(st.integers(1, 200), st.floats(1e-3, 1e3), st.floats(1.5, 1e4))
def test_logarithmic_bins_have_equal_ratios_and_exact_ends(number, low, factor):
    binning = Binning.logarithmic(number, low, low * factor)
    assert binning.edges[0] == low
    assert binning.edges[-1] == low * factor
    np.testing.assert_allclose(np.diff(np.log(binning.edges)), np.log(factor) / number, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PT.binning("lgo"), "did you mean 'log'"),
        (lambda: PT.binning("4;0"), "NUMBER;LOW;HIGH"),
        (lambda: Variable("x").binning(), "x has no binning"),
        (lambda: Binning((1.0, 1.0)), "ascend"),
        (lambda: Binning((0.0,)), "ascend"),
        (lambda: Binning((0.0, np.inf)), "finite"),
        (lambda: Binning((0.0, 1.0), log=True), "above 0"),
        (lambda: Binning.logarithmic(3, 0, 1), "0 < low < high"),
        (lambda: Binning((0.0, 1.0), labels=("a", "b")), "2 labels for 1 bins"),
        (lambda: Variable("x", transform="log"), "did you mean 'log10'"),
        (lambda: Variable("x", transform="log10"), "floor above 0"),
    ],
)
def test_what_is_wrong_is_said(make, text):
    with pytest.raises(PropertyError, match=text.replace("(", r"\(")):
        make()


def test_titles():
    assert PT.title == "pt [GeV]"
    assert Variable("pt_log", "pt", "log10", 1.0, label="pt", unit="MeV").title == "log10(pt / MeV)"
    assert Variable("deta").title == "deta"


def test_the_transform_keeps_the_floor():
    values = Variable("pt_log", "pt", "log10", 1e-3)(np.array([0.0, 1.0, 1000.0], dtype=np.float32))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [-3.0, 0.0, 3.0], rtol=1e-6, atol=1e-7)


def test_shown_without_defaults_and_binnings():
    assert repr(PT) == "Variable(name='pt', column='TauJets.pt / 1000', label='pt', unit='GeV')"
    log = Variable("pt_log", "pt", "log10", floor=0.5)
    assert repr(log) == "Variable(name='pt_log', column='pt', transform='log10', floor=0.5)"
    assert repr(Variable("deta")) == "Variable(name='deta')"
    assert eval(repr(log)) == log
