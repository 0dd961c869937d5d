"""Write an RNTuple: its header, worked out once for all files with the same columns, and clusters of pages with
checksums.

As uproot's ``mkrntuple`` and ``extend``, but for the checksums, for pages that say the same (the offsets of all columns
of a container), which are written once as ROOT does, and for all pages of a cluster being one blob of the file. What is
done here takes private parts of uproot: ``setup.cfg`` says of which versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from hepflow.io.buffers import ColumnType, inner_layout
from hepflow.io.pagelists import CHECKSUM_BYTES, Cluster, Page, checksum, packed
from hepflow.io.pages import check_parts

__all__ = ["append", "create"]

BLOB = 64_000_000
"""Bytes from which on a blob is written, though pages follow."""
_NTUPLE = ("_header", "_footer", "_footer_key", "_anchor", "_freesegments", "_column_counts", "_num_entries", "sync")


def create(file: Any, name: str, fields: Mapping[str, ColumnType]) -> Any:
    """Return an empty RNTuple in an open file, with fields of these types, as ``mkrntuple`` does."""
    from uproot.const import rntuple_version_for_writing
    from uproot.writing import _cascadentuple as parts
    from uproot.writing.writable import WritableNTuple

    folder, _, own = name.rpartition("/")
    directory = file.mkdir(folder) if folder else file
    made, sink = directory._cascading, directory._file.sink
    header = _header(own, tuple(fields.items()))
    footer = parts.NTuple_Footer(None, header._checksum)
    anchor = parts.NTuple_Anchor(None, *rntuple_version_for_writing, *[None] * 6, 0)
    ntuple = parts.NTuple(made, header._akform, made._freesegments, header, footer, [], anchor)
    ntuple.write(sink)
    output = WritableNTuple((*directory._path, own), directory._file, ntuple)
    directory._file._new_ntuple(output)
    return output


@lru_cache(maxsize=8)
def _header(name: str, fields: tuple[tuple[str, ColumnType], ...]) -> Any:
    """Return uproot's header of an RNTuple: it stands nowhere yet, and may stand in many files."""
    import awkward as ak
    from uproot.writing import _cascadentuple as parts

    forms = ak.forms.RecordForm([_form(found) for _, found in fields], [name for name, _ in fields])
    return parts.NTuple_Header(None, name, "", forms)


@cache
def _form(found: ColumnType) -> Any:
    """Return the form of columns of a type: there are few, and every file has a hundred columns."""
    import awkward as ak

    column = found.empty()
    layout = inner_layout(column.content)
    if column.offsets is not None:
        layout = ak.contents.ListOffsetArray(ak.index.Index64(column.offsets), layout)
    return layout.form


def append(output: Any, columns: Sequence[npt.NDArray[Any]], entries: int) -> None:
    """Append entries as a cluster to what ``create`` returned. ``columns`` are in the order of the header: for lists
    the ends of each, then what is in them.
    """
    from uproot.writing import _cascadentuple as parts

    ntuple, sink = output._cascading, output._file.sink
    check_parts(ntuple, _NTUPLE)
    bits = [record.bits_on_disk for record in ntuple._header._column_records]
    given = [1 if values.dtype == np.bool_ else 8 * values.itemsize for values in columns]
    if given != bits:
        raise ValueError(f"the columns have {given} bits a value, not {bits}")
    pages = _write_pages(ntuple, sink, columns, output.compression)
    cluster = Cluster(ntuple._num_entries, entries, [[page] if page.elements else [] for page in pages])
    envelope = packed(
        ntuple._header._checksum,
        cluster,
        [int(count) for count in ntuple._column_counts],
        parts._compression_code(output.compression),
    )
    ntuple._column_counts += [len(values) for values in columns]
    link = parts.NTuple_EnvLink(len(envelope), parts.NTuple_Locator(len(envelope), _blob(ntuple, sink, envelope)))
    group = parts.NTuple_ClusterGroupRecord(ntuple._num_entries, entries, 1, link)
    ntuple._num_entries += entries
    ntuple._footer.cluster_group_record_frames.append(group)
    _replace_footer(ntuple, sink)


def _write_pages(ntuple: Any, sink: Any, columns: Sequence[npt.NDArray[Any]], compression: Any) -> list[Page]:
    """Write the values of each column as a page, the same values once; return where the pages lie."""
    from uproot.compression import compress

    places: dict[bytes, tuple[int, int]] = {}
    waiting: dict[bytes, bytes] = {}
    said = []
    for values in columns:
        plain: Any = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values.view(np.uint8)
        said.append(xxhash.xxh3_128_digest(plain))
        if said[-1] not in places and said[-1] not in waiting:
            waiting[said[-1]] = bytes(compress(plain, compression))
            if sum(map(len, waiting.values())) > BLOB:
                _place(ntuple, sink, waiting, places)
    _place(ntuple, sink, waiting, places)
    return [Page(len(values), *places[digest], True) for values, digest in zip(columns, said, strict=True)]


def _place(ntuple: Any, sink: Any, waiting: dict[bytes, bytes], places: dict[bytes, tuple[int, int]]) -> None:
    """Write pages with their checksums as one blob, and note the size and the first byte of each."""
    offset = _blob(ntuple, sink, b"".join(part for page in waiting.values() for part in (page, checksum(page))))
    for digest, page in waiting.items():
        places[digest] = len(page), offset
        offset += len(page) + CHECKSUM_BYTES
    waiting.clear()


def _blob(ntuple: Any, sink: Any, content: bytes) -> int:
    """Write bytes that only numbers of the RNTuple point to; return the first."""
    key = ntuple.add_rblob(sink, content, len(content))
    return int(key.location + key.allocation)


def _replace_footer(ntuple: Any, sink: Any) -> None:
    """Write the footer anew; the old one is given up once nothing points to it."""
    old, footer, anchor = ntuple._footer_key, ntuple._footer.serialize(), ntuple._anchor
    ntuple._footer_key = key = ntuple.add_rblob(sink, footer, len(footer))
    ntuple.sync(sink)
    anchor.seek_footer = key.location + key.allocation
    anchor.nbytes_footer = anchor.len_footer = len(footer)
    sink.write(anchor.location, anchor.serialize())
    ntuple._freesegments.release(old.location, old.location + old.num_bytes + old.compressed_bytes)
    ntuple.sync(sink)
