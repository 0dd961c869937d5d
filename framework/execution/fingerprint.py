"""What a run is made of, for ``--resume``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hepflow.errors import differences
from hepflow.execution.code import sources
from hepflow.execution.plan import Plan, PlannedFile
from hepflow.files import sha256
from hepflow.job import Job
from hepflow.joboptions import JobFile
from hepflow.properties import Configurable
from hepflow.tool import Tool
from hepflow.versions import versions

__all__ = ["compared", "fingerprint_of", "is_run", "without_inputs"]

READING = ("hepflow", "numpy", "awkward", "uproot", "onnxruntime")
"""What the results of a work unit depend on, so that a run that is resumed must have the same."""


def fingerprint_of(
    job: Job,
    file: JobFile | None,
    plan: Plan,
    formats: Iterable[type[Any]],
    label: str,
    checksums: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """Return what a run is made of, as ``RunDirectory.check_fingerprint`` takes it.

    A job-option file counts through what it makes: tools, streams, their order and settings. Its text and its options
    count as well where it defines classes or functions, which may use the options.
    """
    read = {kind.format for kind in plan.kinds}
    last = {tool.name for tool in job.all_tools() if not tool.has_loop and type(tool).record is Tool.record}
    own: dict[str, Any] = {}
    if file is not None and _defines_code(file.module):
        text = hashlib.sha256(file.text.encode()).hexdigest()
        own = {"job-option file (SHA-256)": text, "options": _described(job.options)}
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
            "inputs": _inputs(plan, checksums),
            "files": [_named(f, plan) for f in plan.files],
        },
        "finalize": {
            "--label": label,
            **{t.name: _settings(t) if t.name in last else {} for t in job.all_tools()},
        },
    }


def _variations(plan: Plan) -> dict[str, Any]:
    """Return what the variations that were asked for are made of."""
    return {
        name: {**_described(flow.variation.told()), "settings": {t.name: _settings(t) for t in flow.variation.tools}}
        for name, flow in plan.flow.variations.items()
    }


def _inputs(plan: Plan, checksums: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what each input is, and which ranges of it are read."""
    ranges: dict[int, list[str]] = {id(file): [] for file in plan.files}
    for unit in plan.units:
        ranges[id(unit.file)].append(f"entries {unit.start}–{unit.stop}")
    return {
        _named(f, plan): {
            "size": f.size,
            "mtime": f.mtime,
            "uuid": f.identity,
            "unit": plan.kinds[f.kind].energy_unit,
            "path": f.path,
            "units": ranges[id(f)],
        }
        | ({"sha256": checksums[f.path]} if f.path in checksums else {})
        for f in plan.files
    }


def compared(
    earlier: Mapping[str, Any], current: Mapping[str, Any], failed: Collection[str]
) -> tuple[list[str], list[str], int]:
    """Compare what a run was made of with what it is made of now, as JSON has it; return in words what does not allow
    to go on, what does, and how many of the tools that only finalize are as they were.

    Inputs may have been added or taken out, and be others where they are among those that ``failed``.
    """
    refused = differences(earlier["settings"], current["settings"])
    refused += differences(without_inputs(earlier["run"]), without_inputs(current["run"]))
    old, new = earlier["run"]["inputs"], current["run"]["inputs"]
    both = [name for name in old if name in new and not {old[name]["path"], new[name]["path"]} & {*failed}]
    refused += differences({"inputs": {n: old[n] for n in both}}, {"inputs": {n: new[n] for n in both}})
    counts = {"added": len(new.keys() - old.keys()), "taken out": len(old.keys() - new.keys())}
    changed = [f"inputs: {count:,} {what}" for what, count in counts.items() if count]
    order = [[name for name in made["run"]["files"] if name in new and name in old] for made in (earlier, current)]
    changed += ["inputs: their order"] if order[0] != order[1] else []
    old, new = earlier["finalize"], current["finalize"]
    changed += [*differences(old, new), *_moved(old, new)]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old.items(), new.items(), strict=False)))
    return refused, changed, same


def without_inputs(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is made of besides its inputs."""
    return {name: told for name, told in run.items() if name not in ("inputs", "files")}


def is_run(run: Mapping[str, Any]) -> bool:
    """Tell whether this may be what ``fingerprint_of`` said of a run."""
    inputs = run.get("inputs")
    told = isinstance(inputs, dict) and all(isinstance(one, dict) and "path" in one for one in inputs.values())
    return told and isinstance(run.get("files"), list)


def _moved(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return in words which of the names that both have stand elsewhere now."""
    new = list(new)
    both = [name for name in old if name in new]
    pairs = [(a, b) for a, b in zip(both, (name for name in new if name in both), strict=True) if a != b]
    return [f"order: {' → '.join(', '.join(names) for names in zip(*pairs, strict=True))}"] if pairs else []


def _named(file: PlannedFile, plan: Plan) -> str:
    tree = plan.kinds[file.kind].tree
    return f"{file.path}:{tree}" if tree else file.path


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
