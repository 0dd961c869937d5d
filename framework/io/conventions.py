"""Formats of other experiments and tools that are ntuples with a convention: how to know them, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Convention", "convention_of"]


@dataclass(frozen=True)
class Convention:
    """``name`` is that of the format, ``energy_unit`` the unit of its energies (empty where it is not known);
    ``prefixes``: values of the event that share a prefix are a container (``MET_pt``).
    """

    name: str = ""
    energy_unit: str = ""
    prefixes: bool = False


def convention_of(tree: str, spellings: Iterable[str]) -> Convention:
    """Return the convention of a tree, by its name and what it holds; one without a name where none is known."""
    if tree == "Events" and {"run", "luminosityBlock", "event"} <= set(spellings):
        return Convention("NanoAOD", "GeV", prefixes=True)
    if tree == "Delphes":
        return Convention("Delphes", "GeV")
    if tree == "events" and any(name.startswith(("EventHeader", "_")) or "#" in name for name in spellings):
        return Convention("EDM4hep", "GeV")
    return Convention()
