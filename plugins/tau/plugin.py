"""The plugin that brings the tau tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hepflow import hookimpl

CLUSTERS = "CaloCalTopoClusters"
OF_CLUSTERS = (
    *(f"{name}{axis}" for axis in ("IntermediateAxis", "DetectorAxis", "JetSeed") for name in ("pt", "eta", "phi")),
    *("mIntermediateAxis", "LeadClusterFrac", "UpsilonCluster", "ClusterTotalEnergy", "PFOEngRelDiff"),
    *("ClustersMeanCenterLambda", "ClustersMeanSecondLambda", "ClustersMeanFirstEngDens", "ClustersMeanEMProbability"),
)
"""Columns of stored taus that are made of clusters."""
OF_TRACKS = (
    *("nTracks", "charge", "ptPanTauCellBased", "etaPanTauCellBased", "phiPanTauCellBased", "mPanTauCellBased"),
    *("massTrkSys", "EMPOverTrkSysP", "trFlightPathSig", "dRmax", "innerTrkAvgDist", "SumPtTrkFrac", "absipSigLeadTrk"),
    *("etOverPtLeadTrk", "ABS_ETA_LEAD_TRACK", "ptRatioEflowApprox", "mEflowApprox"),
)
"""Columns of stored taus that are made of tracks."""


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the tau tools."""
    return {
        "DeriveCombined": "hepflow.plugins.tau.energyscale.deriving:DeriveCombined",
        "DeriveLC": "hepflow.plugins.tau.energyscale.deriving:DeriveLC",
        "ClusterScaleVariation": "hepflow.plugins.tau.variations:ClusterScaleVariation",
        "TauAxes": "hepflow.plugins.tau.variations:TauAxes",
        "TauEnergyScaleVariation": "hepflow.plugins.tau.variations:TauEnergyScaleVariation",
        "TauSmearing": "hepflow.plugins.tau.variations:TauSmearing",
        "TrackEfficiencyVariation": "hepflow.plugins.tau.variations:TrackEfficiencyVariation",
        "MvaTESEvaluator": "hepflow.plugins.tau.energyscale.regression:MvaTESEvaluator",
        "MvaTESVariableDecorator": "hepflow.plugins.tau.energyscale.regression:MvaTESVariableDecorator",
        "NNDecayModeClassifier": "hepflow.plugins.tau.classifier:NNDecayModeClassifier",
        "NNDecayModeTree": "hepflow.plugins.tau.decaymode:NNDecayModeTree",
        "NetworkInputPlots": "hepflow.plugins.tau.inputs:NetworkInputPlots",
        "PFOCountDecayMode": "hepflow.plugins.tau.pfocount:PFOCountDecayMode",
        "TauCalibrateLC": "hepflow.plugins.tau.energyscale.applying:TauCalibrateLC",
        "TauCombinedTES": "hepflow.plugins.tau.energyscale.applying:TauCombinedTES",
        "TauFinalCalibration": "hepflow.plugins.tau.energyscale.final:TauFinalCalibration",
        "TauEventDisplay": "hepflow.plugins.tau.display:TauEventDisplay",
        "TauIDClassifier": "hepflow.plugins.tau.identification:TauIDClassifier",
        "TauIDTree": "hepflow.plugins.tau.identification:TauIDTree",
        "TauSelection": "hepflow.plugins.tau.selection:TauSelection",
        "TauTruthMatching": "hepflow.plugins.tau.truth:TauTruthMatching",
        "TruthDecayMode": "hepflow.plugins.tau.truth:TruthDecayMode",
        "WorkingPointDecorator": "hepflow.plugins.tau.workingpoints:WorkingPointDecorator",
        "WorkingPointTuner": "hepflow.plugins.tau.workingpoints:WorkingPointTuner",
    }


@hookimpl
def hepflow_samples() -> Mapping[str, str]:
    """Return the samples of tau candidates that are made on demand."""
    return {name: f"hepflow.plugins.tau.samples:{name.upper()}" for name in ("Gammatautau", "Dijet")}


@hookimpl
def hepflow_derivations() -> Mapping[str, Sequence[str]]:
    """Return what the energies of a stored tau were calculated from (ATL-PHYS-PUB-2015-045, ATLAS-CONF-2017-029):
    ``pt`` is one of the calibrated ones, so that these and ``pt`` vary together.
    """
    combined = ("TauJets.ptTauEnergyScale", "TauJets.ptPanTauCellBased")
    return {
        "TauJets.ptCombined": ("TauJets.pt", *combined),
        "TauJets.ptFinalCalib": ("TauJets.pt", "TauJets.ptCombined"),
        "TauJets.pt": ("TauJets.ptCombined", "TauJets.ptFinalCalib", *combined),
        **{f"TauJets.{name}": (f"{CLUSTERS}.e", f"{CLUSTERS}.pt") for name in OF_CLUSTERS},
        **{f"TauJets.{name}": ("TauTracks.flagSet", "TauTracks.pt") for name in OF_TRACKS},
        "TauJets.ptTauEnergyScale": ("TauJets.ptDetectorAxis", "TauJets.ptIntermediateAxis"),
        "TauNeutralParticleFlowObjects.pt": ("TauTracks.flagSet", "TauTracks.pt"),
    }


@hookimpl
def hepflow_variables() -> Mapping[str, str]:
    """Return loki's variables of taus and true taus."""
    constants = {
        "TauJets.pt": "PT",
        "TauJets.ptTauEnergyScale": "PT_TAU_ENERGY_SCALE",
        "TauJets.ptPanTauCellBased": "PT_PANTAU",
        "TauJets.ptCombined": "PT_COMBINED",
        "TauJets.ptFinalCalib": "PT_FINAL_CALIB",
        "TauJets.eta": "ETA",
        "TauJets.absEta": "ABS_ETA",
        "TauJets.phi": "PHI",
        "TauJets.nTracks": "N_TRACKS",
        "TauJets.mu": "MU",
        "TauJets.nVtxPU": "N_VTX",
        "TauJets.RNNJetScore": "RNN_JET",
        "TauJets.RNNJetScoreSigTrans": "RNN_JET_SIG_TRANS",
        "TauJets.RNNEleScore": "RNN_ELE",
        "TauJets.RNNEleScoreSigTrans": "RNN_ELE_SIG_TRANS",
        "TauJets.NNDecayMode": "NN_MODE",
        "TauJets.PFOCountDecayMode": "PFO_MODE",
        "TauJets.PanTau_DecayMode": "PANTAU_MODE",
        "TauJets.NNDecayModeProb_1p0n": "PROB_1P0N",
        "TauJets.NNDecayModeProb_1p1n": "PROB_1P1N",
        "TauJets.NNDecayModeProb_1pXn": "PROB_1PXN",
        "TauJets.NNDecayModeProb_3p0n": "PROB_3P0N",
        "TauJets.NNDecayModeProb_3pXn": "PROB_3PXN",
        "TauJets.truthPtVis": "TRUE_PT",
        "TauJets.truthEtaVis": "TRUE_ETA",
        "TauJets.absTruthEtaVis": "TRUE_ABS_ETA",
        "TauJets.truthPhiVis": "TRUE_PHI",
        "TauJets.truthProng": "TRUE_PRONGS",
        "TauJets.truthDecayMode": "TRUE_MODE",
        "TauJets.ptResponse": "PT_RESPONSE",
        "TauJets.ptTauEnergyScaleResponse": "PT_RESPONSE_TAU_ENERGY_SCALE",
        "TauJets.ptPanTauCellBasedResponse": "PT_RESPONSE_PANTAU",
        "TauJets.ptCombinedResponse": "PT_RESPONSE_COMBINED",
        "TauJets.ptFinalCalibResponse": "PT_RESPONSE_FINAL_CALIB",
        "TauJets.etaResidual": "ETA_RESIDUAL",
        "TauJets.phiResidual": "PHI_RESIDUAL",
        "TruthTaus.pt_vis": "TRUTH_PT",
        "TruthTaus.eta_vis": "TRUTH_ETA",
        "TruthTaus.absEta_vis": "TRUTH_ABS_ETA",
        "TruthTaus.phi_vis": "TRUTH_PHI",
        "TruthTaus.numCharged": "TRUTH_PRONGS",
        "TruthTaus.decayMode": "TRUTH_MODE",
    }
    return {name: f"hepflow.plugins.tau.performance:{constant}" for name, constant in constants.items()}


@hookimpl
def hepflow_data() -> Sequence[Path]:
    """Return the folder of the network that ships with hepflow."""
    return [Path(__file__).parent / "data"]
