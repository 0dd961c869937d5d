"""The plugin that brings the training tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the training tools."""
    return {
        "Trainer": "hepflow.plugins.training.trainer:Trainer",
        "ModelExporter": "hepflow.plugins.training.export:ModelExporter",
        "Normaliser": "hepflow.plugins.training.normaliser:Normaliser",
        "Reweighter": "hepflow.plugins.training.reweighter:Reweighter",
        "TrainingSelection": "hepflow.plugins.training.selection:TrainingSelection",
        "Tuner": "hepflow.plugins.training.tuner:Tuner",
    }


@hookimpl
def hepflow_architectures() -> Mapping[str, str]:
    """Return the network architectures."""
    return {
        "DSNN": "hepflow.plugins.training.architectures.branches:DSNN",
        "Dense": "hepflow.plugins.training.architectures.dense:Dense",
        "LSTM": "hepflow.plugins.training.architectures.branches:LSTM",
        "SetTransformer": "hepflow.plugins.training.architectures.transformer:SetTransformer",
    }
