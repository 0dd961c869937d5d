"""Keras with its backend: imported where it is used, seeded, deterministic, and described."""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any

from hepflow.errors import ToolError

__all__ = ["devices", "open_keras_backend", "seed_everything", "versions"]

LIBRARIES = ("hepflow", "numpy", "keras", "tensorflow", "jax", "torch", "onnx", "onnxruntime", "optuna")


def open_keras_backend() -> Any:
    """Return the module ``keras``; ToolError, naming the extra, where it or its backend is not installed.

    The backend is the one that Keras chooses: KERAS_BACKEND, its own configuration file, TensorFlow.
    """
    try:
        import keras

        keras.ops.zeros(1)
    except ImportError as error:
        raise ToolError(
            f"training needs Keras 3 and its backend: {error}",
            where=f"KERAS_BACKEND={os.environ.get('KERAS_BACKEND', '(not set: tensorflow)')}",
            hint="pip install 'hepflow[train]' from your checkout brings Keras and TensorFlow; "
            "JAX and PyTorch are installed by yourself",
        ) from error
    return keras


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed Python, numpy and the backend; with ``deterministic`` ask the backend for operations that repeat bitwise."""
    keras = open_keras_backend()
    backend = keras.backend.backend()
    if deterministic and backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    if deterministic and backend == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)
    keras.utils.set_random_seed(seed)


def devices() -> list[str]:
    """Return the devices that the backend can use: ``["gpu:0"]``, ``["cpu:0"]``."""
    keras = open_keras_backend()
    try:
        return [str(name).lower() for name in keras.distribution.list_devices()]
    except NotImplementedError:  # Keras has no such list for PyTorch
        import torch

        return [f"gpu:{n}" for n in range(torch.cuda.device_count())] or ["cpu:0"]


def versions() -> dict[str, str]:
    """Return the versions of the libraries that a training depends on."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
