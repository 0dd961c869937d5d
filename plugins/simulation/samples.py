"""The samples that are made on demand and kept in the user's cache."""

from __future__ import annotations

from hepflow.execution.samples import SampleRecipe
from hepflow.plugins.simulation.generator import PROCESSES
from hepflow.plugins.simulation.pythia import SAMPLE_SEED

__all__ = ["DETECTOR_VERSION", "DIJET", "GAMMATAUTAU"]

DETECTOR_VERSION = 1
"""Raised with every change that makes the simulated events different."""


def _recipe(name: str) -> SampleRecipe:
    return SampleRecipe(
        name=name,
        job=name,
        stream="AOD",
        version=f"pythia8317-detector{DETECTOR_VERSION}-seed{SAMPLE_SEED}",
        doc=PROCESSES[name].doc,
        metadata={"process": PROCESSES[name].doc, "simulation": "parametrised detector, not ATLAS simulation"},
    )


GAMMATAUTAU = _recipe("Gammatautau")
DIJET = _recipe("Dijet")
