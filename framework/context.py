"""What a tool or stream can ask of the run it is part of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepflow.errors import JobOptionsError, nearest
from hepflow.processes import Processes

__all__ = ["Context", "Sample"]


@dataclass(frozen=True)
class Sample:
    """A named input with metadata, as tools see it (``events.sample``).

    ``records`` is what the tools that made the file, then those of the job, say of their output (``Tool.record``), by
    the name of the tool.
    ``energy_unit`` is that of the columns, ``MeV`` or ``GeV``, empty where it is not known. ``factor`` is the L·σ/Σw of
    ``--lumi``, with which the column ``Sample.weight`` is made, None without.
    """

    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    energy_unit: str = ""
    factor: float | None = None


@dataclass(frozen=True)
class Context:
    """The run as seen by ``initialize`` (on a worker) and ``finalize`` (in the main process, after the event loop).

    ``directory`` is the run directory; what a tool writes belongs in there (``path``). ``joboptions`` is the folder
    of the job-option file, ``events`` the number of events that were read (0 in ``initialize``), ``label`` the text at
    the top of all figures.
    """

    directory: Path
    job: str
    seed: int = 0
    workers: int = 1
    joboptions: Path | None = None
    events: int = 0
    label: str = "hepflow"
    style: str = ""
    """The style sheet of all figures; empty for the look of the house."""
    results: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    variation: str = ""
    """The variation that is finalized; empty for the nominal."""
    varied: Mapping[str, Any] = field(default_factory=dict)
    """For the nominal: variation → total of the tool, where it ran again."""
    folder: str = ""
    """In the run directory: where what is written belongs; empty for the run directory itself."""
    left_out: Sequence[Mapping[str, Any]] = ()
    """The inputs that failed and were left out, as in ``failures.json``: ``file``, ``entries`` (first, behind the last;
    None: the whole file), ``cause``, …"""
    processes: Processes = field(default_factory=Processes, compare=False)
    """Processes for ``finalize``: figures, say, do not wait for one another."""
    written: list[Path] = field(default_factory=list)
    """What was asked for with ``path``: this, and nothing else, ``--force`` may replace."""

    @property
    def log(self) -> logging.Logger:
        """Return the logger that tools and streams report to."""
        return logging.getLogger("hepflow")

    def result(self, tool: str) -> Any:
        """Return what the ``finalize`` of an earlier tool returned; JobOptionsError where there is none."""
        if tool not in self.results:
            raise JobOptionsError(
                f"there is no result of a tool {tool!r} yet",
                where=f"job {self.job}",
                hint=nearest(tool, self.results, what="results") + "; tools finalize in job order",
            )
        return self.results[tool]

    def output(self, stream: str) -> Sequence[Path]:
        """Return the files of a closed stream, in plan order; JobOptionsError where there is no such stream."""
        if stream not in self.outputs:
            raise JobOptionsError(
                f"there is no output of a stream {stream!r}",
                where=f"job {self.job}",
                hint=nearest(stream, self.outputs, what="streams"),
            )
        return self.outputs[stream]

    def path(self, name: str) -> Path:
        """Return ``directory / name`` with its folder made; JobOptionsError where ``name`` leads out of the run
        directory.
        """
        name = f"{self.folder}/{name}" if self.folder else name
        target = (self.directory / name).resolve()
        if not target.is_relative_to(self.directory.resolve()):
            raise JobOptionsError(f"the output name {name!r} leads out of the run directory", where=str(self.directory))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.written.append(self.directory / name)
        return target
