"""The inputs of a network, class by class: what it could tell the classes apart by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property
from hepflow.errors import JobOptionsError, PropertyError
from hepflow.expressions import Cut, Expression
from hepflow.plugins.performance.base import Drawer, Plots, PlotTool, View, file_name, together, values_of
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES
from hepflow.variables import Binning, Variable

if TYPE_CHECKING:
    from hepflow.plots import Histogram

__all__ = ["NetworkInputPlots"]

MOST = 9
"""Numbers of objects from here on share a bin."""
COUNT = Variable(
    "number", label="number of objects", binnings={"": Binning.categories([*map(str, range(MOST)), f"≥{MOST}"])}
)


class NetworkInputPlots(PlotTool):
    """Plot the inputs of a network as it sees them, transformed but not scaled, with a curve of area 1 for each class.

    For each sequence of ``Variables`` there is one figure per variable, for the leading object (the first one) and
    for all objects, one of the number of objects, and pages with all of these. Values that are missing or outside the
    range are counted, not drawn. The sequences are those of an ntuple (one entry a tau), or what
    ``NNDecayModeTree`` makes in the same job. Keys of the result are ``SEQUENCE/VARIABLE_OBJECTS/CLASS``.
    """

    Variables: Property[dict[str, tuple[Variable, ...]]] = Property(
        dict(DECAY_MODE_VARIABLES), "sequence → its variables, each with a binning", item=tuple
    )
    Split = Property(Expression("TauJets.truthDecayMode"), "column or expression with the class of a tau")
    Classes: Property[dict[int, str]] = Property(
        dict(enumerate(MODES)), "value of Split → label of the class", item=str
    )
    Objects = Property(("leading", "all"), "which objects of a sequence", choices=("leading", "all"))

    def _views(self) -> dict[str, list[View]]:
        """Return the variables of each sequence; PropertyError where one has no binning."""
        views: dict[str, list[View]] = {}
        for sequence, variables in self.Variables.items():
            for variable in variables:
                try:
                    variable.binning()
                except PropertyError:
                    raise PropertyError(
                        f"{sequence}.{variable.name} has no binning",
                        where=f"{self.name}.Variables",
                        hint=f"say how to plot it: Variable({variable.name!r}, …, "
                        "binnings={'': Binning.regular(50, low, high)})",
                    ) from None
                bound = replace(variable, column=f"{sequence}.{variable.column}")
                views.setdefault(sequence, []).append(View(bound, file_name(variable.name)))
        return views

    def _key(self, sequence: str, name: str, label: str) -> str:
        return f"{sequence}/{name}/{label}"

    def expressions(self) -> Sequence[Expression]:
        """Return the inputs and what tells the class; JobOptionsError where a cut on taus uses their objects."""
        for what in ("Selection", "Weight", "Split"):
            for column in getattr(self, what).columns:
                if column.partition(".")[0] in self.Variables:
                    raise JobOptionsError(
                        f"{self.name}.{what} is about taus, and {column} is of their objects",
                        where=f"tool {self.name}",
                        hint="use columns of the taus and of the event",
                    )
        return [*(view.expression for views in self._views().values() for view in views), self.Split]

    def empty(self) -> Plots:
        """Return a histogram for each class of each input, and of the numbers of objects."""
        from hepflow.plots import Histogram

        count = View(COUNT, COUNT.name)
        plots: Plots = {}
        for sequence, views in self._views().items():
            for label in self.Classes.values():
                plots[self._key(sequence, count.name, label)] = Histogram(count.axis, label)
                for view in views:
                    for objects in self.Objects:
                        plots[self._key(sequence, f"{view.name}_{objects}", label)] = Histogram(view.axis, label)
        return plots

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all histograms."""
        for sequence, views in self._views().items():
            self._fill_counts(events, sequence, plots)
            chosen = self._chosen(events, sequence)
            weights = self.weights(events, Cut(), sequence)
            for view in views:
                values = values_of(events, view.variable, Cut(), sequence)
                for (objects, label), index in chosen.items():
                    plot = cast("Histogram", plots[self._key(sequence, f"{view.name}_{objects}", label)])
                    plot.fill(values[index], weight=None if weights is None else weights[index])

    def _chosen(self, events: Events, sequence: str) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
        """Return (which objects, label of the class) → their positions in the sequence."""
        counts = events[sequence].counts
        first = np.repeat(np.cumsum(counts) - counts, counts)
        masks = {"leading": np.arange(len(first)) == first, "all": np.ones(len(first), dtype=bool)}
        classes, selected = self.Split(events, sequence), self.Selection(events, sequence)
        return {
            (objects, label): np.flatnonzero(masks[objects] & selected & (classes == value))
            for objects in self.Objects
            for value, label in self.Classes.items()
        }

    def _fill_counts(self, events: Events, sequence: str, plots: Plots) -> None:
        """Fill the numbers of objects of the taus."""
        at = self.at(events, self.Split)
        counts, classes, selected = events[sequence].counts, self.Split(events, at), self.Selection(events, at)
        weights = self.weights(events, Cut(), at)
        for value, label in self.Classes.items():
            mask = selected & (classes == value)
            plot = cast("Histogram", plots[self._key(sequence, COUNT.name, label)])
            plot.fill(np.minimum(counts[mask], MOST), weight=None if weights is None else weights[mask])

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw each input on its own, and pages with all inputs of a sequence."""
        from hepflow.plots.figures import Grid

        for sequence, views in self._views().items():
            count = self._curves(samples, sequence, COUNT.name)
            draw(f"{sequence}/{COUNT.name}", count, lines=[sequence], normalise=True)
            for objects in self.Objects:
                line = f"{objects} {sequence}"
                cells = [self._curves(samples, sequence, f"{view.name}_{objects}") for view in views]
                draw(
                    f"{sequence}_{objects}", Grid([count, *cells]), lines=[line, "fraction of entries"], normalise=True
                )
                for view, curves in zip(views, cells, strict=True):
                    draw(f"{sequence}/{view.name}_{objects}", curves, lines=[line], normalise=True)

    def _curves(self, samples: Mapping[str, Plots], sequence: str, name: str) -> list[Histogram]:
        """Return what is drawn over one another: the classes, of all samples."""
        keys = [self._key(sequence, name, label) for label in self.Classes.values()]
        return [cast("Histogram", plot) for plot in together(samples, keys)]
