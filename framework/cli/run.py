"""``hepflow run`` and ``hepflow plan``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import hepflow
from hepflow.cli.completion import complete_jobs
from hepflow.cli.console import (
    common_options,
    console,
    duration,
    events_option,
    label_option,
    lumi_option,
    new_table,
    size,
    skip_option,
    start_logging,
    style_option,
    tree_option,
    units_option,
    wrapped,
)
from hepflow.cli.describe import configured, show_job, show_unbuilt
from hepflow.cli.progress import ConsoleReporter
from hepflow.cli.send import grid_settings, send
from hepflow.errors import HepflowError, JobOptionsError, many, nearest
from hepflow.execution.cache import cache_directory
from hepflow.execution.executors import make_executor
from hepflow.execution.failures import counted, units_failed
from hepflow.execution.forecast import Forecast, forecast
from hepflow.execution.normalisation import yields
from hepflow.execution.options import RunOptions
from hepflow.execution.plan import Plan
from hepflow.execution.planning import plan_job
from hepflow.execution.run import RunResult, run
from hepflow.execution.rundir import FAILURES, RunDirectory
from hepflow.executor import Detached
from hepflow.job import DATATYPES, Job, Option
from hepflow.joboptions import JobFile, find_joboptions, load_joboptions
from hepflow.registry.manager import Registry, registry
from hepflow.variations import Variation

__all__ = ["plan_command", "run_command"]

_SETTINGS = {"ignore_unknown_options": True, "help_option_names": [], "max_content_width": 120}


_PLAN_OPTIONS: list[Callable[..., Any]] = [
    events_option,
    skip_option,
    click.option(
        "-i",
        "--input",
        "inputs",
        multiple=True,
        metavar="[NAME=]PATTERN[:TREE]",
        help="File, glob, folder, URL, sample, generator or @LIST; may be given several times.",
    ),
    tree_option,
    units_option,
    lumi_option,
    click.option(
        "--variations",
        multiple=True,
        metavar="ALL|NAME",
        help="Variations of the job (job.vary) to run in the same pass; may be given several times.",
    ),
    click.option(
        "-j",
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Number of parallel processes.",
    ),
    click.option(
        "-r",
        "--executor",
        default=RunOptions.executor,
        show_default=True,
        metavar="NAME",
        help="Where work units run; hepflow list executors.",
    ),
    click.option(
        "-dt",
        "--datatype",
        type=click.Choice(DATATYPES, case_sensitive=False),
        help="Truth acceptance of taus.  [default: TAU]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME.PROPERTY=VALUE",
        help="Set a property of a tool, stream or executor after the file has run.",
    ),
    click.option(
        "-h", "--help", "help_wanted", is_flag=True, help="Show this; after FILE also the options of the job."
    ),
    click.argument(
        "arguments",
        nargs=-1,
        type=click.UNPROCESSED,
        metavar="FILE [OPTIONS OF THE FILE]",
        shell_complete=complete_jobs,
    ),
]


def _plan_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that decide what is read, and where that is done."""
    for option in reversed(_PLAN_OPTIONS):
        function = option(function)
    return common_options(function)


@click.command("run", context_settings=_SETTINGS)
@click.option("-o", "--output", metavar="FOLDER", help="Run directory.  [default: output/<job>-<time>]")
@click.option("-g", "datasets", metavar="FILE", help="With -r grid: list of datasets, as --set grid.Datasets=FILE.")
@click.option("--gridstreamname", metavar="NAME", help="As --set grid.StreamName=NAME.")
@click.option("--gridrunversion", metavar="VERSION", help="As --set grid.RunVersion=VERSION.")
@click.option("--nFilesPerJob", "files_per_job", metavar="N", help="As --set grid.FilesPerJob=N.")
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Most events in a chunk.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=RunOptions.retries,
    show_default=True,
    help="How often a work unit is tried again if its input cannot be read or its worker is lost.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    help="Stop if more work units fail.  [default: 20, or 10 % of those tried if that is more]",
)
@click.option("--keep-going", is_flag=True, help="Continue with other work units if a tool fails in one.")
@click.option("--leave-out", is_flag=True, help="With --resume: leave out failed work units; outputs say so.")
@click.option("--detach", is_flag=True, help="Return after submission to a batch system; --resume collects.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a run; missing or damaged outputs, and tools that only finalize and have changed, are done again.",
)
@click.option("--force", is_flag=True, help="Replace what an earlier run wrote in the folder.")
@label_option
@style_option
@click.option(
    "--checksum",
    is_flag=True,
    help="Keep the SHA-256 of what is read and written; --resume, merge and -i compare them.",
)
@_plan_options
@click.pass_context
def run_command(ctx: click.Context, /, **given: Any) -> None:
    """Run a job-option file, given as a path or by name.

    Options of run may be anywhere; options of the file come after it.
    """
    file, plugins = _load(ctx, given)
    if file is None:
        return
    options = RunOptions(
        settings=[*_of_executors(given["settings"], plugins), *grid_settings(given)],
        **{
            name: given[name]
            for name in (
                *("inputs", "tree", "output", "events", "skip", "workers", "executor", "chunk"),
                *("resume", "force", "checksum", "label", "style", "units", "lumi", "variations"),
                *("retries", "max_failures", "keep_going", "leave_out", "detach"),
            )
        },
    )
    if options.resume and options.force:
        raise JobOptionsError(
            "--resume and --force exclude each other", hint="--resume continues a run, --force replaces it"
        )
    executor = plugins.names("executors").get(options.executor)
    if executor is not None and executor.load().whole_jobs:
        send(file, options, given, plugins)
        return
    if given["dry_run"]:
        _show_submission(_show_plan(file, options, plugins), file, options, plugins)
        return
    reporter = ConsoleReporter(lambda plan, directory: _show_header(file, plan, directory, plugins))
    try:
        result = run(file, options, plugins=plugins, reporter=reporter)
    except Detached as detached:
        reporter.done()
        _show_detached(reporter.directory, detached, given)
        return
    except KeyboardInterrupt:
        reporter.done()
        if reporter.directory is not None:
            _show_kept(reporter.directory, file, given)
            _ask_for_jobs(reporter.directory, options, plugins)
        elif reporter.inner is not None:  # a sample was being made
            console().print(f"continue with: {shlex.join(['hepflow', *sys.argv[1:]])}")
        raise
    except Exception:
        reporter.done()
        raise
    _show_result(file.job, result, reporter)


@click.command("plan", context_settings=_SETTINGS)
@click.option(
    "--try",
    "tried",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run N work units, discard their output, and estimate time, memory and size of the whole run.",
)
@_plan_options
@click.pass_context
def plan_command(ctx: click.Context, /, **given: Any) -> None:
    """Show what a job would do: work units, tools in order, columns read and written, outputs. Nothing is run."""
    file, plugins = _load(ctx, given)
    if file is not None:
        names = ("inputs", "tree", "events", "skip", "units", "lumi", "variations", "workers", "executor")
        settings = _of_executors(given["settings"], plugins)
        options = RunOptions(settings=settings, **{name: given[name] for name in names})
        _show_plan(file, options, plugins, tried=given["tried"])


def _load(ctx: click.Context, given: dict[str, Any]) -> tuple[JobFile | None, Registry]:
    """Return the job of the command line (None where only help was wanted) and the plugins."""
    start_logging(given["debug"])
    arguments: Sequence[str] = given["arguments"]
    plugins = registry(given["plugins"])
    if not arguments or arguments[0].startswith("-"):
        if given["help_wanted"]:
            click.echo(ctx.get_help())
            return None, plugins
        if arguments:
            raise click.UsageError(
                f"{_unknown(ctx, arguments[0])}; options of the job-option file stand behind it", ctx
            )
        raise click.UsageError("which job-option file? hepflow list jobs shows those that ship", ctx)
    path = find_joboptions(arguments[0], plugins)
    texts = _texts(ctx, arguments[1:])
    settings = [text for text in given["settings"] if text not in _of_executors(given["settings"], plugins)]
    declared: dict[str, Option] = {}
    try:
        file = load_joboptions(path, texts, settings=settings, datatype=given["datatype"], declared=declared)
    except JobOptionsError as error:
        if given["help_wanted"]:
            click.echo(ctx.get_help())
            show_unbuilt(path, declared, error)
            return None, plugins
        raise _with_run_options(ctx, error) from error
    taken = sorted({f"--{name}" for name in file.job.declared_options} & set(_names(ctx)))
    if taken:
        raise JobOptionsError(
            f"the job declares the option {taken[0]}, which is one of run itself",
            where=str(path),
            hint="call it otherwise",
        )
    if given["help_wanted"]:
        click.echo(ctx.get_help())
        show_job(file)
        return None, plugins
    return file, plugins


def _of_executors(settings: Sequence[str], plugins: Registry) -> list[str]:
    """Return those of ``--set`` that are for an executor and not for a tool or stream."""
    return [text for text in settings if text.partition(".")[0].strip() in plugins.names("executors")]


def _texts(ctx: click.Context, arguments: Sequence[str]) -> dict[str, str | None]:
    """Read ``--name value``, ``--name=value`` and ``--name`` alone (None) behind the file."""
    texts: dict[str, str | None] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            reason = _unknown(ctx, word) if word.startswith("-") else "one job-option file is run at a time"
            if Path(word).exists():
                reason += "; for several inputs repeat -i, or put the pattern in quotes: -i 'folder/*.root'"
            raise click.UsageError(f"what is {word!r}? {reason}", ctx)
        name, equals, value = word[2:].partition("=")
        if name in texts:
            raise click.UsageError(f"the option --{name} is given twice", ctx)
        if equals:
            texts[name] = value
        else:
            texts[name] = rest.pop(0) if rest and not rest[0].startswith("--") else None
    return texts


def _names(ctx: click.Context) -> list[str]:
    return [name for param in ctx.command.params if isinstance(param, click.Option) for name in param.opts]


def _unknown(ctx: click.Context, word: str) -> str:
    return f"{ctx.info_name} has no option {word}: {nearest(word, _names(ctx), what='options')}"


def _with_run_options(ctx: click.Context, error: JobOptionsError) -> JobOptionsError:
    """Where the file has no such option, name the nearest one of run too: it may have been meant."""
    hint = nearest(error.about, _names(ctx), what="options") if error.about.startswith("--") else ""
    return error.but(hint=f"{error.hint}; of {ctx.info_name}: {hint}") if hint.startswith("did you mean") else error


def _show_header(file: JobFile, plan: Plan, directory: Path, plugins: Registry) -> None:
    out = console()
    others = [
        f"{p.name} {p.version}" for p in plugins.plugins.values() if not p.blocked and p.distribution != "hepflow"
    ]
    off = [p.name for p in plugins.plugins.values() if p.blocked]
    tail = (f", plugins {', '.join(others)}" if others else "") + (f", off: {', '.join(off)}" if off else "")
    out.print(f"hepflow {hepflow.__version__}{tail}", style="bold")
    options = "".join(_shown(name, value) for name, value in file.job.options.items())
    out.print(f"job      {file.job.name}{options}{_datatype(file.job)}")
    if plan.units:
        samples = dict.fromkeys(kind.sample for kind in plan.kinds)
        out.print(
            f"input    {many(len(plan.files), 'file')} of {', '.join(samples)}: "
            f"{many(plan.entries, 'event')} in {many(len(plan.units), 'work unit')}"
        )
    for name, path in file.job.data_files().items():
        out.print(f"data     {name} = {path}")
    if plan.flow.variations:
        out.print(f"vary     {', '.join(plan.flow.variations)}: {_cost(file.job, plan)}")
        for name, flow in plan.flow.variations.items():
            for stream in flow.nominal:
                out.print(f"note     {stream} stays nominal in the variation {name}", style="yellow")
    _show_notes(plan, file)
    out.print(f"output   {directory}")


def _shown(name: str, value: Any) -> str:
    """Return an option of the job as it is written on the command line; nothing for one that is empty or off."""
    if value in ("", (), False):
        return ""
    if value is True:
        return f" --{name}"
    return f" --{name} {','.join(map(str, value)) if isinstance(value, tuple) else value}"


def _datatype(job: Job) -> str:
    return f", datatype {job.datatype}" if job.datatype_tools else ""


def _show_notes(plan: Plan, file: JobFile) -> None:
    for path, reason in plan.skipped.items():
        console().print(f"skipped  {path}: {reason}", style="yellow")
    for failed in plan.failed:
        console().print(f"failed   {failed.file}: {failed.error.message}", style="red")
    for note in (*file.notes, *plan.notes):
        console().print(f"note     {note}", style="yellow")


def _show_plan(file: JobFile, options: RunOptions, plugins: Registry, *, tried: int | None = None) -> Plan:
    job = file.job
    plan = plan_job(job, options, plugins=plugins, reporter=ConsoleReporter())
    out = console()
    out.print(f"job {job.name} ({file.path}){_datatype(job)}", style="bold")
    _show_notes(plan, file)
    out.print("\ntools, in order", style="italic")
    for owner, members in [("job", job.tools), *((stream.name, stream.tools) for stream in job.streams)]:
        for tool in members:
            out.print(wrapped(f"{owner}  {configured(tool)}{'' if tool.has_loop else '  (finalizes)'}", 4))
            if tool.has_loop:
                for what, names in (("reads ", plan.flow.access[tool.name].reads), ("writes", tool.writes())):
                    out.print(wrapped(f"    {what}  {_joined(sorted(names)) or 'nothing'}", 12))
    if plan.units:
        out.print("\n" + wrapped(f"columns read ({len(plan.flow.reads)}): {_joined(plan.flow.reads)}", 4))
    for stream in job.streams:
        names = plan.flow.outputs[stream.name]
        told = f"{configured(stream)} writes {many(len(names), 'column')}: {_joined(names)}"
        out.print("\n" + wrapped(f"stream {stream.name}: {told}", 4))
    _show_variations(file.job, plan)
    _show_samples(file.job, plan, options.lumi)
    units = new_table("unit", "file", "entries", title="work units")
    for unit in plan.units[:20]:
        units.add_row(str(unit.number), unit.file.path, f"{unit.start:,}–{unit.stop:,}")
    out.print(units)
    if len(plan.units) > 20:
        out.print(f"… {len(plan.units)} in all")
    out.print(
        f"{many(plan.entries, 'event')} in {many(len(plan.units), 'work unit')} of {many(len(plan.files), 'file')}"
    )
    known = len(plan.files) + len(plan.skipped) + len(plan.failed) - plan.looked
    if known > 0:
        out.print(f"{many(known, 'file')} known from before: {cache_directory() / 'files'}", style="dim")
    if tried and plan.units:
        _show_forecast(forecast(job, plan, options, tried, plugins), options)
    if plan.failed:
        raise units_failed(
            plan.failed,
            len(plan.failed) + len(plan.units),
            hint="a run goes on with the others; then --resume tries these again, --resume --leave-out does without",
        )
    return plan


def _show_submission(plan: Plan, file: JobFile, options: RunOptions, plugins: Registry) -> None:
    """Show what an executor of a batch system would submit."""
    executor = make_executor(options.executor, options.workers, options.settings, plugins, check=False)
    try:
        executor.check()
    except HepflowError as error:
        console().print(f"note     {error.message}", style="yellow")
    folder = Path(options.output or f"output/{file.job.name}-TIME").resolve()
    lines = executor.sketch([unit.number for unit in plan.units], folder)
    for text in lines:
        console().print(f"\n{text}", markup=False, highlight=False, soft_wrap=True)


def _show_forecast(found: Forecast, options: RunOptions) -> None:
    """Show what a run will take."""
    out = console()
    out.print(f"\nforecast, from {many(len(found.tried), 'work unit')}:", style="bold")
    together = f", {duration(found.seconds / options.workers)} with -j {options.workers}" if options.workers > 1 else ""
    out.print(
        f"time     {duration(found.seconds)} of one worker{together}; {found.start:.1f} s until a worker is ready"
    )
    out.print(f"memory   {size(found.memory)} a worker")
    for name, total in found.outputs.items():
        out.print(f"output   {name}: {size(total)}")
    jobs = -(-found.units // found.units_per_job)
    length = duration(found.start + found.seconds * found.units_per_job / found.units)
    units = many(found.units_per_job, "work unit")
    out.print(f"batch    {many(jobs, 'job')} of {units}, {length} each")


def _show_variations(job: Job, plan: Plan) -> None:
    """Show what runs again for the variations, and what is written besides."""
    if not plan.flow.variations:
        if job.variations:
            console().print(f"\nvariations (--variations ALL): {', '.join(job.variations)}")
        return
    tools = sum(tool.has_loop for tool in job.all_tools())
    table = new_table("variation", "overrides", "runs again", "of", "writes besides", title="variations")
    for name, flow in plan.flow.variations.items():
        told = [*(n for tool in flow.variation.tools for n in tool.writes()), *_weights(flow.variation)]
        told += [f"{other} for {sample}" for sample, other in flow.variation.samples.items()]
        written = [f"{stream}: {many(len(columns), 'column')}" for stream, columns in flow.columns.items()]
        written += [f"{stream}: which objects are selected" for stream in sorted(flow.selects & flow.columns.keys())]
        written += [f"{stream}: nothing, it stays nominal" for stream in flow.nominal]
        table.add_row(
            name, ", ".join(told), ", ".join(sorted(flow.again)), f"{len(flow.again)}/{tools}", "; ".join(written)
        )
    console().print(table)
    console().print(f"{_cost(job, plan)}; --try 1 measures them")


def _cost(job: Job, plan: Plan) -> str:
    """Return what variations take, as far as it is known without trying."""
    flows = plan.flow.variations.values()
    again = sum(len(flow.again) for flow in flows)
    columns = sum(len(names) for flow in flows for names in flow.columns.values())
    usual = sum(len(names) for names in plan.flow.outputs.values())
    more = f", {many(columns, 'column')} besides {usual} in the outputs" if usual else ""
    tools = sum(tool.has_loop for tool in job.all_tools())
    return f"{many(again, 'tool')} run again besides {tools}: at most {1 + len(flows)} × the time of the nominal{more}"


def _weights(variation: Variation) -> list[str]:
    """Return what events are weighted with."""
    factor = f"factor {variation.factor}" if variation.factor != 1.0 else ""
    return [text for text in ("" if variation.weight.trivial else variation.weight.text, factor) if text]


def _show_samples(job: Job, plan: Plan, lumi: float | None) -> None:
    """Show how the samples are normalised: what is read, and with --lumi how many events that stands for."""
    if lumi is None:
        return
    table = new_table("sample", "σ·ε·k [pb]", "events", "Σw", "L·σ", "L·σ/Σw", title=f"normalised to {lumi:g} fb⁻¹")
    for name, made in yields(plan, lumi, job.samples).items():
        numbers, sigma = made.normalisation, made.normalisation.effective
        told = ("data", "") if sigma is None else (f"{sigma:.5g}", f"{1000 * lumi * sigma:,.1f}")
        table.add_row(
            name, told[0], f"{numbers.events:,.0f}", f"{numbers.sum_of_weights:.6g}", told[1], f"{made.factor:.6g}"
        )
    console().print(table)


def _joined(names: Sequence[str]) -> str:
    """Join column names, those of one container together: ``TauJets.{eta, pt}``."""
    groups: dict[str, list[str]] = {}
    for name in names:
        container, _, column = name.partition(".")
        groups.setdefault(container, []).append(column)
    return "  ".join(
        f"{c}.{columns[0]}" if len(columns) == 1 else f"{c}.{{{', '.join(columns)}}}" for c, columns in groups.items()
    )


def _show_result(job: Job, result: RunResult, reporter: ConsoleReporter) -> None:
    out = console()
    if result.cutflow:
        some = any(missing for _, _, missing in result.cutflow.values())
        header = ("stream", "tool", "selection", "of", "before", "after", "kept", *(("missing",) if some else ()))
        samples = list(result.yields)
        header = (*header, *samples)  # the yields after each cut
        table = new_table(*header, title="cutflow")
        for column in table.columns[4:]:
            column.justify = "right"
        for line, (before, after, missing) in result.cutflow.items():
            stream, tool, container, label = line
            share = f"{after / before:.1%}" if before else "-"
            cells = (stream or "job", tool, label, container or "events", f"{before:,}", f"{after:,}", share)
            of_samples = (result.yields[name].get(line) for name in samples)
            after_cut = ("" if found is None else f"{found[1]:,.2f}" for found in of_samples)
            table.add_row(*cells, *((f"{missing:,}" if missing else "",) if some else ()), *after_cut)
        out.print(table)
    for text in dict.fromkeys(text for text, _ in result.notes):
        counts = {name: count for (other, name), count in result.notes.items() if other == text}
        out.print(f"note     {_joined(list(counts))}: {many(sum(counts.values()), 'link')} {text}", style="yellow")
    for name, paths in result.outputs.items():
        total = sum(path.stat().st_size for path in paths)
        out.print(f"\n{name}: {_span(paths)} ({many(len(paths), 'file')}, {size(total)})")
        named = dict.fromkeys(map(result.samples.get, paths))
        for sample in named if len(named) > 1 else ():
            out.print(f"  {sample}: {_span([path for path in paths if result.samples.get(path) == sample])}")
    figures = sorted(result.directory.rglob("*.png"))
    if figures:
        which = f"{figures[0]}{' …' if len(figures) > 1 else ''}"
        out.print(f"\n{many(len(figures), 'figure')}: {which} (also .pdf, the numbers in .json)")
    if result.left_out:
        units = many(len(result.left_out), "work unit")
        told = f"left out {units} that failed: {counted(result.left_out)}; see {result.directory / FAILURES}"
        out.print(told, style="yellow")
    kept = f", {many(result.kept, 'work unit')} kept from before" if result.kept else ""
    rate = (
        f", {result.events / result.seconds:,.0f} events/s, peak memory {size(reporter.peak)}"
        if result.events and not result.kept
        else ""
    )
    out.print(f"done {many(result.events, 'event')} in {result.seconds:.1f} s{rate}{kept}")


def _span(paths: Sequence[Path]) -> str:
    """Return the files that one stream wrote, as first and last."""
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} … {paths[-1].name}"


def _show_kept(directory: Path, file: JobFile, given: dict[str, Any]) -> None:
    """After Ctrl-C, say what is kept and how to go on."""
    state = RunDirectory(directory)
    out = console()
    for stream in file.job.streams:
        parts = state.finished_parts(stream.name)
        if parts:
            out.print(
                f"kept: {many(len(parts), 'finished part')} of {stream.name}: "
                f"{', '.join(path.name for _, path in parts)}"
            )
    out.print(f"continue with: {_resume(directory, given)}")


def _resume(directory: Path, given: dict[str, Any]) -> str:
    words = [word for word in sys.argv[1:] if word not in ("--force", "--resume", "--detach")]
    folder = [] if given["output"] else ["-o", str(directory)]
    return shlex.join(["hepflow", *words, *folder, "--resume"])


def _show_detached(directory: Path | None, detached: Detached, given: dict[str, Any]) -> None:
    out = console()
    out.print(str(detached))
    if directory is not None:
        out.print(f"see how they are with: hepflow status {shlex.quote(str(directory))}")
        out.print(f"collect, and submit again what is lost: {_resume(directory, given)}")


def _ask_for_jobs(directory: Path, options: RunOptions, plugins: Registry) -> None:
    """Where jobs go on after Ctrl-C, ask whether to cancel them; where nobody can answer, tell how to."""
    executor = make_executor(options.executor, options.workers, options.settings, plugins)
    jobs = executor.jobs(directory)
    if jobs is None or not jobs.cancel:
        return
    count = many(sum(jobs.states.values()), "job")
    if sys.stdin.isatty() and sys.stderr.isatty() and click.confirm(f"cancel the {count}?", err=True):
        executor.cancel_jobs(directory)
        return
    console().print(f"{count} of {executor.name} may go on; this ends them: {shlex.join(jobs.cancel)}")
