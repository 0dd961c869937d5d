"""hepflow: hadronic-tau analysis and its machine learning, from xAOD to performance plots.

The public names are loaded on first use, so that ``import hepflow`` and ``hepflow --help`` stay instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.api import Data, load_job, open, run  # noqa: A004
    from hepflow.cli import run_file
    from hepflow.context import Context, Sample
    from hepflow.errors import HepflowError
    from hepflow.events import Events
    from hepflow.folds import Folds, kfold
    from hepflow.job import Job
    from hepflow.properties import Property
    from hepflow.registry.hooks import hookimpl
    from hepflow.stream import Stream
    from hepflow.tool import Tool
    from hepflow.trainingset import Target, TrainingSet

__all__ = [
    "Context", "Data", "Events", "Folds", "HepflowError", "Job", "Property", "Sample", "Stream", "Target", "Tool",
    "TrainingSet", "hookimpl", "kfold", "load_job", "open", "run", "run_file",
]  # fmt: skip
__version__ = "0.1.0"


__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Context": "context",
        "Data": "api",
        "Events": "events",
        "Folds": "folds",
        "HepflowError": "errors",
        "Job": "job",
        "Property": "properties",
        "Sample": "context",
        "Stream": "stream",
        "Target": "trainingset",
        "Tool": "tool",
        "TrainingSet": "trainingset",
        "hookimpl": "registry.hooks",
        "kfold": "folds",
        "load_job": "api",
        "open": "api",
        "run": "api",
        "run_file": "cli",
    },
)
