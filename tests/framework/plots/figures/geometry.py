"""Where texts and data of a figure are, in pixels; measured within ``house_style``."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from matplotlib.offsetbox import AnchoredOffsetbox
from matplotlib.text import Text


@cache
def shown_texts(figure):
    """Texts that can be seen, by the corners of the rectangle (turned with them) that they fill; of a final figure."""
    found = []
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    for text in figure.findobj(Text):
        axis_hidden = text.axes is not None and not text.axes.get_visible()
        if not text.get_text().strip() or not text.get_visible() or axis_hidden:
            continue
        angle = text.get_rotation()
        around = text.get_window_extent(renderer)
        text.set_rotation(0)
        straight = text.get_window_extent(renderer)
        text.set_rotation(angle)
        half = np.array([straight.width, straight.height]) / 2
        turn = np.deg2rad(angle)
        axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        middle = np.array([around.x0 + around.x1, around.y0 + around.y1]) / 2
        signs = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)])
        found.append((text.get_text(), middle + (signs * half) @ axes, axes))
    return found


def overlap(first, second, slack=1.0):
    """Whether two rectangles overlap by more than a pixel: no side of either separates them."""
    for _, _, axes in (first, second):
        for direction in axes:
            a, b = first[1] @ direction, second[1] @ direction
            if a.max() <= b.min() + slack or b.max() <= a.min() + slack:
                return False
    return True


def data_points(axes):
    """Where the data of an axes are drawn, in pixels, densely along lines and outlines; inside the axes alone."""
    paths = [
        (line.get_path(), line.get_transform())
        for line in axes.lines
        if line.get_transform() == axes.transData and len(line.get_xdata())
    ]
    paths += [(patch.get_path(), patch.get_transform()) for patch in axes.patches]
    for collection in axes.collections:
        paths += [(path, collection.get_transform()) for path in collection.get_paths()]
    points = [np.empty((0, 2))]
    for path, transform in paths:
        with np.errstate(divide="ignore", invalid="ignore"):
            vertices = transform.transform(path.vertices)
        finite = vertices[np.isfinite(vertices).all(axis=1)]
        steps = np.linspace(0, 1, 50)[:, np.newaxis]
        points += [finite, *(a + steps * (b - a) for a, b in pairwise(finite))]
    found = np.concatenate(points)
    box = axes.get_window_extent()
    return found[(found > box.min + 1).all(axis=1) & (found < box.max - 1).all(axis=1)]


def blocks(axes):
    """Label and legend of an axes."""
    legend = [axes.get_legend()] if axes.get_legend() else []
    return [*legend, *(artist for artist in axes.get_children() if isinstance(artist, AnchoredOffsetbox))]
