"""Tau tools: selection, truth matching, decay modes, working points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.tau.classifier import NNDecayModeClassifier
    from hepflow.plugins.tau.decaymode import NNDecayModeTree
    from hepflow.plugins.tau.display import TauEventDisplay
    from hepflow.plugins.tau.energyscale.applying import TauCalibrateLC, TauCombinedTES
    from hepflow.plugins.tau.energyscale.deriving import DeriveCombined, DeriveLC
    from hepflow.plugins.tau.energyscale.final import TauFinalCalibration
    from hepflow.plugins.tau.energyscale.regression import MvaTESEvaluator, MvaTESVariableDecorator
    from hepflow.plugins.tau.identification import TauIDClassifier, TauIDTree
    from hepflow.plugins.tau.inputs import NetworkInputPlots
    from hepflow.plugins.tau.pfocount import PFOCountDecayMode
    from hepflow.plugins.tau.selection import TauSelection
    from hepflow.plugins.tau.truth import TauTruthMatching, TruthDecayMode
    from hepflow.plugins.tau.variations import (
        ClusterScaleVariation,
        TauAxes,
        TauEnergyScaleVariation,
        TauSmearing,
        TrackEfficiencyVariation,
    )
    from hepflow.plugins.tau.workingpoints import WorkingPointDecorator, WorkingPointTuner

__all__ = [
    "ClusterScaleVariation",
    "DeriveCombined",
    "DeriveLC",
    "MvaTESEvaluator",
    "MvaTESVariableDecorator",
    "NNDecayModeClassifier",
    "NNDecayModeTree",
    "NetworkInputPlots",
    "PFOCountDecayMode",
    "TauAxes",
    "TauCalibrateLC",
    "TauCombinedTES",
    "TauEnergyScaleVariation",
    "TauEventDisplay",
    "TauFinalCalibration",
    "TauIDClassifier",
    "TauIDTree",
    "TauSelection",
    "TauSmearing",
    "TauTruthMatching",
    "TrackEfficiencyVariation",
    "TruthDecayMode",
    "WorkingPointDecorator",
    "WorkingPointTuner",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("ClusterScaleVariation", "TauAxes", "TauEnergyScaleVariation", "TauSmearing"), "variations"),
        "TrackEfficiencyVariation": "variations",
        "DeriveCombined": "energyscale.deriving",
        "DeriveLC": "energyscale.deriving",
        "MvaTESEvaluator": "energyscale.regression",
        "MvaTESVariableDecorator": "energyscale.regression",
        "NNDecayModeClassifier": "classifier",
        "NNDecayModeTree": "decaymode",
        "NetworkInputPlots": "inputs",
        "PFOCountDecayMode": "pfocount",
        "TauEventDisplay": "display",
        "TauFinalCalibration": "energyscale.final",
        "TauCalibrateLC": "energyscale.applying",
        "TauCombinedTES": "energyscale.applying",
        "TauIDClassifier": "identification",
        "TauIDTree": "identification",
        "TauSelection": "selection",
        "TauTruthMatching": "truth",
        "TruthDecayMode": "truth",
        "WorkingPointDecorator": "workingpoints",
        "WorkingPointTuner": "workingpoints",
    },
)
