"""Train a decay-mode network on the ntuples of NNDecayMode: select, normalise, write the training set."""

from __future__ import annotations

from hepflow import Job
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Normaliser, TrainingSelection
from hepflow.streams import DatasetStream

job = Job("TrainNNDecayMode")

modes = dict(enumerate(CLASSES))  # truthDecayMode 0…4
weight = "TauJets.beamSpotWeight"

job += TrainingSelection("TrainingSelection", Classes=modes, Weight=weight, Variables=DECAY_MODE_VARIABLES)
job += Normaliser("Normaliser", Variables=DECAY_MODE_VARIABLES, Caps=SEQUENCE_CAPS, Classes=modes, Weight=weight)

dataset = DatasetStream("dataset", Variables=DECAY_MODE_VARIABLES, Caps=SEQUENCE_CAPS, Classes=modes, Weight=weight)
dataset.Spectators = ["TauJets.pt", "TauJets.eta", "TauJets.nTracks", "TauJets.truthDecayMode"]
job += dataset
