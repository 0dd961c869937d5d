"""Inputs of the decay-mode networks per true decay mode, and pictures of what a network sees of single taus.

From the ntuple of NNDecayMode (--from ntuple), an MxAOD (--from mxaod), or an AOD (--from aod), whose taus are selected
and matched to truth as in NNDecayMode. Pictures need the objects themselves: an MxAOD or AOD.
"""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.errors import JobOptionsError
from hepflow.plugins.performance import Report
from hepflow.plugins.tau import NetworkInputPlots, NNDecayModeTree, TauEventDisplay, TauSelection, TauTruthMatching

job = Job("NNDecayModeInputs")
source = job.option("from", default="ntuple", choices=("ntuple", "mxaod", "aod"), doc="what the input is")
displays = job.option("displays", default=0, doc="draw so many taus of each true decay mode")
event_numbers = job.option("event-numbers", default=(), item=int, doc="draw the taus of these events")

if source == "aod":
    job.default_sample = "Gammatautau"
    job += TauSelection("TauSelection", PtMin=15_000.0, AbsEtaMax=2.5)
    job += TauTruthMatching("TauTruthMatching")
if source != "ntuple":
    job += NNDecayModeTree("NNDecayModeTree")

job += NetworkInputPlots("Inputs")

if (displays or event_numbers) and source == "ntuple":
    raise JobOptionsError("an ntuple does not hold the objects around a tau", hint="use --from mxaod or --from aod")
if displays:
    job += TauEventDisplay("Displays", Number=displays)
if event_numbers:
    job += TauEventDisplay("DisplaysOfEvents", EventNumbers=event_numbers)

job += Report("Report", Title="Inputs of the decay-mode networks")

if __name__ == "__main__":
    run_file(__file__)
