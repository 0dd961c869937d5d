"""The plugin of the job options that ship with hepflow, and of the files beside them; they are run, not imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hepflow import hookimpl


@hookimpl
def hepflow_joboptions() -> Sequence[Path]:
    """Return the folder of the job options."""
    return [Path(__file__).parent]


@hookimpl
def hepflow_data() -> Sequence[Path]:
    """Return the folder of their architecture and training settings."""
    return [Path(__file__).parent]
