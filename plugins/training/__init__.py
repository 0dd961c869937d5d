"""Training: which rows, normalisation, weights, reading a training set, training, export and tuning of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
    from hepflow.plugins.training.export import ModelExporter
    from hepflow.plugins.training.normaliser import Normalisation, Normaliser
    from hepflow.plugins.training.reweighter import Reweighter, Reweighting
    from hepflow.plugins.training.selection import TrainingSelection
    from hepflow.plugins.training.space import Choice, Float, Int, Layers
    from hepflow.plugins.training.trainer import Trainer
    from hepflow.plugins.training.tuner import Tuner

__all__ = [
    "Batch",
    "Choice",
    "Float",
    "Int",
    "Layers",
    "ModelExporter",
    "Normalisation",
    "Normaliser",
    "Reweighter",
    "Reweighting",
    "Trainer",
    "TrainingData",
    "TrainingSelection",
    "Tuner",
    "open_dataset",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batch": "data",
        "Choice": "space",
        "Float": "space",
        "Int": "space",
        "Trainer": "trainer",
        "Layers": "space",
        "ModelExporter": "export",
        "Normalisation": "normaliser",
        "Normaliser": "normaliser",
        "Reweighter": "reweighter",
        "Reweighting": "reweighter",
        "TrainingData": "data",
        "TrainingSelection": "selection",
        "Tuner": "tuner",
        "open_dataset": "data",
    },
)
