"""The plugin that brings the tau tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the tau tools."""
    return {
        "NNDecayModeClassifier": "hepflow.plugins.tau.classifier:NNDecayModeClassifier",
        "NNDecayModeTree": "hepflow.plugins.tau.decaymode:NNDecayModeTree",
        "PFOCountDecayMode": "hepflow.plugins.tau.pfocount:PFOCountDecayMode",
        "TauSelection": "hepflow.plugins.tau.selection:TauSelection",
        "TauTruthMatching": "hepflow.plugins.tau.truth:TauTruthMatching",
    }


@hookimpl
def hepflow_joboptions() -> Sequence[Path]:
    """Return the folder of the job options that ship with hepflow."""
    import hepflow.jobconfigs

    return [Path(str(folder)) for folder in hepflow.jobconfigs.__path__]
