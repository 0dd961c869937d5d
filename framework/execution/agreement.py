"""Do files of different schemas serve one job? Compared once a schema, however many files have it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hepflow.errors import ColumnError
from hepflow.execution.dataflow import DataFlow, declared, resolve
from hepflow.execution.inputs import InputFile
from hepflow.execution.lineage import Lineage
from hepflow.execution.survey import Survey
from hepflow.execution.units import unit_of
from hepflow.io.trees import split_called
from hepflow.job import Job
from hepflow.normalisation import WEIGHT
from hepflow.protocols import NO_VALUES, ColumnInfo, FileSchema
from hepflow.stream import Stream
from hepflow.variations import Variation

__all__ = ["Agreement", "Group", "agree", "groups_of", "seconds"]


@dataclass(frozen=True)
class Group:
    """Files of one schema: its digest, the schema, and their paths, in order. ``made``: one of them is there; else a
    file without events stands for them, whose lists inside of lists cannot be told."""

    digest: str
    schema: FileSchema
    paths: Sequence[str]
    made: bool = True

    @property
    def path(self) -> str:
        """Return the first of the files."""
        return self.paths[0]


@dataclass(frozen=True)
class Agreement:
    """How a job reads the groups that serve it, all of their columns, what is to be told, and why others do not serve,
    by digest.
    """

    flow: DataFlow
    groups: Sequence[Group]
    columns: Mapping[str, ColumnInfo]
    notes: Sequence[str]
    refused: Mapping[str, ColumnError] = field(default_factory=dict)


def seconds(job: Job, schema: FileSchema) -> dict[str, ColumnInfo]:
    """Return the columns of a file that the job asks for by their second names."""
    asked = {name.removesuffix("?") for tool in job.all_tools() for name in declared(tool, "reads")}
    asked |= {pattern for stream in job.streams for pattern in stream.wanted()}
    return {name: info for name, info in schema.second.items() if name in asked}


def groups_of(job: Job, found: Survey, energy_unit: str) -> list[Group]:
    """Return the schemas of what was opened with their files, in order of the first; InputError where a file tells
    another energy unit than is given.
    """
    files: dict[str, list[InputFile]] = {}
    for file, facts in found.opened:
        files.setdefault(facts.digest, []).append(file)
    groups = []
    for digest, inputs in files.items():
        those = [file.path for file in inputs]
        schema = found.schemas[digest]
        unit = unit_of(those[0], schema.energy_unit, energy_unit)
        columns = {**seconds(job, schema), **schema.columns}
        schema = replace(schema, columns=columns, second={}, energy_unit=unit)
        groups.append(Group(digest, schema, those, made=not all(file.like for file in inputs)))
    return groups


def agree(job: Job, groups: Sequence[Group], *, lenient: bool, variations: Sequence[Variation] = ()) -> Agreement:
    """Return how the job reads these files.

    ColumnError where what a tool needs is nowhere, or is not in some of the files; with ``lenient`` those that lack it
    are refused where they are the fewer ones, and the others serve as if they were alone.
    """
    refused: dict[str, ColumnError] = {}
    while True:
        columns = {name: info for group in reversed(groups) for name, info in group.schema.columns.items()}
        try:
            flow = resolve(job, columns, variations, Lineage.joined(Lineage.of(group.schema) for group in groups))
        except ColumnError as error:
            raise _explain(error, groups) from None
        lacking = _lacking(job, flow, groups)
        if not lacking:
            return Agreement(flow, groups, columns, [*_compare(flow, groups), *_told_of_variations(flow)], refused)
        name = min(lacking)
        those = lacking[name]
        number = sum(len(group.paths) for group in those)
        missing = _missing(job, flow, name, those, groups)
        if not lenient or 2 * number >= sum(len(group.paths) for group in groups):
            raise missing
        for group in those:
            refused[group.digest] = ColumnError(f"{name} is not there", hint=missing.hint, about=name)
        groups = [group for group in groups if group.digest not in refused]


def _told_of_variations(flow: DataFlow) -> list[str]:
    """Return notes on an input that was written with variations, or selected by what varies now."""
    notes = []
    if flow.flags:
        notes.append(f"the input holds objects of variations, too: the nominal ones are read ({min(flow.flags)})")
    found: dict[tuple[str, str], list[str]] = {}
    for name, varied in flow.variations.items():
        for one in varied.selected:
            found.setdefault(one, []).append(name)
    for (who, column), names in found.items():
        notes.append(f"{who} selected the input by {column}: what {', '.join(names)} would bring in is not there")
    return notes


def _lacking(job: Job, flow: DataFlow, groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return which groups lack a column that a tool needs or a stream writes, by column."""
    needed = {name for access in flow.access.values() for name in access.reads - access.optional}
    needed |= {name for names in flow.outputs.values() for name in names}
    found = {name: [g for g in groups if name not in g.schema.columns] for name in flow.reads if name in needed}
    return {name: those for name, those in found.items() if those}


def _missing(job: Job, flow: DataFlow, name: str, those: Sequence[Group], groups: Sequence[Group]) -> ColumnError:
    """Return the error of files that lack a column."""
    needed = any(name in access.reads - access.optional for access in flow.access.values())
    streams = [stream for stream in job.streams if name in flow.outputs[stream.name]]
    hint = "leave these files out" + ("" if needed else f", or {_without(name, streams)}")
    hint = _renaming(name, groups) or hint
    return ColumnError(_told(name, those, groups), hint=hint, about=name)


def _told(name: str, those: Sequence[Group], groups: Sequence[Group]) -> str:
    paths = [path for group in those for path in group.paths]
    shown = ", ".join(paths[:3]) + (f", … ({len(paths)} files)" if len(paths) > 3 else "")
    return f"{name} is missing in {len(paths)} of {sum(len(group.paths) for group in groups)} files: {shown}"


def _compare(flow: DataFlow, groups: Sequence[Group]) -> list[str]:
    """Return notes on what differs between files; ColumnError where they cannot be read in one job."""
    notes: list[str] = []
    for name in [name for name in flow.reads if name not in flow.flags]:
        found = sorted((group for group in groups if name in group.schema.columns), key=lambda group: not group.made)
        having = [(group.path, group.schema.columns[name]) for group in found if group.made or not found[0].made]
        lacking = [group for group in groups if name not in group.schema.columns]
        if lacking:
            varied = ", ".join(one for one, of in flow.variations.items() if name in of.needs)
            used = any(name in access.reads | access.optional for access in flow.access.values())
            told = ["it reads as missing there"] if used or not varied else []
            told += [f"{varied} is nominal there"] if varied else []
            notes.append(f"{_told(name, lacking, groups)}; {'; '.join(told)}")
        first, info = having[0]
        other = next((path for path, one in having if one.depth != info.depth), None)
        if other is not None:
            raise ColumnError(
                f"{name} has one structure in {first} and another in {other}",
                hint="give files of one kind, an ntuple and an xAOD cannot be read in one job: "
                + " or ".join(f"-i '{_numbered(path)}'" for path in (first, other)),
            )
        types = sorted({one.dtype for _, one in having})
        if len(types) > 1:
            notes.append(f"{name} has different types: {', '.join(types)}")
        other = next((path for path, one in having if one.sources != info.sources), None)
        if other is not None:
            notes.append(f"{name} is spelled {info.sources[0]} in {first}, otherwise in {other}")
    return notes


def _numbered(path: str) -> str:
    """Return the pattern of the numbered files of a stream.

    >>> _numbered("both/tree_000001.root")
    'both/tree_*.root'
    """
    return re.sub(r"_\d+\.root$", "_*.root", path)


def _without(name: str, streams: Sequence[Stream]) -> str:
    """Say how these streams do without a column: one that passes columns on (``Keep``) can drop it."""
    drop = f" (Drop = {name!r})" if all(stream.Keep for stream in streams) else ""
    return f"take it out of what {' and '.join(stream.name for stream in streams)} writes{drop}"


def _explain(error: ColumnError, groups: Sequence[Group]) -> ColumnError:
    """Add the input, and the reason where the column is there but cannot be read."""
    unreadable = {name: why for group in groups for name, why in group.schema.unreadable.items() if why != NO_VALUES}
    why = unreadable.get(error.about) or unreadable.get(f"{error.about.partition('.')[0]}.*")
    hint = f"{error.about} is in the file but cannot be read: {why}" if why else _renaming(error.about, groups)
    hint = "--lumi makes it" if error.about == WEIGHT else hint or error.hint
    return error.but(where=f"{error.where}, input {groups[0].path}", hint=hint)


def _renaming(name: str, groups: Sequence[Group]) -> str:
    """Return how ntuples get the container of a column where trees with another name have such a branch; else ""."""
    container, _, variable = name.partition(".")
    having: dict[str, None] = {}
    for schema in (group.schema for group in groups if group.schema.repeated):
        tree, called = split_called(schema.tree)
        rows = called or tree.rpartition("/")[2]
        if rows != container and f"{rows}.{variable}" in schema.columns:
            having[f"{rows}.{variable}"] = None
    return (
        f"it is there as {', '.join(having)}: --tree ={container} calls the rows {container} in all files"
        if having
        else ""
    )
