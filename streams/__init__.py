"""Streams: the outputs of a job."""

from __future__ import annotations

from hepflow.streams.dataset import DatasetStream
from hepflow.streams.mxaod import MxAODStream
from hepflow.streams.ntuple import NtupleStream

__all__ = ["DatasetStream", "MxAODStream", "NtupleStream"]
