"""ONNX models through ONNX Runtime: what hepflow wrote runs on the same ragged inputs as lwtnn; others with inputs
declared by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hepflow.errors import NetworkError, nearest
from hepflow.networks import jsontext
from hepflow.networks.describing import Shown
from hepflow.networks.graph import InputNode, InputVariable, Output, unique
from hepflow.networks.inputs import Batch, check_lengths, prepare
from hepflow.networks.onnx_checks import GraphFacts, check_graph
from hepflow.networks.onnx_file import CHECKSUM, RECORD, read_onnx_file
from hepflow.networks.onnx_layout import (
    BATCH,
    OBJECTS,
    TYPES,
    VARIABLES,
    Layout,
    Tensor,
    declared_layout,
    list_tensors,
    possible_layouts,
)
from hepflow.networks.onnx_record import read_record
from hepflow.networks.onnx_session import LimitError, open_session, run_session
from hepflow.networks.onnx_trial import Trial, try_out

__all__ = ["OnnxNetwork", "open_onnx", "with_provider"]

BLOCK = 1024
MAX_NAMED = 10_000
"""Most variables of a tensor that get names by themselves."""


@dataclass(frozen=True, eq=False)
class OnnxNetwork(Shown):
    """An ONNX model, ready to run.

    ``inputs``, ``input_sequences`` and ``outputs`` read like those of a ``Network``; for a model that hepflow did not
    write they follow from the tensors, or from ``declare``. ``tensors`` and ``results`` are what the file itself
    declares, ``trial`` what trying it out found, and ``problem`` why the model cannot be run before its inputs
    are declared.
    """

    path: Path
    threads: int
    provider: str
    tensors: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    facts: GraphFacts
    metadata: Mapping[str, str]
    session: Any = field(repr=False)
    inputs: tuple[InputNode, ...] = ()
    input_sequences: tuple[InputNode, ...] = ()
    outputs: tuple[Output, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "ONNX"
    described: Mapping[str, Any] | None = None
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    trial: Trial = field(default_factory=Trial)
    problem: NetworkError | None = None

    def __reduce__(self) -> tuple[Callable[..., OnnxNetwork], tuple[Any, ...]]:
        named = ("inputs", "input_sequences", "outputs", "layouts", "masks", "trial", "problem")
        return _reopen, (self.path, self.threads, self.provider, {name: getattr(self, name) for name in named})

    @functools.cached_property
    def batch_size(self) -> int | None:
        """Number of taus that a foreign model takes at a time: 1 where a tensor has no axis for them, None if open."""
        sizes = {layout.fixed(BATCH) for layout in self.layouts.values()} - {None}
        return None if not sizes else min(size for size in sizes if size is not None)

    @property
    def single(self) -> bool:
        """Tell whether taus run one by one."""
        return self.batch_size == 1

    def declare(
        self,
        inputs: Mapping[str, Sequence[str]] | None = None,
        input_sequences: Mapping[str, Sequence[str]] | None = None,
        labels: Mapping[str, Sequence[str]] | None = None,
        *,
        axes: Mapping[str, Sequence[str]] | None = None,
        masks: Mapping[str, str] | None = None,
    ) -> OnnxNetwork:
        """Return the model with variables named: for each tensor its variables, one row a tau or one row an object.

        ``labels`` names outputs that are wanted and their values; by default all that can be used are. ``axes`` says
        what the axes of an input are, in order, of ``batch``, ``objects``, ``variables``, ``1``, where sizes do not
        tell. ``masks`` maps a tensor to the sequence whose real objects it marks with 1 (or counts, if it has no axis
        for objects). The model is tried out; raises NetworkError where names, axes or sizes do not fit it.
        """
        labels = labels or {}
        for name in labels:
            if name not in {tensor.name for tensor in self.results}:
                raise NetworkError(
                    f"the ONNX model has no output {name!r}",
                    where=str(self.path),
                    hint=nearest(name, (t.name for t in self.results), what="outputs"),
                )
            unique(labels[name], f"output {name!r}: label")
        if self.described is not None:
            if inputs or input_sequences or axes or masks:
                raise NetworkError(
                    "hepflow wrote this ONNX model, which names its inputs itself",
                    where=str(self.path),
                    hint="declare nothing but labels",
                )
            chosen = tuple(self._relabelled(o, labels) for o in self.outputs if not labels or o.name in labels)
            return replace(self, outputs=chosen)
        try:
            return self._declared(inputs or {}, input_sequences or {}, labels, axes or {}, masks or {})
        except NetworkError as error:
            raise NetworkError(error.message, where=str(self.path), hint=error.hint) from error

    def _relabelled(self, output: Output, labels: Mapping[str, Sequence[str]]) -> Output:
        names = tuple(labels.get(output.name, output.labels))
        if len(names) != len(output.labels):
            raise NetworkError(
                f"ONNX output {output.name!r} has {len(output.labels)} values, {len(names)} labels are given",
                where=str(self.path),
            )
        return Output(output.name, output.node, names)

    def _declared(
        self,
        inputs: Mapping[str, Sequence[str]],
        sequences: Mapping[str, Sequence[str]],
        labels: Mapping[str, Sequence[str]],
        axes: Mapping[str, Sequence[str]],
        masks: Mapping[str, str],
    ) -> OnnxNetwork:
        known = {tensor.name: tensor for tensor in self.tensors}
        given = [*inputs, *sequences, *masks]
        for name in (*given, *axes):
            if name not in known:
                raise NetworkError(f"the ONNX model has no input {name!r}", hint=nearest(name, known, what="inputs"))
        unique(given, "ONNX input")
        if missing := [name for name in known if name not in given]:
            raise NetworkError(f"ONNX input {missing[0]!r} is not declared", hint=list_tensors(self.tensors))
        possible: dict[str, list[Layout]] = {}
        for name in given:
            variables = inputs.get(name, sequences.get(name, ("1",)))
            unique(variables, f"input {name!r}: variable")
            if name in masks and masks[name] not in sequences:
                hint = nearest(masks[name], sequences, what="sequences")
                raise NetworkError(f"the mask {name!r} belongs to no sequence {masks[name]!r}", hint=hint)
            tensor, counts = known[name], name in masks and len(known[name].shape) == 1
            kind = name not in inputs and not counts
            if name in axes:
                possible[name] = [declared_layout(tensor, axes[name], len(variables), sequence=kind)]
            else:
                possible[name] = possible_layouts(tensor, len(variables), sequence=kind)
        named = replace(
            self,
            inputs=tuple(InputNode(n, tuple(map(InputVariable, v))) for n, v in inputs.items()),
            input_sequences=tuple(InputNode(n, tuple(map(InputVariable, v))) for n, v in sequences.items()),
            masks=dict(masks),
            problem=None,
        )
        return named._chosen(possible, labels)

    def _chosen(self, possible: Mapping[str, Sequence[Layout]], labels: Mapping[str, Sequence[str]]) -> OnnxNetwork:
        """Return the model with the layouts under which it runs; NetworkError where several are left."""
        made = []
        first: NetworkError | None = None
        for turned in (False, True) if any(len(held) > 1 for held in possible.values()) else (False,):
            layouts = {name: held[-1 if turned else 0] for name, held in possible.items()}
            try:
                made.append(replace(self, layouts=layouts)._tried(labels))
            except NetworkError as error:
                first = first or error
        if len(made) > 1:
            name = next(name for name, held in possible.items() if len(held) > 1)
            raise NetworkError(
                f"nothing tells which axis of ONNX input {name!r} are the variables",
                hint=f"declare its axes in order (Axes), for example {', '.join(possible[name][0].axes)}",
            )
        if not made:
            assert first is not None
            raise first
        return made[0]

    def _tried(self, labels: Mapping[str, Sequence[str]]) -> OnnxNetwork:
        trial = try_out(self, labels)
        for name in labels:
            if name in trial.left:
                raise NetworkError(f"ONNX output {name!r} {trial.left[name]}", hint=self._axes())
        if not trial.holds:
            reasons = "; ".join(f"{name} {reason}" for name, reason in trial.left.items())
            raise NetworkError(f"the ONNX model has no output that hepflow can use: {reasons}", hint=self._axes())
        sizes = {name: held.size for name, held in trial.holds.items()}
        outputs = tuple(
            Output(t.name, number, tuple(labels.get(t.name, (f"{t.name}_{n}" for n in range(sizes[t.name])))))
            for number, t in enumerate(self.results)
            if t.name in sizes
        )
        return replace(self, outputs=outputs, trial=trial)

    def _axes(self) -> str:
        """Return what the axes of the inputs are taken for."""
        taken = "; ".join(f"{name}: {', '.join(layout.axes)}" for name, layout in self.layouts.items())
        return f"the axes of the inputs are taken as {taken}; declare them (Axes) if they are others"

    def sequence_of(self, output: Output) -> tuple[str, int] | None:
        """Return the input sequence whose objects an output has a row for, and how many objects of each tau it loses
        at most.
        """
        if self.described is None:
            sequence = self.trial.holds[output.name].sequence
            return (sequence, 0) if sequence else None
        entry = self.described["outputs"][output.node]["sequence"]
        return None if entry is None else (entry[0], entry[1])

    def longest(self, sequence: str) -> int | None:
        """Return how many objects of a sequence the model takes at most; None for any number."""
        return self.layouts[sequence].fixed(OBJECTS) if sequence in self.layouts else None

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Run the model once on tensors as the file declares them; raises NetworkError where they do not match.

        Only the named outputs are calculated, by default all.
        """
        names = list(outputs) or [tensor.name for tensor in self.results]
        try:
            return run_session(self.session, names, dict(feeds), limited=self.facts.loops)
        except NetworkError as error:
            raise error.but(where=str(self.path), hint=list_tensors(self.tensors)) from error

    @property
    def used_inputs(self) -> tuple[InputNode, ...]:
        """The scalar inputs that a run needs: all."""
        return self.inputs

    @property
    def used_sequences(self) -> tuple[InputNode, ...]:
        """The sequences that a run needs: all."""
        return self.input_sequences

    format = "ONNX"
    n_parameters = None

    @property
    def graph(self) -> tuple[str, ...]:
        """One line a tensor, then what must be declared."""
        from hepflow.networks.describing import tensors

        return tensors(self)

    def evaluate(
        self, inputs: Mapping[str, Any], sequences: Mapping[str, Any] | None = None, *, dtype: DTypeLike | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Evaluate many taus; inputs and outputs have the form described at ``Evaluator.__call__``.

        Of a model that hepflow did not write: taus with equal numbers of objects run together, so that a sequence is
        padded (with zeros) only where the model fixes its length; a model without batch axis runs tau by tau. A tau
        gets NaN where the model has no value for it: ONNX Runtime refuses so few objects, or would drop a NaN of the
        inputs. Raises NetworkError where inputs do not fit, and for float64.
        """
        if dtype is not None and np.dtype(dtype) != np.float32:
            raise NetworkError(
                "an ONNX model computes in the precision it was written in",
                where=str(self.path),
                hint="float64 is for lwtnn networks",
            )
        if self.problem is not None:
            raise self.problem
        batch = prepare(inputs, sequences, (self.inputs, self.input_sequences))
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._evaluate_padded(batch) if self.described is not None else self._evaluate_grouped(batch)
            self._spread_nan(batch, found)
        return found

    def _evaluate_padded(self, batch: Batch) -> dict[str, NDArray[np.floating]]:
        """Run a model of hepflow block by block, sequences padded to the longest of the block."""
        assert self.described is not None
        entries = self.described["input_sequences"]
        check_lengths(batch, {entry["name"]: entry["shortest"] for entry in entries if "shortest" in entry})
        parts: dict[str, list[NDArray[Any]]] = {output.name: [] for output in self.outputs}
        for first in range(0, batch.n_taus, BLOCK):
            for name, values in self._padded_block(batch, first, min(first + BLOCK, batch.n_taus)):
                parts[name].append(values)
        empty = {output.name: np.empty((0, len(output.labels)), np.float32) for output in self.outputs}
        return {name: np.concatenate(held) if held else empty[name] for name, held in parts.items()}

    def _padded_block(self, batch: Batch, first: int, end: int) -> list[tuple[str, NDArray[Any]]]:
        """Return the outputs of the taus from ``first`` to ``end``; a block that takes too much memory is halved."""
        assert self.described is not None
        feeds: dict[str, NDArray[Any]] = {}
        for entry in self.described["inputs"]:
            feeds[entry["tensor"]] = batch.scalars[entry["name"]][first:end].astype(np.float32)
        for entry in self.described["input_sequences"]:
            name = entry["name"]
            counts = batch.counts[name][first:end]
            start = int(batch.counts[name][:first].sum())
            values = batch.sequences[name][start : start + int(counts.sum())]
            feeds[entry["tensor"]], feeds[entry["counts"]] = _padded(values, counts), counts
        entries = [self.described["outputs"][output.node] for output in self.outputs]
        try:
            found = self.run(feeds, [entry["tensor"] for entry in entries])
        except LimitError:
            if end - first == 1:
                raise
            middle = (first + end) // 2
            return self._padded_block(batch, first, middle) + self._padded_block(batch, middle, end)
        made = []
        for output, entry in zip(self.outputs, entries, strict=True):
            values, axes = found[entry["tensor"]], (end - first, len(output.labels))
            if entry["sequence"] is not None:
                name, lost = entry["sequence"]
                real = np.maximum(batch.counts[name][first:end] - lost, 0)
                if values.ndim == 3 and values.shape[1] >= real.max(initial=0):
                    values, axes = values[_real(real, values.shape[1])], (int(real.sum()), axes[1])
            if values.shape != axes:
                raise NetworkError(f"output {output.name!r} has the shape {values.shape}, not {axes}")
            made.append((output.name, values))
        return made

    def _evaluate_grouped(self, batch: Batch) -> dict[str, NDArray[np.floating]]:
        """Run a foreign model: taus with the same numbers of objects together, so that nothing open is padded."""
        for name, counts in batch.counts.items():
            longest = self.longest(name)
            if longest is not None and counts.max(initial=0) > longest:
                raise NetworkError(
                    f"ONNX input {name!r} takes {longest} objects, a row has {counts.max()}",
                    where=str(self.path),
                    hint="keep the first of them",
                )
        for first, *others in self.trial.tied:
            for name in others:
                if not np.array_equal(batch.counts[first], batch.counts[name]):
                    raise NetworkError(
                        f"the ONNX inputs {first!r} and {name!r} are of the same objects, but their numbers differ",
                        where=str(self.path),
                    )
        results: dict[str, NDArray[Any]] = {}
        for output in self.outputs:
            sequence = self.trial.holds[output.name].sequence
            rows = int(batch.counts[sequence].sum()) if sequence else batch.n_taus
            kind = np.result_type(TYPES.get(self.results[output.node].type, np.float32), np.float32)
            results[output.name] = np.full((rows, len(output.labels)), np.nan, kind)
        for taus in self._groups(batch):
            for part, found in self._run_group(batch, taus):
                for output in self.outputs:
                    self._place(output, found[output.name], batch, part, results[output.name])
        return results

    def _groups(self, batch: Batch) -> list[NDArray[np.int64]]:
        """Return the taus that can run together."""
        size = self.batch_size or BLOCK
        taus = np.arange(batch.n_taus)
        counts = [batch.counts[g.name] for g in self.input_sequences if self.longest(g.name) is None]
        if not counts:
            return [taus[first : first + size] for first in range(0, batch.n_taus, size)]
        _, kinds = np.unique(np.stack(counts, axis=1), axis=0, return_inverse=True)
        order = np.argsort(kinds.ravel(), kind="stable")
        edges = np.flatnonzero(np.diff(kinds.ravel()[order])) + 1
        return [part[first : first + size] for part in np.split(order, edges) for first in range(0, part.size, size)]

    def _run_group(
        self, batch: Batch, taus: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Return the taus that the model has values for, and these; a group that takes too much memory is halved."""
        if any(batch.counts[name][taus[0]] < least for name, least in self.trial.least.items()):
            return []
        try:
            return [(taus, self.run_taus(batch, taus, [output.name for output in self.outputs]))]
        except LimitError:
            if taus.size == 1 or self.batch_size is not None:
                raise
            return [*self._run_group(batch, taus[: taus.size // 2]), *self._run_group(batch, taus[taus.size // 2 :])]

    def run_taus(self, batch: Batch, taus: NDArray[np.int64], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run a foreign model once, on taus with equal numbers of objects where these are open."""
        if self.batch_size is not None and self.batch_size > taus.size:
            taus = np.append(taus, np.repeat(taus[-1:], self.batch_size - taus.size))
        feeds: dict[str, NDArray[Any]] = {}
        for name, values in batch.scalars.items():
            feeds[name] = self.layouts[name].arrange(values[taus], (BATCH, VARIABLES))
        real: dict[str, NDArray[np.bool_]] = {}
        for name, values in batch.sequences.items():
            counts = batch.counts[name][taus]
            length = self.longest(name)
            real[name] = _real(counts, int(counts.max(initial=0)) if length is None else length)
            padded = np.zeros((*real[name].shape, values.shape[1]), values.dtype)
            padded[real[name]] = values[batch.objects(name, taus)]
            feeds[name] = self.layouts[name].arrange(padded, (BATCH, OBJECTS, VARIABLES))
        for name, sequence in self.masks.items():
            if OBJECTS in self.layouts[name].axes:
                feeds[name] = self.layouts[name].arrange(real[sequence][:, :, None], (BATCH, OBJECTS, VARIABLES))
            else:
                feeds[name] = self.layouts[name].arrange(real[sequence].sum(axis=1)[:, None], (BATCH, VARIABLES))
        return self.run(feeds, outputs)

    def _place(
        self, output: Output, values: NDArray[Any], batch: Batch, taus: NDArray[np.int64], result: NDArray[Any]
    ) -> None:
        """Write the values of some taus, or of their objects, into the result."""
        held = self.trial.holds[output.name]
        n_taus, size = max(taus.size, self.batch_size or 0), len(output.labels)
        if not held.sequence:
            expected, rows = n_taus * size, taus
        else:
            counts = batch.counts[held.sequence][taus]
            length = self.longest(held.sequence)
            expected = n_taus * size * (int(counts.max(initial=0)) if length is None else length)
            rows = batch.objects(held.sequence, taus)
        if values.size != expected:
            raise NetworkError(
                f"ONNX output {output.name!r} has the shape {values.shape}, expected {expected} values",
                where=str(self.path),
            )
        if held.sequence:
            values = np.moveaxis(values, held.axis, held.inner)
            values = (
                values.reshape(n_taus, -1, size)[: taus.size] if values.size else values.reshape(taus.size, 0, size)
            )
            result[rows] = values[_real(counts, values.shape[1])]
        else:
            result[rows] = values.reshape(n_taus, size)[: taus.size]

    def _spread_nan(self, batch: Batch, found: Mapping[str, NDArray[Any]]) -> None:
        """Set outputs to NaN where ONNX Runtime drops a NaN of the inputs on the way to them."""
        lost = self._with_nan(batch)
        for output in self.outputs if lost else ():
            tensor = self.results[output.node].name
            whole = {t.name for t in self.tensors if np.dtype(TYPES.get(t.type, np.float32)).kind != "f"}
            reaching = self.facts.drops_nan.get(tensor, frozenset()) | (
                self.facts.reached.get(tensor, frozenset()) & whole
            )
            for name, taus in lost.items():
                if name not in reaching:
                    continue
                sequence = self.sequence_of(output)
                if sequence is None:
                    found[output.name][taus] = np.nan
                else:
                    counts = np.maximum(batch.counts[sequence[0]] - sequence[1], 0)
                    found[output.name][np.repeat(taus, counts)] = np.nan

    def _with_nan(self, batch: Batch) -> dict[str, NDArray[np.bool_]]:
        """Return tensor → the taus that have a NaN in it for which the model has no default."""
        found = {}
        for key, groups, given in (
            ("inputs", self.inputs, batch.scalars),
            ("input_sequences", self.input_sequences, batch.sequences),
        ):
            for number, group in enumerate(groups):
                bare = [place for place, variable in enumerate(group.variables) if variable.default is None]
                values = given[group.name]
                if values.dtype.kind != "f" or not np.isnan(values).any():
                    continue
                wrong = np.isnan(values[:, bare]).any(axis=1)
                if key == "input_sequences":
                    owners = np.repeat(np.arange(batch.n_taus), batch.counts[group.name])
                    wrong = np.bincount(owners[wrong], minlength=batch.n_taus) > 0
                found[group.name if self.described is None else self.described[key][number]["tensor"]] = wrong
        return found


def open_onnx(
    path: str | Path, content: bytes | None = None, *, threads: int = 1, provider: str = "CPUExecutionProvider"
) -> OnnxNetwork:
    """Open an ONNX model with ONNX Runtime.

    A model that hepflow did not write gets names for its variables: tensor and number.

    Raises NetworkError where the file is damaged, reads data outside its folder, may run without end, or the provider
    is not available.
    """
    network = _opened(Path(path), content, threads, provider)
    if network.described is not None:
        return network
    sizes = {t.name: _variables(t.shape) for t in network.tensors}
    if all(isinstance(size, int) and size <= MAX_NAMED for size in sizes.values()):
        names = {name: [f"{name}_{n}" for n in range(int(size or 0))] for name, size in sizes.items()}
        single = any(t.shape[:1] == (1,) for t in network.tensors)  # then an open first axis are objects
        sequences = {
            t.name: names.pop(t.name)
            for t in network.tensors
            if len(t.shape) > 2 or (single and len(t.shape) == 2 and not isinstance(t.shape[0], int))
        }
        try:
            return network.declare(names, sequences)
        except NetworkError as error:
            problem = NetworkError(
                f"the inputs of the ONNX model must be declared: {error.message}", where=str(path), hint=error.hint
            )
    else:
        problem = NetworkError(
            "the inputs of the ONNX model must be declared", where=str(path), hint=list_tensors(network.tensors)
        )
    return replace(network, problem=problem)


def _opened(path: Path, content: bytes | None, threads: int, provider: str) -> OnnxNetwork:
    """Return the model with its tensors, not yet named unless hepflow wrote it."""
    content = jsontext.read_bytes(path) if content is None else content
    file = read_onnx_file(content, path)
    if RECORD in file.metadata and file.metadata.get(CHECKSUM) != file.digest:
        raise NetworkError(
            "the ONNX model was changed after hepflow wrote it, or is damaged",
            hint="its checksum does not fit (that of an earlier hepflow was another one); convert it again",
        )
    facts = check_graph(file)
    session = open_session(str(path) if file.external else content, threads, provider)
    try:
        tensors, results = (
            tuple(Tensor(t.name, tuple(_axis(axis) for axis in t.shape or ()), t.type) for t in held)
            for held in (session.get_inputs(), session.get_outputs())
        )
    except Exception as error:  # whatever a name or a type does to the binding
        raise NetworkError(f"the ONNX file is damaged: {type(error).__name__} in its inputs or outputs") from error
    network = OnnxNetwork(path, threads, provider, tensors, results, facts, file.metadata, session)
    if RECORD not in file.metadata:
        return replace(network, origin=f"ONNX of {file.producer}") if file.producer else network
    record = read_record(file.metadata[RECORD], *([t.name for t in held] for held in (tensors, results)))
    return replace(network, **record)


@functools.lru_cache(maxsize=4)
def with_provider(network: OnnxNetwork, provider: str) -> OnnxNetwork:
    """Return the same model on another execution provider; NetworkError where it is not available."""
    call, (path, threads, _, named) = network.__reduce__()
    return call(path, threads, provider, named)


def _variables(shape: tuple[int | str | None, ...]) -> int | str | None:
    """Return the size of the axis that is taken for the variables: the last one whose size is fixed, behind taus."""
    return next((size for size in reversed(shape[1:]) if isinstance(size, int)), None if len(shape) > 1 else 1)


def _axis(axis: Any) -> int | str | None:
    return axis if isinstance(axis, str) or (isinstance(axis, int) and axis > 0) else None


def _reopen(path: Path, threads: int, provider: str, named: Mapping[str, Any]) -> OnnxNetwork:
    return replace(_opened(path, None, threads, provider), **named)


def _padded(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (n_taus, longest, n_variables), at least one object long, zeros behind the real objects."""
    longest = max(int(counts.max(initial=0)), 1)
    padded = np.zeros((counts.size, longest, values.shape[1]), np.float32)
    padded[_real(counts, longest)] = values
    return padded


def _real(counts: NDArray[np.int64], longest: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.arange(longest) < counts[:, None]
    return mask
