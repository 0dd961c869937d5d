"""Generate γ* → ττ and simulate the detector: an AOD with tau candidates and true taus."""

from __future__ import annotations

from hepflow import Job
from hepflow.plugins.simulation import TauDetector, TruthTauBuilder
from hepflow.streams import MxAODStream

job = Job("Gammatautau", default_sample="pythia:Gammatautau")

stream = MxAODStream("AOD", Keep=("EventInfo.*",))
stream += TruthTauBuilder("TruthTauBuilder")
stream += TauDetector("TauDetector")
job += stream
