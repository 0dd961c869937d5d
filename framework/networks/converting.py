"""Converting model files: Keras and lwtnn in; lwtnn JSON and ONNX out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hepflow.errors import NetworkError
from hepflow.networks.graph import Network
from hepflow.networks.keras_files import read_keras2, read_variables
from hepflow.networks.loading import load

__all__ = ["convert", "read_sources"]

HDF5 = (".h5", ".hdf5")


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
    """Read a network: lwtnn JSON; a ``.keras`` or ``.h5`` file, or architecture.json weights.h5, each perhaps with a
    variables file.

    Raises NetworkError where the files do not go together.
    """
    paths = [Path(source) for source in sources] + ([] if variables is None else [Path(variables)])
    endings = [path.suffix.lower() for path in paths]
    if len(paths) in (2, 3) and endings[0] == ".json" and endings[1] in HDF5:
        return read_keras2(*paths)
    if len(paths) == 2 and endings[0] in (".keras", *HDF5) and endings[1] == ".json":
        network = load(paths[0], variables=read_variables(paths[1]))
    elif len(paths) == 1:
        network = load(paths[0])
    else:
        raise NetworkError(
            f"cannot convert {', '.join(path.name for path in paths) or 'nothing'}",
            hint="give NETWORK.json, MODEL.keras [variables.json], MODEL.h5 [variables.json], or architecture.json "
            "weights.h5 [variables.json]",
        )
    if isinstance(network, Network):
        return network
    raise NetworkError(
        "an ONNX model cannot be converted",
        where=str(paths[0]),
        hint="convert the lwtnn JSON or Keras model it was made from",
    )
