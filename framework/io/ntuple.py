"""Read flat ntuples, one entry an object or an event, as TTree or RNTuple."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from hepflow.io.conventions import convention_of
from hepflow.io.names import ntuple_names
from hepflow.io.rntuple import RNTupleReader
from hepflow.io.root import RootReader
from hepflow.io.trees import RNTUPLE, TTREE, OpenTree
from hepflow.io.ttree import TTreeReader
from hepflow.protocols import ColumnInfo

__all__ = ["NtupleRNTupleReader", "NtupleTTreeReader"]


class _Flat(RootReader):
    """How an ntuple differs from an xAOD: names as they are; branches without a dot belong to the tree; an entry may be
    one tau of an event.
    """

    repeated: ClassVar[bool] = True
    energy_unit: ClassVar[str] = ""
    separators: ClassVar[str]

    def names(self, found: Mapping[str, ColumnInfo | None]) -> dict[str, str]:
        """Return hepflow's name → spelling: ``TauJets.pt`` as it is, ``weight`` as ``tree.weight``."""
        prefixes = convention_of(self._opened.own, found).prefixes
        return ntuple_names(found, self.container, separators=self.separators, prefixes=prefixes)

    def unit(self, metadata: Mapping[str, Any]) -> str:
        """Return the energy unit: what hepflow wrote down in the file, else that of the convention, if there is one."""
        return str(metadata.get("energy_unit", convention_of(self._opened.own, self._spellings()).energy_unit))

    def per_event(self, columns: Iterable[ColumnInfo]) -> set[str]:
        """Return the containers with one entry an entry of the tree: the tree, where a column has one value, and where
        lists may differ in length, for nothing counts them together.
        """
        singles = {self.container}
        shared: dict[str, set[str]] = defaultdict(set)
        for info in columns:
            if not info.depth:
                singles.add(info.container)
            shared[info.container].add(info.counter or info.sources[0].partition(":")[0])
        return singles | {container for container, counters in shared.items() if len(counters) > 1}

    def second(self, columns: Mapping[str, ColumnInfo]) -> dict[str, ColumnInfo]:
        """Return the columns by the names of the file itself, with the tree as container: ``Events.Jet_pt``."""
        named = {f"{self.container}.{info.sources[0]}": info for info in columns.values()}
        return {
            name: replace(info, name=name, single=True, second=True)
            for name, info in named.items()
            if name not in columns
        }

    def naming(self, columns: Mapping[str, ColumnInfo]) -> str:
        """Return the convention that the names follow, and an example of one that the file spells otherwise."""
        convention = convention_of(self._opened.own, self._spellings())
        text = f"those of {convention.name}, energies in {convention.energy_unit}" if convention.name else ""
        usual = [(info.name, f"{self.container}.{info.sources[0]}", info.sources[0]) for info in columns.values()]
        made = [columns[name] for name, *others in usual if name not in (*others, others[1].replace(":", ".", 1))]
        if not made:
            return text
        one = next((info for info in made if info.depth and not info.single), made[0])
        spelling = one.sources[0]
        known = {info.sources[0] for info in columns.values()}
        counted = f" (counted by {one.counter})" if one.counter in known else ""
        second = f"{self.container}.{spelling} is the same" + (" as a list of the entry" if one.depth else "")
        example = f"{spelling} of the file{counted} is {one.name}, and {spelling} again in an ntuple; {second}"
        return "; ".join(filter(None, (text, example)))


class NtupleTTreeReader(_Flat, TTreeReader):
    """Reads a flat ntuple in a TTree: any tree that is no xAOD."""

    format: ClassVar[str] = "ntuple-ttree"
    separators: ClassVar[str] = "."

    @classmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether the tree is a TTree of no other format."""
        return opened.kind == TTREE and not TTreeReader.recognises(opened)


class NtupleRNTupleReader(_Flat, RNTupleReader):
    """Reads a flat ntuple in an RNTuple: any that is no xAOD."""

    format: ClassVar[str] = "ntuple-rntuple"
    separators: ClassVar[str] = ":."

    @classmethod
    def recognises(cls, opened: OpenTree) -> bool:
        """Return whether the tree is an RNTuple of no other format."""
        return opened.kind == RNTUPLE and not RNTupleReader.recognises(opened)
