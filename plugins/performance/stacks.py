"""Stacked distributions: samples on top of each other with their weights, a signal over them, data as points."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hepflow import Context, Events, Job, Property
from hepflow.errors import JobOptionsError, nearest
from hepflow.expressions import Cut, Expression, common_values
from hepflow.plugins.performance.base import Drawer, Plots, PlotTool, View, as_views, values_of
from hepflow.plugins.performance.counting import fill_binned

if TYPE_CHECKING:
    from hepflow.plots import Histogram

__all__ = ["StackPlots"]


class StackPlots(PlotTool):
    """Plot stacked distributions of samples, one figure per variable: the statistical uncertainty of the sum as a band,
    data as points with Poisson intervals (Garwood, 68.27 %), and data over the sum below.

    Samples have the names of the input (``-i TTbar=tt.root``). Each event has ``Weight`` times the weight that
    ``--lumi`` gives; data have weight 1. Sums, with errors and effective numbers of entries, are printed and
    written as ``yields.json``.
    """

    Variables: Property[tuple[Any, ...]] = Property((), "variables to plot, as those of HistogramPlots")
    Stack: Property[dict[str, tuple[str, ...]]] = Property(
        {}, "what is stacked, from below: label → samples; empty: all but data and signal, as in the input", item=tuple
    )
    Signal: Property[dict[str, float]] = Property(
        {}, "samples drawn as lines over the stack, no part of its sum: name → factor", item=float
    )
    Data: Property[tuple[str, ...]] = Property((), "samples that are data", item=str)
    PseudoData = Property(0, "seed of pseudo-data, Poisson numbers around the sum, instead of data; 0: none", minimum=0)
    LogY = Property(False, "logarithmic y axis")
    Ratio = Property(True, "draw data over the sum, where there are data")

    def check(self, job: Job) -> None:
        """Refuse settings that exclude each other."""
        if self.Together:
            raise JobOptionsError("Together means nothing to a stack: samples are what it stacks", where=self.name)
        if self.Data and self.PseudoData:
            raise JobOptionsError("Data and PseudoData exclude each other", where=self.name)
        named = [*self.Data, *self.Signal, *(name for names in self.Stack.values() for name in names)]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise JobOptionsError(
                f"the sample {twice} has two places", where=self.name, hint="in one of Stack, Signal and Data, once"
            )

    def _views(self) -> list[View]:
        return as_views(self.Variables, f"{self.name}.Variables")

    def expressions(self) -> Sequence[Expression]:
        """Return the variables."""
        return [view.expression for view in self._views()]

    def reads(self) -> Sequence[str]:
        """Return the columns; those that only the weight needs may be missing, as they are in data."""
        of_all = {name for one in (*self.expressions(), self.Selection) for name in one.columns}
        return [name if name in of_all or name.endswith("?") else f"{name}?" for name in super().reads()]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return the variables."""
        return [([expression], [self.Selection]) for expression in self.expressions()]

    def empty(self) -> Plots:
        """Return a histogram for each variable."""
        from hepflow.plots import Histogram

        return {view.name: Histogram(view.axis) for view in self._views()}

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill the histograms of a sample; JobOptionsError for one that has no place."""
        sample = events.sample.name
        named = {*self.Data, *self.Signal, *(name for names in self.Stack.values() for name in names)}
        if self.Stack and sample not in named:
            raise JobOptionsError(
                f"the sample {sample!r} has no place in {self.name}",
                hint=f"{nearest(sample, named, what='samples')}; Stack, Signal and Data place samples",
            )
        weight = None if sample in self.Data else self.Weight
        wanted: dict[str, list[tuple[Histogram, View]]] = {}
        for view in self._views():
            at = common_values(events, view.expression, self.Selection, *([] if weight is None else [weight]))
            wanted.setdefault(at, []).append((cast("Histogram", plots[view.name]), view))
        for at, several in wanted.items():
            left = fill_binned(events, several, self.Selection, at, weight)
            for plot, view in [one for one in several if any(one[0] is plot for plot in left)]:
                weights = None if weight is None else self.weights(events, self.Selection, at)
                plot.fill(values_of(events, view.variable, self.Selection, at), weight=weights)

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw one figure a variable."""
        from hepflow.plots import Stack

        rng = np.random.default_rng(self.PseudoData)
        for view in self._views():
            of = {name: cast("Histogram", plots[view.name]) for name, plots in samples.items()}
            parts, signal, data = self._parts(of, view)
            if self.PseudoData:
                data = _drawn(reduce(add, parts), rng)
            draw(view.name, Stack(parts, data, signal), log_y=self.LogY, ratio=self.Ratio)

    def _parts(
        self, samples: Mapping[str, Histogram], view: View
    ) -> tuple[list[Histogram], list[Histogram], Histogram | None]:
        """Return the stack from below, the lines over it, and the data; what has no sample is empty."""
        from hepflow.plots import Histogram

        def group(names: Sequence[str], label: str) -> Histogram:
            return _labelled(reduce(add, (samples[n] for n in names if n in samples), Histogram(view.axis)), label)

        stack: Mapping[str, Sequence[str]] = self.Stack
        if not stack:
            rest = [name for name in samples if name not in (*self.Data, *self.Signal)]
            stack = {name: [name] for name in rest}
        if not stack:
            raise JobOptionsError(f"{self.name} has no sample to stack, all are data or signal", where=self.name)
        signal = [
            group([name], name if factor == 1 else f"{name} × {factor:g}").scaled(factor)
            for name, factor in self.Signal.items()
        ]
        data = group(self.Data, "data") if self.Data else None
        return [group(names, label) for label, names in stack.items()], signal, data

    def finalize(self, total: dict[str, Plots], context: Context) -> dict[str, Plots]:
        """Draw, print the sums. JobOptionsError where a sample that is named as signal or data is not there."""
        from hepflow.files import write_text

        for name in (*self.Signal, *self.Data):
            if total and not self.Stack and name not in total:
                hint = f"{nearest(name, total, what='samples')}; -i NAME=FILE names them"
                raise JobOptionsError(f"{self.name} got no events of {name}", where=self.name, hint=hint)
        samples = super().finalize(total, context)
        if context.variation or not self._views():
            return samples
        first = self._views()[0].name
        rows = [_yield(name, cast("Histogram", plots[first])) for name, plots in samples.items()]
        write_text(context.path(f"{self.Folder or self.name}/yields.json"), json.dumps(rows, indent=2) + "\n")
        for row in rows:
            context.log.info("%-20s %12.2f ± %.2f, %.0f effective of %d", *row.values())
        return samples


def _labelled(plot: Histogram, label: str) -> Histogram:
    made = copy.copy(plot)
    made.label = label
    return made


def _drawn(expected: Histogram, rng: np.random.Generator) -> Histogram:
    """Return whole numbers around the sums of a histogram, bin by bin."""
    from hepflow.plots import Histogram

    axis = expected.axes[0]
    made = Histogram(axis, "pseudo-data")
    made.fill(np.repeat(axis.centers, rng.poisson(np.maximum(expected.values(), 0.0))))
    return made


def _yield(sample: str, plot: Histogram) -> dict[str, Any]:
    """Return the sum of weights of a sample, with under- and overflow, its error, and numbers of entries."""
    squares = float(plot.variances(flow=True).sum())
    effective = plot.total**2 / squares if squares else 0.0
    return {
        "sample": sample,
        "yield": plot.total,
        "error": squares**0.5,
        "effective": effective,
        "entries": plot.entries,
    }
