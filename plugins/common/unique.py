"""Events that come twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import InputError, many

__all__ = ["UniqueEvents"]


@dataclass
class Seen:
    """The keys of events, one row each; they add up by following each other."""

    parts: list[npt.NDArray[Any]] = field(default_factory=list)

    def __add__(self, other: Seen) -> Seen:
        return Seen([*self.parts, *other.parts])

    def all(self, width: int) -> npt.NDArray[Any]:
        """Return all rows."""
        return np.concatenate(self.parts) if self.parts else np.zeros((0, width), dtype=np.uint64)


class UniqueEvents(Tool):
    """Keep the first of several events with the same keys (run and event number).

    Within a work unit, duplicates are hidden, with a line in the cutflow. Work units know nothing of each other: of
    duplicates in different units (usually in two files) both are processed, and the job ends with an error that names
    them. Do not use its outputs then; remove the duplicate file. With
    ``AcrossUnits="warn"`` it goes on with a warning. The result depends only on the inputs, not on the workers. The
    keys stay in memory until the end, 8 bytes per number.

    For input with one entry an event. Events whose keys are missing are kept.
    """

    Keys: Property[tuple[str, ...]] = Property(
        ("EventInfo.runNumber", "EventInfo.eventNumber"), "columns of integers that identify an event"
    )
    AcrossUnits = Property("error", "what to do with duplicates in different work units", choices=("error", "warn"))

    def reads(self) -> Sequence[str]:
        """Return the keys."""
        return self.Keys

    def start(self) -> Seen:
        """Return no keys."""
        return Seen()

    def execute(self, events: Events, result: Seen) -> None:
        """Hide the events of the chunk that the unit has had."""
        columns, gone = [], np.zeros(len(events), dtype=np.bool_)
        for name in self.Keys:
            container, _, column = name.partition(".")
            values, missing = events[container].stored(column)
            if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu" or len(values) != len(events):
                raise InputError(f"{name} is not one whole number an event", hint=f"set {self.name}.Keys")
            columns.append(values.astype(np.uint64))  # negative ones stay different from all others
            gone |= False if missing is None else missing
        known = np.flatnonzero(~gone)
        rows = np.stack(columns, axis=1)[known]
        before = result.all(len(self.Keys))
        new = _first(np.concatenate([before, rows]))[len(before) :]
        result.parts[:] = [np.concatenate([before, rows[new]])]
        kept = np.ones(len(events), dtype=np.bool_)
        kept[known] = new
        events.select_events(kept, "first of its run and event number")

    def finalize(self, total: Seen, context: Context) -> int:
        """Look for events that two work units have; return how many."""
        rows = total.all(len(self.Keys))
        twice = rows[~_first(rows)]
        number = len(twice)
        if not number:
            return 0
        names = ", ".join(self.Keys)
        shown = "; ".join(" ".join(map(str, row)) for row in twice[:3].tolist())
        message = f"{many(number, 'event')} also in another work unit ({names}: {shown}{', …' if number > 3 else ''})"
        if self.AcrossUnits == "error":
            raise InputError(
                f"{message}: outputs and results have them twice",
                where=f"tool {self.name}",
                hint=f'leave out the input that repeats another; {self.name}.AcrossUnits = "warn" goes on',
            )
        context.log.warning("%s: %s", self.name, message)
        return number


def _first(rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which rows are the first of their kind."""
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return first
