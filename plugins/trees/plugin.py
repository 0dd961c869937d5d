"""The plugin that brings forests of decision trees."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_models() -> Mapping[str, str]:
    """Return the formats of forests."""
    return {
        "lightgbm": "hepflow.plugins.trees.lightgbm:LightGbmReader",
        "mvautils": "hepflow.plugins.trees.mvautils:MvaUtilsReader",
        "tmva": "hepflow.plugins.trees.tmva:TmvaReader",
        "xgboost": "hepflow.plugins.trees.xgboost:XgBoostReader",
    }


@hookimpl
def hepflow_model_writers() -> Mapping[str, str]:
    """Return the formats that forests become."""
    return {
        "mvautils": "hepflow.plugins.trees.mvautils:MvaUtilsWriter",
        "trees-onnx": "hepflow.plugins.trees.export:ForestOnnxWriter",
        "xgboost": "hepflow.plugins.trees.export:XgBoostWriter",
    }
