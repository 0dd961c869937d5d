"""Variables: what a quantity is called, where it comes from, how it is transformed, and how it is shown.

The dumper, the normaliser, the networks and the plots use the same declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import PropertyError, nearest

__all__ = ["TRANSFORMS", "Binning", "Variable"]

TRANSFORMS = ("", "log10")


@dataclass(frozen=True)
class Binning:
    """Bin edges, ascending, and how they are shown: on a logarithmic axis, or with a label for each bin."""

    edges: tuple[float, ...]
    log: bool = False
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        object.__setattr__(self, "labels", tuple(self.labels))
        steps = np.diff(self.edges)
        if len(steps) < 1 or not (steps > 0).all() or not np.isfinite(self.edges).all():
            raise PropertyError(f"bin edges must be finite and ascend: {_short(self.edges)}")
        if self.log and self.edges[0] <= 0:
            raise PropertyError(f"a logarithmic axis begins above 0, not at {self.edges[0]:g}")
        if self.labels and len(self.labels) != len(steps):
            raise PropertyError(f"{len(self.labels)} labels for {len(steps)} bins: {', '.join(self.labels)}")

    @classmethod
    def regular(cls, number: int, low: float, high: float) -> Binning:
        """Return ``number`` bins of equal width."""
        return cls(tuple(np.linspace(low, high, number + 1).tolist()))

    @classmethod
    def logarithmic(cls, number: int, low: float, high: float) -> Binning:
        """Return ``number`` bins of equal width in the logarithm, for a logarithmic axis."""
        if not 0 < low < high:
            raise PropertyError(f"logarithmic bins need 0 < low < high, got {low:g} and {high:g}")
        edges = np.geomspace(low, high, number + 1)
        return cls((float(low), *edges[1:-1].tolist(), float(high)), log=True)

    @classmethod
    def categories(cls, labels: Sequence[str]) -> Binning:
        """Return one bin around each whole number from 0, with its label."""
        return cls(tuple(n - 0.5 for n in range(len(labels) + 1)), labels=tuple(labels))

    @classmethod
    def parse(cls, text: str) -> Binning:
        """Return the bins that ``NUMBER;LOW;HIGH`` says; PropertyError where it is not of that form."""
        try:
            number, low, high = (float(part) for part in text.split(";"))
            if not number.is_integer() or number < 1 or not low < high:
                raise ValueError("no bins")
            return cls.regular(int(number), low, high)
        except ValueError as error:
            raise PropertyError(f"{text!r} is no binning", hint="write NUMBER;LOW;HIGH, as in 50;0;100") from error


_NUMBERS = ("floor", "missing", "fill", "mean")
_NOT_FINITE = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Variable:
    """One quantity of an object.

    ``name`` is what networks and plots call it (``pt_log``), ``column`` where its raw values are (``pt``; by default
    the name): a column, for plots also an expression over columns (``TauJets.pt / 1000``). ``transform`` is applied to
    the raw values: ``log10`` of the value, at least ``floor``. ``missing`` is the raw value that stands for "not
    known" (-1111); it is left out of statistics and plots. A training refuses values that are missing (this one, and
    NaN) unless ``fill`` says which raw value takes their place, before the transform; NaN leaves them missing, for
    models that know what to do with it. ``mean`` fixes the mean that a normaliser would otherwise
    measure. ``unit`` is that of the raw values, ``binnings`` are the named binnings of plots, the default first.
    ``truth`` is the column or expression of the same quantity of a truth tau, for denominators.
    """

    name: str
    column: str = ""
    transform: str = ""
    floor: float | None = None
    missing: float | None = None
    fill: float | None = None
    mean: float | None = None
    label: str = ""
    unit: str = ""
    binnings: Mapping[str, Binning] = field(default_factory=dict)
    truth: str = ""

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

    def record(self) -> dict[str, Any]:
        """Return the fields, without those that are for plots, as JSON takes them: NaN is the text ``nan``, for null
        says that there is none.
        """
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("binnings", "truth")}
        return {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in told.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Variable:
        """Return the variable that ``record`` wrote down; TypeError or PropertyError where it is none."""
        told: dict[str, Any] = {**record}
        told |= {k: float(v) for k, v in record.items() if k in _NUMBERS and v in _NOT_FINITE}
        return cls(**told)

    def __repr__(self) -> str:
        """Return what is not the default; of the binnings nothing, their edges would fill screens and files."""
        usual = {f.name: f.default for f in fields(self)} | {"column": self.name, "binnings": self.binnings}
        given = [f", {name}={value!r}" for name, value in vars(self).items() if value != usual[name]]
        return f"Variable({''.join(given).removeprefix(', ')})"

    def __call__(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the transformed values, float32 for float32 and integers, in the shape of ``raw``."""
        values = np.asarray(raw)
        if values.dtype != np.float64:
            values = values.astype(np.float32, copy=False)
        if self.fill is not None:
            values = np.where(self.absent(raw), values.dtype.type(self.fill), values)
        if self.transform == "log10":
            return np.log10(np.maximum(values, values.dtype.type(self.floor)))  # type: ignore[no-any-return]
        return values

    def absent(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Tell which raw values are missing: NaN, and those equal to ``missing``."""
        values = np.asarray(raw)
        found = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
        return found if self.missing is None else found | (values == self.missing)

    @property
    def title(self) -> str:
        """Return what stands at an axis: the label (or the name), with its unit; of log10 both are inside."""
        text = self.label or self.name
        if self.transform:
            return f"{self.transform}({text}{f' / {self.unit}' if self.unit else ''})"
        return f"{text} [{self.unit}]" if self.unit else text

    def binning(self, name: str = "") -> Binning:
        """Return a named binning (the first where ``name`` is empty), or the one that ``NUMBER;LOW;HIGH`` says.

        PropertyError, with the nearest names, where there is none.
        """
        if ";" in name:
            return Binning.parse(name)
        if not name and self.binnings:
            return next(iter(self.binnings.values()))
        if name not in self.binnings:
            what = f"no binning {name!r}" if name else "no binning"
            known = f"{nearest(name, self.binnings, what='binnings')}; " if self.binnings else ""
            spelled = f"NUMBER;LOW;HIGH makes one, as in '{self.name}:50;0;250'"
            raise PropertyError(f"{self.name} has {what}", hint=f"{known}{spelled}")
        return self.binnings[name]


def _short(edges: Sequence[float]) -> str:
    shown = ", ".join(f"{edge:g}" for edge in edges[:6])
    return shown + (", …" if len(edges) > 6 else "")
