"""What the regression of the tau energy is trained on, declared once: for ntuple, training and evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from hepflow import Folds, Target, TrainingSet
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.truth import MISSING
from hepflow.variables import Variable

__all__ = ["EXPRESSIONS", "TARGET", "energy_scale_training"]

EXPRESSIONS: Mapping[str, str] = MappingProxyType(
    {
        "ptIntermediateAxisEM_fraction": "TauJets.ptIntermediateAxisEM / max(TauJets.ptIntermediateAxis, 1)",
        "ptIntermediateAxis_fraction": "TauJets.ptIntermediateAxis / max(TauJets.ptCombined, 1)",
        "ptPanTauCellBased_fraction": "TauJets.ptPanTauCellBased / max(TauJets.ptCombined, 1)",
    }
)
"""Inputs that are ratios (Athena's) → how they are calculated; pt in MeV."""
TARGET: Mapping[str, str] = MappingProxyType({"ptFactor": "TauJets.truthPtVis / max(TauJets.ptCombined, 1)"})
"""What is learned: the factor on ``ptCombined``."""
FOLDS = Folds(column="EventInfo.mcEventNumber")


def _of_clusters(name: str, label: str, unit: str = "") -> Variable:
    return Variable(f"ClustersMean{name}", missing=MISSING, fill=MISSING, label=label, unit=unit)


INPUTS = (
    Variable("mu", label="average interactions per crossing"),
    Variable("nVtxPU", label="number of pile-up vertices"),
    _of_clusters("CenterLambda", "λ center of the clusters, mean", "mm"),
    _of_clusters("FirstEngDens", "log10 of the energy density of the clusters"),
    _of_clusters("SecondLambda", "second moment of λ of the clusters, mean", "mm²"),
    _of_clusters("EMProbability", "electromagnetic probability of the clusters, mean"),
    Variable("ptIntermediateAxisEM_fraction", label="pT at the electromagnetic scale / calibrated"),
    Variable("ptIntermediateAxis_fraction", label="pT of the clusters / combined pT"),
    Variable("ptPanTauCellBased_fraction", label="pT of particle flow / combined pT"),
    Variable("ptCombined", label="combined pT", unit="MeV"),
    Variable("etaPanTauCellBased", label="η"),
    *(Variable(f"NNDecayModeProb_{mode}", label=f"probability of {mode}") for mode in MODES),
    Variable("nTracks", label="number of tracks"),
    Variable("PFOEngRelDiff", label="balance of charged and neutral energy"),
)
"""Athena's inputs for taus with tracks (``MvaTESEvaluator``), with the five probabilities of the decay-mode network in
place of PanTau's BDT values; without presampler and event-wide density, which the built-in sample does not have."""


def energy_scale_training(folds: Sequence[Folds] = (FOLDS,)) -> TrainingSet:
    """Return what the regression is trained on: one to five tracks, from 10 GeV of true visible pt on."""
    return TrainingSet(
        inputs={"TauJets": INPUTS},
        target=(Target("TauJets.ptFactor"),),
        selection=("TauJets.truthIsHadronicTau == 1", "0 < TauJets.nTracks < 6", "TauJets.truthPtVis > 10*GeV"),
        folds=tuple(folds),
        spectators=("TauJets.truthPtVis", "TauJets.ptCombined"),
    )
