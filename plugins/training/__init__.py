"""Training: which taus, normalisation, weights, and reading a training set."""

from __future__ import annotations

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
