"""Energy scale, first step: derive the local calibration of taus, lc.json, from the ntuple of EnergyScale."""

from __future__ import annotations

from hepflow import Job, run_file
from hepflow.plugins.tau import DeriveLC

job = Job("EnergyScaleLC")
job += DeriveLC("DeriveLC")

if __name__ == "__main__":
    run_file(__file__)
