"""What an event is, told by the sample that it is of: signal or background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hepflow import Events, Job, Property, Tool
from hepflow.errors import JobOptionsError, nearest

__all__ = ["SampleClass"]


class SampleClass(Tool):
    """Give all objects, or events, of a sample the number of its class: the target of a training where files are
    signal or background.

    ``SampleClass("Class", Column="tree.isSignal", Classes={"HHbbtautau": 1, "TTbar": 0})``. Samples have the
    names of the input (``-i TTbar=tt.root``); one without a class is an error.
    """

    selects = False

    Column = Property("", "column to make, of a container or of the tree")
    Classes: Property[dict[str, int]] = Property({}, "sample → number of its class", item=int)

    def check(self, job: Job) -> None:
        """Refuse a tool that makes no column, or knows no sample."""
        container, _, name = self.Column.partition(".")
        if not (container and name and self.Classes):
            raise JobOptionsError(
                f"{self.name} needs Column and Classes",
                hint='Column="tree.isSignal", Classes={"HHbbtautau": 1, "TTbar": 0}',
            )

    def reads(self) -> Sequence[str]:
        """Return nothing: the sample is known."""
        return []

    def writes(self) -> Sequence[str]:
        """Return the column."""
        return [self.Column]

    def execute(self, events: Events, result: Any) -> None:
        """Fill the column with the number of the sample."""
        sample = events.sample.name
        if sample not in self.Classes:
            raise JobOptionsError(
                f"the sample {sample!r} has no class in {self.name}",
                hint=f"{nearest(sample, self.Classes, what='samples')}; -i NAME=FILE names them, Classes has theirs",
            )
        container, _, name = self.Column.partition(".")
        objects = events[container]
        objects[name] = np.full(len(objects), self.Classes[sample], dtype=np.int32)
