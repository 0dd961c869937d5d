"""The data flow of variations: where what they override comes in, which tools run again, what streams write besides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hepflow.errors import ColumnError, JobOptionsError, nearest
from hepflow.events.access import Access
from hepflow.execution.lineage import Lineage
from hepflow.job import Job
from hepflow.normalisation import WEIGHT
from hepflow.protocols import ColumnInfo, matching
from hepflow.stream import Stream
from hepflow.tool import Tool
from hepflow.variations import FromInput, Variation

__all__ = ["Resolved", "VariedFlow", "names_of", "vary"]


EVENT, PASSES = "EventInfo", "passes"
"""Container of what events have; column that tells what a selection leaves."""


@dataclass(frozen=True)
class VariedFlow:
    """What a variation does.

    Its overrides come in behind the first ``place`` tools of the job, which get their ``access`` (-1: there are none,
    it is another sample); they take ``needs`` from the input. These tools run ``again``. ``columns`` are those of a
    stream that differ, where it writes them; the streams in ``selects`` have other objects or events, too. ``flags``
    are those of an input that tells which objects the variation has, ``selected`` who has selected the input by what
    varies (tool, column).
    """

    variation: Variation
    place: int
    access: Mapping[str, Access]
    needs: frozenset[str]
    again: frozenset[str]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    selects: frozenset[str] = frozenset()
    nominal: tuple[str, ...] = ()
    """Streams that stay nominal, though something in them differs."""
    flags: tuple[str, ...] = ()
    selected: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Resolved:
    """The nominal data flow: what ``vary`` starts from."""

    columns: Mapping[str, ColumnInfo]
    access: Mapping[str, Access]
    outputs: Mapping[str, Sequence[str]]
    derivations: Mapping[str, Sequence[str]]
    lineage: Lineage = field(default_factory=Lineage)


@dataclass
class _Walk:
    """What differs at a point of the walk: columns, containers made anew, and whether objects or events do."""

    columns: set[str]
    containers: set[str] = field(default_factory=set)
    selected: bool = False

    def child(self) -> _Walk:
        return _Walk(set(self.columns), set(self.containers), self.selected)

    def passes(self, tool: Tool, access: Access) -> bool:
        """Tell whether a tool runs again, and note what differs behind it."""
        reads = access.reads | access.optional
        others = self.selected or bool(access.containers & self.containers)
        again = others or (tool.varies and bool(reads & self.columns))
        if others and not tool.varies and reads & self.columns:
            raise JobOptionsError(
                f"{tool.name} reads {min(reads & self.columns)}, which varies, and it never varies itself (truth)",
                hint=f"add {tool.name} to the job before what selects by varied columns",
            )
        if again:
            self.columns |= access.writes
            self.containers |= access.created
            self.selected |= tool.selects
        return again


def names_of(name: str, variation: str) -> str:
    """Return what a varied column is called beside the nominal one."""
    return f"{name}__{variation}"


def vary(variation: Variation, job: Job, found: Resolved) -> VariedFlow:
    """Return the data flow of a variation.

    ColumnError where it reads or overrides what is not there, JobOptionsError where nothing depends on it, or where
    only a part of what depends on it would vary.
    """
    where = f"job {job.name}, variation {variation.name}"
    variation = _from_input(variation, found, where) if variation.stored else variation
    if variation.samples:
        every = frozenset(tool.name for tool in job.all_tools() if tool.has_loop)
        streams = tuple(stream.name for stream in job.streams)
        return VariedFlow(variation, -1, {}, frozenset(), every, nominal=streams)
    overridden, place, access, needs = _overrides(variation, job, found, where)
    _check_whole(variation, job, found, overridden, place, where)
    flags = found.lineage.varied.get(variation.name, ())
    walk = _Walk(set(), selected=bool(flags))
    again: set[str] = set()
    for number, tool in enumerate([*job.tools, None]):
        if number == place:
            walk.columns |= {*overridden, *([WEIGHT] if variation.weighs else [])}
        if tool is not None and tool.has_loop and walk.passes(tool, found.access[tool.name]):
            again.add(tool.name)
    columns: dict[str, tuple[str, ...]] = {}
    selects, nominal = set(), []
    for stream in job.streams:
        inner = walk.child()
        tools = [tool for tool in stream.tools if tool.has_loop]
        again |= {tool.name for tool in tools if inner.passes(tool, found.access[tool.name])}
        outputs = found.outputs[stream.name]
        differ = tuple(name for name in outputs if name in inner.columns)
        if not differ and not inner.selected and not _anew(outputs, inner):
            continue
        if not stream.varies or _anew(outputs, inner):
            nominal.append(stream.name)
            continue
        columns[stream.name] = differ
        selects |= {stream.name} if inner.selected else set()
        _check_written(stream, variation, differ, outputs, found, selected=inner.selected)
    if not again and not columns:
        raise _unread(variation, job, overridden, nominal, where)
    steps = [step for step in found.lineage.steps if step.selects and not flags]
    by = {step.who: _varied_one(step.of, overridden, found.derivations) for step in steps}
    selected = tuple((who, column) for who, column in by.items() if column)
    told = frozenset(again), columns, frozenset(selects), tuple(nominal)
    return VariedFlow(variation, place, access, needs, *told, flags, selected)


def _from_input(variation: Variation, found: Resolved, where: str) -> Variation:
    """Return a variation with what the input has for it; ColumnError where that is nothing."""
    columns = {name: names_of(name, variation.name) for name in found.columns if name not in found.lineage.flags}
    there = {name: own for name, own in columns.items() if own in found.columns}
    if not there:
        known = dict.fromkeys(name.rpartition("__")[2] for name in found.columns if "__" in name.rpartition(".")[2])
        hint = nearest(variation.name, known, what="variations") if known else "it was written without variations"
        raise ColumnError(f"the input has no columns …{names_of('', variation.name)}", where=where, hint=hint)
    tool = FromInput(f"{variation.name}_stored", Columns=there)
    tool.freeze()
    return replace(variation, tools=(*variation.tools, tool))


def _anew(outputs: Sequence[str], walk: _Walk) -> bool:
    """Tell whether a stream writes a container that is made anew, of other objects."""
    return any(name.partition(".")[0] in walk.containers for name in outputs)


def _check_written(
    stream: Stream, variation: Variation, differ: Sequence[str], outputs: Sequence[str], found: Resolved, *,
    selected: bool,
) -> None:  # fmt: skip
    """Let the stream see that it can write what is written besides; JobOptionsError where a name is taken."""
    names = {names_of(name, variation.name): found.columns.get(name) for name in differ}
    containers = {name.partition(".")[0] for name in outputs} | {EVENT}
    flags = {f"{container}.{PASSES}" for container in containers} if selected else set()
    taken = sorted((names.keys() | flags) & {*outputs})
    if taken:
        raise JobOptionsError(f"the stream {stream.name} writes {taken[0]} already, which a variation needs")
    stream.check(names, found.columns)


def _overrides(
    variation: Variation, job: Job, found: Resolved, where: str
) -> tuple[dict[str, str], int, dict[str, Access], frozenset[str]]:
    """Return what is overridden and by which tool, behind how many tools of the job, the access of the overrides, and
    what they take from the input.
    """
    makers, first = _makers(job), _makers(job, first=True)
    overridden: dict[str, str] = {}
    access: dict[str, Access] = {}
    own: set[str] = set()
    needs: set[str] = set()
    place = 0

    def take(name: str, who: str, *, optional: bool) -> list[str]:
        nonlocal place
        _check_own(name, who, variation, found.lineage, where)
        names = [*matching(name, {**found.columns, **dict.fromkeys(makers)})] if "*" in name else [name]
        for one in names:
            stored = one in found.columns
            made = 0 if stored else first.get(one, first.get(f"{one.partition('.')[0]}.*", 0))
            if not made and not stored and one not in own:
                if optional:
                    return []
                raise _not_there(one, who, job, found, where)
            place = max(place, made)
            if stored and one not in own and not optional:
                needs.add(one)
        return names

    for tool in variation.tools:
        declared = [str(name) for name in tool.reads()]
        optionals = [name.removesuffix("?") for name in declared if name.endswith("?")]
        reads = [n for name in declared for n in take(name.removesuffix("?"), tool.name, optional=name.endswith("?"))]
        writes = [str(name) for name in tool.writes()]
        for name in writes:
            _check_override(name, tool, overridden, where)
            made = makers.get(name, makers.get(f"{name.partition('.')[0]}.*", 0))
            if made or name in found.columns:
                overridden[name] = tool.name
                place = max(place, made)
            own.add(name)
        if not writes:
            raise JobOptionsError(f"{tool.name} overrides no column", where=where, hint="a selection cannot vary alone")
        if not overridden.keys() & {*writes} and tool is variation.tools[-1]:
            raise _not_there(writes[0], tool.name, job, found, where)
        access[tool.name] = Access.of(tool.name, reads, writes, optionals)
    for name in variation.weight.columns:
        take(name, "its weight", optional=False)
    return overridden, place, access, frozenset(needs)


def _check_own(name: str, who: str, variation: Variation, lineage: Lineage, where: str) -> None:
    """Raise JobOptionsError for a column of another variation of the input, which has other objects."""
    other = name.rpartition("__")[2]
    if lineage.varied.get(other) and other != variation.name:
        raise JobOptionsError(
            f"{who} takes {name}: the input was selected by {other}, and the variation is called {variation.name}",
            where=where,
            hint=f"call it {other}, too: it then has the objects that {other} selected",
        )


def _makers(job: Job, *, first: bool = False) -> dict[str, int]:
    """Return column → number of the last tool of the job that writes it, or of the first."""
    tools = list(enumerate(job.tools, 1))
    return {str(name): number for number, tool in (tools[::-1] if first else tools) for name in tool.writes()}


def _check_override(name: str, tool: Tool, overridden: Mapping[str, str], where: str) -> None:
    """Raise JobOptionsError where a column cannot be overridden."""
    container, _, column = name.partition(".")
    if "*" in name:
        raise JobOptionsError(
            f"{tool.name} makes {name}: a variation overrides columns, it makes no containers", where=where
        )
    if container.startswith("Truth") or column.startswith("truth") or column in ("eventNumber", "mcEventNumber"):
        raise JobOptionsError(
            f"{tool.name} overrides {name}: truth, event numbers and folds never vary",
            where=where,
            hint="vary what is reconstructed",
        )
    if name == WEIGHT:
        raise JobOptionsError(f"{tool.name} overrides {name}", where=where, hint="job.vary(…, weight=…) does that")
    if name in overridden:
        raise JobOptionsError(
            f"{overridden[name]} and {tool.name} both override {name}: one would undo the other",
            where=where,
            hint="override it once, or give them two variations",
        )


def _check_whole(
    variation: Variation, job: Job, found: Resolved, overridden: Mapping[str, str], place: int, where: str
) -> None:
    """Raise JobOptionsError where something that was made of a varied column would stay nominal."""
    for tool in [tool for tool in job.tools[:place] if tool.has_loop]:
        access = found.access[tool.name]
        varied = sorted((access.reads | access.optional) & overridden.keys() - access.writes) if tool.varies else []
        if varied and not access.writes <= overridden.keys() | {*variation.unchanged}:
            raise JobOptionsError(
                f"{tool.name} makes {min(access.writes - overridden.keys())} of {varied[0]} before {varied[0]} varies: "
                "half of the job would be nominal",
                where=where,
                hint=f"let {overridden[varied[0]]} not read what {tool.name} and later tools make",
            )
        if varied and tool.selects:
            raise JobOptionsError(
                f"{tool.name} selects by {varied[0]} before it varies: the selection would be nominal",
                where=where,
                hint=f"let {overridden[varied[0]]} not read what later tools make",
            )
    written = {name for stream in job.streams if stream.varies for name in found.outputs[stream.name]}
    used = {name for one in found.access.values() for name in one.reads} | written
    unknown = next((n for n in variation.unchanged if n not in found.columns and n not in _makers(job)), None)
    if unknown is not None:
        raise _not_there(unknown, "unchanged", job, found, where)
    stored = (used & found.columns.keys()) - overridden.keys() - {*variation.unchanged} - _makers(job).keys()
    for name in sorted(stored):
        source = _varied_one(_of(name, found.derivations), overridden, found.derivations)
        if source:
            maker = f" (by {who})" if (who := found.lineage.maker(name)) else ""
            raise JobOptionsError(
                f"{name} of the input was made of {source}{maker}, which varies, and nothing in the job makes it anew",
                where=where,
                hint=f"override it too, add the tool that makes it, or say that it stays: unchanged=({name!r},)",
            )


def _of(name: str, derivations: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what a stored column was made of, or its container as a whole."""
    return (*derivations.get(name, ()), *derivations.get(f"{name.partition('.')[0]}.*", ()))


def _varied_one(names: Iterable[str], varied: Mapping[str, str], derivations: Mapping[str, Sequence[str]]) -> str:
    """Return which of these stored columns varies, or what one was made of, directly or not; empty where none does."""
    seen: set[str] = set()
    waiting = [*names]
    while waiting:
        one = waiting.pop()
        if one in varied:
            return one
        if one not in seen:
            seen.add(one)
            waiting += _of(one, derivations)
    return ""


def _not_there(name: str, who: str, job: Job, found: Resolved, where: str) -> ColumnError:
    later = next((t.name for s in job.streams for t in s.tools if name in t.writes()), "")
    if later:
        hint = f"{later} of a stream makes it: what varies is made on the job"
    else:
        container = name.partition(".")[0]
        known = [n for n in (*found.columns, *_makers(job)) if n.partition(".")[0] == container]
        hint = nearest(name, known or found.columns, what="columns")
    return ColumnError(f"{who} takes or overrides {name}, which is not there", where=where, hint=hint, about=name)


def _unread(
    variation: Variation, job: Job, overridden: Mapping[str, str], nominal: Sequence[str], where: str
) -> JobOptionsError:
    """Return the error of a variation that nothing depends on."""
    what = ", ".join(overridden) or "the weights of events"
    if nominal:
        told = f"only {', '.join(nominal)} depends on {what}, and stays nominal"
        return JobOptionsError(told, where=where, hint="an ntuple or MxAOD can hold varied columns beside nominal ones")
    hint = "plots are filled with weights" if variation.weighs else "leave the variation out, or vary what tools read"
    return JobOptionsError(f"nothing in the job reads {what}: the variation changes nothing", where=where, hint=hint)
