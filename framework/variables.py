"""Variables: what a quantity is called, where it comes from, how it is transformed, and how it is shown.

The dumper, the normaliser, the networks and the plots use the same declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import PropertyError, nearest

__all__ = ["TRANSFORMS", "Variable"]

TRANSFORMS = ("", "log10")


@dataclass(frozen=True)
class Variable:
    """One quantity of an object.

    ``name`` is what networks and plots call it (``pt_log``), ``column`` where its raw values are (``pt``; by default
    the name). ``transform`` is applied to the raw values: ``log10`` of the value, at least ``floor``. ``missing`` is
    the raw value that stands for "not known" (-1111); it is left out of statistics. ``mean`` fixes the mean that a
    normaliser would otherwise measure. ``unit`` is that of the raw values, ``binnings`` are named lists of bin edges.
    """

    name: str
    column: str = ""
    transform: str = ""
    floor: float | None = None
    missing: float | None = None
    mean: float | None = None
    label: str = ""
    unit: str = ""
    binnings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise PropertyError(
                f"variable {self.name}: there is no transform {self.transform!r}",
                hint=nearest(self.transform, [t for t in TRANSFORMS if t], what="transforms"),
            )
        if self.transform == "log10" and not (self.floor is not None and self.floor > 0):
            raise PropertyError(f"variable {self.name}: log10 needs a floor above 0, got {self.floor!r}")
        if not self.column:
            object.__setattr__(self, "column", self.name)

    def __call__(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the transformed values, float32 for float32 and integers, in the shape of ``raw``."""
        values = np.asarray(raw)
        if values.dtype != np.float64:
            values = values.astype(np.float32, copy=False)
        if self.transform == "log10":
            return np.log10(np.maximum(values, values.dtype.type(self.floor)))  # type: ignore[no-any-return]
        return values
