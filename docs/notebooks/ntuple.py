# %% [markdown]
# # From my own ntuple to a ROC curve
#
# Two files with a tree `Nominal`, a BDT, and its score on unseen events. For your own files, change the names of the branches.

# %%
# %pip install -q -e "../..[plots,bdt]"  # once, from the folder docs/notebooks of your checkout

# %%
import os
import tempfile

import numpy as np
import uproot

import hepflow

os.chdir(tempfile.mkdtemp())
rng = np.random.default_rng(1)
for name, signal in (("signal", True), ("background", False)):
    with uproot.recreate(f"{name}.root") as file:
        file["Nominal"] = {
            "m_bb": rng.normal(125, 15, 2000) if signal else rng.exponential(90, 2000),
            "dr_bb": rng.gamma(4, 0.3 if signal else 0.6, 2000),
            "eventNumber": np.arange(2000),
        }
FILES = ["signal=signal.root", "background=background.root"]

# %% [markdown]
# Look at the variables first.

# %%
events = hepflow.open("signal.root")
events.pandas("Nominal").describe()

# %% [markdown]
# Declare the training set once, and train three models. Each is tested on another fold.

# %%
from hepflow import Job, Target, TrainingSet, kfold
from hepflow.plugins.common import SampleClass
from hepflow.plugins.training import ModelExporter, Trainer, TrainingSelection
from hepflow.streams import DatasetStream
from hepflow.variables import Variable

declared = TrainingSet(
    rows="Nominal",
    inputs={"Nominal": [Variable("m_bb"), Variable("dr_bb")]},
    target=Target("Nominal.isSignal", {0: "background", 1: "signal"}),
    folds=kfold(3, "Nominal.eventNumber"),
)
job = Job("TrainBDT")
job += SampleClass("Class", Column="Nominal.isSignal", Classes={"signal": 1, "background": 0})
job += TrainingSelection("TrainingSelection", TrainingSet=declared)
job += DatasetStream("dataset", TrainingSet=declared)
job += Trainer("Trainer", Engine="xgboost", OutputName="bdt", Report=())
job += ModelExporter("ModelExporter", Trainer="Trainer")
job

# %%
hepflow.run(job, FILES, "training")

# %% [markdown]
# Each event gets the score of the model that has not seen it.

# %%
from hepflow.plugins.networks import ModelDecorator
from hepflow.plugins.performance import RocPlots

apply = Job("ApplyBDT")
apply += SampleClass("Class", Column="Nominal.isSignal", Classes={"signal": 1, "background": 0})
bdt = ModelDecorator("BDT", WeightFile="training/bdt/*/model.json", OutputPrefix="bdt_")
bdt.Container, bdt.EventNumber = "Nominal", "Nominal.eventNumber"
apply += bdt
roc = RocPlots("roc", Scores={"BDT": "Nominal.bdt_signal"}, Together=True)
roc.Signal, roc.Background = "Nominal.isSignal == 1", "Nominal.isSignal == 0"
apply += roc
done = hepflow.run(apply, FILES, "scores")
(curve,) = done.results["roc"][""].values()
print(f"AUC {curve.auc:.3f}")
assert curve.auc > 0.8
curve
