"""How the outputs of a run were made: ``provenance.json`` and ``cutflow.json``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hepflow.events.scope import Cutflow, Yields
from hepflow.execution.loop import record_of
from hepflow.execution.options import RunOptions
from hepflow.execution.plan import FileKind, Plan, PlannedFile
from hepflow.execution.totals import Total
from hepflow.files import sha256
from hepflow.job import Job
from hepflow.normalisation import NORMALISATION
from hepflow.registry.manager import Registry
from hepflow.variations import VARIATIONS
from hepflow.versions import versions

__all__ = ["cutflow_rows", "now", "provenance_of", "yields_of"]


def yields_of(total: Total) -> dict[str, Yields]:
    """Return sample → line of the cutflow → sums of weights before and after."""
    return {sample: found["yields"] for sample, found in total.results.get(NORMALISATION, {}).items()}


def _normalisation(plan: Plan, total: Total) -> list[dict[str, Any]]:
    """Return the numbers of what was read of each sample, and the factor of its weights with ``--lumi``."""
    factors = {kind.sample: {"factor": kind.factor} for kind in plan.kinds if kind.factor is not None}
    known = {plan.kinds[f.kind].sample: f.normalisation for f in plan.files if f.normalisation is not None}
    read = total.results.get(NORMALISATION, {})
    return [
        {**known[sample].told(), **read[sample]["numbers"], **factors.get(sample, {})}
        for sample in read
        if sample in known and read[sample]["numbers"]
    ]


def cutflow_rows(total: Total) -> list[dict[str, Any]]:
    """Return a cutflow as plain data; the lines of a variation are those of the tools that ran again."""
    rows = _rows(total.cutflow, yields_of(total))
    for name, of in total.results.get(VARIATIONS, {}).items():
        rows += [{"variation": name, **row} for row in _rows(of["cutflow"], of["yields"])]
    return rows


def _rows(cutflow: Cutflow, yields: Mapping[str, Yields]) -> list[dict[str, Any]]:
    return [
        {
            "stream": stream,
            "tool": tool,
            "container": container or "events",
            "selection": label,
            "before": before,
            "after": after,
            **({"missing": missing} if missing else {}),
            **({"yields": found} if (found := {name: of[line] for name, of in yields.items() if line in of}) else {}),
        }
        for line, (before, after, missing) in cutflow.items()
        for stream, tool, container, label in [line]
    ]


def now() -> str:
    """Return the time, as records have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _records(job: Job, plan: Plan) -> list[dict[str, Any]]:
    """Return what the tools that made the inputs, and those of this job, say of their output, each once."""
    found: list[dict[str, Any]] = []
    for name, record in (item for kind in plan.kinds for item in kind.records.items()):
        entry = {"tool": name, "of": "inputs", "record": dict(record)}
        if entry not in found:
            found.append(entry)
    told = ((tool.name, record_of(tool)) for tool in job.all_tools())
    return [*found, *({"tool": name, "of": "job", "record": own} for name, own in told if own)]


def _input(file: PlannedFile, kind: FileKind, checksums: Mapping[str, str]) -> dict[str, Any]:
    told = {key: getattr(file, key) for key in ("path", "entries", "size", "mtime")}
    told |= {key: getattr(kind, key) for key in ("sample", "format", "tree", "energy_unit")}
    checksum = {"sha256": checksums[file.path]} if file.path in checksums else {}
    return {**told, "uuid": file.identity, **checksum}


def provenance_of(
    job: Job,
    plan: Plan,
    options: RunOptions,
    plugins: Registry,
    checksums: Mapping[str, str],
    total: Total,
    outputs: Mapping[str, Sequence[Path]],
    samples: Mapping[Path, str],
    left_out: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return how the run's outputs were made."""
    return {
        "job": job.name,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "finished": now(),
        "seconds": 0.0,
        "events": total.entries,
        "asked": {"events": options.events, "skip": options.skip, "chunk": options.chunk, "workers": options.workers}
        | {"executor": options.executor},
        "folder": str(Path.cwd()),
        "options": job.options,
        "datatype": job.datatype,
        "seed": job.seed,
        "luminosity": options.lumi,
        "normalisation": _normalisation(plan, total),
        "variations": {
            name: {**flow.variation.told(), "again": sorted(flow.again), "nominal": list(flow.nominal)}
            for name, flow in plan.flow.variations.items()
        },
        "properties": {m.name: {"class": type(m).__name__, **m.values} for m in job.configurables()},
        "set": {m.name: list(m.values_set) for m in job.configurables()},
        "records": _records(job, plan),
        "versions": versions(),
        "plugins": {
            p.name: f"{p.distribution} {p.version}" + (" (off)" if p.blocked else "") for p in plugins.plugins.values()
        },
        "inputs": [_input(f, plan.kinds[f.kind], checksums) for f in plan.files],
        "models": {str(path): sha256(path) for path in job.data_files().values()},
        "units": len(plan.units),
        "left_out": list(left_out),
        "remarks": list(plan.notes),
        "notes": [{"column": name, "links": count, "note": text} for (text, name), count in total.notes.items()],
        "outputs": {name: [path.name for path in paths] for name, paths in outputs.items()},
        "samples": {path.name: sample for path, sample in samples.items()},
    }
