"""The simplest decay-mode classifier: count charged tracks and neutral particle-flow objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hepflow import Events, Property, Tool
from hepflow.plugins.tau.modes import decay_mode

__all__ = ["PFOCountDecayMode"]


class PFOCountDecayMode(Tool):
    """Classify tau decays by the numbers of charged tracks and of neutral particle-flow objects above a pt cut.

    The default cut is the one between the best overall diagonal (5 GeV) and the best mean of the five modes (3.5 GeV)
    on the training folds of the built-in sample.
    """

    selects = False

    energy_unit = "MeV"

    OutputName = Property("PFOCountDecayMode", "name of the decoration (int, 0…4 = 1p0n…3pXn, 5 Other, 6 NotSet)")
    NeutralPFOPtCut = Property(
        4.0, "neutral particle-flow objects above this pt count as neutral pions", unit="GeV", minimum=0
    )

    def reads(self) -> Sequence[str]:
        """Return the number of tracks and the neutral particle-flow objects."""
        return ["TauJets.nTracks", "TauJets.neutralPFOLinks", "TauNeutralParticleFlowObjects.pt"]

    def writes(self) -> Sequence[str]:
        """Return the decoration."""
        return [f"TauJets.{self.OutputName}"]

    def record(self) -> Mapping[str, Any]:
        """Return the name of the decoration and the cut; it is not trained, so it has seen no events."""
        return {"OutputName": self.OutputName, "NeutralPFOPtCut": self.NeutralPFOPtCut}

    def execute(self, events: Events, result: Any) -> None:
        """Count and decorate."""
        taus = events["TauJets"]
        neutral = taus.follow("neutralPFOLinks", "TauNeutralParticleFlowObjects")
        counted = neutral.where(neutral.flat("pt") > self.NeutralPFOPtCut * 1000.0).counts
        taus[self.OutputName] = decay_mode(taus.flat("nTracks").astype(np.int64), counted)
