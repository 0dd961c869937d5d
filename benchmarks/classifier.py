"""The whole decay-mode classifier, with the calculation of its inputs, beside the evaluator alone.

    python benchmarks/classifier.py WEIGHTS [TAUS]

Prints taus per second on one thread (aim: the classifier reaches at least half of the evaluator's rate). WEIGHTS is a
decay-mode network, lwtnn JSON or ONNX.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from pathlib import Path

import awkward as ak
import numpy as np
from common import report, timed

from hepflow import Context, Events
from hepflow.plugins.tau import NNDecayModeClassifier
from hepflow.plugins.tau.decaymode import decay_mode_sequences
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES, SEQUENCE_CAPS

TAUS_PER_EVENT = 2


def make_events(taus: int) -> Events:
    """Return events with realistic numbers: 1 or 3 tracks, 3 neutral PFOs, 1.5 shots, 0.3 conversions a tau."""
    rng = np.random.default_rng(1)
    events = Events.from_arrays({"EventInfo.eventNumber": np.arange(taus // TAUS_PER_EVENT)})
    n_tracks = rng.choice([1, 3], taus, p=[0.77, 0.23])
    links = {
        "tauTrackLinks": ("TauTracks", n_tracks + rng.poisson(0.3, taus)),
        "neutralPFOLinks": ("TauNeutralParticleFlowObjects", rng.poisson(3, taus)),
        "shotPFOLinks": ("TauShotParticleFlowObjects", rng.poisson(1.5, taus)),
    }
    per_event = np.full(len(events), TAUS_PER_EVENT)
    axes = {
        f"{name}IntermediateAxis": rng.uniform(low, high, taus).astype(np.float32) for name, low, high in DIRECTIONS
    }
    made = events.add("TauJets", axes | {"nTracks": n_tracks.astype(np.int32)}, counts=per_event)
    for link, (container, counts) in links.items():
        total = int(counts.sum())
        columns = {name: rng.uniform(low, high, total).astype(np.float32) for name, low, high in DIRECTIONS}
        for sequence in ("TauTrack", "NeutralPFO"):
            prefix = "cellBased_" if sequence == "NeutralPFO" else ""
            columns |= {
                prefix + v.column: rng.uniform(0, 1, total).astype(np.float32) for v in DECAY_MODE_VARIABLES[sequence]
            }
        columns |= {"CaloSamplingEtaEM": columns["eta"], "CaloSamplingPhiEM": columns["phi"]}
        first = np.cumsum(counts) - counts
        owners = np.repeat(np.arange(taus), counts)
        columns["pt"] = columns["pt"][np.lexsort((-columns["pt"], owners))]  # as in files: highest first
        charged = np.arange(total) - np.repeat(first, counts) < np.repeat(n_tracks, counts)
        columns |= {
            "flagSet": np.where(charged, 1 << 5, 1 << 7).astype(np.uint16),
            "tauShots_nPhotons": np.ones(total, np.int32),
        }
        in_event = np.add.reduceat(counts, np.arange(0, taus, TAUS_PER_EVENT))
        events.add(container, columns, counts=in_event)
        local = np.arange(total) - np.repeat(np.cumsum(in_event) - in_event, in_event)
        made[link] = events.link(container, ak.unflatten(ak.unflatten(local, counts), per_event))
    return events


DIRECTIONS = (("pt", 2e3, 2e4), ("eta", -2.0, 2.0), ("phi", -3.0, 3.0))


def main(weights: str, taus: int) -> None:
    """Measure and print."""
    events = make_events(taus)
    tool = NNDecayModeClassifier("NNDecayModeClassifier", WeightFile=weights)
    tool.prepare(Context(Path(), "benchmark"))
    raw = decay_mode_sequences(events, neutral_pt_cut=1.5, caps=SEQUENCE_CAPS)
    inputs = {
        name: ({v.name: v(columns[v.column]) for v in DECAY_MODE_VARIABLES[name]}, counts)
        for name, (counts, columns) in raw.items()
    }
    matrices = {name: (np.stack(list(values.values()), axis=1), counts) for name, (values, counts) in inputs.items()}
    rates = {"evaluator": 0.0, "classifier": 0.0}
    for _ in range(5):
        rates["evaluator"] = max(rates["evaluator"], taus / timed(lambda: tool._models[0].evaluate(matrices)))
        rates["classifier"] = max(rates["classifier"], taus / timed(lambda: tool.execute(events, None)))
    report(f"decay modes of {taus:,} taus", rates, "evaluator", "taus/s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
