"""The plugin that brings the training tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the training tools."""
    return {
        "ModelExporter": "hepflow.plugins.training.export:ModelExporter",
        "Normaliser": "hepflow.plugins.training.normaliser:Normaliser",
        "Reweighter": "hepflow.plugins.training.reweighter:Reweighter",
        "TrainingSelection": "hepflow.plugins.training.selection:TrainingSelection",
        "Trainer": "hepflow.plugins.training.trainer:Trainer",
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
        "TorchDense": "hepflow.plugins.training.architectures.torch_dense:TorchDense",
    }


@hookimpl
def hepflow_engines() -> Mapping[str, str]:
    """Return the libraries that train."""
    return {
        "keras": "hepflow.plugins.training.engines.keras:KerasEngine",
        "lightgbm": "hepflow.plugins.training.engines.lightgbm:LightGBMEngine",
        "sklearn": "hepflow.plugins.training.engines.sklearn:SklearnEngine",
        "torch": "hepflow.plugins.training.engines.torch:TorchEngine",
        "xgboost": "hepflow.plugins.training.engines.xgboost:XGBoostEngine",
    }
