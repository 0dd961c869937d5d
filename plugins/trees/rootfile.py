"""The one ROOT file that MVAUtils reads: a TTree with branches of ``std::vector``, and a TNamed beside it.

uproot writes file, directory and streamers (private parts, see setup.cfg), but no branches of vectors and no TNamed;
these are put together here, as ROOT 6 writes ``TTree::Branch("vars", &vector)``: TBranchElement without members of its
own, one TLeafElement, one basket whose entries are byte count, version, number of elements, elements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["VectorBranch", "write_vectors"]

COUNT, NEW_CLASS = 0x40000000, 0xFFFFFFFF
ON_HEAP, IN_LIST, OF_BRANCH = 0x03000000, 0x8, 0x00400000
KEY = 34
"""Bytes of a key of a large file, without its texts."""
BASKETS = 10
_ATTRIBUTES = bytes.fromhex("40000008 0002 025a 0001 0001 40000006 0002 0000 03e9 4000000a 0002 0001 0001 3f800000")
_FILL = bytes.fromhex("40000006 0002 0000 03e9")
_FEATURES = bytes.fromhex("40000007 0000 1aa12f10 00")
_EMPTY = bytes.fromhex("40000015 0003 0001 00000000 03000000 00 00000000 00000000")
_LIST = bytes.fromhex("0001 00000000 03000000 00")
_VECTORS = {"i4": ("vector<int>", 9976712), "f4": ("vector<float>", 89790107), "?": ("vector<bool>", 29929751)}
_INT, _UINT, _SHORT, _POINTER, _TEXT = (
    (3, 4, "int"),
    (13, 4, "unsigned int"),
    (2, 2, "short"),
    (64, 8, ""),
    (65, 24, ""),
)
# class → version, checksum, (base, what it is, version, checksum), members: what uproot has no streamers for
_CLASSES: dict[str, tuple[int, int, tuple[str, str, int, int], tuple[tuple[str, str, tuple[int, int, str]], ...]]] = {
    "TBranchElement": (
        10,
        3880738403,
        ("TBranch", "Branch descriptor", 13, 278366892),
        (
            ("fClassName", "Class name of referenced object", _TEXT),
            ("fParentName", "Name of parent class", _TEXT),
            ("fClonesName", "Name of class in TClonesArray or (STL) collection (if any)", _TEXT),
            ("fCheckSum", "CheckSum of class", _UINT),
            ("fClassVersion", "Version number of class", _SHORT),
            ("fID", "element serial number in fInfo", _INT),
            ("fType", "Branch type", _INT),
            ("fStreamerType", "branch streamer type", _INT),
            ("fMaximum", "Maximum entries for a TClonesArray or variable array", _INT),
            ("fBranchCount", "pointer to primary branchcount branch", _POINTER),
            ("fBranchCount2", "pointer to secondary branchcount branch", _POINTER),
        ),
    ),
    "TLeafElement": (
        1,
        2689566867,
        ("TLeaf", "Leaf: description of a Branch data type", 2, 1830715730),
        (("fID", "element serial number in fInfo", _INT), ("fType", "leaf type", _INT)),
    ),
}
_KINDS = {64: "TStreamerObjectPointer", 65: "TStreamerString"}


@dataclass(frozen=True)
class VectorBranch:
    """A branch with a vector an entry, or with one float an entry where ``single``. ``kind`` is i4, f4 or ?."""

    name: str
    kind: str
    entries: Sequence[npt.NDArray[Any]]
    single: bool = False


def write_vectors(path: Path, tree: str, title: str, branches: Sequence[VectorBranch], named: tuple[str, str]) -> None:
    """Write a tree with these branches, and a TNamed (name, title) beside it."""
    import uproot
    from uproot.writing._cascade import RawStreamerInfo

    with uproot.recreate(path) as file:
        parts, sink = file._file._cascading, file._file.sink
        baskets = [_write_basket(parts, sink, tree, branch) for branch in branches]
        raw = _tree(tree, title, branches, baskets)
        parts.rootdirectory.add_object(sink, "TTree", tree, title, raw, len(raw), big=True)
        if named[1]:
            named_bytes = _Buffer()
            named_bytes.named(*named)
            raw = bytes(named_bytes)
            parts.rootdirectory.add_object(sink, "TNamed", *named, raw, len(raw))
        known = (uproot.models.TLeaf.Model_TLeafF_v1, uproot.models.TTree.Model_TTree_v20)
        streamers = [RawStreamerInfo(*one) for model in known for one in model.class_rawstreamers]
        streamers += [RawStreamerInfo(None, _streamer(name), name, held[0]) for name, held in _CLASSES.items()]
        parts.streamers.update_streamers(sink, streamers)


class _Buffer(bytearray):
    """Bytes of an object, with the byte counts that stand before their parts."""

    @contextmanager
    def counted(self, version: int) -> Iterator[None]:
        start = len(self)
        self += struct.pack(">IH", 0, version)
        yield
        self[start : start + 4] = struct.pack(">I", COUNT | (len(self) - start - 4))

    @contextmanager
    def object(self, name: str) -> Iterator[int]:
        """Write an object with its class; yields where it is, for references to it."""
        start = len(self)
        self += struct.pack(">II", 0, NEW_CLASS) + name.encode() + b"\0"
        yield start
        self[start : start + 4] = struct.pack(">I", COUNT | (len(self) - start - 4))

    @contextmanager
    def list(self, n: int) -> Iterator[None]:
        with self.counted(3):
            self += _LIST + struct.pack(">ii", n, 0)
            yield

    def text(self, text: str) -> None:
        self += _text(text)

    def named(self, name: str, title: str, bits: int = 0) -> None:
        with self.counted(1):
            self += struct.pack(">HII", 1, 0, ON_HEAP | bits)
            self.text(name)
            self.text(title)


def _text(text: str) -> bytes:
    held = text.encode()
    return (bytes([len(held)]) if len(held) < 255 else struct.pack(">BI", 255, len(held))) + held


def _write_basket(parts: Any, sink: Any, tree: str, branch: VectorBranch) -> tuple[int, int, int]:
    """Write the one basket of a branch; returns its bytes with key, as in memory and on disk, and its place."""
    kind = np.dtype(branch.kind).newbyteorder(">")
    texts = _text("TBasket") + _text(branch.name) + _text(tree)
    keylen = KEY + len(texts) + 19
    held, ends = bytearray(), [keylen]
    for entry in branch.entries:
        values = np.asarray(entry).astype(kind).tobytes()
        if not branch.single:
            values = struct.pack(">IHi", COUNT | (len(values) + 6), 10, len(entry)) + values
        held += values
        ends.append(keylen + len(held))
    last, n = ends[-1], len(branch.entries)
    if not branch.single:
        held += struct.pack(f">{n + 2}i", n + 1, *ends[:-1], 0)
    size = keylen + len(held)
    place = parts.freesegments.allocate(size, dry_run=False)
    buffer_size = n + 1 if not branch.single else kind.itemsize
    out = struct.pack(">ihiIhhqq", size, 1004, len(held), _now(), keylen, 0, place, parts.rootdirectory.key.location)
    out += texts + struct.pack(">HiiiiB", 3, 32000, buffer_size, n, last, 0)
    sink.write(place, out + bytes(held))
    parts.freesegments.write(sink)
    sink.set_file_length(parts.freesegments.fileheader.end)
    return size, size, place


def _now() -> int:
    """Return a time in ROOT's form: always the same, so that the same model makes the same file."""
    year, month, day = 2000, 1, 1
    return ((year - 1995) << 26) | (month << 22) | (day << 17)


def _tree(name: str, title: str, branches: Sequence[VectorBranch], baskets: Sequence[tuple[int, int, int]]) -> bytes:
    """Return the bytes of the TTree."""
    out = _Buffer()
    n = len(branches[0].entries)
    keylen = KEY + len(_text("TTree") + _text(name) + _text(title))
    total, stored = (sum(basket[k] for basket in baskets) for k in (0, 1))
    leaves: list[int] = []
    with out.counted(20):
        out.named(name, title, IN_LIST)
        out += _ATTRIBUTES
        out += struct.pack(">qqqqqd", n, total, stored, 0, 0, 1.0)
        out += struct.pack(">iiiIi", 0, 25, 0, 1000, 0)
        out += struct.pack(">qqqqqq", 10**12, 10**12, 0, -300_000_000, -30_000_000, 1_000_000)
        out += b"\0\0" + _FEATURES
        with out.list(len(branches)):
            for branch, basket in zip(branches, baskets, strict=True):
                leaves.append(_branch(out, branch, basket) + keylen + 2)
        with out.list(len(branches)):
            out += struct.pack(f">{len(leaves)}I", *leaves)
        out += bytes(28)
    return bytes(out)


def _branch(out: _Buffer, branch: VectorBranch, basket: tuple[int, int, int]) -> int:
    """Write a branch with its leaf; returns where the leaf is."""
    if branch.single:
        with out.object("TBranch"):
            return _branch_base(out, branch, basket)
    with out.object("TBranchElement"), out.counted(10):
        leaf = _branch_base(out, branch, basket)
        name, checksum = _VECTORS[branch.kind]
        for text in (name, "", ""):
            out.text(text)
        out += struct.pack(">IHiiii", checksum, 6, -1, 0, -1, 0) + bytes(8)
    return leaf


def _branch_base(out: _Buffer, branch: VectorBranch, basket: tuple[int, int, int]) -> int:
    n = len(branch.entries)
    with out.counted(13):
        out.named(branch.name, branch.name + "/F" * branch.single, OF_BRANCH)
        out += _FILL
        out += struct.pack(">iiiiq", 0, 32000, 0 if branch.single else 4 * n, 1, n)
        out += _FEATURES
        out += struct.pack(">iIiqqqq", 0, BASKETS, 0 if branch.single else 99, n, 0, basket[0], basket[1])
        out += _EMPTY
        with out.list(1):
            leaf = _leaf(out, branch)
        out += _EMPTY
        out += struct.pack(f">B{BASKETS}i", 1, basket[1], *[0] * (BASKETS - 1))
        out += struct.pack(f">B{BASKETS}q", 1, 0, n, *[0] * (BASKETS - 2))
        out += struct.pack(f">B{BASKETS}q", 1, basket[2], *[0] * (BASKETS - 1))
        out += b"\0"
    return leaf


def _leaf(out: _Buffer, branch: VectorBranch) -> int:
    with out.object("TLeafF" if branch.single else "TLeafElement") as place, out.counted(1):
        with out.counted(2):
            out.named(branch.name, branch.name)
            out += struct.pack(">iii??I", 1, 4 if branch.single else 0, 0, False, False, 0)
        out += struct.pack(">ff", 0, 0) if branch.single else struct.pack(">ii", -1, -1)
    return place


def _streamer(name: str) -> bytes:
    """Return the TStreamerInfo of a class, as an element of the list in a file."""
    version, checksum, (base, what, base_version, base_checksum), members = _CLASSES[name]
    out = _Buffer()
    with out.object("TStreamerInfo"), out.counted(9):
        out.named(name, "", 0x10000)
        out += struct.pack(">Ii", checksum, version)
        with out.object("TObjArray"), out.counted(3):
            out += bytes.fromhex("0001 00000000 00000000 00") + struct.pack(">ii", len(members) + 1, 0)
            with out.object("TStreamerBase"), out.counted(3):
                _element(out, base, what, (0, 0, "BASE"), base_checksum)
                out += struct.pack(">i", base_version)
            for member, title, (kind, size, written) in members:
                with out.object(_KINDS.get(kind, "TStreamerBasicType")), out.counted(2):
                    written = written or ("TString" if kind == _TEXT[0] else f"{name}*")
                    _element(out, member, title, (kind, size, written), 0)
    return bytes(out) + b"\0"


def _element(out: _Buffer, name: str, title: str, kind: tuple[int, int, str], checksum: int) -> None:
    with out.counted(4):
        out.named(name, title)
        out += struct.pack(">iiiiiiiii", kind[0], kind[1], 0, 0, 0, checksum, 0, 0, 0)
        out.text(kind[2])
