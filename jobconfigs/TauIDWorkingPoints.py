"""Working points of tau identification: cuts on the scores of TauID --mode scores, from events that only validated."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau import WorkingPointTuner
from hepflow.plugins.tau.identification import either_prong

job = Job("TauIDWorkingPoints")
models = job.option("models", default=("bdt", "network"), doc="scores, as TauID wrote them")

for name in models:
    tuner = WorkingPointTuner(f"{name}_tuner", OutputName=f"TauID_{name}", Score=either_prong(f"TauID_{name}"))
    job += tuner

if __name__ == "__main__":
    run_file(__file__)
