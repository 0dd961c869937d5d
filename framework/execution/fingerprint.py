"""What a run is made of, for ``--resume``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from hepflow.context import Context
from hepflow.errors import differences
from hepflow.execution.code import own_modules, sources
from hepflow.execution.plan import Plan
from hepflow.files import sha256
from hepflow.job import Job
from hepflow.joboptions import JobFile
from hepflow.properties import Configurable
from hepflow.tool import Tool
from hepflow.versions import versions

__all__ = ["Differences", "compared", "fingerprint_of"]

FIELDS = ("tree", "size", "mtime", "ctime", "uuid", "unit", "entries", "sha256")
"""What is known of an input."""

READING = ("hepflow", "numpy", "awkward", "uproot", "onnxruntime")
"""What the results of a work unit depend on, so that a run that is resumed must have the same."""


def fingerprint_of(
    job: Job,
    file: JobFile | None,
    plan: Plan,
    formats: Iterable[type[Any]],
    context: Context,
    checksums: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """Return what a run is made of, as ``RunDirectory.check_fingerprint`` takes it.

    A job-option file counts through what it makes: tools, streams, their order and settings. Its text, its options and
    the user's own modules that it imports count as well where it defines classes or functions, which may use them.
    """
    read = {kind.format for kind in plan.kinds}
    last = {tool.name for tool in job.all_tools() if not tool.has_loop and type(tool).record is Tool.record}
    own: dict[str, Any] = {}
    if file is not None and _defines_code(file.module):
        text = hashlib.sha256(file.text.encode()).hexdigest()
        modules = {name: sha256(path) for name, path in sorted(own_modules(file.module, file.path).items())}
        own = {"job-option file (SHA-256)": text, "options": _described(job.options), "modules (SHA-256)": modules}
    return {
        "settings": {m.name: _settings(m) for m in job.configurables() if m.name not in last},
        "run": {
            "job": job.name,
            **own,
            "order": {
                owner: [tool.name for tool in tools if tool.name not in last]
                for owner, tools in (("job", job.tools), *((stream.name, stream.tools) for stream in job.streams))
            },
            "seed": job.seed,
            **({"--variations": varied} if (varied := _variations(plan)) else {}),
            **({"--lumi": factors} if (factors := {k.sample: k.factor for k in plan.kinds if k.factor}) else {}),
            "versions": {name: version for name, version in versions().items() if name in READING},
            "readers": sources(reader for reader in formats if reader.format in read),
        },
        "inputs": _inputs(plan, checksums),
        "finalize": {
            "--label": context.label,
            "--style": context.style,
            **{t.name: _settings(t) if t.name in last else {} for t in job.all_tools()},
        },
    }


def _variations(plan: Plan) -> dict[str, Any]:
    """Return what the variations that were asked for are made of."""
    return {
        name: {**_described(flow.variation.told()), "settings": {t.name: _settings(t) for t in flow.variation.tools}}
        for name, flow in plan.flow.variations.items()
    }


def _inputs(plan: Plan, checksums: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return what each input is, and which ranges of it are read, in plan order, as ``FIELDS`` say: there may be
    many.
    """
    ranges: dict[int, list[str]] = {id(file): [] for file in plan.files}
    for unit in plan.units:
        ranges[id(unit.file)].append(f"{unit.start}–{unit.stop}")
    rows = {}
    for f in plan.files:
        kind = plan.kinds[f.kind]
        told = [f.size, f.mtime, f.ctime, f.identity, kind.energy_unit, ", ".join(ranges[id(f)])]
        rows[f"{f.path}:{kind.tree}" if kind.tree else f.path] = [kind.tree, *told, checksums.get(f.path, "")]
    return rows


class Differences(NamedTuple):
    """What does not allow to go on, and what does, in words; how many of the tools that only finalize are as they were;
    inputs that somebody touched, with the size, time and UUID that they had.
    """

    refused: list[str]
    changed: list[str]
    same: int
    touched: list[str]


def compared(earlier: Mapping[str, Any], current: Mapping[str, Any], failed: Collection[str]) -> Differences:
    """Compare what a run was made of with what it is made of now, as JSON has it.

    Inputs may have been added or taken out, and be others where they are among those that ``failed``.
    """
    refused = differences(earlier["settings"], current["settings"])
    refused += differences(earlier["run"], current["run"])
    old, new = earlier["inputs"], current["inputs"]
    both = [name for name in old if name in new and not {_path(name, old), _path(name, new)} & {*failed}]
    other = [name for name in both if old[name] != new[name]]
    was, now = ({"inputs": {name: _described_input(made[name]) for name in other}} for made in (old, new))
    refused += differences(was, now)
    touched = [name for name in other if not new[name][-1]] if not refused else []
    counts = {"added": len(new.keys() - old.keys()), "taken out": len(old.keys() - new.keys())}
    changed = [f"inputs: {count:,} {what}" for what, count in counts.items() if count]
    order = [[name for name in inputs if name in new and name in old] for inputs in (old, new)]
    changed += ["inputs: their order"] if order[0] != order[1] else []
    old, new = earlier["finalize"], current["finalize"]
    changed += [*differences(old, new), *_moved(old, new)]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old.items(), new.items(), strict=False)))
    return Differences(refused, changed, same, touched)


def _path(name: str, inputs: Mapping[str, Sequence[Any]]) -> str:
    return name.removesuffix(f":{inputs[name][0]}")


def _described_input(row: Sequence[Any]) -> dict[str, Any]:
    """Return what must be the same of an input, by what it is."""
    told = dict(zip(FIELDS, row, strict=False))
    return {**told, "entries": str(told.get("entries", "")).split(", "), "ctime": 0}


def _moved(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return in words which of the names that both have stand elsewhere now."""
    new = list(new)
    both = [name for name in old if name in new]
    pairs = [(a, b) for a, b in zip(both, (name for name in new if name in both), strict=True) if a != b]
    return [f"order: {' → '.join(', '.join(names) for names in zip(*pairs, strict=True))}"] if pairs else []


def _defines_code(module: ModuleType) -> bool:
    """Tell whether a job-option file defines classes or functions of its own."""
    return any(
        isinstance(thing, type | FunctionType) and thing.__module__ == module.__name__
        for thing in vars(module).values()
    )


def _settings(member: Configurable) -> dict[str, Any]:
    """Return class, properties, and checksums of the code and of the data files of a tool or stream."""
    return {
        "class": type(member).__name__,
        **_described(member.values),
        **{f"{module}.py (SHA-256)": digest for module, digest in sources([type(member)]).items()},
        **{f"{key} (SHA-256)": sha256(Path(path)) for key, path in member.data_files().items()},
    }


def _described(value: Any) -> Any:
    """Return the value of a property as dicts, lists, numbers and texts; an object as what it holds."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _described(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_described(one) for one in value]
    held = {} if isinstance(value, type | FunctionType) else getattr(value, "__dict__", {})
    public = {name: _described(one) for name, one in held.items() if not name.startswith("_")}
    return {"class": type(value).__name__, **public} if public else repr(value)
