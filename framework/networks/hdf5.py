"""Reading the numbers of an HDF5 file that may be damaged or hostile.

The HDF5 library runs in a process of its own (``hdf5_child``). Nothing outside the file is read: links, external
storage and virtual data sets are refused. Only the data sets that are asked for are read, after a look at their size.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError

__all__ = ["SIGNATURE", "Hdf5File"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""What an HDF5 file begins with."""
MAX_NUMBERS = 40_000_000
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::", "PYTHONWARNINGS": "ignore"}
"""One thread; no plugins of the HDF5 library."""
_INDEX_BYTES = 64 * 1024**2


class Hdf5File:
    """An HDF5 file, to be used in ``with``; raises NetworkError where it is damaged.

    ``attributes`` are the texts of the file, ``names`` the names that groups called ``vars`` give themselves, by path,
    ``datasets`` the shapes of the data sets by path, ``odd`` says of others why they are not read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.left = MAX_NUMBERS
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "hepflow.networks.hdf5_child", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **_ENVIRONMENT},
            )
        except (OSError, ValueError) as error:
            raise NetworkError(f"no process can be started to read HDF5: {error}", where=str(path)) from error
        line = self._output.readline(_INDEX_BYTES)
        if not line.endswith(b"\n"):
            failure = self._failed()
            self.__exit__(None, None, None)
            raise failure
        index = json.loads(line)
        self.attributes: dict[str, str] = index["attributes"]
        self.names: dict[str, str | None] = index["names"]
        self.datasets: dict[str, tuple[int, ...]] = {key: tuple(shape) for key, shape in index["datasets"].items()}
        self.odd: dict[str, str] = index["odd"]

    def read(self, paths: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return the numbers of data sets; raises NetworkError where one is not there, not read, or too large."""
        for path in paths:
            if path not in self.datasets:
                raise NetworkError(f"the data set {path!r} {self.odd.get(path, 'is not there')}", where=str(self.path))
            self.left -= math.prod(self.datasets[path])
        if self.left < 0:
            raise NetworkError(
                f"the file holds more than {MAX_NUMBERS:,} weights, more than any such network needs",
                where=str(self.path),
            )
        arrays = []
        try:
            assert self._child.stdin is not None
            self._child.stdin.write(json.dumps(list(paths)).encode() + b"\n")
            self._child.stdin.flush()
            for path in paths:
                need = math.prod(self.datasets[path]) * 8
                content = self._output.read(need)
                if len(content) < need:
                    raise self._failed()
                arrays.append(np.frombuffer(content, dtype="<f8").reshape(self.datasets[path]))
        except OSError as error:
            raise self._failed() from error
        return arrays

    @property
    def _output(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    def _failed(self) -> NetworkError:
        """Return what the child, which writes no more, died of."""
        self._output.close()
        code = self._child.wait()
        said = self._child.stderr.read().decode("utf-8", "replace") if self._child.stderr else ""
        if code < 0:
            name = signal.Signals(-code).name
            why = "it takes too long" if name == "SIGXCPU" else f"the HDF5 library crashed ({name})"
        else:
            why = (said.strip().splitlines() or ["the process ended"])[-1]
        return NetworkError(
            f"the HDF5 file cannot be read: {why[:200]}", where=str(self.path), hint="is it complete? copy it again"
        )

    def __enter__(self) -> Hdf5File:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.__exit__(kind, error, trace)
