"""How outputs spell columns: as the input did; a new one as its container does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hepflow.errors import OutputError
from hepflow.io.buffers import ColumnType
from hepflow.io.names import canonical_names, ntuple_names, split_spelling
from hepflow.protocols import ColumnInfo

__all__ = [
    "NOTES",
    "XAOD_TREES",
    "Notes",
    "Spelling",
    "check_spelling",
    "counters_of",
    "field_name",
    "noted_lists",
    "noted_names",
    "ntuple_spelling",
    "ntuple_tree",
    "xaod_containers",
    "xaod_spelling",
]

XAOD_TREES = ("CollectionTree", "EventData")
Spelling = Callable[[str], str]
"""From the name of a column to its spelling in a file."""

NOTES = _NAMES, _LISTS, _SINGLES, COUNTERS = "names", "lists", "single", "counters"
"""What hepflow's writers put into the metadata of a file about its columns."""

_NO_FIELD = re.compile(r"[/\\\s\x00-\x1f\x7f]")


def ntuple_spelling(inputs: Mapping[str, ColumnInfo]) -> Spelling:
    """Return how an ntuple spells columns, given all of the input: ``Muon_pt`` for ``Muon.pt`` of a NanoAOD, and
    ``Muon_isGood`` for a new column of it, ``GoodMuon_pt`` for a new container; ``TauJets.pt`` where the input is an
    xAOD, or spells its containers with a dot.
    """
    prefixes: dict[str, str] = {}
    for name, info in inputs.items():
        container, _, variable = name.partition(".")
        source = _in_ntuple(info)
        if source.endswith(variable) and not prefixes.get(container):
            prefixes[container] = source.removesuffix(variable)

    separators = {prefix.removeprefix(container) for container, prefix in prefixes.items() if prefix}
    usual = "_" if "_" in separators and "." not in separators else "."

    def spell(name: str) -> str:
        container, _, variable = name.partition(".")
        prefix = prefixes.get(container, f"{container}{usual}")
        return _in_ntuple(inputs[name]) if name in inputs else prefix + variable

    return spell


def ntuple_tree(inputs: Mapping[str, ColumnInfo]) -> str:
    """Return the name of the tree whose branches the columns of an ntuple are; empty where there is not just one, and
    for the tree of an xAOD.
    """
    trees = {
        info.container
        for name, info in inputs.items()
        if info.single and info.sources and info.sources[0] == name.partition(".")[2]
    }
    found = trees.pop() if len(trees) == 1 else ""
    return "" if found in XAOD_TREES else found


def _in_ntuple(info: ColumnInfo) -> str:
    """Return how a column of the input is spelled in an ntuple: as it was, unless that is the way of an xAOD."""
    source = info.sources[0] if info.sources else info.name
    parts = split_spelling(source)
    if parts and parts[1] and not source.startswith(f"{info.container}."):
        return info.name
    return info.name if source.replace(":", ".", 1) == info.name else source


def xaod_spelling(inputs: Mapping[str, ColumnInfo], separator: str) -> Spelling:
    """Return how an MxAOD spells columns, given all of the input: ``TauJetsAuxDyn:pt``, or ``AnalysisTauJetsAuxDyn:pt``
    where the input calls the container that. The separator is ``:`` in an RNTuple, ``.`` in a TTree.
    """
    containers = xaod_containers(inputs)

    def spell(name: str) -> str:
        container, _, variable = name.partition(".")
        if container in XAOD_TREES and name in inputs:  # what belongs to no container of the input
            return inputs[name].sources[0]
        return f"{containers.get(container, container)}AuxDyn{separator}{variable}"

    return spell


def xaod_containers(inputs: Mapping[str, ColumnInfo]) -> dict[str, str]:
    """Return the containers that an xAOD calls otherwise: hepflow's name → that of the file (``AnalysisTauJets``)."""
    found: dict[str, str] = {}
    for name, info in inputs.items():
        container, _, variable = name.partition(".")
        if container in found or not info.sources:
            continue
        parts = split_spelling(info.sources[0])
        if parts and parts[1] and parts[0] != container and parts[2].startswith(variable):
            found[container] = parts[0]
    return found


def field_name(spelling: str) -> str:
    """Return a spelling as the name of a field of an RNTuple, where ROOT allows no dot: a colon stands for it."""
    return spelling.replace(".", ":")


def check_spelling(names: Iterable[str], spell: Spelling, where: str, *, fields: bool) -> None:
    """Raise OutputError where two columns would get one spelling, or the name of a ``field`` of an RNTuple is none that
    ROOT allows.
    """
    spelled: dict[str, str] = {}
    for name in names:
        spelling = field_name(spell(name)) if fields else spell(name)
        other = spelled.setdefault(spelling, name)
        if other != name:
            raise OutputError(
                f"{other} and {name} would both be called {spelling}", where=where, hint="leave one of them out"
            )
        if fields and _NO_FIELD.search(spelling):
            raise OutputError(
                f"{name} cannot be written: ROOT allows no blank, slash or backslash in a field of an RNTuple",
                where=where,
                hint='Format = "TTree" can hold it; or leave it out with Drop',
            )


def noted_names(spelled: Mapping[str, str], tree: str) -> dict[str, Any]:
    """Return what the metadata of a file must say so that its columns (name → spelling) get their names again: nothing
    where the spelling alone tells.
    """
    spellings = list(spelled.values())
    if tree in XAOD_TREES:
        usual = canonical_names(spellings, tree=tree)
    else:
        usual = ntuple_names(dict.fromkeys(spellings), tree, separators=":.")
    noted = {spelling: name for name, spelling in spelled.items() if usual.get(name) != spelling}
    return {_NAMES: noted} if noted else {}


def noted_lists(columns: Mapping[str, ColumnType], counters: Mapping[str, str], *, shared: bool) -> dict[str, Any]:
    """Return what the metadata of a file must say of lists: which containers have one entry an event but no column that
    tells; with ``shared`` which have columns with lists of the same lengths, with the spelling of what counts them
    (``counters``).
    """
    objects = {name.partition(".")[0] for name, found in columns.items() if found.jagged}
    numbers = {name.partition(".")[0] for name, found in columns.items() if not found.levels}
    singles = sorted({name.partition(".")[0] for name in columns} - objects - numbers)
    lists = {container: counters.get(container, "") for container in sorted(objects)}
    return {**({_LISTS: lists} if shared and lists else {}), **({_SINGLES: singles} if singles else {})}


@dataclass(frozen=True)
class Notes:
    """What hepflow wrote down in a file: spelling → name, container → what counts its objects (or nothing), the
    containers with one entry an event, and the branches that count lists and are no columns.
    """

    names: Mapping[str, str]
    lists: Mapping[str, str]
    singles: frozenset[str]
    counters: frozenset[str]

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Notes:
        """Return the notes among the metadata of a file; what is none is passed over."""
        names, lists = (metadata.get(key) for key in (_NAMES, _LISTS))
        return cls(
            {spelling: name for spelling, name in _texts(names).items() if all(name.partition("."))},
            _texts(lists),
            *(frozenset(map(str, v)) if isinstance(v := metadata.get(k), list) else frozenset() for k in NOTES[2:]),
        )

    def renamed(self, container: str, other: str) -> Notes:
        """Return the notes with another name of a container."""
        if container == other:
            return self
        called = {container: other}
        split = {spelling: name.partition(".") for spelling, name in self.names.items()}
        names = {spelling: f"{called.get(first, first)}.{rest}" for spelling, (first, _, rest) in split.items()}
        lists = {called.get(name, name): counter for name, counter in self.lists.items()}
        return Notes(names, lists, frozenset(called.get(name, name) for name in self.singles), self.counters)


def _texts(value: Any) -> dict[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def counters_of(inputs: Mapping[str, ColumnInfo]) -> dict[str, str]:
    """Return the columns that count lists: container (or a column with a list an entry) → the column."""
    spelled = {info.sources[0]: name for name, info in inputs.items() if info.sources and not info.depth}
    shared = Counter(info.counter for info in inputs.values() if info.single)
    found: dict[str, str] = {}
    for name, info in inputs.items():
        counter = spelled.get(info.counter) or spelled.get(f"{info.counter}size")  # Jet_size beside ROOT's own Jet_
        if info.counter and counter and not info.second and not (info.single and shared[info.counter] > 1):
            found[name if info.single else info.container] = counter
    return found
