"""Tools that know no physics object in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.plugins.common.linked import LinkedObjects

__all__ = ["LinkedObjects"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"LinkedObjects": "linked"},
)
