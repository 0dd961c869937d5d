"""Axes, and one filled object of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow.plots import (
    Axis,
    CorrelationMatrix,
    EfficiencyAtRejection,
    EfficiencyProfile,
    Histogram,
    MigrationMatrix,
    Profile,
    ResolutionProfile,
    RocCurve,
    WorkingPoint,
)

PT = Axis("pt", tuple(np.geomspace(20, 200, 6)), "pt", "GeV", log=True)
ETA = Axis("eta", (-2.5, -1.52, -1.37, 0.0, 1.37, 1.52, 2.5), "η")
RATIO = Axis("ratio", tuple(np.linspace(0, 2, 201)), "reconstructed / true")
MODES = ("1p0n", "1p1n", "1pXn")

MAKERS = {
    "Histogram": lambda: Histogram(ETA, "one"),
    "Histogram2": lambda: Histogram([PT, ETA], "two"),
    "EfficiencyProfile": lambda: EfficiencyProfile(PT, "network"),
    "EfficiencyAtRejection": lambda: EfficiencyAtRejection(PT, 2, "network", bins_of_score=50),
    "Profile": lambda: Profile(PT, RATIO, "profile"),
    "ResolutionProfile": lambda: ResolutionProfile(ETA, RATIO, "calibrated"),
    "RocCurve": lambda: RocCurve("network", bins=100),
    "WorkingPoint": lambda: WorkingPoint("PFO count"),
    "CorrelationMatrix": lambda: CorrelationMatrix(("pt", "ratio"), "taus"),
    "MigrationMatrix": lambda: MigrationMatrix(MODES, (*MODES, "3p0n"), "network"),
}


def fill(plot, seed, number, *, weighted=True, part=slice(None)):
    """Fill an object with entries of which some are outside the axes, or only with a part of them."""
    generator = np.random.default_rng(seed)
    pt, eta = generator.exponential(60, number), generator.normal(0, 1.5, number)
    ratio, score = generator.normal(1, 0.3, number), generator.beta(2, 3, number)
    flag, other = generator.random((2, number)) < 0.4
    truth, reco = generator.integers(-1, 5, (2, number))
    # powers of two add up exactly in any order
    weight = 2.0 ** generator.integers(-3, 3, number) if weighted else None
    columns = {
        "EfficiencyProfile": (pt, flag),
        "EfficiencyAtRejection": (pt, score, flag),
        "Profile": (pt, np.round(ratio * 64) / 64),
        "ResolutionProfile": (eta, ratio),
        "RocCurve": (score, flag),
        "WorkingPoint": (other, flag),
        "CorrelationMatrix": (np.round(pt), np.round(ratio * 64) / 64),
        "MigrationMatrix": (truth, reco),
    }.get(type(plot).__name__) or ((eta,) if len(plot.axes) == 1 else (pt, eta))
    plot.fill(*(column[part] for column in columns), weight=None if weight is None else weight[part])
    return plot


@pytest.fixture(params=MAKERS)
def make(request):
    """What makes an empty object of each kind."""
    return MAKERS[request.param]


@pytest.fixture
def filled():
    """What fills an object of any kind."""
    return fill
