"""The plugin that brings the built-in streams."""

from __future__ import annotations

from collections.abc import Mapping

from hepflow import hookimpl


@hookimpl
def hepflow_streams() -> Mapping[str, str]:
    """Return the built-in streams."""
    return {
        "DatasetStream": "hepflow.streams.dataset:DatasetStream",
        "MxAODStream": "hepflow.streams.mxaod:MxAODStream",
        "NtupleStream": "hepflow.streams.ntuple:NtupleStream",
    }
