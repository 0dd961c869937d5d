"""Training from disk beside what a user would run otherwise: python benchmarks/training.py DATASET.h5 [-n EPOCHS]

One run, the same taus, DATASET.h5 being what a DatasetStream wrote for the decay-mode job. Epochs of the reference
DeepSet in turns, so that a slow moment of the machine hits all alike: hepflow's training loop, reading the file;
``model.fit`` on the same arrays in memory; ``model.fit`` in memory on the network as NNAlgs writes it, with Masking and
TimeDistributed. The first epoch of each, in which the backend compiles, is not counted, nor is the validation. Devices
are printed: on a machine with a GPU run it once more with CUDA_VISIBLE_DEVICES= for the CPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from hepflow.plugins.training import Batch, open_dataset
from hepflow.plugins.training.architectures import NetworkInput
from hepflow.plugins.training.backend import devices, seed_everything
from hepflow.plugins.training.configuration import plan_network
from hepflow.plugins.training.engines import Schedule
from hepflow.plugins.training.engines.keras import KerasEngine
from hepflow.plugins.training.engines.keras_steps import feed, new_optimiser

FROM_MEMORY, FROM_REFERENCE = 1.9, 3.0
"""hepflow's speed is at least this, in those of the two others."""


def as_nnalgs(model: Any, config: Any) -> Any:
    """Return the DeepSet with Masking and TimeDistributed; ``Sum`` takes the mask that Masking made."""
    import keras
    from keras import layers

    from hepflow.plugins.training.layers import Sum

    inputs, branches = {}, []
    for name, sizes in config["n_inputs"].items():
        inputs[name] = x = keras.Input(model.input[name].shape[1:], name=name)
        x = layers.Masking()(x)
        for size in sizes:
            x = layers.Activation("relu")(layers.TimeDistributed(layers.Dense(size))(x))
        x = Sum()(x)
        for size in config["n_hiddens"][name]:
            x = layers.Activation("relu")(layers.Dense(size)(x))
        branches.append(layers.BatchNormalization()(x))
    x = layers.Concatenate()(branches)
    for number in (1, 2):
        x = layers.Activation("relu")(layers.Dense(config[f"n_fc{number}"])(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> int:
    """Run the benchmark; exit code 1 where a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="training set of the decay-mode job")
    parser.add_argument("-n", "--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1000)
    options = parser.parse_args()
    schedule = Schedule(batch_size=options.batch)
    seed_everything(1, deterministic=False)
    with open_dataset(options.dataset) as data:
        inputs = tuple(
            NetworkInput(
                name, tuple(v.name for v in listed), data.caps[name], *((n,) * len(listed) for n in (0.0, 0.1))
            )
            for name, listed in data.variables.items()
        )
        plan = plan_network("DSNN", None, inputs, data.classes)
        models = {"hepflow, from the file": None, "model.fit, in memory": plan.build()}
        models["Masking + TimeDistributed, in memory"] = as_nnalgs(plan.build(), plan.config)
        engine = KerasEngine(plan, schedule, deterministic=False)
        _, memory, reference = models.values()
        for model in (memory, reference):
            model.compile(new_optimiser(schedule), plan.loss, weighted_metrics=["categorical_accuracy"])
        taus = Batch.join(list(data.batches("train", 10_000)))
        settings = {"sample_weight": taus.weights, "batch_size": options.batch, "verbose": 0}
        runs: list[Callable[[int], object]] = [
            lambda epoch: engine.fit_epoch(data, epoch),
            lambda _: memory.fit(feed(taus), taus.labels, **settings),
            lambda _: reference.fit(dict(taus.inputs), taus.labels, **settings),
        ]
        best = [float("inf")] * len(runs)
        for epoch in range(options.epochs + 1):
            times = [seconds(lambda run=run, epoch=epoch: run(epoch)) for run in runs]
            best = best if epoch == 0 else [min(pair) for pair in zip(best, times, strict=True)]
    print(f"{len(taus)} taus, batches of {options.batch}, best of {options.epochs} epochs, on {', '.join(devices())}")
    for name, taken in zip(models, best, strict=True):
        print(f"  {name:38s} {len(taus) / taken:10,.0f} taus/s   hepflow is {taken / best[0]:5.2f} ×")
    kept = best[1] / best[0] >= FROM_MEMORY and best[2] / best[0] >= FROM_REFERENCE
    print(f"  limits {FROM_MEMORY} × and {FROM_REFERENCE} ×: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
