"""The plugin that brings the executors of batch systems."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_executors() -> Mapping[str, str]:
    """Return the executors."""
    return {
        "grid": "hepflow.plugins.batch.grid:GridExecutor",
        "htcondor": "hepflow.plugins.batch.htcondor:HTCondorExecutor",
        "slurm": "hepflow.plugins.batch.slurm:SlurmExecutor",
    }
