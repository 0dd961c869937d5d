"""Streams: the outputs of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.streams.dataset import DatasetStream
    from hepflow.streams.mxaod import MxAODStream
    from hepflow.streams.ntuple import NtupleStream

__all__ = ["DatasetStream", "MxAODStream", "NtupleStream"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"DatasetStream": "dataset", "MxAODStream": "mxaod", "NtupleStream": "ntuple"},
)
