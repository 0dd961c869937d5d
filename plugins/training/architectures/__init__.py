"""Network architectures: DSNN, LSTM, Dense, SetTransformer, and those that other plugins bring."""

from __future__ import annotations

from hepflow.plugins.training.architectures.base import Architecture, Key, NetworkInput, mask_name, open_inputs

__all__ = ["Architecture", "Key", "NetworkInput", "mask_name", "open_inputs"]
