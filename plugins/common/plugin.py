"""The plugin that brings the general tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the general tools."""
    return {"LinkedObjects": "hepflow.plugins.common.linked:LinkedObjects"}
