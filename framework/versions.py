"""Versions of what is installed, for the records of runs and of trained networks."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache

__all__ = ["versions"]

LIBRARIES = (
    *("awkward", "h5py", "jax", "keras", "numpy", "onnx", "onnxruntime", "optuna", "pythia8mc", "tensorflow", "torch"),
    *("uproot", "xgboost"),
)


def versions() -> dict[str, str]:
    """Return the versions of hepflow, Python and the libraries that results depend on, those that are installed."""
    return dict(_versions())


@cache  # asked for several times a run
def _versions() -> dict[str, str]:
    found = {"hepflow": importlib.metadata.version("hepflow"), "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
