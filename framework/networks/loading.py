"""Opening a model file: lwtnn JSON, ONNX and Keras are told apart by content, not by name."""

from __future__ import annotations

import re
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
    from hepflow.protocols import Model

__all__ = ["KerasReader", "LwtnnReader", "OnnxReader", "load"]

_SPACE = b" \t\r\n\xef\xbb\xbf"
_LWTNN = re.compile(
    rb"(\xef\xbb\xbf)?\s*\{\s*\"(inputs|input_sequences|nodes|layers|outputs|defaults|miscellaneous|hepflow)\"\s*:"
)


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


class LwtnnReader:
    """lwtnn JSON, graph or sequential."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the first key."""
        return _LWTNN.match(head) is not None

    @staticmethod
    def read(path: Path) -> Model:
        """Open the network."""
        return load(path)


class KerasReader:
    """Keras models with their architecture, .keras or HDF5, as far as lwtnn can express them."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the members of the archive, or by the attributes of the HDF5 file."""
        if head.startswith(ARCHIVE):
            return b"config.json" in head or b"metadata.json" in head
        if not head.startswith(SIGNATURE):
            return False
        try:
            with Hdf5File(path) as opened:
                return "model_config" in opened.attributes
        except (OSError, NetworkError):
            return False

    @staticmethod
    def read(path: Path) -> Model:
        """Open the network."""
        return load(path)


class OnnxReader:
    """ONNX models, run by ONNX Runtime."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the first field, the version of the format."""
        return re.match(rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42\x72]", head) is not None

    @staticmethod
    def read(path: Path) -> Model:
        """Open the model."""
        return load(path)
