"""Opening a model file: lwtnn JSON, ONNX and Keras are told apart by content, not by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.hdf5 import SIGNATURE, Hdf5File
from hepflow.networks.keras_files import ARCHIVE, read_h5, read_keras
from hepflow.networks.lwtnn import read_lwtnn

if TYPE_CHECKING:
    from hepflow.networks.graph import Network
    from hepflow.networks.onnx_runtime import OnnxNetwork

__all__ = ["holds_keras", "load"]

_SPACE = b" \t\r\n\xef\xbb\xbf"


def load(
    path: str | Path,
    *,
    threads: int = 1,
    provider: str = "CPUExecutionProvider",
    variables: dict[str, Any] | None = None,
) -> Network | OnnxNetwork:
    """Open a model file; lwtnn graph JSON, lwtnn sequential JSON, ONNX and Keras are told apart by content.

    ``threads`` and ``provider`` apply to ONNX Runtime; ``variables`` names inputs and outputs of a Keras model. Raises
    NetworkError where the file is none of these or damaged.
    """
    content = jsontext.read_bytes(path)
    try:
        if not content.strip(_SPACE):
            raise NetworkError("the file is empty")
        if content.startswith(ARCHIVE):
            return read_keras(path, variables)
        if content.startswith(SIGNATURE):
            return read_h5(path, variables)
        if content.lstrip(_SPACE)[:1] in (b"{", b"["):
            return read_lwtnn(jsontext.parse_json(content))
        from hepflow.networks.onnx_runtime import open_onnx

        return open_onnx(path, content, threads=threads, provider=provider)
    except NetworkError as error:
        inside = "" if error.where in ("", str(path)) else f": {error.where}"
        raise NetworkError(error.message, where=f"{path}{inside}", hint=error.hint) from error


def holds_keras(path: str | Path) -> bool:
    """Tell whether a file is HDF5 with a Keras model: with its architecture."""
    try:
        with Path(path).open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                return False
        with Hdf5File(path) as opened:
            return "model_config" in opened.attributes
    except (OSError, NetworkError):
        return False
