"""TMVA's transformations of variables and targets (``VarTransform``), with the constants that ``TMVA::Reader`` uses:
the last of the file's, those of all classes together.

Results are rounded to float32 after each transformation, as TMVA keeps events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError, nearest
from hepflow.plugins.trees.xmltext import child, number, numbers, whole

__all__ = ["Transformations", "read_transformations"]

Rows = npt.NDArray[Any]
Step = Callable[[Rows], Rows]
FINE, TINY = 10_000, 1e-12
"""``TMVA::PDF``: bins of its fine histogram, least value of a distribution."""
HALF_SQRT_PI, CLOSE = 0.8862269254527579, 1e-14
"""Of ``TMath::ErfInverse``: the slope at 0, and how close it goes."""
KNOWN = ("Normalize", "Decorrelation", "PCA", "Gauss", "Uniform", "Rearrange")


@dataclass(frozen=True)
class Transformations:
    """What happens to the variables (n_rows, n_variables), in order; and to answers (n_rows, n_targets) afterwards."""

    steps: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    names: tuple[str, ...] = ()


def read_transformations(element: Element | None, variables: Sequence[str], targets: Sequence[str]) -> Transformations:
    """Read the node ``Transformations``; NetworkError for one that is not known, naming it."""
    if element is None:
        return Transformations()
    steps: list[Step] = []
    after: list[Step] = []
    names = []
    found = element.findall("Transform")
    if len(found) != whole(element, "NTransformations", 0):
        raise NetworkError(
            f"the file has {len(found)} transformations, it should have {element.get('NTransformations')}"
        )
    for transform in found:
        name = transform.get("Name", "")
        if name not in KNOWN:
            raise NetworkError(
                f"the transformation {name!r} is not known: without it the answers would be wrong",
                hint=nearest(name, KNOWN, what="transformations"),
            )
        names.append(name)
        places = _selected(transform, variables, targets, name)
        change = _MAKERS[name](transform, len(places))
        own = [n for n, one in enumerate(places) if one.kind == "Variable"]
        goals = [n for n, one in enumerate(places) if one.kind == "Target"]
        if own and len(own) != len(places) and name in ("Decorrelation", "PCA"):
            raise NetworkError(f"the transformation {name} mixes variables with others, which TMVA cannot apply")
        if own:
            steps.append(_step(change.forward, own, [places[n].source for n in own], [places[n].goal for n in own]))
        if goals:
            if change.backward is None:
                raise NetworkError(f"the transformation {name} of a target is not known", hint="Normalize is")
            after.append(
                _step(change.backward, goals, [places[n].goal for n in goals], [places[n].source for n in goals])
            )
    # TransformationHandler::InverseTransform undoes each of the answer as it is, and keeps the first one's
    return Transformations(tuple(steps), tuple(after[:1]), tuple(names))


@dataclass(frozen=True)
class _Change:
    """``forward(columns, which)`` and its inverse, of (n_rows, n_selected) of the inputs ``which`` of the transform."""

    forward: Callable[[Rows, Sequence[int]], Rows]
    backward: Callable[[Rows, Sequence[int]], Rows] | None = None


def _step(
    change: Callable[[Rows, Sequence[int]], Rows], which: Sequence[int], sources: Sequence[int], goals: Sequence[int]
) -> Step:
    def apply(rows: Rows) -> Rows:
        made = np.array(rows, dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            made[:, list(goals)] = change(made[:, list(sources)].astype(np.float64), which).astype(np.float32)
        return made

    return apply


@dataclass(frozen=True)
class _Place:
    """A value that is transformed: of which kind it is, where it is read and where it is written."""

    kind: str
    source: int
    goal: int


def _selected(transform: Element, variables: Sequence[str], targets: Sequence[str], name: str) -> list[_Place]:
    """Return what is transformed, in the order of its constants."""
    selection = transform.find("Selection")
    if selection is None:  # before TMVA 4.1: all variables
        return [_Place("Variable", n, n) for n in range(len(variables))]
    lists = {}
    for side in ("Input", "Output"):
        group = selection.find(side)
        if group is None:
            raise NetworkError(f"the transformation {name} does not say its {side.lower()}s")
        lists[side] = [(one.get("Type", ""), one.get("Expression", "")) for one in group.findall(side)]
        if len(lists[side]) != whole(group, f"N{side}s"):
            raise NetworkError(f"the transformation {name} has {len(lists[side])} {side.lower()}s, not {group.attrib}")
    if len(lists["Input"]) != len(lists["Output"]):
        raise NetworkError(
            f"the transformation {name} reads {len(lists['Input'])} values and writes {len(lists['Output'])}"
        )
    if len(set(lists["Output"])) != len(lists["Output"]):
        raise NetworkError(f"the transformation {name} writes a variable twice")
    known = {"Variable": list(variables), "Target": list(targets)}
    places = []
    for source, goal in zip(lists["Input"], lists["Output"], strict=True):
        if source[0] != goal[0]:
            raise NetworkError(f"the transformation {name} makes a {goal[0]} of a {source[0]}, which is not known here")
        if source[0] == "Spectator":
            places.append(_Place("Spectator", -1, -1))
        else:
            places.append(_Place(source[0], *(_position(*one, known, name) for one in (source, goal))))
    return places


def _position(kind: str, expression: str, known: Mapping[str, Sequence[str]], name: str) -> int:
    """Return where a variable or target is in the file; NetworkError where it is not."""
    if kind not in known:
        raise NetworkError(f"the transformation {name} is of a {kind!r}")
    if expression not in known[kind]:
        hint = nearest(expression, known[kind], what=f"{kind.lower()}s")
        raise NetworkError(f"the transformation {name} is of {expression!r}, which the file does not have", hint=hint)
    return known[kind].index(expression)


def _last_class(transform: Element, name: str) -> Element:
    """Return the constants of all classes together: the last ones."""
    found = transform.findall("Class")
    if not found:
        raise NetworkError(f"the transformation {name} has no constants")
    return max(found, key=lambda one: whole(one, "ClassIndex", 0))


def _normalize(transform: Element, n: int) -> _Change:
    if whole(transform, "NTargets", 0):  # before TMVA 4.1
        raise NetworkError("the transformation Normalize of targets has the form of an old TMVA, which is not known")
    group = _last_class(transform, "Normalize")
    ranges = sorted(group.findall("Ranges/Range"), key=lambda one: whole(one, "Index"))
    ranges = ranges or sorted(group.findall("Variables/Variable"), key=lambda one: whole(one, "VarIndex"))
    if len(ranges) != n:
        raise NetworkError(f"the transformation Normalize has {len(ranges)} ranges for {n} variables")
    low, high = (np.array([number(one, key) for one in ranges], dtype=np.float32) for key in ("Min", "Max"))
    # TMVA works in float32: offset is the minimum, scale 1 / (maximum - minimum)
    scale = np.float32(1.0) / (high - low)
    if not np.isfinite(scale).all():
        raise NetworkError("the transformation Normalize has a range without width")

    def forward(rows: Rows, which: Sequence[int]) -> Rows:
        w = list(which)
        found: Rows = (rows.astype(np.float32) - low[w]) * scale[w] * np.float32(2) - np.float32(1)
        return found

    def backward(rows: Rows, which: Sequence[int]) -> Rows:
        w = list(which)
        found: Rows = low[w] + (rows.astype(np.float32) + np.float32(1)) / (scale[w] * np.float32(2))
        return found

    return _Change(forward, backward)


def _decorrelation(transform: Element, n: int) -> _Change:
    found = transform.findall("Matrix")
    if not found:
        raise NetworkError("the transformation Decorrelation has no matrix")
    matrix = _matrix(found[-1], n, "Decorrelation")
    return _Change(lambda rows, which: _product(rows, matrix.T))


def _pca(transform: Element, n: int) -> _Change:
    means, vectors = (
        sorted(transform.findall(tag), key=lambda one: whole(one, "ClassIndex", 0))
        for tag in ("Statistics", "Eigenvectors")
    )
    if not means or len(means) != len(vectors):
        raise NetworkError("the transformation PCA has no means or no eigenvectors")
    mean = numbers(means[-1], n, "the means of the transformation PCA")
    matrix = _matrix(vectors[-1], n, "PCA")
    return _Change(lambda rows, which: _product(rows - mean, matrix))


def _product(rows: Rows, matrix: Rows) -> Rows:
    """Return rows @ matrix, added up as TMVA adds: to the last bit, as cuts may be hit exactly."""
    found = np.zeros_like(rows)
    for column, factors in zip(rows.T, matrix, strict=True):
        found += column[:, None] * factors
    return found


def _matrix(element: Element, n: int, name: str) -> npt.NDArray[np.float64]:
    keys = ("Rows", "Columns") if element.get("Rows") else ("NRows", "NCols")
    rows, columns = (whole(element, key) for key in keys)
    if (rows, columns) != (n, n):
        raise NetworkError(f"the transformation {name} has a matrix of {rows} x {columns} for {n} variables")
    return numbers(element, n * n, f"the matrix of the transformation {name}").reshape(n, n)


def _gauss(transform: Element, n: int) -> _Change:
    flat = transform.get("FlatOrGauss", "Gauss") == "Flat"
    curves: dict[int, Callable[[Rows], Rows]] = {}
    for variable in transform.findall("Variable"):
        pdfs = [one for group in variable for one in group.findall("PDF")]
        if not pdfs:
            raise NetworkError("the transformation Gauss has a variable without distribution")
        curves[whole(variable, "VarIndex", len(curves))] = _cumulative(pdfs[-1])
    if sorted(curves) != list(range(n)):
        raise NetworkError(f"the transformation Gauss has {len(curves)} distributions for {n} variables")

    def forward(rows: Rows, which: Sequence[int]) -> Rows:
        made = np.empty_like(rows)
        for place, one in enumerate(which):
            c = np.clip(curves[one](rows[:, place]), 1e-9, 1 - 1e-9)
            made[:, place] = c if flat else 1.414213562 * _erfinv(np.clip(2 * c - 1, -0.99999999, 0.99999999))
        return made

    return _Change(forward)


def _cumulative(pdf: Element) -> Callable[[Rows], Rows]:
    """Return a cumulative distribution as ``TMVA::PDF`` makes it of its histogram: straight lines between the centres
    of the bins, looked up in FINE bins of equal width (in float32), and straight lines between these.
    """
    histogram, method = child(pdf, "Histogram"), whole(pdf, "InterpolMethod", 1)
    if method not in (0, 1) or max(whole(pdf, "MinNSmooth", 0), whole(pdf, "MaxNSmooth", 0)) > 0:
        raise NetworkError(
            f"the transformation Gauss smooths its distributions, or interpolates them with method {method}",
            hint="TMVA itself writes method 1 (straight lines) without smoothing; nothing else is known here",
        )
    n = whole(histogram, "NBins")
    content = numbers(histogram, n, "a histogram of the transformation Gauss").astype(np.float32).astype(np.float64)
    binning = pdf.find("HistogramBinning")
    if binning is None:
        edges = np.linspace(number(histogram, "XMin"), number(histogram, "XMax"), n + 1)
    else:
        edges = numbers(binning, n + 1, "the bins of the transformation Gauss")
    if n < 2 or not (np.diff(edges) > 0).all():
        raise NetworkError("the bins of the transformation Gauss do not ascend")
    if method == 0:
        return lambda x: content[np.clip(np.searchsorted(edges, x, side="right") - 1, 0, n - 1)]
    low, width = edges[0], (edges[-1] - edges[0]) / FINE
    fine = low + (np.arange(FINE) + 0.5) * width
    height = _along(fine, 0.5 * (edges[1:] + edges[:-1]), content)
    empty = height <= TINY
    height[empty] = content[np.clip(np.searchsorted(edges, fine[empty], side="right") - 1, 0, n - 1)]
    height = np.maximum(height, TINY).astype(np.float32).astype(np.float64)

    def value(x: Rows) -> Rows:
        with np.errstate(invalid="ignore"):
            bin_ = np.clip(np.nan_to_num((x - low) / (edges[-1] - low) * FINE), 0, FINE - 1).astype(np.int64)
        other = np.where(((x > fine[bin_]) & (bin_ != FINE - 1)) | (bin_ == 0), bin_ + 1, bin_ - 1)
        slope = (height[bin_] - height[other]) / (fine[bin_] - fine[other])
        found: Rows = np.maximum(height[bin_] + (x - fine[bin_]) * slope, TINY)
        return np.where(np.isnan(x), x, found)

    return value


def _along(x: Rows, at: Rows, values: Rows) -> Rows:
    """Return straight lines through points, beyond the ends too (``TMVA::TSpline1``)."""
    first = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 2)
    found: Rows = values[first] + (x - at[first]) * (values[first + 1] - values[first]) / (at[first + 1] - at[first])
    return found


def _erfinv(x: Rows) -> Rows:
    """Return the inverse of the error function as ``TMath::ErfInverse`` finds it, by secants; in its way to the last
    bit, as cuts may be hit exactly.
    """
    import math

    erf, erfc = (np.vectorize(one, otypes=[np.float64]) for one in (math.erf, math.erfc))
    goal = np.abs(x)
    found: Rows = HALF_SQRT_PI * goal
    active = np.flatnonzero(goal > CLOSE)
    last, step = erf(0.9 * found[active]), 0.1 * found[active]
    for _ in range(50):
        value = 1.0 - erfc(found[active])
        missing = goal[active] - value
        going = np.abs(missing) >= CLOSE
        active, value, missing = active[going], value[going], missing[going]
        if not len(active):
            break
        step, last = step[going] * (missing / (value - last[going])), value
        found[active] += step
        going = np.abs(step / found[active]) >= CLOSE
        active, step, last = active[going], step[going], last[going]
    found[active] = 0.0  # ROOT's answer where it does not converge
    return np.copysign(found, x)


_MAKERS: dict[str, Callable[[Element, int], _Change]] = {
    "Normalize": _normalize,
    "Decorrelation": _decorrelation,
    "PCA": _pca,
    "Gauss": _gauss,
    "Uniform": _gauss,
    "Rearrange": lambda transform, n: _Change(lambda rows, which: rows),
}
