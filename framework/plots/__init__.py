"""Plot objects: numbers with errors that fill, add up, save and load. The public names are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plots.axis import Axis
    from hepflow.plots.bands import Bands, Shift
    from hepflow.plots.base import PlotObject, load_plot, load_plots, write_root
    from hepflow.plots.comparison import Comparison, Ratio, Stack
    from hepflow.plots.correlation import CorrelationMatrix
    from hepflow.plots.display import EventDisplay
    from hepflow.plots.efficiency import EfficiencyProfile
    from hepflow.plots.fixedrejection import EfficiencyAtRejection
    from hepflow.plots.histogram import Histogram
    from hepflow.plots.migration import MigrationMatrix
    from hepflow.plots.panels import Line, Panel
    from hepflow.plots.profile import Profile
    from hepflow.plots.resolution import ResolutionProfile
    from hepflow.plots.roc import RocCurve, RocPoint, RocPoints, WorkingPoint

_PUBLIC = {
    "Axis": "axis",
    "Bands": "bands",
    "Comparison": "comparison",
    "CorrelationMatrix": "correlation",
    "EfficiencyAtRejection": "fixedrejection",
    "EfficiencyProfile": "efficiency",
    "EventDisplay": "display",
    "Histogram": "histogram",
    "Line": "panels",
    "MigrationMatrix": "migration",
    "Panel": "panels",
    "PlotObject": "base",
    "Profile": "profile",
    "Ratio": "comparison",
    "ResolutionProfile": "resolution",
    "RocCurve": "roc",
    "RocPoint": "roc",
    "RocPoints": "roc",
    "Shift": "bands",
    "Stack": "comparison",
    "WorkingPoint": "roc",
    "load_plot": "base",
    "load_plots": "base",
    "write_root": "base",
}

__all__ = [
    "Axis",
    "Bands",
    "Comparison",
    "CorrelationMatrix",
    "EfficiencyAtRejection",
    "EfficiencyProfile",
    "EventDisplay",
    "Histogram",
    "Line",
    "MigrationMatrix",
    "Panel",
    "PlotObject",
    "Profile",
    "Ratio",
    "ResolutionProfile",
    "RocCurve",
    "RocPoint",
    "RocPoints",
    "Shift",
    "Stack",
    "WorkingPoint",
    "load_plot",
    "load_plots",
    "write_root",
]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
