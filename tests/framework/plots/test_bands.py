"""Variations of plot objects: errors of shifts against numbers made otherwise, bands, figures with their numbers."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from hepflow.errors import PlotError
from hepflow.plots import Axis, Bands, EfficiencyProfile, Histogram, Profile, Shift, Stack
from hepflow.plots.bands import combined
from hepflow.plots.base import PlotObject
from hepflow.plots.figures import draw, load_figure, save

AXIS = Axis("pt", tuple(np.linspace(0, 100, 6)), "pT", "GeV")
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(50, 20, 4000)
UP, Y, WEIGHTS = 1.05 * X, RANDOM.normal(1, 0.3, 4000), RANDOM.uniform(0.5, 2, 4000)
BY, PASSED, PASSED_UP = Axis("y", (0.0, 2.0)), Y > 1, Y + 0.002 * X > 1.05
KEPT = X > 20  # hidden in the nominal, not in the variation
KINDS = {
    "histogram": (lambda: Histogram(AXIS), [X], [UP]),
    "efficiency": (lambda: EfficiencyProfile(AXIS), [X, PASSED], [UP, PASSED_UP]),
    "rejection": (lambda: EfficiencyProfile(AXIS, inverse=True), [X, PASSED], [UP, PASSED_UP]),
    "profile": (lambda: Profile(AXIS, BY), [X, Y], [UP, Y + 0.002 * X]),
}


def filled(kind, columns, weight=None, chosen=slice(None)):
    plot = KINDS[kind][0]()
    plot.fill(*(column[chosen] for column in columns), weight=None if weight is None else weight[chosen])
    return plot


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_a_shift_is_that_of_what_migrates(kind):
    _, nominal, varied = KINDS[kind]
    plot = KINDS[kind][0]()
    plot.pair()
    plot.fill(*varied, weight=WEIGHTS)
    plot.fill_common(*(c[KEPT] for c in (*varied, *nominal)), weight=(WEIGHTS**2)[KEPT])
    halves = [plot, pickle.loads(pickle.dumps(plot)), PlotObject.from_json(plot.to_json())]
    shift = Shift(halves[2], filled(kind, nominal, WEIGHTS, KEPT))
    assert halves[0] == halves[1] == filled(kind, varied, WEIGHTS)  # notes are no part of it
    twice = Shift(halves[0] + halves[1], *(n + n for n in [filled(kind, nominal, WEIGHTS, KEPT)]))
    found = []
    for _ in range(300):
        draw = WEIGHTS * RANDOM.poisson(1, len(X))
        found.append(Shift(filled(kind, varied, draw), filled(kind, nominal, draw, KEPT)).values)
    expected = np.std(found, axis=0)
    good = np.isfinite(shift.errors) & (expected > 0)
    assert good.sum() >= 4
    assert shift.errors[good] == pytest.approx(expected[good], rel=0.2)  # 300 replicas know it to 4 %; first order
    scale = np.sqrt(2) if kind == "histogram" else np.sqrt(0.5)
    assert twice.errors[good] == pytest.approx(scale * shift.errors[good], rel=0.01)


def test_a_weight_varies_by_its_differences():
    plot = Histogram(AXIS)
    plot.pair()
    plot.fill(X, weight=WEIGHTS)
    plot.fill_common(X, X, weight=WEIGHTS)
    nominal = Histogram(AXIS)
    nominal.fill(X)
    shift = Shift(plot, nominal)
    expected = np.sqrt(np.histogram(X, AXIS.edges, weights=(WEIGHTS - 1) ** 2)[0])
    assert shift.errors == pytest.approx(expected)
    counts = nominal.values()
    ratio = np.histogram(X, AXIS.edges, weights=WEIGHTS)[0] / counts
    spread = [
        np.sum((WEIGHTS[(a <= X) & (b > X)] - r) ** 2)
        for a, b, r in zip(AXIS.edges, AXIS.edges[1:], ratio, strict=False)
    ]
    assert shift.ratio_errors == pytest.approx(np.sqrt(spread) / counts)
    assert np.isnan(Shift(nominal, nominal).errors).all()  # not known, and not 0


def test_bands_by_hand():
    shifts = {
        "TES_UP": np.array([3.0, 1.0, -1.0]),
        "TES_DOWN": np.array([-2.0, 2.0, np.nan]),
        "PU": np.array([4.0, -1, 0]),
    }
    pairs = combined(shifts, "pairs")
    assert {name: [part.tolist() for part in of] for name, of in pairs.items()} == {
        "TES": [[2, 0, 1], [3, 2, 0]],
        "PU": [[0, 1, 0], [4, 0, 0]],
    }
    ((down, up),) = combined(shifts, "quadrature").values()
    assert (down.tolist(), up.tolist()) == ([2, 1, 1], [5, 2, 0])
    ((down, up),) = combined(shifts, "envelope").values()
    assert (down.tolist(), up.tolist()) == ([2, 1, 1], [4, 2, 0])
    with pytest.raises(PlotError, match="other plots"):
        Bands(Histogram(AXIS), {"UP": [Profile(AXIS, BY)]})
    with pytest.raises(PlotError, match="not shown as 'pair'"):
        Bands(Histogram(AXIS), {}, "pair")


@pytest.mark.parametrize("how", ["quadrature", "pairs", "curves"])
def test_figures_show_bands_and_save_their_numbers(how, tmp_path):
    one, other, up = filled("histogram", [X]), filled("histogram", [X - 5]), filled("histogram", [UP])
    bands = Bands([one, other], {"TES_UP": [up, other], "TES_DOWN": [other, one]}, how)
    figure = draw(bands, ratio=True)
    texts = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert texts >= ({"nominal", "TES_UP", "TES_DOWN"} if how == "curves" else {"TES"})
    (*_, path) = save(figure, tmp_path / "figure", bands, formats=["png"])
    content = json.loads(path.read_text())
    assert [PlotObject.from_json(part) for part in content["plots"]] == [one, other]
    told = content["variations"]["variations"]["TES_UP"]
    assert PlotObject.from_json(told["plots"][0]) == up
    assert told["shifts"][0]["values"] == (up.values() - one.values()).tolist()
    assert load_figure(path).what == bands


def test_the_ratio_of_a_stack_has_the_band_of_its_sum():
    one, up = filled("histogram", [X]), filled("histogram", [UP])
    stack = Stack([one, one], data=filled("histogram", [X - 1]))
    figure = draw(Bands(stack, {"TES_UP": [up, up]}), ratio=True)
    (band,) = [patch for patch in figure.axes[1].patches if hasattr(patch, "get_data")]
    values, _, base = band.get_data()
    shift = 2 * (up.values() - one.values())
    sums, statistics = 2 * one.values(), np.sqrt(2 * one.values())
    assert values == pytest.approx(1 + np.hypot(np.maximum(shift, 0), statistics) / sums)
    assert base == pytest.approx(1 - np.hypot(np.maximum(-shift, 0), statistics) / sums)
