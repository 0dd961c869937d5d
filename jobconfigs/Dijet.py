"""Generate jets that fake taus and simulate the detector: an AOD with tau candidates."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.simulation import TauDetector, TruthTauBuilder
from hepflow.plugins.tau import TauFinalCalibration
from hepflow.streams import MxAODStream

job = Job("Dijet", default_sample="pythia:Dijet")

stream = MxAODStream("AOD", Keep=("EventInfo.*",))
stream += TruthTauBuilder("TruthTauBuilder")
stream += TauDetector("TauDetector")
stream += TauFinalCalibration("TauFinalCalibration")
job += stream

if __name__ == "__main__":
    run_file(__file__)
