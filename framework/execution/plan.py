"""The plan of a job: which files, which work units, which columns; made before the first event, the same for any
number of workers.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hepflow.errors import HepflowError, InputError, many
from hepflow.execution.agreement import Agreement, agree, groups_of, seconds
from hepflow.execution.dataflow import DataFlow, declared
from hepflow.execution.failures import Failure, Policy
from hepflow.execution.inputs import InputFile
from hepflow.execution.lineage import Lineage
from hepflow.execution.normalisation import gathered, normalisation_of, normalised, weight_of, with_weight
from hepflow.execution.schemas import Facts
from hepflow.execution.survey import Survey, survey
from hepflow.execution.units import check_units
from hepflow.executor import Executor
from hepflow.expressions import Expression
from hepflow.html import table
from hepflow.io.blocks import cut_range
from hepflow.job import Job
from hepflow.normalisation import WEIGHT, Normalisation
from hepflow.protocols import ColumnInfo, FileSchema, Reader
from hepflow.variations import Variation

__all__ = ["UNIT_ENTRIES", "FileKind", "Plan", "PlannedFile", "WorkUnit", "make_plan"]

UNIT_ENTRIES = 500_000
GROUP, LARGEST_GROUP = 64, 256
"""Work units of a group, on average and at most."""


@dataclass(frozen=True)
class FileKind:
    """What many inputs have in common: the sample, the columns they are asked for, as they spell them, the records of
    the tools that made them, how hepflow simulated them (empty where it did not), and nothing more of their schema.

    ``weight`` is the expression for the weight of an event, ``factor`` what it is multiplied with for ``--lumi``.
    Events and weights are ``counted`` while a generator makes them.
    """

    sample: str
    format: str
    tree: str
    repeated: bool
    columns: Mapping[str, ColumnInfo]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    simulation: str = ""
    energy_unit: str = ""
    weight: str = ""
    counted: bool = False
    factor: float | None = None
    left_out: Sequence[Mapping[str, Any]] = ()
    """What they lack: inputs that failed when they were made, as in ``failures.json``."""
    lineage: Lineage = field(default_factory=Lineage)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An input of the plan; ``kind`` is the number of its FileKind. Replicas are read where it cannot be; the times are
    then 0: theirs are others.
    """

    path: str
    kind: int
    entries: int
    identity: str
    size: int
    mtime: float
    ctime: int = 0
    replicas: tuple[str, ...] = ()
    normalisation: Normalisation | None = None


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """A range of entries of one file. ``number`` counts from 1; ``key`` tells the range and what the file was, whatever
    else is in the plan.
    """

    number: int
    file: PlannedFile
    start: int
    stop: int
    key: str = ""
    group: int = 0
    """The units whose results are added up together: a cut depends on the key alone, so that a plan that gains or loses
    files has the other groups as they were."""

    @property
    def entries(self) -> int:
        """Return the number of entries."""
        return self.stop - self.start

    def describe(self) -> str:
        """Name the unit for a message."""
        return f"work unit {self.number}: {self.file.path}, entries {self.start}–{self.stop}"


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the loop. ``looked`` is how many files were opened for it."""

    files: tuple[PlannedFile, ...]
    units: tuple[WorkUnit, ...]
    flow: DataFlow
    kinds: tuple[FileKind, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, ColumnInfo] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()
    looked: int = 0

    def _repr_html_(self) -> str:
        """Show files, events and work units in a notebook."""
        title = (
            f"{many(self.entries, 'event')} in {many(len(self.units), 'work unit')} of {many(len(self.files), 'file')}"
        )
        rows = [(file.path, self.kinds[file.kind].sample, f"{file.entries:,}") for file in self.files[:20]]
        more = [(f"… {len(self.files) - 20:,} more", "", "")] if len(self.files) > 20 else []
        return table(("file", "sample", "events"), [*rows, *more], title)

    @property
    def entries(self) -> int:
        """Return the number of entries that will be read."""
        return sum(unit.entries for unit in self.units)

    def of_workers(self) -> Plan:
        """Return what a worker needs besides its units: files and units do not grow with it."""
        return replace(self, files=(), units=(), notes=(), skipped={}, failed=())


def make_plan(
    job: Job,
    inputs: Sequence[InputFile],
    formats: Sequence[type[Reader]],
    *,
    events: int | None = None,
    skip: int = 0,
    energy_unit: str = "",
    lumi: float | None = None,
    variations: Sequence[Variation] = (),
    executor: Executor | None = None,
    policy: Policy | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Look at the inputs, with the workers of an executor, and plan the job; no event is read.

    ``events`` and ``skip`` count entries over all files in plan order. ``energy_unit`` is that of the inputs that do
    not tell theirs. With ``lumi`` (fb⁻¹) there is a column ``Sample.weight``. Raises InputError for files that cannot
    be used, ColumnError for columns that are not there; where that concerns some of many, these are in ``failed``.
    """
    if not any(tool.has_loop for tool in job.all_tools()) and not job.streams:
        return Plan((), (), DataFlow())
    lenient = events is None and not skip  # later entries do not depend on how many those that failed have
    found = survey(
        inputs,
        formats,
        _lacking(job),
        policy or Policy(),
        executor=executor,
        until=None if events is None else skip + events,
        lenient=lenient,
        tell=tell,
        counts=lumi is not None or bool(job.streams),
    )
    if not found.opened:
        raise _nothing(job, found)
    groups = groups_of(job, found, energy_unit)
    if lumi is not None:
        groups = [replace(group, schema=with_weight(group.schema, group.path)) for group in groups]
    agreed = agree(job, groups, lenient=lenient and len(inputs) > 1, variations=variations)
    return normalised(_planned(job, found, agreed, events, skip, lumi), lumi, job.samples)


def _planned(job: Job, found: Survey, agreed: Agreement, events: int | None, skip: int, lumi: float | None) -> Plan:
    """Return the plan of the files that agree."""
    failed = [Failure(f.path, agreed.refused[one.digest]) for f, one in found.opened if one.digest in agreed.refused]
    opened = [(file, one) for file, one in found.opened if one.digest not in agreed.refused]
    first = {group.path: group.schema.energy_unit for group in agreed.groups}
    notes = [*agreed.notes, *check_units(job, agreed.flow, agreed.columns, [*first.items()])]
    kinds, files = _kinds_and_files(opened, agreed, job, lumi)
    files = gathered(files, kinds)
    units = _units_or_empty(files, opened, found, skip, events)
    notes += _check_entries(files, kinds, units, events)
    records = {name: record for kind in kinds for name, record in kind.records.items()}
    remarks = (remark for tool in job.all_tools() for remark in tool.remarks(job, records, agreed.columns))
    notes += dict.fromkeys(remarks)  # what several tools say is said once
    used = {id(unit.file) for unit in units}
    return Plan(
        files=tuple(file for file in files if not file.entries or id(file) in used),
        units=units,
        flow=agreed.flow,
        kinds=kinds,
        notes=tuple(notes),
        skipped=found.skipped,
        columns=agreed.columns,
        failed=(*found.failed, *failed),
        looked=found.looked,
    )


def _units_or_empty(
    files: Sequence[PlannedFile], opened: _Opened, found: Survey, skip: int, events: int | None
) -> tuple[WorkUnit, ...]:
    """Return the work units; of inputs without entries an empty one, so that outputs have their columns."""
    units = tuple(_grouped(_units(files, opened, found.schemas, skip, events)))
    if not units and events != 0 and not any(file.entries for file in files):
        return (WorkUnit(1, files[0], 0, 0),)
    return units


def _check_entries(
    files: Sequence[PlannedFile], kinds: Sequence[FileKind], units: Sequence[WorkUnit], events: int | None
) -> list[str]:
    """Return notes on what the input lacks; InputError where nothing is read though there is something."""
    if not units:
        raise InputError("the input has no events to read", hint=_why_empty(files, events))
    notes = []
    empty = [file.path for file in files if not file.entries]
    if not any(unit.stop for unit in units):
        notes.append("the input has no entries: outputs are empty")
    elif empty:
        notes.append(f"without entries: {', '.join(empty)}")
    lacking = {str(row["file"]): None for kind in kinds for row in kind.left_out}
    if lacking:
        notes.append(
            f"the input was made without {many(len(lacking), 'file')} that failed: {', '.join([*lacking][:3])}"
        )
    return notes


def _lacking(job: Job) -> Callable[[FileSchema], str]:
    """Return what names a container that a schema lacks and the job reads, "" for none."""
    wanted = _containers_read(job)

    def lacks(schema: FileSchema) -> str:
        there = {name.partition(".")[0] for name in (*schema.columns, *seconds(job, schema))}
        return min(wanted - there, default="")

    return lacks


def _containers_read(job: Job) -> set[str]:
    """Return the containers that the input must have."""
    tools = list(job.all_tools())
    names = {name for tool in tools for name in declared(tool, "reads") if not name.endswith("?")}
    reads = {name.partition(".")[0] for name in names if name != WEIGHT}  # which --lumi makes
    made = {name[:-2] for tool in tools for name in declared(tool, "writes") if name.endswith(".*")}
    return {name for name in reads if "*" not in name} - made


def _nothing(job: Job, found: Survey) -> HepflowError:
    """Return the error of a plan without any file."""
    if found.failed:
        return found.failed[0].error
    reasons = "; ".join(f"{path}: {reason}" for path, reason in list(found.skipped.items())[:5])
    reads = ", ".join(sorted(_containers_read(job)))
    return InputError("no input file holds what the job reads", where=reasons, hint=f"the job reads {reads}")


_Opened = Sequence[tuple[InputFile, Facts]]


def _kinds_and_files(
    opened: _Opened, agreed: Agreement, job: Job, lumi: float | None
) -> tuple[tuple[FileKind, ...], list[PlannedFile]]:
    """Return what files have in common, and the files."""
    schemas = {group.digest: group.schema for group in agreed.groups}
    kinds: dict[tuple[str, str, int], FileKind] = {}
    numbers: dict[tuple[str, str, int], int] = {}
    files = []
    for file, facts in opened:
        key = (facts.digest, file.sample, id(file.metadata) if file.metadata else 0)
        if key not in kinds:
            numbers[key] = len(kinds)
            kinds[key] = _kind(file, facts, schemas[facts.digest], agreed.flow, job, lumi)
        times = (0.0, 0) if file.replicas else (facts.mtime, facts.ctime)
        told = (facts.entries, facts.identity, facts.size, *times, file.replicas)
        normalisation = normalisation_of(facts, file, job.samples)
        files.append(PlannedFile(file.path, numbers[key], *told, normalisation))
    return tuple(kinds.values()), files


def _kind(file: InputFile, facts: Facts, schema: FileSchema, flow: DataFlow, job: Job, lumi: float | None) -> FileKind:
    simulation = file.metadata.get("simulation") or schema.metadata.get("simulation")
    counted = schema.endless and bool(facts.normalisation)
    weight = weight_of(schema, file.path, job.samples.get(file.sample)) if counted or lumi is not None else ""
    names = (*flow.reads, *(Expression(weight).columns if weight else ()))
    return FileKind(
        sample=file.sample,
        format=schema.format,
        tree="" if schema.endless else schema.tree,
        repeated=schema.repeated,
        columns={name: schema.columns[name] for name in names if name in schema.columns},
        metadata=file.metadata,
        records=schema.metadata.get("tools", {}),
        simulation=str(simulation or (schema.format if schema.endless else "")),
        energy_unit=schema.energy_unit,
        weight=weight,
        counted=counted,
        left_out=schema.metadata.get("left_out", ()),
        lineage=Lineage.of(schema),
    )


def _units(
    files: Sequence[PlannedFile],
    opened: _Opened,
    schemas: Mapping[str, FileSchema],
    skip: int,
    events: int | None,
) -> Iterator[WorkUnit]:
    """Cut the entries that are wanted into work units; cuts depend on the file alone, not on what is wanted of it."""
    number, left = 0, events
    for file, (_, facts) in zip(files, opened, strict=True):
        schema = schemas[facts.digest]
        if schema.endless and events is None:
            raise InputError(f"{file.path} has no end", hint="say how many events to make with -n")
        first = min(skip, file.entries)
        skip -= first
        last = file.entries if left is None else min(file.entries, first + left)
        left = None if left is None else left - max(last - first, 0)
        if first >= last:
            continue
        for start, stop in cut_range(facts.boundaries, schema.unit_entries or UNIT_ENTRIES, first, last):
            number += 1
            cut = (max(start, first), min(stop, last))
            yield WorkUnit(number, file, *cut, _key(file, schema.tree, *cut))


def _grouped(units: Iterable[WorkUnit]) -> Iterator[WorkUnit]:
    number = size = 0
    for unit in units:
        yield replace(unit, group=number)
        size += 1
        if size == LARGEST_GROUP or not zlib.crc32(unit.key.encode()) % GROUP:
            number, size = number + 1, 0


def _key(file: PlannedFile, tree: str, start: int, stop: int) -> str:
    told = f"{file.path}:{tree}:{file.size}:{file.mtime}:{file.identity}:{start}:{stop}"
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _why_empty(files: Sequence[PlannedFile], events: int | None) -> str:
    return "-n 0 reads nothing" if events == 0 else f"--skip goes beyond the {sum(f.entries for f in files)} entries"
