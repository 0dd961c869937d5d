"""Variations of plot objects: by how much values shift, with the errors of what migrates, and the bands they make."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hepflow.errors import PlotError, nearest
from hepflow.plots.base import Array, PlotObject, as_picture
from hepflow.plots.comparison import Comparison, Stack, binned

__all__ = ["WAYS", "Bands", "Shift", "combined", "effects", "is_down"]

WAYS: Final = ("quadrature", "envelope", "pairs", "curves")
"""How variations are shown: one band of all effects added in quadrature, one that holds all, one for each effect, or a
curve for each variation.
"""


class Shift:
    """By how much the values of a variation differ from those of the nominal, bin by bin, and their ratio.

    Both have events in common: ``errors`` are those of what migrates or changes its weight, √(σ² + σ'² − 2 cov), and
    ``ratio_errors`` those of the ratio. NaN where the plot object does not know the covariance: of a kind without one
    (``PlotObject.covariance``), or not filled as a variation. PlotError where the two do not fit together.
    """

    def __init__(self, varied: PlotObject, nominal: PlotObject, *, mode: str = "core") -> None:
        mine, theirs = binned(varied, mode=mode), binned(nominal, mode=mode)
        if type(varied) is not type(nominal) or mine.axis.edges != theirs.axis.edges:
            raise PlotError(f"{varied} is no variation of {nominal}: they have other bins, or are of different kinds")
        self.axis = mine.axis
        self.values: Array = mine.value - theirs.value
        with np.errstate(divide="ignore", invalid="ignore"):
            self.ratio: Array = np.where(theirs.value != 0, mine.value / theirs.value, np.nan)
            found = varied.covariance(nominal)
            if found is None:
                self.errors = self.ratio_errors = np.full(len(self.values), np.nan)
                return
            own, other, both = found
            self.errors = np.sqrt(np.maximum(own + other - 2 * both, 0))
            relative = np.maximum(own - 2 * self.ratio * both + self.ratio**2 * other, 0)
            self.ratio_errors = np.sqrt(relative) / np.abs(theirs.value)


def effects(names: Sequence[str]) -> dict[str, list[str]]:
    """Return effect → its variations: TES_UP and TES_DOWN are both of TES."""
    found: dict[str, list[str]] = {}
    for name in names:
        base = name[: -len(ending)] if (ending := _ending(name)) else name
        found.setdefault(base, []).append(name)
    return found


def is_down(name: str) -> bool:
    """Tell whether a variation goes down: TES_DOWN."""
    return _ending(name).upper() == "_DOWN"


def _ending(name: str) -> str:
    return next((name[-len(ending) :] for ending in ("_UP", "_DOWN") if name.upper().endswith(ending)), "")


def combined(shifts: Mapping[str, Array], how: str) -> dict[str, tuple[Array, Array]]:
    """Return band → lengths (down, up), both ≥ 0, of shifts by variation; where one is NaN the band has no part of it.

    An effect goes down as far as the lowest of its variations, and up as far as the highest. ``quadrature`` adds those
    of all effects, ``envelope`` takes the largest of all variations, ``pairs`` has a band for each effect.
    """
    known = {name: np.nan_to_num(values, nan=0.0) for name, values in shifts.items()}
    parts: dict[str, tuple[Array, Array]] = {}
    for base, names in effects(list(known)).items():
        effect = base if len(names) > 1 else names[0]
        both = np.stack([known[name] for name in names])
        parts[effect] = (np.maximum(-both.min(axis=0), 0.0), np.maximum(both.max(axis=0), 0.0))
    if how == "pairs" or not parts:
        return parts
    down, up = (np.stack([part[side] for part in parts.values()]) for side in (0, 1))
    if how == "envelope":
        return {f"envelope of {', '.join(parts)}": (down.max(axis=0), up.max(axis=0))}
    name = f"{', '.join(parts)} in quadrature" if len(parts) > 1 else next(iter(parts))
    return {name: (np.sqrt((down**2).sum(axis=0)), np.sqrt((up**2).sum(axis=0)))}


@dataclass(frozen=True)
class Bands:
    """What is drawn (a plot object, several, a Comparison, a Stack) with its variations.

    ``varied`` has, for each variation, the same objects in the same order (of a stack without the data). PlotError
    where these do not fit, or there is no such way to show them (``WAYS``).
    """

    what: Any
    varied: Mapping[str, Sequence[PlotObject]]
    how: str = "quadrature"

    def __post_init__(self) -> None:
        if self.how not in WAYS:
            raise PlotError(f"variations are not shown as {self.how!r}", hint=nearest(self.how, WAYS, what="ways"))
        for name, plots in self.varied.items():
            if [type(plot) for plot in plots] != [type(plot) for plot in self.plots]:
                raise PlotError(f"the variation {name} has other plots than the nominal", hint="the same, in one order")

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture(self)

    @property
    def plots(self) -> list[PlotObject]:
        """Return the nominal objects, without the data of a stack."""
        if isinstance(self.what, Stack):
            return list(self.what.histograms)
        if isinstance(self.what, Comparison):
            return list(self.what.plots)
        return [self.what] if isinstance(self.what, PlotObject) else list(self.what)

    @property
    def curves(self) -> list[PlotObject]:
        """Return nominal and varied objects, named after their variations, where these are curves of their own; else
        the nominal ones.
        """
        if self.how != "curves":
            return self.plots
        made = []
        for name, plots in {"nominal": self.plots, **self.varied}.items():
            for plot in plots:
                named = copy.copy(plot)
                told = [plot.label] if name == "nominal" else [plot.label, name]
                named.label = ", ".join(filter(None, told)) or name
                made.append(named)
        return made

    def to_json(self, *, mode: str = "core") -> dict[str, Any]:
        """Return ``how`` variations are shown, and of each its plots, and the shifts with their errors where there are
        values along an axis.
        """
        return {
            "how": self.how,
            "variations": {
                name: {
                    "plots": [plot.to_json() for plot in plots],
                    "shifts": [_told(plot, one, mode) for plot, one in zip(plots, self.plots, strict=True)],
                }
                for name, plots in self.varied.items()
            },
        }


def _told(varied: PlotObject, nominal: PlotObject, mode: str) -> dict[str, Any] | None:
    try:
        shift = Shift(varied, nominal, mode=mode)
    except PlotError:  # no values along one axis
        return None
    return {"label": nominal.label, "values": shift.values, "errors": shift.errors}
