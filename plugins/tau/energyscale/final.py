"""The energy scale in one tool, for the built-in sample: ``ptFinalCalib`` beside energies that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepflow import Context, Events, Job, Property, Tool
from hepflow.events import Access
from hepflow.plugins.tau.classifier import SHIPPED_NETWORK, NNDecayModeClassifier
from hepflow.plugins.tau.energyscale.applying import (
    SHIPPED_COMBINED,
    SHIPPED_LC,
    CalibrationTool,
    TauCalibrateLC,
    TauCombinedTES,
)
from hepflow.plugins.tau.energyscale.regression import SHIPPED_REGRESSION, MvaTESEvaluator
from hepflow.plugins.tau.energyscale.upstream import check_upstream, made_by

__all__ = ["TauFinalCalibration"]


class TauFinalCalibration(Tool):
    """Decorate taus with ``ptFinalCalib`` (MeV): what ``NNDecayModeClassifier``, ``TauCalibrateLC``, ``TauCombinedTES``
    and ``MvaTESEvaluator`` make of them one after another.

    What these decorate on the way (``NNDecayMode``, ``ptTauEnergyScale``, ``ptCombined``, …) is not kept: columns of
    these names stay as they are. The inputs of the regression (``MvaTESVariableDecorator``) must be there.
    """

    selects = False

    energy_unit = "MeV"

    NetworkFile = Property(SHIPPED_NETWORK, "the decay-mode network", file=True)
    LCFile = Property(SHIPPED_LC, "the local calibration", file=True)
    CombinedFile = Property(SHIPPED_COMBINED, "the combination", file=True)
    RegressionFile = Property(SHIPPED_REGRESSION, "the regression", file=True)
    SetPt = Property(False, "pt of the taus becomes ptFinalCalib")

    def _tools(self) -> tuple[NNDecayModeClassifier, TauCalibrateLC, TauCombinedTES, MvaTESEvaluator]:
        name = self.name
        return (
            NNDecayModeClassifier(f"{name}_mode", WeightFile=self.NetworkFile),
            TauCalibrateLC(f"{name}_lc", calibrationFile=self.LCFile, AllowOtherUpstream=True),
            TauCombinedTES(f"{name}_combined", WeightFileName=self.CombinedFile, AllowOtherUpstream=True),
            MvaTESEvaluator(f"{name}_regression", WeightFileName=self.RegressionFile, AllowOtherUpstream=True),
        )

    def reads(self) -> Sequence[str]:
        """Return what the tools read that none of them writes."""
        found: list[str] = []
        written: set[str] = set()
        for tool in self._tools():
            written |= {*tool.writes()}
            found += [name for name in tool.reads() if name.rstrip("?") not in written]
        return list(dict.fromkeys(found))

    def writes(self) -> Sequence[str]:
        """Return the calibrated pt."""
        return ["TauJets.ptFinalCalib", *(["TauJets.pt"] * self.SetPt)]

    def check(self, job: Job) -> None:
        """Refuse files that were not made on top of one another."""
        made: dict[str, str] = {}
        for tool in self._tools():
            if isinstance(tool, CalibrationTool):
                check_upstream(self.name, tool.calibration().get("upstream", {}), made, complete=True)
            made |= made_by([tool.record()])

    def record(self) -> Mapping[str, Any]:
        """Return what is known of the regression, and the checksums of what was applied before it, by column."""
        *before, last = (tool.record() for tool in self._tools())
        return {**last, "decorations": list(self.writes()), "upstream": made_by(before)}

    def initialize(self, context: Context) -> None:
        """Open network and calibrations."""
        self.applied = []
        for tool in self._tools():
            tool.prepare(context)
            needed, optional = (
                [n.rstrip("?") for n in tool.reads() if n.endswith("?") is may] for may in (False, True)
            )
            self.applied.append((tool, Access.of(tool.name, needed, tool.writes(), optional, selects=False)))

    def execute(self, events: Events, result: Any) -> None:
        """Calibrate the taus of a chunk, on views that keep what is made on the way."""
        view = events
        for tool, access in self.applied:
            view = view.child(access=access)
            tool.execute(view, tool.start())
        for name in self.writes():
            events["TauJets"][name.partition(".")[2]] = view["TauJets"].flat("ptFinalCalib")
