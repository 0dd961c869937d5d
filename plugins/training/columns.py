"""The values of a column, named as the job options name it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events

__all__ = ["flat_column"]


def flat_column(events: Events, name: str) -> npt.NDArray[Any]:
    """Return the values of ``Container.column`` of all visible objects, without event structure."""
    container, _, column = name.partition(".")
    return np.asarray(events[container].flat(column))
