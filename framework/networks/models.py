"""Model files as tools use them: opened once a process, and described for the record of what they decorated."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from hepflow.errors import NetworkError

if TYPE_CHECKING:
    from hepflow.networks.graph import Network
    from hepflow.networks.onnx_runtime import OnnxNetwork

    AnyNetwork: TypeAlias = Network | OnnxNetwork

__all__ = ["model_record", "open_model"]


def open_model(path: str, provider: str = "CPUExecutionProvider") -> AnyNetwork:
    """Return the network of a file, opened once a process unless the file changes; NetworkError where it cannot be
    read.
    """
    return _open(path, _stamp(path), provider)


def model_record(path: str) -> dict[str, Any]:
    """Return the file's name, its SHA-256, and what it says of itself (its ``hepflow`` record)."""
    stamp = _stamp(path)
    return {
        "WeightFile": Path(path).name,
        "sha256": _checksum(path, stamp),
        "record": dict(_open(path, stamp, "").record),
    }


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise NetworkError(f"the model file cannot be read: {error.strerror}", where=path) from error
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _open(path: str, stamp: tuple[int, int], provider: str) -> AnyNetwork:
    from hepflow.networks.graph import Network

    return Network.load(path, provider=provider or "CPUExecutionProvider")


@lru_cache(maxsize=16)
def _checksum(path: str, stamp: tuple[int, int]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
