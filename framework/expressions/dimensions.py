"""What is known of an expression without its values: whether they are the same in every energy unit of the input, and
whether they are for events, objects or elements of lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hepflow.expressions.syntax import REDUCTIONS, Node

__all__ = ["is_energy", "levels", "may_be_energy", "unit_free"]

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


def levels(node: Node, depth: Callable[[str], int]) -> int:
    """Return how many lists are around a value: 0 for one an event, 1 for one an object; ``depth`` is of columns."""
    if node.kind in ("column", "link"):
        return depth(node.columns[0])
    within = max((levels(part, depth) for part in node.parts), default=0)
    reduces = node.kind == "element" or (node.kind == "call" and node.value in REDUCTIONS and len(node.parts) == 1)
    return max(within - reduces, 0)
