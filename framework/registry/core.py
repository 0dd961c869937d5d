"""The plugin with which the framework brings its own readers, models and executors, through the same door as
everybody.
"""

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
def hepflow_models() -> Mapping[str, str]:
    """Return the formats of networks."""
    return {
        "keras": "hepflow.networks.loading:KerasReader",
        "lwtnn": "hepflow.networks.loading:LwtnnReader",
        "onnx": "hepflow.networks.loading:OnnxReader",
    }


@hookimpl
def hepflow_model_writers() -> Mapping[str, str]:
    """Return the formats that networks become."""
    return {
        "lwtnn": "hepflow.networks.converting:LwtnnWriter",
        "onnx": "hepflow.networks.converting:OnnxWriter",
    }


@hookimpl
def hepflow_executors() -> Mapping[str, str]:
    """Return the local executors."""
    return {
        "processes": "hepflow.execution.executors:ProcessExecutor",
    }
