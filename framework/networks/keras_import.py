"""Importing Keras: a clear error where it is missing, and none of the lines that TensorFlow writes about itself."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from hepflow.errors import NetworkError, nearest

__all__ = ["import_keras"]

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's own setting: where the user sets it, nothing is kept back."""
EXTRAS = {"tensorflow": "train", "jax": "train,jax", "torch": "train,torch"}
"""Backend → the extras that bring it and Keras."""


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
        wanted = os.environ.get("KERAS_BACKEND", "")
        extra = EXTRAS.get(wanted or "tensorflow")
        raise NetworkError(
            f"this needs Keras 3 and its backend: {error}",
            where=f"KERAS_BACKEND={wanted}" if wanted else "",
            hint=f"pip install 'hepflow[{extra}]' from your checkout brings them"
            if extra
            else nearest(wanted, EXTRAS, what="backends"),
        ) from error
    return keras


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
