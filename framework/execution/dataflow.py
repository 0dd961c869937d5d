"""Who reads and writes what: walks the tools in order and resolves every declared column before the first event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hepflow.errors import ColumnError, HepflowError, JobOptionsError, nearest
from hepflow.events.access import Access
from hepflow.execution.lineage import Lineage
from hepflow.execution.varied import Resolved, VariedFlow, vary
from hepflow.expressions import quoted
from hepflow.job import Job
from hepflow.protocols import ColumnInfo, matching
from hepflow.registry.manager import registry
from hepflow.stream import Stream
from hepflow.tool import Tool
from hepflow.variations import Variation

__all__ = ["DataFlow", "anchor", "declared", "resolve"]


@dataclass
class DataFlow:
    """The resolved declarations of a job.

    ``reads`` are the columns fetched from the input, ``access`` what each tool may touch, ``outputs`` the columns
    that each stream writes (``C.*`` for all columns of a container that its tools make), ``variations`` what is done
    for those that were asked for. ``flags`` are those of the input by which it is what it is in the nominal.
    """

    reads: list[str] = field(default_factory=list)
    access: dict[str, Access] = field(default_factory=dict)
    outputs: dict[str, list[str]] = field(default_factory=dict)
    variations: dict[str, VariedFlow] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()


@dataclass
class _Scope:
    """What is known at a point of the walk: columns made so far, containers made as a whole, columns of links."""

    made: dict[str, str] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    links: frozenset[str] = frozenset()

    def child(self) -> _Scope:
        return _Scope(dict(self.made), dict(self.containers), self.links)

    def has(self, name: str) -> bool:
        return name in self.made or name.partition(".")[0] in self.containers


def resolve(
    job: Job, columns: Mapping[str, ColumnInfo], variations: Sequence[Variation] = (), lineage: Lineage | None = None
) -> DataFlow:
    """Return the data flow of a frozen job on an input with these columns, and those of variations; ``lineage`` is what
    the input says of its making.

    ColumnError where a tool reads what neither the input nor an earlier tool provides; JobOptionsError where two
    tools write the same column or a declaration is malformed.
    """
    flow = DataFlow()
    needed: dict[str, None] = {}
    anchors: dict[str, str] = {}
    later = {
        name: tool.name
        for tool in job.all_tools()
        for name in {*declared(tool, "writes")} - {*declared(tool, "reads")}  # what it passes on it does not make
    }
    scope = _Scope()
    for tool in job.tools:
        _walk(tool, None, scope, columns, flow, needed, later, anchors)
    for stream in job.streams:
        inner = scope.child()
        passed: list[str] = []
        for tool in stream.tools:
            passed += _walk(tool, stream, inner, columns, flow, needed, later, anchors)
        flow.outputs[stream.name] = _outputs(stream, inner, passed, columns, needed)
    lineage = lineage or Lineage()
    flow.flags = _flags(job, lineage, columns)
    needed.update(dict.fromkeys(sorted(flow.flags)))
    if variations:
        seen = lineage if flow.flags else replace(lineage, nominal=(), varied={})
        derivations = seen.derivations(registry().derivations())
        found = Resolved(columns, flow.access, flow.outputs, derivations, seen)
        flow.variations = {one.name: vary(one, job, found) for one in variations}
        needed.update(dict.fromkeys(n for one in flow.variations.values() for n in (*sorted(one.needs), *one.flags)))
    read = {name.partition(".")[0] for name in needed}
    flow.reads = [*needed, *(name for container, name in anchors.items() if container not in read)]
    return flow


def _flags(job: Job, lineage: Lineage, columns: Mapping[str, ColumnInfo]) -> frozenset[str]:
    """Return the flags that select the nominal of an input that holds objects of variations, too; none where a tool
    reads flags: it selects itself. ColumnError where one is not there.
    """
    asked = {name.removesuffix("?") for tool in job.all_tools() for name in declared(tool, "reads")}
    flags = frozenset(() if asked & lineage.flags else lineage.nominal)
    if lacking := sorted(flags - columns.keys()):
        raise ColumnError(
            f"the input holds objects that variations ({', '.join(lineage.varied)}) select, and {lacking[0]}, which "
            "tells those of the nominal, is not there",
            where=f"job {job.name}",
            hint="make the input again, without --variations or with all that the job wrote",
            about=lacking[0],
        )
    return flags


def _walk(
    tool: Tool,
    stream: Stream | None,
    scope: _Scope,
    columns: Mapping[str, ColumnInfo],
    flow: DataFlow,
    needed: dict[str, None],
    later: Mapping[str, str],
    anchors: dict[str, str],
) -> list[str]:
    """Resolve one tool; return the columns that it writes or passes on to its stream."""
    reads: dict[str, None] = {}
    optionals: list[str] = []
    for text in declared(tool, "reads"):
        optional = text.endswith("?") and text not in columns
        name = text.removesuffix("?") if optional else text
        matches = _expand(name, scope, columns)
        if not matches and not optional:
            raise _unsatisfied(tool, stream, name, scope, columns, later)
        if optional:
            optionals.append(name)
        for match in matches:
            reads[match] = None
            if not scope.has(match):
                needed[match] = None
    writes = declared(tool, "writes")
    for name in writes:
        _check_write(tool, name, reads, scope, columns)
        container, _, column = name.partition(".")
        if column == "*":
            scope.containers[container] = tool.name
        elif name not in reads:
            made = {known.partition(".")[0] for known in [*scope.made, *optionals]} | {*scope.containers}
            if container not in made:
                anchors.setdefault(container, anchor(tool, container, columns))
            scope.made[name] = tool.name
    scope.links |= {*tool.links()}
    flow.access[tool.name] = Access.of(tool.name, reads, writes, optionals, selects=tool.selects)
    return writes


def anchor(tool: Tool, container: str, columns: Mapping[str, ColumnInfo]) -> str:
    """Return the smallest column of a container, which tells the objects that a tool decorates; ColumnError where the
    input has no such container.
    """
    found = [info for info in columns.values() if info.container == container and not info.second]
    if not found:
        known = {info.container for info in columns.values()}
        raise ColumnError(
            f"{tool.name} writes into {container!r}, and there is no such container",
            where=f"tool {tool.name}",
            hint=nearest(container, known, what="containers"),
        )
    return min(found, key=lambda info: (info.dtype in ("string", "link"), info.depth, _width(info), info.name)).name


def _width(info: ColumnInfo) -> int:
    return 8 if info.dtype in ("string", "link") else np.dtype(info.dtype).itemsize


def declared(tool: Tool, method: str) -> list[str]:
    """Return what ``tool.reads()`` or ``tool.writes()`` names; JobOptionsError where that is no list of columns."""
    try:
        names = getattr(tool, method)()
        names = names if isinstance(names, str) or not isinstance(names, Iterable) else [str(name) for name in names]
    except HepflowError:
        raise
    except Exception as error:
        raise JobOptionsError(
            f"{tool.name}.{method}() failed: {type(error).__name__}: {error}",
            where=f"tool {tool.name}",
            hint="--debug shows the traceback",
        ) from error
    if not isinstance(names, list):
        raise JobOptionsError(f"{tool.name}.{method}() must return a list of columns, not {names!r}")
    for name in names:
        container, dot, column = name.partition(".")
        if not (dot and container and column):
            raise JobOptionsError(
                f"{tool.name}.{method}() names {name!r}, which is no Container.column", where=f"tool {tool.name}"
            )
    if method == "writes" and names and type(tool).execute is Tool.execute:
        own = [name for name in vars(type(tool)) if not name.startswith("_")]
        raise JobOptionsError(
            f"{tool.name} writes {', '.join(names)}, but has no execute(events, result)",
            where=f"tool {tool.name}",
            hint=nearest("execute", own, what="methods"),
        )
    return names


def _expand(name: str, scope: _Scope, columns: Mapping[str, ColumnInfo]) -> list[str]:
    if "*" in name and name not in columns:
        container = name.partition(".")[0]
        found = matching(name, {**columns, **dict.fromkeys(scope.made)})
        return found or ([name] if container in scope.containers else [])
    return [name] if scope.has(name) or name in columns else []


def _check_write(tool: Tool, name: str, reads: Iterable[str], scope: _Scope, columns: Mapping[str, ColumnInfo]) -> None:
    container, _, column = name.partition(".")
    if column == "*":
        if container in scope.containers or any(
            known.partition(".")[0] == container for known in [*columns, *scope.made]
        ):
            raise JobOptionsError(
                f"{tool.name} makes the container {container!r}, which there is already",
                hint="give the new container another name",
            )
        return
    if "*" in name:
        raise JobOptionsError(f"{tool.name}.writes() names {name!r}: only a whole new container is written as 'C.*'")
    if (name in scope.made or name in columns) and name not in reads:
        origin = f"{scope.made[name]} writes it" if name in scope.made else "the input has it"
        raise JobOptionsError(
            f"{tool.name} writes {name}, but {origin} already",
            hint="choose another name, or declare it in reads() too if it is meant to be replaced or passed on",
        )


def _unsatisfied(
    tool: Tool,
    stream: Stream | None,
    name: str,
    scope: _Scope,
    columns: Mapping[str, ColumnInfo],
    later: Mapping[str, str],
) -> ColumnError:
    where = f"tool {tool.name}" + (f" of stream {stream.name}" if stream else "")
    datatype = tool.values_set.get("DataType")
    serves = f"this input cannot serve -dt {datatype}; " if datatype else ""
    container = name.partition(".")[0]
    writer = later.get(name) or later.get(f"{container}.*")
    if writer is not None and writer != tool.name:
        return ColumnError(
            f"{tool.name} reads {name}, which {writer} writes later or for another stream",
            where=where,
            hint=f"add {writer} before {tool.name}, on the job if several streams need it",
            about=name,
        )
    known = [*columns, *scope.made]
    containers = {k.partition(".")[0] for k in known}
    if container not in containers:
        close = nearest(container, containers, what="containers")
        homes = [home for home in containers if name.replace(container, home, 1) in known]
        if homes and not close.startswith("did you mean") and tool.values.get("Container") == container:
            hint = f"{tool.name} looks in its Container: set Container={homes[0]!r}"
            message = f"{tool.name} reads {name}, but there is no container {container!r}"
            return ColumnError(message, where=where, hint=hint)
        spelled = next((info.name for info in columns.values() if name in info.sources), "")
        return ColumnError(
            f"{tool.name} reads {name}, but there is no container {container!r}",
            where=where,
            hint=serves + (f"did you mean {spelled!r}?" if spelled else close),
            about=name,
        )
    siblings = [k.partition(".")[2] for k in known if k.partition(".")[0] == container]
    hint = serves + nearest(name.partition(".")[2], siblings, what=f"columns of {container}")
    longer = next((k for k in known if k.startswith(name) and quoted(k) != k), None)
    if longer is not None:
        hint += f"; in an expression {longer} is written {quoted(longer)}"
    return ColumnError(f"{tool.name} reads {name}, which is not there", where=where, hint=hint, about=name)


def _outputs(
    stream: Stream, scope: _Scope, passed: Sequence[str], columns: Mapping[str, ColumnInfo], needed: dict[str, None]
) -> list[str]:
    """Return what a stream writes: what it keeps of input and job, then what its own tools write."""
    available: dict[str, ColumnInfo | None] = {**columns, **dict.fromkeys(scope.made)}
    outputs = dict.fromkeys(stream.kept(available))
    outputs.update(dict.fromkeys(passed))
    links: dict[str, ColumnInfo | None] = {name: ColumnInfo(name, (), "link", 1) for name in scope.links}
    known = {**available, **dict.fromkeys(scope.made), **links}
    stream.check({name: known.get(name) for name in outputs if not name.endswith(".*")}, columns)
    for name in outputs:
        if not scope.has(name):
            needed[name] = None
    if not outputs:
        raise JobOptionsError(
            f"stream {stream.name} writes nothing",
            hint="add a tool that writes columns, or set Keep to name patterns of columns",
        )
    return list(outputs)
