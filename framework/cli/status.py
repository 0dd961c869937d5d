"""``hepflow status``."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from hepflow.cli.console import common_options, console, duration, start_logging
from hepflow.errors import many
from hepflow.execution.rundir import FAILURES
from hepflow.execution.status import RunState, state_of
from hepflow.registry.manager import registry

__all__ = ["status_command"]

STYLES = {"finished": "bold green", "running": "bold cyan", "detached": "bold cyan"}


@click.command("status")
@click.argument("folder", type=click.Path(path_type=Path))
@common_options
def status_command(folder: Path, plugins: tuple[str, ...], debug: bool) -> None:
    """Show the state of the run in a folder: progress, failures, and what to do next."""
    start_logging(debug)
    state = state_of(folder, registry(plugins))
    out = console()
    out.print(f"{folder}: {state.what}", style=STYLES.get(state.what, "bold red"))
    lines = [*_job(state), *_units(state), *_jobs(state, folder), *_trouble(state, folder), *_next(state, folder)]
    for label, text in lines:
        out.print(f"  {label:<9}{text}")


def _job(state: RunState) -> list[tuple[str, str]]:
    lines = []
    if state.what == "finished":
        events, seconds = state.record.get("events", 0), state.record.get("seconds", 0.0)
        lines.append(("done", f"{many(events, 'event')}, {duration(seconds)} in the last run, {_clock_of(state)}"))
        for name, files in state.record.get("outputs", {}).items():
            lines.append(("output", f"{name}: {files[0]}{f' … {files[-1]}' if files[1:] else ''}" if files else name))
    elif state.noted:
        began = state.noted["began"]
        ended = state.noted.get("ended")
        until = f"ended {_clock(ended)}" if ended else f"for {duration(time.time() - began)}"
        if state.what == "running" or ended:
            lines.append(("began", f"{_clock(began)}, {until}"))
        else:
            lines.append(("began", f"{_clock(began)}; its process is gone without a word"))
        where = f"{state.noted['executor']}, process {state.noted['pid']} on {state.noted['host']}"
        lines.append(("by", where))
    return lines


def _units(state: RunState) -> list[tuple[str, str]]:
    total = state.noted.get("units", 0)
    if state.what == "finished" or not total:
        return []
    text = f"{state.done:,} of {total:,} done ({state.done / total:.0%})"
    fresh = state.done - state.noted["before"]
    if state.what == "running" and fresh > 0 and state.last is not None:
        left = (total - state.done) * (time.time() - state.noted["began"]) / fresh
        text += f", about {duration(left)} left" if total > state.done else ""
    lines = [("units", text)]
    if state.last is not None:
        lines.append(("", f"the last one {duration(time.time() - state.last)} ago"))
    if state.steps:
        lines.append(("behind", ", ".join(state.steps[-4:])))
    return lines


def _jobs(state: RunState, folder: Path) -> list[tuple[str, str]]:
    jobs = state.jobs
    if jobs is None:
        return []
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(jobs.states.items())) or "none"
    lines = [("jobs", f"not known: {jobs.unknown}" if jobs.unknown else told)]
    if Path(jobs.folder) != folder and not _same(Path(jobs.folder), folder):
        lines.append(("moved", f"the jobs look for this folder in {jobs.folder}: move it back"))
    if jobs.cancel:
        lines.append(("cancel", shlex.join(jobs.cancel)))
    return lines


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _trouble(state: RunState, folder: Path) -> list[tuple[str, str]]:
    lines = []
    causes = Counter(str(row.get("cause", "failed")) for row in state.failures)
    first = {str(row.get("cause", "failed")): row for row in reversed(state.failures)}
    for cause, count in causes.most_common():
        entries = first[cause].get("entries")
        place = first[cause]["file"] + (f", entries {entries[0]}–{entries[1]}" if entries else "")
        lines += [("failed", f"{count:,} {cause}"), ("", f"{place}: {first[cause].get('message', '')}")]
    if state.failures:
        lines.append(("", f"all of them: {folder / FAILURES}"))
    elif state.what == "failed":
        error = state.noted["error"]
        lines += [("error", error["message"]), *((key, error[key]) for key in ("where", "hint") if error[key])]
    left_out = state.record.get("left_out", []) if state.what == "finished" else []
    if left_out:
        lines.append(("left out", f"{len(left_out):,} work units: the outputs lack them"))
    return lines


def _next(state: RunState, folder: Path) -> list[tuple[str, str]]:
    resume = state.resume(folder) or "run what started it again, with resume"
    if state.what == "finished":
        return [("next", f"hepflow inspect {folder}")]
    if state.what == "running":
        return [("next", "wait; Ctrl-C where it runs ends it, what is done is kept")]
    lines = [("next", resume)]
    if state.what == "detached":
        lines.append(("", "it collects what is done, submits again what is lost; with --detach it returns"))
    if state.failures:
        lines += [("or", f"{resume} --leave-out"), ("", "outputs without what failed")]
    return lines


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def _clock_of(state: RunState) -> str:
    finished = str(state.record.get("finished", ""))
    try:
        return _clock(datetime.fromisoformat(finished).timestamp())
    except ValueError:
        return finished
