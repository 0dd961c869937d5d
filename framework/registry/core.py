"""The plugin with which the framework brings its own readers and executors, through the same door as everybody."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow.registry.hooks import hookimpl


@hookimpl
def hepflow_readers() -> Mapping[str, str]:
    """Return the ROOT formats."""
    return {
        "xaod-rntuple": "hepflow.io.rntuple:RNTupleReader",
        "xaod-ttree": "hepflow.io.ttree:TTreeReader",
        "ntuple-rntuple": "hepflow.io.ntuple:NtupleRNTupleReader",
        "ntuple-ttree": "hepflow.io.ntuple:NtupleTTreeReader",
    }


@hookimpl
def hepflow_executors() -> Mapping[str, str]:
    """Return the local executors."""
    return {
        "processes": "hepflow.execution.executors:ProcessExecutor",
    }
