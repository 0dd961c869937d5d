"""Performance: plots of classifiers and their inputs, and the report of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.performance.classification import MigrationPlots, RocPlots
    from hepflow.plugins.performance.fits import FitHistograms
    from hepflow.plugins.performance.histograms import HistogramPlots
    from hepflow.plugins.performance.profiles import EfficiencyPlots, ProfilePlots, RejectionPlots, ResolutionPlots
    from hepflow.plugins.performance.report.tool import Report
    from hepflow.plugins.performance.stacks import StackPlots
    from hepflow.plugins.performance.unseen import UnseenEvents

__all__ = [
    "EfficiencyPlots",
    "FitHistograms",
    "HistogramPlots",
    "MigrationPlots",
    "ProfilePlots",
    "RejectionPlots",
    "Report",
    "ResolutionPlots",
    "RocPlots",
    "StackPlots",
    "UnseenEvents",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EfficiencyPlots": "profiles",
        "FitHistograms": "fits",
        "HistogramPlots": "histograms",
        "MigrationPlots": "classification",
        "ProfilePlots": "profiles",
        "RejectionPlots": "profiles",
        "Report": "report.tool",
        "ResolutionPlots": "profiles",
        "RocPlots": "classification",
        "StackPlots": "stacks",
        "UnseenEvents": "unseen",
    },
)
