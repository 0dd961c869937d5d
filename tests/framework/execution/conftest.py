"""Tools and helpers that the tests of the engine share."""

from __future__ import annotations

import numpy as np
import pytest

from hepflow import Job, Property, Tool
from hepflow.execution import RunOptions, run


class Declares(Tool):
    """Declares what it is told to."""

    R: Property[tuple[str, ...]] = Property((), "reads", item=str)
    W: Property[tuple[str, ...]] = Property((), "writes", item=str)

    def reads(self):
        return list(self.R)

    def writes(self):
        return list(self.W)

    def execute(self, events, result):
        """Take part in the loop."""


class Measure(Tool):
    """Counts and sums the visible taus, chunk by chunk."""

    def reads(self):
        return ["TauJets.pt"]

    def start(self):
        return {"chunks": 0, "taus": 0, "pt": np.zeros(2)}

    def execute(self, events, result):
        pts = events["TauJets"].flat("pt").astype(np.float64)
        result["chunks"] += 1
        result["taus"] += len(pts)
        result["pt"] += [pts.sum(), len(events)]


class Cut(Tool):
    """Keeps taus above a pt."""

    PtMin = Property(0.0, "lowest pt")

    def reads(self):
        return ["TauJets.pt"]

    def execute(self, events, result):
        events.select("TauJets", events["TauJets"].flat("pt") > self.PtMin, "pt")


@pytest.fixture
def go(tmp_path):
    """Run tools and streams over inputs: ``go(inputs, *things, workers=…)`` → RunResult."""

    def call(inputs, *things, seed=1, **options):
        job = Job("test", seed=seed)
        for thing in things:
            job += thing
        inputs = inputs if isinstance(inputs, list | tuple) else [inputs]
        options.setdefault("output", str(tmp_path / f"out{len(list(tmp_path.glob('out*')))}"))
        return run(job, RunOptions(inputs=[str(path) for path in inputs], **options))

    return call


@pytest.fixture
def measure():
    """The class Measure."""
    return Measure


@pytest.fixture
def cut():
    """The class Cut."""
    return Cut
