"""The end of a run: streams are closed, tools finalize, each once; what an earlier run has done of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from hepflow.context import Context
from hepflow.errors import HepflowError, OutputError
from hepflow.execution.loop import failure
from hepflow.execution.options import Reporter
from hepflow.execution.rundir import STREAM, TOOL, RunDirectory
from hepflow.execution.totals import Totals
from hepflow.job import Job
from hepflow.processes import Processes
from hepflow.tool import Tool
from hepflow.variations import VARIATIONS

__all__ = ["close_streams", "finalize_tools"]


def close_streams(
    job: Job, directory: RunDirectory, context: Context, totals: Totals, reporter: Reporter, *, keep_parts: bool
) -> dict[str, list[Path]]:
    """Close the streams; return their files. The parts are removed, unless what was left out may be put back."""
    outputs: dict[str, list[Path]] = {}
    for stream in job.streams:
        paths = directory.closed_stream(stream.name)
        parts = totals.parts(stream.name)
        if paths is None:
            reporter.step(f"closing {stream.name}")
            copied = stream.copy()
            copied.freeze()
            try:
                with directory.noting(f"{STREAM}{stream.name}", context.written):
                    paths = copied.close(parts, context)
            except (HepflowError, OSError):
                raise
            except Exception as error:
                raise OutputError(
                    f"stream {stream.name} could not be closed: {type(error).__name__}: {error}",
                    where=str(directory.path),
                    hint="--debug shows the traceback; finished work units are kept, --resume continues",
                ) from error
            directory.save_stream(stream.name, paths, parts)
        for part in () if keep_parts else parts:
            part.unlink(missing_ok=True)
        outputs[stream.name] = list(paths)
    return outputs


def finalize_tools(
    job: Job,
    directory: RunDirectory,
    context: Context,
    totals: Mapping[str, Any],
    outputs: Mapping[str, list[Path]],
    reporter: Reporter,
) -> dict[str, Any]:
    """Finalize the tools in job order, each on a fresh copy; return their results by name, and in ``VARIATIONS`` by
    variation those of the tools that ran again: what they write then goes into a folder of the variation.
    """
    results: dict[str, Any] = {}
    varied: dict[str, dict[str, Any]] = {name: dict(of["results"]) for name, of in totals.get(VARIATIONS, {}).items()}
    before = {name: dict(of) for name, of in varied.items()}
    with closing(Processes(context.workers, reporter.helped)) as processes:
        tools = [tool for tool in job.all_tools() if type(tool).finalize is not Tool.finalize]
        for tool in job.all_tools():
            kept, value = directory.load_step(f"{TOOL}{tool.name}")
            if not kept:
                value = totals.get(tool.name)
                own = {name: of[tool.name] for name, of in before.items() if tool.name in of}
                if tool in tools:
                    place = tools.index(tool) + 1
                    reporter.step(f"finalizing {tool.name} ({place} of {len(tools)})")
                    here = replace(context, processes=processes, results=dict(results), outputs=outputs, varied=own)
                    value = _finalize(tool, directory, here, value)
                    for name, total in own.items():
                        there = replace(
                            here, variation=name, varied={}, results={**results, **varied[name]},
                            folder=f"{VARIATIONS}/{name}",
                        )  # fmt: skip
                        own[name] = _finalize(tool, directory, there, total)
                value = (value, own)
                directory.save_step(f"{TOOL}{tool.name}", value)
            results[tool.name], own = value
            for name, one in own.items():
                varied[name][tool.name] = one
    return {**results, **({VARIATIONS: varied} if varied else {})}


def _finalize(tool: Tool, directory: RunDirectory, context: Context, total: Any) -> Any:
    copied = tool.copy()
    copied.freeze()
    try:
        with directory.noting(f"{TOOL}{tool.name}", context.written):
            return copied.finalize(total, context)
    except (Exception, SystemExit) as error:
        raise failure(error, tool, None, "finalize") from error
