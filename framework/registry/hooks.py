"""The hooks of hepflow: what a plugin can bring.

A plugin is a module named by an entry point of the group ``hepflow``; it implements any of these hooks with
``@hookimpl``. A hook returns names with import strings (``"package.module:Class"``), so that finding plugins imports
none of what they bring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pluggy

__all__ = ["hookimpl"]

F = TypeVar("F")

hookspec = pluggy.HookspecMarker("hepflow")
hookimpl = pluggy.HookimplMarker("hepflow")


@hookspec
def hepflow_tools() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return tools: class name → import string. The name is what ``hepflow describe`` takes."""


@hookspec
def hepflow_streams() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return streams: class name → import string."""


@hookspec
def hepflow_readers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return input formats: name → import string of a class that fulfils ``hepflow.protocols.Reader``."""


@hookspec
def hepflow_models() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return formats of models: name → import string of a class that fulfils ``hepflow.protocols.ModelReader``."""


@hookspec
def hepflow_model_writers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return what models are converted to: name → import string of a class that fulfils
    ``hepflow.protocols.ModelWriter``.
    """


@hookspec
def hepflow_executors() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return executors: name → import string of a subclass of ``hepflow.executor.Executor``."""


@hookspec
def hepflow_samples() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return samples: name → import string of a ``hepflow.execution.samples.SampleRecipe``."""


@hookspec
def hepflow_architectures() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return network architectures: name → import string."""


@hookspec
def hepflow_engines() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return libraries that train: name → import string of a subclass of
    ``hepflow.plugins.training.engines.base.Engine``.
    """


@hookspec
def hepflow_variables() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return variables for plots: name (``TauJets.pt``) → import string of a ``hepflow.variables.Variable``."""


@hookspec
def hepflow_derivations() -> Mapping[str, Sequence[str]]:  # type: ignore[empty-body]
    """Return what stored columns are calculated from (``TauJets.ptCombined``: ``TauJets.ptTauEnergyScale``, …): a
    variation of those with a job that reads the stored one is an error.
    """


@hookspec
def hepflow_commands() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return commands of the command line: name → import string of a click command."""


@hookspec
def hepflow_data() -> Sequence[Path]:  # type: ignore[empty-body]
    """Return folders with data files (trained networks) that properties such as ``WeightFile`` can name."""


@hookspec
def hepflow_joboptions() -> Sequence[Path]:  # type: ignore[empty-body]
    """Return folders with job-option files that ``hepflow run NAME`` searches."""
