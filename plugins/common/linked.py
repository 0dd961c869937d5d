"""Writing out what links point to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hepflow import Events, Property, Tool

__all__ = ["LinkedObjects"]


class LinkedObjects(Tool):
    """Make a container of linked objects, one list per object of the first container (the tracks of each tau).

    An NtupleStream writes it as jagged branches ``<OutputName>.<column>``.
    """

    selects = False

    Link = Property("TauJets.tauTrackLinks", "column with the element links")
    To = Property("TauTracks", "container that the links point into")
    Columns: Property[tuple[str, ...]] = Property(("pt", "eta", "phi"), "columns of the linked objects")
    OutputName = Property("TauTrack", "name of the new container")

    def reads(self) -> Sequence[str]:
        """Return the links and the columns that they lead to."""
        return [self.Link, *(f"{self.To}.{column}" for column in self.Columns)]

    def writes(self) -> Sequence[str]:
        """Return the new container."""
        return [f"{self.OutputName}.*"]

    def execute(self, events: Events, result: Any) -> None:
        """Follow the links of the chunk."""
        source, _, link = self.Link.partition(".")
        linked = events[source].follow(link, self.To)
        events.add(
            self.OutputName,
            {column: linked.flat(column) for column in self.Columns},
            counts=linked.counts,
            parent=source,
        )
