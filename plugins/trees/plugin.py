"""The plugin that brings forests of decision trees."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_models() -> Mapping[str, str]:
    """Return the formats of forests."""
    return {
        "lightgbm": "hepflow.plugins.trees.lightgbm:LightGbmReader",
        "tmva": "hepflow.plugins.trees.tmva:TmvaReader",
        "xgboost": "hepflow.plugins.trees.xgboost:XgBoostReader",
    }
