"""ONNX models through ONNX Runtime: what hepflow wrote runs on the same ragged inputs as lwtnn; others with inputs
declared by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hepflow.errors import NetworkError, nearest
from hepflow.networks import jsontext
from hepflow.networks.graph import InputNode, InputVariable, Output
from hepflow.networks.inputs import Batch, check_lengths, prepare
from hepflow.networks.lwtnn import read_variable
from hepflow.networks.onnx_file import CHECKSUM, RECORD, OnnxFile, read_onnx_file

__all__ = ["OnnxNetwork", "Tensor", "open_onnx"]

BLOCK = 1024
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Tensor:
    """An input or output tensor as the file declares it; an axis of no fixed size is None or a name."""

    name: str
    shape: tuple[int | str | None, ...]
    type: str


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """An ONNX model, ready to run.

    ``inputs``, ``input_sequences`` and ``outputs`` read like those of a ``Network``; for a model that hepflow did not
    write they follow from the tensors, or from ``declare``. ``tensors`` and ``results`` are what the file itself
    declares.
    """

    path: Path
    threads: int
    provider: str
    tensors: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    inputs: tuple[InputNode, ...]
    input_sequences: tuple[InputNode, ...]
    outputs: tuple[Output, ...]
    record: Mapping[str, Any]
    origin: str
    metadata: Mapping[str, str]
    described: Mapping[str, Any] | None
    session: Any = field(repr=False)

    def __reduce__(self) -> tuple[Callable[..., OnnxNetwork], tuple[Any, ...]]:
        declared = (self.inputs, self.input_sequences, self.outputs)
        return _reopen, (self.path, self.threads, self.provider, declared)

    def declare(
        self,
        inputs: Mapping[str, Sequence[str]] | None = None,
        input_sequences: Mapping[str, Sequence[str]] | None = None,
        labels: Mapping[str, Sequence[str]] | None = None,
    ) -> OnnxNetwork:
        """Return the model with variables named: for each tensor the names of its last axis, one row a tau or one row
        an object.

        ``labels`` names the columns of outputs. Raises NetworkError where names or sizes do not match the file.
        """
        groups = []
        known = {tensor.name: tensor for tensor in self.tensors}
        for given in (inputs or {}, input_sequences or {}):
            for name, variables in given.items():
                if name not in known:
                    raise NetworkError(
                        f"the ONNX model has no input {name!r}",
                        where=str(self.path),
                        hint=nearest(name, known, what="inputs"),
                    )
                size = known[name].shape[-1] if len(known[name].shape) > 1 else 1
                if isinstance(size, int) and size != len(variables):
                    raise NetworkError(
                        f"ONNX input {name!r} takes {size} variables, {len(variables)} are declared",
                        where=str(self.path),
                    )
            groups.append(
                tuple(InputNode(name, tuple(InputVariable(v) for v in variables)) for name, variables in given.items())
            )
        left = [name for name in known if name not in {group.name for held in groups for group in held}]
        if left:
            raise NetworkError(
                f"ONNX input {left[0]!r} is not declared", where=str(self.path), hint=_list_tensors(self.tensors)
            )
        outputs = tuple(self._named(output, labels or {}) for output in self.outputs)
        for name in labels or {}:
            if name not in {output.name for output in outputs}:
                raise NetworkError(
                    f"the ONNX model has no output {name!r}",
                    hint=nearest(name, (o.name for o in outputs), what="outputs"),
                )
        return replace(self, inputs=groups[0], input_sequences=groups[1], outputs=outputs, described=None)

    def _named(self, output: Output, labels: Mapping[str, Sequence[str]]) -> Output:
        names = tuple(labels.get(output.name, output.labels))
        size = self.results[output.node].shape[-1] if len(self.results[output.node].shape) > 1 else 1
        if isinstance(size, int) and size != len(names):
            raise NetworkError(
                f"ONNX output {output.name!r} has {size} values, {len(names)} labels are given", where=str(self.path)
            )
        return Output(output.name, output.node, names)

    def sequence_of(self, output: Output) -> tuple[str, int] | None:
        """Return the input sequence whose objects an output has a row for, and how many objects of each tau it loses
        at most.
        """
        entry = None if self.described is None else self.described["outputs"][output.node]["sequence"]
        return None if entry is None else (entry[0], entry[1])

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the model once on tensors as the file declares them; raises NetworkError where they do not match."""
        try:
            found = self.session.run(None, dict(feeds))
        except Exception as error:  # ONNX Runtime has one exception class for each kind of failure
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NetworkError(
                f"ONNX Runtime: {first[:300]}", where=str(self.path), hint=_list_tensors(self.tensors)
            ) from error
        return {tensor.name: np.asarray(values) for tensor, values in zip(self.results, found, strict=True)}

    @property
    def used_inputs(self) -> tuple[InputNode, ...]:
        """The scalar inputs that a run needs: all."""
        return self.inputs

    @property
    def used_sequences(self) -> tuple[InputNode, ...]:
        """The sequences that a run needs: all."""
        return self.input_sequences

    def evaluate(
        self, inputs: Mapping[str, Any], sequences: Mapping[str, Any] | None = None, *, dtype: DTypeLike = np.float32
    ) -> dict[str, NDArray[np.floating]]:
        """Evaluate many taus; inputs and outputs have the form described at ``Evaluator.__call__``.

        Sequences of a model that hepflow did not write are never padded: taus with equal numbers of objects run
        together, and a sequence tensor without batch axis runs tau by tau. Raises NetworkError where inputs do not
        fit, and for float64.
        """
        if np.dtype(dtype) != np.float32:
            raise NetworkError(
                "an ONNX model computes in the precision it was written in",
                where=str(self.path),
                hint="float64 is for lwtnn networks",
            )
        batch = prepare(inputs, sequences, (self.inputs, self.input_sequences))
        missing = [
            t.name for t in self.tensors if self.described is None and t.name not in {*batch.scalars, *batch.sequences}
        ]
        if missing:
            raise NetworkError(
                f"ONNX input {missing[0]!r} has no named variables",
                where=str(self.path),
                hint="declare the variables of every input",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            return self._evaluate_padded(batch) if self.described is not None else self._evaluate_grouped(batch)

    def _evaluate_padded(self, batch: Batch) -> dict[str, NDArray[np.floating]]:
        """Run a model of hepflow block by block, sequences padded to the longest of the block."""
        assert self.described is not None
        entries = self.described["input_sequences"]
        check_lengths(batch, {entry["name"]: entry["shortest"] for entry in entries if "shortest" in entry})
        starts = {name: np.concatenate(([0], np.cumsum(counts))) for name, counts in batch.counts.items()}
        parts: dict[str, list[NDArray[Any]]] = {output.name: [] for output in self.outputs}
        for first in range(0, max(batch.n_taus, 1), BLOCK):
            end = min(first + BLOCK, batch.n_taus)
            feeds: dict[str, NDArray[Any]] = {}
            for entry in self.described["inputs"]:
                feeds[entry["tensor"]] = batch.scalars[entry["name"]][first:end].astype(np.float32)
            for entry in self.described["input_sequences"]:
                name = entry["name"]
                counts = batch.counts[name][first:end]
                values = batch.sequences[name][starts[name][first] : starts[name][end]]
                feeds[entry["tensor"]], feeds[entry["counts"]] = _padded(values, counts), counts
            found = self.run(feeds) if end > first else {}
            for output, entry in zip(self.outputs, self.described["outputs"], strict=True):
                if found:
                    values = found[entry["tensor"]]
                    if entry["sequence"] is not None:
                        name, lost = entry["sequence"]
                        values = values[_real(np.maximum(batch.counts[name][first:end] - lost, 0), values.shape[1])]
                    parts[output.name].append(values)
        empty = {output.name: np.empty((0, len(output.labels)), np.float32) for output in self.outputs}
        return {name: np.concatenate(held) if held else empty[name] for name, held in parts.items()}

    def _evaluate_grouped(self, batch: Batch) -> dict[str, NDArray[np.floating]]:
        """Run a foreign model: taus with the same numbers of objects together, so that nothing is padded."""
        tensors = {tensor.name: tensor for tensor in self.tensors}
        single = any(len(tensors[name].shape) < 3 for name in batch.sequences) or any(
            t.shape and t.shape[0] == 1 for t in self.tensors
        )
        results = {o.name: np.empty((batch.n_taus, len(o.labels)), np.float32) for o in self.outputs}
        for taus in _groups(batch, single):
            feeds: dict[str, NDArray[Any]] = {}
            for name, values in batch.scalars.items():
                feeds[name] = _shaped(values[taus], tensors[name])
            for name, values in batch.sequences.items():
                counts = batch.counts[name]
                starts = np.cumsum(counts) - counts
                objects = starts[taus][:, None] + np.arange(int(counts[taus[0]]))
                feeds[name] = _shaped(values[objects], tensors[name])
            found = self.run(feeds)
            for output in self.outputs:
                results[output.name][taus] = self._rows(output, found[output.name], taus.size)
        return results

    def _rows(self, output: Output, values: NDArray[Any], taus: int) -> NDArray[Any]:
        if values.size != taus * len(output.labels):
            raise NetworkError(
                f"ONNX output {output.name!r} has the shape {values.shape}, expected {taus} taus × "
                f"{len(output.labels)} labels",
                where=str(self.path),
            )
        return values.reshape(taus, len(output.labels))


def open_onnx(
    path: str | Path, content: bytes | None = None, *, threads: int = 1, provider: str = "CPUExecutionProvider"
) -> OnnxNetwork:
    """Open an ONNX model with ONNX Runtime.

    Raises NetworkError where the file is damaged, reads data outside its folder, or the provider is not available.
    """
    path = Path(path)
    file = read_onnx_file(jsontext.read_bytes(path) if content is None else content, path)
    if CHECKSUM in file.metadata and file.metadata[CHECKSUM] != file.digest:
        raise NetworkError(
            "the ONNX model was changed after hepflow wrote it, or is damaged",
            hint="its checksum does not fit; convert it again",
        )
    session = _session(path, threads, provider)
    tensors = tuple(Tensor(t.name, tuple(t.shape), t.type) for t in session.get_inputs())
    results = tuple(Tensor(t.name, tuple(t.shape), t.type) for t in session.get_outputs())
    common = {
        "path": path,
        "threads": threads,
        "provider": provider,
        "tensors": tensors,
        "results": results,
        "session": session,
        "metadata": file.metadata,
    }
    if RECORD in file.metadata:
        return OnnxNetwork(**common, **_described(file, tensors, results))
    inputs = tuple(_group(t) for t in tensors if len(t.shape) in (1, 2) and _size(t) is not None)
    sequences = tuple(_group(t) for t in tensors if len(t.shape) == 3 and _size(t) is not None)
    outputs = tuple(Output(t.name, number, _labels(t)) for number, t in enumerate(results))
    return OnnxNetwork(
        **common, inputs=inputs, input_sequences=sequences, outputs=outputs, record={}, origin="ONNX", described=None
    )


def _reopen(path: Path, threads: int, provider: str, declared: tuple[Any, Any, Any]) -> OnnxNetwork:
    inputs, sequences, outputs = declared
    opened = open_onnx(path, threads=threads, provider=provider)
    return replace(opened, inputs=inputs, input_sequences=sequences, outputs=outputs)


def _session(path: Path, threads: int, provider: str) -> Any:
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise NetworkError(
            f"ONNX Runtime has no provider {provider!r}", hint=nearest(provider, available, what="providers")
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.enable_mem_pattern = False  # shapes vary from block to block
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # ONNX Runtime has one exception class for each kind of failure
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NetworkError(f"ONNX Runtime cannot open the model: {first[:300]}") from error


def _described(file: OnnxFile, tensors: tuple[Tensor, ...], results: tuple[Tensor, ...]) -> dict[str, Any]:
    """Read hepflow's description of a model and check it against the tensors."""
    data = jsontext.parse_json(file.metadata[RECORD].encode())
    groups: dict[str, tuple[InputNode, ...]] = {}
    wanted: set[str] = set()
    for key in ("inputs", "input_sequences"):
        held = []
        for entry in jsontext.section(data, key, list, "the description"):
            name = jsontext.section(entry, "name", str, "an input")
            variables = [
                read_variable(v, f"input {name!r}")
                for v in jsontext.section(entry, "variables", list, f"input {name!r}")
            ]
            wanted.add(jsontext.section(entry, "tensor", str, f"input {name!r}"))
            if key == "input_sequences":
                wanted.add(jsontext.section(entry, "counts", str, f"input {name!r}"))
                jsontext.integer(entry.get("shortest", 0), f"shortest of input {name!r}")
            held.append(InputNode(name, tuple(variables)))
        groups[key] = tuple(held)
    outputs = []
    for number, entry in enumerate(jsontext.section(data, "outputs", list, "the description")):
        name = jsontext.section(entry, "name", str, "an output")
        if (
            jsontext.section(entry, "tensor", str, f"output {name!r}") not in {t.name for t in results}
            or "sequence" not in entry
        ):
            raise NetworkError(f"hepflow's description of output {name!r} does not fit the ONNX model")
        outputs.append(Output(name, number, tuple(jsontext.section(entry, "labels", list, f"output {name!r}"))))
    if wanted != {t.name for t in tensors}:
        raise NetworkError(
            "hepflow's description of the inputs does not fit the ONNX model", hint=_list_tensors(tensors)
        )
    record = jsontext.section(data, "record", dict, "the description")
    return {
        **groups,
        "outputs": tuple(outputs),
        "record": record,
        "origin": str(record.get("origin", "")),
        "described": data,
    }


def _size(tensor: Tensor) -> int | None:
    """Return the fixed size of the last axis, 1 for a tensor with one axis, None where it is open."""
    size = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    return size if isinstance(size, int) else None


def _group(tensor: Tensor) -> InputNode:
    return InputNode(tensor.name, tuple(InputVariable(f"{tensor.name}_{n}") for n in range(_size(tensor) or 0)))


def _labels(tensor: Tensor) -> tuple[str, ...]:
    return tuple(f"{tensor.name}_{n}" for n in range(_size(tensor) or 0))


def _list_tensors(tensors: tuple[Tensor, ...]) -> str:
    return "inputs: " + ", ".join(f"{t.name} {list(t.shape)} {t.type}" for t in tensors)


def _padded(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (n_taus, longest, n_variables), at least one object long, zeros behind the real objects."""
    longest = max(int(counts.max(initial=0)), 1)
    padded = np.zeros((counts.size, longest, values.shape[1]), np.float32)
    padded[_real(counts, longest)] = values
    return padded


def _real(counts: NDArray[np.int64], longest: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.arange(longest) < counts[:, None]
    return mask


def _groups(batch: Batch, single: bool) -> list[NDArray[np.int64]]:
    """Return the taus that can run together."""
    taus = np.arange(batch.n_taus)
    if single:
        return list(taus[:, None])
    if not batch.counts:
        return [taus[first : first + BLOCK] for first in range(0, batch.n_taus, BLOCK)]
    _, kinds = np.unique(np.stack(list(batch.counts.values()), axis=1), axis=0, return_inverse=True)
    order = np.argsort(kinds.ravel(), kind="stable")
    edges = np.flatnonzero(np.diff(kinds.ravel()[order])) + 1
    return [part[first : first + BLOCK] for part in np.split(order, edges) for first in range(0, part.size, BLOCK)]


def _shaped(values: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """Bring values (taus, …, variables) into the type and number of axes of a tensor."""
    if tensor.type not in _TYPES:
        raise NetworkError(f"ONNX input {tensor.name!r} holds {tensor.type}, not numbers")
    values = values.astype(_TYPES[tensor.type])
    axes = len(tensor.shape)
    if axes == 1 and values.ndim == 2:
        return values.ravel()
    if axes == 3 and values.ndim == 2:
        return values[:, None, :]
    return values[0] if axes == 2 and values.ndim == 3 else values
