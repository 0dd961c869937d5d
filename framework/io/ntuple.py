"""Read flat ntuples, one entry an object or an event, as TTree or RNTuple."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from hepflow.io.names import ntuple_names
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.root import RNTUPLE, TTREE
from hepflow.io.ttree import TTreeReader
from hepflow.protocols import ColumnInfo

__all__ = ["NtupleRNTupleReader", "NtupleTTreeReader"]


def _only_tree(keys: Mapping[str, str], kind: str) -> str | None:
    """Return ``tree``, or the only tree of the file, where it is of this kind and no tree of an xAOD."""
    if "CollectionTree" in keys or "EventData" in keys:
        return None
    trees = {name: found for name, found in keys.items() if found in {TTREE, RNTUPLE}}
    name = "tree" if "tree" in trees else next(iter(trees)) if len(trees) == 1 else None
    return name if name is not None and trees[name] == kind else None


class _Flat:
    """How an ntuple differs from an xAOD: names as they are; branches without a dot belong to the tree; an entry may be
    one tau of an event.
    """

    tree_name: str
    repeated: ClassVar[bool] = True

    def names(self, found: Mapping[str, ColumnInfo | None]) -> dict[str, str]:
        """Return hepflow's name → spelling: ``TauJets.pt`` as it is, ``weight`` as ``tree.weight``."""
        return ntuple_names(found, self.tree_name)

    def per_event(self, columns: Iterable[ColumnInfo]) -> set[str]:
        """Return the containers with one entry an entry of the tree, the tree itself among them."""
        return {info.container for info in columns if info.depth == 0} | {self.tree_name}


class NtupleTTreeReader(_Flat, TTreeReader):
    """Reads a flat ntuple in a TTree: ``tree``, or the only tree of the file."""

    format: ClassVar[str] = "ntuple-ttree"

    @classmethod
    def tree_in(cls, keys: Mapping[str, str]) -> str | None:
        """Return ``tree``, or the only tree of the file, where it is a TTree."""
        return _only_tree(keys, TTREE)


class NtupleRNTupleReader(_Flat, RNTupleReader):
    """Reads a flat ntuple in an RNTuple: ``tree``, or the only one of the file."""

    format: ClassVar[str] = "ntuple-rntuple"

    @classmethod
    def tree_in(cls, keys: Mapping[str, str]) -> str | None:
        """Return ``tree``, or the only tree of the file, where it is an RNTuple."""
        return _only_tree(keys, RNTUPLE)
