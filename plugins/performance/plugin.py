"""The plugin that brings the performance tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the performance tools."""
    return {"Report": "hepflow.plugins.performance.report.tool:Report"}


@hookimpl
def hepflow_commands() -> Mapping[str, str]:
    """Return the commands."""
    return {"report": "hepflow.plugins.performance.report.command:report_command"}
