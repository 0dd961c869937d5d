"""Tau decay modes: write the training ntuple, or decorate an MxAOD by counting neutral PFOs and with a network."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.errors import JobOptionsError
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
    doc="tree: training ntuple; pfo: MxAOD with the PFO count; classifier: also with the network; both: ntuple, MxAOD",
)
weights = job.option(
    "weights",
    default="",
    doc="network, lwtnn JSON or ONNX; of a k-fold training 'network/*/model.onnx'; empty: the one that ships",
)

if weights and mode not in ("classifier", "both"):
    raise JobOptionsError(
        f"--weights is for the network, which --mode {mode} does not apply", hint="add --mode classifier"
    )

job += TauSelection("TauSelection", PtMin=15_000.0, AbsEtaMax=2.5)
job += TauTruthMatching("TauTruthMatching")

if mode in ("tree", "both"):
    stream = NtupleStream("tree")
    stream += NNDecayModeTree("NNDecayModeTree")
    job += stream

if mode != "tree":
    stream = MxAODStream("output")
    stream += PFOCountDecayMode("PFOCountDecayMode")
    if mode != "pfo":
        classifier = NNDecayModeClassifier("NNDecayModeClassifier")
        if weights:
            classifier.WeightFile = weights
        stream += classifier
    job += stream

if __name__ == "__main__":
    run_file(__file__)
