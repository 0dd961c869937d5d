"""The report as one HTML page: no scripts, nothing loaded from anywhere, pictures inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from hepflow.files import replacing
from hepflow.plugins.performance.report.contents import Contents
from hepflow.plugins.performance.report.overview import configured, facts, overview, results

__all__ = ["write_page"]

FOLDER = Path(__file__).parent
COLOURS = 128


def write_page(contents: Contents, path: Path, *, title: str, author: str = "") -> None:
    """Write the page in one step; its links to PDF and JSON files are relative to the run directory."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    anchors = {picture.path: f"figure-{number}" for number, picture in enumerate(contents.pictures, start=1)}
    stream = environment.get_template("page.html.j2").stream(
        contents=contents,
        title=title,
        author=author,
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this package
        facts=facts(contents),
        figures=[(name, [(anchors[p.path], p) for p in group]) for name, group in contents.groups.items()],
        results=results(contents),
        sections=overview(contents),
        configured=configured(contents),
    )
    with replacing(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8")  # piece by piece: two hundred figures are never in memory at once


def _data_uri(path: Path) -> str:
    """Return a picture for the page: in 128 colours it takes a third."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path, formats=["PNG"]) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
