"""The whole energy scale with one command: calibrations from two samples, and their plots on a third one.

--resume goes on where it was stopped.
"""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.errors import JobOptionsError
from hepflow.plugins.common import RunJob

job = Job("EnergyScaleChain")
derive = job.option("derive", default="", doc="sample (folder) that lc.json and combined.json are derived from")
train = job.option("train", default="", doc="sample (folder) that the regression is trained on")
close = job.option("close", default="Gammatautau", doc="sample that the plots are of")
least = job.option("least", default=100, doc="fewest taus of a bin")
level = job.option("level", default=1, choices=(0, 1), doc="how many plots")

if not derive or not train or len({derive, train, close}) < 3:
    raise JobOptionsError(
        "the calibrations need two samples that are not the one they are judged on",
        hint="--derive A --train B, of seeds of their own: hepflow run Gammatautau -i 'pythia:Gammatautau?seed=11'",
    )

lc, combined = {"lc": "{run}/lc/lc.json"}, {"combined": "{run}/combined/combined.json"}
few = {"lc": [f"DeriveLC.MinEntries={least}"], "combined": [f"DeriveCombined.MinEntries={least}"]}
tree = {"mode": "tree"}
job += RunJob("tree_derive", JobOptions="EnergyScale", Inputs=[derive], Options=tree)
job += RunJob("tree_train", JobOptions="EnergyScale", Inputs=[train], Options=tree)
job += RunJob("tree", JobOptions="EnergyScale", Inputs=[close], Options=tree)
job += RunJob("lc", JobOptions="EnergyScaleLC", Inputs=["{run}/tree_derive"], Settings=few["lc"])
job += RunJob(
    "combined", JobOptions="EnergyScaleCombined", Inputs=["{run}/tree_derive"], Options=lc, Settings=few["combined"]
)
job += RunJob("training", JobOptions="TrainEnergyScale", Inputs=["{run}/tree_train"], Options={**lc, **combined})
last = {
    **lc,
    **combined,
    "regression": "{run}/training/regression/model.txt",
    "level": str(level),
    "own-sample": "true",
}
job += RunJob("plots", JobOptions="EnergyScalePlots", Inputs=["{run}/tree"], Options=last)

if __name__ == "__main__":
    run_file(__file__)
