"""Train a decay-mode network on the ntuples of NNDecayMode: training set, training, export as lwtnn JSON and ONNX."""

from __future__ import annotations

from hepflow import Folds, Job, kfold, run_file
from hepflow.plugins.tau.variables import decay_mode_training
from hepflow.plugins.training import ModelExporter, Normaliser, Trainer, TrainingSelection
from hepflow.streams import DatasetStream

job = Job("TrainNNDecayMode")
network = job.option("network", default="DSNN", choices=("DSNN", "LSTM", "SetTransformer"), doc="kind of network")
conf = job.option("conf", default="", doc="your own Conf file (YAML); empty: the one that ships for this network")
folds = job.option("folds", default=0, doc="k: train k networks, each tested on a fold of its own; 0: one network")

taus = decay_mode_training(kfold(folds) if folds else (Folds(),))
job += TrainingSelection("TrainingSelection", TrainingSet=taus)
job += Normaliser("Normaliser", TrainingSet=taus)
job += DatasetStream("dataset", TrainingSet=taus)
trainer = Trainer("KerasTrainer", ConfFile=conf)
if not conf and network == "SetTransformer":
    trainer.Architecture = network
elif not conf:
    trainer.ConfFile = f"Conf{network}-R22.yaml"
job += trainer
job += ModelExporter("NetworkExporter", Trainer="KerasTrainer")

if __name__ == "__main__":
    run_file(__file__)
