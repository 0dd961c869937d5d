"""The values of a column, named as the job options name it, and what weights must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events
from hepflow.errors import ToolError

__all__ = ["check_sum", "flat_column"]


def flat_column(events: Events, name: str, rows: str = "") -> npt.NDArray[Any]:
    """Return the values of ``Container.column`` of all visible objects, without event structure.

    With ``rows``, a container, values of events (``Sample.weight``) are repeated for each of its objects.
    """
    container, _, column = name.partition(".")
    held = events[container].flat(column)
    try:
        values = np.asarray(held)
    except ValueError:
        raise ToolError(
            f"{name} is a list for each of {len(held)} rows, and a model wants one number",
            hint=f'Define("NAME", Columns={{"{name}_max": "max({name})"}}) makes one of it; first(), sum(), len(), too',
        ) from None
    if rows not in ("", container) and isinstance(events[container][column], np.ndarray):
        return np.repeat(values, events[rows].counts)
    return values


def check_sum(weight: float, whose: str, where: str = "") -> None:
    """Raise ToolError where a sum of weights is not a positive number."""
    if not 0 < weight < np.inf:
        ignore = '; negative_weights="ignore-in-training" of the TrainingSet leaves negative ones out of training'
        raise ToolError(
            f"the weights of {whose} add up to {weight:g}, it must be more than 0",
            where=where,
            hint="is weight the right column? an empty weight gives each row 1" + (ignore if weight < 0 else ""),
        )
