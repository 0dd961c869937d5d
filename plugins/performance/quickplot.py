"""``hepflow plot``: a quick look at variables of a file, without a job-option file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from hepflow import Events, Job, Property, Tool
from hepflow.cli.console import (
    common_options,
    console,
    events_option,
    label_option,
    lumi_option,
    new_table,
    skip_option,
    start_logging,
    style_option,
    tree_option,
    units_option,
)
from hepflow.cli.progress import ConsoleReporter
from hepflow.errors import JobOptionsError, many, nearest
from hepflow.execution.options import RunOptions
from hepflow.execution.plan import Plan
from hepflow.execution.planning import plan_job
from hepflow.execution.run import run
from hepflow.execution.rundir import RunDirectory
from hepflow.expressions import Cut, Expression, Weight, common_values, qualified
from hepflow.expressions.dimensions import is_energy
from hepflow.normalisation import WEIGHT
from hepflow.plots.axis import closed
from hepflow.plugins.performance.base import as_views, normalised, values_of
from hepflow.plugins.performance.histograms import HistogramPlots
from hepflow.plugins.performance.look import Look, choose_binning, look
from hepflow.plugins.performance.stacks import StackPlots
from hepflow.protocols import ColumnInfo
from hepflow.registry.manager import Registry, registry
from hepflow.registry.variables import find_variable, split_binning, split_title
from hepflow.variables import Binning, Variable

__all__ = ["ValueSums", "plot_command"]

CONTAINER = "TauJets"
"""Where names without a container are looked for first."""

MOST_CLASSES = 10

_OF_RUN = {field.name for field in fields(RunOptions)}


class BareNames:
    """Finds the columns of an input that names without a container mean; the input is looked into at the first one."""

    def __init__(self, options: RunOptions, plugins: Registry) -> None:
        self._options, self._plugins = replace(options, events=1, skip=0), plugins

    @cached_property
    def _plan(self) -> Plan:
        job = Job("plot")
        job += Look("plot")
        return plan_job(job, self._options, plugins=self._plugins)

    @property
    def _columns(self) -> Mapping[str, ColumnInfo]:
        return self._plan.columns

    def unit(self, column: str) -> str:
        """Return the unit of a column of energies, where the inputs tell it; of anything else none."""
        info, units = self._columns.get(column), {kind.energy_unit for kind in self._plan.kinds}
        return units.pop() if info and is_energy(column, info.dtype) and len(units) == 1 else ""

    def __call__(self, name: str) -> str:
        """Return the column: that of TauJets, else the one that the file spells like this, else that of the only
        container that has it. JobOptionsError where several have it, or none.
        """
        usual = f"{CONTAINER}.{name}"
        if usual in self._columns:
            return usual
        spelled = next((info.name for info in self._columns.values() if info.sources == (name,)), "")
        found = [spelled] if spelled else [known for known in self._columns if known.partition(".")[2] == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise JobOptionsError(f"{name} is a column of several containers", hint=f"say which: {', '.join(found)}")
        containers = {known.partition(".")[0] for known in self._columns}
        if CONTAINER in containers:
            return usual
        short = {known.partition(".")[2] for known in self._columns}
        odd = sorted(f"`{variable}`" for variable in short if name in variable and not variable.isidentifier())[:3]
        meant = (
            f"a name with other characters is quoted: {', '.join(odd)}" if odd else nearest(name, short, what="columns")
        )
        raise JobOptionsError(
            f"no container of the input has a column {name!r}",
            hint=f"{meant}; it has the containers {', '.join(sorted(containers))}",
        )


class ValueSums(Tool):
    """Count the values behind histograms, and add up those inside the axis: for a mean and an rms that do not depend
    on the bins.

    The result is, for each sample, variable and class, the array (entries, entries without a value, entries outside
    the axis, sum of weights inside, of weight times value, of weight times value squared).
    """

    Variables: Property[tuple[tuple[Variable, str], ...]] = Property((), "variables, each with the name of its binning")
    Selection = Property(Cut(), "cut on the objects that are counted")
    Weight = Property(Weight(), "weight of an object; empty: 1")
    Split: Property[dict[str, Cut]] = Property({}, "classes: label → cut; empty: all together", item=Cut)
    Data: Property[tuple[str, ...]] = Property((), "samples that count without weight", item=str)

    def reads(self) -> Sequence[str]:
        """Return the columns of variables, cuts and weight."""
        variables = [Expression(variable.column) for variable, _ in self.Variables]
        counted = [name for one in (*variables, self.Selection, *self.Split.values()) for name in one.columns]
        weights = [f"{name}?" if self.Data and name not in counted else name for name in self.Weight.columns]
        return list(dict.fromkeys([*counted, *weights, f"{WEIGHT}?"]))

    def start(self) -> dict[str, dict[tuple[str, str], Any]]:
        """Return no sums."""
        return {}

    def execute(self, events: Events, result: dict[str, dict[tuple[str, str], Any]]) -> None:
        """Add the values of a chunk."""
        sums = result.setdefault(events.sample.name, {})
        for view, (label, cut) in product(as_views(self.Variables, self.name), (self.Split or {"": Cut()}).items()):
            chosen = self.Selection & cut
            weight = () if events.sample.name in self.Data else (self.Weight,)
            at = common_values(events, view.expression, chosen, *weight)
            taken = np.asarray(values_of(events, view.variable, chosen, at))
            edges = view.variable.binning().edges
            values = closed(taken, *edges[-2:]).astype(np.float64)
            given = normalised(events, self.Weight, chosen, at) if weight else None
            weights = np.ones(len(values)) if given is None else given.astype(np.float64)
            known = ~np.isnan(values)
            inside = known & (values >= edges[0]) & (values < edges[-1])
            x, w = values[inside], weights[inside]
            counts = (known.sum(), (~known).sum(), known.sum() - len(x))
            sums[view.name, label] = sums.get((view.name, label), 0) + np.array([*counts, w.sum(), w @ x, w @ x**2])


@dataclass(frozen=True)
class Request:
    """What is to be plotted: variables with the names of their binnings, the one on the x axis, classes, and what is
    said about them.
    """

    variables: Sequence[tuple[Variable, str]]
    against: tuple[Variable, str] | None
    split: Mapping[str, Cut]
    split_title: str
    notes: list[str]


@click.command("plot")
@click.argument("variables", nargs=-1, required=True, metavar="[LABEL=]VARIABLE[:BINNING]...")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="[NAME=]PATTERN[:TREE]",
    help="File, glob, folder, URL, sample or generator; may be given several times.",
)
@tree_option
@events_option
@skip_option
@click.option("--cut", default="", metavar="EXPRESSION", help="Plot the objects that pass.")
@click.option("--weight", default="", metavar="EXPRESSION", help="Weight of each object.")
@click.option("--split-by", default="", metavar="VARIABLE", help="Draw one curve for each value (or bin) of it.")
@click.option("--against", default="", metavar="VARIABLE", help="Plot in two dimensions, with this one on the x axis.")
@click.option("--normalise", is_flag=True, help="Draw each curve with area 1.")
@click.option("--log-y", is_flag=True, help="Logarithmic y axis.")
@click.option("--ratio", is_flag=True, help="Draw the ratio to the first curve: of classes, inputs.")
@click.option("--stack", is_flag=True, help="Draw the inputs on top of each other, in their order from below.")
@click.option("--data", multiple=True, metavar="NAME", help="With --stack: the input that is data, drawn as points.")
@lumi_option
@units_option
@label_option
@style_option
@click.option("-o", "--output", metavar="FOLDER", help="Run directory.  [default: output/plot-<time>]")
@click.option(
    "-j", "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of parallel processes."
)
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option("--force", is_flag=True, help="Replace what an earlier run wrote in the folder.")
@common_options
def plot_command(variables: tuple[str, ...], debug: bool, **given: Any) -> None:
    """Plot variables: their distributions, one figure each, with a table of numbers.

    A VARIABLE is a known one (hepflow list variables), a column, or an expression over columns; names without a
    container are those of TauJets, or of the only container that has them. BINNING is the name of one of its binnings,
    or NUMBER;LOW;HIGH: "pt:log", "pt / truthPtVis:50;0;2". Without one, a range is chosen from the data. A label
    and a unit for the axis may come first: "Missing ET [GeV]=met". Of a list, all elements are plotted.
    """
    start_logging(debug)
    plugins = registry(given["plugins"])
    forgotten = next((text for text in variables if Path(text.rpartition("=")[2]).is_file()), None)
    if forgotten is not None:
        raise click.UsageError(f"{forgotten} is a file: each input has an -i of its own: -i {forgotten}")
    if given["against"] and (given["normalise"] or given["log_y"] or given["ratio"]):
        raise click.UsageError("--normalise, --log-y and --ratio are for curves, --against plots in two dimensions")
    if given["ratio"] and not given["stack"] and not given["split_by"] and len(given["inputs"]) < 2:
        raise click.UsageError("--ratio compares curves: --split-by, or several inputs with names (-i old=… -i new=…)")
    if given["stack"] and (given["normalise"] or given["against"] or given["split_by"]):
        raise click.UsageError("--stack stacks inputs: without --against, --split-by and --normalise")
    if given["data"] and not given["stack"]:
        raise click.UsageError("--data says which input is data in a stack: --stack")
    if given["resume"] and given["force"]:
        raise click.UsageError("--resume and --force exclude each other")
    options = RunOptions(**{name: value for name, value in given.items() if name in _OF_RUN})
    RunDirectory.check(options.output, "plot", resume=options.resume, force=options.force)
    bare = BareNames(options, plugins)
    selection = Cut(qualified(given["cut"], bare), given["cut"])
    weight = Weight(qualified(given["weight"], bare))
    found = {text: _find(text, bare, plugins) for text in (*variables, given["against"], given["split_by"]) if text}
    request = _request(variables, given["against"], given["split_by"], found, selection, options, plugins)
    request.notes.extend(_small_energies(selection, bare))
    job = _job(request, selection, weight, given)
    if given["stack"] or (given["ratio"] and not request.split):
        _check_samples(plan_job(job, options, plugins=plugins), given)
    reporter = ConsoleReporter(lambda plan, directory: _show_header(plan, directory, request, len(options.inputs)))
    try:
        result = run(job, options, plugins=plugins, reporter=reporter)
    except BaseException:
        reporter.done()
        raise
    _show_numbers(result.results["numbers"], given["cut"], weighted=bool(given["weight"] or given["lumi"]))
    for path in sorted(result.directory.glob("*.png")):
        console().print(f"figure   {path} (also .pdf, the numbers in .json)")
    console().print(f"done {many(result.events, 'event')} in {result.seconds:.1f} s")


def _check_samples(plan: Plan, given: Mapping[str, Any]) -> None:
    """Raise JobOptionsError where the inputs are one sample, which is no stack and has no ratio, or data are none."""
    for failed in plan.failed:  # an input that lacks a column, say, is no curve
        raise failed.error
    samples = list(dict.fromkeys(kind.sample for kind in plan.kinds))
    if len(samples) < 2:
        what = "--stack" if given["stack"] else "--ratio"
        raise JobOptionsError(
            f"{what} needs several curves, and all inputs are one sample, {samples[0]!r}",
            hint="names tell inputs apart: -i new=FILE -i old=FILE",
        )
    for name in given["data"]:
        if name not in samples:
            raise JobOptionsError(f"--data: no input is called {name!r}", hint=nearest(name, samples, what="inputs"))


# ── what is to be plotted ────────────────────────────────────────────────────────────────────────────────────────────


def _request(
    texts: Sequence[str],
    against: str,
    split_by: str,
    found: Mapping[str, tuple[Variable, Binning | None]],
    selection: Cut,
    options: RunOptions,
    plugins: Registry,
) -> Request:
    """Look at the data for what the variables leave open."""
    shown = [*texts, *([against] if against else [])]
    without_range = {found[text][0].name: found[text][0] for text in shown if found[text][1] is None}
    by_bin = bool(split_by) and _has_classes(split_by, found[split_by][1])
    wanted = dict(without_range)
    if split_by and not by_bin:
        wanted[found[split_by][0].name] = found[split_by][0]
    seen, entries = look([*wanted.values()], selection, options, plugins, ConsoleReporter()) if wanted else ({}, 0)
    chosen = {name: choose_binning(seen[name]) for name in without_range}
    notes = [_range_note(name, binning, entries) for name, binning in chosen.items()]
    split: Mapping[str, Cut] = {}
    title = ""
    if split_by:
        variable, binning = found[split_by]
        title = variable.label if variable.label != variable.column else ""
        split = _by_bin(variable, binning) if by_bin and binning else _by_value(split_by, variable, seen[variable.name])
        where = "what is outside is not shown" if by_bin else f"all values in the first {entries:,} entries"
        notes.append(f"split    {', '.join(split) or 'no values'} ({where})")
    views = [_view(text, *found[text], chosen) for text in shown]
    return Request(views[: len(texts)], views[-1] if against else None, split, title, notes)


def _find(text: str, bare: BareNames, plugins: Registry) -> tuple[Variable, Binning | None]:
    (title, rest), (name, view) = split_title(text), split_binning(text)
    found = f"{qualified(name, bare)}:{view}"
    variable, binning = find_variable(f"{title}={found}" if rest != text else found, plugins)
    plain = (
        not variable.unit and not variable.binnings and list(Expression(variable.column).columns) == [variable.column]
    )
    return (replace(variable, unit=bare.unit(variable.column)) if plain else variable), binning


def _view(
    text: str, variable: Variable, binning: Binning | None, chosen: Mapping[str, Binning]
) -> tuple[Variable, str]:
    """Return the variable and the name of its binning, a chosen one among them."""
    if binning is None:
        return replace(variable, binnings={"": chosen[variable.name]}), ""
    return variable, split_binning(text)[1]


def _small_energies(cut: Cut, bare: BareNames) -> list[str]:
    """Return notes on energies that a cut compares with less than 1000 MeV: GeV may be meant."""
    notes = []
    for column in cut.columns:
        numbers = re.findall(rf"{re.escape(column)} *[<>]=? *(\d+\.?\d*)(?![\d.e]| *\*)", cut.text)
        small = [number for number in numbers if 0 < float(number) < 1000]
        if small and bare.unit(column) == "MeV":
            notes.append(f"note     {column} is in MeV in this input; for GeV write {small[0]}*GeV")
    return notes


def _range_note(name: str, binning: Binning, entries: int) -> str:
    number, low, high = len(binning.edges) - 1, binning.edges[0], binning.edges[-1]
    return (
        f"range    {name}: {number} bins from {low:.10g} to {high:.10g}, chosen from the first {entries:,} entries; "
        f"'{name}:{number};{low:.10g};{high:.10g}' asks for the same"
    )


def _has_classes(text: str, binning: Binning | None) -> bool:
    """Tell whether a variable is split by its bins: they have labels, or the text says which."""
    return binning is not None and (bool(binning.labels) or bool(split_binning(text)[1]))


def _by_bin(variable: Variable, binning: Binning) -> dict[str, Cut]:
    number = len(binning.edges) - 1
    if number > MOST_CLASSES:
        raise JobOptionsError(
            f"--split-by: {number} bins are too many to tell their curves apart", hint=f"at most {MOST_CLASSES}"
        )
    name, unit = variable.label or variable.name, f" {variable.unit}" if variable.unit else ""
    bins = list(pairwise(binning.edges))
    labels = binning.labels or [f"{low:g} ≤ {name} < {high:g}{unit}" for low, high in bins]
    return {
        label: Cut(f"{low!r} <= ({variable.column}) < {high!r}", label)
        for label, (low, high) in zip(labels, bins, strict=True)
    }


def _by_value(text: str, variable: Variable, values: npt.NDArray[Any]) -> dict[str, Cut]:
    if values.dtype == np.bool_:
        passed = Cut(variable.column, text)
        return {cut.label: cut for cut in (passed, ~passed)}
    distinct = np.unique(values).tolist()
    if len(distinct) > MOST_CLASSES:
        raise JobOptionsError(
            f"--split-by: {text} has {len(distinct):,} values, too many to tell their curves apart",
            hint=f"at most {MOST_CLASSES}; give bins instead: --split-by '{text}:NUMBER;LOW;HIGH'",
        )
    name = variable.label or variable.name
    return {f"{name} = {value:.10g}": Cut(f"({variable.column}) == {value!r}") for value in distinct}


def _job(request: Request, selection: Cut, weight: Weight, given: Mapping[str, Any]) -> Job:
    """Return the job that fills and draws, and adds up the numbers of the table."""
    of = {"Selection": selection, "Weight": weight}
    how = {"Folder": ".", "LogY": given["log_y"], **of}
    job = Job("plot")
    if given["stack"]:
        job += StackPlots("plot", Variables=request.variables, Data=given["data"], **how)
    else:
        drawn: dict[str, Any] = {"Variables": request.variables}
        if request.against is not None:
            drawn = {"Pairs": [(request.against, view) for view in request.variables]}
        curves = {"Split": request.split, "SplitTitle": request.split_title}
        job += HistogramPlots("plot", Normalise=given["normalise"], Ratio=given["ratio"], **how, **curves, **drawn)
    counted = [*request.variables, *([request.against] if request.against else [])]
    job += ValueSums("numbers", Variables=counted, Split=request.split, Data=given["data"], **of)
    return job


# ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────────


def _show_header(plan: Plan, directory: Path, request: Request, given_inputs: int) -> None:
    out = console()
    samples = ", ".join(dict.fromkeys(kind.sample for kind in plan.kinds))
    out.print(f"input    {many(len(plan.files), 'file')} of {samples}: {many(plan.entries, 'event')}")
    if given_inputs > 1 and len({kind.sample for kind in plan.kinds}) == 1:
        out.print(
            f"note     {given_inputs} inputs are one sample, {samples}; -i NAME=FILE tells them apart", style="yellow"
        )
    for line in request.notes:
        out.print(line)
    for path, reason in plan.skipped.items():
        out.print(f"skipped  {path}: {reason}", style="yellow")
    for note in plan.notes:
        out.print(f"note     {note}", style="yellow")
    out.print(f"output   {directory}")


def _show_numbers(samples: Mapping[str, Mapping[tuple[str, str], Any]], cut: str, *, weighted: bool) -> None:
    """Print the table: mean and rms are those of the values inside the axis."""
    rows = [(sample, *key, sums) for sample, plots in samples.items() for key, sums in plots.items()]
    columns = {
        "variable": True,
        "class": any(label for _, _, label, _ in rows),
        "sample": len(samples) > 1,
        "entries": True,
        "without value": any(sums[1] for *_, sums in rows),
        "outside": True,
        "weights inside": weighted,
        "mean": True,
        "rms": True,
    }
    table = new_table(*(name for name, wanted in columns.items() if wanted))
    for column in table.columns[sum([*columns.values()][:3]) :]:
        column.justify = "right"
    for sample, name, label, (entries, missing, outside, total, first, second) in rows:
        counts = [f"{number:,.0f}" for number in (entries, missing, outside)]
        cells = [name, label, sample, *counts, f"{total:.6g}", *_moments(total, first, second)]
        table.add_row(*(cell for cell, wanted in zip(cells, columns.values(), strict=True) if wanted))
    console().print(table)
    if not any(sums[0] for *_, sums in rows):
        console().print(f"nothing passes {cut!r}: the figures are empty" if cut else "no values", style="yellow")


def _moments(total: float, first: float, second: float) -> tuple[str, str]:
    """Return mean and rms (the standard deviation), "-" where weights leave none."""
    if not total:
        return "-", "-"
    mean = first / total
    variance = second / total - mean**2
    if abs(variance) < 1e-12 * mean**2:  # all values are the same
        variance = 0.0
    return f"{mean:.5g}", f"{math.sqrt(variance):.4g}" if variance >= 0 else "-"
