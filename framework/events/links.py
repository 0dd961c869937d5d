"""Links as the event store keeps them: pairs (container, index), whatever file they come from.

``container`` is the number of a container's name, 0 for the null link, and negative for a target that the input only
knows by a key of its own, which is kept for copying. ``index`` counts objects of the same event. How a file spells a
link is known to its reader and writer only.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

__all__ = ["BEHIND", "LINK_PARTS", "NOT_KEPT", "NULL", "UNKNOWN", "container_id", "container_name"]

LINK_PARTS = ("container", "index")
"""Fields of a link."""
NULL = 0
"""Container of a link that points nowhere."""

BEHIND = "behind the last object of {}: kept in copies, leading nowhere"
NOT_KEPT = "into {}, which is not written: kept as in the input"
UNKNOWN = "into {}, which no container of the input has: kept in copies, leading nowhere"
"""Where links point that cannot be followed, and what becomes of them."""

_NAMES: dict[int, str] = {}


@lru_cache(maxsize=65536)
def container_id(name: str) -> int:
    """Return the number of a container: 62 bits of a hash of its name, the same in every process.

    >>> container_id("TauTracks") > 0
    True
    """
    number = (int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 2) or 1
    _NAMES[number] = name
    return number


def container_name(number: int) -> str:
    """Return the name of a container that was numbered in this process; ``key 17`` where only the input's key is
    known.
    """
    return _NAMES.get(number, f"key {abs(number)}")
