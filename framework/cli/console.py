"""What the command line shows: errors, the progress of a run, and sizes in words."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from hepflow.errors import HepflowError
from hepflow.execution.plan import Plan
from hepflow.execution.run import Reporter

__all__ = [
    "ConsoleReporter",
    "common_options",
    "console",
    "memory",
    "new_table",
    "show_error",
    "show_interrupt",
    "size",
    "start_logging",
]


@cache
def console() -> Console:
    """Return the one console of the command line; where no terminal tells its width, tables are wide."""
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    return Console(highlight=False, soft_wrap=True, markup=False, width=wide)


@cache
def _errors() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command takes."""
    function = click.option("--debug", is_flag=True, help="Show tracebacks.")(function)
    return click.option(
        "-p", "plugins", multiple=True, metavar="no:NAME", help="Switch a plugin off.", callback=_blocked
    )(function)


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
        log.addHandler(RichHandler(console=_errors(), show_time=False, show_path=False, markup=False))


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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} events/s" if speed else "", style="cyan")


class _Memory(ProgressColumn):
    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        return Text(size(memory()), style="dim")


class ConsoleReporter(Reporter):
    """Shows a run: a progress bar on a terminal, a line every ten seconds elsewhere."""

    INTERVAL = 10.0

    def __init__(self, header: Callable[[Plan, Path], None] | None = None, indent: str = "") -> None:
        self._header = header
        self._indent = indent
        self._bar: Progress | None = None
        self._task: Any = None
        self._total = self._done = 0
        self._began = self._shown = 0.0
        self.directory: Path | None = None
        self.peak = 0

    def planned(self, plan: Plan, directory: Path) -> None:
        """Show the header and start the bar."""
        self.directory = directory
        if self._header is not None:
            self._header(plan, directory)
        self._total = plan.entries
        self._began = self._shown = time.monotonic()
        if console().is_terminal and self._total:
            columns = (
                TextColumn(f"{self._indent}{{task.description}}"),
                BarColumn(),
                TextColumn("{task.completed:,}/{task.total:,}"),
            )
            self._bar = Progress(*columns, _Rate(), TimeRemainingColumn(), _Memory(), console=console(), transient=True)
            self._task = self._bar.add_task("events", total=self._total)
            self._bar.start()

    def progress(self, entries: int) -> None:
        """Move the bar, or print a line now and then."""
        self._done += entries
        self.peak = max(self.peak, memory())
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._task, entries)
        elif now - self._shown >= self.INTERVAL:
            self._shown = now
            rate = self._done / (now - self._began)
            left = (self._total - self._done) / rate
            console().print(
                f"{self._indent}{self._done:,}/{self._total:,} events, {rate:,.0f} events/s, "
                f"{left:.0f} s left, {size(memory())}"
            )

    def step(self, text: str) -> None:
        """Print what comes next."""
        console().print(f"{self._indent}{text}", style="dim")

    def done(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def nested(self, text: str) -> Reporter:
        """Show that something must be made first."""
        console().print(f"{self._indent}{text}")
        return ConsoleReporter(indent=self._indent + "  ")
