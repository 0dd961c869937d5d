"""The energy scale of taus: the ntuple that calibrations are made from, or an MxAOD with the calibrated energies."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau import (
    MvaTESEvaluator,
    MvaTESVariableDecorator,
    NNDecayModeClassifier,
    TauCalibrateLC,
    TauCombinedTES,
    TauSelection,
    TauTruthMatching,
)
from hepflow.plugins.tau.energyscale.applying import SHIPPED_COMBINED, SHIPPED_LC
from hepflow.plugins.tau.energyscale.regression import SHIPPED_REGRESSION
from hepflow.streams import MxAODStream, NtupleStream

job = Job("EnergyScale")
mode = job.option("mode", default="calibrate", choices=("tree", "calibrate"), doc="tree: ntuple; calibrate: MxAOD")
variables = job.option("variables", default=False, doc="calculate what the regression is of: the input lacks it")
lc = job.option("lc", default=SHIPPED_LC, doc="the local calibration: lc.json of EnergyScaleLC")
combined = job.option("combined", default=SHIPPED_COMBINED, doc="the combination: combined.json of EnergyScaleCombined")
regression = job.option("regression", default=SHIPPED_REGRESSION, doc="the model of TrainEnergyScale")
set_pt = job.option("set-pt", default=False, doc="pt of the taus becomes ptFinalCalib")

if mode == "tree":  # no cut on reconstructed pt, which would change the response of what is below
    job += TauSelection("TauSelection", AbsEtaMax=2.5)
    job += TauTruthMatching("TauTruthMatching")
job += NNDecayModeClassifier("NNDecayModeClassifier")
if variables:
    job += MvaTESVariableDecorator("MvaTESVariableDecorator")

if mode == "tree":
    job += NtupleStream("tree", Keep=("TauJets.*", "EventInfo.mcEventNumber"), Drop=("TauJets.*Link", "TauJets.*Links"))
else:
    job.default_sample = "Gammatautau"
    job += TauCalibrateLC("TauCalibrateLC", calibrationFile=lc)
    job += TauCombinedTES("TauCombinedTES", WeightFileName=combined)
    job += MvaTESEvaluator("MvaTESEvaluator", WeightFileName=regression, SetPt=set_pt)
    job += MxAODStream("output")

if __name__ == "__main__":
    run_file(__file__)
