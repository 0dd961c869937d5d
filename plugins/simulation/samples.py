"""The samples that are made on demand and kept in the user's cache."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from hepflow.execution.samples import SampleRecipe
from hepflow.plugins.simulation.generator import pythia_module
from hepflow.plugins.simulation.processes import PROCESSES
from hepflow.plugins.simulation.pythia import SAMPLE_SEED, pythia_version

__all__ = ["DIJET", "GAMMATAUTAU", "HHBBTAUTAU", "TTBAR", "ZJETS", "sources"]

HERE = Path(__file__).parent
IMPORTED = re.compile(r"^ *from hepflow\.plugins\.simulation(?:\.(\w+))? import (\w+)", re.MULTILINE)
DATA = {"minbias": "minbias.npz"}
"""Module → the file that it reads."""


def sources(*modules: str) -> set[str]:
    """Return these modules of this package and all that they import of it, but for the list of processes."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [first or second for first, second in IMPORTED.findall((HERE / f"{name}.py").read_text("utf-8"))]
    return found - {"processes"}


def _content(process: str, tools: str) -> str:
    """Return a hash of all that the events depend on: the process, the code that makes events of it, Pythia's
    version."""
    digest = hashlib.sha256(f"{pythia_version()} {PROCESSES[process]}".encode())
    for name in sorted(sources("pythia", tools)):
        digest.update((HERE / f"{name}.py").read_bytes())
        if name in DATA:
            digest.update((HERE / DATA[name]).read_bytes())
    return digest.hexdigest()[:12]


def _recipe(name: str, tools: str, job: str = "", source: str = "") -> SampleRecipe:
    """Return how a process is made by the tools of a module of this package."""
    return SampleRecipe(
        name=name,
        job=job or name,
        source=source,
        stream="AOD",
        version=f"2-{_content(name, tools)}-seed{SAMPLE_SEED}",
        doc=PROCESSES[name].doc,
        metadata={"process": PROCESSES[name].doc, "simulation": "parametrised detector, not ATLAS simulation"},
        check=pythia_module,
    )


GAMMATAUTAU = _recipe("Gammatautau", "tools")
DIJET = _recipe("Dijet", "tools")
HHBBTAUTAU = _recipe("HHbbtautau", "events", "EventSample", "pythia:HHbbtautau")
TTBAR = _recipe("TTbar", "events", "EventSample", "pythia:TTbar")
ZJETS = _recipe("Zjets", "events", "EventSample", "pythia:Zjets")
