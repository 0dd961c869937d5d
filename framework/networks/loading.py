"""Opening a model file: lwtnn JSON and ONNX are told apart by content, not by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.lwtnn import read_lwtnn

if TYPE_CHECKING:
    from hepflow.networks.graph import Network
    from hepflow.networks.onnx_runtime import OnnxNetwork

__all__ = ["load"]

KERAS = b"PK\x03\x04"
"""A ``.keras`` file is a zip."""
_SPACE = b" \t\r\n\xef\xbb\xbf"


def load(path: str | Path, *, threads: int = 1, provider: str = "CPUExecutionProvider") -> Network | OnnxNetwork:
    """Open a model file; lwtnn graph JSON, lwtnn sequential JSON and ONNX are told apart by content.

    ``threads`` and ``provider`` apply to ONNX Runtime. Raises NetworkError where the file is none of these or damaged.
    """
    content = jsontext.read_bytes(path)
    try:
        if not content.strip(_SPACE):
            raise NetworkError("the file is empty")
        if content.startswith(KERAS):
            raise NetworkError(
                "a Keras model is not evaluated as it is",
                hint="hepflow convert writes it as lwtnn JSON or ONNX; a training has written both beside it",
            )
        if content.lstrip(_SPACE)[:1] in (b"{", b"["):
            return read_lwtnn(jsontext.parse_json(content))
        from hepflow.networks.onnx_runtime import open_onnx

        return open_onnx(path, content, threads=threads, provider=provider)
    except NetworkError as error:
        raise NetworkError(
            error.message, where=f"{path}{': ' + error.where if error.where else ''}", hint=error.hint
        ) from error
