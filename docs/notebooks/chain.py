# %% [markdown]
# # The chain in one notebook
#
# Sample → training ntuple → network → decorated MxAOD → plots, as in the tutorial. With 500 events this takes a minute, but the network
# learns very little; use 20 000 events for a useful one.

# %%
# %pip install -q -e "../..[all]"  # once, from the folder docs/notebooks of your checkout

# %%
import tempfile

import hepflow

EVENTS = 500
folder = tempfile.mkdtemp()

# %% [markdown]
# Write the training ntuple. The input is the built-in sample, which is generated on first use. A result at the end of a cell is shown
# as tables: the cutflow, the output files, the results of the tools.

# %%
ntuple = hepflow.run(hepflow.load_job("NNDecayMode"), output=f"{folder}/ntuple", events=EVENTS)
ntuple

# %% [markdown]
# Look into the ntuple. Columns are read when you ask for them.

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
# Apply the network to the sample, and compare it with counting neutral pions. A real comparison uses only unseen events;
# `NNDecayModePlots` selects these by itself.

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
# Draw both side by side, with their difference.

# %%
from hepflow.plots.figures import Style, draw

draw([network, counting], style=Style("My analysis"))
