"""Forests: hepflow's tables of bits beside a plain walk event by event and XGBoost's inplace_predict, on one thread.

The same trees: XGBoost trains them; hepflow reads its file, and makes a BDTG of TMVA of it (the leaves halved,
tanh of the sum). Each is checked against XGBoost first. CPU time of the thread, best of several rounds in turns.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost

from hepflow.plugins.trees import Forest, ForestModel, Tree
from hepflow.registry.models import open_model

WALK, PREDICT = 20.0, 1.5
"""At least so many times faster than the walk; at most so many times the time of inplace_predict."""


def train(folder: Path, depth: int, variables: int, trees: int) -> tuple[xgboost.Booster, ForestModel, np.ndarray]:
    """Return a forest as XGBoost has it and as hepflow reads it, and rows to evaluate."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(40_000, variables)).astype(np.float32)
    target = rows[:, 0] + rows[:, 1] ** 2 + rng.normal(size=len(rows)) > 0.5
    options = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.05, "nthread": 1}
    booster = xgboost.train(options, xgboost.DMatrix(rows, target, nthread=1), trees)
    booster.save_model(folder / "model.json")
    model = open_model(folder / "model.json")
    assert isinstance(model, ForestModel)
    return booster, model, rows


def as_bdtg(forest: Forest) -> Forest:
    """Return the same trees as a gradient-boosted classifier of TMVA."""
    return replace(forest, trees=tuple(tree.scaled(0.5) for tree in forest.trees), link="tanh", base=(0.0,))


def walk(forest: Forest, rows: np.ndarray) -> np.ndarray:
    """Evaluate as one would by hand: event by event, tree by tree, node by node."""

    def nested(tree: Tree, node: int) -> object:
        if tree.feature[node] < 0:
            return float(tree.value[node])
        sides = nested(tree, int(tree.below[node])), nested(tree, int(tree.above[node]))
        return int(tree.feature[node]), float(tree.cut[node]), *sides

    trees = [nested(tree, 0) for tree in forest.trees]
    sums = []
    for row in rows.tolist():
        total = 0.0
        for node in trees:
            while isinstance(node, tuple):
                node = node[2] if row[node[0]] < node[1] else node[3]
            total += node
        sums.append(total)
    return np.tanh(sums)


def seconds(function: Callable[[], object]) -> float:
    """Return the CPU time of this thread."""
    start = time.thread_time()
    function()
    return time.thread_time() - start


def measure(depth: int, variables: int, trees: int, rounds: int) -> bool:
    """Measure one forest; returns whether both limits are kept."""
    with tempfile.TemporaryDirectory() as folder:
        booster, model, rows = train(Path(folder), depth, variables, trees)
    booster.set_param({"nthread": 1})
    bdtg, few = as_bdtg(model.forest), rows[:200]
    np.testing.assert_allclose(model.answers(rows)[:, 0], booster.inplace_predict(rows), atol=2e-6)
    np.testing.assert_allclose(bdtg(few)[:, 0], walk(bdtg, few), atol=1e-12)
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "hepflow": (lambda: bdtg(rows), len(rows)),
        "XGBoost inplace_predict": (lambda: booster.inplace_predict(rows), len(rows)),
        "plain walk": (lambda: walk(bdtg, few), len(few)),
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, (run, n) in runs.items():
            best[name] = min(best[name], seconds(run) / n)
    print(f"\n{trees} trees of depth {depth}, {variables} variables, one thread")
    for name, each in best.items():
        print(f"  {name:26s} {each * 1e6:8.2f} us a row   {each / best['hepflow']:7.2f} x hepflow")
    faster, times = best["plain walk"] / best["hepflow"], best["hepflow"] / best["XGBoost inplace_predict"]
    kept = faster >= WALK and times <= PREDICT
    print(f"  walk: {faster:.0f} x, at least {WALK:.0f}; inplace_predict: {times:.2f} x, at most {PREDICT}: "
          f"{'kept' if kept else 'MISSED'}")  # fmt: skip
    return kept


def main() -> int:
    """Run the benchmark; exit code 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kept = [measure(depth, variables, options.trees, options.rounds) for depth, variables in ((3, 10), (6, 10))]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
