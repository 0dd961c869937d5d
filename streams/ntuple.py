"""The ntuple stream: one entry for each tau (or for each event), flat and one-level jagged branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hepflow import Events, Property
from hepflow.errors import OutputError, nearest
from hepflow.events.column import Column
from hepflow.events.export import event_column, filled, no_entry, object_column
from hepflow.io.spelling import Spelling, check_spelling, counters_of, ntuple_spelling, ntuple_tree
from hepflow.protocols import ColumnInfo, Writer
from hepflow.streams.rootfile import RootStream

__all__ = ["NtupleStream"]


class NtupleStream(RootStream):
    """Write an ntuple with one entry for each object of a container, or for each event.

    Branches of an input ntuple keep their names (``Muon_pt``, and ``Muon_isGood`` for a new one); others are called
    ``TauJets.pt`` (one value per entry) and ``TauTrack.dphi`` (a list per entry; the lists of a group share the counter
    ``nTauTrack``). Values of the event (``EventInfo.mcEventNumber``) are repeated for each
    object; columns of a container with the name of the tree have plain names (``mHH``).
    """

    varies = True

    Container = Property("TauJets", "container whose objects are the entries; empty for one entry an event")
    TreeName = Property("", "name of the TTree or RNTuple; empty: that of the input where it is an ntuple, else tree")
    Format = Property("TTree", "how the file is written", choices=("TTree", "RNTuple"))

    def check(self, columns: Mapping[str, ColumnInfo | None], inputs: Mapping[str, ColumnInfo]) -> None:
        """Refuse links, which mean nothing in an ntuple, objects of other containers, and names that cannot be written,
        before the loop.
        """
        known = {name.partition(".")[0] for name in (*columns, *inputs)}
        if self.Container and self.Container not in known:
            raise OutputError(
                f"there is no container {self.Container!r} whose objects could be the entries",
                where=f"stream {self.name}",
                hint=f"{nearest(self.Container, known, what='containers')}; Container='' writes one entry an event",
            )
        links = [name for name, info in columns.items() if info is not None and info.dtype == "link"]
        if links:
            raise OutputError(
                f"an ntuple cannot hold element links: {', '.join(links)}",
                where=f"stream {self.name}",
                hint="leave them out with Drop; LinkedObjects writes what they point to",
            )
        for name, info in columns.items():
            listed = info is not None and info.depth > 0 and not info.single
            if listed and self.Container not in ("", name.partition(".")[0]):
                raise no_entry(name, self.Container).but(where=f"stream {self.name}")
        check_spelling(columns, self._spelling(inputs), f"stream {self.name}", fields=self.Format == "RNTuple")

    def open(self, path: Path, metadata: Mapping[str, Any], inputs: Mapping[str, ColumnInfo]) -> Writer:
        """Return a TTree or RNTuple writer."""
        from hepflow.io.writers import RNTupleWriter, TTreeWriter

        writer = TTreeWriter if self.Format == "TTree" else RNTupleWriter
        return writer(
            path,
            self._tree(inputs),
            spell=self._spelling(inputs),
            counters=counters_of(inputs),
            compression=self.Compression,
            metadata=metadata,
        )

    def _tree(self, inputs: Mapping[str, ColumnInfo]) -> str:
        """Return the name of the tree: that of the input where its entries are those of the output."""
        tree = ntuple_tree(inputs)
        return self.TreeName or (tree if self.Container in ("", tree) else "") or "tree"

    def _spelling(self, inputs: Mapping[str, ColumnInfo]) -> Spelling:
        """Return how columns are spelled: those of a container called as the tree have no prefix."""
        usual, tree = ntuple_spelling(inputs), self._tree(inputs)

        def spell(name: str) -> str:
            container, _, variable = name.partition(".")
            return variable if container == tree and name not in inputs else usual(name)

        return spell

    def collect(self, events: Events, columns: Sequence[str]) -> Mapping[str, Column]:
        """Return the visible entries of the columns."""
        if not self.Container:
            return {name: filled(name, event_column(events, name, ())) for name in columns}
        return {name: object_column(events, name, self.Container) for name in columns}
