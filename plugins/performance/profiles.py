"""Efficiencies, means and resolutions against a variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hepflow import Events, Property
from hepflow.errors import JobOptionsError, nearest
from hepflow.expressions import Cut, Expression, common_container
from hepflow.plugins.performance.base import (
    Drawer,
    Plots,
    PlotTool,
    View,
    as_views,
    columns_of,
    together,
    values_of,
)
from hepflow.variables import Binning, Variable

if TYPE_CHECKING:
    from hepflow.plots import EfficiencyAtRejection, EfficiencyProfile, Profile, ResolutionProfile

__all__ = ["EfficiencyPlots", "ProfilePlots", "RejectionPlots", "ResolutionPlots"]


class AgainstVariables(PlotTool):
    """What is plotted against variables: one figure for each, with one curve for each label."""

    Variables: Property[tuple[Any, ...]] = Property((), "variables of the x axes")
    Ratio = Property(False, "draw the ratio to the first curve")

    def views(self) -> list[View]:
        """Return the x axes."""
        return as_views(self.Variables, f"{self.name}.Variables")

    def labels(self) -> Sequence[str]:
        """Return the labels of the curves."""
        raise TypeError(f"{type(self).__name__} does not say which curves it has: override labels()")

    def options(self) -> Mapping[str, Any]:
        """Return how the figures are drawn: name of the kind of figure → options of ``draw``."""
        return {"": {}}

    def told(self) -> Sequence[str]:
        """Return lines of text that belong to all figures."""
        return []

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw one figure a variable."""
        for view in self.views():
            curves = together(samples, [_key(view, label) for label in self.labels()])
            for kind, options in self.options().items():
                draw(
                    f"{view.name}_{kind}" if kind else view.name, curves, ratio=self.Ratio, lines=self.told(), **options
                )


def _with_passed(x: Variable, passed: Cut, total: Cut, at: str, events: Events) -> list[Any]:
    return [values_of(events, x, total, at), passed(events, at)[total(events, at)]]


def _key(view: View, label: str) -> str:
    return f"{view.name}/{label}"


class EfficiencyPlots(AgainstVariables):
    """Plot efficiencies: the fraction of the selected objects, or of those in ``Totals``, that passes.

    ``Passed`` has a cut for each curve, ``Totals`` its denominator, if that is not the selection. With
    ``TruthTotals`` the denominator of a curve is made of truth objects instead (all true taus in acceptance, whether
    they are reconstructed or not): the truth partner of the variable for the truth objects that pass.
    Errors are those of ``EfficiencyProfile``.
    """

    Passed: Property[dict[str, Cut]] = Property({}, "numerators of curves: label → cut", item=Cut)
    Totals: Property[dict[str, Cut]] = Property({}, "denominators of curves: label → cut", item=Cut)
    TruthTotals: Property[dict[str, Cut]] = Property({}, "denominators made of truth objects: label → cut", item=Cut)
    Title = Property("Efficiency", "title of the y axis")
    Rejection = Property(False, "show the rejection, 1 / efficiency (of what Selection takes as background)")
    YRange: Property[tuple[float, ...]] = Property((), "range of the y axis; empty: automatic", item=float)

    @property
    def shown(self) -> str:
        """Return the title of the y axis."""
        return "Rejection" if self.Rejection and self.Title == "Efficiency" else self.Title

    def labels(self) -> Sequence[str]:
        """Return the labels of ``Passed``; JobOptionsError where a denominator belongs to none of them."""
        for name in ("Totals", "TruthTotals"):
            for label in getattr(self, name):
                if label not in self.Passed:
                    raise JobOptionsError(
                        f"{name} has {label!r}, which Passed does not have",
                        where=f"tool {self.name}",
                        hint=nearest(label, self.Passed, what="labels"),
                    )
        return list(self.Passed)

    def expressions(self) -> Sequence[Expression]:
        """Return variables, truth partners and cuts; errors as in ``labels`` and where a partner is missing."""
        passed = [self.Passed[label] for label in self.labels()]
        cuts = [*passed, *self.Totals.values(), *self.TruthTotals.values()]
        truth = [Expression(view.truth.column) for view in self.views()] if self.TruthTotals else []
        return [*(view.expression for view in self.views()), *truth, *cuts]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return with each variable what passes, whose objects are counted."""
        cuts = [self.Selection, *self.Totals.values()]
        return [([view.expression, passed], cuts) for view in self.views() for passed in self.Passed.values()]

    def empty(self) -> Plots:
        """Return an efficiency for each variable and curve."""
        from hepflow.plots import EfficiencyProfile

        return {
            _key(view, label): EfficiencyProfile(view.axis, label, self.shown, inverse=self.Rejection)
            for view in self.views()
            for label in self.labels()
        }

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all efficiencies."""
        from hepflow.plots.efficiency import DENOMINATOR, NUMERATOR

        for view in self.views():
            for label, passed in self.Passed.items():
                plot = cast("EfficiencyProfile", plots[_key(view, label)])
                total = self.Selection & self.Totals.get(label, Cut())
                at = self.at(events, view.expression, passed, total)
                if label in self.TruthTotals:
                    both, cut = total & passed, self.TruthTotals[label]
                    at_truth = common_container(events, cut, Expression(view.truth.column), self.Weight)
                    self._fill(plot.fill_passed, NUMERATOR, events, plot, view.variable, both, at)
                    self._fill(plot.fill_total, DENOMINATOR, events, plot, view.truth, cut, at_truth)
                else:
                    columns = partial(_with_passed, view.variable, passed, total, at)
                    plot.fill(*columns(events), weight=self.weights(events, total, at))
                    self.note_common(events, plot, total, at, columns)

    def _fill(
        self, fill: Callable[..., None], state: int, events: Events, plot: EfficiencyProfile, x: Variable, cut: Cut,
        at: str,
    ) -> None:  # fmt: skip
        """Fill numerator or denominator alone."""

        def columns(one: Events) -> list[Any]:
            values = values_of(one, x, cut, at)
            return [values, np.full(len(values), state)]

        fill(columns(events)[0], weight=self.weights(events, cut, at))
        self.note_common(events, plot, cut, at, columns)

    def told(self) -> Sequence[str]:
        """Return what the denominators are, where they have a selection of their own."""
        cuts = [*self.Totals.values(), *self.TruthTotals.values()]
        return [f"of: {label}" for label in dict.fromkeys(cut.label for cut in cuts) if label]

    def options(self) -> Mapping[str, Any]:
        """Return the range of the y axis, which is logarithmic for rejections."""
        return {"": {"y_range": self.YRange or None, "log_y": self.Rejection or None}}


class RejectionPlots(AgainstVariables):
    """Plot the signal efficiency against variables at a fixed background rejection, with a separate cut on the score in
    each bin.
    """

    Signal = Property(Cut(), "what is signal")
    Background = Property(Cut(), "what is background")
    Scores: Property[dict[str, Expression]] = Property({}, "curves: label → score, larger for signal", item=Expression)
    FixedRejection = Property(20.0, "the rejection: one of so many background objects passes", minimum=1)
    Range = Property((0.0, 1.0), "range of the scores")

    def labels(self) -> Sequence[str]:
        """Return the labels of the scores."""
        return list(self.Scores)

    def told(self) -> Sequence[str]:
        """Return what signal and background are."""
        cuts = (("signal", self.Signal), ("background", self.Background))
        return [f"{what}: {cut.label or 'everything'}" for what, cut in cuts]

    def expressions(self) -> Sequence[Expression]:
        """Return variables, scores and classes."""
        return [*(view.expression for view in self.views()), *self.Scores.values(), self.Signal, self.Background]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return the scores with each variable."""
        cuts = [self.Selection, self.Signal, self.Background]
        return [([view.expression, score], cuts) for view in self.views() for score in self.Scores.values()]

    def empty(self) -> Plots:
        """Return an efficiency for each variable and score."""
        from hepflow.plots import EfficiencyAtRejection

        low, high = self.Range
        return {
            _key(view, label): EfficiencyAtRejection(view.axis, self.FixedRejection, label, low=low, high=high)
            for view in self.views()
            for label in self.labels()
        }

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill the scores in bins of the variables."""
        chosen = self.Selection & (self.Signal | self.Background)
        for view in self.views():
            for label, score in self.Scores.items():
                at = self.at(events, view.expression, score, chosen)
                x, scores = (
                    values_of(events, variable, chosen, at)
                    for variable in (view.variable, Variable("score", score.text))
                )
                signal = self.Signal(events, at)[chosen(events, at)]
                plot = cast("EfficiencyAtRejection", plots[_key(view, label)])
                plot.fill(x, scores, signal, weight=self.weights(events, chosen, at))


class ProfilePlots(AgainstVariables):
    """Plot the mean of quantities against variables."""

    Response = Property(
        "", "the quantity with its range, as in HistogramPlots (TauJets.pt / TauJets.truthPtVis:100;0;2)"
    )
    Curves: Property[dict[str, Cut]] = Property({}, "curves: label → cut; empty: all together", item=Cut)

    def response(self) -> View:
        """Return the quantity whose mean is drawn."""
        return as_views([self.Response], f"{self.name}.Response")[0]

    def labels(self) -> Sequence[str]:
        """Return the labels of the curves."""
        return list(self.Curves) or [""]

    def expressions(self) -> Sequence[Expression]:
        """Return variables, quantity and cuts."""
        return [*(view.expression for view in self.views()), self.response().expression, *self.Curves.values()]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return the quantity with each variable."""
        cuts, response = [self.Selection, *self.Curves.values()], self.response().expression
        return [([view.expression, response], cuts) for view in self.views()]

    def empty(self) -> Plots:
        """Return a profile for each variable and curve."""
        from hepflow.plots import Profile

        response = self.response().axis
        return {_key(v, label): Profile(v.axis, response, label) for v in self.views() for label in self.labels()}

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all profiles."""
        response = self.response()
        for view in self.views():
            for label, cut in (self.Curves or {"": Cut()}).items():
                at = self.at(events, view.expression, response.expression, cut)
                chosen, plot = self.Selection & cut, cast("Profile", plots[_key(view, label)])
                columns = partial(columns_of, [view, response], chosen, at)
                plot.fill(*columns(events), weight=self.weights(events, chosen, at))
                self.note_common(events, plot, chosen, at, columns)


class ResolutionPlots(AgainstVariables):
    """Plot position and width of a response (reconstructed over true, or their difference) against variables.

    One figure for each variable and mode; ``ResolutionProfile`` explains the modes and their errors.
    """

    Responses: Property[dict[str, Expression]] = Property(
        {}, "responses: label of the curve → expression", item=Expression
    )
    Range = Property("1000;0;2", "bins of the responses: NUMBER;LOW;HIGH")
    Title = Property("reconstructed / true", "what the response is")
    Unit = Property("", "unit of the response")
    Modes = Property(("winmode", "core", "tail"), "what is drawn", item=str)

    def labels(self) -> Sequence[str]:
        """Return the labels of the responses."""
        return list(self.Responses)

    def expressions(self) -> Sequence[Expression]:
        """Return variables and responses; JobOptionsError for an unknown mode."""
        from hepflow.plots import ResolutionProfile

        for mode in self.Modes:
            if mode not in ResolutionProfile.MODES:
                hint = nearest(mode, ResolutionProfile.MODES, what="modes")
                raise JobOptionsError(f"there is no mode {mode!r}", where=f"tool {self.name}", hint=hint)
        return [*(view.expression for view in self.views()), *self.Responses.values()]

    def drawn(self) -> Sequence[tuple[Sequence[Expression], Sequence[Cut]]]:
        """Return the responses with each variable."""
        both = [(view.expression, response) for view in self.views() for response in self.Responses.values()]
        return [(pair, [self.Selection]) for pair in both]

    def empty(self) -> Plots:
        """Return a resolution profile for each variable and response."""
        from hepflow.plots import Axis, ResolutionProfile

        response = Axis("response", Binning.parse(self.Range).edges, self.Title, self.Unit)
        return {
            _key(v, label): ResolutionProfile(v.axis, response, label) for v in self.views() for label in self.labels()
        }

    def fill(self, events: Events, plots: Plots) -> None:
        """Fill all profiles."""
        for view in self.views():
            for label, response in self.Responses.items():
                at = self.at(events, view.expression, response)
                x, y = (
                    values_of(events, variable, self.Selection, at)
                    for variable in (view.variable, Variable(label, response.text))
                )
                cast("ResolutionProfile", plots[_key(view, label)]).fill(
                    x, y, weight=self.weights(events, self.Selection, at)
                )

    def options(self) -> Mapping[str, Any]:
        """Return a figure for each mode."""
        return {mode: {"mode": mode} for mode in self.Modes}
