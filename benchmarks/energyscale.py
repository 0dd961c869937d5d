"""Do the calibrations of the energy scale do what they should, on taus that they were not made from?

    python benchmarks/energyscale.py TREE --lc lc.json --combined combined.json --regression model.txt

TREE is the ntuple of ``hepflow run EnergyScale --mode tree`` from a sample of its own. Unit weights, bins of true pt,
|η| and number of tracks (at most one, several), no cut on reconstructed pt or identification. Errors of medians are
1.2533 × core / √n, those of differences of widths 100 paired bootstrap samples. Exit status 1 where a criterion fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import hepflow
from hepflow import Job
from hepflow.plugins.tau import MvaTESEvaluator, TauCalibrateLC, TauCombinedTES
from hepflow.streams import NtupleStream

PT = (20, 30, 40, 60, 80, 100, 150, 200, 300, 500)
ETA = (0.0, 0.3, 0.8, 1.1, 1.37, 1.52, 2.0, 2.5)
CRACK = 1.37
NPV = (0, 15, 20, 25, 30, 35, 40, 100)
ENERGIES = {"calo": "ptTauEnergyScale", "flow": "ptPanTauCellBased", "combined": "ptCombined", "final": "ptFinalCalib"}
MANY, TOYS = 1500, 100
Columns = Mapping[str, Any]


def calibrated(options: argparse.Namespace) -> dict[str, Any]:
    """Return responses and what they are binned in, of the taus in the ntuple."""
    job = Job("energyscale")
    job += TauCalibrateLC("lc", calibrationFile=options.lc)
    job += TauCombinedTES("combined", WeightFileName=options.combined)
    job += MvaTESEvaluator("final", WeightFileName=options.regression)
    names = (*ENERGIES.values(), "truthPtVis", "truthEtaVis", "nTracks", "nVtxPU", "truthProng")
    job += NtupleStream("tree", Keep=tuple(f"TauJets.{name}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        hepflow.run(job, options.tree, Path(folder) / "run", workers=options.workers)
        read = hepflow.open(Path(folder) / "run").arrays(*(f"TauJets.{name}" for name in names))
    flat = {name: np.asarray(read[f"TauJets.{name}"], np.float64) for name in names}
    made = {name: flat[column] / flat["truthPtVis"] for name, column in ENERGIES.items()}
    several = flat["truthProng"] > 1 if options.true_prongs else flat["nTracks"] > 1
    return made | {
        "pt": flat["truthPtVis"] / 1000, "eta": np.abs(flat["truthEtaVis"]), "several": several, "npv": flat["nVtxPU"]
    }  # fmt: skip


def median(values: Any) -> tuple[float, float]:
    """Return the median and its error."""
    low, middle, high = np.quantile(values, [0.15865, 0.5, 0.84135])
    return float(middle), 1.2533 * float(high - low) / 2 / np.sqrt(len(values))


def width(values: Any, part: float = 0.6827) -> float:
    """Return half the width of the central part over the median."""
    low, middle, high = np.quantile(values, [(1 - part) / 2, 0.5, (1 + part) / 2])
    return float((high - low) / 2 / middle)


def bins(taus: Columns, eta: tuple[float, ...], pt: tuple[float, ...] = PT) -> Iterator[tuple[str, Any, float, float]]:
    """Yield name, taus, |η| and pt (lower edges) of the bins."""
    for several in (False, True):
        for low, high in pairwise(eta):
            for first, last in pairwise(pt):
                rows = np.flatnonzero(
                    (taus["several"] == several) & (taus["eta"] >= low) & (taus["eta"] < high)
                    & (taus["pt"] >= first) & (taus["pt"] < last)
                )  # fmt: skip
                name = f"{'3P' if several else '1P'} {low:4.2f} < |η| < {high:4.2f} {first:3d}–{last:3d} GeV"
                if len(rows) >= 40:
                    yield name, rows, low, first


class Judge:
    """Prints what was found, and remembers whether all of it is as it should be."""

    def __init__(self, verbose: bool) -> None:
        self.verbose, self.failed = verbose, 0

    def __call__(self, good: bool, text: str) -> None:
        """Take note of one criterion."""
        self.failed += not good
        if self.verbose or not good:
            print(f"  {'ok  ' if good else 'MISS'}  {text}")


def closure(judge: Judge, taus: Columns) -> None:
    """LC in bins of true pt, |η| and prong; against the number of vertices."""
    print(
        "LC: median of pt / true pt within 1 % (bins with > 1500 taus) or 3σ; 30–500 GeV, beyond the crack 30–200 GeV"
    )
    found = []
    for name, rows, eta, pt in bins(taus, ETA):
        if eta == CRACK or pt < 30 or (eta > CRACK and pt >= 200):
            continue
        value, error = median(taus["calo"][rows])
        good = abs(value - 1) < (0.01 if len(rows) > MANY else max(3 * error, 0.01))
        found.append((value - 1) / error)
        judge(good, f"{name}  {len(rows):6d}  {value:.4f} ± {error:.4f}  mean {taus['calo'][rows].mean():.4f}")
    print(
        f"  {len(found)} bins, pulls {np.mean(found):+.2f} ± {np.std(found):.2f}, farthest {np.abs(found).max():.1f}σ"
    )
    print("LC: median against the number of pile-up vertices within 0.5 %, 30–60 GeV")
    used = (taus["pt"] >= 30) & (taus["pt"] < 60) & (taus["eta"] < 2.5) & ((taus["eta"] < 1.37) | (taus["eta"] > 1.52))
    for several in (False, True):
        for low, high in pairwise(NPV):
            some = used & (taus["several"] == several) & (taus["npv"] >= low) & (taus["npv"] < high)
            value, error = median(taus["calo"][some])
            text = (
                f"{'3P' if several else '1P'} {low:3d}–{high:3d} vertices  {some.sum():6d}  {value:.4f} ± {error:.4f}"
            )
            judge(abs(value - 1) < 0.005, text)


def toys(taus: Columns, rows: Any, names: tuple[str, ...], part: float = 0.6827) -> tuple[Any, Any]:
    """Return widths of responses, and those of bootstrap samples (toys, responses), which share their taus."""
    random = np.random.default_rng(7)
    values = np.stack([taus[name][rows] for name in names])
    drawn = [[width(v, part) for v in values[:, random.integers(0, len(rows), len(rows))]] for _ in range(TOYS)]
    return np.array([width(v, part) for v in values]), np.array(drawn)


def combination(judge: Judge, taus: Columns, eta: tuple[float, ...]) -> None:
    """Combined against its parts."""
    print("combined: core / median not worse than the better part by > 2σ; better by > 3σ where these are within 1.3")
    for name, rows, *_ in bins(taus, eta):
        one, drawn = toys(taus, rows, ("calo", "flow", "combined"))
        error = float((drawn[:, 2] - drawn[:, :2].min(axis=1)).std())
        gain = (min(one[:2]) - one[2]) / error
        near = max(one[:2]) < 1.3 * min(one[:2])
        shown = "  ".join(f"{x:.4f}" for x in one)
        judge(gain > (3 if near else -2), f"{name}  {len(rows):6d}  {shown}  {gain:+5.1f}σ {'near' if near else ''}")


def regression(judge: Judge, taus: Columns, eta: tuple[float, ...]) -> None:
    """The regression against combined and LC."""
    print(
        "regression: core / median ≥ 5 % narrower than combined at 20–60 GeV (> 3σ), else not worse by > 2σ; 95 % tail"
    )
    print("not wider than LC's (2σ); |median − 1| < 1 % at 30–500 GeV")
    for edges in (PT, (20, 60)):
        for name, rows, _, pt in bins(taus, eta, edges):
            one, drawn = toys(taus, rows, ("calo", "combined", "final"))
            gains = 1 - drawn[:, 2] / drawn[:, 1]
            gain, error = 1 - one[2] / one[1], gains.std()
            tails, their = toys(taus, rows, ("calo", "final"), 0.95)
            wider = (tails[1] - tails[0]) / (their[:, 1] - their[:, 0]).std()
            value, its = median(taus["final"][rows])
            good = gain > 0.05 and gain > 3 * error if pt < 60 else gain > -2 * error
            good &= wider < 2 and (pt < 30 or abs(value - 1) < max(0.01, 3 * its if len(rows) < MANY else 0))
            shown = f"core {one[0]:.4f} {one[1]:.4f} {one[2]:.4f} gain {gain:6.1%} ± {error:.1%}"
            more = (
                f"over LC {1 - one[2] / one[0]:.0%}  tail {tails[0]:.3f} {tails[1]:.3f}  median {value:.4f} ± {its:.4f}"
            )
            judge(bool(good), f"{name}  {len(rows):6d}  {shown}  {more}")


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tree", nargs="+")
    for name in ("lc", "combined", "regression"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--true-prongs", action="store_true", help="bins of true prongs instead of tracks")
    parser.add_argument("--verbose", action="store_true", help="print all bins, not only those that miss")
    options = parser.parse_args()
    taus, judge = calibrated(options), Judge(options.verbose)
    print(f"{len(taus['pt'])} taus, {int((taus['pt'] > 20).sum())} above 20 GeV")
    closure(judge, taus)
    combination(judge, taus, (0.0, 1.37))
    combination(judge, taus, (1.52, 2.5))
    regression(judge, taus, (0.0, 1.37))
    regression(judge, taus, (1.52, 2.5))
    print("all criteria hold" if not judge.failed else f"{judge.failed} criteria are missed")
    sys.exit(bool(judge.failed))


if __name__ == "__main__":
    main()
