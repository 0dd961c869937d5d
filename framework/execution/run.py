"""Running a job from its inputs to its results."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hepflow.context import Context
from hepflow.errors import JobOptionsError, OutputError, listed, many
from hepflow.events.scope import Cutflow, Notes, Yields
from hepflow.execution.closing import close_streams, finalize_tools
from hepflow.execution.code import made_of
from hepflow.execution.executors import make_executor
from hepflow.execution.failures import Failure, as_rows
from hepflow.execution.fingerprint import fingerprint_of
from hepflow.execution.inputs import formats
from hepflow.execution.loop import Payload
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import Plan
from hepflow.execution.planning import plan_job
from hepflow.execution.provenance import cutflow_rows, now, provenance_of, yields_of
from hepflow.execution.records import CHECKSUMS, check_recorded, check_unchanged
from hepflow.execution.rundir import KEPT, PROVENANCE, RunDirectory
from hepflow.execution.status import check_no_jobs, note_end, note_start
from hepflow.execution.totals import Totals
from hepflow.execution.unitloop import UnitLoop
from hepflow.executor import Executor
from hepflow.files import write_text
from hepflow.html import table
from hepflow.job import Job
from hepflow.joboptions import JobFile
from hepflow.registry.manager import Registry, registry
from hepflow.variations import VARIATIONS

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
    variations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variation → results of the tools that ran again; those of all others are the nominal ones."""
    yields: dict[str, Yields] = field(default_factory=dict)
    """Sample → line of the cutflow → weights before and after, with ``--lumi``."""
    samples: dict[Path, str] = field(default_factory=dict)
    """Output file → the sample that is in it; of files that hold all samples nothing is said."""

    def _repr_html_(self) -> str:
        """Show cutflow, outputs and results in a notebook."""
        title = f"{many(self.events, 'event')} in {self.seconds:.1f} s, in {self.directory}"
        lines = [
            (stream or "job", tool, label, container or "events", f"{before:,}", f"{after:,}")
            for (stream, tool, container, label), (before, after, *_) in self.cutflow.items()
        ]
        files = [(stream, many(len(paths), "file"), str(paths[0])) for stream, paths in self.outputs.items() if paths]
        kinds = [(name, type(value).__name__) for name, value in self.results.items() if value is not None]
        return (
            table(("in", "tool", "selection", "of", "before", "after"), lines, title)
            + table(("stream", "wrote", "first"), files)
            + table(("result of", "is"), kinds)
        )


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
    options, plugins, reporter = options or RunOptions(), plugins or registry(), reporter or Reporter()
    file, job = (job, job.job) if isinstance(job, JobFile) else (None, job)
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
    directory.checksum = checksum
    try:
        _check_jobs(directory, options.executor)
        return _Run(job, file, options, plugins, reporter, plan, checksums, directory).run(executor, began)
    except OSError as error:
        raise OutputError(
            f"the run directory cannot be written: {error.strerror or error}",
            where=str(error.filename or directory.path),
            hint=KEPT,
        ) from error
    finally:
        note_end(directory, sys.exc_info()[1])
        directory.release()


@dataclass
class _Run:
    """A planned job and the directory that it runs in."""

    job: Job
    file: JobFile | None
    options: RunOptions
    plugins: Registry
    reporter: Reporter
    plan: Plan
    checksums: Mapping[str, str]
    directory: RunDirectory

    def run(self, executor: Executor | None, began: float) -> RunResult:
        """Run the work units, close the streams, finalize the tools."""
        context = self._context()
        self._begin(context)
        note_start(self.directory, len(self.plan.units), self.plan.entries, executor)
        loop = UnitLoop(self._payload(context), executor, self.directory, self.reporter)
        left_out = loop.run(self.options)
        if self.directory.checksum and loop.ran:
            out = {failure.file for failure in left_out}
            check_unchanged({path: one for path, one in self.checksums.items() if path not in out}, self.reporter.step)
        self.plan, total = loop.plan, loop.totals.total()
        before = [row for kind in self.plan.kinds for row in kind.left_out]  # when the inputs were made
        lacking = [row for number, row in enumerate(before) if row not in before[:number]]
        context = replace(context, events=total.entries, left_out=[*lacking, *as_rows(left_out)])
        self.directory.write_json("cutflow.json", cutflow_rows(total))
        outputs = close_streams(
            self.job, self.directory, context, loop.totals, self.reporter, keep_parts=bool(left_out)
        )
        samples = self._samples(loop.totals, outputs)
        provenance = provenance_of(
            self.job, self.plan, self.options, self.plugins, self.checksums, total, outputs, samples, context.left_out
        )
        self.directory.write_json(PROVENANCE, provenance)  # for tools that report
        results = finalize_tools(self.job, self.directory, context, total.results, outputs, self.reporter)
        seconds = time.perf_counter() - began
        written = {CHECKSUMS: self.directory.checksums()} if self.directory.checksum else {}
        self.directory.write_json(PROVENANCE, provenance | {"finished": now(), "seconds": round(seconds, 3), **written})
        self.directory.finish((path for paths in outputs.values() for path in paths), keep_parts=bool(left_out))
        kept = sum(unit.key in loop.totals.done and unit.key not in loop.ran for unit in self.plan.units)
        return RunResult(
            self.directory.path,
            results,
            outputs,
            total.cutflow,
            total.notes,
            total.entries,
            seconds,
            kept,
            left_out,
            results.pop(VARIATIONS, {}),
            yields_of(total),
            samples,
        )

    def _samples(self, totals: Totals, outputs: Mapping[str, Sequence[Path]]) -> dict[Path, str]:
        """Return the sample of each output file that was made of one work unit, or in a run of one sample."""
        of_units = {unit.key: self.plan.kinds[unit.file.kind].sample for unit in self.plan.units}
        in_order = [*map(of_units.__getitem__, totals.keys())]
        alone = {*in_order} if len({*in_order}) == 1 else set()
        found: dict[Path, str] = {}
        for paths in outputs.values():
            each = in_order if len(paths) == len(in_order) else [*alone] * len(paths)
            found.update(zip(paths, each, strict=False))
        return found

    def _context(self) -> Context:
        return Context(
            self.directory.path,
            self.job.name,
            seed=self.job.seed,
            workers=self.options.workers,
            joboptions=self.file.path.parent if self.file else None,
            label=self.options.label or _label(self.plan),
            style=self.options.style,
        )

    def _begin(self, context: Context) -> None:
        """See that what is there is of the same run, and forget of it what is not as it was."""
        job, directory, resume = self.job, self.directory, self.options.resume
        checksums = self.checksums if directory.checksum else {}
        made = fingerprint_of(job, self.file, self.plan, formats(self.plugins), context, checksums)
        failed = [row["file"] for row in directory.failures()] + [failure.file for failure in self.plan.failed]
        changed = directory.check_fingerprint(made, resume=resume, failed=failed)
        if changed:
            context.log.info("changed since then, what depends on it is done again:%s", listed(changed))
        directory.begin()
        broken = directory.check_files([tool.name for tool in job.all_tools()]) if resume else []
        if broken:
            context.log.warning("outputs are not as the run left them, they are made again:%s", listed(broken))
        if self.file is not None:
            write_text(directory.path / "joboptions.py", self.file.text)
        self.reporter.planned(self.plan, directory.path)

    def _payload(self, context: Context) -> Payload:
        directory = self.directory
        payload = Payload(
            self.job,
            self.plan,
            context,
            formats(self.plugins),
            self.options.chunk,
            directory.parts.resolve(),
            directory.checksum,
            directory.made,
            directory.ledger.session,
        )
        return replace(payload, code=made_of([*payload.tools(), *self.job.streams], self.file))


def _executor(options: RunOptions, plugins: Registry) -> Executor | None:
    """Return where the work units run; None for this process."""
    made = make_executor(options.executor, options.workers, options.settings, plugins, detach=options.detach)
    return None if options.workers == 1 and options.executor == RunOptions.executor else made


def _check_jobs(directory: RunDirectory, executor: str) -> None:
    """Raise OutputError where another executor's jobs go on with this run."""
    others = directory.executors_with_jobs() - {executor}
    if others:
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
