"""Energy scale, second step: derive the combination of calorimeter and particle flow, combined.json, from an ntuple."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau import DeriveCombined, TauCalibrateLC
from hepflow.plugins.tau.energyscale.applying import SHIPPED_LC

job = Job("EnergyScaleCombined")
lc = job.option("lc", default=SHIPPED_LC, doc="the local calibration: lc.json of EnergyScaleLC")

job += TauCalibrateLC("TauCalibrateLC", calibrationFile=lc)
job += DeriveCombined("DeriveCombined")

if __name__ == "__main__":
    run_file(__file__)
