"""Tau decay modes: write the training ntuple, or decorate an MxAOD by counting neutral PFOs or with a network."""

from __future__ import annotations

from glob import glob

from hepflow import Job
from hepflow.plugins.tau import (
    NNDecayModeClassifier,
    NNDecayModeTree,
    PFOCountDecayMode,
    TauSelection,
    TauTruthMatching,
)
from hepflow.streams import MxAODStream, NtupleStream

job = Job("NNDecayMode", default_sample="Gammatautau")
mode = job.option(
    "mode",
    default="tree",
    choices=("tree", "pfo", "classifier", "both"),
    doc="tree: training ntuple; pfo, classifier: MxAOD decorated by PFO count or network; both: ntuple and MxAOD",
)
weights = job.option(
    "weights", default="", doc="network: lwtnn JSON or ONNX; those of a k-fold training: 'network/*/model.onnx'"
)

job += TauSelection("TauSelection", PtMin=15_000.0, AbsEtaMax=2.5)
job += TauTruthMatching("TauTruthMatching")

if mode in ("tree", "both"):
    stream = NtupleStream("tree")
    stream += NNDecayModeTree("NNDecayModeTree")
    job += stream

if mode != "tree":
    stream = MxAODStream("output")
    if mode in ("pfo", "both"):
        stream += PFOCountDecayMode("PFOCountDecayMode")
    if mode == "classifier" or (mode == "both" and weights):
        classifier = NNDecayModeClassifier("NNDecayModeClassifier")
        if "*" in weights:
            classifier.FoldWeightFiles = sorted(glob(weights)) or [weights]  # noqa: PTH207 - Path takes no absolute patterns
        else:
            classifier.WeightFile = weights
        stream += classifier
    job += stream
