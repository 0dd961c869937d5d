"""The plan of a job: which files, which work units, which columns; made before the first event, the same for any
number of workers.
"""

from __future__ import annotations

import hashlib
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from hepflow.errors import ColumnError, DamagedError, InputError, TreeError
from hepflow.execution.dataflow import DataFlow, anchor, declared, resolve
from hepflow.execution.failures import Failure
from hepflow.execution.inputs import InputFile
from hepflow.execution.units import check_units, unit_of
from hepflow.io.opening import open_reader
from hepflow.job import Job
from hepflow.protocols import NO_VALUES, ColumnInfo, FileSchema, Reader, matching
from hepflow.stream import Stream
from hepflow.tool import Tool

__all__ = ["BLOCK_BYTES", "UNIT_ENTRIES", "Plan", "PlannedFile", "WorkUnit", "make_plan"]

UNIT_ENTRIES = 500_000
BLOCK_BYTES = 32 * 2**20
"""Neighbouring baskets or clusters are read together up to this; larger blocks leave the processor's cache."""
LARGEST_BLOCK_BYTES = 128 * 2**20
"""One basket or cluster above this is cut, and unpacked once for each piece: memory is bounded."""
GROUP, LARGEST_GROUP = 64, 256
"""Work units of a group, on average and at most."""


@dataclass(frozen=True)
class PlannedFile:
    """An input of the plan: the columns it is asked for, as it spells them, the records of the tools that made it, how
    hepflow simulated it (empty where it did not), and nothing more of its schema.
    """

    path: str
    sample: str
    format: str
    entries: int
    identity: str
    size: int
    mtime: float
    repeated: bool
    columns: Mapping[str, ColumnInfo]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    simulation: str = ""
    energy_unit: str = ""
    tree: str = ""


@dataclass(frozen=True)
class WorkUnit:
    """A range of entries of one file, cut into blocks that are read in one call each. ``number`` counts from 1; ``key``
    tells the range and what the file was, whatever else is in the plan.
    """

    number: int
    file: int
    start: int
    stop: int
    blocks: tuple[tuple[int, int], ...]
    key: str = ""
    group: int = 0
    """The units whose results are added up together: a cut depends on the key alone, so that a plan that gains or loses
    files has the other groups as they were."""

    @property
    def entries(self) -> int:
        """Return the number of entries."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the loop."""

    files: tuple[PlannedFile, ...]
    units: tuple[WorkUnit, ...]
    flow: DataFlow
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, ColumnInfo] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()

    @property
    def entries(self) -> int:
        """Return the number of entries that will be read."""
        return sum(unit.entries for unit in self.units)

    def describe(self, unit: WorkUnit) -> str:
        """Name a work unit for a message."""
        return f"work unit {unit.number}: {self.files[unit.file].path}, entries {unit.start}–{unit.stop}"


def make_plan(
    job: Job,
    inputs: Sequence[InputFile],
    formats: Sequence[type[Reader]],
    *,
    events: int | None = None,
    skip: int = 0,
    energy_unit: str = "",
) -> Plan:
    """Look at the inputs and plan the job; no event is read.

    ``events`` and ``skip`` count entries over all files in plan order. ``energy_unit`` is that of the inputs that
    do not tell theirs. Raises InputError for files that cannot be
    used, ColumnError for columns that are not there.
    """
    if not any(tool.has_loop for tool in job.all_tools()) and not job.streams:
        return Plan((), (), DataFlow())
    until = None if events is None else skip + events
    schemas, skipped, failed = _schemas(job, inputs, formats, until, lenient=until is None and not skip)
    columns: dict[str, ColumnInfo] = {}
    for _, schema in schemas:
        columns = {**schema.columns, **columns}
    try:
        flow = resolve(job, columns)
    except ColumnError as error:
        raise _explain(error, schemas) from None
    schemas = [(f, replace(s, energy_unit=unit_of(f.path, s.energy_unit, energy_unit))) for f, s in schemas]
    notes = _check_all(job, flow, schemas)
    notes += check_units(job, flow, columns, [(file.path, schema.energy_unit) for file, schema in schemas])
    files: list[PlannedFile] = []
    units: list[WorkUnit] = []
    left = events
    for file, schema in schemas:
        if schema.endless and events is None:
            raise InputError(f"{file.path} has no end", hint="say how many events to make with -n")
        index = len(files)
        wanted = {name: schema.columns[name] for name in flow.reads if name in schema.columns}
        files.append(
            PlannedFile(
                file.path,
                file.sample,
                schema.format,
                schema.entries,
                schema.identity,
                schema.size,
                schema.mtime,
                schema.repeated,
                wanted,
                file.metadata,
                schema.metadata.get("tools", {}),
                _simulation(file, schema),
                schema.energy_unit,
                "" if schema.endless else schema.tree,
            )
        )
        first = min(skip, schema.entries)
        skip -= first
        last = schema.entries if left is None else min(schema.entries, first + left)
        for start, stop, blocks in _cut(schema, wanted, first, last):
            key = _key(schema, start, stop)
            units.append(WorkUnit(len(units) + 1, index, start, stop, blocks, key))
        left = None if left is None else left - max(last - first, 0)
    if not units and events != 0 and not any(schema.entries for _, schema in schemas):
        notes.append("the input has no entries: outputs are empty")
        units = [WorkUnit(1, 0, 0, 0, ((0, 0),))]
    if not units:
        raise InputError("the input has no events to read", hint=_why_empty(schemas, events))
    empty = [index for index, file in enumerate(files) if not file.entries]
    if empty and any(unit.stop for unit in units):
        notes.append(f"without entries: {', '.join(files[index].path for index in empty)}")
    used = {*empty, *(unit.file for unit in units)}
    kept = {old: new for new, old in enumerate(sorted(used))}
    units = [replace(unit, file=kept[unit.file]) for unit in units]
    planned = tuple(files[old] for old in sorted(used))
    return Plan(planned, tuple(_grouped(units)), flow, tuple(notes), skipped, columns, tuple(failed))


_Opened = tuple[InputFile, FileSchema]


def _key(schema: FileSchema, start: int, stop: int) -> str:
    told = f"{schema.path}:{schema.tree}:{schema.size}:{schema.mtime}:{schema.identity}:{start}:{stop}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _grouped(units: Iterable[WorkUnit]) -> Iterator[WorkUnit]:
    number = size = 0
    for unit in units:
        yield replace(unit, group=number)
        size += 1
        if size == LARGEST_GROUP or not zlib.crc32(unit.key.encode()) % GROUP:
            number, size = number + 1, 0


def _simulation(file: InputFile, schema: FileSchema) -> str:
    """Return how hepflow simulated an input: a sample, a file made of one, or a generator says so; else nothing."""
    told = file.metadata.get("simulation") or schema.metadata.get("simulation")
    return str(told or (schema.format if schema.endless else ""))


def _schemas(
    job: Job, inputs: Sequence[InputFile], formats: Sequence[type[Reader]], until: int | None, *, lenient: bool
) -> tuple[list[_Opened], dict[str, str], list[Failure]]:
    """Look into the inputs one after the other, as far as entries are wanted; return what they hold, why others are
    skipped, and those of many that failed (``lenient``: where later entries do not depend on how many they have).

    Files found in a folder that hold none of the containers the job reads are skipped. Of a schema only the columns are
    kept that the job may read, and where these can be cut: a job may have thousands of files. The first is kept whole,
    for messages.
    """
    tools = list(job.all_tools())
    reads = [name.partition(".") for tool in tools for name in declared(tool, "reads") if not name.endswith("?")]
    made = {name[:-2] for tool in tools for name in declared(tool, "writes") if name.endswith(".*")}
    wanted = {container for container, _, _ in reads if "*" not in container} - made
    asked = [name for tool in tools for name in declared(tool, "reads")]
    patterns = [name.removesuffix("?") for name in asked]
    patterns += [pattern for stream in job.streams for pattern in stream.wanted()]
    opened: list[_Opened] = []
    skipped: dict[str, str] = {}
    failed: list[Failure] = []
    for file in inputs:
        if until is not None and sum(schema.entries for _, schema in opened) >= max(until, 1):
            break
        try:
            with closing(open_reader(file.like or file.path, formats, file.tree)) as reader:
                schema = reader.schema()
                second = {name: info for name, info in schema.second.items() if name in patterns}
                schema = replace(schema, columns={**second, **schema.columns}, second={})
                missing = sorted(wanted - {name.partition(".")[0] for name in schema.columns})
                if file.searched and missing:
                    skipped[file.path] = f"holds no {missing[0]}"
                    continue
                if not opened:
                    patterns += _anchors(tools, schema.columns)
                matched = {name for pattern in patterns for name in matching(pattern, schema.columns)}
                names = sorted(matched.union(name for name in asked if name in schema.columns))
                marks = reader.boundaries([schema.columns[name] for name in names])
                if file.like:
                    schema, marks = replace(schema, entries=file.entries), (0, file.entries)
        except InputError as error:
            if file.searched and not isinstance(error, DamagedError | TreeError):
                skipped[file.path] = error.message
            elif lenient and len(inputs) > 1 and not isinstance(error, TreeError):
                failed.append(Failure(file.path, error))
            else:
                raise
            continue
        columns = {name: schema.columns[name] for name in names} if opened else schema.columns
        opened.append((file, replace(schema, columns=columns, boundaries=marks)))
    if not opened and failed:
        raise failed[0].error
    if not opened:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(skipped.items())[:5])
        raise InputError(
            "no input file holds what the job reads", where=reasons, hint=f"the job reads {', '.join(sorted(wanted))}"
        )
    return opened, skipped, failed


def _anchors(tools: Sequence[Tool], columns: Mapping[str, ColumnInfo]) -> list[str]:
    """Return a column of each container that tools write into and nobody reads: it tells the objects."""
    read = {name.partition(".")[0] for tool in tools for name in declared(tool, "reads")}
    held = {info.container for info in columns.values()} - read
    written = {name.partition(".")[0]: tool for tool in tools for name in declared(tool, "writes")}
    return [anchor(tool, container, columns) for container, tool in written.items() if container in held]


def _check_all(job: Job, flow: DataFlow, schemas: Sequence[_Opened]) -> list[str]:
    """Compare the files' schemas for the columns that are read; ColumnError where one lacks what a tool needs."""
    needed = {name for access in flow.access.values() for name in access.reads - access.optional}
    notes: list[str] = []
    for name in flow.reads:
        lacking = [file.path for file, schema in schemas if name not in schema.columns]
        if lacking:
            shown = ", ".join(lacking[:3]) + (f", … ({len(lacking)} files)" if len(lacking) > 3 else "")
            text = f"{name} is missing in {len(lacking)} of {len(schemas)} files: {shown}"
            streams = [stream for stream in job.streams if name in flow.outputs[stream.name]]
            if name in needed or streams:
                hint = "" if name in needed else f", or {_without(name, streams)}"
                raise ColumnError(text, hint="leave these files out" + hint)
            notes.append(f"{text}; it reads as missing there")
        having = [(file, schema.columns[name]) for file, schema in schemas if name in schema.columns]
        kinds = {(info.depth, info.dtype) for _, info in having}
        other = next((file for file, info in having if info.depth != having[0][1].depth), None)
        if other is not None:
            raise ColumnError(
                f"{name} has one structure in {having[0][0].path} and another in {other.path}",
                hint="give files of one kind: an ntuple and an xAOD cannot be read in one job",
            )
        if len(kinds) > 1:
            notes.append(f"{name} has different types: {', '.join(sorted(dtype for _, dtype in kinds))}")
        other = next((file for file, info in having if info.sources != having[0][1].sources), None)
        if other is not None:
            notes.append(
                f"{name} is spelled {having[0][1].sources[0]} in {having[0][0].path}, otherwise in {other.path}"
            )
    return notes


def _without(name: str, streams: Sequence[Stream]) -> str:
    """Say how these streams do without a column: one that passes columns on (``Keep``) can drop it."""
    drop = f" (Drop = {name!r})" if all(stream.Keep for stream in streams) else ""
    return f"take it out of what {' and '.join(stream.name for stream in streams)} writes{drop}"


def _explain(error: ColumnError, schemas: Sequence[_Opened]) -> ColumnError:
    """Add the input, and the reason where the column is there but cannot be read."""
    unreadable = {name: why for _, s in schemas for name, why in s.unreadable.items() if why != NO_VALUES}
    why = unreadable.get(error.about) or unreadable.get(f"{error.about.partition('.')[0]}.*")
    hint = f"{error.about} is in the file but cannot be read: {why}" if why else error.hint
    return error.but(where=f"{error.where}, input {schemas[0][0].path}", hint=hint)


def _cut(
    schema: FileSchema, wanted: Mapping[str, ColumnInfo], first: int, last: int
) -> Iterator[tuple[int, int, tuple[tuple[int, int], ...]]]:
    """Cut the entries ``[first, last)`` into work units of blocks; cuts depend on the file alone, not on first and
    last.
    """
    if first >= last:
        return
    marks = schema.boundaries
    bytes_per_entry = sum(info.nbytes for info in wanted.values()) / max(schema.entries, 1)
    unit_entries = schema.unit_entries or UNIT_ENTRIES
    usual, largest = (
        max(1, min(unit_entries, int(limit / bytes_per_entry) if bytes_per_entry else unit_entries))
        for limit in (BLOCK_BYTES, LARGEST_BLOCK_BYTES)
    )
    for start, stop in _merge(marks, unit_entries, first, last):
        blocks = []
        inner = [start, *marks[bisect_right(marks, start) : bisect_left(marks, stop)], stop]
        # a generator gains nothing from larger blocks
        joined: Iterable[tuple[int, int]] = (
            pairwise(inner) if schema.endless else _merge(inner, usual, first, last, largest)
        )
        for block_start, block_stop in joined:
            cut = (max(block_start, first), min(block_stop, last))
            if cut[0] < cut[1]:
                blocks.append(cut)
        if blocks:
            yield blocks[0][0], blocks[-1][1], tuple(blocks)


def _merge(
    marks: Sequence[int], limit: int, first: int, last: int, largest: int | None = None
) -> Iterator[tuple[int, int]]:
    """Join neighbouring intervals between marks up to ``limit`` entries; one above ``largest`` (default: limit) is cut
    evenly. Only those that touch [first, last).
    """
    largest = largest or limit
    position = 0
    while position < len(marks) - 1 and marks[position] < last:
        start = marks[position]
        following = bisect_right(marks, start + limit) - 1
        if following > position:
            stop = marks[following]
            if stop > first:
                yield start, stop
            position = following
            continue
        stop = marks[position + 1]
        length, pieces = stop - start, -(-(stop - start) // largest)
        piece = max((first - start) * pieces // length, 0)
        while piece < pieces and (low := start + length * piece // pieces) < last:
            high = start + length * (piece + 1) // pieces
            if high > first:
                yield low, high
            piece += 1
        position += 1


def _why_empty(schemas: Sequence[_Opened], events: int | None) -> str:
    total = sum(schema.entries for _, schema in schemas)
    if events == 0:
        return "-n 0 reads nothing"
    return f"--skip goes beyond the {total} entries"
