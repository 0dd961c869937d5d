"""Ticks that can be read: powers of ten in the axis title, round numbers on logarithmic axes, names of categories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from hepflow.plots.figures.text import short, wrap

__all__ = ["categories", "exponent", "linear", "logarithmic"]

ROUND: Final = (1, 2, 2.5, 5, 10)
LONG: Final = 18
"""Characters in a line of a category's name."""


def exponent(low: float, high: float) -> int:
    """Return the power of ten, a multiple of three, that numbers on an axis are divided by; 0 where they are short.

    >>> exponent(0, 2000), exponent(0, 2e6), exponent(-2e-7, 0)
    (0, 6, -9)
    """
    largest = max(abs(low), abs(high))
    if largest == 0 or 1e-2 <= largest < 1e5:
        return 0
    return 3 * math.floor(math.log10(largest) / 3)


def linear(axis: Any, power: int = 0, *, most: int = 7, highest: float = math.inf, whole: bool = False) -> None:
    """Put ticks at round numbers, about ``most`` and none above ``highest``; numbers are divided by 10^power.

    With ``whole``, only at whole numbers.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, ScalarFormatter

    class Divided(ScalarFormatter):
        """Numbers divided by the power of ten."""

        def set_locs(self, locs: Any) -> None:
            super().set_locs([loc / 10.0**power for loc in locs])

        def __call__(self, x: float, pos: int | None = None) -> str:
            return str(super().__call__(x / 10.0**power, pos))

    low, high = axis.get_view_interval()
    ticks: Any = MaxNLocator(most, steps=ROUND, integer=whole).tick_values(low, high)
    between = np.linspace(ticks[0], ticks[-1], 5 * (len(ticks) - 1) + 1)
    if whole and high - low < most:  # MaxNLocator gives up where there is room for one
        ticks = between = np.arange(math.ceil(low), math.floor(high) + 1)
    elif whole:
        between = between[between == np.round(between)]
    for places, put in ((ticks, axis.set_major_locator), (between, axis.set_minor_locator)):
        slack = 1e-9 * (high - low)
        put(FixedLocator([at for at in places if low - slack <= at <= min(high, highest) + slack]))
    formatter = Divided(useOffset=False)
    formatter.set_scientific(False)
    axis.set_major_formatter(formatter)


def logarithmic(axis: Any, *, most: int = 7) -> None:
    """Put ticks on a logarithmic axis: round numbers within a decade, 1, 2, 5 within some, else powers of ten.

    Where there is room for fewer than seven, 1 and 3 within two decades.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    plain = low >= 1e-3 and high < 1e5
    if decades < 1:
        ticks = [t for t in MaxNLocator(most - 1, steps=ROUND).tick_values(low, high) if low <= t <= high]
    elif decades <= (2.7 if most >= 7 else 2.0):
        ticks = _in_decades(low, high, (1, 2, 5) if most >= 7 else (1, 3))
    else:
        ticks = _in_decades(low, high, (1,), math.ceil(decades / 8))
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}" if plain else _power(value)))
    axis.set_minor_locator(FixedLocator(_in_decades(low, high, tuple(range(2, 10))) if decades <= 12 else []))
    axis.set_minor_formatter(NullFormatter())


def _in_decades(low: float, high: float, fronts: Sequence[int], stride: int = 1) -> list[float]:
    """Return the numbers from low to high that begin with one of the digits, in every stride-th decade."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    powers = [power for power in range(first, last + 1) if power % stride == 0]
    numbers = [front * 10.0**power for power in powers for front in fronts]
    return [number for number in numbers if low * (1 - 1e-9) <= number <= high * (1 + 1e-9)]


def _power(value: float) -> str:
    return f"{value:.0f}" if round(value, 6) in (1, 10) else short(value, plain=False)


def categories(
    axis: Any, labels: Sequence[str], centers: Sequence[float], pixels: float, renderer: Any, *, vertical: bool = False
) -> None:
    """Write the name of each category at its place; names that do not fit side by side are turned, or get smaller.

    ``pixels`` is the room that one category has along the axis.
    """
    from matplotlib.ticker import NullLocator

    axis.set_ticks(centers, [wrap(label, LONG, inside_words=not vertical) for label in labels])
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(which="both", length=0)
    texts = axis.get_ticklabels()
    size = texts[0].get_fontsize()
    if vertical:
        shrunk = min(1.0, pixels / _largest(texts, "height", renderer))
    elif _largest(texts, "width", renderer) <= 0.96 * pixels:
        shrunk = 1.0
    else:
        axis.set_ticks(centers, [wrap(label, 3 * LONG) for label in labels])
        texts = axis.get_ticklabels()
        line = _largest(texts, "height", renderer)
        upright = line > pixels  # a line at 45 degrees takes its height / sin 45, and would be small
        for text in texts:
            text.set(rotation=90 if upright else 45, ha="right", va="center" if upright else "top")
            text.set_rotation_mode("anchor")
        shrunk = min(1.0, (0.95 if upright else 0.7) * pixels / line)
    for text in texts:
        text.set_fontsize(max(5.0, size * shrunk))


def _largest(texts: Sequence[Any], side: str, renderer: Any) -> float:
    return max(float(getattr(text.get_window_extent(renderer), side)) for text in texts)
