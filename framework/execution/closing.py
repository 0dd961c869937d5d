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
    """Finalize the tools in job order, each on a fresh copy; return their results by name."""
    results: dict[str, Any] = {}
    with closing(Processes(context.workers)) as processes:
        for tool in job.all_tools():
            kept, value = directory.load_step(f"{TOOL}{tool.name}")
            if not kept:
                value = totals.get(tool.name)
                if type(tool).finalize is not Tool.finalize:
                    reporter.step(f"finalizing {tool.name}")
                    here = replace(context, processes=processes, results=dict(results), outputs=outputs)
                    value = _finalize(tool, directory, here, value)
                directory.save_step(f"{TOOL}{tool.name}", value)
            results[tool.name] = value
    return results


def _finalize(tool: Tool, directory: RunDirectory, context: Context, total: Any) -> Any:
    copied = tool.copy()
    copied.freeze()
    try:
        with directory.noting(f"{TOOL}{tool.name}", context.written):
            return copied.finalize(total, context)
    except (Exception, SystemExit) as error:
        raise failure(error, tool, None, "finalize") from error
