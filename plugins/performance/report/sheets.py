"""Pages of text for the PDF book: lines, tables and room for pictures flow down A4 pages; matplotlib writes them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hepflow.plugins.performance.report.tables import Table

__all__ = [
    "CODE",
    "LEFT",
    "ROOM",
    "SMALL",
    "TEXT",
    "WARN",
    "Font",
    "Place",
    "Sheet",
    "Sheets",
    "clean",
    "draw",
    "fold",
    "width",
]

WIDTH: Final = 595.0
HEIGHT: Final = 842.0
"""A4 in points; y runs down from the upper edge."""
LEFT: Final = 50.0
TOP: Final = 58.0
ROOM: Final = WIDTH - 2 * LEFT
BOTTOM: Final = HEIGHT - 56.0
FOOT: Final = HEIGHT - 30.0
GAP: Final = 10.0
"""Between the columns of a table."""

INK: Final = "#1b2733"
SOFT: Final = "#566575"
LINE: Final = "#d5dce3"
AMBER: Final = "#8a4b00"

SANS: Final = "DejaVu Sans"
MONO: Final = "DejaVu Sans Mono"
"""Fonts that come with matplotlib."""

MOST_ROWS: Final = 300
LONGEST: Final = 800
"""Characters of a cell, so that a row fits a page; what follows is left out."""
NARROWEST: Final = 0.2
"""Of all characters, in parts of the font's size: no line has more than its width allows of these."""
TOGETHER: Final = 250.0
"""Tables that are not higher stay on one page."""


@dataclass(frozen=True)
class Font:
    """How a text is set: size in points, weight, colour; ``mono`` for paths, values and code."""

    size: float = 9.5
    weight: str = "normal"
    colour: str = INK
    mono: bool = False

    @property
    def leading(self) -> float:
        """Return the distance of two lines in points."""
        return 1.38 * self.size


TEXT: Final = Font()
CODE: Final = Font(size=7.5, mono=True)
SMALL: Final = Font(size=8.5, colour=SOFT)
WARN: Final = Font(size=8.5, colour=AMBER)
CELL: Final = Font(size=8)
CELL_CODE: Final = Font(size=7, mono=True)
HEADER: Final = Font(size=7.5, weight="bold", colour=SOFT)
HEADING: Final = {1: Font(size=16, weight="bold"), 2: Font(size=13, weight="bold")}
SPACE: Final = {1: 22.0, 2: 16.0}
"""Around a heading, by level."""


@dataclass(frozen=True)
class Place:
    """Where something stands: page (from 0) and rectangle in points, y down."""

    page: int
    x: float
    y: float
    width: float
    height: float


@dataclass
class Sheet:
    """One page: texts with their baseline, rules, and pictures that matplotlib draws itself."""

    texts: list[tuple[float, float, str, Font, bool]] = field(default_factory=list)
    rules: list[tuple[float, float, float]] = field(default_factory=list)
    images: list[tuple[Place, Path]] = field(default_factory=list)


class Sheets:
    """Pages that fill from above; what does not fit goes to the next page."""

    def __init__(self) -> None:
        self.pages: list[Sheet] = []
        self.headings: list[tuple[int, str, int]] = []
        """(level, text, page) of the headings and figures, for contents and bookmarks."""
        self.links: list[tuple[Place, int]] = []
        self._waiting: list[tuple[str, int]] = []
        self.y = BOTTOM

    @property
    def page(self) -> int:
        """Return the number of the current page, from 0."""
        return len(self.pages) - 1

    def turn(self) -> None:
        """Begin a new page."""
        self.pages.append(Sheet())
        self.y = TOP

    def need(self, height: float) -> None:
        """Begin a new page unless there is so much room, and set the headings that wait for what follows them."""
        waiting, self._waiting = self._waiting, []
        above = sum(HEADING[level].leading + SPACE[level] for _, level in waiting)
        if self.y + above + height > BOTTOM:
            self.turn()
        for text, level in waiting:
            self.space(SPACE[level])
            self.headings.append((level, text, self.page))
            self.lines(fold(text, HEADING[level], ROOM), HEADING[level])
            self.y += 4

    def space(self, height: float) -> None:
        """Leave room, not at the top of a page."""
        if self.y > TOP:
            self.y += height

    def put(self, text: str, font: Font, x: float = LEFT, *, right: bool = False) -> None:
        """Set one line in the current row; ``right`` aligns its end at ``x``."""
        self.pages[-1].texts.append((x, self.y + font.size, clean(text), font, right))

    def heading(self, text: str, level: int) -> None:
        """Set a heading as soon as it is known what follows: it never stands alone at the foot of a page."""
        self._waiting.append((text, level))

    def lines(self, lines: Sequence[str], font: Font, x: float = LEFT) -> None:
        """Set lines as they are."""
        for line in lines:
            self.need(font.leading)
            self.put(line, font, x)
            self.y += font.leading

    def paragraph(self, text: str, font: Font = TEXT, *, x: float = LEFT, room: float = ROOM) -> None:
        """Set a text in as many lines as it takes."""
        self.lines(fold(text, font, room), font, x)

    def table(self, table: Table) -> None:
        """Set a table, at most its first MOST_ROWS rows; the header is repeated on every page."""
        count = max(map(len, (table.header, *table.rows)))
        fonts = [CELL_CODE if i in table.code else CELL for i in range(count)]
        shown = [[_short(cell) for cell in row] for row in table.rows[:MOST_ROWS]]
        headers = _needed([table.header], [HEADER] * count)
        widths = _widths([*map(max, headers, _needed(shown, fonts))])
        header = [fold(name, HEADER, room) for name, room in zip(table.header, widths, strict=False)]
        rows = [[fold(*cell) for cell in zip(row, fonts, widths, strict=False)] for row in shown]
        self.need(min(60 + sum(_height(cells, fonts) for cells in rows), TOGETHER))
        self._row(header, [HEADER] * count, widths, table.right)
        for cells in rows:
            if self.y + _height(cells, fonts) > BOTTOM:
                self.turn()
                self._row(header, [HEADER] * count, widths, table.right)
            self._row(cells, fonts, widths, table.right)
        left_out = f"{MOST_ROWS} of {len(table.rows):,} rows; the page has all." if len(table.rows) > MOST_ROWS else ""
        for note in filter(None, (left_out, table.note)):
            self.y += 3
            self.paragraph(note, SMALL)
        self.y += 10

    def _row(
        self, cells: Sequence[Sequence[str]], fonts: Sequence[Font], widths: Sequence[float], right: frozenset[int]
    ) -> None:
        """Set a row of folded cells, with a rule below."""
        if not cells:
            return
        x, top = LEFT, self.y
        for position, (lines, font, room) in enumerate(zip(cells, fonts, widths, strict=False)):
            self.y = top + 3
            for line in lines:
                self.put(line, font, x + room if position in right else x, right=position in right)
                self.y += font.leading
            x += room + GAP
        self.y = top + _height(cells, fonts)
        self.pages[-1].rules.append((LEFT, x - GAP, self.y))

    def room_for(self, wide: float, high: float) -> Place:
        """Return the place of a picture, centred, and go below it."""
        self.need(high)
        place = Place(self.page, LEFT + (ROOM - wide) / 2, self.y, wide, high)
        self.y += high
        return place


def _height(cells: Sequence[Sequence[str]], fonts: Sequence[Font]) -> float:
    return 6 + max(len(lines) * font.leading for lines, font in zip(cells, fonts, strict=False))


def _short(cell: str) -> str:
    return cell if len(cell) <= LONGEST else f"{cell[:LONGEST]} …"


def _needed(rows: Iterable[Sequence[str]], fonts: Sequence[Font]) -> list[float]:
    """Return the width of the longest line of each column."""
    lengths = [0.0] * len(fonts)
    for row in rows:
        for position, (cell, font) in enumerate(zip(row, fonts, strict=False)):
            lengths[position] = max(lengths[position], *(width(line, font) for line in clean(cell).split("\n")))
    return lengths


def _widths(needed: Sequence[float]) -> list[float]:
    """Return the widths of the columns: what they need, the widest narrowed until all fit."""
    room = ROOM - GAP * (len(needed) - 1)
    for count, narrow in enumerate(sorted(needed)):
        share = room / (len(needed) - count)
        if narrow > share:
            return [min(one, share) for one in needed]
        room -= narrow
    return [*needed]


def fold(text: str, font: Font, room: float) -> list[str]:
    """Return a text as lines no wider than ``room`` points, broken between words; longer words are broken in parts."""
    lines: list[str] = []
    for part in clean(text).split("\n"):
        line: str | None = None
        for word in part.split(" "):
            joined = word if line is None else f"{line} {word}"
            if width(joined, font) <= room:
                line = joined
                continue
            if line is not None:
                lines.append(line)
            while (fitting := _fitting(word, font, room)) < len(word):
                lines.append(word[:fitting])
                word = word[fitting:]
            line = word
        lines.append(line or "")
    return lines


def _fitting(word: str, font: Font, room: float) -> int:
    """Return how many characters of a word fit, at least one."""
    low, high = min(1, len(word)), min(len(word), int(room / (NARROWEST * font.size)) + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(word[:middle], font) <= room else (low, middle - 1)
    return low


@lru_cache(maxsize=50_000)
def width(text: str, font: Font) -> float:
    """Return the width of a line in points."""
    from matplotlib.textpath import text_to_path

    found, _, _ = text_to_path.get_text_width_height_descent(text, _properties(font), ismath=False)
    return float(found)


@lru_cache(maxsize=50)
def _properties(font: Font) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=MONO if font.mono else SANS, size=font.size, weight=font.weight)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Return the characters that can be shown, in text as well as in code."""
    from matplotlib.font_manager import findfont, get_font

    fonts = [replace(font, weight=weight) for font in (TEXT, CODE) for weight in ("normal", "bold")]
    return frozenset.intersection(*(frozenset(get_font(findfont(_properties(f))).get_charmap()) for f in fonts))


def clean(text: str) -> str:
    """Return a text that the fonts can show: other characters are boxes, tabs are spaces."""
    known = _glyphs()
    return "".join(c if c == "\n" or (ord(c) in known and c.isprintable()) else "□" for c in text.expandtabs(4))


def draw(pages: Sequence[Sheet], footer: str) -> io.BytesIO:
    """Return the pages as PDF; each has the footer and its number."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_pdf import PdfPages

    from hepflow.plots.figures.style import house_style

    buffer = io.BytesIO()
    with house_style(), PdfPages(buffer, metadata={"CreationDate": None}) as pdf:
        rcParams["pdf.fonttype"] = 42  # TrueType, sharp at any size; put back with the rest
        for number, sheet in enumerate(pages, start=1):
            foot = f"{number} / {len(pages)}"
            texts = [*sheet.texts, (LEFT, FOOT, clean(footer), SMALL, False), (WIDTH - LEFT, FOOT, foot, SMALL, True)]
            pdf.savefig(_figure(replace(sheet, texts=texts)))
    return buffer


def _figure(sheet: Sheet) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    for x, y, text, font, right in sheet.texts:
        figure.text(
            x / WIDTH,
            1 - y / HEIGHT,
            text,
            fontproperties=_properties(font),
            color=font.colour,
            ha="right" if right else "left",
            va="baseline",
            parse_math=False,
        )
    for start, stop, y in sheet.rules:
        ends = [start / WIDTH, stop / WIDTH], [1 - y / HEIGHT] * 2
        figure.add_artist(Line2D(*ends, linewidth=0.5, color=LINE, transform=figure.transFigure))
    for place, path in sheet.images:
        box = (place.x / WIDTH, 1 - (place.y + place.height) / HEIGHT, place.width / WIDTH, place.height / HEIGHT)
        axes = figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(_read(path), aspect="auto", interpolation="none")
    return figure


def _read(path: Path) -> Any:
    from matplotlib.image import imread

    return imread(path)
