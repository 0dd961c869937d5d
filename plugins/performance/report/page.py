"""The report as one HTML page: no scripts, nothing loaded from anywhere, pictures inside."""

from __future__ import annotations

import base64
from pathlib import Path

from hepflow.cli.console import size
from hepflow.files import replacing
from hepflow.plugins.performance.report.contents import Contents
from hepflow.plugins.performance.report.overview import configured, facts, overview

__all__ = ["write_page"]

FOLDER = Path(__file__).parent


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
    bytes_inside = sum(picture.png.stat().st_size * 4 // 3 for picture in contents.pictures if picture.png)
    stream = environment.get_template("page.html.j2").stream(
        contents=contents,
        title=title,
        author=author,
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of this package
        facts=facts(contents),
        figures=[(name, [(anchors[p.path], p) for p in group]) for name, group in contents.groups.items()],
        weight=size(bytes_inside) if bytes_inside else "",
        sections=overview(contents),
        configured=configured(contents),
    )
    with replacing(path) as temporary:
        stream.dump(str(temporary), encoding="utf-8")  # piece by piece: two hundred figures are never in memory at once


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
