"""Train the identification of taus with one and with three tracks on the ntuples of TauID: a BDT and a network."""

from __future__ import annotations

import numpy as np

from hepflow import Folds, Job, kfold, run_file
from hepflow.plugins.tau.identification import identification_training
from hepflow.plugins.training import ModelExporter, Normaliser, Reweighter, Trainer, TrainingSelection
from hepflow.streams import DatasetStream

job = Job("TrainTauID")
models = job.option("models", default=("bdt", "network"), choices=("bdt", "network"), doc="what is trained")
prongs = job.option("prongs", default=(1, 3), doc="numbers of tracks")
engine = job.option("engine", default="xgboost", choices=("xgboost", "lightgbm"), doc="library of the BDT")
network = job.option("network", default="LSTM", choices=("LSTM", "DSNN", "SetTransformer"), doc="kind of network")
folds = job.option("folds", default=0, doc="k: k models each, every one tested on a fold of its own; 0: one model")

SPECTRUM = tuple(np.geomspace(10e3, 2000e3, 81).tolist())  # MeV; bins with few jets or taus are joined

for name in models:
    for number in prongs:
        label = f"{name}_{number}p"
        taus = identification_training(number, name, kfold(folds) if folds else (Folds(),))
        stream = DatasetStream(f"dataset_{label}", TrainingSet=taus)
        stream += TrainingSelection(f"TrainingSelection_{label}", TrainingSet=taus)
        reweighter = Reweighter(f"Reweighter_{label}", TrainingSet=taus, OutputName=f"reweighting_{label}", Like="tau")
        reweighter.Flat = {"TauJets.ptIntermediateAxis": SPECTRUM}
        stream += reweighter
        trainer = Trainer(f"Trainer_{label}", Dataset=stream.name, Reweighter=reweighter.name, OutputName=label)
        if name == "bdt":
            trainer.Engine, trainer.ConfFile = engine, "ConfBDT-R21.yaml"
        else:
            stream += Normaliser(f"Normaliser_{label}", TrainingSet=taus)
            trainer.Architecture, trainer.Normaliser = network, f"Normaliser_{label}"
        job += stream
        job += trainer
        job += ModelExporter(f"ModelExporter_{label}", Trainer=trainer.name)

if __name__ == "__main__":
    run_file(__file__)
