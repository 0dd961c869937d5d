"""How many events a sample stands for: cross-section, filter efficiency, k-factor, and number and sum of weights of
what was generated, before any selection.

``--lumi`` makes L·σ·ε·k·w/Σw of it, the column ``Sample.weight``. Files of hepflow say the numbers of what they were
made of in their metadata, so that merging adds them up and a part that is missing is missing in Σw as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hepflow.errors import InputError

__all__ = ["NORMALISATION", "WEIGHT", "Normalisation", "joined"]

NORMALISATION = "normalisation"
"""Key of the metadata of a file: a list of the numbers of each sample in it."""
WEIGHT = "Sample.weight"
"""The column with the weight of the event that ``--lumi`` asks for."""


@dataclass(frozen=True)
class Normalisation:
    """The numbers of a sample, or of a part of it. ``cross_section`` is in pb, None where it is not known; ``events``
    and ``sum_of_weights`` are those before any selection.
    """

    sample: str
    cross_section: float | None = None
    filter_efficiency: float = 1.0
    k_factor: float = 1.0
    events: float = 0.0
    sum_of_weights: float = 0.0

    @property
    def effective(self) -> float | None:
        """Return σ·ε·k in pb, None where σ is not known."""
        return None if self.cross_section is None else self.cross_section * self.filter_efficiency * self.k_factor

    def share(self, part: float) -> Normalisation:
        """Return what belongs to a part of the entries."""
        return replace(self, events=self.events * part, sum_of_weights=self.sum_of_weights * part)

    def plus(self, other: Normalisation) -> Normalisation:
        """Return both parts of one sample together; InputError where they differ in σ, ε or k."""
        if self.effective != other.effective:
            raise InputError(
                f"the parts of the sample {self.sample} have different cross-sections (σ·ε·k): "
                f"{_pb(self.effective)} and {_pb(other.effective)}",
                hint=f"give them different names (-i NAME=FILE), or one for all: job.sample({self.sample!r}, …)",
            )
        return replace(
            self, events=self.events + other.events, sum_of_weights=self.sum_of_weights + other.sum_of_weights
        )

    def told(self) -> dict[str, Any]:
        """Return the numbers as they stand in the metadata of a file."""
        return asdict(self)

    @staticmethod
    def read(metadata: Mapping[str, Any], where: str) -> list[Normalisation]:
        """Return what the metadata of a file tell, one for each sample in it; InputError where that is damaged."""
        try:
            return [Normalisation(**one) for one in metadata.get(NORMALISATION, [])]
        except TypeError as error:
            raise InputError(f"what the file says of its normalisation is damaged: {error}", where=where) from error


def joined(told: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of several files for one: those of one sample and cross-section added up."""
    found: dict[tuple[str, float | None], Normalisation] = {}
    for one in (Normalisation(**entry) for entry in told):
        key = (one.sample, one.effective)
        found[key] = found[key].plus(one) if key in found else one
    return [one.told() for one in found.values()]


def _pb(value: float | None) -> str:
    return "none" if value is None else f"{value:g} pb"
