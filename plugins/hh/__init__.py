"""Tools for HH → bbττ: the variables of an event with two b-tagged jets and two hadronic taus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.hh.ntuple import BBTauTauVariables

__all__ = ["BBTauTauVariables"]

__getattr__, __dir__ = lazy_names(__name__, {"BBTauTauVariables": "ntuple"})
