# %% [markdown]
# # A first look at a DAOD_PHYSLITE
#
# What is in the file, a mass peak, and the taus of an ATLAS file.

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
# One name for everything: `AnalysisElectronsAuxDyn.pt` is `Electrons.pt`. Expressions work where a column does.

# %%
electrons = ak.zip({name: data[f"Electrons.{name}"] for name in ("pt", "eta", "phi")}, with_name="Momentum4D")
pairs = ak.combinations(electrons[data["Electrons.pt > 10*GeV"]], 2, fields=["a", "b"])
mass = np.sqrt(2 * pairs.a.pt * pairs.b.pt * (np.cosh(pairs.a.eta - pairs.b.eta) - np.cos(pairs.a.phi - pairs.b.phi)))
peak = Histogram(Axis("mee", np.linspace(40, 140, 26), "mass of two electrons", "GeV"), "all pairs")
peak.fill(ak.to_numpy(ak.flatten(mass)) / 1000)
peak

# %% [markdown]
# To other libraries it is a histogram.

# %%
peak.to_hist()

# %% [markdown]
# Taus, one row an object.

# %%
data.pandas("TauJets", "pt", "eta", "phi").head()
