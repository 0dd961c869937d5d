"""The built-in sample: Pythia events seen by a parametrised detector.

This is a parametrised detector, not ATLAS simulation. It imitates what matters for hadronic taus: tracks with finite
resolution in a 2 T field, conversions, pile-up, showers that share cells, leak and fluctuate, clusters and particle
flow made from these cells. Its numbers are rounded from publications named beside them; nothing is tuned to data, and
no result obtained with it is one for ATLAS.

Only stable particles (momentum, charge, PDG id, vertex) enter the detector; what decayed into what stays in
``TruthParticles``, from which ``TruthTauBuilder`` makes the truth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.simulation.events import EventDetector
    from hepflow.plugins.simulation.tools import TauDetector, TruthTauBuilder

__all__ = ["EventDetector", "TauDetector", "TruthTauBuilder"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"EventDetector": "events", "TauDetector": "tools", "TruthTauBuilder": "tools"},
)
