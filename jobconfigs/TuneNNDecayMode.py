"""Search for a better decay-mode DeepSet on the ntuples of NNDecayMode, in the search space of the reference."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau.variables import decay_mode_training
from hepflow.plugins.training import Choice, Int, Layers, Normaliser, TrainingSelection, Tuner
from hepflow.streams import DatasetStream

job = Job("TuneNNDecayMode")
trials = job.option("trials", default=20, doc="number of trials, of all runs that share the storage")
storage = job.option("storage", default="", doc="file that keeps the trials; empty: one in the run directory")

taus = decay_mode_training()
job += TrainingSelection("TrainingSelection", TrainingSet=taus)
job += Normaliser("Normaliser", TrainingSet=taus)
job += DatasetStream("dataset", TrainingSet=taus)

tuner = Tuner("Tuner", Architecture="DSNN", Trials=trials, Storage=storage)
tuner.Space = {
    "n_inputs": Layers(Int(3, 4), Int(10, 40, 3)),
    "n_inputs.NeutralPFO": Layers(Int(3, 4), Int(40, 90, 5)),
    "n_hiddens": Layers(Int(3, 5), Int(10, 40, 3)),
    "n_hiddens.NeutralPFO": Layers(Int(3, 5), Int(30, 80, 4)),
    "n_fc1": Int(60, 220, 16),
    "n_fc2": Int(20, 100, 8),
    "Optimiser": Choice("adam", "nadam"),
}
job += tuner

if __name__ == "__main__":
    run_file(__file__)
