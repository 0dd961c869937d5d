"""Read the pages of an RNTuple, with the checksums of envelopes and pages compared.

The format has an XXH3 of 64 bits at the end of each envelope (header, footer, page lists) and, where the page list says
so by a negative number of elements, one behind each page, whose size does not count it. uproot compares those
of header and footer only, and asks for page after page. What is done here takes private parts of uproot: ``setup.cfg``
says of which versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import HepflowError
from hepflow.io.pagelists import CHECKSUM_BYTES, Cluster, Page, checksum, unpacked

__all__ = ["Pages", "check_parts", "clusters_of"]

GAP = 65536
"""Bytes between two pages that are read along rather than asked for anew."""
VERSIONS = "uproot>=5.7.7,<5.8"
_READ = (
    "_header", "_prepare_header_chunk", "_prepare_footer_chunk", "_column_records_dict", "_field_metadata_cache",
    "_num_entries", "read_locator", "deserialize_page_decompressed_buffer", "post_process",
)  # fmt: skip


def clusters_of(tree: Any) -> tuple[tuple[Cluster, ...], dict[str, Any]]:
    """Return the clusters of an RNTuple (what uproot gives for it), and where to keep what is worked out of its fields:
    it is the same in all files that one job wrote. Raises ValueError where an envelope is damaged.
    """
    check_parts(tree, _READ)
    for name in ("header", "footer"):
        getattr(tree, f"_prepare_{name}_chunk")()
        _compare(getattr(tree, f"_{name}_chunk").raw_data, name)
    tree._header, metadata, known = _header(bytes(tree._header_chunk.raw_data))
    extended = tree.footer.extension_links
    if extended.field_records or extended.column_records:  # the footer of this file adds to the header
        known = {}
    else:
        tree._field_metadata_cache = metadata
    clusters: list[Cluster] = []
    for group in tree.footer.cluster_group_records:
        link = group.page_list_link
        content = tree.read_locator(link.locator, link.env_uncomp_size)[0].raw_data
        _compare(content, "page list")
        clusters += unpacked(bytes(content))
    tree._num_entries = sum(cluster.entries for cluster in clusters)
    return tuple(clusters), known


@lru_cache(maxsize=8)
def _header(content: bytes) -> tuple[Any, dict[int, Any], dict[str, Any]]:
    """Return what a header says, what uproot works out of its columns, and what we do: parsing it takes half the time
    to open a small file.
    """
    from uproot.models.RNTuple import HeaderReader
    from uproot.source.chunk import Chunk
    from uproot.source.cursor import Cursor

    return HeaderReader().read(Chunk.wrap(None, np.frombuffer(content, np.uint8)), Cursor(0), {}), {}, {}


class Pages:
    """Reads columns of a range of clusters. The pages of all ``numbers`` are read together, where they lie side by
    side in one request; columns of offsets that say the same, as those of one container do, are one array.
    """

    def __init__(self, tree: Any, clusters: Sequence[Cluster], numbers: Iterable[int]) -> None:
        self._tree = tree
        self._pages = {number: [self._stored(number, cluster) for cluster in clusters] for number in numbers}
        self._offsets: dict[tuple[Any, ...], npt.NDArray[Any]] = {}
        self._chunks: list[tuple[int, memoryview]] = []
        self._place: dict[int, int] = {}  # first byte of a page → number of its chunk
        self._read()

    def _stored(self, number: int, cluster: Cluster) -> tuple[int, list[Page]]:
        """Return which column represents this one in a cluster, and its pages."""
        if number >= len(cluster.columns):
            return number, []
        pages = cluster.columns[number]
        if pages is not None:
            return number, pages
        others = self._tree._column_records_dict[self._tree.column_records[number].field_id]
        return next((other.idx, pages) for other in others if (pages := cluster.columns[other.idx]) is not None)

    def _read(self) -> None:
        """Read all pages, those side by side in one request."""
        pages = {page.offset: page for stored in self._pages.values() for _, found in stored for page in found}
        spans: list[list[int]] = []
        for start in sorted(pages):
            stop = start + pages[start].size + CHECKSUM_BYTES * pages[start].checked
            if spans and start <= spans[-1][1] + GAP:
                spans[-1][1] = max(spans[-1][1], stop)
            else:
                spans.append([start, stop])
            self._place[start] = len(spans) - 1
        source = self._tree.file.source
        self._chunks = [(start, memoryview(source.chunk(start, stop).raw_data)) for start, stop in spans]

    def _raw(self, page: Page) -> memoryview:
        """Return the bytes of a page, and those of its checksum where it has one."""
        start, content = self._chunks[self._place[page.offset]]
        place = page.offset - start
        return content[place : place + page.size + CHECKSUM_BYTES * page.checked]

    def array(self, number: int, late: int = 0) -> npt.NDArray[Any]:
        """Return one column, with ``late`` zeros for the elements before it begins; offsets start with 0."""
        from uproot.const import rntuple_index_types

        stored, records = self._pages[number], self._tree.column_records
        dtype = self._tree.get_field_metadata(stored[-1][0] if stored else number).dtype_result
        if records[number].type not in rntuple_index_types:
            return self._join(stored, late, dtype)
        said = [(records[column].type, *((p.elements, bytes(self._raw(p))) for p in pages)) for column, pages in stored]
        key = (dtype.str, late, *said)
        if key not in self._offsets:
            self._offsets[key] = found = self._join(stored, late + 1, dtype)
            place = late + 1
            for _, pages in stored:  # each cluster counts from its own first element
                stop = place + sum(page.elements for page in pages)
                found[place:stop] += found[place - 1]
                place = stop
        return self._offsets[key]

    def _join(self, stored: Sequence[tuple[int, list[Page]]], late: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        found = np.empty(late + sum(page.elements for _, pages in stored for page in pages), dtype)
        found[:late] = 0
        place = late
        for column, pages in stored:
            stop = place + sum(page.elements for page in pages)
            self._fill(found[place:stop], column, pages)
            place = stop
        return found

    def _fill(self, target: npt.NDArray[Any], number: int, pages: Sequence[Page]) -> None:
        """Unpack the pages of a column in one cluster, as uproot's ``read_cluster_pages`` does."""
        about = self._tree.get_field_metadata(number)
        place, total = 0, 0
        for page in pages:
            part = target[place : place + page.elements]
            if about.isbit:
                length = (page.elements + 7) // 8
            elif about.dtype_str in ("real32trunc", "real32quant"):
                length = (page.elements * about.nbits + 7) // 8
            else:
                length = page.elements
            self._unpack(page, part.view(np.uint8)[: length * about.dtype_toread.itemsize])
            self._tree.deserialize_page_decompressed_buffer(part, about)
            if about.dtype != about.dtype_result:
                part[:] = part.view(about.dtype)[: page.elements]
            if about.delta and page.elements:
                part[0] -= total
                total += np.sum(part)
            place += page.elements
        self._tree.post_process(target, about)

    def _unpack(self, page: Page, target: npt.NDArray[np.uint8]) -> None:
        """Unpack the bytes of a page to where they belong; ValueError where they are not those that were written."""
        from uproot.compression import decompress
        from uproot.source.chunk import Chunk
        from uproot.source.cursor import Cursor

        content = self._raw(page)
        if page.checked:
            _compare(content, f"page at byte {page.offset:,}")
            content = content[:-CHECKSUM_BYTES]
        if page.size >= len(target):
            target[:] = np.frombuffer(content, np.uint8, len(target))
        elif not _unpack_zstd(content, target):
            chunk = Chunk.wrap(self._tree.file.source, np.frombuffer(content, np.uint8))
            target[:] = decompress(chunk, Cursor(0), {}, page.size, len(target)).raw_data


def _unpack_zstd(content: memoryview, target: npt.NDArray[np.uint8]) -> bool:
    """Unpack one block of ZSTD, as pages of an xAOD are, without a copy between; return whether it is one."""
    import cramjam

    size = int.from_bytes(content[6:9], "little")
    if bytes(content[:2]) != b"ZS" or size != len(target):
        return False
    return int(cramjam.zstd.decompress_into(content[9:], target.data)) == size


def _compare(content: Any, what: str) -> None:
    """Compare the checksum at the end of some bytes with that of the others."""
    if checksum(content[:-CHECKSUM_BYTES]) != bytes(content[-CHECKSUM_BYTES:]):
        raise ValueError(f"the checksum of the {what} does not fit")


def check_parts(thing: Any, names: tuple[str, ...]) -> None:
    """Raise HepflowError where the installed uproot lacks private parts that are used here."""
    missing = [name for name in names if not hasattr(type(thing), name) and name not in vars(thing)]
    if missing:
        import uproot

        raise HepflowError(
            f"the installed uproot {uproot.__version__} has no {', '.join(missing)}",
            hint=f"pip install '{VERSIONS}'",
        )
