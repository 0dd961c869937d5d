"""Joining ROOT files with the same columns into one, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hepflow.errors import InputError
from hepflow.io.ntuple import NtupleRNTupleReader, NtupleTTreeReader
from hepflow.io.opening import open_reader
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.root import RootReader
from hepflow.io.spelling import counters_of
from hepflow.io.ttree import TTreeReader
from hepflow.io.writers import RNTupleWriter, TTreeWriter
from hepflow.normalisation import NORMALISATION, joined
from hepflow.protocols import NOMINAL, FileSchema

__all__ = ["merge_files"]

FORMATS = (TTreeReader, RNTupleReader, NtupleTTreeReader, NtupleRNTupleReader)
BLOCK_ENTRIES = 100_000


def merge_files(parts: Sequence[Path], target: Path, compression: str = "ZSTD") -> int:
    """Write the entries of all parts, in order, to ``target`` in the format of the first; return their number.

    InputError where the parts differ in format or columns.
    """
    first: FileSchema | None = None
    writer: TTreeWriter | RNTupleWriter | None = None
    entries = 0
    metadata: dict[str, Any] = {}
    told: list[Any] = []
    for path in parts:
        with closing(open_reader(str(path), FORMATS)) as reader:
            assert isinstance(reader, RootReader)
            schema = reader.schema()
            if first is None or writer is None:
                first, metadata = schema, dict(schema.metadata)
                spelled = {name: info.sources[0] for name, info in schema.columns.items()}
                counters = counters_of(schema.columns)
                make = TTreeWriter if isinstance(reader, TTreeReader) else RNTupleWriter
                writer = make(
                    target,
                    schema.tree,
                    spell=spelled.__getitem__,
                    counters=counters,
                    compression=compression,
                    metadata=metadata,
                )
            _check_same(first, schema)
            told.append(schema.metadata.get(NORMALISATION, []))
            columns = [schema.columns[name] for name in first.columns]
            for start in range(0, max(schema.entries, 1), BLOCK_ENTRIES):
                writer.write(reader.read(columns, start, min(start + BLOCK_ENTRIES, schema.entries)))
            entries += schema.entries
    if writer is None:
        raise InputError("there are no files to merge")
    if all(told):
        metadata[NORMALISATION] = joined(one for part in told for one in part)
    else:
        metadata.pop(NORMALISATION, None)  # of a part it is not known
    writer.close()
    return entries


def _check_same(first: FileSchema, other: FileSchema) -> None:
    differing = sorted(first.columns.keys() ^ other.columns.keys())
    if first.format != other.format or first.tree != other.tree:
        raise InputError(
            f"{other.path} is {other.format} {other.tree}, not {first.format} {first.tree} as {first.path}"
        )
    if first.energy_unit != other.energy_unit:
        units = [schema.energy_unit or "an unknown unit" for schema in (first, other)]
        raise InputError(f"{first.path} has energies in {units[0]}, {other.path} in {units[1]}")
    if first.metadata.get(NOMINAL) != other.metadata.get(NOMINAL):
        raise InputError(
            f"of {first.path} and {other.path} only one holds objects of variations, too",
            hint="only outputs of one job can be merged",
        )
    if differing:
        raise InputError(
            f"{first.path} and {other.path} have different columns: {', '.join(differing[:8])}",
            hint="only outputs of one job can be merged",
        )
