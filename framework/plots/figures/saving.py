"""Writing figures: pictures that do not depend on the day, with their numbers beside them, each file in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepflow.files import replacing, write_text
from hepflow.plots.bands import Bands
from hepflow.plots.base import plain
from hepflow.plots.figures.drawing import members
from hepflow.plots.figures.picture import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save"]


def save(figure: Figure, path: Path | str, what: Any, *, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write a figure as ``path`` + .png, .pdf, and its numbers as ``path`` + .json; return these paths.

    ``what`` is what was drawn: a plot object, several, a Comparison, a Stack; or a mapping of plain numbers, for
    figures of :func:`draw_panels`. The JSON holds ``plots`` (what ``to_json`` returns of each), ``style`` and
    ``options`` (how they were drawn), ``variations`` with those of Bands, or the mapping and ``style``. OutputError
    where a file cannot be written.
    """
    base = Path(path)
    pictures = {kind: picture(figure, kind) for kind in formats}
    written = []
    for kind, content in pictures.items():
        with replacing(base.with_name(f"{base.name}.{kind}")) as temporary:
            temporary.write_bytes(content)
        written.append(base.with_name(f"{base.name}.{kind}"))
    text = json.dumps(plain(_numbers(figure, what)), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    return [*written, write_text(base.with_name(f"{base.name}.json"), text)]


def _numbers(figure: Figure, what: Any) -> dict[str, Any]:
    drawn = getattr(figure, "drawn_with", {})
    if isinstance(what, Mapping):
        return {**what, **drawn}
    varied = {}
    if isinstance(what, Bands):
        varied = {"variations": what.to_json(mode=drawn.get("options", {}).get("mode", "core"))}
    return {"plots": [plot.to_json() for plot in members(what)], **varied, **drawn}
