"""Forests of decision trees as models: TMVA, XGBoost, LightGBM and Athena's MVAUtils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.trees.forest import Forest, ForestModel, Tree

__all__ = ["Forest", "ForestModel", "Tree"]

__getattr__, __dir__ = lazy_names(__name__, {"Forest": "forest", "ForestModel": "forest", "Tree": "forest"})
