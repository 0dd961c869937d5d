"""What a figure is asked for, checked before anything is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from hepflow.errors import PlotError, nearest
from hepflow.plots.axis import Axis
from hepflow.plots.figures.style import Style

__all__ = ["Options"]

KINDS = ("efficiency", "purity", "counts")


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`hepflow.plots.figures.draw`."""

    style: Style = field(default_factory=Style)
    log_x: bool | None = None
    log_y: bool | None = None
    ratio: bool = False
    normalise: bool = False
    mode: str = "core"
    kind: str = "efficiency"
    y_range: tuple[float, float] | None = None
    title: str = ""
    legend: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlotError(f"a matrix shows {' or '.join(KINDS)}, not {self.kind!r}", hint=nearest(self.kind, KINDS))
        if self.y_range is not None:
            low, high = self.y_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise PlotError(f"y_range goes from a lower to a higher number, not from {low:g} to {high:g}")

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the first lines below the label: the title, where there is one."""
        return (self.title,) if self.title else ()

    def on_log_x(self, axis: Axis) -> bool:
        """Return whether x is logarithmic: as asked for, else as the axis says. PlotError where it cannot be."""
        if self.log_x and (axis.edges[0] <= 0 or axis.labels):
            why = "shows categories" if axis.labels else f"begins at {axis.edges[0]:g}"
            raise PlotError(f"axis {axis.name!r} cannot be logarithmic: it {why}", hint="a binning that begins above 0")
        return axis.log if self.log_x is None else self.log_x

    def on_log_y(self, default: bool = False) -> bool:
        """Return whether y is logarithmic. PlotError where ``y_range`` does not allow it."""
        log = default if self.log_y is None else self.log_y
        if log and self.y_range is not None and self.y_range[0] <= 0:
            raise PlotError(f"a logarithmic y axis begins above 0, not at {self.y_range[0]:g}", hint="change y_range")
        return log

    def without(self, what: str, **unused: Any) -> None:
        """Raise PlotError where an option is set that ``what`` does not know: ``without("a matrix", ratio=False)``."""
        for name, default in unused.items():
            if getattr(self, name) != default:
                raise PlotError(f"{what} has no option {name}", hint=f"leave {name} out")
