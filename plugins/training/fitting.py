"""The training loop: epochs over a data set, validation, early stopping, learning-rate steps, checkpoints.

The rules are those of Keras' EarlyStopping and ReduceLROnPlateau on the validation loss; the weights that are kept are
those of the epoch with the smallest validation loss. Shuffling depends on seed and epoch alone, and a checkpoint holds
all there is, so that a training that was interrupted ends with the same weights as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import ToolError
from hepflow.plugins.training.architectures.base import mask_name
from hepflow.plugins.training.checkpoint import Checkpoint, arrays, assign

if TYPE_CHECKING:
    from hepflow.plots import MigrationMatrix
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = [
    "DivergedError",
    "Evaluation",
    "Schedule",
    "State",
    "compile_model",
    "evaluate",
    "feed",
    "fit",
    "train_epoch",
]

EVALUATION_BATCH = 10_000
REPORT_SECONDS = 10.0
SMALLEST = 1e-7
"""Probabilities are at least this in the cross-entropy, as in Keras."""


class DivergedError(ToolError):
    """The loss, the weights or the optimiser's variables of a training are not finite."""


@dataclass(frozen=True)
class Schedule:
    """How long and with which steps to train; the defaults are those of the reference training."""

    epochs: int = 100
    batch_size: int = 1000
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    patience: int = 10
    min_delta: float = 1e-4
    reduce_factor: float = 0.4
    reduce_patience: int = 3
    min_learning_rate: float = 4e-6
    seed: int = 42


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


def compile_model(model: Any, schedule: Schedule, loss: str) -> None:
    """Give the model loss and optimiser, whose variables are made at once."""
    import keras

    settings = {"class_name": schedule.optimiser, "config": {"learning_rate": schedule.learning_rate}}
    metrics = ["categorical_accuracy"] if loss == "categorical_crossentropy" else []
    model.compile(keras.optimizers.get(settings), loss=loss, weighted_metrics=metrics)
    model.optimizer.build(model.trainable_variables)


def feed(batch: Batch) -> dict[str, npt.NDArray[Any]]:
    """Return the model's inputs: values and, of sequences, the masks."""
    return {**batch.inputs, **{mask_name(name): mask for name, mask in batch.masks.items()}}


def evaluate(model: Any, data: TrainingData, role: str, loss: str) -> Evaluation:
    """Run the model over all rows of a role, summing in float64."""
    from hepflow.plots import MigrationMatrix

    total = weight = correct = 0.0
    rows = 0
    confusion = None
    if loss == "categorical_crossentropy":
        names = [name.removeprefix("c_") for name in data.classes]
        confusion = MigrationMatrix(names, truth_title="True class", reco_title="Predicted class")
    for batch in data.batches(role, EVALUATION_BATCH):
        found = np.asarray(model.predict_on_batch(feed(batch)), np.float64)
        weights = np.asarray(batch.weights, np.float64)
        if confusion is not None:
            losses = -np.sum(batch.labels * np.log(np.clip(found, SMALLEST, 1.0)), axis=1)
            true, best = np.argmax(batch.labels, axis=1), np.argmax(found, axis=1)
            confusion.fill(true, best, weight=weights)
            correct += float(weights[true == best].sum())
        else:
            losses = np.mean((found - batch.labels) ** 2, axis=1)
        total += float(np.sum(weights * losses))
        weight += float(weights.sum())
        rows += len(weights)
    return Evaluation(total / weight, None if confusion is None else correct / weight, confusion, rows)


def fit(
    model: Any,
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
    """Train a compiled model and leave it with the weights of its best epoch.

    With ``checkpoint``, the file is written after each epoch, with the identity of the training, and continued where
    it is there; there may be more epochs to do than before. ``report`` gets lines for people, with ``within_epochs``
    also during long epochs; ``after_epoch`` gets the state, when the checkpoint is written or was found. Raises
    ToolError where the checkpoint is of another network, and DivergedError where the loss or a weight is not finite;
    the checkpoint is then that of the last good epoch.
    """
    state, best = State(), arrays(model.variables)
    if checkpoint is not None and checkpoint.exists():
        held = Checkpoint.load(checkpoint)
        assign(model.variables, held.model)
        assign(model.optimizer.variables, held.optimiser)
        state, best = State(**held.state), held.best
        state.stopped = _stopped(state, schedule)
        report(f"continuing after epoch {state.epoch}")
        after_epoch(state)  # it may have been killed before this was written
    while not state.stopped:
        row = train_epoch(model, data, schedule, state.epoch, report if within_epochs else None)
        wrong = _not_finite(model, row["loss"])
        found = None if wrong else evaluate(model, data, "validation", loss)
        if found is None or not math.isfinite(found.loss):
            assign(model.variables, best)
            raise _diverged(wrong or "the validation loss is not a finite number", state, checkpoint)
        accuracy = {} if found.accuracy is None else {"val_accuracy": found.accuracy}
        state.history.append({**row, "val_loss": found.loss, **accuracy})
        if found.loss < state.best_loss:
            best = arrays(model.variables)
        _advance(state, schedule, found.loss, model)
        if checkpoint is not None:
            parts = arrays(model.variables), arrays(model.optimizer.variables), best
            Checkpoint(identity or {}, asdict(state), *parts).save(checkpoint)
        after_epoch(state)
        report(_line(state, schedule))  # an epoch that is seen to end is not lost
    assign(model.variables, best)
    return state


def _advance(state: State, schedule: Schedule, loss: float, model: Any) -> None:
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
        rate = float(model.optimizer.learning_rate)
        if state.plateau_waited >= schedule.reduce_patience and rate > schedule.min_learning_rate:
            model.optimizer.learning_rate = max(rate * schedule.reduce_factor, schedule.min_learning_rate)
            state.plateau_waited = 0
    state.stopped = _stopped(state, schedule)


def _stopped(state: State, schedule: Schedule) -> str:
    """Return why a training ends here; empty where it goes on."""
    if state.waited >= schedule.patience:
        return f"no improvement by {schedule.min_delta:g} in {schedule.patience} epochs"
    return f"{schedule.epochs} epochs are done" if state.epoch >= schedule.epochs else ""


def train_epoch(
    model: Any, data: TrainingData, schedule: Schedule, epoch: int, report: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Train a compiled model for one epoch (from 0, which decides about the order of the rows); return its numbers.

    The loss is the mean of weight times loss, the accuracy is weighted, both while the network learns. Batches are
    given to Keras one by one: ``fit`` on an iterator leaks rows of every epoch with TensorFlow. A loss that is not
    finite ends the epoch. ``report`` gets a line every ten seconds.
    """
    rows, done, weight = data.size("train"), 0, 0.0
    rate = float(model.optimizer.learning_rate)
    loss = correct = 0.0
    accuracy = None
    began = shown = time.perf_counter()
    for batch in data.batches("train", schedule.batch_size, shuffle_seed=schedule.seed, epoch=epoch):
        logs = model.train_on_batch(feed(batch), batch.labels, sample_weight=batch.weights, return_dict=True)
        done += len(batch)
        loss += float(logs["loss"]) * len(batch)
        if "categorical_accuracy" in logs:
            mine = float(batch.weights.sum(dtype=np.float64))
            weight, correct = weight + mine, correct + float(logs["categorical_accuracy"]) * mine
            accuracy = correct / weight if weight else 0.0
        if not math.isfinite(loss):
            break
        now = time.perf_counter()
        if report is not None and now - shown >= REPORT_SECONDS:
            shown, speed = now, done / (now - began)
            report(
                f"epoch {epoch + 1:3d}/{schedule.epochs}  {100 * done / rows:3.0f} %  loss {loss / done:.4f}  "
                f"{speed:,.0f} rows/s  ETA of the epoch {_clock((rows - done) / speed)}"
            )
    seconds = time.perf_counter() - began
    row = {"epoch": epoch + 1, "loss": loss / done, **({} if accuracy is None else {"accuracy": accuracy})}
    return {**row, "learning_rate": rate, "seconds": seconds, "rows_per_second": done / seconds}


def _not_finite(model: Any, loss: float) -> str:
    """Return, in words, what is not finite after an epoch; empty where all is.

    A finite loss says nothing of the weights: ``relu`` and masks turn what is not a number into zero.
    """
    if not math.isfinite(loss):
        return "the loss is not a finite number"
    for what, variables in (("weights", model.variables), ("optimiser's variables", model.optimizer.variables)):
        if not all(np.isfinite(array).all() for array in arrays(variables)):
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


def _line(state: State, schedule: Schedule) -> str:
    row = state.history[-1]
    mean = float(np.mean([one["seconds"] for one in state.history]))
    parts = [f"epoch {state.epoch:3d}/{schedule.epochs}"]
    parts += [f"{name} {row[name]:.4f}" for name in ("loss", "accuracy", "val_loss", "val_accuracy") if name in row]
    parts += [f"{row['rows_per_second']:,.0f} rows/s", f"ETA {_clock(mean * (schedule.epochs - state.epoch))}"]
    return "  ".join(parts) + ("  *" if state.best_epoch == state.epoch else "")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
