"""Readers and writers: xAOD as TTree and RNTuple, and flat ntuples. Import from the module that defines a name."""

from __future__ import annotations
