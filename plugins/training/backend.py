"""The backend of Keras: seeded, deterministic, and described."""

from __future__ import annotations

from hepflow.networks.keras_import import import_keras

__all__ = ["devices", "seed_everything"]


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seed Python, numpy and the backend; with ``deterministic`` ask the backend for operations that repeat bitwise."""
    keras = import_keras()
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
    keras = import_keras()
    try:
        return [str(name).lower() for name in keras.distribution.list_devices()]
    except (NotImplementedError, AttributeError):  # Keras has no such list for PyTorch
        import torch

        return [f"gpu:{n}" for n in range(torch.cuda.device_count())] or ["cpu:0"]
