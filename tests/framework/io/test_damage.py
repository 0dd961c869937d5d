"""Damaged ROOT files: what the format has a checksum for is never read falsely."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import DamagedError, HepflowError, InputError
from hepflow.events.column import Column
from hepflow.io.opening import open_reader
from hepflow.io.pages import VERSIONS, clusters_of
from hepflow.io.spelling import xaod_spelling
from hepflow.io.writers import COMPRESSIONS, RNTupleWriter, TTreeWriter

OFFSETS = np.array([0, 2, 2, 3, 7], dtype=np.int64)
COLUMNS = {
    "EventInfo.mcEventNumber": Column(None, np.arange(4, dtype=np.uint64)),
    "EventInfo.isSimulation": Column(None, np.array([True, False, True, True])),
    "EventInfo.label": Column(None, ak.Array(["a", "", "tau", "jet"])),
    "TauJets.pt": Column(OFFSETS, np.linspace(15e3, 80e3, 7, dtype=np.float32)),
    "TauJets.cells": Column(OFFSETS, ak.Array([[1.0], [], [2.0, 3.0], [], [4.0], [], [5.0]])),
}


def flipped(path, byte, target=None):
    """Write a copy of a file with one bit of a byte turned round."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << byte % 8
    target = target or path.with_name(f"flipped-{path.name}")
    target.write_bytes(content)
    return target


def written(path, writer=RNTupleWriter, **options):
    """Write a small file of two clusters, or of as many baskets."""
    tree = "EventData" if writer is RNTupleWriter else "CollectionTree"
    columns = COLUMNS if writer is RNTupleWriter else {"TauJets.pt": COLUMNS["TauJets.pt"]}
    spell = xaod_spelling({}, ":" if writer is RNTupleWriter else ".")
    made = writer(path, tree, spell=spell, metadata={"tools": {"T": {}}}, **options)
    made.write(columns)
    for piece in made._pieces.rest():
        made._write_piece(piece)
    made.write(columns)
    made.close()
    return path


def values(path, formats):
    """Read all columns of a file."""
    with closing(open_reader(str(path), formats)) as reader:
        schema = reader.schema()
        read = reader.read(list(schema.columns.values()), 0, schema.entries)
    return {name: ak.to_list(column.content) for name, column in read.items()}


def page_bytes(path):
    """Return the first byte and the size of every page of an RNTuple, without its checksum."""
    with uproot.open(path) as file:
        clusters = file["EventData"].page_link_list
        pages = [page for cluster in clusters for column in cluster for page in column.pages]
        assert all(page.has_checksum for page in pages)
        return [(page.locator.offset, page.locator.num_bytes) for page in pages]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_page_has_a_checksum_that_is_compared(tmp_path, formats, compression):
    path = written(tmp_path / "m.root", compression=compression)
    right = {name: 2 * ak.to_list(column.content) for name, column in COLUMNS.items()}
    assert values(path, formats) == right
    pages = page_bytes(path)
    assert len(pages) == 2 * 9
    for start, size in pages:
        for byte in (start, start + size // 2, start + size):  # the last is one of the checksum
            with pytest.raises(InputError, match=rf"checksum of the page at byte {start:,} does not fit") as caught:
                values(flipped(path, byte), formats)
            assert "column" in str(caught.value)


def test_only_the_damaged_column_is_named(tmp_path, formats):
    path = written(tmp_path / "m.root", compression="none")
    damaged = next(start for start, size in page_bytes(path) if size == 7 * 4)
    with pytest.raises(InputError, match=r"column TauJets\.pt\n"):
        values(flipped(path, damaged), formats)


def test_envelopes_and_anchor_have_checksums_that_are_compared(tmp_path, formats):
    path = written(tmp_path / "m.root")
    with uproot.open(path) as file:
        tree = file["EventData"]
        spans = [(tree.member(f"fSeek{part}"), tree.member(f"fNBytes{part}")) for part in ("Header", "Footer")]
        lists = [group.page_list_link.locator for group in tree.footer.cluster_group_records]
        anchor = file.key("EventData")
        inside = anchor.fSeekKey + anchor.fKeylen + 6  # six bytes say how long it is, and the version of the class
    spans += [(locator.offset, locator.num_bytes) for locator in lists]
    assert len(spans) == 4
    for start, size in [*spans, (inside, anchor.fObjlen - 6)]:
        for byte in (start, start + 8, start + size // 2, start + size - 9, start + size - 1):
            with pytest.raises(DamagedError):
                values(flipped(path, byte), formats)


def test_what_hepflow_says_of_a_file_has_a_checksum(tmp_path, formats):
    path = written(tmp_path / "n.root", TTreeWriter)
    place = path.read_bytes().index(b'"tools"')
    with pytest.raises(DamagedError, match="checksum"):
        values(flipped(path, place + 12), formats)


def test_pages_without_checksums_are_read_as_they_are(tmp_path, formats):
    with uproot.recreate(tmp_path / "u.root") as file:
        file.mkrntuple("EventData", {"TauJetsAuxDyn:pt": np.arange(3.0)})
    assert values(tmp_path / "u.root", formats) == {"TauJets.pt": [0.0, 1.0, 2.0]}


def test_a_file_of_root_itself(tmp_path, physlite_rntuple, formats):
    info = physlite_rntuple.schema().columns["TauJets.pt"]
    field = next(f for f in physlite_rntuple._found[0] if f == info.sources[0])
    number = physlite_rntuple._found[0][field].values[0]
    page = physlite_rntuple._tree.page_link_list[0][number].pages[0]
    assert page.has_checksum
    path = flipped(Path(physlite_rntuple.path), page.locator.offset + 20, tmp_path / "p.root")
    with closing(open_reader(str(path), formats)) as reader, pytest.raises(InputError, match="checksum of the page"):
        reader.read([info], 0, 10)


def test_a_uproot_that_works_otherwise_is_named():
    with pytest.raises(HepflowError, match=r"has no .*_prepare_header_chunk") as caught:
        clusters_of(SimpleNamespace())
    assert VERSIONS in caught.value.hint
