"""hepflow: hadronic-tau analysis and its machine learning, from xAOD to performance plots.

The public names are loaded on first use, so that ``import hepflow`` and ``hepflow --help`` stay instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepflow.context import Context, Sample
    from hepflow.errors import HepflowError
    from hepflow.events import Events
    from hepflow.job import Job
    from hepflow.properties import Property
    from hepflow.registry.hooks import hookimpl
    from hepflow.stream import Stream
    from hepflow.tool import Tool

_PUBLIC = {
    "Context": "hepflow.context",
    "Events": "hepflow.events",
    "HepflowError": "hepflow.errors",
    "Job": "hepflow.job",
    "Property": "hepflow.properties",
    "Sample": "hepflow.context",
    "Stream": "hepflow.stream",
    "Tool": "hepflow.tool",
    "hookimpl": "hepflow.registry.hooks",
}

__all__ = ["Context", "Events", "HepflowError", "Job", "Property", "Sample", "Stream", "Tool", "hookimpl"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hepflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*_PUBLIC, "__version__"])
