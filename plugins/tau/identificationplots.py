"""The standard plots of tau identification, as loki's list ``tid``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hepflow import Tool
from hepflow.errors import JobOptionsError, many
from hepflow.expressions import Cut
from hepflow.plugins.performance import EfficiencyPlots, HistogramPlots, RejectionPlots, RocPlots
from hepflow.plugins.tau.performance import BASELINE, BASELINE_NO_TRUTH, TRUTH_BASELINE

__all__ = ["PT_OF_RECO", "identification_plots"]

IS_TAU, IS_JET = Cut("TauJets.isTau == 1", "true taus"), Cut("TauJets.isTau == 0", "jets")
PT_OF_RECO: Mapping[str, Cut] = {
    "20 to 60 GeV": Cut("20*GeV <= TauJets.pt < 60*GeV", "20 GeV < pT < 60 GeV"),
    "above 60 GeV": Cut("TauJets.pt >= 60*GeV", "pT > 60 GeV"),
}
"""Ranges of pt in which identification is judged."""
AGAINST = {
    0: ("TauJets.pt:log",),
    1: ("TauJets.pt:log", "TauJets.eta", "TauJets.mu:10;20;70"),
}
"""Level → variables of the x axes."""


def identification_plots(
    discriminants: Mapping[str, str],
    points: Mapping[str, str] | None = None,
    *,
    level: int = 1,
    rejection: float = 20.0,
    common: Mapping[str, Any] | None = None,
) -> list[Tool]:
    """Return the tools that draw loki's list ``tid``, for taus with one and with three tracks.

    ``discriminants`` is label → score (0 … 1, larger for taus; an expression), ``points`` label → cut of a working
    point, drawn at its own efficiency and rejection. What is signal and background is ``TauJets.isTau``, 1 and 0.
    Level 0: efficiency with respect to truth and rejection against pt, and scores; level 1: also against η and μ, with
    respect to reconstructed taus, ROC curves with respect to both, also in ranges of pt, and the efficiency at a fixed
    ``rejection``. All samples fill the same plots; ``common`` are properties of all tools (Unseen, Weight; with
    Together=False samples that have taus and jets each are compared). JobOptionsError for another level.
    """
    if level not in AGAINST:
        raise JobOptionsError(f"there is no level {level} of identification plots", hint="0 or 1")
    tools: list[Tool] = []
    for prongs in (1, 3):
        made = _Plots(prongs, discriminants, points or {}, AGAINST[level], dict(common or {}))
        tools += [*made.against_truth(), made.rejection(), *made.distributions()]
        if level > 0:
            tools += [*made.against_reco(), *made.rocs(), made.at_rejection(rejection)]
    return tools


class _Plots:
    """The plots of taus with one number of tracks."""

    def __init__(
        self,
        prongs: int,
        scores: Mapping[str, str],
        points: Mapping[str, str],
        x: Sequence[str],
        common: dict[str, Any],
    ) -> None:
        self.name = f"{prongs}P"
        self.scores, self.points = scores, {label: Cut(text, label) for label, text in points.items()}
        self.common = {"Folder": f"tid_{self.name}", "Together": True, **common}
        self.x = x
        tracks = Cut(f"TauJets.nTracks == {prongs}", many(prongs, "track"))
        self.signal = IS_TAU & Cut(f"TauJets.truthProng == {prongs}", many(prongs, "true prong"))
        self.reco = BASELINE & tracks
        self.fake = BASELINE_NO_TRUTH & tracks
        self.all_true = TRUTH_BASELINE & Cut(f"TruthTaus.numCharged == {prongs}", f"{prongs}-prong")

    def _tool(self, kind: type[Any], what: str, **properties: Any) -> Any:
        return kind(f"tid_{self.name}_{what}", **{**self.common, **properties})

    def against_truth(self) -> list[Tool]:
        if not self.points:
            return []
        tool = self._tool(EfficiencyPlots, "efficiency_truth", Variables=self.x, Passed=self.points)
        tool.Selection = self.reco & self.signal
        tool.TruthTotals = dict.fromkeys(self.points, self.all_true)
        tool.Title = "Efficiency among all true taus"
        tool.Folder = f"{self.common['Folder']}/efficiency_truth"
        return [tool]

    def against_reco(self) -> list[Tool]:
        if not self.points:
            return []
        tool = self._tool(EfficiencyPlots, "efficiency_reco", Variables=self.x, Passed=self.points)
        tool.Selection = self.reco & self.signal
        tool.Title = "Efficiency among reconstructed taus"
        tool.Folder = f"{self.common['Folder']}/efficiency_reco"
        return [tool]

    def rejection(self) -> Tool:
        tool = self._tool(EfficiencyPlots, "rejection", Variables=self.x, Passed=self.points, Rejection=True)
        tool.Selection = self.fake & IS_JET
        tool.Folder = f"{self.common['Folder']}/rejection"
        return tool  # type: ignore[no-any-return]

    def distributions(self) -> list[Tool]:
        split = {"taus": self.reco & self.signal, "jets": self.fake & IS_JET}
        found = []
        for number, (label, score) in enumerate(self.scores.items(), start=1):
            tool = self._tool(HistogramPlots, f"score_{number}", Split=split, Normalise=True, LogY=True)
            tool.Variables = [_score(label, score)]
            tool.Folder = f"{self.common['Folder']}/scores"
            tool.Lines = [f"{name}: {cut.label}" for name, cut in split.items()]
            found.append(tool)
        return found

    def rocs(self) -> list[Tool]:
        found = []
        for what in ("reco", "truth"):
            ranges = {"": Cut(), **(PT_OF_RECO if what == "reco" else {})}
            for label, cut in ranges.items():
                name = f"roc_{what}" + (f"_{label.replace(' ', '_')}" if label else "")
                tool = self._tool(RocPlots, name, Scores=self.scores, Points=self.points)
                tool.Signal, tool.Background = self.reco & self.signal, self.fake & IS_JET
                tool.Selection = cut
                tool.SignalTotal = self.all_true if what == "truth" else None
                tool.Folder = f"{self.common['Folder']}/roc"
                found.append(tool)
        return found

    def at_rejection(self, rejection: float) -> Tool:
        tool = self._tool(RejectionPlots, "fixed_rejection", Variables=self.x, Scores=self.scores)
        tool.Signal, tool.Background = self.reco & self.signal, self.fake & IS_JET
        tool.FixedRejection = rejection
        tool.Folder = f"{self.common['Folder']}/fixed_rejection"
        return tool  # type: ignore[no-any-return]


def _score(label: str, score: str) -> Any:
    from hepflow.variables import Binning, Variable

    return Variable(f"score_{label}", score, label=label, binnings={"": Binning.regular(50, 0, 1)})
