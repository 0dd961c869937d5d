"""The backend of Keras: seeded, deterministic, and described."""

from __future__ import annotations

from typing import Any

from hepflow.networks.keras_import import import_keras

__all__ = ["accelerated", "devices", "free_memory", "is_exhausted", "name", "seed_everything"]


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


def name() -> str:
    """Return the name of the backend: tensorflow, jax, torch."""
    return str(import_keras().backend.backend())


def accelerated() -> bool:
    """Tell whether the backend has a device that is not the processor."""
    return any(not device.startswith("cpu") for device in devices())


def free_memory() -> float | None:
    """Return the bytes that the backend may still take of its accelerator's memory; None without an accelerator, or
    where it does not say.
    """
    if not accelerated():
        return None
    if name() == "jax":
        import jax

        stats: dict[str, Any] = jax.devices()[0].memory_stats() or {}
        return float(stats["bytes_limit"] - stats["bytes_in_use"]) if "bytes_limit" in stats else None
    if name() == "tensorflow":
        import tensorflow as tf
        from tensorflow.python.client import device_lib

        limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
        return float(limits[0] - tf.config.experimental.get_memory_info("GPU:0")["current"]) if limits else None
    return None


def is_exhausted(error: Exception) -> bool:
    """Tell whether an error of a backend says that memory did not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error) or type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")


def devices() -> list[str]:
    """Return the devices that the backend can use: ``["gpu:0"]``, ``["cpu:0"]``."""
    keras = import_keras()
    try:
        return [str(name).lower() for name in keras.distribution.list_devices()]
    except (NotImplementedError, AttributeError):  # Keras has no such list for PyTorch
        import torch

        return [f"gpu:{n}" for n in range(torch.cuda.device_count())] or ["cpu:0"]
