"""Figures of areas: matrices with numbers in their cells (migration, correlation), and histograms of two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hepflow.errors import PlotError
from hepflow.plots.axis import Axis
from hepflow.plots.correlation import CorrelationMatrix
from hepflow.plots.figures.curves import notes
from hepflow.plots.figures.frame import dress_binned, finish
from hepflow.plots.figures.layout import add_note, empty, header_above, new_figure, renderer_of
from hepflow.plots.figures.options import Options
from hepflow.plots.figures.style import colour_map
from hepflow.plots.figures.text import power, wrap
from hepflow.plots.figures.ticks import exponent, linear
from hepflow.plots.histogram import Histogram
from hepflow.plots.migration import MigrationMatrix

__all__ = ["draw_area", "draw_correlations", "draw_matrices", "draw_matrix"]

Array = npt.NDArray[Any]

SIZE: Final = (8.0, 6.3)
"""Inches; the height is without the lines above the axes."""
SMALLEST: Final = 6.0
"""Points; numbers that would have to be smaller are left out of the cells."""
DARK: Final = 0.55
"""From this part of the colour scale on text is white."""


def draw_matrix(matrix: MigrationMatrix, options: Options) -> Any:
    """Return the figure of a matrix: truth along x, reconstructed along y, percentages (or sums) in the cells."""
    options.without("a matrix", log_x=None, log_y=None, ratio=False, normalise=False, y_range=None)
    values, errors, unit = _cells(matrix, options.kind)
    figure, (axes,) = new_figure(SIZE)
    across = Axis("truth", _edges(matrix.truth_labels), matrix.truth_title, labels=matrix.truth_labels)
    up = Axis("reco", _edges(matrix.reco_labels), matrix.reco_title, labels=matrix.reco_labels)
    mesh = _mesh(axes, across, up, values, (0.0, 100.0) if unit else None)
    _colour_bar(figure, mesh, _bar_title(matrix, options.kind))
    header_above(figure, axes, options.style, [*options.lines, *_told(matrix)])
    for which in "yxy":  # names along one axis take room from the other
        dress_binned(axes, which, across if which == "x" else up, log=False)
    add_note(figure, matrix.note if matrix.entries else "")
    finish(figure)
    if np.isfinite(values).any():
        tens = 0 if unit else exponent(mesh.norm.vmin, mesh.norm.vmax)
        _write(figure, axes, mesh, values / 10.0**tens, errors / 10.0**tens, tens, percent=bool(unit))
    else:
        empty(axes, matrix.note or "no entries")
    return figure


@dataclass(frozen=True)
class _Sheet:
    """One of several matrices of a figure: numbers in cells, and between which the colours go."""

    title: str
    values: Array
    errors: Array
    ends: tuple[float, float]
    signed: bool = False


def draw_matrices(matrices: Sequence[MigrationMatrix], options: Options, reference: int) -> Any:
    """Return the figure of matrices of the same classes side by side; of two, what the other has more than the
    reference stands in a third, in percentage points. PlotError where their classes differ.
    """
    options = replace(options, ratio=False)
    options.without("matrices", log_x=None, log_y=None, normalise=False, y_range=None)
    first = matrices[0]
    if differing := next((one for one in matrices if one.layout() != first.layout()), None):
        raise PlotError(f"{differing} cannot stand beside {first}: their classes differ")
    sheets = _sheets(matrices, options.kind, reference)
    figure, grid = new_figure((1.2 + 5.6 * len(sheets), SIZE[1] - 0.4), (1.0,), len(sheets))
    told = ["; ".join(line for line in _told(matrix) if line) for matrix in matrices]
    style = replace(options.style, lines=(*options.style.lines, " "))  # room for the titles
    header_above(figure, grid[0], style, [*options.lines, _bar_title(first, options.kind), *told])
    meshes = [_lay_out(axes, sheet, first) for axes, sheet in zip(grid, sheets, strict=True)]
    add_note(figure, notes([matrix for matrix in matrices if matrix.entries]))
    finish(figure)
    figure.subplots_adjust(wspace=0.06)
    percent = options.kind != "counts"
    tens = 0 if percent else exponent(*sheets[0].ends)
    for axes, mesh, sheet in zip(grid, meshes, sheets, strict=True):
        if np.isfinite(sheet.values).any():
            values, errors = sheet.values / 10.0**tens, sheet.errors / 10.0**tens
            _write(figure, axes, mesh, values, errors, tens, percent=percent, signed=sheet.signed)
        else:
            empty(axes, "no entries")
    return figure


def _sheets(matrices: Sequence[MigrationMatrix], kind: str, reference: int) -> list[_Sheet]:
    """Return the matrices and, of two, their difference: without errors, which depend on how much they share."""
    cells = [_cells(matrix, kind)[:2] for matrix in matrices]
    most = 100.0 if kind != "counts" else max(float(np.nanmax(values, initial=1.0)) for values, _ in cells)
    sheets = [_Sheet(matrix.label, *part, (0.0, most)) for matrix, part in zip(matrices, cells, strict=True)]
    if len(matrices) == 2:
        other = 1 - reference
        difference = cells[other][0] - cells[reference][0]
        reach = float(np.nanmax(np.abs(difference), initial=0.1))
        title = f"{matrices[other].label} − {matrices[reference].label}"
        sheets.append(_Sheet(title, difference, np.zeros_like(difference), (-reach, reach), signed=True))
    return sheets


def _lay_out(axes: Any, sheet: _Sheet, of: MigrationMatrix) -> Any:
    """Draw the cells of a sheet with their axes, and return them."""
    across = Axis("truth", _edges(of.truth_labels), of.truth_title, labels=of.truth_labels)
    up = Axis("reco", _edges(of.reco_labels), of.reco_title, labels=of.reco_labels)
    mesh = _mesh(axes, across, up, sheet.values, sheet.ends)
    if sheet.signed:
        mesh.set_cmap(colour_map(both=True))
    axes.set_title(wrap(sheet.title, 40), fontsize=14)
    for which in "yxy":  # names along one axis take room from the other
        dress_binned(axes, which, across if which == "x" else up, log=False)
    if not axes.get_subplotspec().is_first_col():
        axes.tick_params(labelleft=False)
        axes.yaxis.label.set_visible(False)
    return mesh


def draw_correlations(matrix: CorrelationMatrix, options: Options) -> Any:
    """Return the figure of correlations in percent, the first variable on top; grey where there is none."""
    options.without("correlations", log_x=None, log_y=None, ratio=False, normalise=False, y_range=None)
    values = 100 * matrix.correlation()[0]
    grown = max(1.0, len(matrix.variables) / 12)
    figure, (axes,) = new_figure((SIZE[0] * grown, SIZE[1] * grown))
    mesh = _mesh(axes, matrix.axis("x"), matrix.axis("y"), values, (-100.0, 100.0))
    mesh.set_cmap(colour_map(both=True))
    _colour_bar(figure, mesh, "Linear correlation [%]")
    header_above(figure, axes, options.style, [*options.lines, matrix.label])
    for which in "yxy":  # names along one axis take room from the other
        dress_binned(axes, which, matrix.axis(which), log=False)
    axes.invert_yaxis()
    add_note(figure, matrix.note if matrix.entries else "")
    renderer_of(figure)
    finish(figure)
    if np.isfinite(values).any():
        _write(figure, axes, mesh, np.round(values) + 0.0, np.zeros_like(values), 0, percent=False)
    else:
        empty(axes, matrix.note or "no entries")
    return figure


def _edges(labels: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(number - 0.5 for number in range(len(labels) + 1))


def _cells(matrix: MigrationMatrix, kind: str) -> tuple[Array, Array, str]:
    """Return values, errors and unit."""
    if kind == "counts":
        counts = matrix.counts
        return (counts if counts.any() else np.full(counts.shape, np.nan)), matrix.errors, ""
    value, error = matrix.efficiency() if kind == "efficiency" else matrix.purity()
    return 100 * value, 100 * error, "%"


def _bar_title(matrix: MigrationMatrix, kind: str) -> str:
    if kind == "counts":
        return "Entries" if np.allclose(matrix.counts, matrix.errors**2) else "Sum of weights"
    return "Efficiency [%]" if kind == "efficiency" else "Purity [%]"


def _told(matrix: MigrationMatrix) -> list[str]:
    """Return the lines that say what the matrix is of, the fraction on its diagonal, and what is not in it."""
    fraction, error = matrix.diagonal()
    lines = [matrix.label]
    if np.isfinite(fraction):
        lines.append(f"Diagonal: {100 * fraction:.1f} ± {100 * error:.1f} %")
    everything = matrix.excluded + float(matrix.counts.sum())
    if matrix.excluded and everything:
        lines[-1] += f"   (not in the matrix: {100 * matrix.excluded / everything:.1f} %)"
    return lines


def _mesh(axes: Any, x: Axis, y: Axis, values: Array, ends: tuple[float, float] | None) -> Any:
    """Draw the cells, ``values[y, x]``; ``ends`` of the colours are by default those of the values, 0 among them."""
    from matplotlib.colors import Normalize

    low, high = ends or (float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=0.0)) or 1.0)
    mesh = axes.pcolormesh(x.edges, y.edges, values, cmap=colour_map(), norm=Normalize(low, high), linewidth=0)
    mesh.set_rasterized(values.size > 2000)
    axes.tick_params(which="both", direction="out", top=False, right=False)
    return mesh


def _colour_bar(figure: Any, mesh: Any, title: str) -> None:
    bar = figure.colorbar(mesh, aspect=28, pad=0.025)
    low, high = mesh.norm.vmin, mesh.norm.vmax
    tens = exponent(low, high)
    linear(bar.ax.yaxis, tens)
    bar.ax.tick_params(which="both", direction="out", left=False)
    bar.set_label(power(title, tens))
    bar.outline.set_linewidth(0.8)


def _write(
    figure: Any, axes: Any, mesh: Any, values: Array, errors: Array, tens: int, *, percent: bool, signed: bool = False
) -> None:
    """Write values with errors, both in 10^tens, into the cells, as large as fits; nothing in very small cells.

    ``signed`` numbers have a sign in front.
    """
    renderer = figure.canvas.get_renderer()
    box = axes.get_window_extent(renderer)
    room = 0.9 * box.width / values.shape[1], 0.86 * box.height / values.shape[0]
    whole = bool(np.all(values == np.round(values)))
    decimals = 1 if percent else 0 if whole else max(0, 2 - math.floor(math.log10(np.nanmax(np.abs(values)))))
    texts = []
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        dark = np.isfinite(value) and _darkness(mesh, value * 10.0**tens) > DARK
        colour = "white" if dark else "black"
        number, error = _number(value, errors[row, column], decimals, "+" if signed else "")
        place = {"ha": "center", "color": colour, "zorder": 4}
        above = axes.annotate(number, (column, row), (0, 0), textcoords="offset points", va="center", size=15, **place)
        below = axes.annotate(error, (column, row), (0, 0), textcoords="offset points", va="center", size=11, **place)
        texts.append((above, below))
    _size(texts, room, renderer)


def _darkness(mesh: Any, value: float) -> float:
    """Return how dark a cell is: between ends of opposite sign both are dark, 0 is white."""
    place = float(mesh.norm(value))
    return abs(2 * place - 1) if mesh.norm.vmin == -mesh.norm.vmax else place


def _number(value: float, error: float, decimals: int, sign: str) -> tuple[str, str]:
    if not np.isfinite(value):
        return "–", ""
    value = round(value, decimals) + 0.0  # no -0.0
    return (
        f"{value:{sign if value else ''}.{decimals}f}".replace("-", "−"),
        f"± {error:.{decimals}f}" if error > 0 else "",
    )


def _size(texts: list[tuple[Any, Any]], room: tuple[float, float], renderer: Any) -> None:
    """Give the numbers of all cells one size; errors go, then numbers, where they would be too small to read."""
    for parts in (2, 1):
        boxes = [[part.get_window_extent(renderer) for part in pair[:parts] if part.get_text()] for pair in texts]
        widest = max(box.width for pair in boxes for box in pair)
        tallest = max(sum(box.height for box in pair) * 1.25 for pair in boxes)
        factor = min(1.0, room[0] / widest, room[1] / tallest)
        if factor * (11.0 if parts == 2 else 15.0) >= SMALLEST:
            break
    else:
        parts = 0
    for above, below in texts:
        above.set_fontsize(15 * factor)
        below.set_fontsize(11 * factor)
        if parts == 2 and below.get_text():
            above.set_position((0, 7.5 * factor))
            below.set_position((0, -9.5 * factor))
        elif parts < 2:
            below.remove()
        if parts == 0:
            above.remove()


def draw_area(histogram: Histogram, options: Options) -> Any:
    """Return the figure of a histogram of two axes; bins without entries stay white."""
    options.without("a histogram of two axes", ratio=False, log_y=None, y_range=None)
    figure, (axes,) = new_figure(SIZE)
    x, y = histogram.axes
    values = histogram.values().T
    total = float(values.sum())
    weighted = not np.array_equal(histogram.values(), histogram.variances())
    title = "Sum of weights" if weighted else "Entries"
    if options.normalise:
        title = f"Fraction of {'weights' if weighted else 'entries'}"
        values = values / total if total > 0 else np.full_like(values, np.nan)
    shown = np.ma.masked_where((values == 0) | ~np.isfinite(values), values)
    mesh = _mesh(axes, x, y, shown.filled(np.nan), None)
    mesh.set_cmap(colour_map(missing="white"))
    _colour_bar(figure, mesh, title)
    header_above(figure, axes, options.style, [*options.lines, histogram.label])
    dress_binned(axes, "x", x, log=options.on_log_x(x))
    dress_binned(axes, "y", y, log=y.log)
    if shown.count() == 0:
        empty(axes, histogram.note or "no entries inside the axes")
    add_note(figure, histogram.note if shown.count() else "")
    finish(figure)
    return figure
