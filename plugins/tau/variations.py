"""Variations of taus, their tracks and clusters: tools for ``job.vary``, which override columns, and what makes the
axis of a tau anew from clusters.

Random numbers belong to (event, object, tool): tools of one name in two variations share the draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import JobOptionsError, ToolError
from hepflow.expressions import Expression
from hepflow.plugins.tau.decaymode import CHARGED_BIT, TRACKS

__all__ = ["ClusterScaleVariation", "TauAxes", "TauEnergyScaleVariation", "TauSmearing", "TrackEfficiencyVariation"]

Floats = npt.NDArray[np.float64]

CLUSTERS = "CaloCalTopoClusters"
CORE = 0.2
"""ΔR within which clusters belong to a tau (ATL-PHYS-PUB-2015-045, section 3)."""
SMALLEST = 0.01
"""Of the energy, what smearing leaves at least."""


class _EnergyTool(Tool):
    """A tool that multiplies energies of taus with a factor for each of them."""

    selects = False

    Columns: Property[tuple[str, ...]] = Property(
        ("TauJets.pt",),
        "columns of one container to scale, together if they depend on each other",
        item=str,
    )
    MissingET = Property(
        "", "container with met and phi to which the change of the first column is added (MET); empty: none"
    )

    def factor(self, events: Events) -> Floats:
        """Return the factor of each object."""
        raise TypeError(f"{type(self).__name__} does not say which factors: override factor()")

    @property
    def container(self) -> str:
        """Return the container of the columns; JobOptionsError where they are of several."""
        found = {name.partition(".")[0] for name in self.Columns}
        if len(found) != 1:
            raise JobOptionsError(
                f"the Columns of {self.name} are of {len(found)} containers", hint="give one tool each"
            )
        return found.pop()

    def reads(self) -> Sequence[str]:
        """Return the energies, and what missing ET is corrected with."""
        missing = [f"{self.MissingET}.met", f"{self.MissingET}.phi", f"{self.container}.phi"] if self.MissingET else []
        return [*self.Columns, *missing]

    def writes(self) -> Sequence[str]:
        """Return the energies, and missing ET."""
        return [*self.Columns, *([f"{self.MissingET}.met", f"{self.MissingET}.phi"] if self.MissingET else [])]

    def execute(self, events: Events, result: Any) -> None:
        """Scale the energies of a chunk."""
        taus, factor = events[self.container], self.factor(events)
        if len(factor) and not (np.isfinite(factor).all() and factor.min() > 0):
            raise ToolError(f"{self.name} has factors that are no numbers above 0", hint="look at its expression")
        first, *_ = (name.partition(".")[2] for name in self.Columns)
        before = taus.flat(first).astype(np.float64)
        for name in (name.partition(".")[2] for name in self.Columns):
            values = taus.flat(name)
            taus[name] = (values * factor).astype(values.dtype)
        if self.MissingET:
            self._correct(events, taus.flat(first) - before)

    def _correct(self, events: Events, more: Floats) -> None:
        """Take what taus have more in the transverse plane from the missing momentum."""
        taus, met = events[self.container], events[self.MissingET]
        owner, phi = np.repeat(np.arange(len(taus.counts)), taus.counts), taus.flat("phi").astype(np.float64)
        x, y = (
            met.flat("met").astype(np.float64) * wave(met.flat("phi").astype(np.float64))
            - np.bincount(owner, more * wave(phi), len(taus.counts))
            for wave in (np.cos, np.sin)
        )
        for name, values in (("met", np.hypot(x, y)), ("phi", np.arctan2(y, x))):
            met[name] = values.astype(met.flat(name).dtype)


class TauEnergyScaleVariation(_EnergyTool):
    """Scale energies of taus: ``Scale`` is a number or an expression, such as ``1 + 0.02 * (abs(TauJets.eta) > 1.5)``.

    ``job.vary("TES_UP", TauEnergyScaleVariation("tes", Scale="1.03", MissingET="MET"))``
    """

    Scale = Property(Expression("1.03"), "factor of the energies")

    def reads(self) -> Sequence[str]:
        """Return the energies and the columns of the factor."""
        return list(dict.fromkeys([*super().reads(), *self.Scale.columns]))

    def factor(self, events: Events) -> Floats:
        """Return the factor of each object."""
        return np.asarray(self.Scale(events, self.container), dtype=np.float64)


class TauSmearing(_EnergyTool):
    """Smear energies of taus: the factor is 1 + ``Size`` × a standard normal number, at least 0.01.

    The number depends on (event, tau, name of the tool): two tools of the same name with Size 0.05 and −0.05 shift each
    tau in opposite directions.
    """

    Size = Property(Expression("0.05"), "relative width that is added: a number or an expression")

    def reads(self) -> Sequence[str]:
        """Return the energies, the columns of the width, and the event number of the draw."""
        return list(dict.fromkeys([*super().reads(), *self.Size.columns, "EventInfo.eventNumber"]))

    def factor(self, events: Events) -> Floats:
        """Return the factor of each object."""
        size = np.asarray(self.Size(events, self.container), dtype=np.float64)
        return np.maximum(1 + size * events.random(self).normal(events[self.container].counts), SMALLEST)


class TrackEfficiencyVariation(Tool):
    """Remove tracks with the probability ``Loss``: they lose their classification, their tau a track and its charge.

    Other columns of the tau that depend on its tracks must be calculated again by the job, else the plan refuses.
    """

    selects = False

    Loss = Property(0.02, "probability that a track is lost", minimum=0, maximum=1)

    def reads(self) -> Sequence[str]:
        """Return tracks, what taus know of them, and the event number of the draw."""
        taus = ("nTracks", "charge", "tauTrackLinks")
        return [f"{TRACKS}.flagSet", f"{TRACKS}.charge", *(f"TauJets.{n}" for n in taus), "EventInfo.eventNumber"]

    def writes(self) -> Sequence[str]:
        """Return classification, number of tracks and charge."""
        return [f"{TRACKS}.flagSet", "TauJets.nTracks", "TauJets.charge"]

    def execute(self, events: Events, result: Any) -> None:
        """Lose tracks of a chunk."""
        tracks, taus = events[TRACKS], events["TauJets"]
        linked = taus.follow("tauTrackLinks", TRACKS)
        charged = (linked.flat("flagSet").astype(np.int64) >> CHARGED_BIT) & 1 == 1
        charge = linked.flat("charge").astype(np.float64)
        lost = events.random(self).uniform(tracks.counts) < self.Loss
        flags = tracks.flat("flagSet")
        tracks["flagSet"] = np.where(lost, 0, flags).astype(flags.dtype)
        gone = charged & (linked.flat("flagSet") == 0)
        for name, values in (("nTracks", gone.astype(np.float64)), ("charge", np.where(gone, charge, 0.0))):
            before = taus.flat(name)
            taus[name] = (before - np.asarray(linked.sum(values))).astype(before.dtype)


class ClusterScaleVariation(Tool):
    """Scale the calibrated energies of clusters; ``TauAxes`` and the energy-scale tools propagate this to taus."""

    selects = False

    Scale = Property(Expression("1.02"), "factor of the energies: a number or an expression")

    def reads(self) -> Sequence[str]:
        """Return the energies and the columns of the factor."""
        return list(dict.fromkeys([*self.writes(), *self.Scale.columns]))

    def writes(self) -> Sequence[str]:
        """Return the energies."""
        return [f"{CLUSTERS}.e", f"{CLUSTERS}.pt"]

    def execute(self, events: Events, result: Any) -> None:
        """Scale the clusters of a chunk."""
        clusters = events[CLUSTERS]
        factor = np.asarray(self.Scale(events, CLUSTERS), dtype=np.float64)
        for name in ("e", "pt"):
            values = clusters.flat(name)
            clusters[name] = (values * factor).astype(values.dtype)


class TauAxes(Tool):
    """Calculate the intermediate axis of taus from their clusters: the sum of those within ΔR < 0.2 of the sum of all,
    both massless (ATL-PHYS-PUB-2015-045, section 3). A tau without clusters keeps the axis that it has.
    """

    selects = False

    energy_unit = "MeV"

    def reads(self) -> Sequence[str]:
        """Return the clusters and the stored axis."""
        return [*(f"{CLUSTERS}.{name}" for name in ("pt", "eta", "phi")), "TauJets.clusterLinks", *self.writes()]

    def writes(self) -> Sequence[str]:
        """Return the axis."""
        return [f"TauJets.{name}IntermediateAxis" for name in ("pt", "eta", "phi", "m")]

    def initialize(self, context: Context) -> None:
        """Load the library of four-momenta."""
        import vector

        vector.register_awkward()

    def execute(self, events: Events, result: Any) -> None:
        """Sum the clusters of a chunk."""
        taus = events["TauJets"]
        linked = taus.follow("clusterLinks", CLUSTERS)
        whole = linked.sum(linked.p4(0.0))
        owners = linked.owners
        d_eta = linked.flat("eta").astype(np.float64) - np.asarray(whole.eta)[owners]
        d_phi = linked.flat("phi").astype(np.float64) - np.asarray(whole.phi)[owners]
        near = np.hypot(d_eta, (d_phi + np.pi) % (2 * np.pi) - np.pi) < CORE
        core = linked.where(near)
        total, there = core.sum(core.p4(0.0)), np.asarray(core.counts) > 0
        for name, values in (("pt", total.pt), ("eta", total.eta), ("phi", total.phi), ("m", total.mass)):
            before = taus.flat(f"{name}IntermediateAxis")
            made = np.where(there, np.asarray(values), before)
            taus[f"{name}IntermediateAxis"] = np.maximum(made, 0) if name == "m" else made
