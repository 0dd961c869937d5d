"""Taus of a DAOD_PHYSLITE file with their tracks: an ntuple (one entry a tau) and a slimmed MxAOD."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.common import LinkedObjects
from hepflow.plugins.tau import TauSelection
from hepflow.streams import MxAODStream, NtupleStream

job = Job("PhysliteTaus")

job += TauSelection("TauSelection", PtMin=0.0, AbsEtaMax=10.0)

ntuple = NtupleStream("tree")
ntuple.Keep = ["TauJets.*", "EventInfo.eventNumber", "EventInfo.mcEventNumber"]
ntuple.Drop = ["TauJets.*Link", "TauJets.*Links"]
ntuple += LinkedObjects(
    "TauTracks", Link="TauJets.tauTrackLinks", To="TauTracks", Columns=["pt", "eta", "phi", "flagSet"]
)
job += ntuple

mxaod = MxAODStream("output")
mxaod.Keep = ["TauJets.*", "TauTracks.*", "TruthTaus.*", "TruthElectrons.*", "TruthMuons.*", "EventInfo.eventNumber"]
job += mxaod

if __name__ == "__main__":
    run_file(__file__)
