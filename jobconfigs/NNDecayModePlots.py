"""Performance of decay-mode classifiers on taus that they have not seen: matrices, efficiencies, ROC, probabilities."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.expressions import Cut
from hepflow.plugins.performance import EfficiencyPlots, HistogramPlots, MigrationPlots, Report, RocPlots, UnseenEvents
from hepflow.plugins.tau import TruthDecayMode
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.performance import BASELINE, BASELINE_NO_TRUTH, PT_RANGES, TRUTH_BASELINE

job = Job("NNDecayModePlots")
classifiers = job.option(
    "classifiers", default=("PFOCountDecayMode", "NNDecayMode"), doc="what is compared, the reference first"
)
scores = job.option("scores", default=("NNDecayMode",), doc="those with probabilities (NNDecayModeProb_1p0n, …)")
against = job.option("against", default="truthDecayMode", doc="decay mode that the matrices compare with")
folds = job.option("folds", default=(), item=int, doc="folds of mcEventNumber % 5; empty: what no network has seen")
all_events = job.option("all-events", default=False, doc="use all events, also those used in training")

truth = against == "truthDecayMode"
baseline = BASELINE if truth else BASELINE_NO_TRUTH
decided = {name: f"TauJets.{name}" for name in classifiers}
every = " and ".join(f"TauJets.{name} >= 0 and TauJets.{name} < 5" for name in classifiers)
selection = baseline & Cut(f"TauJets.{against} < 5 and {every}", "decay modes 1p0n…3pXn")
everywhere = {"Selection": selection, "Unseen": "UnseenEvents"}  # what all plots have in common

job += UnseenEvents("UnseenEvents", Classifiers=classifiers, Folds=folds, AllEvents=all_events)

title = "truth decay mode" if truth else f"{against} (reconstructed)"
matrix = MigrationPlots("Matrices", Classifiers=decided, Labels=MODES, TruthTitle=title, **everywhere)
matrix.Truth = f"TauJets.{against}"
matrix.Selection = baseline  # what is outside the five modes is excluded there, and counted
matrix.Ranges = PT_RANGES if truth else {}
job += matrix

if truth:
    job += TruthDecayMode("TruthDecayMode")
    x = ["TauJets.truthPtVis:log", "TauJets.truthEtaVis", "TauJets.mu:10;20;70", "TauJets.nVtxPU:12;0;60"]
    for number, mode in enumerate(MODES):
        right = {name: f"{column} == {number}" for name, column in decided.items()}
        same = Cut(f"TauJets.truthDecayMode == {number}", f"truth {mode}")
        efficiency = EfficiencyPlots(f"Efficiency_{mode}", Variables=x, Passed=right, Ratio=True, **everywhere)
        efficiency.Selection = selection & same
        efficiency.Title = "Efficiency among reconstructed taus"
        job += efficiency
        total = EfficiencyPlots(f"EfficiencyOfAllTruthTaus_{mode}", Variables=x, Passed=right, Ratio=True, **everywhere)
        total.Selection = selection & same
        total.Title = "Efficiency among all truth taus"
        total.TruthTotals = dict.fromkeys(
            right, TRUTH_BASELINE & Cut(f"TruthTaus.decayMode == {number}", f"truth {mode}")
        )
        job += total

    is_mode = {mode: Cut(f"TauJets.truthDecayMode == {number}", f"true {mode}") for number, mode in enumerate(MODES)}
    for number, mode in enumerate(MODES):
        roc = RocPlots(f"ROC_{mode}_against_rest", Signal=is_mode[mode], **everywhere)
        roc.Background = Cut(f"TauJets.truthDecayMode != {number}", "other modes")
        roc.Scores = {name: f"TauJets.{name}Prob_{mode}" for name in scores}
        roc.Points = {name: f"{column} == {number}" for name, column in decided.items() if name not in scores}
        roc.Folder = "ROC"
        job += roc
    for a, b in (("1p0n", "1p1n"), ("1p1n", "1pXn"), ("3p0n", "3pXn")):
        roc = RocPlots(f"ROC_{a}_against_{b}", Signal=is_mode[a], Background=is_mode[b], **everywhere)
        roc.Scores = {
            name: f"TauJets.{name}Prob_{a} / (TauJets.{name}Prob_{a} + TauJets.{name}Prob_{b})" for name in scores
        }
        roc.Points = {name: f"{column} == {MODES.index(a)}" for name, column in decided.items() if name not in scores}
        roc.Folder = "ROC"
        job += roc

    for name in scores:
        probabilities = HistogramPlots(f"Probabilities_{name}", Split=is_mode, Normalise=True, LogY=True, **everywhere)
        probabilities.SplitTitle = "truth decay mode"
        probabilities.Variables = [f"TauJets.{name}Prob_{mode}:50;0;1" for mode in MODES]
        job += probabilities

for name, sign in (("UP", "+"), ("DOWN", "-")):  # off unless --variations asks for them
    job.vary(f"PILEUP_{name}", weight=f"1 {sign} 0.2 * (EventInfo.averageInteractionsPerCrossing / 45 - 1)")

job += Report("Report", Title="Decay-mode classification")

if __name__ == "__main__":
    run_file(__file__)
