"""Train a network and a BDT that tell HH → bbττ from its backgrounds, on the ntuples of HHbbtautau.

Each trains twice: on even event numbers and on odd ones, so that every event has a model that has not seen it.
"""

from __future__ import annotations

from hepflow import Folds, Job, Target, TrainingSet, run_file
from hepflow.plugins.common import SampleClass
from hepflow.plugins.training import ModelExporter, Normaliser, Reweighter, Trainer, TrainingSelection
from hepflow.streams import DatasetStream
from hepflow.variables import Variable

job = Job("TrainHHbbtautau")
signal = job.option("signal", default=("HHbbtautau",), doc="samples that are signal")
background = job.option("background", default=("TTbar", "Zjets"), doc="samples that are background")
models = job.option("models", default=("network", "bdt"), choices=("network", "bdt"), doc="what is trained")
tree = job.option("name", default="tree", doc="name of the TTree")

number = f"{tree}.event_number"
halves = (  # of those that train, every fifth validates
    Folds(10, train=(0, 2, 4, 6), validation=(8,), test=(1, 3, 5, 7, 9), column=number),
    Folds(10, train=(1, 3, 5, 7), validation=(9,), test=(0, 2, 4, 6, 8), column=number),
)
events = TrainingSet(
    rows=tree,
    inputs={tree: tuple(Variable(name) for name in ("mHH", "mMMC", "mBB", "dRTauTau", "dRBB"))},
    target=Target(f"{tree}.isSignal", {0: "background", 1: "signal"}),
    weight=f"{tree}.weight",
    folds=halves,
)
classes = dict.fromkeys(background, 0) | dict.fromkeys(signal, 1)
job += SampleClass("SampleClass", Column=f"{tree}.isSignal", Classes=classes)
job += TrainingSelection("TrainingSelection", TrainingSet=events)
job += Normaliser("Normaliser", TrainingSet=events)
job += Reweighter("Reweighter", TrainingSet=events)  # signal and background get equal sums of weights
job += DatasetStream("dataset", TrainingSet=events)

for name in models:
    trainer = Trainer(name, OutputName=name, Reweighter="Reweighter")
    if name == "bdt":
        trainer.Engine, trainer.Settings = "xgboost", {"n_estimators": 400, "max_depth": 4, "learning_rate": 0.05}
    else:  # 5-64-64-64-2, the learning rate a cosine over 20 batches
        trainer.Engine, trainer.Settings = "torch", {"schedule": "cosine", "t_max": 20}
        trainer.BatchSize, trainer.Epochs, trainer.MinDelta = 128, 200, 0.0
    job += trainer
    job += ModelExporter(f"{name}_exporter", Trainer=name)

if __name__ == "__main__":
    run_file(__file__)
