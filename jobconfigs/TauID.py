"""Tau identification: the training ntuple, or an MxAOD with scores, flattened scores and working points.

Taus come from Gammatautau, jets from Dijet; of jets say so: -dt JET.
"""

from __future__ import annotations

from pathlib import Path

from hepflow import Job, run_file
from hepflow.errors import JobOptionsError
from hepflow.plugins.common import Define
from hepflow.plugins.tau import TauIDClassifier, TauIDTree, TauSelection, TauTruthMatching, WorkingPointDecorator
from hepflow.plugins.tau.identification import either_prong
from hepflow.streams import MxAODStream, NtupleStream

job = Job("TauID", default_sample="Gammatautau")
mode = job.option("mode", default="tree", choices=("tree", "scores"), doc="tree: training ntuple; scores: MxAOD")
training = job.option("training", default="", doc="run of TrainTauID whose models are applied")
models = job.option("models", default=("bdt", "network"), doc="which of them")
points = job.option("working-points", default="", doc="run of TauIDWorkingPoints; empty: scores alone")


def model_of(folder: Path) -> str:
    """Return the model in the folder of a trainer, or the pattern of those of a k-fold training."""
    several = (folder / "0").is_dir()
    inside = folder / "0" if several else folder
    names = ("model.json", "model.txt", "model.onnx")  # XGBoost, LightGBM, networks
    name = next((name for name in names if (inside / name).exists()), names[-1])
    return str(folder / "*" / name if several else folder / name)


job += TauSelection("TauSelection", PtMin=20_000.0, AbsEtaMax=2.5, CrackVeto=True, Prongs=(1, 3))
job += TauTruthMatching("TauTruthMatching")
is_jet = job.datatype == "JET"

if mode == "tree":
    stream = NtupleStream("tree")
    stream += TauIDTree("TauIDTree", Class="jet" if is_jet else "tau")
    job += stream
else:
    if not training:
        raise JobOptionsError("--mode scores needs the models", hint="add --training and the folder of TrainTauID")
    # what plots take as signal and background: a jet in a sample of taus is neither
    of_class = "where(TauJets.IsTruthMatched == 1, -1, 0)" if is_jet else "where(TauJets.IsTruthMatched == 1, 1, -1)"
    job += Define("Class", Columns={"TauJets.isTau": of_class})
    for name in models:
        for prongs in (1, 3):
            tool = TauIDClassifier(f"{name}_{prongs}p", OutputName=f"TauID_{name}_{prongs}p")
            tool.WeightFile = model_of(Path(training) / f"{name}_{prongs}p")
            job += tool
        job += Define(f"{name}_score", Columns={f"TauJets.TauID_{name}": either_prong(f"TauID_{name}")})
        if points:
            decorator = WorkingPointDecorator(f"{name}_points")
            decorator.FlatteningFile1Prong = f"{points}/TauID_{name}_1p.json"
            decorator.FlatteningFile3Prong = f"{points}/TauID_{name}_3p.json"
            job += decorator
    job += MxAODStream("output")

if __name__ == "__main__":
    run_file(__file__)
