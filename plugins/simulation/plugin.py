"""The plugin that brings the generator, the simulated detector and the samples made with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hepflow import hookimpl

NAMES = ("HHbbtautau", "TTbar", "Zjets")


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the tools that make the sample."""
    return {
        "EventDetector": "hepflow.plugins.simulation.events:EventDetector",
        "TauDetector": "hepflow.plugins.simulation.tools:TauDetector",
        "TruthTauBuilder": "hepflow.plugins.simulation.tools:TruthTauBuilder",
    }


@hookimpl
def hepflow_readers() -> Mapping[str, str]:
    """Return the generator, which is read like a file."""
    return {"pythia": "hepflow.plugins.simulation.pythia:PythiaReader"}


@hookimpl
def hepflow_samples() -> Mapping[str, str]:
    """Return the samples that are made on demand."""
    return {name: f"hepflow.plugins.simulation.samples:{name.upper()}" for name in NAMES}


@hookimpl
def hepflow_derivations() -> Mapping[str, Sequence[str]]:
    """Return what missing ET was calculated from."""
    return dict.fromkeys(("MET.met", "MET.phi", "MET.sumet"), ("TauJets.pt", "Jets.pt"))
