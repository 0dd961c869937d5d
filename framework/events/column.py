"""The one in-memory form of a column: flat values plus the offsets that say how many belong to each event.

Readers return it, the event store keeps it, writers take it. Lists are never padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    links (records of ``container``, int64, and ``index``, uint32; see ``hepflow.events.links``) and lists of links.

    ``missing`` tells, for each object, that the input has no value for it; its content is NaN, 0, an empty list or
    text, or the null link. It is None where every object of the input has a value.

    ``targets`` goes with links that were read: container → what the reader knows of it beyond its name. It means
    something to a writer of the same format only.
    """

    offsets: Offsets | None
    content: Content
    missing: npt.NDArray[np.bool_] | None = None
    targets: Mapping[int, Any] | None = None

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.content) if self.offsets is None else len(self.offsets) - 1

    def __getitem__(self, events: slice) -> Column:
        """Return the events ``[start, stop)`` without copying values; offsets start at 0 again."""
        first, last, _ = events.indices(len(self))
        offsets = None
        if self.offsets is not None:
            offsets = self.offsets[first : last + 1]
            first, last = int(self.offsets[first]), int(self.offsets[last])
            offsets = offsets if first == 0 else offsets - first
        missing = None if self.missing is None else self.missing[first:last]
        return replace(self, offsets=offsets, content=self.content[first:last], missing=missing)
