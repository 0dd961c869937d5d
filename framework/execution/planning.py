"""From a job and its options to the plan: tools check the job, inputs are found, samples made, files looked into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hepflow.errors import JobOptionsError, nearest
from hepflow.execution.dataflow import DataFlow
from hepflow.execution.executors import ProcessExecutor, make_executor
from hepflow.execution.failures import units_failed
from hepflow.execution.inputs import InputFile, expand, formats, hard_links
from hepflow.execution.loop import failure
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import Plan, make_plan
from hepflow.execution.records import check_inputs_finished
from hepflow.execution.samples import RunJob, planned_files, sample_files
from hepflow.executor import Executor
from hepflow.job import Job
from hepflow.registry.manager import Registry, registry
from hepflow.variations import Variation, chosen

__all__ = ["plan_job"]


def plan_job(
    job: Job,
    options: RunOptions,
    *,
    plugins: Registry | None = None,
    reporter: Reporter | None = None,
    run: RunJob | None = None,
) -> Plan:
    """Freeze the job, let its tools check it, look at its inputs, and return the plan.

    A sample is made on demand, as far as it is needed, with ``run``; without it nothing is generated, and what is
    missing is planned as it will be. Files are looked into by the workers of the run.
    """
    job.freeze()
    _check_tools(job, chosen(options.variations, job.variations))
    _check_order(job)
    plugins = plugins or registry()
    if not any(tool.has_loop for tool in job.all_tools()) and not job.streams:
        if options.inputs:
            raise JobOptionsError(f"job {job.name} reads no events: -i has no effect", hint="its tools only finalize")
        return Plan((), (), DataFlow())
    inputs, notes = _find_inputs(job, options, plugins, reporter or Reporter(), run)
    inputs, left_out = _alternatives(job, inputs, chosen(options.variations, job.variations))
    notes += left_out
    reporter = reporter or Reporter()
    check_inputs_finished((file.path, file.searched) for file in inputs)
    plan = make_plan(
        job,
        inputs,
        formats(plugins),
        events=options.events,
        skip=options.skip,
        energy_unit=options.units or "",
        lumi=options.lumi,
        variations=chosen(options.variations, job.variations),
        executor=_lookers(options, plugins),
        policy=options.policy,
        tell=reporter.looked,
    )
    reporter.done()
    tried = len(plan.failed) + len(plan.files)
    if options.policy.too_many(len(plan.failed), tried):
        raise units_failed(
            plan.failed, tried, stopped=f"nothing was run: too many files failed ({options.policy.limit()})"
        )
    if options.events and not options.skip and tried + len(plan.skipped) < len(inputs):
        notes.append(f"-n {options.events:,} ends in file {len(plan.files)} of {len(inputs):,}: others are not read")
    return replace(plan, notes=(*notes, *plan.notes))


def _check_tools(job: Job, variations: Sequence[Variation]) -> None:
    varied = [tool for one in variations for tool in one.tools]
    for tool in [*job.all_tools(), *varied]:
        try:
            tool.check(job)
        except (Exception, SystemExit) as error:
            raise failure(error, tool, None, "before the event loop") from error


def _alternatives(
    job: Job, inputs: Sequence[InputFile], variations: Sequence[Variation]
) -> tuple[list[InputFile], list[str]]:
    """Return the inputs without samples that stand for others in variations which are off, and notes on these;
    JobOptionsError where one that is wanted is not there.
    """
    found = {file.sample for file in inputs}
    wanted = {other for one in variations for other in one.samples.values()}
    for one in variations:
        for name, other in one.samples.items():
            lacking = next((sample for sample in (other, name) if sample not in found), None)
            if lacking is not None:
                raise JobOptionsError(
                    f"there is no sample {lacking!r}: in the variation {one.name}, {other} stands for {name}",
                    hint=f"-i {lacking}=FILE; {nearest(lacking, found, what='samples')}",
                )
        names = [*one.factor] if isinstance(one.factor, Mapping) else []
        unknown = [name for name in names if name not in found]
        if unknown and len(unknown) == len(names):
            raise JobOptionsError(
                f"there is no sample {unknown[0]!r}, to which the variation {one.name} gives a factor",
                hint=nearest(unknown[0], found, what="samples"),
            )
    others = [other for one in variations for other in one.samples.values()]
    varied = {name for one in variations for name in one.samples}
    twice = next((other for other in others if others.count(other) > 1 or other in varied), None)
    if twice is not None:
        raise JobOptionsError(f"the sample {twice} stands for two others, or for one and is varied itself")
    off = {v for one in job.variations.values() for v in one.samples.values()} - wanted
    off &= found
    told = [f"{name} is read for variations only, which are off (--variations): it is left out" for name in sorted(off)]
    return [file for file in inputs if file.sample not in off], told


def _lookers(options: RunOptions, plugins: Registry) -> Executor | None:
    """Return whose workers look into files; None for this process."""
    kind: type[Executor] = plugins.load("executors", options.executor)
    if not kind.units_only and not kind.whole_jobs and options.executor != RunOptions.executor:
        return make_executor(options.executor, options.workers, options.settings, plugins)
    return ProcessExecutor(RunOptions.executor, Workers=options.workers) if options.workers > 1 else None


def _check_order(job: Job) -> None:
    """Raise JobOptionsError where a tool needs what the job does not have, or what finalizes later."""
    there = {stream.name for stream in job.streams}
    for tool in job.all_tools():
        for name in tool.needs():
            if job.find(name).name not in there:
                raise JobOptionsError(
                    f"{tool.name} stands before {name}, which it needs",
                    hint=f"tools finalize in job order: add {name} to the job first",
                )
        there.add(tool.name)


def _find_inputs(
    job: Job, options: RunOptions, plugins: Registry, reporter: Reporter, run: RunJob | None
) -> tuple[list[InputFile], list[str]]:
    """Return the files that a job reads, and notes on samples that are not made yet."""
    patterns = list(options.inputs) or ([job.default_sample] if job.default_sample else [])
    if not patterns:
        raise JobOptionsError(f"job {job.name} has no default sample", hint="give its input with -i FILE")
    schemes = [reader.scheme for reader in formats(plugins) if reader.scheme]
    until = None if options.events is None else options.skip + options.events
    first = options.skip if len(patterns) == 1 else 0
    notes: list[str] = []

    def sample(name: str) -> Sequence[InputFile]:
        if run is None:
            return planned_files(name, until, notes, first=first, plugins=plugins)
        making = (options.workers, plugins, reporter, run)
        return sample_files(name, until, *making, first=first)

    files = expand(patterns, plugins, schemes, sample, options.tree)
    return files, [*notes, *hard_links(files)]
