"""Tau identification judged on events that no model has seen: python benchmarks/tauid.py ID_TAUS ID_JETS POINTS

The folders are those of docs/tauid.md: ``TauID --mode scores --working-points`` of Gammatautau and of Dijet (add
``--set output.Keep=TauJets.*,EventInfo.*``, the rest is not looked at), and ``TauIDWorkingPoints``. Looked at are the
events of the test fold. For each number of tracks:

- AUC of each score from 20 to 60 GeV and above beside the best single variable of the BDT (pt is none), with errors of
  a paired bootstrap over events. Jets have the spectrum of taus, as in the training; also without weights.
- Flattened scores: in each cell of pt and μ, tenths of it must have a tenth of the taus each (χ² of all cells; the
  variance is that of the test taus and of those that the cuts come from).
- Working points: their efficiency, and one χ² of all of them in all cells, with the same variance: of what lies between
  one point and the next, as the points contain each other.

Nothing here comes from hepflow but the names of the variables: AUC, weights, cells and errors are calculated here.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from scipy import stats

from hepflow.plugins.tau.flattening import ONE_PRONG, OTHERS
from hepflow.plugins.tau.identification import BDT_VARIABLES

RANGES = {"20 to 60 GeV": (20e3, 60e3), "above 60 GeV": (60e3, np.inf)}
POINTS = ("VeryLoose", "Loose", "Medium", "Tight")
LEAST, MINIMUM_SIGMA, SMALLEST_P = 50, 3.0, 0.01
Columns = dict[str, Any]


def read(folder: Path, scores: list[str], fold: int, folds: int) -> Columns:
    """Return the columns of taus in events of the test fold, with the number of their event and μ."""
    names = [v.name for listed in BDT_VARIABLES.values() for v in listed if not v.name.startswith("pt")]
    names += ["pt", "ptIntermediateAxis", "nTracks", "isTau", "truthProng", *scores]
    parts: dict[str, list[Any]] = {}
    for number, path in enumerate(sorted(folder.glob("output_*.root"))):
        with uproot.open(path) as file:
            events = file["EventData"]
            keys = {str(key).replace("AuxDyn:", ".").replace("Aux:", "."): key for key in events.keys()}  # noqa: SIM118
            of_event = ("EventInfo.mcEventNumber", "EventInfo.averageInteractionsPerCrossing")
            wanted = {f"TauJets.{name}": name for name in dict.fromkeys(names)}
            whole = events.arrays([keys[name] for name in (*of_event, *wanted)])
            event, mu = (
                np.asarray(whole[keys[name]]).astype(np.int64 if n == 0 else float) for n, name in enumerate(of_event)
            )
            jagged = {name: whole[keys[full]] for full, name in wanted.items()}
        counts = np.asarray(ak.num(jagged["pt"]))
        kept = np.repeat(event % folds == fold, counts)
        held = {name: np.asarray(ak.flatten(values)) for name, values in jagged.items()}
        held |= {"event": np.repeat(event + (number << 32), counts), "mu": np.repeat(mu, counts)}
        for name, values in held.items():
            parts.setdefault(name, []).append(values[kept])
    return {name: np.concatenate(held) for name, held in parts.items()}


def chosen(columns: Columns, mask: Any) -> Columns:
    """Return the rows of a mask."""
    return {name: values[mask] for name, values in columns.items()}


class Auc:
    """The area under the ROC curve of one score, for any weights; ties count one half."""

    def __init__(self, score: Any, signal: Any) -> None:
        _, place = np.unique(score, return_inverse=True)
        self.place, self.signal, self.n = place, signal, int(place.max()) + 1

    def __call__(self, weight: Any) -> float:
        """Return the area for weights of the rows."""
        s = np.bincount(self.place, weight * self.signal, self.n)
        b = np.bincount(self.place, weight * ~self.signal, self.n)
        return float(np.sum(s * (np.cumsum(b) - b / 2)) / (s.sum() * b.sum()))


def spectrum(pt: Any, signal: Any) -> Any:
    """Return weights that give jets the spectrum of taus, in bins that have LEAST of both."""
    edges, last = [0.0], 0
    ordered = np.sort(pt[~signal])
    taus = np.sort(pt[signal])
    for value in ordered[LEAST::LEAST]:
        count = int(np.searchsorted(taus, value))
        if count - last >= LEAST:
            edges, last = [*edges, float(value)], count
    edges[-1:] = [np.inf] if len(edges) > 1 else [0.0, np.inf]
    place = np.searchsorted(edges, pt, side="right") - 1
    s, b = (np.bincount(place[which], minlength=len(edges)) for which in (signal, ~signal))
    return np.where(signal, 1.0, (s / np.maximum(b, 1))[place])


def areas(taus: Columns, jets: Columns, models: list[str], prongs: int, replicas: int) -> bool:
    """Compare AUC; returns whether all are above the best variable by enough."""
    kept = True
    rng = np.random.default_rng(1)
    for label, (low, high) in RANGES.items():
        s, b = (chosen(one, (one["pt"] >= low) & (one["pt"] < high)) for one in (taus, jets))
        both = {name: np.concatenate([s[name], b[name]]) for name in b}
        signal = np.arange(len(both["pt"])) < len(s["pt"])
        variables = [v.name for v in BDT_VARIABLES[prongs] if not v.name.startswith("pt")]
        _, event = np.unique(np.where(signal, both["event"], -1 - both["event"]), return_inverse=True)
        for told, weight in (
            ("spectrum of taus", spectrum(both["ptIntermediateAxis"], signal)), ("no weights", np.ones(len(signal)))
        ):  # fmt: skip
            found = {name: Auc(both[name], signal)(weight) for name in variables}
            best = max(found, key=lambda name: abs(found[name] - 0.5))
            sign = 1.0 if found[best] > 0.5 else -1.0
            single = Auc(sign * both[best], signal)
            scores = {model: Auc(both[f"TauID_{model}"], signal) for model in models}
            drawn = np.empty((replicas, 1 + len(models)))
            for replica in range(replicas):
                w = weight * rng.poisson(1.0, event.max() + 1)[event]
                drawn[replica] = [single(w), *(score(w) for score in scores.values())]
            base, errors = single(weight), drawn.std(axis=0)
            print(f"  {label}, {told}: {signal.sum()} taus, {(~signal).sum()} jets; best variable {best} "
                  f"{base:.4f} ± {errors[0]:.4f}")  # fmt: skip
            for number, (model, score) in enumerate(scores.items(), start=1):
                value, gain = score(weight), drawn[:, number] - drawn[:, 0]
                sigma = (value - base) / gain.std()
                kept &= bool(sigma > MINIMUM_SIGMA)
                print(f"    {model:8s} {value:.4f} ± {errors[number]:.4f}, {sigma:.0f} σ above it")
            for one in range(1, len(models)):
                gain = drawn[:, one + 1] - drawn[:, one]
                print(f"    {models[one]} - {models[one - 1]}: {gain.mean():+.4f} ± {gain.std():.4f}")
    return kept


def flatness(taus: Columns, model: str, points: Path, prongs: int) -> bool:
    """Look at flattened score and working points in the cells; returns whether both are as they should be."""
    described = json.loads(points.read_text())
    x, y = (np.asarray(described[axis]["edges"]) for axis in ("x", "y"))
    derived = np.asarray(described["about"]["taus"], float)
    i, j = (
        np.clip(np.searchsorted(e, v, side="right") - 1, 0, len(e) - 2) for e, v in ((x, taus["pt"]), (y, taus["mu"]))
    )
    cell = i * (len(y) - 1) + j
    n = np.bincount(cell, minlength=derived.size).astype(float)
    more = 1 + n / derived.ravel()  # the cuts come from a sample, too
    tenth = np.clip((taus[f"TauID_{model}SigTrans"] * 10).astype(int), 0, 9)
    chi2, ndf = multinomial(cell, tenth, np.full(10, 0.1), n, more)
    p = float(stats.chi2.sf(chi2, ndf))
    print(f"  {model}: {len(x) - 1} x {len(y) - 1} cells of {derived.min():.0f} or more taus; flattened score χ² "
          f"{chi2:.0f} / {ndf}, p = {p:.2g}")  # fmt: skip
    kept = p > SMALLEST_P
    targets = ONE_PRONG if prongs == 1 else OTHERS
    tightest = np.zeros(len(cell), dtype=int)
    for name, target in zip(POINTS, targets, strict=True):
        passed = taus[f"TauID_{model}{name}"] == 1
        tightest += passed
        error = np.sqrt(target * (1 - target) * (1 / n.sum() + 1 / derived.sum()))
        pull = (passed.mean() - target) / error
        kept &= bool(abs(pull) < MINIMUM_SIGMA)
        print(f"    {name:9s} {target:.2f}: {passed.mean():.4f} ± {error:.4f} ({pull:+.1f} σ)")
    chi2, ndf = multinomial(cell, tightest, -np.diff([1.0, *targets, 0.0]), n, more)
    p = float(stats.chi2.sf(chi2, ndf))
    print(f"    all points in all cells: χ² {chi2:.0f} / {ndf}, p = {p:.2g}")
    return kept and p > SMALLEST_P


def multinomial(cell: Any, category: Any, shares: Any, n: Any, more: Any) -> tuple[float, int]:
    """Return χ² and degrees of freedom of the categories in all cells, which have ``n`` taus each; ``more`` is by how
    much their variance is larger than that of the test taus.
    """
    counts = np.bincount(cell * len(shares) + category, minlength=len(n) * len(shares)).reshape(len(n), len(shares))
    wanted = n[:, None] * shares
    return float((((counts - wanted) ** 2 / wanted).sum(axis=1) / more).sum()), (len(shares) - 1) * len(n)


def main() -> int:
    """Judge; exit code 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("taus", type=Path, help="folder of TauID --mode scores, Gammatautau")
    parser.add_argument("jets", type=Path, help="the same of Dijet")
    parser.add_argument("points", type=Path, help="folder of TauIDWorkingPoints")
    parser.add_argument("--models", default="bdt,network")
    parser.add_argument("--fold", type=int, default=1, help="test fold of mcEventNumber %% 5")
    parser.add_argument("--replicas", type=int, default=200)
    options = parser.parse_args()
    models = options.models.split(",")
    scores = [f"TauID_{model}" for model in models]
    more = [f"{score}{what}" for score in scores for what in ("SigTrans", *POINTS)]
    taus, jets = read(options.taus, scores + more, options.fold, 5), read(options.jets, scores, options.fold, 5)
    kept = True
    for prongs in (1, 3):
        s = chosen(taus, (taus["isTau"] == 1) & (taus["nTracks"] == prongs) & (taus["truthProng"] == prongs))
        b = chosen(jets, (jets["isTau"] == 0) & (jets["nTracks"] == prongs))
        print(f"\n{prongs} track{'s' * (prongs > 1)}, test fold")
        kept &= areas(s, b, models, prongs, options.replicas)
        for model in models:
            kept &= flatness(s, model, options.points / f"TauID_{model}_{prongs}p.json", prongs)
    print(f"\nall limits {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
