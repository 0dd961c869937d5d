"""Figures: the only place that draws. The public names, and matplotlib with them, are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plots.figures.drawing import draw
    from hepflow.plots.figures.grid import Grid
    from hepflow.plots.figures.panels import Line, Panel, draw_panels
    from hepflow.plots.figures.saving import save
    from hepflow.plots.figures.style import Style

_PUBLIC = {
    "Grid": "grid",
    "Line": "panels",
    "Panel": "panels",
    "Style": "style",
    "draw": "drawing",
    "draw_panels": "panels",
    "save": "saving",
}

__all__ = ["Grid", "Line", "Panel", "Style", "draw", "draw_panels", "save"]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
