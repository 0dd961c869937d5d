"""Running a job from its inputs to its results."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hepflow.context import Context
from hepflow.errors import HepflowError, JobOptionsError, OutputError, UnitsFailedError, WorkerError, listed
from hepflow.events.scope import Cutflow, Notes
from hepflow.execution.executors import make_executor
from hepflow.execution.failures import Failure, as_rows, outcomes, units_failed
from hepflow.execution.fingerprint import fingerprint_of
from hepflow.execution.inputs import formats
from hepflow.execution.loop import Payload, UnitResult, UnitRunner, Worker, failure
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import Plan, PlannedFile, WorkUnit
from hepflow.execution.planning import plan_job
from hepflow.execution.records import CHECKSUMS, check_recorded, check_unchanged
from hepflow.execution.results import add
from hepflow.execution.rundir import FAILURES, KEPT, PAYLOAD, PROVENANCE, RunDirectory
from hepflow.execution.status import check_no_jobs, note_end, note_start
from hepflow.executor import Executor
from hepflow.files import sha256
from hepflow.job import Job
from hepflow.joboptions import JobFile
from hepflow.processes import Processes
from hepflow.registry.manager import Registry, registry
from hepflow.tool import Tool
from hepflow.versions import versions

__all__ = ["RunResult", "run"]


@dataclass
class RunResult:
    """What a run gives: its directory, tool results by name, output files by stream, the cutflow, what there is to
    tell of links, how long it took, and which units failed and were left out.
    """

    directory: Path
    results: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, list[Path]] = field(default_factory=dict)
    cutflow: Cutflow = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)
    events: int = 0
    seconds: float = 0.0
    kept: int = 0
    left_out: list[Failure] = field(default_factory=list)


def run(
    job: Job | JobFile,
    options: RunOptions | None = None,
    *,
    plugins: Registry | None = None,
    reporter: Reporter | None = None,
) -> RunResult:
    """Run a job: plan, event loop, streams, finalize; returns what it gave.

    Everything it writes is in the run directory; on any error the finished parts stay there for ``resume``. Raises
    HepflowErrors, and Detached where the rest is left to jobs of a batch system.
    """
    options = options or RunOptions()
    reporter = reporter or Reporter()
    plugins = plugins or registry()
    file = job if isinstance(job, JobFile) else None
    job = job.job if isinstance(job, JobFile) else job
    began = time.perf_counter()
    options.check()
    executor = _executor(options, plugins)
    taken = [member.name for member in job.configurables() if member.name in plugins.names("executors")]
    if taken:
        raise JobOptionsError(f"{taken[0]!r} is the name of an executor", hint="call the tool or stream otherwise")
    RunDirectory.check(options.output, job.name, resume=options.resume, force=options.force)
    if options.force and options.output:
        check_no_jobs(Path(options.output).expanduser(), plugins)
    plan = plan_job(job, options, plugins=plugins, reporter=reporter, run=run)
    if options.force and options.output:
        _check_not_inside(plan, Path(options.output).expanduser())
    checksum = options.checksum or (options.resume and RunDirectory.has_checksums(options.output, job.name))
    checksums = check_recorded([f.path for f in plan.files], reporter.step, every=checksum)
    directory = RunDirectory.prepare(options.output, job.name, resume=options.resume, force=options.force)
    _check_jobs(directory, options.executor)
    context = Context(
        directory.path,
        job.name,
        seed=job.seed,
        workers=options.workers,
        joboptions=file.path.parent if file else None,
        label=options.label or _label(plan),
    )
    directory.checksum = checksum
    result = RunResult(directory.path, kept=0)
    try:
        fingerprint = fingerprint_of(job, file, plan, formats(plugins), context.label, checksums if checksum else {})
        failed = [row["file"] for row in directory.failures()] + [failure.file for failure in plan.failed]
        changed = directory.check_fingerprint(fingerprint, resume=options.resume, failed=failed)
        if changed:
            context.log.info("changed since then, what depends on it is done again:%s", listed(changed))
        broken = directory.check_files([tool.name for tool in job.all_tools()]) if options.resume else []
        if broken:
            context.log.warning("outputs are not as the run left them, they are made again:%s", listed(broken))
        if file is not None:
            (directory.path / "joboptions.py").write_text(file.text, encoding="utf-8")
        reporter.planned(plan, directory.path)
        note_start(directory, len(plan.units), plan.entries, executor)
        payload = Payload(job, plan, context, formats(plugins), options.chunk, directory.parts.resolve(), checksum)
        units = _units(payload, executor, directory, reporter, result, options)
        if checksum and result.kept < len(units):
            out = {failure.file for failure in result.left_out}
            check_unchanged({path: one for path, one in checksums.items() if path not in out}, reporter.step)
        totals = _add_up(units, result)
        context = replace(context, events=result.events, left_out=as_rows(result.left_out))
        directory.write_json("cutflow.json", _cutflow_rows(result.cutflow))
        _close_streams(job, directory, context, units, reporter, result)
        provenance = _provenance(job, file, plan, options, plugins, result, checksums)
        directory.write_json(PROVENANCE, provenance)  # for tools that report
        _finalize(job, directory, context, totals, result, reporter)
        result.seconds = time.perf_counter() - began
        written = {CHECKSUMS: directory.checksums()} if checksum else {}
        provenance |= {"finished": _now(), "seconds": round(result.seconds, 3), **written}
        directory.write_json(PROVENANCE, provenance)
        directory.finish(path for paths in result.outputs.values() for path in paths)
    except OSError as error:
        raise OutputError(
            f"the run directory cannot be written: {error.strerror or error}",
            where=str(error.filename or directory.path),
            hint=KEPT,
        ) from error
    finally:
        note_end(directory, sys.exc_info()[1])
        directory.release()
    return result


def _executor(options: RunOptions, plugins: Registry) -> Executor | None:
    """Return where the work units run; None for this process."""
    made = make_executor(options.executor, options.workers, options.settings, plugins, detach=options.detach)
    return None if options.workers == 1 and options.executor == RunOptions.executor else made


def _units(
    payload: Payload,
    executor: Executor | None,
    directory: RunDirectory,
    reporter: Reporter,
    result: RunResult,
    options: RunOptions,
) -> list[UnitResult]:
    """Return all work units in plan order, done now or before; where some fail, those that are left where that is
    accepted, else UnitsFailedError.
    """
    resume = options.resume
    while True:
        units, failures = _loop(payload, executor, directory, reporter, result, options, resume=resume)
        if failures and (not options.leave_out or not units):
            total = len(payload.plan.units) + len(payload.plan.failed)
            raise units_failed(failures, total, where=str(directory.path / FAILURES))
        result.left_out = failures
        if not directory.leave_out(as_rows(failures)):
            return units
        resume = True  # what was closed is made again, and its parts are gone


def _loop(
    payload: Payload,
    executor: Executor | None,
    directory: RunDirectory,
    reporter: Reporter,
    result: RunResult,
    options: RunOptions,
    *,
    resume: bool,
) -> tuple[list[UnitResult], list[Failure]]:
    """Run the work units that the ledger does not have; return all of them in plan order, and those that failed."""
    plan = payload.plan
    known = directory.finished_units() if resume else {}
    done = {unit.key: known[unit.key] for unit in plan.units if unit.key in known}
    result.kept = len(done)
    todo = [unit for unit in plan.units if unit.key not in done]
    reporter.progress(sum(outcome.entries for outcome in done.values()))
    failures = [*plan.failed]

    def attempt(units: Sequence[WorkUnit]) -> Generator[tuple[int, UnitResult | HepflowError], None, None]:
        if executor is None:
            return _run_locally(payload, units, reporter)
        return _run_on_executor(payload, units, executor, directory, reporter)

    try:
        with closing(outcomes(todo, attempt, options.policy)) as running:
            for unit, outcome in running:
                if isinstance(outcome, UnitResult):
                    done[outcome.key] = outcome
                    directory.record(outcome)
                else:
                    failures.append(Failure(unit.file.path, outcome[0], unit.start, unit.stop, outcome[1]))
    except UnitsFailedError as error:
        tried = len(done) + len(failures)
        raise units_failed(failures, tried, where=str(directory.path / FAILURES), stopped=error.message) from None
    finally:
        failures.sort(key=lambda failure: (failure.file, failure.start or 0))
        directory.note_failures(as_rows(failures))
        for broken in [] if directory.executors_with_jobs() else directory.parts.glob("*.part"):
            broken.unlink()
        reporter.done()
    return [done[unit.key] for unit in plan.units if unit.key in done], failures


def _run_locally(
    payload: Payload, todo: Sequence[WorkUnit], reporter: Reporter
) -> Generator[tuple[int, UnitResult | HepflowError], None, None]:
    """Run work units in this process, on a copy of the job."""
    with closing(Worker(Payload.unpack(payload.pack()))) as worker:
        for position, unit in enumerate(todo):
            yield position, worker.attempt(unit, reporter.progress)


def _run_on_executor(
    payload: Payload, todo: Sequence[WorkUnit], executor: Executor, directory: RunDirectory, reporter: Reporter
) -> Generator[tuple[int, UnitResult | HepflowError], None, None]:
    """Run work units where the executor does."""
    packed = directory.state.resolve() / PAYLOAD
    todo = [replace(unit, file=_located(unit.file)) for unit in todo]  # a worker may be in another folder
    packed.write_bytes(replace(payload, plan=replace(payload.plan.of_workers(), units=tuple(todo))).pack())
    usual = "is there enough memory? try a smaller --chunk; finished units are kept, --resume continues"
    try:
        with closing(executor.run(UnitRunner(packed), todo)) as results:
            for position, found in results:
                if isinstance(found, WorkerError):
                    yield position, found.but(where=todo[position].describe(), hint=found.hint or usual)
                    continue
                outcome: UnitResult | HepflowError = UnitRunner.unpack(found)
                yield position, outcome
                if isinstance(outcome, UnitResult):
                    reporter.progress(outcome.entries)
    finally:
        packed.unlink(missing_ok=True)


def _located(file: PlannedFile) -> PlannedFile:
    path, *replicas = (str(Path(p).absolute()) if Path(p).exists() else p for p in (file.path, *file.replicas))
    return replace(file, path=path, replicas=tuple(replicas))


def _add_up(units: Sequence[UnitResult], result: RunResult) -> dict[str, Any]:
    """Return the tools' totals over the units, added in plan order; events, cutflow and notes go into ``result``."""
    totals: dict[str, Any] = {}
    for unit in units:
        result.events += unit.entries
        for name, value in unit.results.items():
            totals[name] = add(totals.get(name), value, where=f"tool {name}")
        for line, counts in unit.cutflow.items():
            known = result.cutflow.get(line, [0, 0, 0])
            result.cutflow[line] = [a + b for a, b in zip(known, counts, strict=True)]
        for note, count in unit.notes.items():
            result.notes[note] = result.notes.get(note, 0) + count
    return totals


def _close_streams(
    job: Job,
    directory: RunDirectory,
    context: Context,
    units: Sequence[UnitResult],
    reporter: Reporter,
    result: RunResult,
) -> None:
    """Close the streams, those that an earlier run has closed excepted."""
    for stream in job.streams:
        kept, paths = directory.load_step(f"stream_{stream.name}")
        if not kept:
            reporter.step(f"closing {stream.name}")
            copied = stream.copy()
            copied.freeze()
            try:
                with directory.noting(f"stream_{stream.name}", context.written):
                    paths = copied.close([unit.parts[stream.name] for unit in units], context)
            except (HepflowError, OSError):
                raise
            except Exception as error:
                raise OutputError(
                    f"stream {stream.name} could not be closed: {type(error).__name__}: {error}",
                    where=str(directory.path),
                    hint="--debug shows the traceback; finished work units are kept, --resume continues",
                ) from error
            directory.save_step(f"stream_{stream.name}", paths)
        for unit in units:
            unit.parts[stream.name].unlink(missing_ok=True)
        result.outputs[stream.name] = list(paths)


def _finalize(
    job: Job, directory: RunDirectory, context: Context, totals: Mapping[str, Any], result: RunResult,
    reporter: Reporter,
) -> None:  # fmt: skip
    """Finalize the tools in job order, each on a fresh copy."""
    processes = Processes(context.workers)
    try:
        _finalize_each(job, directory, replace(context, processes=processes), totals, result, reporter)
    finally:
        processes.close()


def _finalize_each(
    job: Job, directory: RunDirectory, context: Context, totals: Mapping[str, Any], result: RunResult,
    reporter: Reporter,
) -> None:  # fmt: skip
    for tool in job.all_tools():
        kept, value = directory.load_step(f"tool_{tool.name}")
        if not kept:
            if type(tool).finalize is not Tool.finalize:
                reporter.step(f"finalizing {tool.name}")
            copied = tool.copy()
            copied.freeze()
            here = replace(context, results=dict(result.results), outputs=dict(result.outputs))
            try:
                with directory.noting(f"tool_{tool.name}", context.written):
                    value = copied.finalize(totals.get(tool.name), here)
            except (Exception, SystemExit) as error:
                raise failure(error, tool, None, "finalize") from error
            directory.save_step(f"tool_{tool.name}", value)
        result.results[tool.name] = value


def _check_jobs(directory: RunDirectory, executor: str) -> None:
    """Raise OutputError where another executor's jobs go on with this run; the folder is then released."""
    others = directory.executors_with_jobs() - {executor}
    if others:
        directory.release()
        name = others.pop()
        raise OutputError(
            f"this run has jobs of {name}, and is to go on with {executor}",
            where=str(directory.path),
            hint=f"--executor {name} collects what they do; hepflow status {directory.path} shows them",
        )


def _check_not_inside(plan: Plan, output: Path) -> None:
    """Raise OutputError where the folder that is to be replaced holds an input."""
    inside = [file.path for file in plan.files if Path(file.path).resolve().is_relative_to(output.resolve())]
    if inside:
        raise OutputError(
            f"--force would replace the folder that the input {inside[0]} is in",
            where=str(output),
            hint="give another folder with -o",
        )


def _label(plan: Plan) -> str:
    """Return what figures say of the input: what hepflow did not simulate itself is not called simulation."""
    return "hepflow simulation" if plan.kinds and all(kind.simulation for kind in plan.kinds) else "hepflow"


def _cutflow_rows(cutflow: Cutflow) -> list[dict[str, Any]]:
    return [
        {
            "stream": stream,
            "tool": tool,
            "container": container or "events",
            "selection": label,
            "before": before,
            "after": after,
            **({"missing": missing} if missing else {}),
        }
        for (stream, tool, container, label), (before, after, missing) in cutflow.items()
    ]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _records(job: Job, plan: Plan) -> list[dict[str, Any]]:
    """Return what the tools that made the inputs, and those of this job, say of their output, each once."""
    found: list[dict[str, Any]] = []
    for name, record in (item for kind in plan.kinds for item in kind.records.items()):
        entry = {"tool": name, "of": "inputs", "record": dict(record)}
        if entry not in found:
            found.append(entry)
    for tool in job.all_tools():
        try:
            own = dict(tool.record())
        except (Exception, SystemExit) as error:
            raise failure(error, tool, None, "record") from error
        if own:
            found.append({"tool": tool.name, "of": "job", "record": own})
    return found


def _provenance(
    job: Job,
    file: JobFile | None,
    plan: Plan,
    options: RunOptions,
    plugins: Registry,
    result: RunResult,
    checksums: Mapping[str, str],
) -> dict[str, Any]:
    """Return how the run's outputs were made."""
    return {
        "job": job.name,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "finished": _now(),
        "seconds": round(result.seconds, 3),
        "events": result.events,
        "asked": {"events": options.events, "skip": options.skip, "chunk": options.chunk, "workers": options.workers}
        | {"executor": options.executor},
        "folder": str(Path.cwd()),
        "options": job.options,
        "datatype": job.datatype,
        "seed": job.seed,
        "properties": {m.name: {"class": type(m).__name__, **m.values} for m in job.configurables()},
        "set": {m.name: list(m.values_set) for m in job.configurables()},
        "records": _records(job, plan),
        "versions": versions(),
        "plugins": {
            p.name: f"{p.distribution} {p.version}" + (" (off)" if p.blocked else "") for p in plugins.plugins.values()
        },
        "inputs": [
            {
                "path": f.path,
                "sample": plan.kinds[f.kind].sample,
                "format": plan.kinds[f.kind].format,
                "tree": plan.kinds[f.kind].tree,
                "entries": f.entries,
                "size": f.size,
                "mtime": f.mtime,
                "uuid": f.identity,
                "energy_unit": plan.kinds[f.kind].energy_unit,
            }
            | ({"sha256": checksums[f.path]} if f.path in checksums else {})
            for f in plan.files
        ],
        "models": {str(path): sha256(path) for path in job.data_files().values()},
        "units": len(plan.units),
        "left_out": as_rows(result.left_out),
        "notes": [{"column": name, "links": count, "note": text} for (text, name), count in result.notes.items()],
        "outputs": {name: [path.name for path in paths] for name, paths in result.outputs.items()},
    }
