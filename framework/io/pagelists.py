"""The page lists of an RNTuple: where the pages of each column lie, cluster by cluster; taken apart and put together.

See https://github.com/root-project/root/blob/master/tree/ntuple/doc/BinaryFormatSpecification.md (envelopes, frames,
locators). A list of hundreds of columns is unpacked here in the tenth of the time that objects for each number take.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import xxhash

__all__ = ["CHECKSUM_BYTES", "Cluster", "Page", "checksum", "packed", "unpacked"]

CHECKSUM_BYTES = 8
_PAGE_LIST = 3
_LARGE = 1
_SHARDED = 1
_FRAME = struct.Struct("<qI")
_PAGE = struct.Struct("<iiQ")
_FAR = struct.Struct("<QQ")
_SUMMARY = struct.Struct("<qQQ")
_FIRST = struct.Struct("<q")
_CODE = struct.Struct("<I")


class Page(NamedTuple):
    """The values of a page, how many bytes of the file they take and from where, and whether a checksum follows."""

    elements: int
    size: int
    offset: int
    checked: bool


class Cluster(NamedTuple):
    """A range of entries, and the pages of each column: None for one that another represents here."""

    first: int
    entries: int
    columns: list[list[Page] | None]


def checksum(content: bytes | memoryview) -> bytes:
    """Return the XXH3 of some bytes as it stands in a file."""
    return xxhash.xxh3_64_intdigest(content).to_bytes(CHECKSUM_BYTES, "little")


def unpacked(content: bytes) -> list[Cluster]:
    """Return the clusters of a page list; ValueError, NotImplementedError or struct.error where it is none."""
    if content[0] != _PAGE_LIST or content[1]:
        raise ValueError("there is no page list where the footer says so")
    at, summaries = 16, []
    size, number = _FRAME.unpack_from(content, at)
    place = at + _FRAME.size
    for _ in range(number):
        length, first, entries = _SUMMARY.unpack_from(content, place)
        if entries >> 56 & _SHARDED:
            raise NotImplementedError("sharded clusters cannot be read")
        summaries.append((first, entries & (1 << 56) - 1))
        place += length
    at -= size
    _, number = _FRAME.unpack_from(content, at)
    at += _FRAME.size
    clusters = []
    for first, entries in summaries[:number]:
        size, columns = _FRAME.unpack_from(content, at)
        clusters.append(Cluster(first, entries, list(_columns(content, at + _FRAME.size, columns))))
        at -= size
    return clusters


def _columns(content: bytes, at: int, number: int) -> Iterator[list[Page] | None]:
    for _ in range(number):
        size, count = _FRAME.unpack_from(content, at)
        pages, place = [], at + _FRAME.size
        for _ in range(count):
            elements, length, offset = _PAGE.unpack_from(content, place)
            place += _PAGE.size
            if length < 0:
                if -length >> 24 != _LARGE:
                    raise NotImplementedError(f"pages behind a locator of type {-length >> 24} cannot be read")
                length, offset = _FAR.unpack_from(content, place - 8)
                place += 8
            pages.append(Page(abs(elements), length, offset, elements < 0))
        suppressed = _FIRST.unpack_from(content, place)[0] < 0
        yield None if suppressed else pages
        at -= size


def packed(header: int, cluster: Cluster, firsts: Sequence[int], code: int) -> bytes:
    """Return the page list of one cluster: ``header`` is the checksum of the header, ``firsts`` the number of elements
    that each column had before, ``code`` ROOT's number for the compression.
    """
    summary = _SUMMARY.pack(_SUMMARY.size, cluster.first, cluster.entries)
    columns = []
    for pages, first in zip(cluster.columns, firsts, strict=True):
        listed = [_PAGE.pack(-page.elements, page.size, page.offset) for page in pages or ()]
        columns.append(_frame(len(listed), b"".join([*listed, _FIRST.pack(first), _CODE.pack(code)])))
    lists = _frame(1, _frame(len(columns), b"".join(columns)))
    body = header.to_bytes(CHECKSUM_BYTES, "little") + _frame(1, summary) + lists
    size = 8 + len(body) + CHECKSUM_BYTES
    content = (_PAGE_LIST | size << 16).to_bytes(8, "little") + body
    return content + checksum(content)


def _frame(number: int, content: bytes) -> bytes:
    return _FRAME.pack(-_FRAME.size - len(content), number) + content
