"""Figures of trainings: learning curves, the confusion matrix, the trials of a tuner; PNG, PDF and their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hepflow import Context

if TYPE_CHECKING:
    from hepflow.plots import MigrationMatrix
    from hepflow.plots.figures import Style

__all__ = ["MOST", "confusion_matrix", "gain", "learning_curves", "style_of", "trials"]

MOST: Final = 25
"""Most variables in a figure."""

DECADES: Final = 50.0
"""Parameters whose values span more than this factor have a logarithmic axis."""


def style_of(context: Context) -> Style:
    """Return the label of the run, with its style sheet."""
    from hepflow.plots.figures import Style

    return Style(context.label, sheet=context.style)


def learning_curves(history: Sequence[Mapping[str, float]], best_epoch: int, path: Path, style: Style) -> None:
    """Draw loss and accuracy, in training and validation, and the learning rate over the epochs, in the style.

    The numbers beside them are the rows of ``log.csv``.
    """
    from hepflow.plots import Line, Panel
    from hepflow.plots.figures import draw_panels, save

    epochs = [row["epoch"] for row in history]
    panels = []
    for name in (name for name in ("loss", "accuracy") if name in history[0]):
        lines = [Line(epochs, [row[name] for row in history], "training")]
        if f"val_{name}" in history[0]:
            lines.append(Line(epochs, [row[f"val_{name}"] for row in history], "validation"))
        panels.append(Panel(lines, "Epoch", name.capitalize(), mark=(best_epoch, f"best epoch {best_epoch}")))
    if "learning_rate" in history[0]:
        rate = Line(epochs, [row["learning_rate"] for row in history], kind="steps")
        panels.append(Panel([rate], "Epoch", "Learning rate", log_y=True))
    best = next((row for row in history if row["epoch"] == best_epoch), {})
    derived = {name: best[name] for name in ("val_loss", "val_accuracy") if name in best} | {"best_epoch": best_epoch}
    save(draw_panels(panels, style=style), path, {"derived": derived, "epochs": [dict(row) for row in history]})


def confusion_matrix(matrix: MigrationMatrix, path: Path, style: Style, role: str = "validation") -> None:
    """Draw, of each true class, which percentage of the rows of a role is predicted as what."""
    from hepflow.plots.figures import draw, save

    matrix.label = f"{role} rows"
    save(draw(matrix, style=style), path, matrix)


def gain(gains: Mapping[str, float], path: Path, style: Style) -> None:
    """Draw which part of the gain of all splits of trees each variable has, the first of them."""
    from hepflow.plots import Line, Panel
    from hepflow.plots.figures import draw_panels, save

    names = sorted(gains, key=lambda name: -gains[name])[:MOST]
    panel = Panel([Line(names, [gains[name] for name in names], "", "points")], "Variable", "Part of the gain")
    save(draw_panels([panel], style=replace(style, lines=("train",))), path, {"gain": dict(gains)})


def trials(rows: Sequence[Mapping[str, Any]], path: Path, style: Style) -> None:
    """Draw the loss of all trials in their order, and against each parameter; numbers are those of ``trials.csv``."""
    from hepflow.plots import Line, Panel
    from hepflow.plots.figures import draw_panels, save

    done = [row for row in rows if row["state"] == "COMPLETE"]
    numbers, losses = [row["number"] for row in done], [row["value"] for row in done]
    best = Line(numbers, np.minimum.accumulate(losses).tolist() if losses else [], "best", "steps")
    panels = [Panel([Line(numbers, losses, "", "points"), best], "Trial", "Validation loss")]
    parameters = [name for row in done for name in row if name not in ("number", "value", "state")]
    for name in dict.fromkeys(parameters):
        shown = [row for row in done if name in row]
        values = [row[name] if _is_number(row[name]) else str(row[name]) for row in shown]
        if not all(_is_number(value) for value in values):
            values = [str(value) for value in values]
        line = Line(values, [row["value"] for row in shown], "", "points")
        panels.append(Panel([line], name, "Validation loss", log_x=_spans_decades(values)))
    figure = draw_panels(panels, columns=min(4, len(panels)), style=style)
    save(figure, path, {"trials": [dict(row) for row in rows]})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spans_decades(values: Sequence[Any]) -> bool:
    return all(_is_number(value) and value > 0 for value in values) and max(values) > DECADES * min(values)
