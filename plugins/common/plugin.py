"""The plugin that brings the general tools, and the executor of Dask."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the general tools."""
    return {
        "Define": "hepflow.plugins.common.define:Define",
        "Filter": "hepflow.plugins.common.define:Filter",
        "GoodRuns": "hepflow.plugins.common.goodruns:GoodRuns",
        "LinkedObjects": "hepflow.plugins.common.linked:LinkedObjects",
        "RunJob": "hepflow.plugins.common.runjob:RunJob",
        "SampleClass": "hepflow.plugins.common.sampleclass:SampleClass",
        "UniqueEvents": "hepflow.plugins.common.unique:UniqueEvents",
    }


@hookimpl
def hepflow_executors() -> Mapping[str, str]:
    """Return the executors beyond the processes of the framework."""
    return {"dask": "hepflow.plugins.common.dask:DaskExecutor"}
