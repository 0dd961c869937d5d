"""Response and resolution of tau energies on taus that no calibration was made from: loki's list tes.

From the ntuple of EnergyScale --mode tree, to which the calibrations are applied here.
"""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.performance import Report, UnseenEvents
from hepflow.plugins.tau import MvaTESEvaluator, TauCalibrateLC, TauCombinedTES
from hepflow.plugins.tau.energyscale.applying import SHIPPED_COMBINED, SHIPPED_LC
from hepflow.plugins.tau.energyscale.regression import SHIPPED_REGRESSION
from hepflow.plugins.tau.energyscaleplots import energy_scale_plots

job = Job("EnergyScalePlots")
level = job.option("level", default=1, choices=(0, 1), doc="how many plots")
lc = job.option("lc", default=SHIPPED_LC, doc="the local calibration: lc.json of EnergyScaleLC")
combined = job.option("combined", default=SHIPPED_COMBINED, doc="the combination: combined.json of EnergyScaleCombined")
regression = job.option("regression", default=SHIPPED_REGRESSION, doc="the model of TrainEnergyScale")
own = job.option("own-sample", default=False, doc="the taus are of a sample that no calibration was made from: use all")

job += TauCalibrateLC("TauCalibrateLC", calibrationFile=lc)
job += TauCombinedTES("TauCombinedTES", WeightFileName=combined)
job += MvaTESEvaluator("MvaTESEvaluator", WeightFileName=regression)
common = {"Lines": ("sample that no calibration was made from",)} if own else {"Unseen": "UnseenEvents"}
if not own:
    job += UnseenEvents("UnseenEvents", Classifiers=("ptFinalCalib",))
for tool in energy_scale_plots(level=level, common=common):
    job += tool
job += Report("Report", Title="Tau energy scale")

if __name__ == "__main__":
    run_file(__file__)
