"""What all plot objects have in common: sums of weights in bins, which add up, compare, pickle small and go to JSON."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hepflow.errors import PlotError, many, nearest
from hepflow.files import replacing, write_text
from hepflow.plots.axis import Axis
from hepflow.plots.columns import valid
from hepflow.plots.sums import Sums

if TYPE_CHECKING:
    import hist
    from typing_extensions import Self

__all__ = [
    "FORMAT",
    "KINDS",
    "PlotObject",
    "load_plot",
    "load_plots",
    "plain",
    "read_plot_file",
    "restore",
    "write_root",
]

FORMAT = 1
"""Number of the JSON layout; a reader refuses a higher one."""

KINDS = {
    "CorrelationMatrix": "correlation",
    "EfficiencyAtRejection": "fixedrejection",
    "EfficiencyProfile": "efficiency",
    "Histogram": "histogram",
    "MigrationMatrix": "migration",
    "Profile": "profile",
    "ResolutionProfile": "resolution",
    "RocCurve": "roc",
    "WorkingPoint": "roc",
}
"""The kinds of plot objects and the modules that define them."""

OTHERS = {"EventDisplay": "display", "Panel": "panels"}
"""What figures show beside plot objects, and the modules."""

COUNTERS = ("entries", "negative", "invalid")

Array = npt.NDArray[Any]


class PlotObject(ABC):
    """Sums of weights in bins, with a label (the legend entry).

    ``entries`` counts what was filled, ``negative`` those of them with a negative weight, ``invalid`` what was left out
    because a value was NaN or a weight not finite. ``remark`` is what whoever fills the object has to say about it ("no
    truth in this sample"). Objects of one type and one layout add up; the sum keeps the label of the first.
    """

    def __init__(self, label: str, sums: Mapping[str, Sequence[Any]]) -> None:
        self.label = label
        self.remark = ""
        self.entries = 0
        self.negative = 0
        self.invalid = 0
        self._sums = {name: Sums(axes) for name, axes in sums.items()}
        self._common: dict[str, Sums] = {}

    # ── what each kind says of itself ────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def layout(self) -> dict[str, Any]:
        """Return the keyword arguments that make an empty object like this one: axes, texts and numbers."""

    @abstractmethod
    def derived(self) -> dict[str, Any]:
        """Return values and errors as they are drawn, and the method of the errors, for people who read the JSON."""

    @abstractmethod
    def histograms(self) -> dict[str, hist.Hist[Any]]:
        """Return what is written to ROOT, by name."""

    def _common_axes(self) -> Mapping[str, Sequence[Any]]:
        """Return the axes of the sums of ``fill_common``; nothing where a kind has none."""
        return {}

    def covariance(self, nominal: Self) -> tuple[Array, Array, Array] | None:
        """Return the variances of the values of this, of those of the nominal that this is a variation of, and their
        covariances, one a bin; None where the kind does not know, or nothing was noted (``pair``).
        """
        return None

    def pair(self) -> None:
        """Let this, which is a variation, take notes of what its entries have in common with those of the nominal
        (``fill_common``): errors of shifts come from it. It is no part of what is compared with ``==``.
        """
        self._common = {name: Sums(axes) for name, axes in self._common_axes().items()}

    def fill_common(self, *columns: Array, weight: Array | None = None) -> None:
        """Take note of entries that the nominal has as well: the columns of ``fill``, then those of the nominal for the
        same entries, and the products of both weights. PlotError for kinds that cannot (``paired`` is false).
        """
        raise PlotError(f"{self} takes no note of what its entries have in common with those of another")

    @property
    def paired(self) -> bool:
        """Tell whether it is known what the entries have in common with those of the nominal."""
        return bool(self._common)

    def to_hist(self) -> hist.Hist[Any]:
        """Return values and squared errors as a histogram of the library ``hist``; PlotError where there are several
        (``histograms``).
        """
        found = self.histograms()
        if len(found) > 1:
            raise PlotError(f"{self} is {len(found)} histograms", hint=f"histograms() has {', '.join(found)}")
        return next(iter(found.values()))

    def _to_boost_histogram_(self) -> hist.Hist[Any]:
        """Let ``hist.Hist(plot)`` and ``boost_histogram.Histogram(plot)`` take it."""
        return self.to_hist()

    def __getitem__(self, index: Any) -> Any:
        """Return what ``to_hist()[index]`` gives: UHI's indices (``plot[2:8j]``, ``plot[sum]``)."""
        return self.to_hist()[index]

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture(self)

    def reasons(self) -> list[str]:
        """Return why numbers are missing or were left out; empty where all is well."""
        if not self.entries:
            left_out = f": all {self.invalid} have no value (NaN) or no finite weight" if self.invalid else ""
            return [f"no entries{left_out}"]
        if self.invalid:
            number = self.entries + self.invalid
            return [f"{self.invalid} of {number} entries left out: no value (NaN) or no finite weight"]
        return []

    def _nothing_in(self, where: str) -> str:
        """Return why nothing is inside the axes of a filled object."""
        weighted = any(self._content(name, flow=True)[1].any() for name in self._sums)
        return f"no entries inside {where}" if weighted else "all weights are 0"

    @property
    def note(self) -> str:
        """Why the object is empty, or what was left out; empty where all is well."""
        return "; ".join(dict.fromkeys(text for text in (self.remark, *self.reasons()) if text))

    def _signs(self) -> list[str]:
        """Return what negative weights mean for errors that come from effective counts."""
        if not self.negative:
            return []
        return [f"{many(self.negative, 'entry')} with negative weight: errors from N_eff = (sum w)^2 / (sum w^2)"]

    # ── the sums ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, *columns: Array, weight: Any) -> list[Any]:
        """Count entries and return the valid ones: the columns and, as the last, weights or None."""
        taken, weights, invalid, negative = valid(columns, weight, str(self))
        self.entries += len(taken[0])
        self.invalid += invalid
        self.negative += negative
        return [*taken, weights]

    def _content(self, name: str, *, flow: bool = False) -> tuple[Array, Array]:
        """Return copies of the sums of weights and of squared weights."""
        view = self._sums[name].view(flow=flow)
        return view["value"].copy(), view["variance"].copy()

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, PlotObject):
            return NotImplemented
        if type(other) is not type(self):
            raise PlotError(f"{self} and {other} cannot be added", hint="only objects of one kind add up")
        mine, theirs = self.layout(), other.layout()
        if differing := [name for name in mine if mine[name] != theirs[name]]:
            raise PlotError(
                f"{self} and {other} cannot be added: they differ in {', '.join(differing)}",
                where="; ".join(f"{name}: {mine[name]} and {theirs[name]}"[:400] for name in differing),
                hint="fill both with the same axes",
            )
        total = type(self)(label=self.label, **mine)
        total.remark = "; ".join(dict.fromkeys(text for text in (self.remark, other.remark) if text))
        for counter in COUNTERS:
            setattr(total, counter, getattr(self, counter) + getattr(other, counter))
        total._sums = {name: sums + other._sums[name] for name, sums in self._sums.items()}
        if self.paired and other.paired:
            total._common = {name: sums + other._common[name] for name, sums in self._common.items()}
        return total

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PlotObject) or type(other) is not type(self):
            return NotImplemented
        return self._state() == other._state() and all(
            np.array_equal(sums.view(flow=True), other._sums[name].view(flow=True)) for name, sums in self._sums.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.label!r}"

    def __repr__(self) -> str:
        return f"<{self}, {many(self.entries, 'entry')}>"

    def _state(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "remark": self.remark,
            **{counter: getattr(self, counter) for counter in COUNTERS},
            "layout": self.layout(),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        sums = {**self._sums, **self._common}
        return restore, (type(self), self._state(), {name: _pack(part) for name, part in sums.items()})

    # ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values: the sums, exactly, and what is drawn from them.

        ``sums`` lists the bins that hold something, by their number in the flattened array with under- and overflow
        bins; ``variances`` is null where they are the values: all weights were 1. Numbers that do not exist (NaN) are
        null in ``derived``. Those of a variation may have ``common`` besides: sums over what the nominal has as well.
        """
        state = self._state()
        sums, common = (
            {name: dict(zip(PARTS, _pack(part), strict=True)) for name, part in of.items()}
            for of in (self._sums, self._common)
        )
        return {
            "type": type(self).__name__,
            "format": FORMAT,
            **{name: plain(value) for name, value in state.items()},
            "note": self.note,
            "sums": plain(sums),
            **({"common": plain(common)} if common else {}),
            "derived": plain(self.derived()),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the object that ``to_json`` described; called on PlotObject, of whatever kind it is.

        PlotError where the content is damaged, of another kind, or written by a newer hepflow.
        """
        kind = _kind(content)
        if not issubclass(kind, cls):
            raise PlotError(f"this is a {kind.__name__}, not a {cls.__name__}")
        try:
            state = {name: content[name] for name in ("label", "remark", *COUNTERS)}
            state["layout"] = {name: _decoded(value) for name, value in content["layout"].items()}
            sums = {name: _arrays(part) for key in ("sums", "common") for name, part in content.get(key, {}).items()}
            restored: Self = restore(kind, state, sums)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise PlotError(f"the {kind.__name__} is damaged: {type(error).__name__}: {error}") from error
        return restored

    def save(self, path: Path | str) -> Path:
        """Write the JSON file in one step and return its path; OutputError where it cannot be written."""
        lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in self.to_json().items())
        return write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def as_picture(what: Any, draw: str = "draw") -> bytes:
    """Return the picture of a plot object or of several that belong together, as a notebook shows it."""
    figures = importlib.import_module("hepflow.plots.figures")  # which know plot objects, not these them
    shown: bytes = getattr(figures, draw)(what)._repr_png_()
    return shown


def load_plot(path: Path | str) -> PlotObject:
    """Return the plot object of a JSON file: of ``PlotObject.save``, or beside a figure that shows one.

    PlotError where there is no such file, it holds several, or it is damaged, of an unknown kind, or written by a newer
    hepflow.
    """
    found = load_plots(path)
    if len(found) == 1:
        return found[0]
    labels = ", ".join(repr(plot.label) for plot in found)
    raise PlotError(f"the file holds {len(found)} plot objects: {labels}", where=str(path), hint="use load_plots")


def load_plots(path: Path | str) -> list[PlotObject]:
    """Return the plot objects of a JSON file, those of a figure in their order; errors as of ``load_plot``.

    Event displays and the panels of learning curves are such objects, too.
    """
    content = read_plot_file(path)
    beside_figure = isinstance(content.get("plots"), list)
    if "style" in content and not beside_figure:
        raise PlotError(
            "the figure was written by an older hepflow, without what it draws", where=str(path), hint="run it again"
        )
    try:
        return [_restored(part) for part in (content["plots"] if beside_figure else [content])]
    except PlotError as error:
        raise PlotError(error.message, where=str(path), hint=error.hint) from error


def read_plot_file(path: Path | str) -> Mapping[str, Any]:
    """Return what the JSON file of a plot or of a figure holds; PlotError where it cannot be read."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlotError(f"the plot file cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise PlotError(f"the plot file is damaged: {error}", where=str(path)) from error
    return content if isinstance(content, Mapping) else {}


def _restored(content: Any) -> Any:
    """Return the object of its JSON; displays and panels are no sums of weights, but drawn and saved like them."""
    name = content.get("type") if isinstance(content, Mapping) else None
    if name in OTHERS:
        return getattr(importlib.import_module(f"hepflow.plots.{OTHERS[name]}"), name).from_json(content)
    return PlotObject.from_json(content)


def write_root(path: Path | str, plots: Mapping[str, PlotObject]) -> Path:
    """Write plot objects as TH1D and TH2D and return the path; OutputError where the file cannot be written.

    An object with one histogram gets its name, one with several a folder of that name. Squared weights are in fSumw2;
    titles of axes and labels of bins are kept.
    """
    import uproot

    with replacing(path) as temporary, uproot.recreate(temporary) as file:
        for name, plot in plots.items():
            histograms = plot.histograms()
            for part, histogram in histograms.items():
                file[name if len(histograms) == 1 else f"{name}/{part}"] = histogram
    return Path(path)


# ── sums of weights as small arrays, and objects from them ───────────────────────────────────────────────────────────

PARTS = ("bins", "values", "variances")
Packed: TypeAlias = "tuple[Array, Array, Array | None]"


def _pack(sums: Sums) -> Packed:
    """Return the numbers of the bins that hold something, flow included, with their sums: most of 10 000 are empty.

    The sums of squared weights are None where they are the sums of weights.
    """
    flat = sums.view(flow=True).reshape(-1)
    filled = np.flatnonzero((flat["value"] != 0) | (flat["variance"] != 0))
    values, variances = flat["value"][filled], flat["variance"][filled]
    return filled.astype(np.int32), values, None if np.array_equal(values, variances) else variances


def _arrays(part: Mapping[str, Any]) -> Packed:
    filled, values, variances = (None if part[key] is None else np.array(part[key]) for key in PARTS)
    if filled is None or values is None:
        raise ValueError("bins or values are missing")
    return filled, values, variances


def restore(kind: type[PlotObject], state: Mapping[str, Any], sums: Mapping[str, Packed]) -> Any:
    """Return the plot object that ``__reduce__`` took apart; KeyError, TypeError or ValueError where it is none."""
    made = kind(label=state["label"], **state["layout"])
    made.remark = state["remark"]
    for counter in COUNTERS:
        setattr(made, counter, int(state[counter]))
    if len(sums) > len(made._sums):
        made.pair()
    known = {**made._sums, **made._common}
    if set(sums) != set(known):
        raise ValueError(f"sums of {', '.join(sums)} where there should be {', '.join(known)}")
    for name, (filled, values, squares) in sums.items():
        variances = values if squares is None else squares
        if not len(filled) == len(values) == len(variances):
            raise ValueError(f"{name} has lists of different length")
        if not len(filled):
            continue
        if filled.dtype.kind != "i" or filled.min() < 0:
            raise ValueError(f"{name} has bins that are no whole numbers from 0")
        view = known[name].view(flow=True)
        where = np.unravel_index(filled, view.shape)
        view["value"][where], view["variance"][where] = values, variances
    return made


def _kind(content: Mapping[str, Any]) -> type[PlotObject]:
    if not isinstance(content, Mapping) or "type" not in content or "format" not in content:
        raise PlotError("this is no plot object", hint="a plot object is JSON with type, format, layout and sums")
    name, version = content["type"], content["format"]
    if not isinstance(version, int) or version > FORMAT:
        raise PlotError(f"the plot has format {version!r}; this hepflow reads up to {FORMAT}", hint="update hepflow")
    if name not in KINDS:
        hint = f"install the package that brings it, or: {nearest(str(name), KINDS, what='types')}"
        raise PlotError(f"there is no plot object of type {name!r}", hint=hint)
    kind: type[PlotObject] = getattr(importlib.import_module(f"hepflow.plots.{KINDS[name]}"), name)
    return kind


def plain(value: Any) -> Any:
    """Return a value as JSON has it: arrays as lists, axes as their fields, NaN and infinities as null."""
    if isinstance(value, Axis):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _decoded(value: Any) -> Any:
    """Return a part of a layout as it was before ``plain``."""
    if isinstance(value, Mapping):
        return Axis(**value)
    return tuple(_decoded(part) for part in value) if isinstance(value, list) else value
