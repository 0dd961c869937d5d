"""Training steps of Keras networks: many of them in one compiled call, whatever is below Keras.

All weights that are trained are one vector while steps run, which the optimiser, element by element, changes at once.
On a processor TensorFlow trains the ragged form of a network, where its architecture has one: objects that are not
there are not calculated. Elsewhere rows are padded to their caps on the device. On an accelerator the whole training
set lives in its memory, where it fits, without padding; else shuffled blocks go there while the device works on the one
before. Order and sums are the same either way. Losses come back once a block.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.training import backend
from hepflow.plugins.training.architectures.base import mask_name
from hepflow.plugins.training.engines.base import Answers, Schedule
from hepflow.plugins.training.rows import Batch, Rows

if TYPE_CHECKING:
    from hepflow.plugins.training.data import TrainingData

__all__ = ["PlainSteps", "Steps", "Sums", "feed", "predicted"]

BLOCK_ROWS = 16_384
"""About so many rows are trained in one call; at most ``BLOCK_STEPS`` steps."""
BLOCK_STEPS = 256
ANSWERED = 4096
"""Rows that the model answers to at once."""
SHARE = 0.6
"""A training set takes at most this part of the memory that is free on a device; the rest is for the steps."""

_SETS = {"train": "training", "validation": "validation", "test": "test"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sums:
    """What steps gave. Of each: its rows, the mean of weight times loss, the sum of the weights and that of the rows
    that are right (None where no classes are learned).
    """

    rows: tuple[int, ...]
    losses: npt.NDArray[np.floating]
    weights: npt.NDArray[np.floating]
    right: npt.NDArray[np.floating] | None


class Steps:
    """Trains a model. ``model`` has the weights; ``form`` is the form of it that is trained, with the same weights."""

    def __init__(self, model: Any, form: Any, loss: str, schedule: Schedule) -> None:
        import keras

        self.model, self.form, self.schedule = model, form or model, schedule
        self.optimiser = new_optimiser(schedule)
        self._loss = keras.losses.get(loss)
        self._classifies = loss == "categorical_crossentropy"
        self._trained = list(model.trainable_variables)
        self._shapes = [tuple(variable.shape) for variable in self._trained]
        self._vector = keras.Variable(self._joined(), name="weights")
        self.optimiser.build([self._vector])
        self._held: dict[str, Any] = {}
        self._released = False

    # ── an epoch ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def epoch(self, data: TrainingData, epoch: int) -> Iterator[Sums]:
        """Train for one epoch, and leave the model with its weights, also where the caller stops; where an error ends
        it, the device may have lost them, and what the model has is of no use.
        """
        self._vector.assign(self._joined())
        self.begin()
        try:
            waiting: tuple[tuple[int, ...], Any] | None = None
            for store, order in self._calls(data, epoch):
                started = ((order.shape[1],) * len(order), self.run(store, order))
                if waiting is not None:
                    yield self._sums(*waiting)
                waiting = started
            if waiting is not None:
                yield self._sums(*waiting)
        except GeneratorExit:
            self._settle()
            raise
        self._settle()

    def _settle(self) -> None:
        self.end()
        self._give()

    def release(self) -> bool:
        """Give the memory of the device back that sets take; they go there in blocks from now on. Return whether the
        training set was there.
        """
        held, self._held, self._released = self._held, {}, True
        return held.get("train") is not None

    def predict(self, batch: Batch) -> npt.NDArray[np.floating]:
        """Return what the model answers."""
        return predicted(self.model, batch)

    def answers(self, data: TrainingData, role: str) -> Iterator[Answers]:
        """Yield what the model answers to all rows of a role, many of them a call."""
        for store, rows in self._stores(data, role):
            begun = [
                (part, self.ask(store, part)) for part in _dealt(np.arange(rows, dtype=np.int32), ANSWERED, BLOCK_STEPS)
            ]
            labels, weights = (np.asarray(store[name]) for name in ("labels", "weights"))
            for part, found in begun:
                places = slice(part[0, 0], part[-1, -1] + 1)
                yield np.asarray(found).reshape(part.size, -1), labels[places], weights[places]

    def ask(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Begin to answer to ``order`` (batches, rows), places of rows in a store; they follow each other."""
        raise TypeError(f"{type(self).__name__} answers batch by batch")

    def begin(self) -> None:
        """Make ready for an epoch."""

    def run(self, store: Any, order: npt.NDArray[np.int32]) -> Any:
        """Begin with the steps of ``order`` (steps, rows), the places of their rows in a store; return their losses,
        weights and right ones, which need not be known yet.
        """
        raise TypeError(f"{type(self).__name__} makes no steps")

    def end(self) -> None:
        """Leave all variables with what was learned."""

    def put(self, rows: Rows, room: Mapping[str, int]) -> Any:
        """Return rows as ``run`` takes them, on the device; ``room`` is how many objects of each sequence there must be
        place for.
        """
        arrays: dict[str, Any] = {"labels": rows.labels, "weights": rows.weights}
        for group, values in rows.inputs.items():
            missing = max(room.get(group, 0), group in rows.counts) - len(values)
            filled = values if missing <= 0 else np.pad(values, ((0, missing), (0, 0)))
            arrays[f"inputs {group}"] = filled
        for group, counts in rows.counts.items():
            arrays[f"counts {group}"] = counts
            arrays[f"offsets {group}"] = rows.offsets[group].astype(np.int32)
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def _calls(self, data: TrainingData, epoch: int) -> Iterator[tuple[Any, npt.NDArray[np.int32]]]:
        """Yield a store and the order of the steps, call after call; only the last step has fewer rows."""
        size, seed = self.schedule.batch_size, self.schedule.seed
        steps = min(max(BLOCK_ROWS // size, 1), BLOCK_STEPS)
        held = self._hold(data, "train")
        if held is not None:
            for order in _dealt(data.order("train", shuffle_seed=seed, epoch=epoch), size, BLOCK_STEPS):
                yield held, order
            return
        for store, rows in self._parts(data, "train", steps * size, shuffle_seed=seed, epoch=epoch):
            for order in _dealt(np.arange(rows, dtype=np.int32), size, steps):
                yield store, order

    def _stores(self, data: TrainingData, role: str) -> Iterator[tuple[Any, int]]:
        """Yield all rows of a role in the order of the file, and how many: at once where they live on the device."""
        held = self._hold(data, role)
        if held is None:
            yield from self._parts(data, role, BLOCK_ROWS)
        else:
            yield held, data.size(role)

    def _parts(self, data: TrainingData, role: str, size: int, **order: int) -> Iterator[tuple[Any, int]]:
        """Yield rows of a role, ``size`` at a time, as ``run`` takes them, and how many."""
        for rows in data.blocks(role, size, **order):
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                yield self.put(part, self._room(len(part), data)), len(part)

    def _room(self, rows: int, data: TrainingData) -> dict[str, int]:
        """Return for how many objects there is place with so many rows; none where any number will do."""
        return {group: cap * rows for group, cap in data.caps.items()}

    def _hold(self, data: TrainingData, role: str) -> Any:
        """Return all rows of a role on the device; None where there is no accelerator, or no room in it."""
        if self._released:
            return None
        if role not in self._held:
            self._held[role] = self._put_all(data, role)
        return self._held[role]

    def _put_all(self, data: TrainingData, role: str) -> Any:
        free = backend.free_memory()
        if free is None:
            return None
        size = data.nbytes(role)
        if size > SHARE * free:
            why = f"{size / 1e9:.2f} GB do not fit into {free / 1e9:.2f} GB that are free"
            _log.info("the %s set goes to %s in blocks: %s", _SETS[role], backend.devices()[0], why)
            return None
        try:
            held = self.put(data.everything(role), {})
        except Exception as error:
            if not backend.is_exhausted(error):
                raise
            _log.warning("the %s set goes to the device in blocks: its memory did not suffice (%s)", _SETS[role], error)
            return None
        _log.info("the %s set, %.2f GB, lives in the memory of %s", _SETS[role], size / 1e9, backend.devices()[0])
        return held

    # ── what a step calculates, for any backend ──────────────────────────────────────────────────────────────────────

    def objective(self, vector: Any, others: Any, inputs: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        """Return the loss of a step; beside it the other variables after it, and the sum of weights that are right."""
        from keras import ops

        parts = ops.split(vector, np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1].tolist())
        values = [ops.reshape(part, shape) for part, shape in zip(parts, self._shapes, strict=True)]
        found, others, more = self.form.stateless_call(values, others, inputs, training=True, return_losses=True)
        loss = ops.mean(weights * self._loss(labels, found))
        for one in more:
            loss = loss + one
        right = ops.equal(ops.argmax(found, axis=1), ops.argmax(labels, axis=1))
        return loss, (others, ops.sum(weights * ops.cast(right, weights.dtype)))

    def padded(self, store: Mapping[str, Any], rows: Any) -> dict[str, Any]:
        """Return the inputs of rows of a store, padded to the caps of the form; what is padded is not looked at."""
        from keras import ops

        inputs: dict[str, Any] = {}
        for name in self.form.input:
            if f"inputs {name}" not in store:
                continue
            values = store[f"inputs {name}"]
            if f"counts {name}" not in store:
                inputs[name] = ops.take(values, rows, axis=0)
                continue
            first, counts = (ops.take(store[f"{what} {name}"], rows)[:, None] for what in ("offsets", "counts"))
            places = ops.arange(self.form.input[name].shape[1], dtype="int32")[None, :]
            mask = inputs[mask_name(name)] = places < counts
            inputs[name] = ops.take(values, ops.where(mask, first + places, 0), axis=0)
        return inputs

    # ── between model and vector ─────────────────────────────────────────────────────────────────────────────────────

    def _joined(self) -> npt.NDArray[np.float32]:
        """Return the weights of the model in one vector."""
        from keras import ops

        return np.concatenate([np.ravel(ops.convert_to_numpy(variable.value)) for variable in self._trained])

    def _give(self) -> None:
        """Set the weights of the model."""
        from keras import ops

        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1]
        for variable, part in zip(self._trained, np.split(ops.convert_to_numpy(self._vector.value), ends), strict=True):
            variable.assign(part.reshape(variable.shape))

    def _sums(self, rows: tuple[int, ...], found: Any) -> Sums:
        losses, weights, right = (np.asarray(one, np.float64) for one in found)
        return Sums(rows, losses, weights, right if self._classifies else None)


class PlainSteps(Steps):
    """One batch after the other, as Keras does it: PyTorch."""

    def __init__(self, model: Any, form: Any, loss: str, schedule: Schedule) -> None:
        self.model, self.schedule = model, schedule
        self._held = {}
        self._classifies = loss == "categorical_crossentropy"
        self.optimiser = new_optimiser(schedule)
        model.compile(self.optimiser, loss, weighted_metrics=["categorical_accuracy"] if self._classifies else [])
        self.optimiser.build(model.trainable_variables)

    def epoch(self, data: TrainingData, epoch: int) -> Iterator[Sums]:
        """Train for one epoch."""
        size, seed = self.schedule.batch_size, self.schedule.seed
        for batch in data.batches("train", size, shuffle_seed=seed, epoch=epoch):
            logs = self.model.train_on_batch(feed(batch), batch.labels, sample_weight=batch.weights, return_dict=True)
            weight = batch.weights.sum(dtype="f8")
            right = np.array([float(logs["categorical_accuracy"]) * weight]) if self._classifies else None
            yield Sums((len(batch),), np.array([float(logs["loss"])]), np.array([weight]), right)


def new_optimiser(schedule: Schedule) -> Any:
    """Return the optimiser that a schedule asks for."""
    import keras

    settings = {"class_name": schedule.optimiser, "config": {"learning_rate": schedule.learning_rate}}
    return keras.optimizers.get(settings)


def predicted(model: Any, batch: Batch) -> npt.NDArray[np.floating]:
    """Return what a model in the training form answers."""
    return np.asarray(model.predict_on_batch(feed(batch)))


def feed(batch: Batch) -> dict[str, Any]:
    """Return the inputs of the training form: values and, of sequences, the masks."""
    return {**batch.inputs, **{mask_name(name): mask for name, mask in batch.masks.items()}}


def _dealt(order: npt.NDArray[np.int32], size: int, steps: int) -> Iterator[npt.NDArray[np.int32]]:
    """Yield places as (steps, size), the last as (1, what is left)."""
    whole = len(order) // size * size
    for start in range(0, whole, steps * size):
        yield order[start : min(start + steps * size, whole)].reshape(-1, size)
    if whole < len(order):
        yield order[None, whole:]
