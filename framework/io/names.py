"""One name for a column, however a file spells it: ``TauJets.pt`` for ``AnalysisTauJetsAuxDyn:pt``; and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = ["ALIASES", "canonical_names", "ntuple_names", "split_spelling", "xaod_spelling"]

ALIASES: Mapping[str, str] = MappingProxyType({"Analysis*": "*"})
"""Container as a file calls it → as hepflow calls it; one ``*`` on each side stands for the same text.

Extend it by ``{**ALIASES, "HLT_TrigTauRecMerged_MVA": "TrigTaus"}``. Earlier rules win.
"""

_SPELLING = re.compile(r"(?P<container>[^.:]+?)(?P<store>AuxDyn|Aux|)[.:]+(?P<variable>.+)")
_STORES = ("Aux", "AuxDyn", "")


def split_spelling(spelling: str) -> tuple[str, str, str] | None:
    """Return (container, store, variable) of a name in an xAOD file; None for no column (``TauJets``, ``TauJetsAux.``).

    The store is ``Aux`` (static), ``AuxDyn`` (dynamic), or empty where the name has neither.

    >>> split_spelling("AnalysisTauJetsAuxDyn:pt")
    ('AnalysisTauJets', 'AuxDyn', 'pt')
    """
    match = _SPELLING.fullmatch(spelling)
    return (match["container"], match["store"], match["variable"]) if match else None


def canonical_names(spellings: Iterable[str], aliases: Mapping[str, str] = ALIASES) -> dict[str, str]:
    """Return hepflow's name of every column of an xAOD file → its spelling there, in the order of the file.

    An alias renames a whole container, and only where no container has that name already: with ``TauJets`` and
    ``AnalysisTauJets`` in one file, ``TauJets`` is the former and ``AnalysisTauJets`` keeps its name. Of two containers
    with one alias, the earlier rule wins, then the alphabet. A variable in both stores is read from the static one.
    """
    parts = {spelling: split for spelling in spellings if (split := split_spelling(spelling))}
    renamed = _rename({container for container, _, _ in parts.values()}, aliases)
    names: dict[str, str] = {}
    for spelling, (container, store, variable) in parts.items():
        name = f"{renamed[container]}.{_plain(variable)}"
        if name not in names or _STORES.index(store) < _STORES.index(parts[names[name]][1]):
            names[name] = spelling
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


def ntuple_names(spellings: Iterable[str], tree: str) -> dict[str, str]:
    """Return hepflow's name of every branch of a flat ntuple → its spelling, in the order of the file.

    ``TauJets.pt`` (``TauJets:pt`` in an RNTuple) keeps its name; a branch without a dot belongs to a container named
    after the tree.
    """
    names: dict[str, str] = {}
    for spelling in spellings:
        container, _, variable = spelling.replace(":", ".", 1).partition(".")
        names.setdefault(f"{container}.{_plain(variable)}" if variable else f"{tree}.{container}", spelling)
    return names


def _plain(variable: str) -> str:
    """Return the name of a variable; members of a split class get an underscore, for a name has one dot only."""
    return re.sub(r"[.:]+", "_", variable)


def xaod_spelling(name: str, separator: str) -> str:
    """Return how an MxAOD spells a column; the separator is ``:`` in an RNTuple, ``.`` in a TTree.

    >>> xaod_spelling("TauJets.pt", ":")
    'TauJetsAuxDyn:pt'
    """
    container, _, variable = name.partition(".")
    return f"{container}AuxDyn{separator}{variable}"
