"""The figures of several runs in one, with ratios to the first run."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hepflow.errors import PlotError
from hepflow.plots import (
    Bands,
    Comparison,
    CorrelationMatrix,
    EventDisplay,
    Histogram,
    Line,
    Panel,
    PlotObject,
    RocCurve,
    Stack,
    WorkingPoint,
)
from hepflow.plots.figures import Grid, SavedFigure, Style, draw, draw_panels, load_figure, save
from hepflow.plugins.performance.base import file_name
from hepflow.plugins.performance.report.comparison import Runs, pairs, together
from hepflow.plugins.performance.report.contents import Picture

__all__ = ["Overlay", "Overlays", "drawn", "overlay"]


KEPT = ("mode", "kind", "normalise", "log_x", "log_y")
"""Options of the figures of a run that hold for the comparison."""


@dataclass(frozen=True)
class Overlay:
    """One figure of the comparison: where it goes, what is drawn, and how."""

    path: Path
    what: Any
    style: Style
    options: Mapping[str, Any]


@dataclass
class Overlays:
    """The figures of a comparison, how many plots are the same in all runs, and what could not be compared."""

    figures: list[Overlay] = field(default_factory=list)
    same: int = 0
    problems: list[str] = field(default_factory=list)


def overlay(runs: Runs, text: str = "", sheet: str = "") -> Overlays:
    """Return the figures that show the plots of all runs; ``text`` stands at the top of them instead of theirs,
    ``sheet`` is their style sheet.

    Those that are the same in all runs are counted, not drawn.
    """
    figures, alone = pairs(runs)
    found = Overlays(problems=alone)
    for pictures in figures:
        stem = next(iter(pictures.values())).path
        try:
            saved = {name: _opened(picture) for name, picture in pictures.items()}
            _add(found, stem, saved, _style(saved, text, sheet))
        except PlotError as error:
            found.problems.append(f"{stem}: {error.message}")
    return found


def _opened(picture: Picture) -> SavedFigure:
    if picture.json is None:
        raise PlotError(f"{picture.path.name}.json is missing")
    saved = load_figure(picture.json)
    return replace(saved, what=saved.what.what) if isinstance(saved.what, Bands) else saved  # the nominal ones


def _style(saved: Mapping[str, SavedFigure], text: str, sheet: str) -> Style:
    """Return the text of all: what only some figures say has the name of the run in front."""
    texts = dict.fromkeys(one.style.text for one in saved.values())
    lines = dict.fromkeys(line for one in saved.values() for line in one.style.lines)
    told = []
    for line in lines:
        names = [name for name, one in saved.items() if line in one.style.lines]
        told.append(line if len(names) == len(saved) else f"{', '.join(names)}: {line}")
    return Style(text or (next(iter(texts)) if len(texts) == 1 else Style().text), tuple(told), sheet)


def _add(found: Overlays, stem: Path, saved: Mapping[str, SavedFigure], style: Style) -> None:
    first = next(iter(saved.values()))
    plots = {name: one.plots for name, one in saved.items()}
    if all(isinstance(plot, Panel) for one in plots.values() for plot in one):
        if all(one == first.plots for one in plots.values()):
            found.same += 1
        else:
            options = {"columns": first.options.get("columns", 1)}
            found.figures.append(Overlay(stem, _panels(plots), style, options))
        return
    if isinstance(first.what, Grid):  # its histograms have figures of their own, or are too small to compare
        return
    if isinstance(first.what, Stack):
        plots = {name: [*one.plots, _named(one.what.total, "sum")] for name, one in saved.items()}
    groups = together({name: {(type(plot).__name__, plot.label): plot for plot in one} for name, one in plots.items()})
    if not groups:
        labels = (", ".join(plot.label for plot in one) or "nothing" for one in plots.values())
        raise PlotError(f"nothing in it has one name in all runs: {'; '.join(labels)}")
    for label, members in groups:
        same = [*members.values()]
        if all(plot == same[0] for plot in same):
            found.same += 1
            continue
        path = stem if len(groups) == 1 else stem.with_name(f"{stem.name}_{file_name(label)}")
        _compare(found, Overlay(path, members, style, first.options), label)


def _compare(found: Overlays, wanted: Overlay, label: str) -> None:
    """Add the figure of plots that belong together, by run; those that cannot lie over one another get one each."""
    members: Mapping[str, Any] = wanted.what
    one_label = len({plot.label for plot in members.values()}) == 1
    named = [
        _named(plot, name if one_label or not plot.label else f"{plot.label}, {name}") for name, plot in members.items()
    ]
    first = named[0]
    options = {key: wanted.options[key] for key in KEPT if key in wanted.options}
    if isinstance(first, EventDisplay | CorrelationMatrix) or (isinstance(first, Histogram) and len(first.axes) == 2):
        for name, plot in zip(members, named, strict=True):
            path = wanted.path.with_name(f"{wanted.path.name}_{file_name(name)}")
            found.figures.append(Overlay(path, plot, wanted.style, options))
        return
    lines = tuple(line for line in (wanted.options.get("title", ""), label if one_label else "") if line)
    style = replace(wanted.style, lines=(*lines, *wanted.style.lines))
    if isinstance(first, RocCurve | WorkingPoint):
        options = {key: value for key, value in options.items() if key not in ("normalise", "log_x")}
    what: Any = named if isinstance(first, WorkingPoint) else Comparison(named)
    found.figures.append(Overlay(wanted.path, what, style, options))


def _named(plot: PlotObject, label: str) -> PlotObject:
    named = copy.copy(plot)
    if isinstance(plot, EventDisplay):
        return replace(plot, label=label)
    named.label = label
    return named


def _panels(plots: Mapping[str, Sequence[Panel]]) -> list[Panel]:
    """Return the panels of the runs in one another; those that not all have stay as they are."""
    panels: dict[tuple[str, str], Panel] = {}
    for name, one in plots.items():
        for panel in one:
            lines = [replace(line, label=f"{line.label}, {name}" if line.label else name) for line in panel.lines]
            key = (panel.x_title, panel.y_title)
            before: Sequence[Line] = panels[key].lines if key in panels else ()
            panels[key] = replace(panel, lines=[*before, *lines], mark=None)
    return [*panels.values()]


def drawn(folder: Path, figure: Overlay) -> list[Path] | str:
    """Draw a figure of the comparison into a folder and return its files, or what is wrong with it."""
    path = folder / figure.path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if isinstance(figure.what, list) and isinstance(figure.what[0], Panel):
            return save(draw_panels(figure.what, style=figure.style, **figure.options), path, {})
        return save(draw(figure.what, style=figure.style, **figure.options), path, figure.what)
    except PlotError as error:
        return f"{figure.path}: {error.message}"
