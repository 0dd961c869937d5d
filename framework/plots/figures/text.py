"""Text in figures: long lines wrap, mathematics stays whole, and what is no valid mathematics is shown as written."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Final

__all__ = ["fit", "power", "readable", "short", "wrap"]

_PT: Final = re.compile(r"(?<!\w)pT(?!\w)")
_SPACE: Final = "\x1f"
"""Stands for a space where a line must not break."""


def readable(text: str) -> str:
    """Return a text that matplotlib can draw: dollars that enclose no valid mathematics are plain dollars, and pT has a
    subscript.
    """
    from matplotlib.mathtext import MathTextParser

    if "$" not in text:
        return _PT.sub(r"$\\mathit{p}_{T}$", text)
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return re.sub(r"(?<!\\)\$", r"\\$", text)
    return text


_WHOLE: Final = r"(?<!\\)\$[^$]*\$|\[[^\]]*\]$|(?<=\d) (?=[^\W\d]|%)"
"""What is not broken: mathematics, a unit at the end, the blank between a number and what it counts."""


def wrap(text: str, width: int, *, inside_words: bool = True) -> str:
    """Break a text into lines of at most ``width`` characters, between words or, where these are longer, inside.

    Lines that are there stay; mathematics (``$…$``), a unit in brackets at the end, and a number with what it counts
    (``1 prong``, ``20 GeV``) are not broken.
    """
    kept = re.sub(_WHOLE, lambda found: found[0].replace(" ", _SPACE), readable(text))
    lines = [part for line in kept.split("\n") for part in _broken(line, width, inside_words)]
    return "\n".join(lines).replace(_SPACE, " ")


def _broken(line: str, width: int, inside_words: bool) -> list[str]:
    inside = inside_words and "$" not in line  # mathematics is shorter than its source, and must not be cut
    return textwrap.wrap(line, width, break_long_words=inside, break_on_hyphens=False) or [""]


def fit(artist: Any, pixels: float, renderer: Any, *, vertical: bool = False) -> bool:
    """Wrap the text of an artist until it is at most ``pixels`` long, in three lines at most; then it shrinks.

    Returns whether anything was changed.
    """
    text = artist.get_text()
    for lines in (1, 2, 3):
        width = len(text) if lines == 1 else len(text) // lines + 5
        artist.set_text(wrap(text, max(width, 1), inside_words=False))
        if _length(artist, renderer, vertical) <= pixels:
            return lines > 1
    artist.set_fontsize(max(6.0, artist.get_fontsize() * pixels / _length(artist, renderer, vertical)))
    return True


def _length(artist: Any, renderer: Any, vertical: bool) -> float:
    box = artist.get_window_extent(renderer)
    return float(box.height if vertical else box.width)


def short(value: float, *, plain: bool = True) -> str:
    """Return a number in at most four digits; very large and small ones (all, if not ``plain``) with powers of ten.

    >>> short(12.5), short(1e4), short(2.5e7), short(1e-7)
    ('12.5', '10000', '$2.5\\\\times10^{7}$', '$10^{-7}$')
    """
    if plain and (value == 0 or 1e-3 <= abs(value) < 1e5):
        return f"{float(f'{value:.4g}'):.10g}"  # 10000, not 1e+04
    front, _, tens = f"{value:.3e}".partition("e")
    digits = f"{float(front):g}"
    return f"$10^{{{int(tens)}}}$" if digits == "1" else f"${digits}\\times10^{{{int(tens)}}}$"


def power(title: str, exponent: int) -> str:
    """Return an axis title with the power of ten that the numbers at the axis are to be multiplied with.

    >>> power("pT [GeV]", 6)
    'pT [$10^{6}$ GeV]'
    """
    if not exponent:
        return title
    factor = f"$10^{{{exponent}}}$"
    return (
        f"{title[: title.rindex('[')]}[{factor} {title[title.rindex('[') + 1 :]}"
        if title.endswith("]")
        else (f"{title} [{factor}]")
    )
