"""Two productions of the built-in sample, column by column and in response and efficiency: are they the same physics?

    python benchmarks/sample_physics.py FIRST_FOLDER SECOND_FOLDER

The folders hold the AOD files of runs of ``Gammatautau`` (or ``Dijet``) of the same or of other versions or seeds.
True taus that have the same event numbers and seed must be equal bit by bit (said, not required: two seeds differ).
Every column that both have is compared by a Kolmogorov-Smirnov test (few values: χ²), the responses of four energies
and the efficiencies of each true decay mode in bins of pt, η and μ by χ². With as many tests, the smallest p times
their number says whether the samples differ: above 0.01 is the aim.

Objects of one event are not independent; their tests use the variance between events (``design_effect``). With the
same true taus in both the tests are conservative: the samples differ by the detector's random numbers alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from scipy import stats

LINKS = {
    "TauTracks": "tauTrackLinks",
    "TauNeutralParticleFlowObjects": "neutralPFOLinks",
    "TauShotParticleFlowObjects": "shotPFOLinks",
    "CaloCalTopoClusters": "clusterLinks",
}
ENERGIES = ("ptIntermediateAxis", "ptTauEnergyScale", "ptPanTauCellBased", "pt")
MODES = ("1p0n", "1p1n", "1pXn", "3p0n", "3pXn")
EDGES = {
    "pt_vis": np.array([15e3, 20e3, 30e3, 40e3, 60e3, 100e3, 200e3, 1e6]),
    "eta_vis": np.linspace(-2.5, 2.5, 11),
    "mu": np.linspace(20.0, 70.0, 6),
}
FEW = 60
OF_EVENT = [f"EventInfo.{n}PerCrossing" for n in ("averageInteractions", "actualInteractions")]
OF_EVENT += ["EventInfo.nPileUpVertices"]
REPEATED = ("TauJets.mu", "TauJets.nVtxPU")
"""The same for all taus of an event; compared once an event."""


def load(folder: Path) -> dict[str, ak.Array]:
    """Return all columns that are no links, by the names of hepflow."""
    pieces: dict[str, list[ak.Array]] = {}
    for path in sorted(folder.glob("AOD_*.root")):
        with uproot.open(path) as file:
            tree = file["EventData"]
            for name in tree.keys():  # noqa: SIM118 - not a dictionary
                if ":" in name and "m_pers" not in name and not name.endswith("Links"):
                    pieces.setdefault(name.replace("AuxDyn:", "."), []).append(tree[name].array())
    return {name: ak.concatenate(parts) for name, parts in pieces.items()}


def flat(values: ak.Array) -> Any:
    """Return all values of a column as a flat array."""
    return ak.to_numpy(ak.flatten(values, axis=None)).astype(np.float64)


def same_truth(first: dict[str, ak.Array], second: dict[str, ak.Array]) -> bool:
    """Return whether the true taus are bitwise equal."""
    return all(ak.array_equal(first[n], second[n]) for n in first if n.startswith("TruthTaus."))


def owners(values: ak.Array) -> Any:
    """Return the event of each value of a column."""
    return (
        np.arange(len(values)) if values.ndim == 1 else np.repeat(np.arange(len(values)), ak.to_numpy(ak.num(values)))
    )


def compare(first: Any, second: Any, events: list[Any] | None = None) -> float:
    """Return the p-value that two sets of values have the same distribution; ``events`` are those of the values, which
    are independent without.
    """
    effect = 1.0
    if events is not None:
        effect = max(design_effect(*one) for one in zip((first, second), events, strict=True))
    values = np.unique(np.concatenate([first[:20_000], second[:20_000]]))
    if len(values) > FEW:
        distance = float(stats.ks_2samp(first, second, method="asymp").statistic)
        return float(
            stats.kstwobign.sf(distance * np.sqrt(len(first) * len(second) / (len(first) + len(second)) / effect))
        )
    edges = np.concatenate([values - 1e-9, [np.inf]])
    return chi_square(np.histogram(first, edges)[0], np.histogram(second, edges)[0], effect)


def design_effect(values: Any, event: Any) -> float:
    """Return how much more the share of values below a quartile varies than if all were independent: the objects of an
    event are not (those of one tau have nearly the same η). The variance is that of the events' sums.
    """
    effects = [1.0]
    for quartile in np.percentile(values, [25, 50, 75]):
        below = values <= quartile
        share = below.mean()
        if share < 1.0:
            sums = np.bincount(event, weights=below - share)
            effects.append(float((sums**2).sum() / (len(values) * share * (1.0 - share))))
    return max(effects)


def chi_square(first: Any, second: Any, effect: float = 1.0) -> float:
    """Return the p-value of two histograms of counts, sparse bins joined; χ² is divided by the design effect."""
    order = np.argsort(-(first + second))
    counts = np.stack([first, second])[:, order].astype(float)
    kept = counts.sum(axis=0) >= 20
    counts = np.column_stack([counts[:, kept], counts[:, ~kept].sum(axis=1)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 1.0
    found = stats.chi2_contingency(counts)
    return float(stats.chi2.sf(found.statistic / effect, found.dof))


def columns(first: dict[str, ak.Array], second: dict[str, ak.Array]) -> Iterator[tuple[str, float]]:
    """Compare what is reconstructed, column by column, and how many objects an event has."""
    for container in ("TauJets", *LINKS):
        yield f"number of {container}", compare(*(flat(ak.num(s[f"{container}.pt"])) for s in (first, second)))
    for name in first:
        container = name.split(".")[0]
        if name == "CaloCalTopoClusters.SECOND_R":  # version 1 had 0 for hadronic clusters
            front = [flat(s["CaloCalTopoClusters.CENTER_LAMBDA"]) < 1000.0 for s in (first, second)]
            pairs = list(zip((first, second), front, strict=True))
            yield (
                name,
                compare(*(flat(s[name])[near] for s, near in pairs), [owners(s[name])[near] for s, near in pairs]),
            )
        elif name in second and (name in OF_EVENT or (container in ("TauJets", *LINKS) and name not in REPEATED)):
            one, two = flat(first[name]), flat(second[name])
            if len(np.unique(one[:1000])) > 1 or len(np.unique(two[:1000])) > 1:
                yield name, compare(one, two, [owners(s[name]) for s in (first, second)])


def matched(sample: dict[str, ak.Array]) -> dict[str, Any]:
    """Return true taus with the values of the candidate within ΔR < 0.2, NaN where there is none."""
    true = {n: sample[f"TruthTaus.{n}"] for n in ("pt_vis", "eta_vis", "phi_vis", "numCharged", "numNeutralPion")}
    taus = {n: sample[f"TauJets.{n}"] for n in (*ENERGIES, "nTracks", "etaIntermediateAxis", "phiIntermediateAxis")}
    d_eta = true["eta_vis"][:, :, None] - taus["etaIntermediateAxis"][:, None, :]
    d_phi = (true["phi_vis"][:, :, None] - taus["phiIntermediateAxis"][:, None, :] + np.pi) % (2 * np.pi) - np.pi
    distance = np.hypot(d_eta, d_phi)
    best = ak.argmin(distance, axis=2)
    near = ak.fill_none(ak.min(distance, axis=2) < 0.2, False)
    found = {n: pick(values, best, near) for n, values in taus.items()}
    charged, neutral = flat(true["numCharged"]), flat(true["numNeutralPion"])
    mode = np.select([charged == 1, charged == 3], [np.minimum(neutral, 2), 3 + np.minimum(neutral, 1)], 5)
    mu = ak.broadcast_arrays(sample["EventInfo.averageInteractionsPerCrossing"], true["pt_vis"])[0]
    return {n: flat(v) for n, v in true.items()} | found | {"mode": mode, "mu": flat(mu), "found": flat(near) > 0}


def pick(values: ak.Array, best: ak.Array, near: ak.Array) -> Any:
    """Return the value of the best candidate of each true tau, NaN where it is not near."""
    counts, owner = ak.to_numpy(ak.num(values)), ak.to_numpy(ak.num(best))
    first = np.repeat(np.cumsum(counts) - counts, owner)
    index, good = flat(ak.fill_none(best, 0)).astype(np.int64) + first, flat(near) > 0
    result = np.full(len(good), np.nan)
    result[good] = flat(values)[index[good]]
    return result


def physics(first: dict[str, Any], second: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Compare responses, and efficiencies to find a tau and to give it the right number of tracks, of each mode."""
    for mode, label in enumerate(MODES):
        parts = [{n: v[(s["mode"] == mode) & (s["pt_vis"] > 15e3)] for n, v in s.items()} for s in (first, second)]
        for energy in ENERGIES:
            ratios = [(part[energy] / part["pt_vis"])[part["found"]] for part in parts]
            yield f"response of {energy}, {label}", compare(*ratios)
        for x, edges in EDGES.items():
            for what in ("found", "right number of tracks"):
                total, passed = [], []
                for part in parts:
                    good = part["found"] & ((part["nTracks"] == (1 if mode < 3 else 3)) if what != "found" else True)
                    total.append(np.histogram(part[x], edges)[0])
                    passed.append(np.histogram(part[x][good], edges)[0])
                yield f"{what}, {label}, in {x}", efficiencies(passed, total)


def efficiencies(passed: list[Any], total: list[Any]) -> float:
    """Return the p-value that efficiencies agree in all bins: χ² of each bin's two-by-two table, added up."""
    square, freedom = 0.0, 0
    for k in range(len(total[0])):
        table = np.array([[p[k], t[k] - p[k]] for p, t in zip(passed, total, strict=True)], dtype=float)
        if np.all(table.sum(axis=0) >= 5) and np.all(table.sum(axis=1) > 0):
            square += float(stats.chi2_contingency(table, correction=False).statistic)
            freedom += 1
    return float(stats.chi2.sf(square, freedom)) if freedom else 1.0


def main(first_folder: str, second_folder: str) -> None:
    """Compare and print, the least likely first."""
    first, second = load(Path(first_folder)), load(Path(second_folder))
    print(f"{len(first['TauJets.pt']):,} and {len(second['TauJets.pt']):,} events")
    print("true taus:", "bitwise equal" if same_truth(first, second) else "not the same")
    results = dict(columns(first, second))
    if ak.sum(ak.num(first["TruthTaus.pt_vis"])):
        results |= dict(physics(matched(first), matched(second)))
    ordered = sorted(results.items(), key=lambda item: item[1])
    for name, p in ordered[:12]:
        print(f"  p = {p:8.2g}   {name}")
    print(f"{len(ordered)} tests, smallest p × number of tests = {ordered[0][1] * len(ordered):.3g} (aim: above 0.01)")


if __name__ == "__main__":
    main(*sys.argv[1:3])
