"""What the command line shows: errors, the progress of a run, and sizes in words."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

import click
from rich.console import Console
from rich.highlighter import NullHighlighter
from rich.logging import RichHandler
from rich.table import Column, Table
from rich.text import Text

from hepflow.errors import HepflowError

__all__ = [
    "common_options",
    "console",
    "label_option",
    "memory",
    "new_table",
    "show_error",
    "show_interrupt",
    "size",
    "start_logging",
    "tree_option",
    "units_option",
]


@cache
def console() -> Console:
    """Return the one console of the command line; where no terminal tells its width, tables are wide."""
    return Console(highlight=False, soft_wrap=True, markup=False, width=_width(sys.stdout))


@cache
def _errors() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, width=_width(sys.stderr))


def _width(stream: TextIO) -> int | None:
    return None if stream.isatty() or "COLUMNS" in os.environ else 160


def tree_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that chooses a tree."""
    text = "Tree (folder/tree) to read where an input does not name one: FILE:TREE."
    return click.option("--tree", default="", metavar="NAME", help=text)(function)


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command takes."""
    function = click.option("--debug", is_flag=True, help="Show tracebacks.")(function)
    return click.option(
        "-p", "plugins", multiple=True, metavar="no:NAME", help="Switch a plugin off.", callback=_blocked
    )(function)


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
        plain = NullHighlighter()
        log.addHandler(
            RichHandler(console=_errors(), show_time=False, show_path=False, markup=False, highlighter=plain)
        )


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


def new_table(*headers: str, title: str = "") -> Table:
    """Return an empty table without lines; long words are folded, never cut."""
    columns = [Column(header, overflow="fold") for header in headers]
    return Table(*columns, title=f"\n{title}" if title else None, title_justify="left", box=None, pad_edge=False)


def size(number: float) -> str:
    """Return a number of bytes in words: ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return ""


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
