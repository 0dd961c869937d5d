"""Applying any model to any container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.networks.decorators import LwtnnDecorator, ModelDecorator, OnnxDecorator

__all__ = ["LwtnnDecorator", "ModelDecorator", "OnnxDecorator"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"LwtnnDecorator": "decorators", "ModelDecorator": "decorators", "OnnxDecorator": "decorators"},
)
