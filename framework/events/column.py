"""The one in-memory form of a column: flat values plus the offsets that say how many belong to each event.

Readers return it, the event store keeps it, writers take it. Lists are never padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["Column", "Content", "Offsets"]

Offsets: TypeAlias = npt.NDArray[np.int64]
Content: TypeAlias = "npt.NDArray[Any] | ak.Array"


@dataclass(frozen=True)
class Column:
    """Values of one column for a range of events.

    ``offsets`` (int64, one more than there are events, starting at 0) tells that event i owns
    ``content[offsets[i]:offsets[i+1]]``; it is None where there is one value an event (``EventInfo.mcEventNumber``).
    ``content`` is a numpy array of numbers, or a flat awkward array for anything else: lists per object, strings,
    element links (records of ``m_persKey`` and ``m_persIndex``, both uint32; key 0 is the null link) and lists of
    links.
    """

    offsets: Offsets | None
    content: Content

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.content) if self.offsets is None else len(self.offsets) - 1

    def __getitem__(self, events: slice) -> Column:
        """Return the events ``[start, stop)`` without copying values; offsets start at 0 again."""
        start, stop, _ = events.indices(len(self))
        if self.offsets is None:
            return Column(None, self.content[start:stop])
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        offsets = self.offsets[start : stop + 1]
        return Column(offsets if first == 0 else offsets - first, self.content[first:last])
