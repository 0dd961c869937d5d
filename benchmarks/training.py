"""Training from disk beside what a user would run otherwise: python benchmarks/training.py [DATASET.h5] [-n TAUS]

One run, one network (the reference DeepSet), the same taus, in turns, so that a slow moment of the machine hits all:
hepflow's trainer, reading the HDF5 file; ``model.fit`` on the same arrays in memory; ``model.fit`` in memory on the same
network as NNAlgs writes it, with Masking and TimeDistributed. Without a file, one of random taus is made. The first
epoch of each, in which the backend compiles, is not counted. On a machine with a GPU the hepflow row is that of the GPU
and is repeated on the CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from hepflow.io.hdf5 import DatasetLayout, DatasetWriter
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Batch, TrainingData, open_dataset
from hepflow.plugins.training.architectures import NetworkInput
from hepflow.plugins.training.backend import devices, seed_everything
from hepflow.plugins.training.configuration import NetworkPlan, plan_network
from hepflow.plugins.training.fitting import Schedule, compile_model, feed, train_epoch

FROM_MEMORY, FROM_REFERENCE = 0.9, 1.5
