"""The look that all figures share: fonts, sizes, colours, and the label that stands in each of them.

matplotlib keeps its settings for the whole process; :func:`house_style` changes them for one thread at a time and puts
them back, and pyplot is not used. Fonts come with matplotlib and mplhep, so that a figure is the same on every machine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from hepflow.errors import PlotError, nearest

__all__ = [
    "EXPERIMENTS", "GREY", "SMALL", "Look", "Style", "check_sheet", "colour_map", "house_style", "look_of",
    "open_matplotlib", "points",
]  # fmt: skip

SMALL: Final = 11.0
"""Points of the font for notes, errors in cells and the like."""

GREY: Final = "#6e6e6e"

COLOURS: Final = ("#000000", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c8c")
"""Okabe and Ito's colours for all kinds of colour vision (jfly.uni-koeln.de/color), yellow replaced by grey; ordered so
that the first four also differ in brightness."""

LINES: Final = (
    "-",
    (0, (6, 2)),
    (0, (1.2, 1.2)),
    (0, (7, 2, 1.4, 2)),
    (0, (3, 1.4)),
    (0, (9, 3)),
    (0, (4, 1.5, 1, 1.5, 1, 1.5)),
    (0, (1.2, 3)),
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")

FONTS: Final = ["TeX Gyre Heros", "DejaVu Sans"]

SIZE: Final = 14.0
"""Points of the font of a figure, to which those of its texts are relative."""

SETTINGS: Final[Mapping[str, Any]] = {
    "axes.autolimit_mode": "data",
    "axes.formatter.use_mathtext": False,
    "axes.formatter.useoffset": False,
    "axes.labelpad": 6,
    "axes.labelsize": 16,
    "axes.titlesize": 16,
    "axes.unicode_minus": True,
    "errorbar.capsize": 0,
    "figure.dpi": 100,
    "font.family": FONTS,
    "font.size": SIZE,
    "hatch.linewidth": 0.6,
    "legend.borderpad": 0.0,
    "legend.fontsize": 13,
    "legend.handlelength": 2.2,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "mathtext.default": "regular",
    "mathtext.fallback": "stixsans",
    "path.simplify": True,
    "pdf.compression": 6,
    "xtick.labelsize": 14,
    "xtick.major.pad": 8,
    "xtick.major.size": 7,
    "xtick.minor.size": 3.5,
    "ytick.labelsize": 14,
    "ytick.major.pad": 6,
    "ytick.major.size": 7,
    "ytick.minor.size": 3.5,
}
"""What differs from mplhep's ATLAS style."""

EXPERIMENTS: Final = frozenset(("ALICE", "ATLAS", "Belle", "CMS", "FCC-ee", "FCC-hh", "LHCb", "hepflow"))
"""What stands bold in front of a label."""

MANY: Final = 1000
"""Pieces of mathematics that are kept."""

_PARSED: Final[dict[tuple[Any, ...], Any]] = {}
_LOCK = threading.RLock()
_HELD: list[tuple[int, str]] = []
"""Threads and style sheets of the houses that are open, one within the other."""


@dataclass(frozen=True)
class Style:
    """The label of a figure: ``text`` (the name of an experiment in front bold and slanted), and ``lines`` below it.

    The lines say what is shown: the selection, the sample, "test fold". ``sheet`` changes the look: a style sheet of
    matplotlib (a name that it or mplhep knows, or a file), of which fonts, sizes and colours are taken.
    """

    text: str = "hepflow"
    lines: tuple[str, ...] = ()
    sheet: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.lines, str):
            raise PlotError("Style.lines is a list of lines, not one text", hint=f"write lines=({self.lines!r},)")
        object.__setattr__(self, "lines", tuple(self.lines))

    def to_json(self) -> dict[str, Any]:
        """Return text and lines, and the style sheet where there is one."""
        return {"text": self.text, "lines": self.lines, **({"sheet": self.sheet} if self.sheet else {})}


@dataclass(frozen=True)
class Look:
    """What tells one curve from the others, in colour and on a grey printer."""

    colour: str
    line: Any
    marker: str
    filled: bool

    @property
    def points(self) -> dict[str, Any]:
        """Return the settings of markers."""
        face = self.colour if self.filled else "white"
        return {"marker": self.marker, "color": self.colour, "markerfacecolor": face, "markeredgewidth": 1.4}


def look_of(position: int) -> Look:
    """Return the look of the curve at a position from 0; 64 curves differ, with the colours of the house."""
    from matplotlib import rcParams

    colours = rcParams["axes.prop_cycle"].by_key().get("color", COLOURS)
    round_, place = divmod(position, len(colours))
    shifted = (place + round_) % len(MARKERS)
    return Look(colours[place], LINES[shifted], MARKERS[shifted], filled=(place + round_) % 2 == 0)


def points(size: float) -> float:
    """Return the size of a text, given for the font of the house, for that of the style."""
    from matplotlib import rcParams

    return float(size * rcParams["font.size"] / SIZE)


def check_sheet(sheet: str) -> None:
    """Raise PlotError where there is no such style sheet."""
    if sheet:
        with house_style(sheet):
            pass


def _sheet(sheet: str) -> dict[str, Any]:
    """Return the settings of a style sheet; PlotError where there is none, or it is damaged."""
    import mplhep.styles
    from matplotlib import rc_params_from_file, rcParams
    from matplotlib.style import library

    made = getattr(mplhep.styles, sheet, None) if sheet.isidentifier() else None
    found: Any = made if isinstance(made, dict) else library.get(sheet)
    if found is None and not Path(sheet).expanduser().is_file():
        names = [name for name, one in vars(mplhep.styles).items() if isinstance(one, dict) and name[0].isupper()]
        raise PlotError(
            f"there is no style sheet {sheet!r}",
            hint=f"{nearest(sheet, [*names, *library])}; or the path of a file of matplotlib (.mplstyle)",
        )
    if found:
        return dict(found)
    wrong: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        wrong.append(record.getMessage().strip().splitlines()[0])
        return False

    log = logging.getLogger("matplotlib")  # of keys and values that it does not know it only warns
    log.addFilter(collect)
    try:
        found = rc_params_from_file(str(Path(sheet).expanduser()), use_default_template=False)
    except (ValueError, OSError) as error:
        raise PlotError(f"the style sheet cannot be read: {error}", where=sheet) from error
    finally:
        log.removeFilter(collect)
    if wrong:
        key = wrong[0].removeprefix("Bad key ").split()[0]
        hint = nearest(key, rcParams) if wrong[0].startswith("Bad key") else "matplotlib.rcParams has keys and values"
        raise PlotError(f"the style sheet cannot be used: {wrong[0]}", where=sheet, hint=hint)
    return dict(found)


def open_matplotlib() -> None:
    """Load matplotlib and make mplhep's fonts known; PlotError, naming the extra, where either is not installed."""
    try:
        import matplotlib.style  # noqa: F401
        import mplhep.styles  # noqa: F401
    except ImportError as error:
        raise PlotError(
            f"drawing figures needs the package {error.name}", hint="pip install 'hepflow[plots]' from your checkout"
        ) from error


@contextmanager
def house_style(sheet: str = "") -> Iterator[None]:
    """Hold matplotlib's settings at the look of the house, changed by a style sheet; other threads wait, the user's
    settings come back. PlotError where there is no such sheet.

    Used around everything that draws, saving included: matplotlib asks for some settings (mathematics) only then.
    """
    if _HELD[-1:] == [(threading.get_ident(), sheet)]:
        yield
        return
    open_matplotlib()
    from matplotlib.rcsetup import cycler
    from matplotlib.style import context
    from mplhep.styles import ATLAS

    ours = {**SETTINGS, "axes.prop_cycle": cycler(color=COLOURS)}
    with (
        _LOCK,
        context([ATLAS, ours, *([_sheet(sheet)] if sheet else [])], after_reset=True),
        _fonts_found_once(),
        _parsed_once(),
    ):
        _HELD.append((threading.get_ident(), sheet))
        try:
            yield
        finally:
            _HELD.pop()


@contextmanager
def _fonts_found_once() -> Iterator[None]:
    """While settings stand, look for each font once: matplotlib does so for every text that it measures or draws."""
    from matplotlib import font_manager

    manager: Any = font_manager.fontManager
    known = vars(manager).get("_find_fonts_by_props")  # a house within a house
    manager._find_fonts_by_props = cache(type(manager)._find_fonts_by_props.__get__(manager))
    try:
        yield
    finally:
        if known is None:
            del manager._find_fonts_by_props
        else:
            manager._find_fonts_by_props = known


@contextmanager
def _parsed_once() -> Iterator[None]:
    """While settings stand, parse the same mathematics once a process: matplotlib does so for every picture."""
    from matplotlib import rcParams
    from matplotlib.mathtext import MathTextParser

    settings = tuple(str(rcParams[name]) for name in rcParams if name.startswith("mathtext."))
    parsers: Any = MathTextParser
    before = parsers._parse_cached

    def parsed(parser: Any, *asked: Any) -> Any:
        key = (settings, parser._output_type, *asked)
        if key not in _PARSED:
            if len(_PARSED) >= MANY:
                _PARSED.clear()
            _PARSED[key] = before(parser, *asked)
        return _PARSED[key]

    parsers._parse_cached = parsed
    try:
        yield
    finally:
        parsers._parse_cached = before


def colour_map(missing: str = "#e4e4e4", *, both: bool = False) -> Any:
    """Return the colours of areas, white to dark blue, so that grey prints in the same order; NaN is ``missing``.

    With ``both`` white is the middle: blue below, red above.
    """
    from matplotlib import colormaps

    return colormaps["RdBu_r" if both else "Blues"].with_extremes(bad=missing)
