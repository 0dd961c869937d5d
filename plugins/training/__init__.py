"""Training: which taus, normalisation, weights, and reading a training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
    from hepflow.plugins.training.folds import Folds, kfold
    from hepflow.plugins.training.normaliser import Normalisation, Normaliser
    from hepflow.plugins.training.reweighter import Reweighter, Reweighting
    from hepflow.plugins.training.selection import TrainingSelection

__all__ = [
    "Batch",
    "Folds",
    "Normalisation",
    "Normaliser",
    "Reweighter",
    "Reweighting",
    "TrainingData",
    "TrainingSelection",
    "kfold",
    "open_dataset",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batch": "data",
        "Folds": "folds",
        "Normalisation": "normaliser",
        "Normaliser": "normaliser",
        "Reweighter": "reweighter",
        "Reweighting": "reweighter",
        "TrainingData": "data",
        "TrainingSelection": "selection",
        "kfold": "folds",
        "open_dataset": "data",
    },
)
