"""A few hundred taus as plain arrays, and tools that are filled without drawing."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow import Events
from hepflow.context import Sample

MODES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")


class Taus:
    """Random taus in events, flat columns for the hand counts, and the Events made of them."""

    def __init__(self, number=400, seed=1):
        rng = np.random.default_rng(seed)
        self.counts = rng.integers(0, 4, number)
        self.event = np.repeat(np.arange(number), self.counts)
        size = int(self.counts.sum())
        self.pt = rng.uniform(10e3, 100e3, size).astype(np.float32)
        self.truth = rng.integers(0, 6, size).astype(np.int32)  # 5: Other
        self.reco = np.where(rng.random(size) < 0.7, self.truth, rng.integers(0, 7, size)).astype(np.int32)
        self.score = np.where(self.truth == 0, rng.beta(3, 2, size), rng.beta(2, 3, size)).astype(np.float32)
        self.true_pt = np.where(self.truth < 5, self.pt * rng.normal(1, 0.1, size), -1111).astype(np.float32)
        self.mu = rng.uniform(20, 70, number).astype(np.float32)
        self.weight = rng.uniform(0.5, 2, number).astype(np.float32)
        self.truth_counts = rng.integers(0, 4, number)
        self.truth_pt = rng.uniform(10e3, 100e3, int(self.truth_counts.sum()))

    def events(self, name="sample", rows=slice(None)):
        """Some of the events."""
        columns = {key: getattr(self, key) for key in ("pt", "truth", "reco", "score", "true_pt")}
        arrays = {f"TauJets.{key}": ak.unflatten(values, self.counts)[rows] for key, values in columns.items()}
        arrays |= {"EventInfo.mu": self.mu[rows], "EventInfo.weight": self.weight[rows]}
        arrays["TruthTaus.pt_vis"] = ak.unflatten(self.truth_pt, self.truth_counts)[rows]
        return Events.from_arrays(arrays, sample=Sample(name))


@pytest.fixture(scope="session")
def taus():
    return Taus()


@pytest.fixture
def fill():
    """Run a tool's execute over chunks of events; the result, {sample: {key: plot}}."""

    def run(tool, *chunks):
        result = tool.start()
        for events in chunks:
            tool.execute(events, result)
        return result

    return run


@pytest.fixture
def filled(fill, taus):
    """The plots of one sample that a tool makes of the taus; in pieces they are the same."""

    def run(tool):
        (plots,) = fill(tool, taus.events()).values()
        pieces = [taus.events(rows=slice(start, start + 7)) for start in range(0, len(taus.counts), 7)]
        (again,) = fill(tool, *pieces).values()
        for key, plot in plots.items():
            for name, sums in plot._sums.items():  # counts are the same to the bit
                left, right = (part.view(flow=True)["value"] for part in (sums, again[key]._sums[name]))
                np.testing.assert_allclose(left, right, rtol=0 if tool.Weight.trivial else 1e-12)
            assert (plot.entries, plot.invalid) == (again[key].entries, again[key].invalid)
        return plots

    return run
