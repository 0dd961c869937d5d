"""Drawing event displays: a close view of the objects around an axis, and the whole cone beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.plots.display import EventDisplay, Marks
from hepflow.plots.figures.layout import add_header, empty, renderer_of
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.picture import bare_figure
from hepflow.plots.figures.style import GREY, SMALL, Look, look_of
from hepflow.plots.figures.text import readable, wrap
from hepflow.plots.figures.ticks import linear

__all__ = ["draw_display"]

FRAME: Final = "#d55e00"
RING: Final = "#a8a8a8"

LARGEST: Final = 2000.0
"""Area of the marker of the object with the highest pt, in square points."""
RANGES: Final = (0.022, 0.033, 0.055, 0.11, 0.22, 0.44)
"""Half widths of the close view; the last is that of the whole cone."""
CORE: Final = 0.95
"""Part of the summed pt that the close view has to show, with the points where these objects arrive."""

LEFT, BOTTOM, CLOSE, BETWEEN, WHOLE, RIGHT = 1.05, 0.8, 6.0, 0.9, 3.3, 0.4
"""Inches: margins, and sides of the two views."""
GAP: Final = 0.5
"""Inches between the view of the whole cone and the legend."""
WIDTH = LEFT + CLOSE + BETWEEN + WHOLE + RIGHT


def draw_display(display: EventDisplay, options: Options) -> Any:
    """Return the figure of a display.

    Areas of markers are proportional to pt, in the whole cone with a smaller factor; the frame there is the range of
    the close view. PlotError for options that a display does not have.
    """
    from matplotlib.patches import Rectangle

    options.without("an event display", log_x=None, log_y=None, ratio=False, normalise=False, y_range=None)
    figure = bare_figure(WIDTH, BOTTOM + CLOSE)
    close, whole, sizes = (figure.add_axes((0, 0, 1, 1), label=name) for name in ("close", "whole", "sizes"))
    header = add_header(close, options.style, (*options.lines, display.label, *display.texts), above=True)
    highest = max((max(group.pt) for group in display.marks if group.pt), default=0.0)
    scale, half = LARGEST / (highest or 1.0), _half_width(display)
    _view(close, display, half, scale, SMALL, 1.6)
    _view(whole, display, RANGES[-1], scale * (WHOLE / CLOSE) ** 2, SMALL - 2, 1.0)
    if half < RANGES[-1]:
        whole.add_patch(Rectangle((-half, -half), 2 * half, 2 * half, fill=False, edgecolor=FRAME, lw=1.3, zorder=5))
    close.set(xlabel="Δη", ylabel="Δφ [rad]")
    whole.tick_params(labelsize=SMALL)
    _place(figure, close, whole, sizes, header, _legend(figure, display))
    _sizes(sizes, highest, scale)
    _remark(close, display, half)
    return figure


def _half_width(display: EventDisplay) -> float:
    """Return the half width of the close view: the smallest range that shows the core."""
    marks = [group for group in display.marks if group.pt]
    if not marks:
        return RANGES[-1]
    pt = np.concatenate([group.pt for group in marks])
    reach = np.concatenate([np.fmax(_reach(group.eta, group.phi), _reach(*_ends(group))) for group in marks])
    order = np.argsort(reach)
    summed = np.cumsum(pt[order])
    core = reach[order][np.searchsorted(summed, CORE * summed[-1])]
    return next((half for half in RANGES if core < 0.9 * half), RANGES[-1])


def _reach(eta: Any, phi: Any) -> npt.NDArray[np.float64]:
    reach: npt.NDArray[np.float64] = np.fmax(np.abs(eta), np.abs(phi))
    return reach


def _ends(group: Marks) -> npt.NDArray[np.float64]:
    """Return where objects arrive, 2 × objects, NaN for those that arrive nowhere."""
    return np.asarray((group.end_eta, group.end_phi)) if group.end_eta else np.full((2, len(group.pt)), np.nan)


def _view(axes: Any, display: EventDisplay, half: float, scale: float, size: float, width: float) -> None:
    """Draw rings and objects within ``half`` of the axis; ``scale`` is the area of a marker for 1 GeV."""
    from matplotlib.patches import Circle

    axes.set(xlim=(-half, half), ylim=(-half, half))
    shown = [radius for radius in display.rings if radius < 0.98 * half]
    angle = _free_angle(display, shown)
    text = {"ha": "center", "va": "center", "size": size, "color": GREY, "zorder": 1.5}
    for radius in display.rings:
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=RING, lw=1.0, ls=(0, (4, 3)), zorder=1))
    for radius in shown:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.text(radius * math.cos(angle), radius * math.sin(angle), f"{radius:g}", bbox=box, **text)
    axes.plot([0], [0], marker="+", markersize=7 * width, markeredgewidth=1.0, color=RING, zorder=1.2)
    for position, group in enumerate(display.marks):
        look = look_of(position)
        order = np.argsort(-np.asarray(group.pt), kind="stable")
        eta, phi, pt = (np.asarray(values)[order] for values in (group.eta, group.phi, group.pt))
        axes.scatter(
            eta, phi, scale * pt, marker=look.marker, facecolor=_inside(look), edgecolor=look.colour, linewidth=width,
            zorder=3 + 0.1 * position,
        )  # fmt: skip
        _draw_ends(axes, group, look, width)
    for axis in (axes.xaxis, axes.yaxis):
        linear(axis, most=6)


def _free_angle(display: EventDisplay, radii: Sequence[float]) -> float:
    """Return the diagonal direction in which the names of rings are farthest from objects."""
    marks = [(x, y) for g in display.marks for x, y in zip(g.eta + g.end_eta, g.phi + g.end_phi, strict=True)]
    eta, phi = np.array(marks).reshape(-1, 2).T
    radius = np.reshape(radii, (-1, 1))

    def distance(angle: float) -> float:
        away = np.hypot(eta - radius * math.cos(angle), phi - radius * math.sin(angle)) / radius
        return float(np.nanmin(away, initial=9.0))

    return max((math.pi * quarter / 4 for quarter in (-1, -3, 1, 3)), key=distance)


def _inside(look: Look) -> Any:
    from matplotlib.colors import to_rgba

    return to_rgba(look.colour, 0.3 if look.filled else 0.14)


def _draw_ends(axes: Any, group: Marks, look: Look, width: float) -> None:
    """Draw lines from the objects to where they arrive, and crosses there."""
    eta, phi = _ends(group)
    axes.plot(
        [group.eta, eta], [group.phi, phi], color=look.colour, linewidth=0.7 * width, linestyle=(0, (1, 1.5)), zorder=4
    )
    axes.plot(
        eta, phi, linestyle="", marker="x", markersize=4.5 * width, markeredgewidth=width, color=look.colour, zorder=4
    )


def _place(figure: Any, close: Any, whole: Any, sizes: Any, header: Any, legend: Any) -> None:
    """Give axes and legend their places, and the figure the height that header and legend ask for."""
    renderer = renderer_of(figure)
    above, listed = (artist.get_window_extent(renderer).height / figure.dpi for artist in (header, legend))
    circles = math.sqrt(LARGEST) / 72
    bottom = BOTTOM + max(0.0, WHOLE + GAP + listed + 0.2 + circles - CLOSE)
    height = bottom + CLOSE + above + 0.2
    figure.set_size_inches(WIDTH, height)
    left = LEFT + CLOSE + BETWEEN
    for axes, (x, y, across, up) in (
        (close, (LEFT, bottom, CLOSE, CLOSE)),
        (whole, (left, bottom + CLOSE - WHOLE, WHOLE, WHOLE)),
        (sizes, (left, BOTTOM, WHOLE, circles)),
    ):
        axes.set_position((x / WIDTH, y / height, across / WIDTH, up / height))
    legend.set_bbox_to_anchor((left / WIDTH, (bottom + CLOSE - WHOLE - GAP) / height))
    sizes.set(xlim=(0, WHOLE), ylim=(0, circles))
    sizes.axis("off")


def _legend(figure: Any, display: EventDisplay) -> Any:
    """Return the legend: what the markers are, how many there are, and their summed pt."""
    from matplotlib.lines import Line2D

    handles, labels = [], []
    for position, group in enumerate(display.marks):
        look = look_of(position)
        inside = {"markerfacecolor": _inside(look), "markeredgecolor": look.colour, "markeredgewidth": 1.5}
        handles.append(Line2D([], [], linestyle="", marker=look.marker, markersize=10, **inside))
        total = sum(group.pt)
        summed = f", {total:{'.0f' if total >= 100 else '.3g'}} GeV" if group.pt else ""
        labels.append(f"{group.label}: {len(group.pt)}{summed}")
    if display.end_label:
        handles.append(Line2D([], [], linestyle="", marker="x", markersize=7, markeredgewidth=1.6, color="black"))
        labels.append(display.end_label)
    labels = [wrap(readable(label), 34) for label in labels]
    space = {"handlelength": 1.2, "handletextpad": 0.6, "borderaxespad": 0.0}
    return figure.legend(handles, labels, frameon=False, loc="upper left", **space)


def _sizes(axes: Any, highest: float, scale: float) -> None:
    """Draw circles with the areas of round values of pt, side by side, in axes that count in inches."""
    x, middle = 0.0, math.sqrt(LARGEST) / 144
    values = _round_values(highest)
    for pt in values:
        radius = math.sqrt(scale * pt) / 144
        axes.scatter([x + radius], [middle], scale * pt, facecolor="none", edgecolor=GREY, linewidth=1.2, clip_on=False)
        text = axes.text(
            x + 2 * radius + 0.08,
            middle,
            f"{pt:g}" + " GeV" * (pt == values[-1]),
            va="center",
            size=SMALL + 1,
            color=GREY,
        )
        width = text.get_window_extent(axes.figure.canvas.get_renderer()).width / axes.figure.dpi
        x += 2 * radius + width + 0.3


def _round_values(highest: float) -> list[float]:
    """Return three values of pt, 1, 2 or 5 times a power of ten, up to the highest.

    >>> _round_values(87.0)
    [2.0, 10.0, 50.0]
    """
    if not highest > 0:
        return []
    tens = math.floor(math.log10(highest))
    values = [front * 10.0**power for power in range(tens - 2, tens + 1) for front in (1, 2, 5)]
    return [value for value in values if value <= highest][-1:-6:-2][::-1]


def _remark(axes: Any, display: EventDisplay, half: float) -> None:
    """Say in the close view that there is nothing, or how much is outside of it."""
    if display.note:
        empty(axes, display.note)
        return
    number = sum(int((_reach(group.eta, group.phi) > half).sum()) for group in display.marks)
    if number:
        axes.text(
            0.98, 0.02, f"{number} more outside", transform=axes.transAxes, ha="right", va="bottom", size=SMALL,
            color=GREY,
        )  # fmt: skip
