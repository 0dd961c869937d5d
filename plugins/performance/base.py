"""What the plot tools share: which objects, with which weight, in which figure, and with which text."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import ColumnError, JobOptionsError, PlotError, PropertyError, many
from hepflow.expressions import Cut, Expression, Weight, common_values
from hepflow.normalisation import WEIGHT
from hepflow.plugins.performance.unseen import seen_scores, unnamed_selections
from hepflow.registry.variables import find_variable, split_binning
from hepflow.variables import Variable

if TYPE_CHECKING:
    from hepflow import Job
    from hepflow.plots import Axis, PlotObject
    from hepflow.protocols import ColumnInfo

__all__ = [
    "Drawer",
    "FigureTool",
    "PlotTool",
    "Plots",
    "View",
    "as_views",
    "columns_of",
    "file_name",
    "in_both",
    "normalised",
    "passing",
    "places_of",
    "seen_in",
    "together",
    "values_of",
    "weights_of",
]

Array = npt.NDArray[Any]
Plots: TypeAlias = "dict[str, PlotObject]"


@dataclass(frozen=True)
class View:
    """A variable whose default binning is the one to plot with, and the name of figures against it."""

    variable: Variable
    name: str

    @cached_property
    def axis(self) -> Axis:
        """Return the axis of plots against the variable."""
        from hepflow.plots import Axis

        return Axis.of(self.variable)

    @cached_property
    def key(self) -> str:
        """Return a text for what decides in which bin a value is: a text, unlike an axis, knows its hash."""
        return repr((self.axis, self.variable))

    @cached_property
    def expression(self) -> Expression:
        """Return where the values come from."""
        return Expression(self.variable.column)

    @property
    def truth(self) -> Variable:
        """Return the truth partner; JobOptionsError where the variable has none."""
        if not self.variable.truth:
            raise JobOptionsError(
                f"the variable {self.variable.name} has no truth partner",
                hint="a denominator of truth objects needs one: Variable(…, truth='TruthTaus.pt_vis / 1000')",
            )
        return replace(self.variable, column=self.variable.truth)


def as_views(items: Iterable[Any], where: str) -> list[View]:
    """Return the views of variables, given as Variable, as (Variable, "log"), or as the text ``TauJets.pt:log``.

    JobOptionsError where an item is none of these, where there is no binning, or where two have the same name.
    """
    views: list[View] = []
    named: dict[str, str] = {}
    for item in items:
        variable, name = item if isinstance(item, tuple) and len(item) == 2 else (item, "")
        binning = None
        try:
            if isinstance(variable, str):
                _, name = split_binning(variable)
                variable, binning = find_variable(variable)
            if isinstance(variable, Variable):
                binning = binning or variable.binning(name)
        except PropertyError as error:
            raise error.but(where=where) if not error.where else error from None
        if binning is None:
            raise JobOptionsError(
                f"{item!r} is no variable", where=where, hint='give a Variable, (Variable, "log") or "TauJets.pt:log"'
            )
        text = f"{variable.name}_{name}" if name else variable.name
        if text in named:
            raise JobOptionsError(
                f"{file_name(text)} is there twice", where=where, hint="give one of the variables another name"
            )
        named[text] = file_name(text)
        number = 1
        while [*named.values()].count(named[text]) > 1:  # tree.a+b after tree.a_b
            number += 1
            named[text] = f"{file_name(text)}_{number}"
        views.append(View(replace(variable, binnings={name: binning}), named[text]))
    return views


def file_name(text: str) -> str:
    """Return a text as the name of a file: at most 100 bytes of letters, digits, ``.`` (not in front), ``_``, ``-``."""
    name = re.sub(r"[^\w.-]+", "_", text.replace("`", "")).lstrip("._").rstrip("_") or "plot"
    return name.encode()[:100].decode(errors="ignore")


def values_of(events: Events, variable: Variable, cut: Cut, at: str) -> Array:
    """Return the variable of the objects of a container that pass a cut, shared with other tools; NaN where it is
    missing.
    """
    raw = _picked(events, Expression(variable.column), cut, at)
    if variable.missing is not None:
        raw = np.where(raw == variable.missing, np.nan, raw)
    return variable(raw) if variable.transform else raw


def columns_of(views: Sequence[View], cut: Cut, at: str, events: Events) -> list[Array]:
    """Return the values of each of several views, as ``values_of``."""
    return [values_of(events, view.variable, cut, at) for view in views]


def weights_of(events: Events, weight: Weight, cut: Cut, at: str) -> Array | None:
    """Return the weights of the objects of a container that pass a cut, None where all are 1; ColumnError where one is
    missing or infinite.
    """
    if weight.trivial:
        return None

    def make() -> Array:
        return _finite(np.asarray(_picked(events, weight, cut, at)), weight.text)

    return events.shared(("weights", weight.text, cut.text, at), make, (*weight.columns, *cut.columns))


def _finite(weights: Array, text: str) -> Array:
    bad = np.count_nonzero(~np.isfinite(weights))
    if bad:
        raise ColumnError(
            f"the weight {text!r} is missing or infinite for {bad} of {len(weights)} objects that are plotted",
            hint=f"leave them out with a cut, isfinite({text}), or give them one: where(isfinite(…), …, 1)",
        )
    return weights


def normalised(events: Events, weight: Weight, cut: Cut, at: str) -> Array | None:
    """Return the weights of objects, as ``weights_of``, with those of their events, where ``--lumi`` or a variation
    gives events one.
    """
    own = weights_of(events, weight, cut, at)
    if "weight" not in events["Sample"]:
        return own
    if "." in at:  # values in lists of objects
        return weights_of(events, weight * Weight(WEIGHT), cut, at)

    def make() -> Array:
        of_events = events.of_events(WEIGHT, at, places_of(events, cut, at))
        return _finite(of_events if own is None else own * of_events, (weight * Weight(WEIGHT)).text)

    return events.shared(("normalised", weight.text, cut.text, at), make, (*weight.columns, *cut.columns, WEIGHT))


def passing(events: Events, cut: Cut, at: str) -> Array:
    """Return the places of the objects that pass a cut, among the visible ones."""
    return events.shared(("passing", cut.text, at), lambda: np.flatnonzero(cut(events, at)), cut.columns)


def _picked(events: Events, expression: Expression, cut: Cut, at: str) -> Array:
    def make() -> Array:
        values = expression(events, at)
        return values.take(passing(events, cut, at)) if cut.parts else values  # places are quicker than a mask

    key = ("picked", type(expression), expression.text, cut.text, at)
    return events.shared(key, make, (*expression.columns, *cut.columns))


def places_of(events: Events, cut: Cut, at: str) -> Array | None:
    """Return which objects of a container, hidden ones counted, are visible and pass a cut; None where all do."""
    places = events.places(at)
    if not cut.parts:
        return places
    chosen = passing(events, cut, at)
    return chosen if places is None else places[chosen]


def seen_in(events: Events, nominal: Events, cut: Cut, at: str) -> tuple[Array, Array] | None:
    """Return masks of the objects of a container, hidden ones counted, that pass a cut in a variation, and in the
    nominal; None where these are other objects.
    """
    if "." in at or not events.of_nominal(at):
        return None

    def make() -> tuple[Array, Array]:
        both = [places_of(one, cut, at) for one in (events, nominal)]
        size = max(
            [
                len(one[at] if at else one) if p is None else p.max(initial=-1) + 1
                for one, p in zip((events, nominal), both, strict=True)
            ]
        )
        masks = np.zeros((2, size), dtype=np.bool_)
        for mask, places in zip(masks, both, strict=True):
            mask[slice(None) if places is None else places] = True
        return masks[0], masks[1]

    return events.shared(("seen", cut.text, at), make)


def in_both(events: Events, nominal: Events, cut: Cut, at: str) -> tuple[Array | None, Array | None] | None:
    """Return which of the objects that pass a cut in a variation pass it in the nominal, too, and which these are there
    (None: all, in this order); None where objects are not those of the nominal.
    """
    seen = seen_in(events, nominal, cut, at)

    def make() -> tuple[Array | None, Array | None] | None:
        if seen is None:
            return None
        mine, theirs = seen
        if np.array_equal(mine, theirs):
            return None, None
        return np.flatnonzero(theirs[mine]), np.flatnonzero(mine[theirs])

    return events.shared(("both", cut.text, at), make)


def repeated(
    drawn: Iterable[tuple[Sequence[Expression], Sequence[Cut]]], weight: Weight, columns: Mapping[str, ColumnInfo]
) -> list[str]:
    """Return a line for values that are drawn several times, since one of their cuts or the weight has several values
    for each of them; of columns that the input does not have nothing is said.
    """
    lines: dict[str, None] = {}
    for expressions, cuts in drawn:
        deep = {one: levels for one in [*(part for cut in cuts for part in cut.parts), weight]
                if (levels := one.levels(columns))}  # fmt: skip
        own = [expression.levels(columns) for expression in expressions]
        known = [levels for levels in own if levels is not None]
        one = max(deep, key=lambda one: deep[one], default=None)
        if one is None or len(known) < len(own) or deep[one] <= max(known):
            continue
        info = max((columns[name] for name in one.columns), key=lambda column: column.depth)
        of_list = info.depth > (0 if info.single else 1)
        what = f"each element of {info.name}" if of_list else f"each of {info.container}"
        passes = f" that passes; any({one.text}) keeps {'objects' if max(known) else 'events'} once"
        said = passes if isinstance(one, Cut) else f", as the weight {one.text} has one for each"
        drawn_as = " against ".join(expression.text for expression in expressions)
        lines[f"{drawn_as} is drawn once for {what}{said}"] = None
    return [*lines]


class Drawer:
    """Draws the figures of a tool into its folder of the run directory, with the text that belongs to all of them.

    They are drawn in the end, by ``finish``: in parallel where the run has several workers. Those of variations
    (``vary``) become bands of the nominal ones.
    """

    def __init__(self, tool: FigureTool, context: Context) -> None:
        self.context = context
        self.tool = tool.name
        self.folder = tool.Folder or tool.name
        self.text = tool.Text or context.label
        self.sheet = context.style
        unseen = [str(context.result(tool.Unseen))] if tool.Unseen else []
        self.wanted: dict[str, tuple[Any, Any, Mapping[str, Any]]] = {}
        self.varied: dict[str, dict[str, Any]] = {}
        weight = [f"weight: {tool.Weight.text}"] if isinstance(tool, PlotTool) and not tool.Weight.trivial else []
        self.lines = (*unseen, *([tool.Selection.label] if tool.Selection.label else []), *weight, *tool.Lines)

    def __call__(self, name: str, what: Any, *, lines: Sequence[str] = (), **options: Any) -> None:
        """Take note of a plot object, several in one figure, or a comparison; ``options`` are those of ``draw``.

        A name that another figure of the tool has ("pT < 50" and "pT > 50" are the same as names of files) gets a
        number.
        """
        from hepflow.plots.figures import Style

        name = next(free for free in chain([name], (f"{name}_{n}" for n in count(2))) if free not in self.wanted)
        self.wanted[name] = (what, Style(self.text, (*self.lines, *lines), self.sheet), options)

    def vary(self, variation: str, figures: Callable[[Drawer], None]) -> None:
        """Take note of the same figures in a variation, as ``figures`` draws them."""
        nominal, self.wanted = self.wanted, {}
        figures(self)
        self.varied[variation] = {name: what for name, (what, _, _) in self.wanted.items()}
        self.wanted = nominal

    def add_bands(self, how: str, *, each: bool) -> None:
        """Let the figures have the bands of their variations, and with ``each`` one more for each; a variation in which
        a figure is as it is has no part in it.
        """
        from hepflow.plots import Bands
        from hepflow.plots.figures import Grid

        for name, (what, style, options) in [*self.wanted.items()]:
            if isinstance(what, Grid):
                continue
            found = {v: Bands(of[name], {}).plots for v, of in self.varied.items() if name in of}
            varied = {v: plots for v, plots in found.items() if plots != Bands(what, {}).plots}
            if varied and how != "none":
                self.wanted[name] = (Bands(what, varied, how), style, options)
            for variation, plots in varied.items() if each else ():
                self.wanted[f"{name}__{variation}"] = (Bands(what, {variation: plots}, "curves"), style, options)

    def finish(self) -> None:
        """Draw and write everything; PlotError, naming the figure, for the first that fails, when all are done."""
        bases = {name: self.context.path(f"{self.folder}/{name}") for name in self.wanted}
        calls = [
            (bases[name], *figure, {"tool": self.tool, "place": place})
            for place, (name, figure) in enumerate(self.wanted.items())
        ]
        failed: list[PlotError] = []
        for paths in self.context.processes.map(_drawn, calls):
            if isinstance(paths, PlotError):
                failed.append(paths)
                continue
            for path in paths:
                self.context.path(str(path.relative_to(self.context.directory.resolve())))
        if failed:
            raise failed[0]
        if calls:
            self.context.log.info("%s in %s", many(len(calls), "figure"), self.context.directory / self.folder)


def _drawn(
    path: Path, what: Any, style: Any, options: Mapping[str, Any], by: Mapping[str, Any]
) -> list[Path] | PlotError:
    """Draw a figure and write it, with who drew it; what is wrong with it is returned, so that the others are drawn."""
    from hepflow.plots.figures import draw, save
    from hepflow.plots.figures.style import house_style

    try:
        with house_style(style.sheet):  # once for both
            figure: Any = draw(what, style=style, **options)
            figure.drawn_with["by"] = by
            return save(figure, path, what)
    except PlotError as error:
        return PlotError(error.message, where=error.where or f"figure {path.name}", hint=error.hint)


def together(samples: Mapping[str, Plots], keys: Sequence[str]) -> list[PlotObject]:
    """Return the objects of these keys of all samples, for one figure; with several samples their names are told."""
    found = [(plots[key], name) for key in keys for name, plots in samples.items()]
    if len(samples) == 1:
        return [plot for plot, _ in found]
    copies = [copy.copy(plot) for plot, _ in found]
    for plot, (_, name) in zip(copies, found, strict=True):
        plot.label = f"{plot.label}, {name}" if plot.label else name
    return copies


class FigureTool(Tool):
    """Base of the tools that draw figures: of which objects, where they go, and the text in all of them."""

    Selection = Property(Cut(), "cut on the objects that are plotted")
    Folder = Property("", "folder of the figures in the run directory; empty: the name of the tool")
    Text = Property("", "text at the top of the figures; empty: the label of the run (--label)")
    Lines: Property[tuple[str, ...]] = Property((), "further lines of text in the figures", item=str)
    Unseen = Property("", "tool UnseenEvents whose selection is named in the figures")

    def needs(self) -> list[str]:
        """Return the tool whose selection is named in the figures."""
        return [self.Unseen] if self.Unseen else []


class PlotTool(FigureTool):
    """Base of the plot tools: fills plot objects in the event loop, for each sample, and draws them at the end.

    A tool says which objects it has (``empty``), how a chunk fills them (``fill``) and which figures they make
    (``figures``). Its result is {sample: {key: plot object}}.
    """

    selects = False

    Weight = Property(Weight(), "weight of an object; empty: 1")
    Together = Property(False, "fill all samples into the same plots: signal may be one sample, background another")
    Bands = Property(
        "quadrature", "how figures show variations: effects in quadrature, an envelope, or a band for each effect",
        choices=("quadrature", "envelope", "pairs", "none"),
    )  # fmt: skip
    EachVariation = Property(False, "draw one more figure for each variation, with its ratio to the nominal")

    # ── what a plot tool says ────────────────────────────────────────────────────────────────────────────────────────

    def expressions(self) -> Sequence[Expression]:
        """Return the expressions whose columns are read, besides selection and weight."""
        raise TypeError(f"{type(self).__name__} does not say what it reads: override expressions()")

    def drawn(self) -> Iterable[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return which values are filled together, and the cuts on them: those that repeat values are told."""
        return []

    def empty(self) -> Plots:
        """Return the empty plot objects of a sample, by key."""
        raise TypeError(f"{type(self).__name__} does not say what it fills: override empty()")

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill the objects of a sample with a chunk."""
        raise TypeError(f"{type(self).__name__} does not say how it fills: override fill()")

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw the objects of all samples."""
        raise TypeError(f"{type(self).__name__} does not say what it draws: override figures()")

    def remarks(
        self, job: Job, records: Mapping[str, Mapping[str, Any]], columns: Mapping[str, ColumnInfo]
    ) -> Sequence[str]:
        """Tell of scores that are drawn for events with which their model was trained, of a selection of others that
        the figures do not name, and of values that are drawn several times.
        """
        unnamed = [] if self.Unseen else unnamed_selections(self.name, job)
        return [*seen_scores(self.reads(), job, records), *unnamed, *repeated(self.drawn(), self.Weight, columns)]

    # ── what all do the same way ─────────────────────────────────────────────────────────────────────────────────────

    def reads(self) -> Sequence[str]:
        """Return the columns of variables, cuts and weights."""
        all_of_them = [*self.expressions(), self.Selection, self.Weight]
        return list(dict.fromkeys([*(name for one in all_of_them for name in one.columns), f"{WEIGHT}?"]))

    def start(self) -> dict[str, Plots]:
        """Return no plots: they are made with the first chunk of a sample."""
        return {}

    def execute(self, events: Events, result: dict[str, Plots]) -> None:
        """Fill the plots of the chunk's sample."""
        name = "" if self.Together else events.sample.name
        if name not in result:
            result[name] = self.empty()
            for plot in result[name].values() if events.nominal is not None else ():
                plot.pair()
        self.fill(events, result[name])

    def finalize(self, total: dict[str, Plots], context: Context) -> dict[str, Plots]:
        """Draw what was filled, and return it; without any event the plots are empty. Those of a variation are drawn
        with the nominal ones, as bands.
        """
        samples = total or {"": self.empty()}
        if context.variation:
            return samples
        draw = Drawer(self, context)
        self.figures(samples, draw)
        for variation, of in context.varied.items():
            draw.vary(variation, partial(self.figures, {**samples, **of}))
        draw.add_bands(self.Bands, each=self.EachVariation)
        draw.finish()
        return samples

    def weights(self, events: Events, cut: Cut, at: str) -> Array | None:
        """Return the weights of the objects that pass a cut, None where all are 1."""
        return normalised(events, self.Weight, cut, at)

    def note_common(
        self, events: Events, plot: PlotObject, cut: Cut, at: str, columns: Callable[[Events], Sequence[Array]]
    ) -> None:
        """Let the plot of a variation take note of what the nominal has as well: ``columns`` returns what it is filled
        with, besides weights, for the objects that pass the cut. Errors of shifts come from it.
        """
        nominal = events.nominal
        both = None if nominal is None or not plot.paired else in_both(events, nominal, cut, at)
        if nominal is None or both is None:
            return
        filled, product = [], None
        for one, places in zip((events, nominal), both, strict=True):
            filled += [column if places is None else column[places] for column in columns(one)]
            weights = self.weights(one, cut, at)
            if weights is not None:
                weights = weights if places is None else weights[places]
                product = weights if product is None else product * weights
        plot.fill_common(*filled, weight=product)

    def at(self, events: Events, *expressions: Expression) -> str:
        """Return the container whose objects are filled."""
        return common_values(events, *expressions, self.Selection, self.Weight)
