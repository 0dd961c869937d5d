"""The ntuple of HH → bbττ: one row an event with two b-tagged jets and two hadronic taus."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.hh import BBTauTauVariables
from hepflow.streams import NtupleStream

job = Job("HHbbtautau", default_sample="HHbbtautau")
tree = job.option("name", default="tree", doc="name of the TTree")

stream = NtupleStream("ntuple", Container="", TreeName=tree)
stream += BBTauTauVariables("BBTauTauVariables", Container=tree)
job += stream

if __name__ == "__main__":
    run_file(__file__)
