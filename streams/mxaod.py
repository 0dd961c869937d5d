"""The MxAOD stream: the event structure and names of the xAOD, slimmed and thinned, with valid links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hepflow import Events, Property
from hepflow.errors import OutputError
from hepflow.events.column import Column
from hepflow.events.export import event_column, filled
from hepflow.io.spelling import Spelling, check_spelling, counters_of, xaod_spelling
from hepflow.protocols import ColumnInfo, Writer
from hepflow.streams.rootfile import RootStream

__all__ = ["MxAODStream"]


class MxAODStream(RootStream):
    """Write an MxAOD: containers with their xAOD names, decorations, and element links that stay valid.

    ``Keep`` and ``Drop`` slim (by default everything is kept), selections thin. Links are renumbered; links to removed
    objects become null links, other links without a target stay unchanged. Only RNTuple can hold links; TTree is for
    flat containers. uproot, ROOT 6.36 and later and RDataFrame read these files, xAOD::TEvent does not.
    """

    varies = True
    always: ClassVar[tuple[str, ...]] = ("EventInfo.mcEventNumber",)

    Keep: Property[tuple[str, ...]] = Property(("*",), "name patterns of the columns to write", item=str)
    Format = Property("RNTuple", "how the file is written", choices=("RNTuple", "TTree"))
    Compression = Property("ZSTD", "compression", choices=("LZ4", "ZSTD", "ZLIB", "none"))

    def check(self, columns: Mapping[str, ColumnInfo | None], inputs: Mapping[str, ColumnInfo]) -> None:
        """Refuse names that cannot be written and what a TTree cannot hold, before the loop."""
        where, fields = f"stream {self.name}", self.Format == "RNTuple"
        check_spelling(columns, self._spelling(inputs), where, fields=fields)
        if fields:
            return
        deep = [
            name
            for name, info in columns.items()
            if info is not None and (info.dtype in ("link", "string") or info.depth > 1)
        ]
        if deep:
            shown = ", ".join(deep[:8]) + (f", … ({len(deep)} in all)" if len(deep) > 8 else "")
            raise OutputError(
                f"a TTree written from Python cannot hold links, strings or lists of lists: {shown}",
                where=where,
                hint=f'leave them out with Drop, or set {self.name}.Format = "RNTuple"',
            )

    def open(self, path: Path, metadata: Mapping[str, Any], inputs: Mapping[str, ColumnInfo]) -> Writer:
        """Return a writer with xAOD spelling."""
        from hepflow.io.writers import RNTupleWriter, TTreeWriter

        writer, tree = (RNTupleWriter, "EventData") if self.Format == "RNTuple" else (TTreeWriter, "CollectionTree")
        return writer(
            path,
            tree,
            spell=self._spelling(inputs),
            counters=counters_of(inputs),
            compression=self.Compression,
            metadata=metadata,
        )

    def _spelling(self, inputs: Mapping[str, ColumnInfo]) -> Spelling:
        return xaod_spelling(inputs, ":" if self.Format == "RNTuple" else ".")

    def collect(self, events: Events, columns: Sequence[str]) -> Mapping[str, Column]:
        """Return the visible objects of the columns, links remapped."""
        written = {name.partition(".")[0] for name in columns}
        found = {name: event_column(events, name, written) for name in columns}
        if self.Format == "RNTuple":
            return found
        return {name: filled(name, column) for name, column in found.items()}  # one counter for all columns
