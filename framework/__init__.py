"""hepflow: hadronic-tau analysis and its machine learning, from xAOD to performance plots.

The public names are loaded on first use, so that ``import hepflow`` and ``hepflow --help`` stay instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.api import Data, open, run  # noqa: A004
    from hepflow.cli import run_file
    from hepflow.context import Context, Sample
    from hepflow.errors import HepflowError
    from hepflow.events import Events
    from hepflow.job import Job
    from hepflow.properties import Property
    from hepflow.registry.hooks import hookimpl
    from hepflow.stream import Stream
    from hepflow.tool import Tool

__all__ = [
    "Context", "Data", "Events", "HepflowError", "Job", "Property", "Sample", "Stream", "Tool", "hookimpl", "open",
    "run", "run_file",
]  # fmt: skip
__version__ = "0.1.0"


__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Context": "context",
        "Data": "api",
        "Events": "events",
        "HepflowError": "errors",
        "Job": "job",
        "Property": "properties",
        "Sample": "context",
        "Stream": "stream",
        "Tool": "tool",
        "hookimpl": "registry.hooks",
        "open": "api",
        "run": "api",
        "run_file": "cli",
    },
)
