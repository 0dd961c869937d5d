"""How a job is run: what the command line says, and who hears how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hepflow.errors import JobOptionsError
from hepflow.execution.failures import Policy
from hepflow.execution.units import UNITS

if TYPE_CHECKING:
    from hepflow.execution.plan import Plan

__all__ = ["Reporter", "RunOptions"]


@dataclass(frozen=True)
class RunOptions:
    """How to run: the options of ``hepflow run`` with their meaning there."""

    inputs: Sequence[str] = ()
    output: str | None = None
    events: int | None = None
    skip: int = 0
    workers: int = 1
    executor: str = "processes"
    settings: Sequence[str] = ()
    """Of the executor: ``NAME.Property=value``."""
    chunk: int = 100_000
    resume: bool = False
    force: bool = False
    checksum: bool = False
    label: str = ""
    style: str = ""
    """Style sheet of all figures."""
    units: str | None = None
    lumi: float | None = None
    """Integrated luminosity, fb⁻¹: events get the weights L·σ·w/Σw."""
    variations: Sequence[str] = ()
    """Of the job: their names, or ALL."""
    tree: str = ""
    retries: int = Policy.retries
    max_failures: int | None = None
    keep_going: bool = False
    leave_out: bool = False
    detach: bool = False

    @property
    def policy(self) -> Policy:
        """Return what is done with units that fail."""
        return Policy(self.retries, self.max_failures, self.keep_going)

    def check(self) -> None:
        """Raise JobOptionsError where options make no sense, or not together."""
        if self.workers < 1 or self.chunk < 1 or self.skip < 0 or (self.events is not None and self.events < 0):
            raise JobOptionsError("--workers and --chunk must be at least 1, --events and --skip at least 0")
        if self.retries < 0 or (self.max_failures is not None and self.max_failures < 0):
            raise JobOptionsError("--retries and --max-failures must be at least 0")
        if self.leave_out and not self.resume:
            raise JobOptionsError(
                "--leave-out accepts what has failed in a run",
                hint="run first; then --resume --leave-out goes on without",
            )
        if self.style:
            from hepflow.plots.figures.style import check_sheet

            check_sheet(self.style)
        if self.units not in (None, *UNITS):
            raise JobOptionsError(f"units = {self.units!r}", hint=f"the energy unit is {' or '.join(UNITS)}")


class Reporter:
    """Hears how a run goes; the command line shows it. This one keeps quiet."""

    def looked(self, done: int, total: int) -> None:
        """Hear that so many files of the plan were looked into."""

    def planned(self, plan: Plan, directory: Path) -> None:
        """Hear the plan before the first unit."""

    def kept(self, entries: int) -> None:
        """Hear that so many more entries were done before, or fewer than it seemed: no work of now."""

    def progress(self, entries: int) -> None:
        """Hear that so many more entries are done."""

    def step(self, text: str) -> None:
        """Hear what is done next, outside the loop."""

    def helped(self, done: int, total: int) -> None:
        """Hear how many of the figures (or other calls) of a tool that finalizes are done."""

    def done(self) -> None:
        """Hear that the loop has ended."""

    def nested(self, text: str) -> Reporter:
        """Return the reporter of a run that this one needs first (making a sample)."""
        return self
