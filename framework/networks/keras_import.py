"""Importing Keras: a clear error where it is missing, and none of the lines that TensorFlow writes about itself."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError, nearest

__all__ = ["check_keras", "import_keras"]

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's own setting: where the user sets it, nothing is kept back."""
EXTRAS = {"tensorflow": "train", "jax": "train,jax", "torch": "train,torch"}
"""Backend → the extras that bring it and Keras."""
DEFAULT = "tensorflow"


def import_keras() -> Any:
    """Return the module ``keras`` with its backend loaded; NetworkError, naming the extra, where one is not installed.

    The backend is the one that Keras chooses: KERAS_BACKEND, its own configuration file, TensorFlow. What TensorFlow
    writes to the terminal meanwhile is shown only where the import fails; later on its warnings are switched off. Its
    errors are Python exceptions.
    """
    try:
        with nullcontext() if LEVEL in os.environ or "keras" in sys.modules else _kept_back():
            import keras

            keras.ops.zeros(1)  # the first operation starts the devices
            if importlib.util.find_spec("tensorflow"):  # with other backends Keras loads it later, for its seeds
                importlib.import_module("tensorflow")
    except (ImportError, ValueError) as error:  # ValueError: Keras knows no such backend
        raise _missing(str(error)) from error
    return keras


def check_keras() -> None:
    """Raise NetworkError, naming the extra, where Keras or a backend that trains is not installed; imports nothing."""
    if sys.modules.get("keras") is not None:
        return
    backend, _ = _backend()
    if backend not in EXTRAS:
        raise _missing(f"no network is trained with a backend {backend!r}")
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            raise _missing(f"No module named {package!r}")


def _backend() -> tuple[str, str]:
    """Return the backend that Keras will choose, and what says so where it is not the default."""
    wanted = os.environ.get("KERAS_BACKEND", "")
    if wanted:
        return wanted, f"KERAS_BACKEND={wanted}"
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")  # noqa: S108 - where Keras looks
    path = Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"
    try:
        wanted = json.loads(path.read_text(encoding="utf-8")).get("backend", DEFAULT)
    except (OSError, ValueError, AttributeError):
        wanted = DEFAULT
    return wanted, str(path) if wanted != DEFAULT else ""


def _missing(reason: str) -> NetworkError:
    """Return the error for Keras or a backend that is not there."""
    backend, where = _backend()
    extra = EXTRAS.get(backend)
    return NetworkError(
        f"this needs Keras 3 and its backend: {reason}",
        where=where,
        hint=f"pip install 'hepflow[{extra}]' from your checkout brings them"
        if extra
        else nearest(backend, EXTRAS, what="backends"),
    )


@contextmanager
def _kept_back() -> Iterator[None]:
    """Keep back the standard error of this process, of C++ too: TensorFlow's first lines heed no setting."""
    os.environ[LEVEL] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            file.seek(0)
            os.write(terminal, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
