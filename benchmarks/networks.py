"""Network evaluation beside the bare matrix products and ONNX Runtime: python benchmarks/networks.py DSNN.json
LSTM.json

One thread, one run, the same taus for all. «bare» is np.matmul(…, out=) over the same weights and objects, without
bias, activation or sum over objects, at its best block size. Times are of the calling thread, the best of several
interleaved rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from hepflow.networks import Network, load, write_onnx
from hepflow.networks.layers import Dense, Recurrent

BLOCKS = (128, 256, 384, 512, 768, 1024, 2048)


def taus(network: Network, n: int, seed: int = 1) -> dict[str, Any]:
    """Make taus with realistic multiplicities: 1 or 3 tracks, 3 neutral PFOs, 1.5 shots, 0.3 conversions; capped as
    in the tool.
    """
    rng = np.random.default_rng(seed)
    draws = {
        "TauTrack": lambda: np.where(rng.random(n) < 0.75, 1, 3),
        "NeutralPFO": lambda: np.minimum(rng.poisson(3.0, n), 8),
        "ShotPFO": lambda: np.minimum(rng.poisson(1.5, n), 6),
        "ConvTrack": lambda: np.minimum(rng.poisson(0.3, n), 4),
    }
    inputs = {}
    for group in network.input_sequences:
        counts = draws[group.name]()
        inputs[group.name] = (rng.standard_normal((counts.sum(), len(group.variables)), dtype=np.float32), counts)
    return inputs


def products(network: Network, inputs: dict[str, Any], block: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """List (rows, weights, out) of every matrix product that ``block`` taus need, each recurrent product once an
    object.
    """
    size: dict[int, int] = {}
    listed = []
    rng = np.random.default_rng(2)
    for number in network.order:
        node = network.nodes[number]
        if node.type.startswith("input"):
            values, counts = inputs[network.input_sequences[node.sources[0]].name]
            size[number] = max(1, round(block * len(values) / len(counts)))
            continue
        rows = size[node.sources[0]]
        size[number] = rows if node.type == "time_distributed" else block
        layer = None if node.layer is None else network.layers[node.layer]
        matrices = [layer.weights] if isinstance(layer, Dense) and layer.weights is not None else []
        if isinstance(layer, Recurrent):
            matrices = [layer.weights, layer.recurrent]
        for matrix in matrices:
            weights = np.ascontiguousarray(matrix.T, dtype=np.float32)
            x = rng.standard_normal((rows, weights.shape[0]), dtype=np.float32)
            listed.append((x, weights, np.empty((rows, weights.shape[1]), np.float32)))
    return listed


def bare(listed: list[tuple[np.ndarray, np.ndarray, np.ndarray]], repeat: int) -> Callable[[], None]:
    """Return a function that runs the products ``repeat`` times."""

    def run() -> None:
        for _ in range(repeat):
            for x, weights, out in listed:
                np.matmul(x, weights, out=out)

    return run


def seconds(function: Callable[[], object]) -> float:
    """Return the time of the calling thread that one call takes."""
    start = time.thread_time()
    function()
    return time.thread_time() - start


def measure(path: str, n: int, rounds: int, limit: float) -> bool:
    """Measure one network; returns whether the evaluator keeps to ``limit`` times the bare products."""
    network = load(path)
    assert isinstance(network, Network)
    inputs = taus(network, n)
    evaluate = network.evaluator()
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "network.onnx"
        write_onnx(network, exported)
        onnx = load(exported)
        runs: dict[str, Callable[[], object]] = {
            "hepflow": lambda: evaluate(inputs),
            "ONNX Runtime": lambda: onnx.evaluate(inputs),
        }
        for block in BLOCKS:
            runs[f"bare, blocks of {block}"] = bare(products(network, inputs, block), n // block)
        best = dict.fromkeys(runs, float("inf"))
        with threadpool_limits(1, user_api="blas"):
            for _ in range(rounds):
                for name, run in runs.items():
                    best[name] = min(best[name], seconds(run))
    for block in BLOCKS:
        best[f"bare, blocks of {block}"] *= n / (n // block * block)
    floor = min(time for name, time in best.items() if name.startswith("bare"))
    print(f"\n{path}: {network.n_parameters} parameters, {n} taus")
    for name, time_taken in best.items():
        print(f"  {name:22s} {n / time_taken / 1000:8.1f} ktaus/s   {time_taken / floor:5.2f} × bare")
    ratio = best["hepflow"] / floor
    print(
        f"  hepflow takes {ratio:.2f} × the bare products, limit {limit:.2f}: {'kept' if ratio <= limit else 'MISSED'}"
    )
    return ratio <= limit


def main() -> int:
    """Run the benchmark; exit code 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deepset", help="lwtnn JSON of the reference DeepSet")
    parser.add_argument("lstm", help="lwtnn JSON of the reference LSTM")
    parser.add_argument("-n", "--taus", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    kept = [
        measure(options.deepset, options.taus, options.rounds, 1 / 0.6),
        measure(options.lstm, options.taus, options.rounds, 1 / 0.4),
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
