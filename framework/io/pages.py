"""The checksums of an RNTuple: compared where envelopes and pages are read, written behind every page.

The format has an XXH3 of 64 bits at the end of each envelope (header, footer, page lists) and, where the page list says
so by a negative number of elements, one behind each page, whose size does not count it
(https://github.com/root-project/root/blob/master/tree/ntuple/doc/BinaryFormatSpecification.md). uproot compares those
of header and footer only and writes none for pages. What is done here takes private parts of uproot: ``setup.cfg``
says of which versions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import xxhash

from hepflow.errors import HepflowError

__all__ = ["append", "check_parts", "compare_checksums"]

CHECKSUM_BYTES = 8
VERSIONS = "uproot>=5.7.7,<5.8"
_NTUPLE = ("_header", "_footer", "_footer_key", "_anchor", "_freesegments", "_column_counts", "_num_entries", "sync")
_READ = ("_header", "_prepare_header_chunk", "_prepare_footer_chunk", "read_locator", "page_link_list")


def compare_checksums(tree: Any) -> None:
    """Compare the checksums of an RNTuple's envelopes, and let it compare those of the pages whenever it reads one.

    ``tree`` is what uproot gives for the RNTuple. Raises ValueError, here and where it reads, for what is damaged.
    """
    check_parts(tree, _READ)
    for name in ("header", "footer"):
        getattr(tree, f"_prepare_{name}_chunk")()
        _compare(getattr(tree, f"_{name}_chunk").raw_data, name)
    tree._header = _header(bytes(tree._header_chunk.raw_data))
    read = tree.read_locator
    lists = {group.page_list_link.locator.offset for group in tree.footer.cluster_group_records}
    tree.read_locator = _reading_lists(read, lists)
    pages = [page for cluster in tree.page_link_list for column in cluster for page in column.pages]
    tree.read_locator = _reading_pages(tree, read, {page.locator.offset for page in pages if page.has_checksum})


@lru_cache(maxsize=8)
def _header(content: bytes) -> Any:
    """Return what a header says, which is the same in all files that one job wrote: parsing it takes half the time to
    open a small one.
    """
    import numpy as np
    from uproot.models.RNTuple import HeaderReader
    from uproot.source.chunk import Chunk
    from uproot.source.cursor import Cursor

    return HeaderReader().read(Chunk.wrap(None, np.frombuffer(content, np.uint8)), Cursor(0), {})


_Read = Callable[[Any, int], tuple[Any, Any]]


def _reading_lists(read: _Read, lists: set[int]) -> _Read:
    def read_locator(locator: Any, size: int) -> tuple[Any, Any]:
        chunk, cursor = read(locator, size)
        if locator.offset in lists:
            _compare(chunk.raw_data, "page list")
        return chunk, cursor

    return read_locator


def _reading_pages(tree: Any, read: _Read, checked: set[int]) -> _Read:
    """Return what reads a page as uproot does, with the checksum behind it, which costs no request more."""
    from uproot.compression import decompress
    from uproot.source.cursor import Cursor

    source = tree.file.source

    def read_locator(locator: Any, size: int) -> tuple[Any, Any]:
        start, length = locator.offset, locator.num_bytes
        if start not in checked:
            return read(locator, size)
        chunk, cursor = source.chunk(start, start + length + CHECKSUM_BYTES), Cursor(start)
        _compare(chunk.raw_data, f"page at byte {start:,}")
        if length >= size:
            return chunk, cursor
        return decompress(chunk, cursor, {}, length, size), Cursor(0)

    return read_locator


def _compare(content: Any, what: str) -> None:
    """Compare the checksum at the end of some bytes with that of the others."""
    if _checksum(content[:-CHECKSUM_BYTES]) != bytes(content[-CHECKSUM_BYTES:]):
        raise ValueError(f"the checksum of the {what} does not fit")


def _checksum(content: Any) -> bytes:
    return xxhash.xxh3_64_intdigest(content).to_bytes(CHECKSUM_BYTES, "little")


def append(output: Any, entries: Any) -> None:
    """Append entries (a ``RecordArray``) as a cluster to what ``mkrntuple`` returned, each column as one page.

    As uproot's ``extend``, but for the checksums of the pages.
    """
    import awkward as ak
    from uproot.writing import _cascadentuple as parts

    ntuple, sink = output._cascading, output._file.sink
    check_parts(ntuple, _NTUPLE)
    packed = parts._to_packed(entries)
    if packed.form != ntuple._header._akform:
        raise ValueError(f"the columns are {packed.form}, not {ntuple._header._akform}")
    buffers = ak.to_buffers(packed)[2]
    code = parts._compression_code(output.compression)
    columns = []
    for number, key in enumerate(ntuple._header._column_keys):
        values = buffers[key].reshape(-1)[1 if key.endswith("-offsets") else 0 :]  # the first offset is not stored
        pages = [_page(ntuple, sink, values, output.compression)] if len(values) else []
        columns.append(parts.NTuple_ColumnPageListDescription(pages, ntuple._column_counts[number], code))
        ntuple._column_counts[number] += len(values)
    summary = parts.NTuple_ClusterSummary(ntuple._num_entries, len(packed))
    envelope = parts.NTuple_PageListEnvelope(ntuple._header._checksum, [summary], [columns]).serialize()
    link = parts.NTuple_EnvLink(len(envelope), _blob(ntuple, sink, envelope))
    group = parts.NTuple_ClusterGroupRecord(ntuple._num_entries, len(packed), 1, link)
    ntuple._num_entries += len(packed)
    ntuple._footer.cluster_group_record_frames.append(group)
    _replace_footer(ntuple, sink)


def _page(ntuple: Any, sink: Any, values: Any, compression: Any) -> Any:
    """Write the values of a column and return the description of their page."""
    import numpy as np
    from uproot.compression import compress
    from uproot.writing._cascadentuple import NTuple_Locator, NTuple_PageDescription

    plain = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values.view(np.uint8)
    content = bytes(compress(plain, compression))
    key = ntuple.add_rblob(sink, content + _checksum(content), len(plain) + CHECKSUM_BYTES)
    return NTuple_PageDescription(-len(values), NTuple_Locator(len(content), key.location + key.allocation))


def _blob(ntuple: Any, sink: Any, content: bytes) -> Any:
    from uproot.writing._cascadentuple import NTuple_Locator

    key = ntuple.add_rblob(sink, content, len(content))
    return NTuple_Locator(len(content), key.location + key.allocation)


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


def check_parts(thing: Any, names: tuple[str, ...]) -> None:
    """Raise HepflowError where the installed uproot lacks private parts that are used here."""
    missing = [name for name in names if not hasattr(type(thing), name) and name not in vars(thing)]
    if missing:
        import uproot

        raise HepflowError(
            f"the installed uproot {uproot.__version__} has no {', '.join(missing)}",
            hint=f"pip install '{VERSIONS}'",
        )
