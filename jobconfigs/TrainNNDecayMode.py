"""Train a decay-mode network on the ntuples of NNDecayMode: training set, training, export as lwtnn JSON and ONNX."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Folds, KerasTrainer, NetworkExporter, Normaliser, TrainingSelection, kfold
from hepflow.streams import DatasetStream

job = Job("TrainNNDecayMode")
network = job.option("network", default="DSNN", choices=("DSNN", "LSTM", "SetTransformer"), doc="kind of network")
conf = job.option("conf", default="", doc="your own Conf file (YAML); empty: the one that ships for this network")
folds = job.option("folds", default=0, doc="k: train k networks, each tested on a fold of its own; 0: one network")

modes = dict(enumerate(CLASSES))  # truthDecayMode 0…4
weight = "TauJets.beamSpotWeight"
roles = kfold(folds) if folds else (Folds(),)

job += TrainingSelection("TrainingSelection", Classes=modes, Weight=weight, Variables=DECAY_MODE_VARIABLES)

normaliser = Normaliser("Normaliser", Variables=DECAY_MODE_VARIABLES, Caps=SEQUENCE_CAPS, Classes=modes, Weight=weight)
normaliser.Folds = roles
job += normaliser

dataset = DatasetStream("dataset", Variables=DECAY_MODE_VARIABLES, Caps=SEQUENCE_CAPS, Classes=modes, Weight=weight)
dataset.Spectators = ["TauJets.pt", "TauJets.eta", "TauJets.nTracks", "TauJets.truthDecayMode"]
dataset.FoldNumber = roles[0].number
job += dataset

trainer = KerasTrainer("KerasTrainer", ConfFile=conf)
if not conf and network == "SetTransformer":
    trainer.Architecture = network
elif not conf:
    trainer.ConfFile = f"Conf{network}-R22.yaml"
job += trainer
job += NetworkExporter("NetworkExporter")

if __name__ == "__main__":
    run_file(__file__)
