"""Figures of trainings: learning curves and confusion matrices, as PNG and PDF, with their numbers beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["confusion_matrix", "learning_curves", "save", "trials"]

MANY = 12
"""Confusion matrices with more classes than this have no numbers in the cells."""


def save(figure: Any, path: Path) -> None:
    """Write a figure as ``path`` + .png and .pdf."""
    for ending in (".png", ".pdf"):
        figure.savefig(path.with_name(path.name + ending), dpi=150)


def learning_curves(history: Sequence[Mapping[str, float]], best_epoch: int, path: Path) -> None:
    """Draw loss and accuracy, in training and validation, and the learning rate over the epochs.

    Their numbers are those of ``log.csv``.
    """
    from matplotlib.figure import Figure

    panels = [name for name in ("loss", "accuracy") if name in history[0]] + ["learning_rate"]
    figure = Figure(figsize=(6.4, 2.6 * len(panels)), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(np.atleast_1d(figure.subplots(len(panels), sharex=True)), panels, strict=True):
        axes.plot(epochs, [row[name] for row in history], label="training")
        if f"val_{name}" in history[0]:
            axes.plot(epochs, [row[f"val_{name}"] for row in history], label="validation")
            axes.axvline(best_epoch, color="grey", linestyle=":", label=f"best epoch {best_epoch}")
            axes.legend(frameon=False)
        else:
            axes.set_yscale("log")
        axes.set_ylabel(name.replace("_", " "))
    axes.set_xlabel("epoch")
    save(figure, path)


def confusion_matrix(weights: npt.NDArray[np.float64], classes: Sequence[str], path: Path) -> None:
    """Draw, for sums of weights (true class, predicted class), the percentage of each true class; true is x.

    The numbers are written as ``path`` + .json.
    """
    from matplotlib.figure import Figure

    totals = weights.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(weights, totals, out=np.zeros_like(weights), where=totals != 0).T
    diagonal = 100 * np.trace(weights) / weights.sum()
    names = [name.removeprefix("c_") for name in classes]
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, origin="lower", cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, label="% of the true class")
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > MANY else 0)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= MANY:
        for predicted, true in np.ndindex(percent.shape):
            value = percent[predicted, true]
            axes.text(true, predicted, f"{value:.1f}", ha="center", va="center", color="w" if value > 60 else "k")
    axes.set_xlabel("true class")
    axes.set_ylabel("predicted class")
    axes.set_title(f"validation taus, diagonal {diagonal:.1f} %")
    save(figure, path)
    content = {"classes": list(classes), "weights": weights.tolist(), "diagonal": diagonal}
    path.with_name(f"{path.name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def trials(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the loss of all trials in their order, and against each parameter; numbers are those of ``trials.csv``."""
    from matplotlib.figure import Figure

    done = [row for row in rows if row["state"] == "COMPLETE"]
    names = [name for row in done for name in row if name not in ("number", "value", "state")]
    panels = ["number", *dict.fromkeys(names)]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, name in zip(grid.flat, panels, strict=False):
        shown = [row for row in done if name in row]
        axes.plot([row[name] for row in shown], [row["value"] for row in shown], "o", markersize=4)
        axes.set_xlabel("trial" if name == "number" else name)
    numbers = [row["number"] for row in done]
    grid.flat[0].step(numbers, np.minimum.accumulate([row["value"] for row in done]), where="post", label="best")
    grid.flat[0].legend(frameon=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel("validation loss")
    save(figure, path)
