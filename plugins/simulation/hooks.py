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
SCALE, QUARK_PT, QUARK_ETA = 4.0, 12.0, 3.0
"""Where the shower stops to count (GeV), and which quarks it counts. Two jets of 20 GeV are 0.4 apart if a gluon splits
at 4 GeV, nearer at lower scales: later splits make no second jet."""
SOFT_TAU, FORWARD_TAU = 0.25, 0.1
"""How often events with a tau that is softer or further forward are kept at least."""
BOTTOM_AND_CHARM, ONE_BOTTOM, CHARMS = 0.12, 0.05, (0.02, 0.02, 0.06)
"""How often events with less than two b quarks are kept, the last for none, one and two c quarks: in proportion to the
root mean square of the probability of two tags that such events turn out to have (measured), but for those without any,
of which a few get b jets later: their weights must not be too large."""
PAIR_PT = (10.0, 30.0)
"""Two b quarks are kept more often from the first pt (GeV) of the softer one on, always from the second."""


def chance_of_taus(taus: list[tuple[float, float]]) -> float:
    """Return how often an event is kept for its taus (pt in GeV, η): √Π(1 − 20 GeV/pt), as the visible part of a tau is
    spread over all of its momentum; never less than ``SOFT_TAU``, ``FORWARD_TAU`` where one is outside.
    """
    if any(abs(eta) >= ETA for _, eta in taus):
        return FORWARD_TAU
    return max(math.sqrt(math.prod(max(1.0 - PT / pt, 0.0) for pt, _ in taus)), SOFT_TAU)


def chance_of_tags(bottom: list[float], charm: int) -> float:
    """Return how often an event is kept for its quarks: pt (GeV) of the b quarks, number of c quarks."""
    if not bottom:
        return CHARMS[min(charm, 2)]
    least = BOTTOM_AND_CHARM if charm else ONE_BOTTOM
    if len(bottom) < 2:
        return least
    low, high = PAIR_PT
    return min(max((sorted(bottom)[-2] - low) / (high - low), least), 1.0)


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
            seen = [one for one in quarks if one.isFinal() and one.pT() > QUARK_PT and abs(one.eta()) < QUARK_ETA]
            bottom = [one.pT() for one in seen if one.idAbs() == BOTTOM]
            return self._rejects(chance_of_tags(bottom, len(seen) - len(bottom)))

        def onEndEvent(self, status: Any) -> None:  # noqa: N802
            if status == pythia8.UserHooks.Status.COMPLETE:
                self.weights.append(self.weight)

        def _rejects(self, chance: float) -> bool:
            self.weight /= chance
            return bool(self.random.flat() >= chance)

    return Hooks()
