"""What the roulette of Zjets does to rates: weighted, with it, over those of the same process without, with errors.

    python benchmarks/sample_rates.py [EVENTS]

Events end at the parton level, without the underlying event: that is where the roulette decides, and costs a twentieth
of a whole event. With it so many EVENTS are made (5 000: a minute of CPU in all), without it eight times as many.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.generator import BLOCK_EVENTS, Block, Generator
from hepflow.plugins.simulation.processes import PROCESSES

PARTONS = ("PartonLevel:MPI = off", "HadronLevel:all = off")
Mask = npt.NDArray[np.bool_]


def features(block: Block) -> Mapping[str, Mask]:
    """Return which events have what."""
    part = block.particles
    pt, code = np.hypot(part["px"], part["py"]), np.abs(part["id"])
    eta, event = np.arcsinh(part["pz"] / np.maximum(pt, 1e-9)), np.repeat(np.arange(len(block.counts)), block.counts)
    central = (part["status"] > 0) & (np.abs(eta) < 2.5)

    def count(mask: Mask) -> npt.NDArray[np.int64]:
        return np.bincount(event[central & mask], minlength=len(block.counts))

    bottom, charm = count((code == 5) & (pt > 15.0)), count((code == 4) & (pt > 15.0))
    partons = count(((code < 6) | (code == 21)) & (pt > 15.0))
    return {
        "2 taus above 30 GeV": count((code == 15) & (pt > 30.0)) >= 2,
        "1 tau above 40 GeV": count((code == 15) & (pt > 40.0)) == 1,
        "2 b quarks": bottom >= 2,
        "1 b quark": bottom == 1,
        "2 c quarks": charm >= 2,
        "2 partons": partons >= 2,
        "4 partons": partons >= 4,
        "a parton above 60 GeV": count(((code < 6) | (code == 21)) & (pt > 60.0)) >= 1,
    }


def rates(events: int, *, roulette: bool, seed: int) -> dict[str, tuple[float, float]]:
    """Return the weighted share of events with each feature, and its error."""
    process = PROCESSES["Zjets"]
    process = replace(process, settings=(*process.settings, *PARTONS), roulette=roulette)
    generator = Generator(process, seed=seed)
    weights: list[npt.NDArray[np.float64]] = []
    found: list[Mapping[str, Mask]] = []
    for number in range(max(events // BLOCK_EVENTS, 1)):
        block = generator.block(number)
        weights.append(block.weights)
        found.append(features(block))
    weight, shares = np.concatenate(weights), dict[str, tuple[float, float]]()
    for name in found[0]:
        have = np.concatenate([one[name] for one in found]).astype(float)
        share = float((weight * have).sum() / weight.sum())
        shares[name] = share, float(np.sqrt((weight**2 * (have - share) ** 2).sum()) / weight.sum())
    return shares


def main(events: int = 5_000) -> None:
    """Print both, their ratio and the pull of their difference."""
    began = time.process_time()
    without, with_it = rates(8 * events, roulette=False, seed=1), rates(events, roulette=True, seed=2)
    for name, (share, error) in without.items():
        other, of_other = with_it[name]
        ratio = other / share if share else np.nan
        uncertainty = ratio * np.hypot(error / share, of_other / other) if share and other else np.nan
        pull = (other - share) / max(np.hypot(error, of_other), 1e-12)
        sys.stdout.write(
            f"{name:22} {share:.5f} ± {error:.5f} without, {other:.5f} ± {of_other:.5f} with it, ratio {ratio:.3f} ±"
            f" {uncertainty:.3f}, {pull:+.1f} σ\n"
        )
    sys.stdout.write(f"{time.process_time() - began:.0f} s of CPU\n")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
