"""What hepflow has Pythia do on the way: the bias of the selection, decays of Higgs bosons to different pairs, and the
roulette that makes rare events common.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepflow.plugins.simulation.processes import Process

__all__ = ["chance_of_tags", "chance_of_taus", "make_hooks"]

TAU, HIGGS, BOTTOM, CHARM = 15, 25, 5, 4
PT, ETA = 20.0, 2.7
"""Of taus (GeV), before the shower moves them."""
SCALE, QUARK_PT, QUARK_ETA = 8.0, 12.0, 3.0
"""Where the shower stops to count (GeV), and which quarks it counts: later splits make no second jet."""
RAREST = 0.1
"""Events are kept at least so often by each of the two decisions, so that no weight is above 100."""


def chance_of_taus(taus: list[tuple[float, float]]) -> float:
    """Return how often an event is kept for its taus (pt in GeV, η): √Π(1 − 20 GeV/pt), as the visible part of a tau is
    spread over all of its momentum; never less than ``RAREST``.
    """
    both = 1.0
    for pt, eta in taus:
        both *= max(1.0 - PT / pt, 0.0) if abs(eta) < ETA else 0.0
    return max(math.sqrt(both), RAREST)


def chance_of_tags(bottom: int, charm: int) -> float:
    """Return how often an event is kept for its quarks."""
    if bottom > 1:
        return 1.0
    return 0.3 if bottom and charm else RAREST


def make_hooks(pythia8: Any, process: Process, power: float) -> Any:
    """Return user hooks; their ``weights`` are those of the events that were made, in order.

    The roulette (``process.roulette``) keeps an event with a probability that grows with its chance to have two visible
    taus and two b jets, and gives it the inverse as its weight: what is rejected is made up for by what is kept, so the
    sum of weights is that of all events, and no cross-section changes.
    """

    class Hooks(pythia8.UserHooks):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bias = self.weight = 1.0
            self.counted = False
            self.weights: list[float] = []
            self.random: Any = None

        def canBiasSelection(self) -> bool:  # noqa: N802 - names of Pythia
            return power != 0.0

        def biasSelectionBy(self, sigma: Any, phase_space: Any, in_event: bool) -> float:  # noqa: N802
            scale = phase_space.pTHat() if process.transverse else phase_space.mHat
            self.bias = (scale / process.lowest) ** power
            return self.bias

        def biasedSelectionWeight(self) -> float:  # noqa: N802
            return 1.0 / self.bias

        def canVetoResonanceDecays(self) -> bool:  # noqa: N802
            return bool(process.pairs)

        def doVetoResonanceDecays(self, record: Any) -> bool:  # noqa: N802
            particles = [record.at(number) for number in range(record.size())]
            made = [
                abs(record.at(one.daughter1()).id()) for one in particles if one.id() == HIGGS and one.daughter1() > 0
            ]
            return sorted(made) != sorted(process.pairs)

        def canVetoProcessLevel(self) -> bool:  # noqa: N802
            return process.roulette

        def doVetoProcessLevel(self, record: Any) -> bool:  # noqa: N802
            self.weight, self.counted = 1.0, False
            final = [one for one in map(record.at, range(record.size())) if one.idAbs() == TAU and one.isFinal()]
            return self._rejects(chance_of_taus([(one.pT(), one.eta()) for one in final]))

        def canVetoPT(self) -> bool:  # noqa: N802
            return process.roulette

        def scaleVetoPT(self) -> float:  # noqa: N802
            return SCALE

        def doVetoPT(self, position: int, record: Any) -> bool:  # noqa: N802
            if self.counted:  # asked again, of the shower of a decay or of another try
                return False
            self.counted = True
            quarks = [one for one in map(record.at, range(record.size())) if one.idAbs() in (BOTTOM, CHARM)]
            seen = [
                one.idAbs() for one in quarks if one.isFinal() and one.pT() > QUARK_PT and abs(one.eta()) < QUARK_ETA
            ]
            return self._rejects(chance_of_tags(seen.count(BOTTOM), seen.count(CHARM)))

        def onEndEvent(self, status: Any) -> None:  # noqa: N802
            if status == pythia8.UserHooks.Status.COMPLETE:
                self.weights.append(self.weight)

        def _rejects(self, chance: float) -> bool:
            self.weight /= chance
            return bool(self.random.flat() >= chance)

    return Hooks()
