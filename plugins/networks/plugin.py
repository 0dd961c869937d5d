"""The plugin that brings the general decorators with models."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the decorators."""
    return {
        "LwtnnDecorator": "hepflow.plugins.networks.decorators:LwtnnDecorator",
        "ModelDecorator": "hepflow.plugins.networks.decorators:ModelDecorator",
        "OnnxDecorator": "hepflow.plugins.networks.decorators:OnnxDecorator",
    }
