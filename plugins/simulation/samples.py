"""Samples that are made on demand and kept in the user's cache: whole events, and how others are declared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hepflow.execution.samples import SampleRecipe
from hepflow.plugins.simulation.generator import pythia_module
from hepflow.plugins.simulation.processes import PROCESSES
from hepflow.plugins.simulation.pythia import SAMPLE_SEED, pythia_version

__all__ = ["HHBBTAUTAU", "TTBAR", "ZJETS", "recipe", "sources"]

PLUGINS = Path(__file__).parents[1]
IMPORTED = re.compile(r"^ *from hepflow\.plugins\.([\w.]+) import (\w+)", re.MULTILINE)
LIBRARY = Path(__file__).with_name("minbias.npz")


def sources(*modules: str) -> dict[str, Path]:
    """Return these modules of plugins (``simulation.tools``) and all that they import of plugins, by name, but for the
    list of processes.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = PLUGINS.joinpath(*name.split("."))
        if name not in found and name != "simulation.processes":
            found[name] = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            imported = IMPORTED.findall(found[name].read_text("utf-8"))
            waiting += [f"{a}.{b}" if PLUGINS.joinpath(*a.split("."), f"{b}.py").exists() else a for a, b in imported]
    return found


def _content(process: str, tools: Sequence[str], files: Sequence[Path]) -> str:
    """Return a hash of all that the events depend on: the process, the code that makes events of it, Pythia's
    version, files."""
    digest = hashlib.sha256(f"{pythia_version()} {PROCESSES[process]}".encode())
    for _, path in sorted(sources("simulation.pythia", *tools).items()):
        digest.update(path.read_bytes())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def recipe(name: str, tools: Sequence[str], files: Sequence[Path], *, job: str = "", source: str = "") -> SampleRecipe:
    """Return how a process is made by the tools of these modules of plugins, which read these files."""
    return SampleRecipe(
        name=name,
        job=job or name,
        source=source,
        stream="AOD",
        version=f"2-{_content(name, tools, files)}-seed{SAMPLE_SEED}",
        doc=PROCESSES[name].doc,
        metadata={"process": PROCESSES[name].doc, "simulation": "parametrised detector, not ATLAS simulation"},
        check=pythia_module,
    )


EVENTS = ("simulation.events",)
HHBBTAUTAU = recipe("HHbbtautau", EVENTS, (), job="EventSample", source="pythia:HHbbtautau")
TTBAR = recipe("TTbar", EVENTS, (), job="EventSample", source="pythia:TTbar")
ZJETS = recipe("Zjets", EVENTS, (), job="EventSample", source="pythia:Zjets")
