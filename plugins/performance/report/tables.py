"""Tables of text, as the page shows them, and the numbers of a figure as such tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

__all__ = ["Table", "measured", "number", "plot_tables", "shown"]

MOST_ROWS: Final = 250
"""Longer tables of numbers are thinned out."""
MOST_COLUMNS: Final = 24


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; ``note`` stands below.

    ``right`` are the columns that hold numbers, ``code`` those with long words (paths, checksums, values), ``shares``
    (one a row) the parts of 1 that stand in the last column.
    """

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]] = ()
    title: str = ""
    note: str = ""
    right: frozenset[int] = frozenset()
    code: frozenset[int] = frozenset()
    shares: tuple[float | None, ...] = ()


def number(value: Any) -> str:
    """Return a number as people read it: four digits, thousands separated, a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (abs(value) < 1e15 and value.is_integer()):
        return f"{int(value):,}"
    return f"{value:,.1f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def measured(value: Any, error: Any) -> str:
    """Return a value with its error, which is given to two digits and sets those of the value."""
    if value is None:
        return number(value)
    exists = all(isinstance(part, int | float) and math.isfinite(part) for part in (value, error))
    if not exists or not 1e-5 <= error < 1e5:
        return f"{number(value)} ± {number(error)}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def shown(value: Any) -> str:
    """Return the value of a property or an option as text; an empty one as a dash."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) or "–"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value)) or "–"
    return "–" if value is None or value == "" else str(value)


# ── the numbers of plot objects ──────────────────────────────────────────────────────────────────────────────────────


def plot_tables(plot: Mapping[str, Any]) -> list[Table]:
    """Return what a plot object says for people (``derived`` of its JSON) as tables.

    Lists of one length are the columns of one table, beside the bins where the length is that of an axis; a list of
    lists is a table of its own; single values are listed, and texts (how errors are calculated) stand below. A value
    and its error share a cell.
    """
    label = str(plot.get("label") or plot.get("type") or "")
    axes = _axes(plot.get("layout"))
    single: list[tuple[str, ...]] = []
    columns: dict[int, dict[str, Sequence[str]]] = {}
    matrices: list[Table] = []
    texts: list[str] = []
    for name, value in _leaves(plot.get("derived") or {}):
        if _depth(value) == 2:
            matrices.append(_matrix(f"{label}: {name}" if label else name, value, axes))
        elif isinstance(value, list):
            columns.setdefault(len(value), {})[name] = value
        elif name.rpartition(".")[2] == "method":
            texts.append(f"{name}: {value}")
        else:
            single.append((name, value))
    tables = [Table((), single, label, right=frozenset({1}))] if single else []
    tables += [_columns(label, length, found, axes) for length, found in columns.items() if length]
    tables += matrices
    if tables and texts:
        tables[-1] = replace(tables[-1], note=" ".join([tables[-1].note, *texts]).strip())
    return tables


def _leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, texts in the shape of the numbers) of all that is no mapping."""
    if not isinstance(content, Mapping):
        yield name or "value", _texts(content)
    elif content.keys() == {"value", "error"}:
        yield name or "value", _texts(content["value"], content["error"])
    else:
        for key, value in content.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))


def _texts(value: Any, *error: Any) -> Any:
    """Return numbers, or lists of them, as texts in the same shape, with their errors where there are some."""
    if isinstance(value, list):
        if error and not (isinstance(error[0], list) and len(error[0]) == len(value)):
            return [*map(_texts, value)]
        return [_texts(*pair) for pair in zip(value, *error, strict=True)]
    return measured(value, *error) if error else number(value)


def _depth(value: Any) -> int:
    """Return 0 for a text, 1 for a list, 2 for a list of lists that are not empty."""
    if not isinstance(value, list):
        return 0
    return 1 + bool(value and all(isinstance(row, list) and row for row in value))


def _axes(layout: Any) -> list[Mapping[str, Any]]:
    """Return the axes of a plot object's layout, in the order of the indices of its numbers."""
    if not isinstance(layout, Mapping):
        return []
    if "reco_labels" in layout:  # a matrix has reconstructed classes as rows
        return [
            {"label": layout.get(f"{side}_title"), "labels": layout[f"{side}_labels"]} for side in ("reco", "truth")
        ]
    values = [value for part in layout.values() for value in (part if isinstance(part, list) else [part])]
    return [value for value in values if isinstance(value, Mapping) and "edges" in value]


def _bins(axis: Mapping[str, Any]) -> list[str]:
    """Return the names of the bins of an axis: its labels, or the edges."""
    if axis.get("labels"):
        return [str(label) for label in axis["labels"]]
    return [f"{number(low)} … {number(high)}" for low, high in pairwise(axis.get("edges") or [])]


def _axis_title(axis: Mapping[str, Any]) -> str:
    unit = axis.get("unit")
    return str(axis.get("label") or axis.get("name") or "bin") + (f" [{unit}]" if unit else "")


def _columns(label: str, length: int, columns: Mapping[str, Sequence[str]], axes: Sequence[Mapping[str, Any]]) -> Table:
    axis = next((axis for axis in axes if len(_bins(axis)) == length), None)
    bins = {} if axis is None else {_axis_title(axis): _bins(axis)}
    header = (*bins, *columns)
    rows, note = _thinned([*zip(*bins.values(), *columns.values(), strict=True)])
    return Table(header, rows, label, note, frozenset(range(len(bins), len(header))))


def _matrix(title: str, rows: Sequence[Sequence[str]], axes: Sequence[Mapping[str, Any]]) -> Table:
    """Return a list of lists as a table: the first axis runs down, the second along a row."""
    wide = max(map(len, rows))
    if len(axes) == 2 and (len(rows), wide) == (len(_bins(axes[0])), len(_bins(axes[1]))):
        down, across = _bins(axes[0]), _bins(axes[1])
        title = f"{title} (down: {_axis_title(axes[0])}, across: {_axis_title(axes[1])})"
    else:
        down, across = [*map(str, range(len(rows)))], [*map(str, range(wide))]
    cells, note = _thinned([(name, *row[:MOST_COLUMNS]) for name, row in zip(down, rows, strict=True)])
    if wide > MOST_COLUMNS:
        note = f"{note} {MOST_COLUMNS} of {wide} columns; the JSON file has all.".strip()
    header = ("", *across[:MOST_COLUMNS])
    return Table(header, cells, title, note, frozenset(range(1, len(header))))


def _thinned(rows: list[tuple[str, ...]]) -> tuple[list[tuple[str, ...]], str]:
    """Return at most MOST_ROWS rows, evenly spaced with first and last, and a note where some were left out."""
    if len(rows) <= MOST_ROWS:
        return rows, ""
    kept = [rows[round(i * (len(rows) - 1) / (MOST_ROWS - 1))] for i in range(MOST_ROWS)]
    return kept, f"{MOST_ROWS} of {len(rows):,} rows; the JSON file has all."
