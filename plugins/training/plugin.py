"""The plugin that brings the training tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the training tools."""
    return {
        "Normaliser": "hepflow.plugins.training.normaliser:Normaliser",
        "Reweighter": "hepflow.plugins.training.reweighter:Reweighter",
        "TrainingSelection": "hepflow.plugins.training.selection:TrainingSelection",
    }
