"""The report as a PDF book: cover, contents, the figures as they are (vector graphics), tables, bookmarks."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hepflow.files import replacing
from hepflow.plugins.performance.report.contents import Contents, Picture
from hepflow.plugins.performance.report.overview import configured, facts, overview
from hepflow.plugins.performance.report.sheets import (
    CODE,
    LEFT,
    ROOM,
    SMALL,
    TEXT,
    WARN,
    Font,
    Place,
    Sheets,
    draw,
    fold,
)

if TYPE_CHECKING:
    from pypdf import PageObject, PdfWriter

__all__ = ["write_book"]

HIGHEST: Final = 262.0
WIDEST: Final = 430.0
"""Points of a figure: two stand on a page, with their captions."""
CAPTION: Final = Font(size=10.5, weight="bold")


def write_book(contents: Contents, path: Path, *, title: str, author: str = "") -> None:
    """Write the book in one step. A figure whose PDF is missing or damaged is shown by its PNG."""
    from pypdf import PdfWriter

    body = Sheets()
    figures = _figures(body, contents)
    _tables(body, contents)
    front = _front(contents, body, title, author, 0)
    shift = len(front.pages)
    front = _front(contents, body, title, author, shift)  # now that the number of its pages is known
    writer = PdfWriter(clone_from=draw([*front.pages, *body.pages], title))
    for place, figure in figures:
        _merge(writer.pages[place.page + shift], place, figure)
    for place, target in front.links:
        _link(writer, place, target)
    _bookmarks(writer, body, shift)
    writer.add_metadata({"/Title": title, "/Creator": "hepflow", **({"/Author": author} if author else {})})
    for page in writer.pages:
        page.compress_content_streams()
    writer.compress_identical_objects()  # every figure brings the same fonts
    with replacing(path) as temporary:
        writer.write(temporary)


def _front(contents: Contents, body: Sheets, title: str, author: str, shift: int) -> Sheets:
    """Return cover and contents; the body begins on page ``shift`` (from 0)."""
    front = Sheets()
    front.turn()
    front.y += 60
    front.paragraph(title, Font(size=26, weight="bold"))
    front.y += 8
    for number, paragraph in enumerate(contents.paragraphs):
        front.paragraph(paragraph, Font(size=12) if number == 0 else TEXT)
        front.y += 5
    if author:
        front.paragraph(author, SMALL)
    front.y += 12
    for what, value in facts(contents):
        front.need(15)
        front.put(what, SMALL)
        front.put(value, Font(size=9.5, weight="bold"), LEFT + 80)
        front.y += 15
    for problem in contents.problems:
        front.paragraph(problem, WARN)
    front.heading("Contents", 2)
    for level, text, page in body.headings:
        font = {1: Font(size=10, weight="bold"), 2: Font(size=9.5), 3: SMALL}[level]
        indent = 14.0 * (level - 1)
        front.need(font.leading + 2)
        place = Place(front.page, LEFT, front.y, ROOM, font.leading)
        front.put(fold(text, font, ROOM - indent - 40)[0], font, LEFT + indent)
        front.put(str(page + shift + 1), font, LEFT + ROOM, right=True)
        front.links.append((place, page + shift))
        front.y += font.leading + 1
    return front


def _figures(body: Sheets, contents: Contents) -> list[tuple[Place, PageObject]]:
    """Lay the figures out; returns which PDF page goes where."""
    placed = []
    if contents.pictures:
        body.turn()
        body.heading("Figures", 1)
    for name, group in contents.groups.items():
        if name:
            body.heading(name.replace("_", " "), 2)
        for picture in group:
            problems = list(picture.problems)
            page = _pdf_page(picture, problems)
            place = _place(body, picture, problems, page)
            if place is not None and page is not None:
                placed.append((place, page))
            elif place is not None and picture.png is not None:
                body.pages[-1].images.append((place, picture.png))
    return placed


def _place(body: Sheets, picture: Picture, problems: list[str], page: PageObject | None) -> Place | None:
    """Set the caption of a figure and return the place of its picture, None where there is no picture."""
    wide, high = (float(page.mediabox.width), float(page.mediabox.height)) if page is not None else picture.pixels
    scale = min(WIDEST / wide, HIGHEST / high) if wide and high else 0.0
    title = fold(picture.title, CAPTION, ROOM)
    lines = [line for text in picture.lines for line in fold(text, SMALL, ROOM)]
    warnings = [line for text in problems for line in fold(text, WARN, ROOM)]
    caption = len(title) * CAPTION.leading + (len(lines) + len(warnings)) * SMALL.leading
    body.need(high * scale + caption + 10)
    body.headings.append((3, picture.title, body.page))
    place = body.room_for(wide * scale, high * scale) if scale else None
    body.y += 4
    for texts, font in ((title, CAPTION), (lines, SMALL), (warnings, WARN)):
        body.lines(texts, font)
    body.y += 14
    return place


def _pdf_page(picture: Picture, problems: list[str]) -> PageObject | None:
    """Return the page of a figure's PDF; None, and a line in ``problems``, where there is none that can be read."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").addHandler(logging.NullHandler())  # what it has to say goes into ``problems``
    if picture.pdf is None:
        problems.append(f"{picture.path.name}.pdf is missing")
        return None
    try:
        page = PdfReader(picture.pdf).pages[0]
        if page.get_contents() is None or not page.mediabox.width * page.mediabox.height:
            raise ValueError("its first page is empty")
    except Exception as error:  # whatever a damaged file makes pypdf raise
        problems.append(f"{picture.pdf.name} is damaged: {error}")
        return None
    return page


def _tables(body: Sheets, contents: Contents) -> None:
    """Set how the run was made."""
    sections = overview(contents)
    body.turn()
    for section, tables in sections.items():
        body.heading(section, 1)
        for table in tables:
            body.table(table)
    things = configured(contents)
    if things:
        body.heading("Configuration", 1)
    for thing in things:
        body.heading(thing.name + (f" ({thing.kind})" if thing.kind != thing.name else ""), 2)
        changed = ", ".join(row[0] for row in thing.changed.rows) or "nothing"
        if thing.all.rows:
            body.table(replace(thing.all, note=f"Set: {changed}."))
        else:
            body.paragraph("It has no properties.", SMALL)
    if contents.joboptions:
        body.turn()
        body.heading("Job options", 1)
        for line in contents.joboptions.splitlines():
            body.paragraph(line, CODE)


def _merge(page: PageObject, place: Place, figure: PageObject) -> None:
    """Put a PDF page into a place of a page."""
    from pypdf import Transformation

    box = figure.mediabox
    scale = place.width / float(box.width)
    below = float(page.mediabox.height) - place.y - place.height
    moved = Transformation().translate(-float(box.left), -float(box.bottom)).scale(scale).translate(place.x, below)
    page.merge_transformed_page(figure, moved)


def _link(writer: PdfWriter, place: Place, target: int) -> None:
    from pypdf.annotations import Link

    high = float(writer.pages[place.page].mediabox.height)
    rectangle = (place.x, high - place.y - place.height, place.x + place.width, high - place.y)
    writer.add_annotation(place.page, Link(rect=rectangle, border=[0, 0, 0], target_page_index=target))


def _bookmarks(writer: PdfWriter, body: Sheets, shift: int) -> None:
    """Add the headings and figures as bookmarks, one below the other as they are."""
    above: dict[int, Any] = {}
    for level, text, page in body.headings:
        parent = next((above[up] for up in range(level - 1, 0, -1) if up in above), None)
        above = {up: item for up, item in above.items() if up < level}
        above[level] = writer.add_outline_item(title=text, page_number=page + shift, parent=parent, is_open=level == 1)
