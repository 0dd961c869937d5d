"""Selecting taus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hepflow import Events, Property, Tool

__all__ = ["TauSelection"]

CRACK = (1.37, 1.52)


class TauSelection(Tool):
    """Select taus by transverse momentum, pseudorapidity, number of charged tracks and charge."""

    Container = Property("TauJets", "container of the taus")
    PtMin = Property(0.0, "taus have at least this pt", unit="MeV", minimum=0)
    PtMax = Property(float("inf"), "taus have less than this pt", unit="MeV", minimum=0)
    AbsEtaMax = Property(2.5, "taus have less than this |eta|", minimum=0)
    CrackVeto = Property(False, "leave out 1.37 <= |eta| <= 1.52, where barrel and endcap calorimeters meet")
    Prongs: Property[tuple[int, ...]] = Property((), "accepted numbers of charged tracks; empty: any", item=int)
    AbsCharges: Property[tuple[int, ...]] = Property((), "accepted |charge|; empty: any", item=int)

    def reads(self) -> Sequence[str]:
        """Return the columns of the cuts in use."""
        columns = ["pt", "eta", *(["nTracks"] if self.Prongs else []), *(["charge"] if self.AbsCharges else [])]
        return [f"{self.Container}.{column}" for column in columns]

    def execute(self, events: Events, result: Any) -> None:
        """Apply the cuts, one line of the cutflow each."""
        self._apply(events, "pt", lambda pt: pt >= self.PtMin, f"pt >= {self.PtMin / 1000:g} GeV")
        if np.isfinite(self.PtMax):
            self._apply(events, "pt", lambda pt: pt < self.PtMax, f"pt < {self.PtMax / 1000:g} GeV")
        self._apply(events, "eta", lambda eta: np.abs(eta) < self.AbsEtaMax, f"|eta| < {self.AbsEtaMax:g}")
        if self.CrackVeto:
            self._apply(
                events, "eta", lambda eta: (np.abs(eta) < CRACK[0]) | (np.abs(eta) > CRACK[1]), "outside the crack"
            )
        if self.Prongs:
            label = f"nTracks in {', '.join(map(str, self.Prongs))}"
            self._apply(events, "nTracks", lambda n: np.isin(n, self.Prongs), label)
        if self.AbsCharges:
            label = f"|charge| in {', '.join(map(str, self.AbsCharges))}"
            self._apply(events, "charge", lambda q: np.isin(np.abs(np.rint(q)), self.AbsCharges), label)

    def _apply(self, events: Events, column: str, passes: Callable[[Any], Any], label: str) -> None:
        values = events[self.Container].flat(column)
        events.select(self.Container, passes(values), label, missing=np.isnan(values))
