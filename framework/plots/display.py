"""Event display: the objects around an axis, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from hepflow.errors import PlotError
from hepflow.plots.base import as_picture

__all__ = ["EventDisplay", "Marks"]

FORMAT: Final = 1
"""Number of the JSON layout; a reader refuses another."""

NUMBERS: Final = ("eta", "phi", "pt", "end_eta", "end_phi")


@dataclass(frozen=True)
class Marks:
    """Objects of one kind: where they are relative to the axis, and their pt (GeV).

    ``end_eta`` and ``end_phi`` are, where given, the points at which the objects arrive (tracks at the calorimeter),
    NaN for an object that arrives nowhere. PlotError where the lists differ in length.
    """

    label: str
    eta: tuple[float, ...]
    phi: tuple[float, ...]
    pt: tuple[float, ...]
    end_eta: tuple[float, ...] = ()
    end_phi: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in NUMBERS:
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        ends = {len(self.end_eta), len(self.end_phi)}
        if {len(self.eta), len(self.phi)} != {len(self.pt)} or ends not in ({len(self.pt)}, {0}):
            raise PlotError(f"the {self.label} of a display have lists of different length")


@dataclass(frozen=True)
class EventDisplay:
    """The objects around an axis in Δη and Δφ (radians), with rings of constant ΔR.

    ``label`` says in a few words what is shown, ``texts`` are further lines, ``end_label`` is what the objects arrive
    at. It is drawn and saved as plot objects are; displays do not add up.
    """

    marks: tuple[Marks, ...]
    label: str = ""
    texts: tuple[str, ...] = ()
    rings: tuple[float, ...] = (0.1, 0.2, 0.4)
    end_label: str = ""

    @property
    def note(self) -> str:
        """Why there is nothing to draw; empty where there is something."""
        return "" if any(group.pt for group in self.marks) else "no objects"

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture(self)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values, NaN as null."""
        marks = [
            {"label": group.label}
            | {name: [None if math.isnan(x) else x for x in getattr(group, name)] for name in NUMBERS}
            for group in self.marks
        ]
        return {"type": "EventDisplay", "format": FORMAT, "note": self.note, **asdict(self), "marks": marks}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EventDisplay:
        """Return the display that ``to_json`` described; PlotError where it is damaged or of another format."""
        if content.get("type") != "EventDisplay" or content.get("format") != FORMAT:
            found = f"{content.get('type')!r} of format {content.get('format')!r}"
            raise PlotError(f"this is no EventDisplay of format {FORMAT}, but {found}")
        try:
            marks = tuple(
                Marks(group["label"], *(tuple(math.nan if x is None else x for x in group[name]) for name in NUMBERS))
                for group in content["marks"]
            )
            texts, rings = tuple(content["texts"]), tuple(content["rings"])
            return cls(marks, content["label"], texts, rings, content["end_label"])
        except (KeyError, TypeError, ValueError) as error:
            raise PlotError(f"the EventDisplay is damaged: {type(error).__name__}: {error}") from error
