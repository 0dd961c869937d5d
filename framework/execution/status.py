"""How a run is: noted in its folder by who runs it, told to whoever asks."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepflow.errors import HepflowError, InputError, OutputError
from hepflow.execution.rundir import PROVENANCE, RUN, STATE, RunDirectory
from hepflow.execution.totals import progress
from hepflow.executor import Detached, Executor, Jobs
from hepflow.files import write_text
from hepflow.registry.manager import Registry

__all__ = ["RunState", "check_no_jobs", "note_end", "note_start", "state_of"]


def note_start(directory: RunDirectory, units: int, entries: int, executor: Executor | None) -> None:
    """Note in the folder of a run who runs it, where, and how much there is to do."""
    told = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "folder": str(Path.cwd()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "began": time.time(),
        "executor": executor.name if executor else "processes",
        "settings": executor.values_set if executor else {},
        "units": units,
        "entries": entries,
        "before": progress(directory.ledger)[0],
    }
    directory.write_json(f"{STATE}/{RUN}", told)


def note_end(directory: RunDirectory, error: BaseException | None) -> None:
    """Note that a run has ended, and with what error; a folder that cannot be written any more says nothing."""
    path = directory.state / RUN
    with suppress(OSError, ValueError, HepflowError):
        told = json.loads(path.read_text(encoding="utf-8"))
        told["ended"] = time.time()
        if isinstance(error, HepflowError):
            told["error"] = {"message": error.message, "where": error.where, "hint": error.hint}
        elif isinstance(error, KeyboardInterrupt):
            told["error"] = {"message": "interrupted", "where": "", "hint": ""}
        elif error is not None and not isinstance(error, Detached):
            told["error"] = {"message": f"{type(error).__name__}: {error}", "where": "", "hint": ""}
        write_text(path, json.dumps(told, indent=2))


@dataclass(frozen=True)
class RunState:
    """What is known of a run: ``what`` it is (finished, running, detached, failed, interrupted, stopped: its process is
    gone), what its start noted, its record where it has finished, finished units and when the last was, steps behind
    the event loop, failures, and jobs that go on without it.
    """

    what: str
    noted: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    done: int = 0
    last: float | None = None
    steps: list[str] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    jobs: Jobs | None = None

    def resume(self, folder: Path) -> str:
        """Return the command that continues the run in a folder; empty where it is not known."""
        words = [word for word in self.noted.get("command", []) if word not in ("--force", "--resume", "--detach")]
        if words[1:2] != ["run"]:  # a script of the user's own
            return ""
        there = Path(self.noted["folder"])
        places = [place + 1 for place, word in enumerate(words[:-1]) if word in ("-o", "--output")]
        if not places:
            words += ["-o", str(folder.resolve())]
        elif (there / words[places[-1]]).resolve() != folder.resolve():  # the run was moved
            words[places[-1]] = str(folder.resolve())
        before = "" if Path.cwd() == there else f"cd {shlex.quote(str(there))} && "
        return before + shlex.join([*words, "--resume"])


def state_of(path: Path, plugins: Registry) -> RunState:
    """Return how the run in a folder is; InputError where there is none."""
    directory = RunDirectory(path)
    if not directory.state.is_dir():
        hint = "give the run directory: what -o named, or output/<job>-<time>"
        raise InputError("there is no run in this folder" if path.is_dir() else "there is no such folder",
                         where=str(path), hint=hint)  # fmt: skip
    noted, record = (_read(file) for file in (directory.state / RUN, path / PROVENANCE))
    done, last = progress(directory.ledger)
    jobs = None
    if noted.get("executor", "processes") != "processes":
        executor: Executor = plugins.load("executors", noted["executor"])(noted["executor"])
        for key, value in noted["settings"].items():
            executor.setProperty(key, value)
        jobs = executor.jobs(path)
    failures = directory.failures()
    if directory.is_running():
        what = "running"
    elif directory.is_finished:
        what = "finished"
    elif jobs is not None:
        what = "detached"
    elif failures:
        what = "failed"
    elif "error" in noted:
        what = "interrupted" if noted["error"]["message"] == "interrupted" else "failed"
    else:
        what = "stopped"
    return RunState(what, noted, record, done, last, directory.steps(), failures, jobs)


def check_no_jobs(path: Path, plugins: Registry) -> None:
    """Raise OutputError where jobs work for the run in a folder that is to be replaced."""
    jobs = state_of(path, plugins).jobs if (path / STATE / RUN).is_file() else None
    if jobs is not None and (jobs.unknown or {*jobs.states} - {"gone"}):
        raise OutputError(
            "jobs work for the run that --force would replace",
            where=str(path),
            hint=f"--resume collects what they do; this ends them: {shlex.join(jobs.cancel)}",
        )


def _read(path: Path) -> dict[str, Any]:
    """Return what a JSON file says; nothing where it is not there, InputError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError("it is no object")
        return told
    except ValueError as error:
        raise InputError(f"the record of this run is damaged: {error}", where=str(path)) from error
