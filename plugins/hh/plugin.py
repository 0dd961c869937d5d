"""The plugin that brings the tools for HH → bbττ."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the tools."""
    return {"BBTauTauVariables": "hepflow.plugins.hh.ntuple:BBTauTauVariables"}
