"""The progress of a run, as the command line shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from hepflow.cli.console import console, memory, size
from hepflow.execution.options import Reporter
from hepflow.execution.plan import Plan

__all__ = ["ConsoleReporter"]


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
        self._total = self._done = self._kept = 0
        self._began = self._shown = self._measured = 0.0
        self.directory: Path | None = None
        self.inner: Reporter | None = None
        self.peak = 0

    def looked(self, done: int, total: int) -> None:
        """Show how many files of the plan were looked into."""
        now = time.monotonic()
        if done == 1 or not self._shown:
            self._began = self._shown = now
        if console().is_terminal and self._bar is None and now - self._began > 1:
            columns = (TextColumn(f"{self._indent}{{task.description}}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console(), transient=True)
            self._task = self._bar.add_task("looking into files", total=total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif now - self._shown >= self.INTERVAL:
            self._shown = now
            console().print(f"{self._indent}looked into {done:,} of {total:,} files")

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

    def kept(self, entries: int) -> None:
        """Move the bar; what was done before has no part in the rate."""
        self._done += entries
        self._kept += entries
        if self._bar is not None:
            self._bar.reset(self._task, completed=self._done)

    def progress(self, entries: int) -> None:
        """Move the bar, or print a line now and then."""
        self._done += entries
        now = time.monotonic()
        if now - self._measured >= 1.0:
            self._measured = now
            self.peak = max(self.peak, memory())
        if self._bar is not None:
            self._bar.advance(self._task, entries)
        elif now - self._shown >= self.INTERVAL:
            self._shown = now
            rate = (self._done - self._kept) / (now - self._began)
            speed = f"{rate:,.0f} events/s, {(self._total - self._done) / rate:.0f} s left, " if rate > 0 else ""
            console().print(f"{self._indent}{self._done:,}/{self._total:,} events, {speed}{size(memory())}")

    def helped(self, done: int, total: int) -> None:
        """Print, every ten seconds, how many calls of a tool that finalizes are done."""
        now = time.monotonic()
        if now - self._shown >= self.INTERVAL and done < total:
            self._shown = now
            console().print(f"{self._indent}  {done:,} of {total:,} done", style="dim")

    def step(self, text: str) -> None:
        """Print what comes next."""
        self._shown = time.monotonic()
        console().print(f"{self._indent}{text}", style="dim")

    def done(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def nested(self, text: str) -> Reporter:
        """Show that something must be made first."""
        console().print(f"{self._indent}{text}")
        self.inner = ConsoleReporter(indent=self._indent + "  ")
        return self.inner
