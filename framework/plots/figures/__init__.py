"""Figures: the only place that draws. The public names, and matplotlib with them, are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plots.figures.drawing import draw
    from hepflow.plots.figures.grid import Grid
    from hepflow.plots.figures.panels import draw_panels
    from hepflow.plots.figures.saving import SavedFigure, load_figure, save
    from hepflow.plots.figures.style import Style

_PUBLIC = {
    "Grid": "grid",
    "SavedFigure": "saving",
    "Style": "style",
    "draw": "drawing",
    "draw_panels": "panels",
    "load_figure": "saving",
    "save": "saving",
}

__all__ = ["Grid", "SavedFigure", "Style", "draw", "draw_panels", "load_figure", "save"]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
