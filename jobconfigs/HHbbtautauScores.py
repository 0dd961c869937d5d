"""Apply the models of TrainHHbbtautau to events, each one that has not seen them: ntuple with scores, ROC, stacks."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.expressions import Cut
from hepflow.plugins.common import SampleClass
from hepflow.plugins.networks import ModelDecorator
from hepflow.plugins.performance import Report, RocPlots, StackPlots
from hepflow.streams import NtupleStream
from hepflow.variables import Binning, Variable

job = Job("HHbbtautauScores")
training = job.option("training", default="training", doc="run of TrainHHbbtautau whose models are applied")
signal = job.option("signal", default=("HHbbtautau",), doc="samples that are signal")
background = job.option("background", default=("TTbar", "Zjets"), doc="samples that are background")
data = job.option("data", default=(), item=str, doc="samples that are data; empty: pseudo-data")
scale = job.option("scale", default=1.0, doc="factor on the signal that is drawn over the stack")
models = job.option("models", default=("network", "bdt"), choices=("network", "bdt"), doc="models to apply")
tree = job.option("name", default="tree", doc="name of the TTree")

files = {"network": "model.onnx", "bdt": "model.json"}
score = {name: f"{tree}.{name}_signal" for name in models}

classes = dict.fromkeys(data, -1) | dict.fromkeys(background, 0) | dict.fromkeys(signal, 1)
job += SampleClass("SampleClass", Column=f"{tree}.isSignal", Classes=classes)
for name in models:
    decorator = ModelDecorator(name, WeightFile=f"{training}/{name}/*/{files[name]}", OutputPrefix=f"{name}_")
    decorator.Container, decorator.EventNumber = tree, f"{tree}.event_number"
    job += decorator
job += NtupleStream("ntuple", Container="", TreeName=tree, Keep=(f"{tree}.*",))

roc = RocPlots("roc", Scores=score, Weight=f"{tree}.weight", Together=True, Ratio=len(models) > 1)
roc.Signal = Cut(f"{tree}.isSignal == 1", ", ".join(signal))
roc.Background = Cut(f"{tree}.isSignal == 0", ", ".join(background))
job += roc

masses = {"mBB": (0, 300), "mMMC": (0, 300), "mHH": (0, 1000)}
stacks = StackPlots("stacks", Weight=f"{tree}.weight", Signal=dict.fromkeys(signal, scale), LogY=True)
stacks.Variables = [
    *(Variable(n, c, label=f"Score of the {n}", binnings={"": Binning.regular(20, 0, 1)}) for n, c in score.items()),
    *(Variable(n, f"{tree}.{n} / GeV", unit="GeV", binnings={"": Binning.regular(20, *e)}) for n, e in masses.items()),
]
if data:
    stacks.Data = data
else:
    stacks.PseudoData = 1
job += stacks
job += Report("Report", Title="HH → bbττ")

if __name__ == "__main__":
    run_file(__file__)
