"""One model in ONNX Runtime: opened and run within bounds of memory and time, with one kind of error."""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest

__all__ = ["LimitError", "RunError", "open_session", "run_session"]

MEMORY = 3 * 2**29
"""Most bytes that ONNX Runtime takes for all models of the process together."""
SECONDS = 2.0
"""Longest that a model with loops may take for a block."""


class RunError(NetworkError):
    """ONNX Runtime does not run the model on this input."""


class LimitError(NetworkError):
    """The taus of a block together need more than ``MEMORY`` or ``SECONDS``."""


@functools.cache
def _bound_memory() -> None:
    """Give ONNX Runtime one store of memory for all models of the process, with an upper bound."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": MEMORY}))


def open_session(model: str | bytes, threads: int, provider: str) -> Any:
    """Open a model, a file or its content; raises NetworkError."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise NetworkError(
            f"ONNX Runtime has no provider {provider!r}", hint=nearest(provider, available, what="providers")
        )
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.enable_mem_pattern = False  # shapes vary from block to block
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    except Exception as error:  # ONNX Runtime has one exception class for each kind of failure
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NetworkError(f"ONNX Runtime cannot open the model: {first[:300]}") from error


def run_session(
    session: Any, names: list[str], feeds: dict[str, NDArray[Any]], *, limited: bool
) -> dict[str, NDArray[Any]]:
    """Run a model once, for ``SECONDS`` at most if it is ``limited``; raises RunError, or LimitError."""
    try:
        found = _timed(session, names, feeds) if limited else session.run(names, feeds)
    except Exception as error:  # ONNX Runtime has one exception class for each kind of failure
        if "Available memory" in str(error):
            raise LimitError(f"the ONNX model takes more than {MEMORY / 2**30:g} GiB of memory") from error
        if "terminate flag" in str(error):
            raise LimitError(f"the ONNX model, which has loops, runs for more than {SECONDS:g} s") from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"ONNX Runtime: {first[:300]}") from error
    return dict(zip(names, map(_array, found), strict=True))


def _timed(session: Any, names: list[str], feeds: dict[str, NDArray[Any]]) -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    clock = threading.Timer(SECONDS, setattr, (options, "terminate", True))
    clock.start()
    try:
        return session.run(names, feeds, options)
    finally:
        clock.cancel()


def _array(value: Any) -> NDArray[Any]:
    """Return an output as an array; a list of maps (ZipMap) in the order of their keys."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return np.array([list(row.values()) for row in value])
    return np.asarray(value)
