"""Training: which taus, normalisation, weights, and reading a training set."""

from __future__ import annotations

from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
from hepflow.plugins.training.folds import Folds, kfold
from hepflow.plugins.training.reweighter import Reweighter, Reweighting

__all__ = ["Batch", "Folds", "Reweighter", "Reweighting", "TrainingData", "kfold", "open_dataset"]
