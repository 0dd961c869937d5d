"""Whether the value of an expression is the same whatever the energy unit of its input is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hepflow.expressions.syntax import Node

__all__ = ["is_energy", "may_be_energy", "unit_free"]

_NO_ENERGY: Final = re.compile(r"(?i)(?:^|_|d|delta|abs)(?:eta|phi|theta|rapidity|charge|weights?|score)(?:_|\d|$)")
_ENERGY: Final = re.compile(r"(?:pt|et|e|m|mass|energy|met|sumet|mp[xy]|p[xyz]|E|M|PT)(?:vis|TES|EM|LC|_\w+)?")


def is_energy(name: str, dtype: str) -> bool:
    """Tell whether a column holds energies by its name: ``Electrons.pt``, ``Jets.m``, ``MET.sumet``."""
    return dtype.startswith("float") and _ENERGY.fullmatch(name.partition(".")[2]) is not None


def may_be_energy(name: str, dtype: str) -> bool:
    """Tell whether a column may hold energies: a float, unless its name is that of an angle, a charge or a weight."""
    return dtype.startswith("float") and not _NO_ENERGY.search(name.partition(".")[2])


def unit_free(node: Node, energy: Callable[[str], bool]) -> bool:
    """Tell whether a value stays the same when all energies come in another unit; ``energy`` tells which columns are.

    Energies have to be compared with, or divided by, something with a unit: ``pt / GeV``, ``pt > 20*GeV``.
    """
    if node.kind in ("column", "link"):
        return not energy(node.columns[-1])
    if node.kind == "unit":
        return False
    with_unit = any(part.kind == "unit" for part in node.walk())
    if node.kind == "compare" and with_unit:
        return True
    if node.kind == "binary" and node.value == "/" and any(part.kind == "unit" for part in node.parts[1].walk()):
        return True
    if node.kind == "call" and node.value in ("len", "isfinite"):
        return True
    return all(unit_free(part, energy) for part in node.parts)
