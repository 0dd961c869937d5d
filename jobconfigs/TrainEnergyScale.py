"""Energy scale, third step: train the regression on an ntuple of EnergyScale, with the calibrations of the first two.

The target is true visible pt / ptCombined, taus are weighted flat in the logarithm of their true pt.
"""

from __future__ import annotations

import numpy as np

from hepflow import Job, run_file
from hepflow.plugins.common import Define
from hepflow.plugins.tau import TauCalibrateLC, TauCombinedTES
from hepflow.plugins.tau.energyscale.applying import SHIPPED_COMBINED, SHIPPED_LC
from hepflow.plugins.tau.energyscale.training import EXPRESSIONS, TARGET, energy_scale_training
from hepflow.plugins.training import Choice, Float, Int, ModelExporter, Reweighter, Trainer, TrainingSelection, Tuner
from hepflow.streams import DatasetStream

job = Job("TrainEnergyScale")
lc = job.option("lc", default=SHIPPED_LC, doc="the local calibration: lc.json of EnergyScaleLC")
combined = job.option("combined", default=SHIPPED_COMBINED, doc="the combination: combined.json of EnergyScaleCombined")
engine = job.option("engine", default="lightgbm", choices=("lightgbm", "xgboost"), doc="library of the trees")
trials = job.option("tune", default=0, doc="search for settings with so many trials instead of training")

SETTINGS = {"loss": "absolute", "n_estimators": 300, "learning_rate": 0.1, "max_depth": 6, "subsample": 0.7}
SPECTRUM = tuple(np.geomspace(10e3, 1000e3, 61).tolist())  # MeV; flat in its bins is flat in the logarithm

taus = energy_scale_training()
job += TauCalibrateLC("TauCalibrateLC", calibrationFile=lc)
job += TauCombinedTES("TauCombinedTES", WeightFileName=combined)
job += Define("Inputs", Columns={f"TauJets.{name}": text for name, text in {**EXPRESSIONS, **TARGET}.items()})

stream = DatasetStream("dataset", TrainingSet=taus)
stream += TrainingSelection("TrainingSelection", TrainingSet=taus)
reweighter = Reweighter("Reweighter", TrainingSet=taus, MaxFactor=20.0)
reweighter.Flat = {"TauJets.truthPtVis": SPECTRUM}
stream += reweighter
job += stream

if trials:
    tuner = Tuner("Tuner", Engine=engine, Reweighter="Reweighter", Trials=trials, Executions=1, Settings=SETTINGS)
    tuner.Space = {
        "max_depth": Int(4, 9),
        "learning_rate": Float(0.05, 0.2),
        "subsample": Choice(0.5, 0.7, 1.0),
        "colsample_bytree": Choice(0.6, 0.8, 1.0),
        "min_node_percent": Choice(0.01, 0.03, 0.1),
    }
    job += tuner
else:
    trainer = Trainer("Trainer", Engine=engine, Reweighter="Reweighter", Settings=SETTINGS, OutputName="regression")
    trainer.MinDelta = 0.0
    trainer.Patience = 30
    job += trainer
    job += ModelExporter("ModelExporter", Trainer="Trainer")

if __name__ == "__main__":
    run_file(__file__)
