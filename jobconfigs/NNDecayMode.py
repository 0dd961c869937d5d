"""Tau decay modes: write the training ntuple, or decorate an MxAOD with the decay mode from counting neutral PFOs."""

from __future__ import annotations

from hepflow import Job
from hepflow.plugins.tau import NNDecayModeTree, PFOCountDecayMode, TauSelection, TauTruthMatching
from hepflow.streams import MxAODStream, NtupleStream

job = Job("NNDecayMode", default_sample="Gammatautau")
mode = job.option(
    "mode",
    default="tree",
    choices=("tree", "pfo", "both"),
    doc="tree: training ntuple; pfo: MxAOD decorated by the PFO count",
)

job += TauSelection("TauSelection", PtMin=15_000.0, AbsEtaMax=2.5)
job += TauTruthMatching("TauTruthMatching")

if mode in ("tree", "both"):
    stream = NtupleStream("tree")
    stream += NNDecayModeTree("NNDecayModeTree")
    job += stream

if mode in ("pfo", "both"):
    stream = MxAODStream("output")
    stream += PFOCountDecayMode("PFOCountDecayMode")
    job += stream
