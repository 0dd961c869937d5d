"""A gallery: one figure of every kind and of every awkward case, each drawn once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hepflow.plots import (
    Axis,
    Comparison,
    EfficiencyProfile,
    Histogram,
    Line,
    MigrationMatrix,
    Panel,
    Profile,
    ResolutionProfile,
    RocCurve,
    Stack,
    WorkingPoint,
)
from hepflow.plots.figures import Style, draw, draw_panels

STYLE = Style("hepflow simulation", lines=("γ* → ττ, hadronic decays", "test fold"))
LOG_PT = Axis("pt", tuple(np.geomspace(20, 2000, 11)), "truth tau pT", "GeV", log=True)
PT = Axis("pt", tuple(np.linspace(0, 300, 31)), "truth tau pT", "GeV")
ETA = Axis("eta", tuple(np.linspace(-2.5, 2.5, 21)), "η")
MODES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")
MODE = Axis("mode", tuple(np.arange(6) - 0.5), "truth decay mode", labels=MODES)
RATIO = Axis("ratio", tuple(np.linspace(0, 2, 201)), "reconstructed / true pT")
LONG = "a classifier with a very long name that goes on and on"


def rng(seed=1):
    return np.random.default_rng(seed)


def histogram(axis=PT, label="", number=5000, seed=1, weights=None):
    plot = Histogram(axis, label)
    width = axis.edges[-1] - axis.edges[0]
    values = axis.edges[0] + rng(seed).gamma(1 + seed % 3, width / 6, number)
    plot.fill(values, weight=None if weights is None else rng(seed).choice(weights, number))
    return plot


def efficiency(axis=LOG_PT, label="", plateau=0.8, number=3000, seed=1):
    plot = EfficiencyProfile(axis, label)
    values = rng(seed).uniform(axis.edges[0], axis.edges[-1], number)
    plot.fill(values, rng(seed + 1).random(number) < plateau * (0.6 + 0.4 * np.tanh(values / 300)))
    return plot


def roc(label="", separation=2.0, number=8000, seed=1):
    plot = RocCurve(label)
    signal = rng(seed).random(number) < 0.3
    plot.fill(1 / (1 + np.exp(-rng(seed + 1).normal(separation * (signal - 0.5)))), signal)
    return plot


def point(label="", signal=0.7, background=0.1, number=4000):
    plot = WorkingPoint(label)
    is_signal = rng(5).random(number) < 0.3
    plot.fill(rng(6).random(number) < np.where(is_signal, signal, background), is_signal)
    return plot


def resolution(label="", width=0.1, number=20_000, seed=1):
    plot = ResolutionProfile(ETA, RATIO, label)
    eta = rng(seed).uniform(-2.5, 2.5, number)
    plot.fill(eta, rng(seed + 1).normal(1, width * (1 + np.abs(eta) / 2)))
    return plot


def profile():
    plot = Profile(ETA, Axis("m", (0, 3), "visible mass", "GeV"), "1p1n")
    eta = rng().uniform(-2.5, 2.5, 3000)
    plot.fill(eta, rng(2).normal(0.8 + 0.1 * eta**2, 0.1))
    return plot


def matrix(labels=MODES, reco=None, number=6000, weight=None, classes=None):
    plot = MigrationMatrix(labels, reco, "DSNN")
    truth = rng().integers(0, classes or len(labels), number)
    moved = np.clip(truth + rng(2).integers(-2, 3, number), -1, len(labels) - 1)
    plot.fill(truth, np.where(rng(3).random(number) < 0.7, truth, moved), weight=weight)
    return plot


def area(weight=None):
    plot = Histogram([PT, ETA], "all taus")
    plot.fill(rng().exponential(60, 20_000), rng(2).normal(0, 1, 20_000), weight=weight)
    return plot


def several(make, number, **settings):
    return [make(label=f"network {i}", seed=i + 1, **settings) for i in range(number)]


def nan_histogram():
    plot = Histogram(PT, "all NaN")
    plot.fill(np.full(10, np.nan))
    return plot


def equal_scores():
    plot = RocCurve("constant")
    plot.fill(np.full(100, 0.5), np.arange(100) < 40)
    return plot


def stack(data=True, parts=4):
    histograms = [histogram(label=name, seed=4, number=1000 * (i + 1)) for i, name in enumerate(MODES[:parts])]
    return Stack(histograms, histogram(label="data", seed=1, number=10_000) if data else None)


def learning():
    epochs = list(range(1, 31))
    loss = [0.5 + 1 / epoch for epoch in epochs]
    lines = [Line(epochs, loss, "training"), Line(epochs, [x + 0.05 for x in loss], "validation")]
    rate = Line(epochs, [1e-3] * 15 + [1e-4] * 15, kind="steps")
    return [
        Panel(lines, "Epoch", "Loss", mark=(20, "best epoch 20")),
        Panel([rate], "Epoch", "Learning rate", log_y=True),
    ]


def trials():
    loss = rng().uniform(0.5, 0.7, 20)
    x = {"Trial": list(range(20)), "units_of_the_second_hidden_layer": rng(2).integers(8, 100, 20).tolist()}
    x |= {"learning_rate": (10 ** rng(3).uniform(-4, -2, 20)).tolist(), "opt": ["adam", "nadam"] * 10}
    return [
        Panel([Line(values, loss.tolist(), "", "points")], name, "Validation loss", log_x=name == "learning_rate")
        for name, values in x.items()
    ]


MANY = tuple(f"class number {i}" for i in range(21))
HUGE = Axis("e", tuple(np.linspace(0, 5e8, 21)), "energy", "MeV")
TINY = Axis("x", tuple(np.linspace(0, 3e-7, 21)), "length", "m")
DECADES = Axis("x", tuple(np.geomspace(1e-12, 1e9, 43)), "x", log=True)
NARROW = Axis("x", tuple(np.geomspace(30, 90, 7)), "x", "GeV", log=True)
OBJECTS = Axis("c", tuple(np.arange(11) - 0.5), "kind", labels=tuple(f"object of kind {i}" for i in range(10)))

GALLERY = {
    "histogram": lambda: draw(histogram(), style=STYLE),
    "two histograms": lambda: draw([histogram(label="1p0n"), histogram(label="1p1n", seed=2)], style=STYLE, ratio=True),
    "five normalised": lambda: draw(several(histogram, 5, axis=ETA), style=STYLE, normalise=True),
    "eight logarithmic": lambda: draw(several(histogram, 8, axis=LOG_PT), style=STYLE, log_y=True),
    "eight long names": lambda: draw([efficiency(ETA, f"{LONG} {i}", seed=i) for i in range(8)], style=STYLE),
    "categories": lambda: draw(histogram(MODE, "all taus"), style=STYLE),
    "long categories": lambda: draw(histogram(OBJECTS), style=STYLE),
    "stack": lambda: draw(stack(), style=STYLE, ratio=True),
    "logarithmic stack": lambda: draw(stack(data=False), style=STYLE, log_y=True),
    "huge numbers": lambda: draw(histogram(HUGE, weights=[1e7, 2e7]), style=STYLE),
    "tiny numbers": lambda: draw(histogram(TINY, weights=[1e-9, 2e-9]), style=STYLE, log_y=True),
    "negative weights": lambda: draw(histogram(weights=[1, 1, -1], number=300), style=STYLE),
    "one entry": lambda: draw(histogram(number=1), style=STYLE),
    "many decades": lambda: draw(histogram(DECADES), style=STYLE),
    "within a decade": lambda: draw(efficiency(NARROW), style=STYLE),
    "many lines": lambda: draw(histogram(), style=Style(lines=tuple(f"line {i}: {LONG}" for i in range(9)))),
    "efficiency": lambda: draw(efficiency(label="DSNN"), style=STYLE, title="baseline selection"),
    "comparison": lambda: draw(Comparison(several(efficiency, 3), reference=1), style=STYLE),
    "category points": lambda: draw(several(efficiency, 2, axis=MODE), style=STYLE),
    "fixed range": lambda: draw(several(efficiency, 3, axis=ETA, plateau=0.95), style=STYLE, y_range=(0.0, 0.75)),
    "profile": lambda: draw(profile(), style=STYLE),
    "width": lambda: draw([resolution("TES"), resolution("MVA TES", 0.07)], style=STYLE, ratio=True),
    "median": lambda: draw(several(resolution, 2), style=STYLE, mode="median"),
    "roc": lambda: draw(roc("DSNN"), style=STYLE),
    "roc ratio": lambda: draw([*several(roc, 2), point("PFO count"), point("PanTau", 0.6)], style=STYLE, ratio=True),
    "eight rocs": lambda: draw([roc(f"network {i}", 2 + i / 10) for i in range(8)], style=STYLE),
    "points alone": lambda: draw([point("PFO count"), point("PanTau", 0.65, 0.05)], style=STYLE),
    "equal scores": lambda: draw(equal_scores(), style=STYLE),
    "linear roc": lambda: draw(several(roc, 2), style=STYLE, log_y=False, y_range=(0, 100)),
    "matrix": lambda: draw(matrix(), style=STYLE),
    "purity": lambda: draw(matrix(), style=STYLE, kind="purity", title="baseline selection"),
    "counts": lambda: draw(matrix(MODES[:3], MODES, weight=np.full(6000, 1e6)), style=STYLE, kind="counts"),
    "empty column": lambda: draw(matrix(classes=4), style=STYLE),
    "many classes": lambda: draw(matrix(MANY), style=STYLE),
    "long classes": lambda: draw(matrix((LONG, f"another {LONG}")), style=Style("My lab, work in progress")),
    "area": lambda: draw(area(), style=STYLE),
    "normalised area": lambda: draw(area(np.full(20_000, 1e-7)), style=STYLE, normalise=True),
    "nothing": lambda: draw(Histogram(PT, "network"), style=STYLE),
    "all NaN": lambda: draw(nan_histogram(), style=STYLE, log_y=True),
    "one is empty": lambda: draw([efficiency(label="a"), EfficiencyProfile(LOG_PT, "b")], style=STYLE, ratio=True),
    "no scores": lambda: draw([RocCurve("a"), WorkingPoint("b")], style=STYLE, ratio=True),
    "empty matrix": lambda: draw(MigrationMatrix(MODES), style=STYLE),
    "empty area": lambda: draw(Histogram([LOG_PT, MODE]), style=STYLE),
    "learning curves": lambda: draw_panels(learning(), style=STYLE),
    "trials": lambda: draw_panels(trials(), columns=3, style=Style("hepflow simulation")),
    "no trials": lambda: draw_panels([Panel([Line([], [], "best")], "Trial", "Loss")]),
    "mathematics": lambda: draw(histogram(label=r"$p_T^{\tau}$ of $\pi^0$"), style=Style(lines=(r"$\sqrt{s}$",))),
    "no mathematics": lambda: draw(histogram(label=r"costs $5 and $\foo$"), style=Style(lines=("5_000 $",))),
}


@cache
def figure_of(name):
    """The figure of the gallery with this name."""
    return GALLERY[name]()


@pytest.fixture(params=GALLERY)
def figure(request):
    """Each figure of the gallery."""
    return figure_of(request.param)
