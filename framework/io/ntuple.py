"""Read flat ntuples, one entry an object or an event, as TTree or RNTuple."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from hepflow.io.names import ntuple_names
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.root import RNTUPLE, TTREE
from hepflow.io.ttree import TTreeReader
from hepflow.protocols import ColumnInfo

__all__ = ["NtupleRNTupleReader", "NtupleTTreeReader"]

_NANOAOD = {"run", "luminosityBlock", "event"}


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
    energy_unit: ClassVar[str] = ""
    separators: ClassVar[str]

    def names(self, found: Mapping[str, ColumnInfo | None]) -> dict[str, str]:
        """Return hepflow's name → spelling: ``TauJets.pt`` as it is, ``weight`` as ``tree.weight``."""
        nanoaod = self.tree_name == "Events" and found.keys() >= _NANOAOD
        return ntuple_names(found, self.tree_name, separators=self.separators, singles=nanoaod)

    def per_event(self, columns: Iterable[ColumnInfo]) -> set[str]:
        """Return the containers with one entry an entry of the tree: the tree, where a column has one value, and where
        lists may differ in length, for nothing counts them together.
        """
        singles = {self.tree_name}
        shared: dict[str, set[str]] = defaultdict(set)
        for info in columns:
            if not info.depth:
                singles.add(info.container)
            shared[info.container].add(info.counter or info.sources[0].partition(":")[0])
        return singles | {container for container, counters in shared.items() if len(counters) > 1}

    def second(self, columns: Mapping[str, ColumnInfo]) -> dict[str, ColumnInfo]:
        """Return the columns by the names of the file itself, with the tree as container: ``Events.Jet_pt``."""
        named = {f"{self.tree_name}.{info.sources[0]}": info for info in columns.values()}
        return {
            name: replace(info, name=name, single=True, second=True)
            for name, info in named.items()
            if name not in columns
        }

    def naming(self, columns: Mapping[str, ColumnInfo]) -> str:
        """Return what the containers of ``Muon_pt`` and the like are called, with an example."""
        made = [
            info
            for info in columns.values()
            if info.name not in (info.sources[0], f"{self.tree_name}.{info.sources[0]}")
        ]
        made = [info for info in made if info.sources[0].replace(":", ".", 1) != info.name]
        if not made:
            return ""
        one = next((info for info in made if info.depth), made[0])
        counted = f", counted by {one.counter}" if one.depth and one.counter else ""
        return (
            f"{one.sources[0]} is {one.name}{counted}, and so on; written to an ntuple it is {one.sources[0]} again. "
            f"{self.tree_name}.{one.sources[0]} means the same" + (", as a list of the entry" if one.depth else "")
        )


class NtupleTTreeReader(_Flat, TTreeReader):
    """Reads a flat ntuple in a TTree: ``tree``, or the only tree of the file."""

    format: ClassVar[str] = "ntuple-ttree"
    separators: ClassVar[str] = "."

    @classmethod
    def tree_in(cls, keys: Mapping[str, str]) -> str | None:
        """Return ``tree``, or the only tree of the file, where it is a TTree."""
        return _only_tree(keys, TTREE)


class NtupleRNTupleReader(_Flat, RNTupleReader):
    """Reads a flat ntuple in an RNTuple: ``tree``, or the only one of the file."""

    format: ClassVar[str] = "ntuple-rntuple"
    separators: ClassVar[str] = ":."

    @classmethod
    def tree_in(cls, keys: Mapping[str, str]) -> str | None:
        """Return ``tree``, or the only tree of the file, where it is an RNTuple."""
        return _only_tree(keys, RNTUPLE)
