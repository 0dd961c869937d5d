"""The report as one HTML page: no scripts, nothing loaded from anywhere, pictures inside."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hepflow.files import replacing
from hepflow.plugins.performance.report.contents import Contents, Picture, spoken
from hepflow.plugins.performance.report.overview import Configured, configured, facts, overview, results
from hepflow.plugins.performance.report.tables import Table

__all__ = ["Page", "page_of", "write_page"]

FOLDER = Path(__file__).parent
COLOURS = 128


@dataclass(frozen=True)
class Page:
    """What stands on a page: facts, results and cutflow first, then figures by folder, then tables and texts."""

    title: str
    author: str = ""
    paragraphs: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    problems: Sequence[str] = ()
    results: Sequence[Table] = ()
    cutflow: Sequence[Table] = ()
    figures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    sections: Mapping[str, Sequence[Table]] = field(default_factory=dict)
    configured: Sequence[Configured] = ()
    text: tuple[str, str] = ("", "")
    """Title and content of what is shown as it was written: job options."""


def page_of(contents: Contents, *, title: str, author: str = "") -> Page:
    """Return the page of a run."""
    sections = overview(contents)
    return Page(
        title,
        author,
        contents.paragraphs,
        facts(contents),
        [*contents.problems, *contents.warnings],
        results(contents),
        sections.pop("Cutflow", []),
        contents.groups,
        sections,
        configured(contents),
        ("Job options", contents.joboptions),
    )


def write_page(page: Page, path: Path) -> None:
    """Write the page in one step; its links to PDF and JSON files are relative to the folder that it is in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": _data_uri, "typeset": _typeset, "spoken": spoken}
    pictures = [picture for group in page.figures.values() for picture in group]
    anchors = {picture.path: f"figure-{number}" for number, picture in enumerate(pictures, start=1)}
    stream = environment.get_template("page.html.j2").stream(
        page=page,
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this package
        figures=[(name, [(anchors[p.path], p) for p in group]) for name, group in page.figures.items()],
    )
    with replacing(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8")  # piece by piece: two hundred figures are never in memory at once


def _typeset(text: str) -> str:
    """Return a text for the page, with the T of pT below the line."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\bpT\b", "p<sub>T</sub>", str(escape(text))))  # noqa: S704 - escaped before


def _data_uri(path: Path) -> str:
    """Return a picture for the page: in 128 colours it takes a third."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path, formats=["PNG"]) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
