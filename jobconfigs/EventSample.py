"""Generate whole events with jets, hadronic taus and missing ET: one of the processes HHbbtautau, TTbar, Zjets."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.simulation import EventDetector
from hepflow.streams import MxAODStream

job = Job("EventSample", default_sample="pythia:HHbbtautau")

stream = MxAODStream("AOD", Keep=("EventInfo.*",))
stream += EventDetector("EventDetector")
job += stream

if __name__ == "__main__":
    run_file(__file__)
