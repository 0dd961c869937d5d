"""The samples that are made on demand and kept in the user's cache."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from hepflow.execution.samples import SampleRecipe
from hepflow.plugins.simulation.generator import PROCESSES
from hepflow.plugins.simulation.pythia import SAMPLE_SEED, pythia_version

__all__ = ["DIJET", "GAMMATAUTAU", "HHBBTAUTAU", "TTBAR", "ZJETS"]


@cache
def _content() -> str:
    """Return a hash of all that the events depend on: this package, its minimum-bias library, and Pythia's version."""
    digest = hashlib.sha256(pythia_version().encode())
    for path in sorted(Path(__file__).parent.iterdir()):
        if path.suffix in (".py", ".npz"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _recipe(name: str, job: str = "", source: str = "") -> SampleRecipe:
    return SampleRecipe(
        name=name,
        job=job or name,
        source=source,
        stream="AOD",
        version=f"2-{_content()}-seed{SAMPLE_SEED}",
        doc=PROCESSES[name].doc,
        metadata={"process": PROCESSES[name].doc, "simulation": "parametrised detector, not ATLAS simulation"},
    )


GAMMATAUTAU = _recipe("Gammatautau")
DIJET = _recipe("Dijet")
HHBBTAUTAU = _recipe("HHbbtautau", "EventSample", "pythia:HHbbtautau")
TTBAR = _recipe("TTbar", "EventSample", "pythia:TTbar")
ZJETS = _recipe("Zjets", "EventSample", "pythia:Zjets")
