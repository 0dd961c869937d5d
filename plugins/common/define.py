"""New columns and selections, written as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hepflow import Events, Job, Property, Tool
from hepflow.errors import JobOptionsError
from hepflow.expressions import Cut, Expression, common_container
from hepflow.variations import Override

__all__ = ["Define", "Filter"]


class Define(Override):
    """Decorate objects, or events, with expressions over columns; a later one may use an earlier one.

    ``Columns={"TauJets.response": "TauJets.pt / TauJets.truthPtVis", "EventInfo.nJets": "sum(Jets.pt > 20*GeV)"}``.
    Integers become int64 or uint64, conditions bool, results of floats float64; ``abs``, ``min``, ``max`` and ``where``
    of 32-bit columns keep their type. Missing values stay missing in the new column: NaN for floats; missing integers
    and conditions cannot be written (``where(isfinite(x), x, -1)`` gives them a value). An expression of lists makes a
    column of lists.
    """

    Columns: Property[dict[str, Expression]] = Property({}, "new column → expression", item=Expression)

    def check(self, job: Job) -> None:
        """Refuse a tool that defines nothing."""
        if not self.Columns:
            raise JobOptionsError(f"{self.name} defines nothing", hint='Columns={"TauJets.x": "TauJets.pt / GeV"}')
        for name, expression in self.Columns.items():
            if "." not in name:
                home = next((column.partition(".")[0] for column in expression.columns), "TauJets")
                raise JobOptionsError(f"{self.name}.Columns: {name!r} is no Container.column", hint=f"{home}.{name}")


class Filter(Tool):
    """Keep what passes a cut: objects of the container that the cut is about, or events.

    ``Filter("taus", Cut="TauJets.pt > 20*GeV")`` hides taus, ``Filter("pair", Cut="sum(TauJets.pt > 20*GeV) >= 2")``
    events; in an ntuple with one entry per object ``tree.pt > 20*GeV`` hides entries. The cutflow counts what fails
    because of a missing value.
    """

    Cut = Property(Cut(), "what is kept")
    Label = Property("", "line of the cutflow; empty: the cut")

    def reads(self) -> Sequence[str]:
        """Return the columns of the cut."""
        return self.Cut.columns

    def check(self, job: Job) -> None:
        """Refuse a tool without a cut."""
        if not self.Cut.columns:
            raise JobOptionsError(f"{self.name} has no Cut", hint='Cut="TauJets.pt > 20*GeV"')

    def execute(self, events: Events, result: Any) -> None:
        """Hide what does not pass."""
        at = common_container(events, self.Cut)
        label = self.Label or self.Cut.label
        mask, missing = self.Cut(events, at), self.Cut.missing(events, at)
        if at and events.depth(at):
            events.select(at, mask, label, missing=missing)
        else:
            events.select_events(mask, label, missing=missing)
