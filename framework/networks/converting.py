"""Converting model files: Keras and lwtnn in; lwtnn JSON and ONNX out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hepflow.errors import NetworkError
from hepflow.networks.graph import Network
from hepflow.networks.keras_files import read_keras2, read_variables
from hepflow.networks.loading import load

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["LwtnnWriter", "OnnxWriter", "convert", "read_sources"]

HDF5 = (".h5", ".hdf5")


class LwtnnWriter:
    """lwtnn JSON (.json), of networks."""

    endings = (".json",)

    @staticmethod
    def takes(model: Model) -> bool:
        """Tell whether the model is a network with lwtnn's vocabulary."""
        return isinstance(model, Network)

    @classmethod
    def write(cls, model: Model, path: Path) -> list[str]:
        """Write the file and return what is to be told."""
        assert isinstance(model, Network)
        cls._write(model, path)
        return _notes(model)

    @staticmethod
    def _write(network: Network, path: Path) -> None:
        from hepflow.networks.lwtnn_write import write_lwtnn

        write_lwtnn(network, path)


class OnnxWriter(LwtnnWriter):
    """ONNX (.onnx), of networks."""

    endings = (".onnx",)

    @staticmethod
    def _write(network: Network, path: Path) -> None:
        from hepflow.networks.onnx_write import write_onnx

        write_onnx(network, path)


def _notes(network: Network) -> list[str]:
    """Return what became of a Keras model on the way."""
    if not network.origin.startswith("Keras"):
        return []
    facts = network.record["keras"]
    notes = []
    if folded := facts.get("folded", ()):
        notes.append(f"batch normalisation is folded into scale and offset: {', '.join(folded)}")
    if facts["parameters"] != network.n_parameters:
        notes.append(f"in Keras the same network has {facts['parameters']:,} parameters")
    return notes


def convert(sources: Sequence[str | Path], target: str | Path, variables: str | Path | None = None) -> Network:
    """Read a network from one or more files and write it as lwtnn JSON (``.json``) or ONNX (``.onnx``); returns the
    network.

    Raises NetworkError where sources or target are not what is expected.
    """
    ending = Path(target).suffix.lower()
    writer = next((one for one in (LwtnnWriter, OnnxWriter) if ending in one.endings), None)
    if writer is None:
        raise NetworkError(f"the target {str(target)!r} must end in .json (lwtnn) or .onnx")
    network = read_sources(sources, variables)
    writer.write(network, Path(target))
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
