"""Events of good runs: lists of runs and luminosity blocks, as ATLAS (XML) and CMS (JSON) publish them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Job, Property, Tool
from hepflow.errors import InputError

__all__ = ["GoodRuns", "read_good_runs"]

Range = tuple[int, int, int]
"""Run, first and last luminosity block."""

LARGEST = 2**32 - 1
_LARGEST_FILE = 64 * 2**20


class GoodRuns(Tool):
    """Keep the events whose run and luminosity block are in a list of good ones.

    ``File`` is the XML of an ATLAS good-run list, or a JSON ``{"297050": [[1, 7], [12, 30]]}`` as in CMS. Use it only
    for data, since simulation has other run numbers. The columns of a NanoAOD are ``Run="Events.run"`` and
    ``Block="Events.luminosityBlock"``.
    """

    File = Property("", "good-run list, XML or JSON", file=True)
    Run = Property("EventInfo.runNumber", "column with the run number")
    Block = Property("EventInfo.lumiBlock", "column with the luminosity block")

    def reads(self) -> Sequence[str]:
        """Return run number and luminosity block."""
        return [self.Run, self.Block]

    def check(self, job: Job) -> None:
        """Read the list, to refuse a wrong one before the first event."""
        self._ranges()

    def initialize(self, context: Context) -> None:
        """Read the list."""
        self._first, self._last = self._ranges()

    def execute(self, events: Events, result: Any) -> None:
        """Hide the events of other runs and blocks."""
        numbers, gone = [], np.zeros(len(events), dtype=np.bool_)
        for name in (self.Run, self.Block):
            container, _, column = name.partition(".")
            values, missing = events[container].stored(column)
            if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu" or len(values) != len(events):
                raise InputError(f"{name} is not one whole number an event", hint=f"set {self.name}.Run and .Block")
            gone |= (values < 0) | (values > LARGEST) if missing is None else missing
            numbers.append(np.where(gone, 0, values).astype(np.uint64))
        key = numbers[0] << np.uint64(32) | numbers[1]
        place = np.searchsorted(self._first, key, side="right") - 1
        good = (place >= 0) & (key <= self._last[place]) & ~gone
        events.select_events(good, f"good runs ({Path(self.File).name})", missing=gone)

    def _ranges(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        if not self.File:
            raise InputError(f"{self.name} has no File", hint="set it to a good-run list, XML or JSON")
        return _edges(read_good_runs(Path(self.File)))


def read_good_runs(path: Path) -> list[Range]:
    """Return the ranges of a good-run list, as they stand there; InputError where it is none.

    Nothing outside the file is read: entities are refused, the DTD that ATLAS names is not fetched.
    """
    if not path.is_file():
        raise InputError("there is no such good-run list", where=str(path))
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError("a good-run list is not this large", where=str(path), hint=f"{path.stat().st_size:,} bytes")
    data = path.read_bytes()
    try:
        found = _xml(data) if data.lstrip()[:1] == b"<" else _json(data)
        wrong = next((r for r in found if not (0 <= r[0] <= LARGEST and 0 <= r[1] <= r[2] <= LARGEST)), None)
        if wrong is not None:
            raise ValueError(f"run {wrong[0]} has the blocks {wrong[1]} to {wrong[2]}")
        if not found:
            raise ValueError("it holds no run")
    except (ValueError, KeyError, TypeError, RecursionError, expat.ExpatError) as error:
        raise InputError(
            f"this is no good-run list: {error}",
            where=str(path),
            hint='ATLAS\'s XML with NamedLumiRange, or JSON {"run": [[first, last], …]}',
        ) from error
    return found


def _json(data: bytes) -> list[Range]:
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    found: list[Range] = []
    for run, ranges in content.items():
        for one in ranges:
            if not isinstance(one, list) or len(one) != 2 or not all(type(number) is int for number in one):
                raise ValueError(f"run {run}: {one!r} is not [first, last]")
            found.append((int(run), one[0], one[1]))
    return found


def _xml(data: bytes) -> list[Range]:
    """Read ``<LumiBlockCollection><Run>…</Run><LBRange Start="1" End="7"/>…``; a block End of -1 is the last one."""
    found: list[Range] = []
    state: dict[str, Any] = {"path": [], "run": ""}

    def start(name: str, attributes: dict[str, str]) -> None:
        state["path"].append(name)
        if name == "Run":
            state["run"] = ""
        elif name == "LBRange":
            if not state["run"].strip():
                raise ValueError("a block range stands before its run")
            last = int(attributes["End"])
            found.append((int(state["run"]), int(attributes["Start"]), LARGEST if last == -1 else last))

    def end(name: str) -> None:
        state["path"].pop()
        if name == "LumiBlockCollection":
            state["run"] = ""

    def text(content: str) -> None:
        if state["path"] and state["path"][-1] == "Run":
            state["run"] += content

    def refuse(*_: Any) -> int:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.Parse(data, True)
    return found


def _edges(ranges: Iterable[Range]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return first and last key (run and block in one number) of ranges that do not overlap, ascending."""
    joined: list[list[int]] = []
    for run, first, last in sorted(ranges):
        low, high = run << 32 | first, run << 32 | last
        if joined and low <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    edges = np.array(joined, dtype=np.uint64)
    return edges[:, 0], edges[:, 1]
