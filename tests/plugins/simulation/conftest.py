"""One generated and one simulated sample, shared by all tests of the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepflow import Context, Events, Tool
from hepflow.events import Scope
from hepflow.events.column import Column
from hepflow.plugins.simulation.pythia import PythiaReader
from hepflow.plugins.simulation.tools import TauDetector, TruthTauBuilder
from hepflow.plugins.simulation.truth import build_truth_taus

pytest.importorskip("pythia8mc", reason="generating events needs pythia8mc")

GENERATED, SIMULATED = 1300, 500


def run_tools(columns: Mapping[str, Column], n: int, *tools: Tool) -> Events:
    events = Events(Scope.from_columns(dict(columns), n, sample=None, seed=1))
    for tool in tools:
        tool.prepare(Context(directory=Path(), job="test"))
        tool.execute(events, tool.start())
    return events


@pytest.fixture(scope="session")
def generated() -> dict[str, Column]:
    """All columns of the first events of the default sample."""
    reader = PythiaReader("pythia:Gammatautau")
    return reader.read(list(reader.schema().columns.values()), 0, GENERATED)


@pytest.fixture(scope="session")
def truth(generated: dict[str, Column]) -> dict[str, Any]:
    """Truth taus of the generated events, flat, with their decay mode (0…4) by the definition of the reference."""
    names = ("pdgId", "status", "parentIndex", "px", "py", "pz", "e", "charge")
    record = {name: generated[f"TruthParticles.{name}"].content for name in names}
    counts, columns, products = build_truth_taus(record, np.diff(generated["TruthParticles.pdgId"].offsets))
    charged, neutral = columns["numCharged"].astype(int), columns["numNeutralPion"].astype(int)
    mode = np.select([charged == 1, charged == 3], [np.minimum(neutral, 2), 3 + np.minimum(neutral, 1)], 5)
    return columns | {"counts": counts, "products": products, "mode": mode, "charged": charged}


@pytest.fixture(scope="session")
def simulated(generated: dict[str, Column]) -> Events:
    """The first of these events with truth taus and everything that the detector makes."""
    first = {name: column[0:SIMULATED] for name, column in generated.items()}
    return run_tools(first, SIMULATED, TruthTauBuilder("TruthTauBuilder"), TauDetector("TauDetector"))


class Matched:
    """Flat values of the tau candidates that match a hadronic tau: ΔR < 0.2 between intermediate axis and visible
    momentum."""

    def __init__(self, events: Events) -> None:
        taus, true = events["TauJets"], events["TruthTaus"]
        edges = np.concatenate([[0], np.cumsum(true.counts)])
        owners = np.repeat(np.arange(len(events)), taus.counts)
        axes = np.stack([taus.flat("etaIntermediateAxis"), taus.flat("phiIntermediateAxis")], axis=1)
        pt_vis, eta_vis, phi_vis = (true.flat(name) for name in ("pt_vis", "eta_vis", "phi_vis"))
        found = []
        for tau, (event, (eta, phi)) in enumerate(zip(owners, axes, strict=True)):
            for k in range(edges[event], edges[event + 1]):
                distance = np.hypot(eta_vis[k] - eta, np.mod(phi_vis[k] - phi + np.pi, 2 * np.pi) - np.pi)
                if distance < 0.2 and pt_vis[k] > 15_000.0:
                    found.append((tau, k))
                    break
        self.events = events
        self.tau, self.true = np.array(found).T
        self.pt_vis = pt_vis[self.true]
        charged, neutral = (
            true.flat("numCharged").astype(int)[self.true],
            true.flat("numNeutralPion").astype(int)[self.true],
        )
        self.charged = charged
        self.mode = np.select([charged == 1, charged == 3], [np.minimum(neutral, 2), 3 + np.minimum(neutral, 1)], 5)

    def __call__(self, column: str) -> Any:
        return self.events["TauJets"].flat(column)[self.tau]


@pytest.fixture(scope="session")
def matched(simulated: Events) -> Matched:
    return Matched(simulated)
