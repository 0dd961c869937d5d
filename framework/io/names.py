"""One name for a column, however a file spells it: ``TauJets.pt`` for ``AnalysisTauJetsAuxDyn:pt``; and back.

A name is ``Container.variable``, split at the first dot; the variable may hold any character. What would get a name
that is taken keeps its spelling, in the container of the tree (``CollectionTree.TauJetsAuxDyn.pt``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import takewhile
from types import MappingProxyType

from hepflow.protocols import ColumnInfo

__all__ = ["ALIASES", "canonical_names", "ntuple_names", "split_spelling", "whole_store"]

ALIASES: Mapping[str, str] = MappingProxyType({"Analysis*": "*"})
"""Container as a file calls it → as hepflow calls it; one ``*`` on each side stands for the same text.

Extend it by ``{**ALIASES, "HLT_TrigTauRecMerged_MVA": "TrigTaus"}``. Earlier rules win.
"""

_SPELLING = re.compile(r"(?P<container>[^.:]+?)(?P<store>AuxDyn|Aux|)[.:]+(?P<variable>.+)")
_STORES = ("Aux", "AuxDyn", "")
_COUNTERS = re.compile(r"(?:n|N|num|Num)_?(?P<counted>[A-Za-z]\w+)|(?P<sized>\w+?)_(?:n|N|size)")


def split_spelling(spelling: str) -> tuple[str, str, str] | None:
    """Return (container, store, variable) of a name in an xAOD file; None for no column (``TauJets``, ``TauJetsAux.``).

    The store is ``Aux`` (static), ``AuxDyn`` (dynamic), or empty where the name has neither.

    >>> split_spelling("AnalysisTauJetsAuxDyn:pt")
    ('AnalysisTauJets', 'AuxDyn', 'pt')
    """
    match = _SPELLING.fullmatch(spelling)
    return (match["container"], match["store"], match["variable"]) if match else None


def whole_store(spelling: str) -> str:
    """Return what a store that is written in one piece holds, ``TauJets.*``, and any other spelling as it is.

    >>> whole_store("TauJetsAux.")
    'TauJets.*'
    """
    match = re.fullmatch(r"([^.:]+?)Aux(?:Dyn)?[.:]", spelling)
    return f"{match[1].removeprefix('Analysis')}.*" if match else spelling


def canonical_names(spellings: Iterable[str], aliases: Mapping[str, str] = ALIASES, tree: str = "") -> dict[str, str]:
    """Return hepflow's name of every column of an xAOD file → its spelling there, in the order of the file.

    An alias renames a whole container, and only where no container has that name already: with ``TauJets`` and
    ``AnalysisTauJets`` in one file, ``TauJets`` is the former and ``AnalysisTauJets`` keeps its name. Of two containers
    with one alias, the earlier rule wins, then the alphabet. Of a variable in both stores the static one has the name.
    What belongs to no container belongs to ``tree``; without it, it is left out.
    """
    listed = list(spellings)
    parts = {spelling: split for spelling in listed if (split := split_spelling(spelling))}
    renamed = _rename({container for container, _, _ in parts.values()}, aliases)
    names: dict[str, str] = {}
    for spelling in listed:
        if spelling not in parts:
            if tree:
                names[f"{tree}.{spelling}"] = spelling
            continue
        container, store, variable = parts[spelling]
        name = f"{renamed[container]}.{variable}"
        other = names.get(name)
        if other is None or _STORES.index(store) < _STORES.index(parts[other][1]):
            names[name], spelling = spelling, other or ""
        if spelling and tree:
            names[f"{tree}.{spelling}"] = spelling
    return names


def _rename(containers: set[str], aliases: Mapping[str, str]) -> dict[str, str]:
    renamed = {container: container for container in containers}
    taken = set(containers)
    for pattern, target in aliases.items():
        rule = re.compile(re.escape(pattern).replace(r"\*", "(.+)"))
        for container in sorted(containers):
            match = rule.fullmatch(container)
            name = target.replace("*", match[1] if "*" in pattern else "") if match else container
            if renamed[container] == container and name not in taken:
                renamed[container] = name
                taken.add(name)
    return renamed


def ntuple_names(
    found: Mapping[str, ColumnInfo | None], tree: str, *, separators: str = ".", prefixes: bool = False
) -> dict[str, str]:
    """Return hepflow's name of every branch of an ntuple → its spelling, in the order of the file.

    ``TauJets.pt`` (``TauJets:pt`` in an RNTuple, whose ``separators`` are ``":."``) keeps its name. Branches that one
    leaf counts are a container: ``Muon_pt`` with the counter ``nMuon`` is ``Muon.pt``. With ``prefixes``, as in
    NanoAOD, so are those without a list that share a prefix: ``MET_pt`` is ``MET.pt``. All others belong to the
    container of the tree.
    """
    split = {spelling: _split(spelling, separators) for spelling in found}
    taken = {parts[0] for parts in split.values() if parts} | {tree}
    counted: dict[str, tuple[str, str]] = {}
    for counter, members in _counted(found, split).items():
        container, prefix = _counted_container(counter, members)
        if container and container not in taken:
            taken.add(container)
            counted.update({one: (container, one.removeprefix(prefix) or one) for one in members})
    names: dict[str, str] = {}
    for spelling, info in found.items():
        parts = split[spelling] or counted.get(spelling)
        if parts is None and prefixes and (info is None or not info.depth):
            head, _, rest = spelling.partition("_")
            parts = (head, rest) if head and rest and head not in taken else None
        own = f"{tree}.{spelling}"
        wanted = (".".join(parts) if parts else own, own, f"{tree}.{own}")
        names[next(name for name in wanted if name not in names)] = spelling
    return names


def _split(spelling: str, separators: str) -> tuple[str, str] | None:
    """Return (container, variable) at the first of the separators that the spelling has."""
    for separator in separators:
        container, found, variable = spelling.partition(separator)
        if found and container and variable:
            return container, variable
    return None


def _counted(found: Mapping[str, ColumnInfo | None], split: Mapping[str, object]) -> dict[str, list[str]]:
    """Return counter → the branches without a separator that it counts."""
    groups: dict[str, list[str]] = defaultdict(list)
    for spelling, info in found.items():
        if info is not None and info.counter and not split[spelling]:
            groups[info.counter].append(spelling)
    return groups


def _counted_container(counter: str, members: list[str]) -> tuple[str, str]:
    """Return the container of branches that share a counter, and the prefix that stands for it; "" where none is clear.

    >>> _counted_container("nMuon", ["Muon_pt", "Muon_eta"]), _counted_container("ntracks", ["pt", "eta"])
    (('Muon', 'Muon_'), ('tracks', ''))
    """
    match = _COUNTERS.fullmatch(counter)
    counted = (match["counted"] or match["sized"]) if match else ""
    for one in members:
        prefix = one[: len(counted) + 1]
        if counted and prefix.lower() == f"{counted.lower()}_":
            return prefix[:-1], prefix
    words = zip(*(one.split("_")[:-1] for one in members), strict=False)
    common = "_".join(same[0] for same in takewhile(lambda same: len(set(same)) == 1, words))
    if common and len(members) > 1:
        return common, f"{common}_"
    return ("", "") if members == [counted] else (counted, "")
