"""The tools that derive calibrations from simulation: ``DeriveLC`` and ``DeriveCombined``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hepflow import Context, Events, Job, Property, Tool
from hepflow.errors import JobOptionsError, ToolError
from hepflow.plugins.tau.energyscale.applying import decay_modes, mode_reads
from hepflow.plugins.tau.energyscale.calibrations import GEV, transverse_energy
from hepflow.plugins.tau.energyscale.derivation import Rows, derive_combination, derive_local
from hepflow.plugins.tau.energyscale.files import write_combination, write_local
from hepflow.plugins.tau.energyscale.upstream import upstream_of_run

__all__ = ["DeriveCombined", "DeriveLC"]


class Deriving(Tool):
    """Base of both: collects the taus that are matched to a hadronic truth tau above a pt, and writes a file."""

    energy_unit = "MeV"

    OutputName = Property("calibration.json", "file of the calibration in the run directory")
    TruthPtMin = Property(20.0, "lowest visible pt of the truth tau", unit="GeV", minimum=0)
    MinEntries = Property(100, "fewest taus in a bin of true pt; with fewer it is merged with the next", minimum=2)

    def columns(self, events: Events) -> Mapping[str, Any]:
        """Return what is kept of each tau."""
        raise TypeError(f"{type(self).__name__} does not say what it keeps: override columns()")

    def start(self) -> dict[str, Rows]:
        """Return no taus, by sample."""
        return {}

    def execute(self, events: Events, result: dict[str, Rows]) -> None:
        """Keep what is needed of the taus of a chunk."""
        taus = events["TauJets"]
        truth = taus.flat("truthPtVis") / GEV
        kept = (taus.flat("truthIsHadronicTau") == 1) & (truth > self.TruthPtMin)
        columns = {**self.columns(events), "truth": truth, "eta": taus.flat(self._eta())}
        rows = Rows({name: np.asarray(values, np.float64)[kept] for name, values in columns.items()})
        name = events.sample.name
        result[name] = result[name] + rows if name in result else rows

    def told(self, made: Mapping[str, Any], total: Mapping[str, Rows], context: Context) -> dict[str, Any]:
        """Return what a calibration says of itself, with its samples and what made the columns that it is of."""
        columns = [name.rstrip("?") for name in self.reads()]
        return {**made, "samples": sorted(total), "upstream": upstream_of_run(context, columns)}

    def _eta(self) -> str:
        return "etaIntermediateAxis"

    def taus(self, total: Mapping[str, Rows]) -> Mapping[str, Any]:
        """Return the taus of all samples; ToolError where there are none, or values are missing."""
        rows = [one for one in total.values() if len(one.columns["truth"])]
        if not rows:
            raise ToolError(f"{self.name} has no tau of a truth tau above {self.TruthPtMin:g} GeV")
        found = rows[0]
        for one in rows[1:]:
            found = found + one
        for name, values in found.columns.items():
            bad = np.count_nonzero(~np.isfinite(values) | ((values < 0) & (name in ("pt", "npv"))))
            if bad:
                raise ToolError(
                    f"{self.name}: {bad:,} of {len(values):,} taus have no value of {name}: not finite, or below 0 "
                    "as where there is none (−1111)",
                    hint="leave them out before: Filter(…, Cut=…)",
                )
        return found.columns


class DeriveLC(Deriving):
    """Derive the local calibration that ``TauCalibrateLC`` applies, from taus and their truth.

    In bins of |η| and for one and several prongs: the pt that a pile-up vertex adds, from taus with a true pt within
    ``SlopeRange``; and the median response of what is left in bins of true pt, numerically inverted. Below its first
    and above its last point the response has the value there. A response that cannot be inverted is an error that
    names the range.
    """

    OutputName = Property("lc.json", "file of the calibration in the run directory")
    EtaEdges = Property((0.0, 0.3, 0.8, 1.1, 1.37, 1.52, 2.0, 2.5), "edges of |η|", item=float)
    SlopeRange = Property((20.0, 80.0), "true pt of the taus for the pile-up correction: from, to [GeV]", item=float)

    def reads(self) -> Sequence[str]:
        """Return pt, direction, tracks, vertices and truth."""
        names = ("ptIntermediateAxis", "etaIntermediateAxis", "nTracks", "nVtxPU", "truthPtVis", "truthIsHadronicTau")
        return [f"TauJets.{name}" for name in names]

    def check(self, job: Job) -> None:
        """Refuse edges and ranges that are none."""
        if len(self.SlopeRange) != 2 or not self.SlopeRange[0] < self.SlopeRange[1]:
            raise JobOptionsError(f"{self.name}.SlopeRange = {self.SlopeRange} is no range")
        if len(self.EtaEdges) < 2 or self.EtaEdges[0] != 0 or (np.diff(self.EtaEdges) <= 0).any():
            raise JobOptionsError(f"{self.name}.EtaEdges = {self.EtaEdges} must begin at 0 and ascend")

    def columns(self, events: Events) -> Mapping[str, Any]:
        """Return pt, tracks and vertices."""
        taus = events["TauJets"]
        return {
            "pt": taus.flat("ptIntermediateAxis") / GEV,
            "prongs": taus.flat("nTracks"),
            "npv": taus.flat("nVtxPU"),
        }

    def finalize(self, total: dict[str, Rows], context: Context) -> str:
        """Derive and write; returns the path."""
        pile_up = self.SlopeRange[0], self.SlopeRange[1]
        made = derive_local(self.taus(total), self.EtaEdges, self.TruthPtMin, pile_up, self.MinEntries)
        made = replace(made, record=self.told(made.record, total, context))
        path = context.path(self.OutputName)
        write_local(path, made)
        for row, curves in enumerate(made.responses):
            lowest, highest = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
            what = ("one prong", "several prongs")[row]
            context.log.info(
                "%s: the response of %s is known from %.0f to %.0f GeV; beyond it has the value there",
                self.name, what, lowest, highest,
            )  # fmt: skip
        return str(path)


class DeriveCombined(Deriving):
    """Derive the combination that ``TauCombinedTES`` applies, from calibrated taus and their truth.

    For each mode, in bins of |η|: bias and width of both energies, their correlation, and by how many standard
    deviations they may differ, so that the response becomes as narrow as it can. The local calibration before is that
    of the job or of the input: the combination is refused on top of another, or with modes of another network.
    """

    OutputName = Property("combined.json", "file of the calibration in the run directory")
    TruthPtMin = Property(
        10.0,
        "lowest visible pt of the truth tau; resolutions rise below 20 GeV",
        unit="GeV",
        minimum=0,
    )
    DecayMode = Property("", "column of the decay mode; empty: PanTau_DecayMode where it is there, else NNDecayMode")

    def reads(self) -> Sequence[str]:
        """Return both energies, the decay mode and truth."""
        names = ["ptTauEnergyScale", "etaTauEnergyScale", *(f"{n}PanTauCellBased" for n in ("pt", "eta", "m"))]
        names += ["truthPtVis", "truthIsHadronicTau"]
        return [*(f"TauJets.{name}" for name in names), *mode_reads(self.DecayMode)]

    def _eta(self) -> str:
        return "etaTauEnergyScale"

    def columns(self, events: Events) -> Mapping[str, Any]:
        """Return both energies and the mode."""
        taus = events["TauJets"]
        pt, eta, mass = (taus.flat(f"{name}PanTauCellBased").astype(np.float64) for name in ("pt", "eta", "m"))
        return {
            "calo": taus.flat("ptTauEnergyScale") / GEV,
            "flow": transverse_energy(pt, eta, mass) / GEV,
            "mode": decay_modes(events, self.DecayMode, self),
        }

    def finalize(self, total: dict[str, Rows], context: Context) -> str:
        """Derive and write; returns the path."""
        made = derive_combination(self.taus(total), self.TruthPtMin, self.MinEntries)
        made = replace(made, record=self.told(made.record, total, context))
        path = context.path(self.OutputName)
        write_combination(path, made)
        if joined := made.record["joined"]:
            context.log.warning(
                "%s: too few taus in %s: these have what all |η| of the mode have", self.name, "; ".join(joined)
            )
        return str(path)
