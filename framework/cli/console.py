"""What the command line shows: errors, the progress of a run, and sizes in words."""

from __future__ import annotations

import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from operator import itemgetter
from typing import Any, ClassVar, TextIO

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from hepflow.errors import HepflowError, OutputError

__all__ = [
    "LONG",
    "common_options",
    "console",
    "duration",
    "events_option",
    "label_option",
    "lumi_option",
    "memory",
    "new_table",
    "plain",
    "prose",
    "show_error",
    "show_fact",
    "show_interrupt",
    "size",
    "skip_option",
    "start_logging",
    "style_option",
    "tree_option",
    "units_option",
    "wrapped",
]

ROOM = 8
"""Characters that a table keeps for each column of texts, three times as many for the last one."""

LONG = 200
"""Most characters of what a file says of itself that are shown unasked."""


@cache
def console() -> Console:
    """Return the one console of the command line; where no terminal tells its width, tables are wide."""
    return _console("stdout")


@cache
def _errors() -> Console:
    return _console("stderr")


def _console(name: str) -> Console:
    stream: TextIO = getattr(sys, name)
    width = None if stream.isatty() or "COLUMNS" in os.environ else 160
    file: Any = None if stream.isatty() else _Unpadded(name)
    return Console(stderr=name == "stderr", file=file, highlight=False, soft_wrap=True, markup=False, width=width)


def show_fact(key: str, value: Any, *, whole: bool) -> None:
    """Print what a file says of itself: all of it as YAML, or in a line what has room in one."""
    if whole and isinstance(value, (dict, list)):
        import yaml

        console().print(f"{key}:\n{yaml.safe_dump(value, sort_keys=False, width=100)}", markup=False, highlight=False)
        return
    text = _in_words(value)
    if len(text) > LONG and not whole:
        names = f"{', '.join(map(str, value))}; " if isinstance(value, dict) else ""
        text = f"{names}--provenance shows it"
    if text:
        console().print(wrapped(f"{key}: {text}", 2), markup=False)


def _in_words(value: Any) -> str:
    """Return what a record says as people write it; nothing of what is empty."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {told}" for key, item in value.items() if (told := _in_words(item)))
    return " ".join(map(_in_words, value)) if isinstance(value, (list, tuple)) else str(value)


class _Unpadded:
    """A standard stream that is no terminal, as it is now; lines get no blanks at their ends."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)

    def write(self, text: str) -> int:
        """Write the text; that of a console is whole lines."""
        lines = text.split("\n")
        with _printing(self._name):
            getattr(sys, self._name).write("\n".join([*(line.rstrip(" ") for line in lines[:-1]), lines[-1]]))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        with _printing(self._name):
            getattr(sys, self._name).flush()


@contextmanager
def _printing(name: str) -> Iterator[None]:
    """Say that it is the standard stream which cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"{name}, what hepflow prints, cannot be written: {error.strerror}",
            hint="is the disk full? finished work units are kept, --resume continues",
        ) from error


class _Log(logging.Handler):
    """Prints what is logged, with its level; long lines as they are."""

    STYLES: ClassVar = {"WARNING": "yellow", "ERROR": "bold red"}

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        level = Text(f"{record.levelname:8} ", style=self.STYLES.get(record.levelname, "dim"))
        _errors().print(level + Text(self.format(record)))


def plain(text: str) -> str:
    """Return a docstring without the marks of its names."""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")


def prose(text: str) -> str:
    """Return a docstring as wide as the console, names without marks."""
    parts = plain(text).split("\n\n")
    return "\n\n".join(part if _is_layout(part) else wrapped(" ".join(part.split())) for part in parts)


def wrapped(text: str, indent: int = 0) -> str:
    """Return a line broken at blanks where the console ends, what follows indented."""
    return textwrap.fill(
        text, console().width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def _is_layout(part: str) -> bool:
    """Tell lists and examples, whose lines stay as they are, from paragraphs."""
    return any(line.startswith((" ", "- ", ">>>", "|")) for line in part.splitlines())


def tree_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that chooses a tree."""
    text = "Tree (folder/tree), and what its rows are called, where an input does not say: FILE:TREE=ROWS."
    return click.option("--tree", default="", metavar="[TREE][=ROWS]", help=text)(function)


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command takes."""
    function = click.option("--debug", is_flag=True, help="Show tracebacks.")(function)
    return click.option(
        "-p", "plugins", multiple=True, metavar="no:NAME", help="Switch a plugin off.", callback=_blocked
    )(function)


class Count(click.IntRange):
    """A whole number as people write it: 20000, 20_000, 2e4."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; usage error where it is none, is not whole, or is outside the range."""
        if isinstance(value, str) and "e" in value.lower():
            with suppress(ValueError, OverflowError):
                value = int(number) if (number := float(value)) == int(number) else value
        return super().convert(value, param, ctx)


events_option = click.option(
    "-n", "--events", type=Count(min=0), help="Events to read, over all files in plan order, before selection."
)
skip_option = click.option("--skip", type=Count(min=0), default=0, help="Events to leave out at the beginning.")
lumi_option = click.option(
    "--lumi",
    type=click.FloatRange(min=0, min_open=True),
    metavar="FB⁻¹",
    help="Integrated luminosity: events weigh L·σ·w/Σw in plots and cutflow, and have Sample.weight.",
)
units_option = click.option(
    "--units",
    type=click.Choice(("MeV", "GeV")),
    help="Energy unit of inputs that do not tell theirs (plain ntuples).",
)
label_option = click.option(
    "--label",
    default="",
    metavar="TEXT",
    help="Text at the top of all figures.  [default: hepflow, or hepflow simulation where it made all input]",
)

style_option = click.option(
    "--style",
    default="",
    metavar="SHEET",
    help="Style of all figures: one of mplhep or matplotlib by name (CMS), or a .mplstyle file.",
)


def _blocked(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.startswith("no:") or not value[3:]:
            raise click.BadParameter(f"{value!r} is not of the form no:NAME", ctx, param)
    return tuple(value[3:] for value in values)


def start_logging(debug: bool) -> None:
    """Send hepflow's log to the console: warnings, or everything with --debug."""
    log = logging.getLogger("hepflow")
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    if not log.handlers:
        log.addHandler(_Log())


def show_error(error: HepflowError) -> None:
    """Show an error: what, where, what to do."""
    out = _errors()
    out.print(Text("error: ", style="bold red") + Text(error.message))
    for label, text in (("where: ", error.where), ("hint:  ", error.hint)):
        if text:
            out.print(Text(f"  {label}", style="bold") + Text(text))


def show_interrupt() -> None:
    """Say that the user stopped the command."""
    _errors().print("interrupted", style="bold red")


class _Table(Table):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, with names and numbers whole where there is room and what has blanks broken; called by rich."""
        columns = [(column, [str(cell) for cell in (column.header, *column.cells)]) for column in self.columns]
        whole = [(2 + max(map(cell_len, cells)), column) for column, cells in columns if " " not in "".join(cells)]
        broken = len(columns) - len(whole) + 2 * (" " in "".join(columns[-1][1]))
        room = options.max_width - ROOM * broken
        for width, column in sorted(whole, key=itemgetter(0)):
            column.no_wrap = width <= room
            room -= width
        yield from super().__rich_console__(console, options)


def new_table(*headers: str, title: str = "") -> Table:
    """Return an empty table without lines; long words are folded, never cut, and only where there is no room."""
    columns = [Column(header, overflow="fold") for header in headers]
    return _Table(*columns, title=f"\n{title}" if title else None, title_justify="left", box=None, pad_edge=False)


def size(number: float) -> str:
    """Return a number of bytes in words: ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return ""


def duration(seconds: float) -> str:
    """Return a time in words: ``2 h 05 min``, ``4 min 10 s``, ``3.2 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def memory() -> int:
    """Return the resident memory of this process and its workers, in bytes."""
    import psutil

    total = 0
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total
