"""The plugin that brings the performance tools."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the performance tools."""
    return {
        "EfficiencyPlots": "hepflow.plugins.performance.profiles:EfficiencyPlots",
        "FitHistograms": "hepflow.plugins.performance.fits:FitHistograms",
        "HistogramPlots": "hepflow.plugins.performance.histograms:HistogramPlots",
        "MigrationPlots": "hepflow.plugins.performance.classification:MigrationPlots",
        "ProfilePlots": "hepflow.plugins.performance.profiles:ProfilePlots",
        "RejectionPlots": "hepflow.plugins.performance.profiles:RejectionPlots",
        "Report": "hepflow.plugins.performance.report.tool:Report",
        "ResolutionPlots": "hepflow.plugins.performance.profiles:ResolutionPlots",
        "RocPlots": "hepflow.plugins.performance.classification:RocPlots",
        "StackPlots": "hepflow.plugins.performance.stacks:StackPlots",
        "UnseenEvents": "hepflow.plugins.performance.unseen:UnseenEvents",
    }


@hookimpl
def hepflow_commands() -> Mapping[str, str]:
    """Return the commands."""
    return {
        "compare": "hepflow.plugins.performance.report.compare:compare_command",
        "plot": "hepflow.plugins.performance.quickplot:plot_command",
        "report": "hepflow.plugins.performance.report.command:report_command",
    }
