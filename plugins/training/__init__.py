"""Training: which taus, normalisation, weights, reading a training set, training, export and tuning of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
    from hepflow.plugins.training.export import NetworkExporter
    from hepflow.plugins.training.folds import Folds, kfold
    from hepflow.plugins.training.normaliser import Normalisation, Normaliser
    from hepflow.plugins.training.reweighter import Reweighter, Reweighting
    from hepflow.plugins.training.selection import TrainingSelection
    from hepflow.plugins.training.space import Choice, Float, Int, Layers
    from hepflow.plugins.training.trainer import KerasTrainer
    from hepflow.plugins.training.tuner import Tuner

__all__ = [
    "Batch",
    "Choice",
    "Float",
    "Folds",
    "Int",
    "KerasTrainer",
    "Layers",
    "NetworkExporter",
    "Normalisation",
    "Normaliser",
    "Reweighter",
    "Reweighting",
    "TrainingData",
    "TrainingSelection",
    "Tuner",
    "kfold",
    "open_dataset",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batch": "data",
        "Choice": "space",
        "Float": "space",
        "Folds": "folds",
        "Int": "space",
        "KerasTrainer": "trainer",
        "Layers": "space",
        "NetworkExporter": "export",
        "Normalisation": "normaliser",
        "Normaliser": "normaliser",
        "Reweighter": "reweighter",
        "Reweighting": "reweighter",
        "TrainingData": "data",
        "TrainingSelection": "selection",
        "Tuner": "tuner",
        "kfold": "folds",
        "open_dataset": "data",
    },
)
