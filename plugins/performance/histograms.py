"""Histograms of variables, of one or two dimensions, split into classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hepflow import Context, Events, Property
from hepflow.errors import JobOptionsError
from hepflow.expressions import Cut, Expression
from hepflow.plugins.performance.base import (
    Drawer,
    Plots,
    PlotTool,
    View,
    as_views,
    columns_of,
    file_name,
    together,
)
from hepflow.plugins.performance.counting import fill_binned

if TYPE_CHECKING:
    from hepflow.plots import Histogram

__all__ = ["HistogramPlots"]


class HistogramPlots(PlotTool):
    """Plot the distributions of variables, one figure each, with one curve for each class of ``Split``.

    A variable is a Variable, ``(Variable, "log")`` with the name of a binning, or a text: ``TauJets.pt:log`` of the
    known variables (``hepflow list variables``), or an expression with a binning,
    ``TauJets.pt / TauJets.truthPtVis:50;0;2``; a label for the axis may come first, ``Missing ET [GeV]=tree.met``.
    ``Pairs`` are two variables each, for two-dimensional histograms, one figure for each class. Values outside the
    range are kept and counted, not drawn.
    """

    Variables: Property[tuple[Any, ...]] = Property((), "variables to plot")
    Pairs: Property[tuple[Any, ...]] = Property((), "pairs of variables (x, y) to plot against each other")
    Split: Property[dict[str, Cut]] = Property(
        {}, "classes, each drawn as a curve: label → cut; empty: all together", item=Cut
    )
    SplitTitle = Property("", "what the classes are (truth decay mode), above the legend")
    Normalise = Property(False, "draw each curve with area 1")
    LogY = Property(False, "logarithmic y axis")
    Ratio = Property(False, "draw the ratio to the first curve")

    def _views(self) -> list[tuple[View, ...]]:
        where = f"{self.name}.Variables"
        single: list[tuple[View, ...]] = [(view,) for view in as_views(self.Variables, where)]
        pairs = [tuple(as_views(pair, f"{self.name}.Pairs")) for pair in self.Pairs]
        names = [tuple(view.name for view in pair) for pair in pairs]
        twice = next((pair for pair in names if names.count(pair) > 1), None)
        if twice is not None:
            raise JobOptionsError(
                f"the pair {twice[0]}, {twice[1]} is there twice", where=f"{self.name}.Pairs", hint="remove one"
            )
        return single + pairs

    def _plots(self) -> Iterator[tuple[str, tuple[View, ...], str, Cut]]:
        """Yield key, views, label and cut of each histogram."""
        classes: Mapping[str, Cut] = self.Split or {"": Cut()}
        for views in self._views():
            name = "_vs_".join(view.name for view in reversed(views))
            for label, cut in classes.items():
                yield f"{name}/{label}" if label else name, views, label, cut

    def expressions(self) -> Sequence[Expression]:
        """Return variables and classes."""
        return [*(view.expression for views in self._views() for view in views), *self.Split.values()]

    def initialize(self, context: Context) -> None:
        """Look the variables up once."""
        self.plots_ = tuple(self._plots())

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return variables and pairs, with the cuts of all classes."""
        cuts = [self.Selection, *self.Split.values()]
        return [([view.expression for view in views], cuts) for views in self._views()]

    def empty(self) -> Plots:
        """Return a histogram for each variable and class."""
        from hepflow.plots import Histogram

        known = self.__dict__.get("plots_") or self._plots()
        return {key: Histogram([view.axis for view in views], label) for key, views, label, _ in known}

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all histograms."""
        selection = self.Selection
        chosen = {cut: selection & cut for cut in (self.Split or {"": Cut()}).values()}
        binned: dict[tuple[Cut, str], list[tuple[Histogram, View]]] = {}
        others = []
        for key, views, _, cut in self.__dict__.get("plots_") or self._plots():
            at = self.at(events, *(view.expression for view in views), cut)
            plot = cast("Histogram", plots[key])
            if len(views) == 1:
                binned.setdefault((chosen[cut], at), []).append((plot, views[0]))
            else:
                others.append((plot, views, chosen[cut], at))
        for (cut, at), wanted in binned.items():
            left = fill_binned(events, wanted, cut, at, self.Weight)
            others += [(plot, (view,), cut, at) for plot, view in wanted if any(plot is one for one in left)]
        for plot, views, cut, at in others:
            columns = partial(columns_of, views, cut, at)
            plot.fill(*columns(events), weight=self.weights(events, cut, at))
            self.note_common(events, plot, cut, at, columns)

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw one figure a variable, one a class for pairs."""
        keys: dict[str, list[str]] = {}
        for key, views, _, _ in self._plots():
            keys.setdefault(key if len(views) == 2 else key.partition("/")[0], []).append(key)
        for name, members in keys.items():
            if len(cast("Histogram", next(iter(samples.values()))[members[0]]).axes) == 2:
                for sample, plots in samples.items():
                    draw(file_name(f"{name}_{sample}" if len(samples) > 1 else name), plots[members[0]])
            else:
                curves = together(samples, members)
                how: dict[str, Any] = {"log_y": self.LogY, "normalise": self.Normalise, "ratio": self.Ratio}
                draw(name, curves, legend=self.SplitTitle, **how)
