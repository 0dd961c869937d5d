"""Performance of tau identification on taus and jets that no model has seen: loki's list tid."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.performance import Report, UnseenEvents
from hepflow.plugins.tau.identification import either_prong
from hepflow.plugins.tau.identificationplots import identification_plots

job = Job("TauIDPlots")
models = job.option("models", default=("bdt", "network"), doc="scores to compare, as TauID wrote them")
points = job.option("points", default=("Medium",), doc="working points")
level = job.option("level", default=1, choices=(0, 1), doc="how many plots")
rejection = job.option("rejection", default=20.0, doc="fixed rejection at which efficiencies are drawn")
folds = job.option("folds", default=(), item=int, doc="folds of mcEventNumber % 5; empty: what no model has seen")
all_events = job.option("all-events", default=False, doc="use all events, also those used in training")

trained = tuple(f"TauID_{name}_{prongs}p" for name in models for prongs in (1, 3))
job += UnseenEvents("UnseenEvents", Classifiers=trained, Folds=folds, AllEvents=all_events)
marked = {f"{name} {point}": f"TauJets.TauID_{name}{point} == 1" for point in points for name in models}
scores = {name: either_prong(f"TauID_{name}") for name in models}
for tool in identification_plots(scores, marked, level=level, rejection=rejection, common={"Unseen": "UnseenEvents"}):
    job += tool
job += Report("Report", Title="Tau identification")

if __name__ == "__main__":
    run_file(__file__)
