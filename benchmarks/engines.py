"""Each engine's fit beside its bare loop on the same arrays: python benchmarks/engines.py [ENGINE…] [--seconds 30]

The training set is written once, rows of ten flat variables and two classes; hepflow's ``fit`` reads it from the file,
validates, and keeps what it takes to resume, as the Trainer has it do; nothing is exported or reported. The bare loop
is what one would write by hand with the arrays in memory: ``xgboost.train`` and ``lightgbm.train`` with a validation
set, ``GradientBoosting.fit``, ``model.fit`` of Keras, a loop over shuffled batches in PyTorch, each epoch validated.
Steps (trees, epochs) are as many as take the bare loop ``--seconds`` in all, in turns with hepflow. CPU time of the
process, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", OMP_NUM_THREADS="1", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")

import numpy as np
import uproot

from hepflow import Folds, Job, Target, TrainingSet
from hepflow.execution import RunOptions, run
from hepflow.plugins.training.data import TrainingData, open_dataset
from hepflow.plugins.training.engines.base import Request, Schedule, engine_of
from hepflow.plugins.training.fitting import fit
from hepflow.plugins.training.source import unscaled
from hepflow.streams import DatasetStream
from hepflow.variables import Variable

MOST = 1.1
"""hepflow's time is at most this, in that of the bare loop."""
TURNS = 2
VARIABLES, BATCH, RATE, DEPTH = 10, 1000, 1e-3, 6
Arrays = dict[str, tuple[Any, Any, Any]]


def write(folder: Path, rows: int) -> Path:
    """Write a training set; returns its file."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, VARIABLES)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=rows) > 0).astype(np.int32)
    with uproot.recreate(folder / "n.root") as file:
        file["tree"] = {f"x{n}": x[:, n] for n in range(VARIABLES)} | {"y": y, "event": np.arange(rows)}
    names = tuple(Variable(f"x{n}") for n in range(VARIABLES))
    target, folds = Target("tree.y", {0: "no", 1: "yes"}), Folds(column="tree.event")
    declared = TrainingSet(rows="tree", inputs={"tree": names}, target=target, folds=folds)
    job = Job("events")
    job += DatasetStream("dataset", TrainingSet=declared)
    options = RunOptions(inputs=[str(folder / "n.root")], output=str(folder / "run"))
    return Path(run(job, options).outputs["dataset"][0])


def xgboost_by_hand(arrays: Arrays, steps: int) -> None:
    """Train with xgboost.train."""
    import xgboost

    x, y, w = arrays["train"]
    v, z, u = arrays["validation"]
    train = xgboost.QuantileDMatrix(x, y, weight=w, max_bin=256)
    valid = xgboost.QuantileDMatrix(v, z, weight=u, max_bin=256, ref=train)
    options = {"objective": "binary:logistic", "max_depth": DEPTH, "learning_rate": 0.1, "nthread": 1}
    xgboost.train(options, train, steps, evals=[(train, "train"), (valid, "valid")], verbose_eval=False)


def lightgbm_by_hand(arrays: Arrays, steps: int) -> None:
    """Train with lightgbm.train."""
    import lightgbm

    x, y, w = arrays["train"]
    v, z, u = arrays["validation"]
    options = {"objective": "binary", "max_depth": DEPTH, "num_leaves": 2**DEPTH, "learning_rate": 0.1, "max_bin": 256}
    options |= {"lambda_l2": 1.0, "num_threads": 1, "verbosity": -1, "deterministic": True, "force_row_wise": True}
    train = lightgbm.Dataset(x, y, weight=w, params=options)
    valid = lightgbm.Dataset(v, z, weight=u, reference=train)
    lightgbm.train(options, train, steps, [train, valid], ["train", "valid"])


def sklearn_by_hand(arrays: Arrays, steps: int) -> None:
    """Train with the estimator alone."""
    from sklearn.ensemble import GradientBoostingClassifier

    x, y, w = arrays["train"]
    GradientBoostingClassifier(n_estimators=steps, random_state=42).fit(x, y, sample_weight=w)


def keras_by_hand(arrays: Arrays, steps: int) -> None:
    """Train with model.fit."""
    import keras

    layers = [keras.layers.Dense(64, activation="relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((VARIABLES,)), *layers, keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(RATE), "categorical_crossentropy", weighted_metrics=["accuracy"])
    (x, y, w), (v, z, u) = ((x, np.eye(2, dtype=np.float32)[y], w) for x, y, w in arrays.values())
    model.fit(x, y, sample_weight=w, batch_size=BATCH, epochs=steps, validation_data=(v, z, u), verbose=0)


def torch_by_hand(arrays: Arrays, steps: int) -> None:
    """Train with a plain loop over shuffled batches."""
    import torch

    layers: list[Any] = [torch.nn.Linear(VARIABLES, 64), torch.nn.ReLU()]
    for _ in range(2):
        layers += [torch.nn.Linear(64, 64), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers, torch.nn.Linear(64, 2))
    optimiser = torch.optim.Adam(module.parameters(), lr=RATE)
    (x, y, w), (v, z, u) = (tuple(map(torch.from_numpy, one)) for one in arrays.values())
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    for _ in range(steps):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            value = (w[rows] * loss(module(x[rows]), y[rows])).mean()
            value.backward()
            optimiser.step()
            value.item()
        with torch.no_grad():
            (u * loss(module(v), z)).mean().item()


TREES = {"max_depth": DEPTH, "threads": 1}
ENGINES: dict[str, tuple[Callable[[Arrays, int], None], dict[str, Any]]] = {
    "xgboost": (xgboost_by_hand, {"settings": TREES}),
    "lightgbm": (lightgbm_by_hand, {"settings": TREES}),
    "sklearn": (sklearn_by_hand, {"settings": {}}),
    "keras": (keras_by_hand, {"architecture": "Dense"}),
    "torch": (torch_by_hand, {"architecture": "TorchDense"}),
}
FEW = {"xgboost": 20, "lightgbm": 20, "sklearn": 3, "keras": 2, "torch": 2}


def hepflow(name: str, data: TrainingData, request: dict[str, Any], steps: int, checkpoint: Path) -> None:
    """Train as the Trainer does, without report."""
    engine = engine_of(name)
    if not engine.IN_EPOCHS:
        request = {"settings": {**request["settings"], "n_estimators": steps}}
    plan = engine.make_plan(Request(**request), unscaled(data.declared), data.declared)
    schedule = Schedule(epochs=steps, patience=0, batch_size=BATCH, learning_rate=RATE)
    fit(engine(plan, schedule, deterministic=False), data, schedule, plan.loss, checkpoint=checkpoint)


def seconds(function: Callable[[], object]) -> float:
    """Return the CPU time of the process."""
    began = time.process_time()
    function()
    return time.process_time() - began


def main() -> int:
    """Run the benchmark; exit code 1 where an engine is slower than it may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", default=list(ENGINES), metavar="ENGINE")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the bare loop")
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        path = write(folder, options.rows)
        for name in options.engines:
            by_hand, request = ENGINES[name]
            with open_dataset(path) as data:
                whole = {role: data.whole(role) for role in ("train", "validation")}
                arrays = {
                    role: (one.inputs["tree"], one.labels.argmax(axis=1), one.weights) for role, one in whole.items()
                }
                by_hand(arrays, 1)  # imports, compilation
                once = seconds(lambda: by_hand(arrays, 1))  # noqa: B023 - called at once
                each = (seconds(lambda: by_hand(arrays, FEW[name])) - once) / (FEW[name] - 1)  # noqa: B023
                steps = max(int(options.seconds / TURNS / each), FEW[name])
                bare = own = 0.0
                for turn in range(TURNS):
                    bare += seconds(lambda: by_hand(arrays, steps))  # noqa: B023
                    place = folder / f"{name}{turn}.npz"
                    own += seconds(lambda: hepflow(name, data, request, steps, place))  # noqa: B023
            kept &= own <= MOST * bare
            print(f"{name:9s} 2 × {steps:5d} steps  by hand {bare:6.1f} s  hepflow {own:6.1f} s   {own / bare:5.2f} ×",
                  flush=True)  # fmt: skip
    print(f"at most {MOST} ×: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
