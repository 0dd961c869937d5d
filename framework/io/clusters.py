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
"""Bytes of pages, unpacked, that are written together."""
_HEADER, _BLOCK = 9, 1 << 24
"""Bytes before a packed block, and those from which on it takes several."""
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
    plain = [np.packbits(one, bitorder="little") if one.dtype == np.bool_ else one.view(np.uint8) for one in columns]
    said = [xxhash.xxh3_128_digest(values.data) for values in plain]
    waiting = dict(zip(said, plain, strict=True))
    places: dict[bytes, tuple[int, int]] = {}
    while waiting:
        places |= _write_blob(ntuple, sink, waiting, compression)
    return [Page(len(values), *places[digest], True) for values, digest in zip(columns, said, strict=True)]


def _write_blob(
    ntuple: Any, sink: Any, waiting: dict[bytes, npt.NDArray[np.uint8]], compression: Any
) -> dict[bytes, tuple[int, int]]:
    """Write the first of the pages that wait, with their checksums, as one blob; return the size and the first byte of
    each.
    """
    sizes = [len(values) + CHECKSUM_BYTES for values in waiting.values()]
    number = max(1, int(np.searchsorted(np.cumsum(sizes), BLOB, side="right")))
    blob = np.empty(sum(sizes[:number]), np.uint8)
    pages, end = [], 0
    for digest in [*waiting][:number]:
        start, end = end, end + _pack(waiting.pop(digest), compression, blob[end:])
        pages.append((digest, end - start, start))
        blob[end : end + CHECKSUM_BYTES] = np.frombuffer(checksum(blob[start:end].data), np.uint8)
        end += CHECKSUM_BYTES
    first = _blob(ntuple, sink, blob[:end].data)
    return {digest: (size, first + start) for digest, size, start in pages}


def _pack(values: npt.NDArray[np.uint8], compression: Any, target: npt.NDArray[np.uint8]) -> int:
    """Put the bytes of a page where they belong, packed where that makes them less, as uproot's ``compress`` does;
    return how many they are. ZSTD packs straight to there.
    """
    import cramjam
    from uproot.compression import ZSTD, compress

    if isinstance(compression, ZSTD) and len(values) < _BLOCK:
        room = target[_HEADER : max(len(values) - 1, _HEADER)]
        try:
            size = cramjam.zstd.compress_into(values.data, room.data, level=compression.level)
        except cramjam.CompressionError:  # it would take as much as unpacked, or more
            pass
        else:
            sizes = size.to_bytes(3, "little") + len(values).to_bytes(3, "little")
            target[:_HEADER] = np.frombuffer(b"ZS\x01" + sizes, np.uint8)
            return _HEADER + int(size)
        packed = values
    else:
        packed = np.frombuffer(compress(values, compression), np.uint8)
    target[: len(packed)] = packed
    return len(packed)


def _blob(ntuple: Any, sink: Any, content: bytes | memoryview) -> int:
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
