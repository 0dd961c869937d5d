"""Converting model files: Keras, legacy Keras 2 and lwtnn in; lwtnn JSON and ONNX out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import Network

__all__ = ["convert", "read_sources"]


def convert(sources: Sequence[str | Path], target: str | Path, variables: str | Path | None = None) -> Network:
    """Read a network from one or more files and write it as lwtnn JSON (``.json``) or ONNX (``.onnx``); returns the
    network.

    Raises NetworkError where sources or target are not what is expected.
    """
    ending = Path(target).suffix.lower()
    if ending not in (".json", ".onnx"):
        raise NetworkError(f"the target {str(target)!r} must end in .json (lwtnn) or .onnx")
    network = read_sources(sources, variables)
    if ending == ".json":
        from hepflow.networks.lwtnn_write import write_lwtnn

        write_lwtnn(network, target)
    else:
        from hepflow.networks.onnx_write import write_onnx

        write_onnx(network, target)
    return network


def read_sources(sources: Sequence[str | Path], variables: str | Path | None = None) -> Network:
    """Read a network: lwtnn JSON; a ``.keras`` file, perhaps with a variables file; or architecture.json weights.h5
    variables.json.

    Raises NetworkError where the files do not go together.
    """
    paths = [Path(source) for source in sources] + ([] if variables is None else [Path(variables)])
    endings = [path.suffix.lower() for path in paths]
    if endings[:1] == [".keras"] and len(paths) <= 2:
        from hepflow.networks.keras3 import from_keras, open_keras

        return from_keras(open_keras(paths[0]), _variables(paths[1]) if len(paths) == 2 else None)
    if len(paths) == 3 and endings[1] in (".h5", ".hdf5"):
        from hepflow.networks.keras2 import read_keras2

        return read_keras2(*paths)
    if len(paths) == 1:
        network = Network.load(paths[0])
        if isinstance(network, Network):
            return network
        raise NetworkError(
            "an ONNX model cannot be converted",
            where=str(paths[0]),
            hint="convert the lwtnn JSON or Keras model it was made from",
        )
    raise NetworkError(
        f"cannot convert {', '.join(path.name for path in paths) or 'nothing'}",
        hint="give NETWORK.json, or MODEL.keras [variables.json], or architecture.json weights.h5 variables.json",
    )


def _variables(path: Path) -> dict[str, Any]:
    try:
        data = jsontext.parse_json(jsontext.read_bytes(path))
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where or str(path), hint=error.hint) from error
    if not isinstance(data, dict):
        raise NetworkError(
            "the variables file holds no object",
            where=str(path),
            hint="it has the keys inputs, input_sequences and outputs",
        )
    return data
