"""The event loop: one work unit from the file to the results and output parts. A unit is a pure function of job, file
and range.
"""

from __future__ import annotations

import ctypes
import platform
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import numpy as np

import hepflow
from hepflow.context import Context, Sample
from hepflow.errors import ChangedError, HepflowError, InputError, ToolError, WorkerError
from hepflow.events import Access, Column, Events, Scope
from hepflow.events.export import note_unknown
from hepflow.events.scope import Cutflow, Group, Notes, Yields
from hepflow.execution.cache import FileCache
from hepflow.execution.code import changed
from hepflow.execution.doing import Doing
from hepflow.execution.lineage import Lineage
from hepflow.execution.normalisation import WEIGHTED
from hepflow.execution.plan import FileKind, Plan, PlannedFile, WorkUnit
from hepflow.execution.variants import Alternative, Variant, VariedResult, together, weigh
from hepflow.execution.varied import VariedFlow
from hepflow.expressions import Expression
from hepflow.files import sha256
from hepflow.io.opening import open_reader
from hepflow.io.stamp import Stamp, stamp_of
from hepflow.job import Job
from hepflow.normalisation import NORMALISATION, WEIGHT
from hepflow.protocols import ColumnInfo, Reader, Writer
from hepflow.stream import Stream
from hepflow.tool import Tool
from hepflow.variations import VARIATIONS

__all__ = ["Payload", "UnitResult", "Worker", "failure", "record_of"]

T = TypeVar("T")

OPEN_FILES = 4
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass(frozen=True)
class Payload:
    """What a worker needs to know; packed once, unpacked once a worker."""

    job: Job
    plan: Plan
    context: Context
    formats: tuple[type[Reader], ...]
    chunk: int
    parts: Path
    checksum: bool = False
    made: str = ""
    """Fingerprint of the run, for the entries of the ledger."""
    session: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    """What the tools and streams are made of (``made_of``)."""

    def tools(self) -> list[Tool]:
        """Return the tools that take part in the event loop, those of variations included."""
        varied = [tool for flow in self.plan.flow.variations.values() for tool in flow.variation.tools]
        return [tool for tool in (*self.job.all_tools(), *varied) if tool.has_loop]

    def pack(self) -> bytes:
        """Return the payload as bytes; what the job-option file defines goes along by value."""
        packed: bytes = cloudpickle.dumps(self)
        return packed

    @staticmethod
    def unpack(packed: bytes) -> Payload:
        """Return a payload of its own."""
        payload: Payload = cloudpickle.loads(packed)
        return payload


@dataclass
class UnitResult:
    """What one work unit gives: results by tool, cutflow, notes, output parts by stream, their sizes in bytes and,
    where they are asked for, their SHA-256. ``key`` is that of the unit.
    """

    key: str
    entries: int
    results: dict[str, Any] = field(default_factory=dict)
    cutflow: Cutflow = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)
    parts: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)


class Worker:
    """The worker's copy of a job, with its tools initialized and its files open from unit to unit."""

    def __init__(self, payload: Payload) -> None:
        _keep_memory()
        self.payload = payload
        self.job = payload.job
        self._doing = Doing(payload.parts)
        self._readers: dict[tuple[str, str], tuple[Reader, Stamp | None]] = {}
        self._numbers: dict[str, Any] = {}  # the normalisation of what the unit reads
        self._yields: Yields = {}
        self._varied: dict[str, VariedResult] = {}
        accesses = payload.plan.flow.access.values()
        made = {name for access in accesses for name in access.created}
        self._optional = {name.partition(".")[0] for access in accesses for name in access.optional} - made
        self._flows = payload.plan.flow.variations
        self._alternatives = {
            other: Alternative(name, sample)
            for name, flow in self._flows.items()
            for sample, other in flow.variation.samples.items()
        }
        for tool in payload.tools():
            tool.freeze()
            try:
                tool.prepare(payload.context)
            except (Exception, SystemExit) as error:
                raise failure(error, tool, None, "initialize") from error
        self._told = {tool.name: record for tool in self.job.all_tools() if (record := record_of(tool))}
        if other := changed(payload.code):
            raise WorkerError(
                f"this worker has another {', '.join(other)} than the run began with",
                where=platform.node(),
                hint="leave the code and the models of a job alone while it runs, or start anew with --force",
            )

    def attempt(self, unit: WorkUnit, report: Callable[[int], None] | None = None) -> UnitResult | HepflowError:
        """Do what ``run`` does, with the file or else one of its replicas; return the error of a unit that fails, with
        its file closed: it may be tried again.
        """
        errors: list[HepflowError] = []
        for path in (unit.file.path, *unit.file.replicas):
            file = replace(unit.file, path=path)
            try:
                try:
                    return self.run(replace(unit, file=file), report)
                except ToolError:
                    self._check_unchanged(file)  # what is read of one that changes can be anything
                    raise
            except HepflowError as error:
                self._close(path, self._kind(file).tree)
                errors.append(error)
                if not isinstance(error, InputError):
                    break
        return errors[-1] if not isinstance(errors[-1], InputError) else errors[0]

    def run(self, unit: WorkUnit, report: Callable[[int], None] | None = None) -> UnitResult:
        """Process one work unit; ``report`` is called with the number of entries after each chunk."""
        self._doing.begin(unit.key)
        results = self._start(None)
        outcome = UnitResult(unit.key, unit.entries, results=results)
        self._varied = {name: VariedResult(self._start(flow.again)) for name, flow in self._flows.items()}
        self._yields = {}
        self._numbers = _numbers(unit, counted=self._kind(unit.file).counted)
        writers: dict[str, Writer] = {}
        try:
            for scope, where in self._chunks(unit, outcome):
                self._process(scope, where, outcome, writers, unit)
                if report is not None:
                    report(scope.n_events)
            sample = self._kind(unit.file).sample
            if self._varied:
                self._keep_varied(sample, outcome)
                results = outcome.results
            if self._numbers or self._yields:
                sums = {name: self._numbers[name] for name in ("events", "sum_of_weights") if self._numbers}
                results[NORMALISATION] = {sample: {"numbers": sums, "yields": self._yields}}
            while writers:
                self._doing.at(f"stream {[*writers][-1]}")
                writers.popitem()[1].close()
        except BaseException:
            for writer in writers.values():
                _close_quietly(writer)
            for path in outcome.parts.values():
                path.unlink(missing_ok=True)
            raise
        outcome.parts = {name: _whole(path) for name, path in outcome.parts.items()}
        outcome.sizes = {name: path.stat().st_size for name, path in outcome.parts.items()}
        if self.payload.checksum:
            outcome.checksums = {name: sha256(path) for name, path in outcome.parts.items()}
        return outcome

    def _keep_varied(self, sample: str, outcome: UnitResult) -> None:
        """Add what the unit gives for each variation to its results; those of an alternative are the variation's, and
        the nominal has nothing of it.
        """
        stands = self._alternatives.get(sample)
        if stands is not None:
            own = VariedResult(outcome.results, outcome.cutflow, self._yields)
            outcome.results, outcome.cutflow, self._yields = self._start(None), {}, {}
            self._varied[stands.variation] = own
            sample = stands.sample
        else:
            for name, flow in self._flows.items():
                if flow.variation.samples and sample not in flow.variation.samples:
                    self._varied[name] = VariedResult.like(outcome.results, outcome.cutflow, self._yields)
        outcome.results[VARIATIONS] = {name: one.values(sample) for name, one in self._varied.items()}

    def _start(self, names: Collection[str] | None) -> dict[str, Any]:
        """Return the empty results of tools, of all or of these."""
        tools = [tool for tool in self.job.all_tools() if tool.has_loop and (names is None or tool.name in names)]
        return {tool.name: _guarded(tool, None, "start", tool.start) for tool in tools}

    def close(self) -> None:
        """Close the open files."""
        for key in [*self._readers]:
            self._close(*key)
        self._doing.close()

    def _close(self, path: str, tree: str) -> None:
        if (path, tree) in self._readers:
            with suppress(OSError):  # it was read
                self._readers.pop((path, tree))[0].close()

    def _metadata(self, stream: Stream, unit: WorkUnit, lineage: Lineage) -> dict[str, Any]:
        """Return how an output is made, with the records that its input brings and those of the job's tools."""
        kind = self._kind(unit.file)
        tools = dict(kind.records)
        for tool in [*self.job.tools, *stream.tools]:
            record = self._told.get(tool.name)
            if record is None:
                continue
            name, count = tool.name, 1
            while name in tools and tools[name] != record:  # an earlier job had a tool of this name
                count += 1
                name = f"{tool.name} ({count})"
            tools[name] = record
        own: dict[str, Any] = {"job": self.job.name, "stream": stream.name, "version": hepflow.__version__}
        told = {"simulation": kind.simulation, "energy_unit": kind.energy_unit}
        own |= {**{key: value for key, value in told.items() if value}, **lineage.told()}
        if kind.factor is not None:
            own[WEIGHTED] = True
        if self._numbers and kind.sample not in self._alternatives:
            own[NORMALISATION] = [self._numbers]  # the sums may still grow: a writer takes them when it closes
        return {**own, "tools": tools} if tools else own

    def _lineage(self, stream: Stream, scope: Scope, names: Sequence[str], unit: WorkUnit, cutflow: Cutflow) -> Lineage:
        """Return how the columns of an output came about; flags are passed on where it has all of them."""
        own, flow = self._kind(unit.file).lineage, self.payload.plan.flow
        chose = {tool for _, tool, *_ in cutflow}
        steps = own.after(self.job.name, [*self.job.tools, *stream.tools], flow.access, scope, chose)
        whole = not flow.flags and own.flags <= {*names}
        return replace(own, steps=steps) if whole else Lineage(steps)

    def _kind(self, file: PlannedFile) -> FileKind:
        return self.payload.plan.kinds[file.kind]

    def _reader(self, file: PlannedFile) -> Reader:
        """Return the reader of an input, which must be the one that was planned with; one that is open serves again
        where nobody has touched its file.
        """
        path, tree = file.path, self._kind(file).tree
        stamp = stamp_of(path)
        if stamp is not None and (changes := stamp.differs(file.size, file.mtime, file.ctime, file.identity)):
            raise self._changed(file, changes)
        if (path, tree) in self._readers and self._readers[path, tree][1] != stamp:
            self._close(path, tree)
        if (path, tree) not in self._readers:
            while len(self._readers) >= OPEN_FILES:
                self._close(*next(iter(self._readers)))
            reader = open_reader(path, self.payload.formats, tree)
            self._readers[path, tree] = reader, stamp
            if reader.identity != file.identity:
                raise self._changed(file, f"UUID {file.identity}, now {reader.identity}")
            self._check_unchanged(file)
        return self._readers[path, tree][0]

    def _check_unchanged(self, file: PlannedFile) -> None:
        """Raise ChangedError where an input is not what its reader has opened any more; others notice one that is
        gone.
        """
        before, now = self._readers.get((file.path, self._kind(file).tree), (None, None))[1], stamp_of(file.path)
        if before is not None and now is not None and now != before:
            raise self._changed(file, now.differs(*before[:4]) or "it is another file")

    def _changed(self, file: PlannedFile, changes: str) -> ChangedError:
        FileCache(self.payload.formats).forget(file.path, self._kind(file).tree)
        return ChangedError(
            f"this input was replaced or written to since the run looked into it: {changes}",
            where=file.path,
            hint="leave inputs alone while a run reads them; run again: it is looked into anew",
        )

    def _chunks(self, unit: WorkUnit, outcome: UnitResult) -> Iterator[tuple[Scope, str]]:
        """Yield the chunks of a unit: slices of blocks, each block read in one call."""
        file, kind = unit.file, self._kind(unit.file)
        wanted = [info for name, info in kind.columns.items() if name != WEIGHT]
        stands = self._alternatives.get(kind.sample)
        name = stands.sample if stands else kind.sample
        records = {tool: record for tool, record in kind.records.items() if tool not in self._told} | self._told
        sample = Sample(name, kind.metadata, records, kind.energy_unit, kind.factor)
        for start, stop, block in self._blocks(unit, wanted):
            for first in range(start, stop, self.payload.chunk) or [start]:  # one empty chunk of no entries
                last = min(first + self.payload.chunk, stop)
                columns = {name: column[first - start : last - start] for name, column in block.items()}
                numbered = first if kind.repeated else None
                scope = Scope.from_columns(
                    columns, last - first, sample=sample, seed=self.job.seed, first_entry=numbered
                )
                self._weigh(scope, kind, f"{file.path}, entries {first}–{last}")
                for container in self._optional:
                    if not scope.knows(container):  # nothing of it in this file: no objects, so all reads as missing
                        scope.define(container, Group(np.zeros(scope.n_events + 1, dtype=np.int64)))
                if self.payload.plan.flow.flags:
                    scope.restrict(kind.lineage.nominal)
                scope.cutflow, scope.notes, scope.yields = outcome.cutflow, outcome.notes, self._yields
                if stands:
                    stands.independent(scope)
                note_unknown(scope, columns)
                yield scope, f"{file.path}, entries {first}–{last}"
        self._doing.at("reading")
        self._check_unchanged(file)

    def _blocks(self, unit: WorkUnit, wanted: Sequence[ColumnInfo]) -> Iterator[tuple[int, int, Mapping[str, Column]]]:
        """Yield the columns of a unit in blocks (start, stop, columns); the file is opened where it is not."""
        file = unit.file
        where = f"{file.path}, entries {unit.start}–{unit.stop}"
        self._doing.at("reading")
        reader = _reading(where, lambda: self._reader(file))
        if not wanted:
            yield unit.start, unit.stop, {}
            return
        for start, stop in _reading(where, lambda: reader.blocks(wanted, unit.start, unit.stop)):
            self._doing.at("reading")
            yield start, stop, _reading(where, partial(reader.read, wanted, start, stop))

    def _weigh(self, scope: Scope, kind: FileKind, where: str) -> None:
        """Count the events of a chunk and their weights, and make the column of weights; before any selection."""
        if not kind.counted and kind.factor is None:
            return
        weights = np.ones(scope.n_events)
        if kind.weight:
            weights = np.asarray(Expression(kind.weight)(Events(scope)), dtype=np.float64)
        if not np.isfinite(weights).all():
            raise InputError(f"the weight {kind.weight} is missing or infinite for some events", where=where)
        if kind.counted:
            self._numbers["events"] += scope.n_events
            self._numbers["sum_of_weights"] += float(weights.sum())
        if kind.factor is not None:
            scope.define(WEIGHT.partition(".")[0], Group(None))
            scope.put(WEIGHT, Column(None, kind.factor * weights))

    def _process(
        self, scope: Scope, where: str, outcome: UnitResult, writers: dict[str, Writer], unit: WorkUnit
    ) -> None:
        kind = self._kind(unit.file)
        stands = self._alternatives.get(kind.sample)
        flows = {} if stands else {name: flow for name, flow in self._flows.items() if flow.place >= 0}
        variants = {name: Variant.of(flow, scope, self._varied[name]) for name, flow in flows.items()}
        varying = [one for one in variants.values() if self._varies(one.flow, kind)]
        for one in varying:
            if one.name in kind.lineage.varied and one.flow.flags:
                one.scope.restrict(one.flow.flags)
        for number, tool in enumerate([*self.job.tools, None]):
            for one in [one for one in varying if one.flow.place == number]:
                self._override(one, where)
            if tool is not None:
                self._step(tool, None, scope, variants, where, outcome)
        for stream in self.job.streams:
            inner = scope.child(stream.name)
            if stands:
                stands.independent(inner)
            inners = {name: one.within(inner) for name, one in variants.items() if self._concerns(one.flow, stream)}
            for tool in stream.tools:
                self._step(tool, stream, inner, inners, where, outcome)
            if stands:  # of the nominal file it has nothing
                inner.hide_events(np.zeros(inner.visible_events(), dtype=bool))
            self._write(stream, inner, inners, where, outcome, writers, unit)

    def _concerns(self, flow: VariedFlow, stream: Stream) -> bool:
        """Tell whether anything in a stream differs."""
        return stream.name in flow.columns or any(tool.name in flow.again for tool in stream.tools)

    def _varies(self, flow: VariedFlow, kind: FileKind) -> bool:
        """Tell whether a variation does anything in a file: data, and what lacks a column for it, are nominal."""
        settings = self.job.samples.get(kind.sample)
        there = flow.needs <= kind.columns.keys() | {WEIGHT}
        return there and not (settings is not None and settings.data)

    def _override(self, variant: Variant, where: str) -> None:
        """Override columns and weights in a variation."""
        flow = variant.flow
        for tool in flow.variation.tools:
            where_of = f"{where}, variation {variant.name}"
            self._execute(tool, None, variant.scope, where_of, flow.access[tool.name], tool.start())
        if flow.variation.weighs:
            weigh(variant.scope, flow, where)

    def _step(
        self, tool: Tool, stream: Stream | None, scope: Scope, variants: Mapping[str, Variant], where: str,
        outcome: UnitResult,
    ) -> None:  # fmt: skip
        """Execute a tool: first in the variations that depend on it, which read the nominal scope as it is before."""
        if not tool.has_loop:
            return
        access = self.payload.plan.flow.access[tool.name]
        again = [one for one in variants.values() if tool.name in one.flow.again]
        for one in again:
            results = one.result.results[tool.name]
            self._execute(tool, stream, one.scope, f"{where}, variation {one.name}", access, results)
            if tool.selects:
                one.scope.chosen()
        self._execute(tool, stream, scope, where, access, outcome.results[tool.name])
        for one in variants.values():
            if one not in again:
                one.scope.follow()

    def _execute(
        self, tool: Tool, stream: Stream | None, scope: Scope, where: str, access: Access, result: Any
    ) -> None:
        self._doing.at(f"tool {tool.name}")
        try:
            tool.execute(Events(scope, access), result)
        except (Exception, SystemExit) as error:
            raise failure(error, tool, stream, where) from error
        _check_written(tool, access, scope)

    def _write(
        self, stream: Stream, scope: Scope, variants: Mapping[str, Variant], where: str, outcome: UnitResult,
        writers: dict[str, Writer], unit: WorkUnit,
    ) -> None:  # fmt: skip
        names = _concrete(self.payload.plan.flow.outputs[stream.name], scope)
        written = {name: one for name, one in variants.items() if stream.name in one.flow.columns}
        lineage = self._lineage(stream, scope, names, unit, outcome.cutflow)
        if written:
            scope, names, flags = together(scope, written, stream.name, names)
            lineage = replace(lineage, **flags) if flags else lineage
        self._doing.at(f"stream {stream.name}")
        try:
            columns = stream.collect(Events(scope), names)
            if stream.name not in writers:
                own = uuid.uuid4().hex[:8]  # a unit may run twice at a time, where a cluster has lost sight of one
                name = f"{stream.name}_{unit.number:06d}-{unit.key}{stream.suffix}.{own}.part"
                path = self.payload.parts / name
                outcome.parts[stream.name] = path
                writers[stream.name] = stream.open(
                    path, self._metadata(stream, unit, lineage), self.payload.plan.columns
                )
            writers[stream.name].write(columns)
        except HepflowError as error:
            accesses = self.payload.plan.flow.access.items()
            makers = [f"tool {name}" for name, access in accesses if error.about in access.writes]
            place = ", ".join([*makers, f"stream {stream.name}", where])
            raise error.but(where=error.where or place) from error
        except Exception as error:
            raise ToolError(
                f"stream {stream.name} failed: {type(error).__name__}: {error}",
                where=where,
                hint="--debug shows the traceback",
            ) from error


def _numbers(unit: WorkUnit, *, counted: bool) -> dict[str, Any]:
    """Return the normalisation of a work unit, as the metadata of its outputs say it: the unit's share of the file, or
    nothing counted yet.
    """
    file = unit.file
    if file.normalisation is None:
        return {}
    share = unit.entries / file.entries if file.entries else 1.0
    return file.normalisation.share(0.0 if counted else share).told()


def _reading(where: str, function: Callable[[], T]) -> T:
    try:
        return function()
    except HepflowError:
        raise
    except MemoryError as error:
        raise _no_memory(where) from error
    except Exception as error:
        raise InputError(
            f"reading failed: {type(error).__name__}: {error}", where=where, hint="--debug shows the traceback"
        ) from error


def _no_memory(where: str) -> WorkerError:
    return WorkerError("there was not enough memory", where=where, hint="try a smaller --chunk, or fewer workers")


def _keep_memory() -> None:
    """Let glibc keep the memory of one block for the next; giving it back and getting it zeroed costs as much as
    the work. Elsewhere than on glibc nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 128 * 2**20)
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)


def _whole(path: Path) -> Path:
    """Give a finished part the name of a finished part."""
    finished = path.with_suffix("").with_suffix("")
    path.replace(finished)
    return finished


def _concrete(names: list[str], scope: Scope) -> list[str]:
    """Replace ``C.*`` by the columns that the container really has."""
    concrete: dict[str, None] = {}
    for name in names:
        found = scope.own_columns(name[:-2]) if name.endswith(".*") else [name]
        concrete.update(dict.fromkeys(found))
    return list(concrete)


def _check_written(tool: Tool, access: Access, scope: Scope) -> None:
    for name in sorted(access.writes):
        if scope.find(name) is None:
            raise ToolError(f"{tool.name} declares that it writes {name}, but did not", where=f"tool {tool.name}")
    for container in sorted(access.created):
        if not scope.knows(container):
            raise ToolError(
                f"{tool.name} declares that it makes the container {container}, but did not", where=f"tool {tool.name}"
            )


def _guarded(tool: Tool, stream: Stream | None, where: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise failure(error, tool, stream, where) from error


def failure(error: Exception | SystemExit, tool: Tool, stream: Stream | None, where: str) -> HepflowError:
    """Return the error to show for a tool that raised: which tool, which stream, where in the input, which line."""
    place = f"tool {tool.name}" + (f" of stream {stream.name}" if stream else "") + f", {where}"
    lines = [
        f", {Path(frame.f_globals.get('__file__', frame.f_code.co_filename)).name} line {number}"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name in ("execute", "initialize", "start", "finalize")
    ]  # code that was sent to a worker by value forgets its file; its globals do not
    line = lines[-1] if lines else ""
    if isinstance(error, HepflowError):
        own = "" if not error.where or error.where.startswith("tool ") else f": {error.where}"
        return error.but(where=place + line + own)
    if isinstance(error, MemoryError):
        return _no_memory(place + line)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SystemExit):
        text = f"it called sys.exit({error.code!r}), which ends no run"
    return ToolError(f"{tool.name} failed: {text}", where=place + line, hint="--debug shows the traceback")


def record_of(tool: Tool) -> dict[str, Any]:
    """Return what a tool says of its output; the error to show where it raises."""
    try:
        return dict(tool.record())
    except (Exception, SystemExit) as error:
        raise failure(error, tool, None, "record") from error


def _close_quietly(writer: Writer) -> None:
    try:
        writer.close()
    except Exception as error:  # the first error is the one to tell; this file is thrown away
        Context(Path(), "").log.debug("closing a broken output: %s", error)
