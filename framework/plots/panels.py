"""Lines and points over a quantity, in panels, as numbers: learning curves, scans, trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from hepflow.errors import PlotError
from hepflow.plots.base import as_picture

__all__ = ["Line", "Panel"]

FORMAT: Final = 1
"""Number of the JSON layout; a reader refuses another."""

KINDS: Final = ("line", "points", "steps")


@dataclass(frozen=True)
class Line:
    """y over x, lists of one length, as a ``line``, as ``points``, or as ``steps`` that hold until the next x.

    x are numbers, or texts: categories. PlotError where the lengths differ or there is no such kind.
    """

    x: Sequence[Any]
    y: Sequence[float]
    label: str = ""
    kind: str = "line"

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise PlotError(f"the line {self.label!r} has {len(self.x)} x and {len(self.y)} y")
        if self.kind not in KINDS:
            raise PlotError(f"a line is drawn as {', '.join(KINDS)}, not as {self.kind!r}")


@dataclass(frozen=True)
class Panel:
    """Lines over one quantity; ``mark`` is an x that a dotted vertical line shows, with its name."""

    lines: Sequence[Line]
    x_title: str
    y_title: str
    log_x: bool = False
    log_y: bool = False
    mark: tuple[float, str] | None = None

    def _repr_png_(self) -> bytes:
        """Be a picture in a notebook."""
        return as_picture([self], "draw_panels")

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {"type": "Panel", "format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Panel:
        """Return the panel that ``to_json`` described; PlotError where it is damaged or of another format."""
        if content.get("type") != "Panel" or content.get("format") != FORMAT:
            raise PlotError(f"this is no Panel of format {FORMAT}, but {content.get('type')!r}")
        try:
            lines = [Line(**{**line, "y": [_number(y) for y in line["y"]]}) for line in content["lines"]]
            mark = content["mark"]
            texts = (content["x_title"], content["y_title"])
            scales = (content["log_x"], content["log_y"])
            return cls(lines, *texts, *scales, mark=None if mark is None else (mark[0], mark[1]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise PlotError(f"the panel is damaged: {type(error).__name__}: {error}") from error


def _number(value: Any) -> float:
    return float("nan") if value is None else value
