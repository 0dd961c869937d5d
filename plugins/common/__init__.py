"""Tools that know no physics object in particular."""

from __future__ import annotations

from hepflow.plugins.common.linked import LinkedObjects

__all__ = ["LinkedObjects"]
