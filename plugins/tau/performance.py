"""Variables, binnings and selections for plots of tau performance: those of loki, the plotting framework of ATLAS's
tau group.

Columns are in MeV, plots show GeV. Kinematic cuts and truth matching are loki's baseline; every selection has a label,
as it stands in a figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from hepflow.expressions import Cut
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.truth import MISSING
from hepflow.variables import Binning, Variable

__all__ = [
    "ABS_ETA",
    "ABS_ETA_EDGES",
    "BASELINE",
    "BASELINE_1P",
    "BASELINE_3P",
    "BASELINE_NO_PT",
    "BASELINE_NO_TRUTH",
    "ETA",
    "ETA_RESIDUAL",
    "IS_SUB_CAND_TRUTH",
    "MU",
    "NN_MODE",
    "N_TRACKS",
    "N_VTX",
    "PANTAU_MODE",
    "PFO_MODE",
    "PHI",
    "PHI_RESIDUAL",
    "PROB_1P0N",
    "PROB_1P1N",
    "PROB_1PXN",
    "PROB_3P0N",
    "PROB_3PXN",
    "PT",
    "PT_COMBINED",
    "PT_FINAL_CALIB",
    "PT_PANTAU",
    "PT_RANGES",
    "PT_RESPONSE",
    "PT_RESPONSE_COMBINED",
    "PT_RESPONSE_FINAL_CALIB",
    "PT_RESPONSE_PANTAU",
    "PT_RESPONSE_TAU_ENERGY_SCALE",
    "PT_TAU_ENERGY_SCALE",
    "RNN_ELE",
    "RNN_ELE_SIG_TRANS",
    "RNN_JET",
    "RNN_JET_SIG_TRANS",
    "TRUE_ABS_ETA",
    "TRUE_ETA",
    "TRUE_MODE",
    "TRUE_PHI",
    "TRUE_PRONGS",
    "TRUE_PT",
    "TRUTH_ABS_ETA",
    "TRUTH_BASELINE",
    "TRUTH_ETA",
    "TRUTH_MODE",
    "TRUTH_PHI",
    "TRUTH_PRONGS",
    "TRUTH_PT",
    "is_sub_cand",
    "mode_variable",
    "score_variable",
]

# ── binnings ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ABS_ETA_EDGES: Final = (0, 0.05, 0.3, 0.6, 0.8, 1.15, 1.37, 1.52, 1.81, 2.01, 2.30, 2.50)
"""loki's bins of |η|; from 1.37 to 1.52 is the crack between barrel and endcap calorimeters."""

_PT: Final = {
    "default": Binning.regular(51, 20, 1000),
    "low": Binning.regular(20, 20, 100),
    "log": Binning.logarithmic(10, 20, 2000),
    "weight": Binning.logarithmic(20, 20, 2000),
}
_ETA: Final = {"default": Binning.regular(25, -2.5, 2.5)}
_ABS_ETA: Final = {"default": Binning(ABS_ETA_EDGES)}
_PHI: Final = {"default": Binning.regular(32, -3.2, 3.2)}
_RATIO: Final = {"default": Binning.regular(1000, 0, 2)}
_RESIDUAL: Final = {"default": Binning.regular(1000, -0.05, 0.05)}
_MU: Final = {"default": Binning.regular(80, -0.5, 79.5), "tid": Binning.regular(20, -0.5, 39.5)}
_VERTICES: Final = {"default": Binning.regular(40, -0.5, 39.5)}
_PRONGS: Final = {"default": Binning.regular(10, 0, 10)}
_MODES: Final = {"default": Binning.categories(MODES)}
_SCORE: Final = {"default": Binning.regular(50, 0, 1), "fine": Binning.regular(1000, 0, 1)}

# ── variables ────────────────────────────────────────────────────────────────────────────────────────────────────────


def mode_variable(column: str, label: str, truth: str = "TruthTaus.decayMode") -> Variable:
    """Return the variable of a column with decay modes; 5 (Other) and 6 (NotSet) are outside its bins."""
    return Variable(column, label=label, binnings=_MODES, truth=truth)


def score_variable(column: str, label: str) -> Variable:
    """Return the variable of a column with scores between 0 and 1; -1111 stands for a tau without score."""
    return Variable(column, missing=MISSING, label=label, binnings=_SCORE)


def _pt(column: str, label: str, *, missing: float | None = None, truth: str = "TruthTaus.pt_vis / GeV") -> Variable:
    return Variable(
        column, f"{column} / GeV", missing=missing, label=label, unit="GeV", binnings=_PT, truth=truth
    )  # fmt: skip


def _matched(name: str, expression: str, label: str, binnings: Mapping[str, Binning], unit: str = "") -> Variable:
    """Return a variable that is missing for taus that are matched to no hadronic truth tau."""
    column = f"where(TauJets.truthPtVis > 0, {expression}, {MISSING:g})"
    return Variable(f"TauJets.{name}", column, missing=MISSING, label=label, unit=unit, binnings=binnings)


def _response(column: str, label: str) -> Variable:
    return _matched(f"{column}Response", f"TauJets.{column} / TauJets.truthPtVis", f"{label} / true pT", _RATIO)


def _true(column: str, partner: str, label: str, binnings: Mapping[str, Binning], unit: str = "") -> Variable:
    """Return a variable of the truth tau that a tau is matched to, as the tau is decorated with it."""
    return Variable(
        f"TauJets.{column}", missing=MISSING, label=label, unit=unit, binnings=binnings, truth=f"TruthTaus.{partner}"
    )


_TURN: Final = "6.283185307179586"
_MU_LABEL: Final = "average interactions per crossing"

# reconstructed taus
PT = _pt("TauJets.pt", "pT")
PT_TAU_ENERGY_SCALE = _pt("TauJets.ptTauEnergyScale", "pT (calorimeter)")
PT_PANTAU = _pt("TauJets.ptPanTauCellBased", "pT (substructure)")
PT_COMBINED = _pt("TauJets.ptCombined", "pT (combined)")
PT_FINAL_CALIB = _pt("TauJets.ptFinalCalib", "pT (final calibration)")
ETA = Variable("TauJets.eta", label="η", binnings=_ETA, truth="TruthTaus.eta_vis")
ABS_ETA = Variable("TauJets.absEta", "abs(TauJets.eta)", label="|η|", binnings=_ABS_ETA, truth="abs(TruthTaus.eta_vis)")
PHI = Variable("TauJets.phi", label="φ", unit="rad", binnings=_PHI, truth="TruthTaus.phi_vis")
N_TRACKS = Variable("TauJets.nTracks", label="number of tracks", binnings=_PRONGS, truth="TruthTaus.numCharged")
MU = Variable("TauJets.mu", label=_MU_LABEL, binnings=_MU, truth="EventInfo.averageInteractionsPerCrossing")
N_VTX = Variable(
    "TauJets.nVtxPU", label="number of pile-up vertices", binnings=_VERTICES, truth="EventInfo.nPileUpVertices"
)
RNN_JET = score_variable("TauJets.RNNJetScore", "RNN jet score")
RNN_JET_SIG_TRANS = score_variable("TauJets.RNNJetScoreSigTrans", "RNN jet score, flattened")
RNN_ELE = score_variable("TauJets.RNNEleScore", "RNN electron score")
RNN_ELE_SIG_TRANS = score_variable("TauJets.RNNEleScoreSigTrans", "RNN electron score, flattened")
NN_MODE = mode_variable("TauJets.NNDecayMode", "decay mode (network)")
PFO_MODE = mode_variable("TauJets.PFOCountDecayMode", "decay mode (PFO count)")
PANTAU_MODE = mode_variable("TauJets.PanTau_DecayMode", "decay mode (PanTau)")
PROB_1P0N, PROB_1P1N, PROB_1PXN, PROB_3P0N, PROB_3PXN = (
    score_variable(f"TauJets.NNDecayModeProb_{mode}", f"network probability of {mode}") for mode in MODES
)

# what they are matched to, and how they compare with it
TRUE_PT = _pt("TauJets.truthPtVis", "true visible pT", missing=MISSING / 1000)
TRUE_ETA = _true("truthEtaVis", "eta_vis", "true η", _ETA)
TRUE_ABS_ETA = replace(
    _matched("absTruthEtaVis", "abs(TauJets.truthEtaVis)", "true |η|", _ABS_ETA), truth="abs(TruthTaus.eta_vis)"
)
TRUE_PHI = _true("truthPhiVis", "phi_vis", "true φ", _PHI, "rad")
TRUE_PRONGS = Variable(
    "TauJets.truthProng", missing=0, label="true number of charged particles", binnings=_PRONGS,
    truth="TruthTaus.numCharged",
)  # fmt: skip
TRUE_MODE = mode_variable("TauJets.truthDecayMode", "true decay mode")
PT_RESPONSE = _response("pt", "pT")
PT_RESPONSE_TAU_ENERGY_SCALE = _response("ptTauEnergyScale", "pT (calorimeter)")
PT_RESPONSE_PANTAU = _response("ptPanTauCellBased", "pT (substructure)")
PT_RESPONSE_COMBINED = _response("ptCombined", "pT (combined)")
PT_RESPONSE_FINAL_CALIB = _response("ptFinalCalib", "pT (final calibration)")
ETA_RESIDUAL = _matched("etaResidual", "TauJets.eta - TauJets.truthEtaVis", "η - true η", _RESIDUAL)
PHI_RESIDUAL = _matched(
    "phiResidual",
    f"(TauJets.phi - TauJets.truthPhiVis + {_TURN} / 2) % {_TURN} - {_TURN} / 2",
    "φ - true φ",
    _RESIDUAL,
    "rad",
)

# true taus, reconstructed or not
TRUTH_PT = _pt("TruthTaus.pt_vis", "true visible pT", truth="")
TRUTH_ETA = Variable("TruthTaus.eta_vis", label="true η", binnings=_ETA)
TRUTH_ABS_ETA = Variable("TruthTaus.absEta_vis", "abs(TruthTaus.eta_vis)", label="true |η|", binnings=_ABS_ETA)
TRUTH_PHI = Variable("TruthTaus.phi_vis", label="true φ", unit="rad", binnings=_PHI)
TRUTH_PRONGS = Variable("TruthTaus.numCharged", label="true number of charged particles", binnings=_PRONGS)
TRUTH_MODE = mode_variable("TruthTaus.decayMode", "true decay mode", truth="")

# ── selections ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _kinematics(pt: str, eta: str, what: str = "") -> tuple[Cut, Cut]:
    """Return (pt, acceptance): pt > 20 GeV; |η| < 2.5 outside the crack."""
    central = Cut(f"abs({eta}) < 2.5", f"{what}|η| < 2.5")
    outside = Cut(
        f"abs({eta}) < 1.37 or abs({eta}) > 1.52", f"{what}η outside the crack" if what else "outside the crack"
    )
    return Cut(f"{pt} > 20*GeV", f"{what}pT > 20 GeV"), central & outside


_PT_CUT, _ACCEPTANCE = _kinematics("TauJets.pt", "TauJets.eta")
_TRUTH_PT_CUT, _TRUTH_ACCEPTANCE = _kinematics("TauJets.truthPtVis", "TauJets.truthEtaVis", "true ")
_IS_MATCHED: Final = Cut("TauJets.IsTruthMatched == 1", "matched to truth")

BASELINE_NO_TRUTH: Final = _PT_CUT & _ACCEPTANCE
"""loki's baselineNoTruth: the reconstructed tau alone."""

BASELINE: Final = (BASELINE_NO_TRUTH & _IS_MATCHED & _TRUTH_PT_CUT & _TRUTH_ACCEPTANCE).labelled(
    f"{BASELINE_NO_TRUTH.label} (reconstructed and true)"
)
"""loki's baseline: the same cuts on the reconstructed tau and on the truth it is matched to."""

BASELINE_NO_PT: Final = (_ACCEPTANCE & _IS_MATCHED & _TRUTH_ACCEPTANCE).labelled(
    f"{_ACCEPTANCE.label} (reconstructed and true)"
)
"""loki's baselineNoPt: the baseline without its cuts on pt."""


def _prongs(number: int) -> Cut:
    text = f"TauJets.nTracks == {number} and TauJets.truthProng == {number}"
    return BASELINE & Cut(text, f"{number} prong" + ("s" if number > 1 else ""))


BASELINE_1P: Final = _prongs(1)
BASELINE_3P: Final = _prongs(3)

_TRUE_PT_CUT, _TRUE_ACCEPTANCE = _kinematics("TruthTaus.pt_vis", "TruthTaus.eta_vis")
TRUTH_BASELINE: Final = Cut("TruthTaus.IsHadronicTau == 1", "hadronic truth taus") & _TRUE_PT_CUT & _TRUE_ACCEPTANCE
"""All true taus in acceptance, whether they are reconstructed or not: a cut on TruthTaus."""


def is_sub_cand(column: str = "TauJets.NNDecayMode") -> Cut:
    """Return loki's isSubCand: a classifier decided for one of the five modes."""
    return Cut(f"{column} < {len(MODES)}", "reconstructed as one of the five modes")


IS_SUB_CAND_TRUTH: Final = Cut(f"TauJets.truthDecayMode < {len(MODES)}", "truth is one of the five modes")
"""loki's isSubCandTruth."""

PT_RANGES: Final[Mapping[str, Cut]] = MappingProxyType(
    {
        "low pT": Cut("TauJets.truthPtVis < 40*GeV", "true visible pT < 40 GeV"),
        "medium pT": Cut("40*GeV <= TauJets.truthPtVis < 100*GeV", "40 GeV < true visible pT < 100 GeV"),
        "high pT": Cut("TauJets.truthPtVis >= 100*GeV", "true visible pT > 100 GeV"),
    }
)
"""Ranges of the true visible pt, on top of a baseline."""
