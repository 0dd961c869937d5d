# %% [markdown]
# # A first look at a DAOD_PHYSLITE
#
# What is in the file, a mass peak, and taus.

# %%
# %pip install -q -e "../..[plots]"  # once, from the folder docs/notebooks of your checkout

# %%
import os

import awkward as ak
import numpy as np

import hepflow
from hepflow.plots import Axis, Histogram

FILE = os.environ.get("PHYSLITE", "DAOD_PHYSLITE.root")
data = hepflow.open(FILE)
data

# %% [markdown]
# `AnalysisElectronsAuxDyn.pt` is called `Electrons.pt`, as in every format. You can use expressions instead of columns.

# %%
electrons = ak.zip({name: data[f"Electrons.{name}"] for name in ("pt", "eta", "phi")}, with_name="Momentum4D")
pairs = ak.combinations(electrons[data["Electrons.pt > 10*GeV"]], 2, fields=["a", "b"])
mass = np.sqrt(2 * pairs.a.pt * pairs.b.pt * (np.cosh(pairs.a.eta - pairs.b.eta) - np.cos(pairs.a.phi - pairs.b.phi)))
peak = Histogram(Axis("mee", np.linspace(40, 140, 26), "mass of two electrons", "GeV"), "all pairs")
peak.fill(ak.to_numpy(ak.flatten(mass)) / 1000)
peak

# %% [markdown]
# Other libraries take the plot as a histogram.

# %%
peak.to_hist()

# %% [markdown]
# Taus as a frame, with one row per tau.

# %%
data.pandas("TauJets", "pt", "eta", "phi").head()
