"""Applying any network to any container."""

from __future__ import annotations

from hepflow.plugins.networks.decorators import LwtnnDecorator, OnnxDecorator

__all__ = ["LwtnnDecorator", "OnnxDecorator"]
