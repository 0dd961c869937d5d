"""The training loop: epochs over a data set, validation, early stopping, learning-rate steps, checkpoints.

The rules are those of Keras' EarlyStopping and ReduceLROnPlateau on the validation loss; the weights that are kept are
those of the epoch with the smallest validation loss. Shuffling depends on seed and epoch alone, and a checkpoint holds
all there is, so that a training that was interrupted ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import ToolError, many
from hepflow.plugins.training.checkpoint import Checkpoint
from hepflow.plugins.training.engines.base import Arrays, Engine, Floats, Schedule
from hepflow.plugins.training.engines.progress import clock

if TYPE_CHECKING:
    from hepflow.plots import MigrationMatrix
    from hepflow.plugins.training.data import TrainingData

__all__ = [
    "DivergedError",
    "Evaluation",
    "State",
    "evaluate",
    "fit",
    "losses_of",
]

SMALLEST = 1e-7
"""Probabilities are at least this in the cross-entropy, as in Keras."""


class DivergedError(ToolError):
    """The loss, the weights or the optimiser's variables of a training are not finite."""


@dataclass
class State:
    """Where a training stands. ``history`` has one row of numbers an epoch; ``stopped`` says why it ended."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    improved: float = math.inf
    waited: int = 0
    plateau: float = math.inf
    plateau_waited: int = 0
    stopped: str = ""
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluation:
    """A model on one role of a data set: weighted mean loss, and for a classifier accuracy and confusion matrix."""

    loss: float
    accuracy: float | None
    confusion: MigrationMatrix | None
    rows: int


def evaluate(engine: Engine, data: TrainingData, role: str, loss: str) -> Evaluation:
    """Run the model over all rows of a role, summing in float64."""
    from hepflow.plots import MigrationMatrix

    total = weight = correct = 0.0
    rows = 0
    confusion = None
    if loss == "categorical_crossentropy":
        names = [name.removeprefix("c_") for name in data.classes]
        confusion = MigrationMatrix(names, truth_title="True class", reco_title="Predicted class")
    for answer, labels, each in engine.answers(data, role):
        found, weights = np.asarray(answer, np.float64), np.asarray(each, np.float64)
        losses = losses_of(found, labels, loss)
        if confusion is not None:
            true, best = np.argmax(labels, axis=1), np.argmax(found, axis=1)
            confusion.fill(true, best, weight=weights)
            correct += float(weights[true == best].sum())
        total += float(np.sum(weights * losses))
        weight += float(weights.sum())
        rows += len(weights)
    return Evaluation(total / weight, None if confusion is None else correct / weight, confusion, rows)


def losses_of(found: Floats, labels: Floats, loss: str) -> Floats:
    """Return the loss of each row of answers (rows, outputs)."""
    if loss == "categorical_crossentropy":
        each: Floats = -np.sum(labels * np.log(np.clip(found, SMALLEST, 1.0)), axis=1)
    elif loss == "mean_absolute_error":
        each = np.mean(np.abs(found - labels), axis=1)
    else:
        each = np.mean((found - labels) ** 2, axis=1)
    return each


def fit(
    engine: Engine,
    data: TrainingData,
    schedule: Schedule,
    loss: str,
    *,
    identity: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
    within_epochs: bool = False,
    after_epoch: Callable[[State], None] = lambda state: None,
) -> State:
    """Train a model and leave it with the weights of its best epoch.

    With ``checkpoint``, the file is written after each epoch, with the identity of the training, and continued where
    it is there; there may be more epochs to do than before. ``report`` gets lines for people, with ``within_epochs``
    also during long epochs; ``after_epoch`` gets the state, when the checkpoint is written or was found. Raises
    ToolError where the checkpoint is of another model, and DivergedError where the loss or a weight is not finite;
    the checkpoint is then that of the last good epoch.
    """
    state, best = State(), engine.arrays()[0]
    if checkpoint is not None and checkpoint.exists():
        held = Checkpoint.load(checkpoint)
        engine.assign(held.model, held.optimiser)
        state, best = State(**held.state), held.best
        state.stopped = _stopped(state, schedule) if engine.IN_EPOCHS else state.stopped
        report(f"continuing after epoch {state.epoch}")
        after_epoch(state)  # it may have been killed before this was written
    while not state.stopped:
        if engine.IN_EPOCHS:
            best = _epoch(engine, data, state, best, loss, checkpoint, report if within_epochs else None)
        else:
            best = _once(engine, data, state, loss, report)
        if checkpoint is not None:
            Checkpoint(identity or {}, asdict(state), *engine.arrays(), best).save(checkpoint)
        after_epoch(state)
        report(_line(state, schedule.epochs if engine.IN_EPOCHS else state.epoch))  # what is seen to end is not lost
    engine.assign(best)
    return state


def _epoch(
    engine: Engine,
    data: TrainingData,
    state: State,
    best: Arrays,
    loss: str,
    checkpoint: Path | None,
    report: Callable[[str], None] | None,
) -> Arrays:
    """Train for one epoch and count it; return the weights of the best one, the last where nothing validates."""
    row = engine.fit_epoch(data, state.epoch, report)
    wrong = _not_finite(engine, row["loss"])
    if not wrong and not data.folds.validation:
        state.history.append(row)
        state.epoch += 1
        state.best_epoch = state.epoch
        state.best_loss = state.improved = state.plateau = row["loss"]
        state.stopped = _stopped(state, engine.schedule)
        return engine.arrays()[0]
    found = None if wrong else evaluate(engine, data, "validation", loss)
    if found is None or not math.isfinite(found.loss):
        engine.assign(best)
        raise _diverged(wrong or "the validation loss is not a finite number", state, checkpoint)
    accuracy = {} if found.accuracy is None else {"val_accuracy": found.accuracy}
    state.history.append({**row, "val_loss": found.loss, **accuracy})
    if found.loss < state.best_loss:
        best = engine.arrays()[0]
    _advance(state, engine.schedule, found.loss, engine)
    return best


def _once(engine: Engine, data: TrainingData, state: State, loss: str, report: Callable[[str], None]) -> Arrays:
    """Train in one fit; return the model. A loss that the library does not tell is calculated."""
    state.history, state.best_epoch = engine.fit(data, report)
    state.epoch = len(state.history)
    row = state.history[state.best_epoch - 1]
    for key, role in (("loss", "train"), ("val_loss", "validation")):
        if key not in row and (key == "loss" or data.folds.validation):
            row[key] = evaluate(engine, data, role, loss).loss
    found = row.get("val_loss", row["loss"])
    if not math.isfinite(found):
        raise _diverged("the loss is not a finite number", state, None)
    state.best_loss = state.improved = state.plateau = found
    state.stopped = f"one fit of {many(state.epoch, 'step')}"
    return engine.arrays()[0]


def _advance(state: State, schedule: Schedule, loss: float, engine: Any) -> None:
    """Count the epoch: the best so far, whether to stop, whether to lower the learning rate."""
    state.epoch += 1
    if loss < state.best_loss:
        state.best_loss, state.best_epoch = loss, state.epoch
    state.waited += 1
    if loss < state.improved - schedule.min_delta:
        state.improved, state.waited = loss, 0
    if loss < state.plateau - schedule.min_delta:
        state.plateau, state.plateau_waited = loss, 0
    else:
        state.plateau_waited += 1
        rate = float(engine.learning_rate)
        if state.plateau_waited >= schedule.reduce_patience and rate > schedule.min_learning_rate:
            engine.learning_rate = max(rate * schedule.reduce_factor, schedule.min_learning_rate)
            state.plateau_waited = 0
    state.stopped = _stopped(state, schedule)


def _stopped(state: State, schedule: Schedule) -> str:
    """Return why a training ends here; empty where it goes on."""
    if schedule.patience and state.waited >= schedule.patience:
        return f"no improvement by {schedule.min_delta:g} in {many(schedule.patience, 'epoch')}"
    return f"{many(schedule.epochs, 'epoch')} done" if state.epoch >= schedule.epochs else ""


def _not_finite(engine: Engine, loss: float) -> str:
    """Return, in words, what is not finite after an epoch; empty where all is.

    A finite loss says nothing of the weights: ``relu`` and masks turn what is not a number into zero.
    """
    if not math.isfinite(loss):
        return "the loss is not a finite number"
    for what, held in zip(("weights", "optimiser's variables"), engine.arrays(), strict=True):
        if not all(np.isfinite(array).all() for array in held):
            return f"the {what} are not finite numbers"
    return ""


def _diverged(wrong: str, state: State, checkpoint: Path | None) -> DivergedError:
    kept = f"; the checkpoint is that of epoch {state.epoch}" if checkpoint is not None and state.epoch else ""
    best = f"; the best epoch so far, {state.best_epoch}, has val_loss {state.best_loss:.4f}" if state.epoch else ""
    return DivergedError(
        f"{wrong} in epoch {state.epoch + 1}{best}{kept}",
        where=str(checkpoint.parent if checkpoint is not None else ""),
        hint="try a smaller LearningRate; inputs that are not finite or huge weights do this as well",
    )


def _line(state: State, epochs: int) -> str:
    row = state.history[-1]
    mean = float(np.mean([one["seconds"] for one in state.history]))
    parts = [f"epoch {state.epoch:3d}/{epochs}"]
    parts += [f"{name} {row[name]:.4f}" for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in row]
    parts += [f"{row['rows_per_second']:,.0f} rows/s", f"ETA {clock(mean * (epochs - state.epoch))}"]
    return "  ".join(parts) + ("  *" if state.best_epoch == state.epoch else "")
