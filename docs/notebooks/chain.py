# %% [markdown]
# # The chain in one notebook
#
# Sample → training ntuple → network → decorated MxAOD → plots: what the tutorial does in a terminal. With 500 events it takes a minute
# and the network learns next to nothing; 20 000 events make a real one.

# %%
# %pip install -q -e "../..[all]"  # once, from the folder docs/notebooks of your checkout

# %%
import tempfile

import hepflow

EVENTS = 500
folder = tempfile.mkdtemp()

# %% [markdown]
# The training ntuple. Inputs are the built-in sample, which is generated when it is first used. A cell that ends with a result shows it:
# the cutflow, files, results of tools.

# %%
ntuple = hepflow.run(hepflow.load_job("NNDecayMode"), output=f"{folder}/ntuple", events=EVENTS)
ntuple

# %% [markdown]
# What is in it: columns are read when they are asked for.

# %%
taus = hepflow.open(f"{folder}/ntuple")
print(taus)
print(taus["TauJets.pt / GeV"][:3])

# %% [markdown]
# Train. `KerasTrainer.Epochs=2` sets a property, as `--set` does.

# %%
train = hepflow.load_job("TrainNNDecayMode", "KerasTrainer.Epochs=2", "KerasTrainer.Report=")
training = hepflow.run(train, f"{folder}/ntuple", f"{folder}/training")
training.results["KerasTrainer"]

# %% [markdown]
# Apply it to the sample, and compare it with counting neutral pions. A real comparison uses events that the network has not seen, as
# `NNDecayModePlots` does by itself.

# %%
weights = f"{folder}/training/network/weights-for-lwtnn.json"
classify = hepflow.load_job("NNDecayMode", mode="classifier", weights=weights)
hepflow.run(classify, output=f"{folder}/mxaod", events=EVENTS)

# %%
from hepflow import Job
from hepflow.plugins.performance import MigrationPlots
from hepflow.plugins.tau.modes import MODES

job = Job("matrices")
job += MigrationPlots(
    "Matrices",
    Classifiers={"counting": "TauJets.PFOCountDecayMode", "network": "TauJets.NNDecayMode"},
    Labels=MODES,
)
plots = hepflow.run(job, f"{folder}/mxaod", f"{folder}/plots")
counting, network = plots.results["Matrices"]["mxaod"].values()
network

# %% [markdown]
# Both side by side, with their difference; figures are pictures.

# %%
from hepflow.plots.figures import Style, draw

draw([network, counting], style=Style("My analysis"))
