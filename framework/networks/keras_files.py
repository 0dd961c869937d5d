"""Files of Keras models: ``.keras``, ``.h5`` with architecture and weights, and pairs of architecture and weights, of
Keras 2 and 3. Keras itself is not needed, and nothing in a file is run.
"""

from __future__ import annotations

import io
import math
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import Network
from hepflow.networks.hdf5 import Hdf5File
from hepflow.networks.keras_config import Weights, read_graph, snake_case
from hepflow.networks.keras_graph import KerasGraph, build
from hepflow.networks.keras_layers import CELLS, SEQUENCES, KerasLayer
from hepflow.networks.lwtnn import SEQUENTIAL_INPUT, SEQUENTIAL_OUTPUT

__all__ = ["ARCHIVE", "network_of", "read_h5", "read_keras", "read_keras2", "read_variables"]

ARCHIVE = b"PK\x03\x04"
"""What a ``.keras`` file, a zip, begins with."""
MAX_CONFIG = 32 * 1024**2
MAX_WEIGHTS = 512 * 1024**2
MAX_DIRECTORY = 1024**2
_END = b"PK\x05\x06"
_TREES = ("layers", "_layer_checkpoint_dependencies")
"""The group of a weights file that holds the layers, since Keras 2.12."""


def read_keras(path: str | Path, variables: dict[str, Any] | None = None) -> Network:
    """Make a network of a ``.keras`` file, written by Keras 2.12 or later; see ``from_keras`` for ``variables``.

    Raises NetworkError for a damaged file, and for what lwtnn cannot express.
    """
    content = jsontext.read_bytes(path)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.weights.h5"
        try:
            with _archive(content) as archive:
                config, metadata = (
                    jsontext.parse_json(_member(archive, name, MAX_CONFIG)) for name in ("config.json", "metadata.json")
                )
                weights.write_bytes(_member(archive, weights.name, MAX_WEIGHTS))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise NetworkError(f"the .keras file is damaged: {error}", hint="copy it again") from error
        version = str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""
        try:
            return network_of(config, version, weights, variables)
        except NetworkError as error:
            if error.where == str(weights):
                raise NetworkError(error.message, where=weights.name, hint=error.hint) from error
            raise


def read_h5(path: str | Path, variables: dict[str, Any] | None = None) -> Network:
    """Make a network of an HDF5 file with architecture and weights, ``model.save("model.h5")`` of Keras 2 or 3."""
    with Hdf5File(path) as file:
        if "model_config" not in file.attributes:
            raise NetworkError(
                "the HDF5 file holds no Keras model with its architecture",
                where=str(path),
                hint="of weights alone: hepflow convert architecture.json weights.h5 [variables.json] -o net.json",
            )
        config = jsontext.parse_json(file.attributes["model_config"].encode("utf-8", "replace"))
        return _network(config, file.attributes.get("keras_version", "2"), file, variables)


def read_keras2(architecture: str | Path, weights: str | Path, variables: str | Path | None = None) -> Network:
    """Make a network of architecture, weights and variables file; numbering and weights of Keras 2 are those of
    lwtnn's own converter.

    Raises NetworkError for a damaged file, a layer lwtnn cannot express, and weights or variables that do not fit.
    """
    config = _json(architecture)
    if not isinstance(config, dict) or config.get("class_name") not in ("Model", "Functional", "Sequential"):
        raise NetworkError(
            "the file is no Keras architecture", where=str(architecture), hint="write it with model.to_json()"
        )
    spec = None if variables is None else read_variables(variables)
    version = config.get("keras_version", "3" if "registered_name" in config else "2")
    try:
        return network_of(config, str(version), weights, spec)
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where or str(architecture), hint=error.hint) from error


def read_variables(path: str | Path) -> dict[str, Any]:
    """Return the content of a variables file; raises NetworkError where it holds something else."""
    data = _json(path)
    if not isinstance(data, dict):
        raise NetworkError(
            "the variables file holds no object",
            where=str(path),
            hint="it has the keys inputs, input_sequences and outputs",
        )
    return data


def network_of(
    config: Any,
    version: str,
    weights: str | Path,
    variables: dict[str, Any] | None,
    record: dict[str, Any] | None = None,
    sums: frozenset[str] = frozenset(),
) -> Network:
    """Make a network of a configuration, as Keras ``version`` wrote it, and a file of weights."""
    with Hdf5File(weights) as file:
        return _network(config, version, file, variables, record, sums)


def _network(
    config: Any,
    version: str,
    file: Hdf5File,
    variables: dict[str, Any] | None,
    record: dict[str, Any] | None = None,
    sums: frozenset[str] = frozenset(),
) -> Network:
    major = version.partition(".")[0]
    if major not in ("2", "3"):
        raise NetworkError(f"the model was written by Keras {version[:20] or 'of no version'}; 2 and 3 are read")
    tree = next((name for name in _TREES if name in file.names and f"{name}/vars" not in file.names), "")
    weights: _Tree | _Groups = _Tree(file, tree, config) if tree else _Groups(file)
    try:
        graph = read_graph(config, int(major), weights, sums)
        found = dict(record or {})
        found["versions"] = {**found.get("versions", {}), "keras": version}
        layers = {call.layer.name: call.layer for call in graph.calls.values()}
        folded = sorted(name for name, layer in layers.items() if layer.work.kind == "batchnormalization")
        found["keras"] = {"parameters": weights.parameters(), **({"folded": folded} if folded else {})}
        sequential = config["class_name"] == "Sequential"
        spec = _as_graph(variables, graph) if sequential and variables is not None else variables
        return build(graph, spec, found, f"Keras {major} model")
    except RecursionError as error:
        raise NetworkError("the Keras configuration is nested too deep") from error


def _json(path: str | Path) -> Any:
    try:
        return jsontext.parse_json(jsontext.read_bytes(path))
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where or str(path), hint=error.hint) from error


def _as_graph(spec: dict[str, Any], graph: KerasGraph) -> dict[str, Any]:
    """Bring the variables file of sequential models (inputs, class_labels) into the form for graphs."""
    if "class_labels" not in spec:
        return spec
    group = [{"name": SEQUENTIAL_INPUT, "variables": spec.get("inputs")}]
    sequence = graph.calls[graph.inputs[0]].sequence or any(
        call.layer.kind in SEQUENCES for call in graph.calls.values()
    )
    return {
        "inputs": [] if sequence else group,
        "input_sequences": group if sequence else [],
        "outputs": [{"name": SEQUENTIAL_OUTPUT, "labels": spec["class_labels"]}],
    }


# ------------------------------------------------------------------------------------------------------------ archive


def _archive(content: bytes) -> zipfile.ZipFile:
    """Open a zip whose directory is of a size that a model's may have."""
    end = content.rfind(_END, max(0, len(content) - 65_557))
    if end < 0 or len(content) < end + 22:
        raise zipfile.BadZipFile("its end is missing")
    if struct.unpack_from("<L", content, end + 12)[0] > MAX_DIRECTORY:
        raise zipfile.BadZipFile("it holds too many files")
    return zipfile.ZipFile(io.BytesIO(content))


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return one file of the archive, at most as large as it may be."""
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise NetworkError(
            f"the archive holds {name} {len(found)} times" if found else f"the archive holds no {name}",
            hint="is it a .keras file? hepflow reads what model.save(…) of Keras 2.12 or later writes",
        )
    if found[0].file_size > most or found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NetworkError(
            f"{name} in the archive would take {found[0].file_size / 1024**2:.0f} MB, more than any network needs"
            if found[0].file_size > most
            else f"{name} in the archive is compressed in an unknown way"
        )
    with archive.open(found[0]) as file:
        content = file.read(most + 1)
    if len(content) != found[0].file_size:
        raise zipfile.BadZipFile(f"{name} has another size than the archive says")
    return content


# ------------------------------------------------------------------------------------------------------------ weights


class _Tree(Weights):
    """Weights since Keras 2.12: ``layers/CLASS_NUMBER/vars/0``, numbered in the order of the layers."""

    def __init__(self, file: Hdf5File, tree: str, model: Any) -> None:
        self.file, self.tree = file, tree
        self.paths: dict[str, str] = {}
        used: dict[str, int] = {}
        config = model.get("config") if isinstance(model, dict) else None
        entries = config.get("layers") if isinstance(config, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get("config") if isinstance(entry, dict) else None
            if isinstance(inner, dict):
                kind = snake_case(str(entry.get("class_name")))
                used[kind] = used.get(kind, -1) + 1
                name = str(entry.get("name") or inner.get("name"))
                self.paths[name] = f"{tree}/{kind}_{used[kind]}" if used[kind] else f"{tree}/{kind}"

    def of(self, layer: KerasLayer) -> dict[str, NDArray[np.float64]]:
        """Return the weights of a layer by name."""
        wanted, path = layer.work.variables(), self.paths.get(layer.name, "")
        if not wanted:
            return {}
        own = self.file.names.get(f"{path}/vars")
        if own not in (None, layer.name):
            raise NetworkError(f"the weights of the Keras layer {layer.name!r} are those of {own!r}")
        inside = f"{path}/{'layer/' if layer.inner else 'cell/' if layer.kind in CELLS else ''}vars/"
        held = sum(name.startswith(inside) for name in (*self.file.datasets, *self.file.odd))
        if held != len(wanted):
            raise layer.refuse(f"it has {held} arrays of weights, not {len(wanted)} ({', '.join(wanted)})")
        return dict(zip(wanted, self.file.read([f"{inside}{n}" for n in range(held)]), strict=True))

    def parameters(self) -> int:
        """Return the number of weights of all layers."""
        return _count(self.file, lambda path: path.startswith(f"{self.tree}/") and "/seed_generator/" not in path)


class _Groups(Weights):
    """Weights by name in a group a layer, as in all files of Keras 2 and in ``.h5`` of Keras 3."""

    def __init__(self, file: Hdf5File) -> None:
        self.file = file
        odd = file.odd.get("model_weights")
        if odd:
            raise NetworkError(f"the weights cannot be read: the group 'model_weights' {odd}", where=str(file.path))
        self.root = "model_weights/" if "model_weights" in file.names else ""

    def of(self, layer: KerasLayer) -> dict[str, NDArray[np.float64]]:
        """Return the weights of a layer by name, which is the last part of the path without TensorFlow's ``:0``."""
        if layer.work.config.get("lora_rank"):
            raise layer.refuse("its LoRA weights stand beside its kernel", "save it as .keras, which adds them up")
        wanted, inside = layer.work.variables(), f"{self.root}{layer.name}"
        found: dict[str, str] = {}
        for path in (*self.file.datasets, *self.file.odd) if wanted else ():
            name = path.rpartition("/")[2].partition(":")[0]
            if path.startswith(f"{inside}/") and name in wanted:
                if name in found:
                    raise layer.refuse(f"it has two arrays of weights called {name}")
                found[name] = path
            elif inside == path or inside.startswith(f"{path}/"):
                self.file.read([path])  # which says why the group is not read
        return dict(zip(found, self.file.read(list(found.values())), strict=True))

    def parameters(self) -> int:
        """Return the number of weights of all layers."""
        return _count(self.file, lambda path: path.startswith(self.root) and not path.startswith("optimizer_weights"))


def _count(file: Hdf5File, counts: Callable[[str], bool]) -> int:
    return sum(math.prod(shape) for path, shape in file.datasets.items() if counts(path))
