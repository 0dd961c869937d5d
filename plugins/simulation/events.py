"""The tool that makes jets, hadronic taus and missing ET of whole events, with the weights of tagging and
identification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Job, Tool
from hepflow.plugins.simulation import objects
from hepflow.plugins.simulation.generator import pythia_module
from hepflow.plugins.simulation.objects import MUON, NEUTRINOS
from hepflow.plugins.simulation.truth import RECORD, build_truth_taus, decay_products

__all__ = ["EventDetector"]

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

JET_COLUMNS = {
    **dict.fromkeys(("pt", "eta", "phi", "m", "truthPt", "tagEfficiency"), "float32"),
    "label": "int32",
    "isTagged": "int32",
}
TAU_COLUMNS = {
    **dict.fromkeys(("pt", "eta", "phi", "m", "charge", "truthPtVis", "idEfficiency"), "float32"),
    "nTracks": "int32",
}
MET_COLUMNS = ("met", "phi", "truthMet", "truthPhi", "sumet", "resolutionX", "resolutionY")
TAU_PT_MIN = 10_000.0
"""Softer visible taus are no tau candidates of ATLAS (ATL-PHYS-PUB-2015-045); they belong to the jets."""


class EventDetector(Tool):
    """Make ``Jets``, ``TauJets`` and ``MET`` of the generator's record; a parametrised detector, not ATLAS simulation.

    Jets are anti-kt 0.4 (Pythia's FastJet core) of what is visible without muons and hadronic taus, smeared, with the
    label of the b or c hadron that they hold. True hadronic taus are smeared; jets that fake one are not there, nor is
    pile-up. Missing ET is minus the smeared visible sum with a soft term; ``resolutionX`` and ``resolutionY`` are what
    its components are smeared by. Nothing is tagged or identified: ``Jets.tagEfficiency`` and ``TauJets.idEfficiency``
    say how probable that is. ``EventInfo.tagWeight`` is the probability of exactly two tags, the two jets that then
    have ``Jets.isTagged`` are drawn; ``EventInfo.tauWeight`` is that of the two hardest taus, 0 without two.
    """

    energy_unit = "MeV"

    def reads(self) -> Sequence[str]:
        """Return the generator's record, and the event number that the random numbers belong to."""
        return [*(f"TruthParticles.{name}" for name in RECORD), "EventInfo.eventNumber"]

    def writes(self) -> Sequence[str]:
        """Return the containers, and the weights of the event."""
        return ["Jets.*", "TauJets.*", "MET.*", "EventInfo.tagWeight", "EventInfo.tauWeight"]

    def check(self, job: Job) -> None:
        """Refuse to start without Pythia."""
        pythia_module()

    def initialize(self, context: Context) -> None:
        """Make the jet finder."""
        pythia8 = pythia_module()
        self.finder = pythia8.SlowJet(-1, objects.RADIUS, objects.CLUSTER_PT_MIN, objects.ETA_MAX, 1, 2)
        self.record_ = pythia8.Event()

    def execute(self, events: Events, result: Any) -> None:
        """Make all objects; jets are found event by event."""
        particles = events["TruthParticles"]
        record = {name: particles.flat(name) for name in RECORD}
        counts = np.asarray(particles.counts)
        random = events.random(self)
        taus, tau_counts, invisible = _taus(record, counts, random)
        jets, jet_counts, rest = self._jets(record, counts, taus["product"] | invisible)
        jets["truthPt"] = jets["pt"]
        width = objects.jet_resolution(jets["truthPt"])
        scale = np.maximum(1.0 + width * random.normal(jet_counts), 0.0)
        jets["pt"], jets["m"] = jets["truthPt"] * scale, jets["m"] * scale
        events.add("MET", _missing(jets, jet_counts, taus, tau_counts, rest, random))
        weights = _tag(jets, jet_counts, random)
        _write(events, "Jets", jets, jet_counts, JET_COLUMNS, jets["pt"] > objects.JET_PT_MIN)
        _write(events, "TauJets", taus, tau_counts, TAU_COLUMNS, taus["pt"] > TAU_PT_MIN)
        info = events["EventInfo"]
        info["tagWeight"] = weights
        info["tauWeight"] = _two_hardest(events)

    def _jets(
        self, record: Mapping[str, Array], counts: Array, hidden: Array
    ) -> tuple[dict[str, Array], Array, Floats]:
        """Return the jets of all events (flat columns), how many each event has, and the sum px, py, scalar pt of what
        is visible in none.
        """
        px, py, pz, e = (np.asarray(record[name], dtype=np.float64) for name in ("px", "py", "pz", "e"))
        pt, code = np.hypot(px, py), np.abs(record["pdgId"])
        seen = (record["status"] == 1) & ~hidden & (pt > objects.PARTICLE_PT_MIN)
        seen &= np.abs(pz) < pt * np.sinh(objects.ETA_MAX)
        in_jets = seen & (code != MUON)
        hadrons = {quark: _hadrons(record, counts, quark, pt) for quark in (4, 5)}
        edges = np.concatenate([[0], np.cumsum(counts)])
        found: list[Floats] = []
        labels: list[Array] = []
        rest = np.zeros((len(counts), 3))
        for number, (start, stop) in enumerate(pairwise(edges.tolist())):
            chosen = start + np.flatnonzero(in_jets[start:stop])
            vectors, owner = objects.cluster(self.finder, self.record_, px[chosen], py[chosen], pz[chosen], e[chosen])
            jets = _spherical(vectors)
            near = {
                quark: {name: values[start:stop][mask[start:stop]] for name, values in direction.items()}
                for quark, (mask, direction) in hadrons.items()
            }
            found.append(vectors)
            labels.append(objects.flavour(jets, near))
            soft = np.concatenate([chosen[owner < 0], start + np.flatnonzero((seen & ~in_jets)[start:stop])])
            rest[number] = px[soft].sum(), py[soft].sum(), pt[soft].sum()
        columns = _spherical(np.concatenate(found) if found else np.zeros((0, 4)))
        columns["label"] = np.concatenate([np.zeros(0, dtype=np.int64), *labels])
        return columns, np.array([len(one) for one in found], dtype=np.int64), rest


def _hadrons(record: Mapping[str, Array], counts: Array, quark: int, pt: Floats) -> tuple[Array, dict[str, Floats]]:
    """Return which particles label jets, and the directions of all."""
    first = np.repeat(np.cumsum(counts) - counts, counts)
    parents = np.where(record["parentIndex"] >= 0, record["parentIndex"] + first, -1)
    mask = objects.weak_hadrons(record["pdgId"].astype(np.int64), parents, quark) & (pt > objects.HADRON_PT_MIN)
    eta = np.arcsinh(record["pz"] / np.maximum(pt, 1e-9))
    return mask, {"eta": eta, "phi": np.arctan2(record["py"], record["px"])}


def _taus(record: Mapping[str, Array], counts: Array, random: Any) -> tuple[dict[str, Array], Array, Array]:
    """Return the smeared hadronic taus of all events that are hard and central enough, how many each event has, and
    which particles are invisible. ``product`` tells which particles belong to one of these taus.
    """
    per_event, truth, _ = build_truth_taus(record, counts)
    pt, eta = truth["pt_vis"], truth["eta_vis"]
    kept = (truth["IsHadronicTau"] == 1) & (pt > TAU_PT_MIN) & (np.abs(eta) < objects.TAG_ETA_MAX)
    owner = decay_products(record, counts)
    event = np.repeat(np.arange(len(counts)), per_event)[kept]
    chosen = np.flatnonzero(kept)
    order = np.lexsort((-pt[chosen], event))
    chosen = chosen[order]
    tau_counts = np.bincount(event, minlength=len(counts)).astype(np.int64)
    prongs = truth["numCharged"][chosen].astype(np.int64)
    scale = np.maximum(1.0 + objects.tau_resolution(pt[chosen]) * random.normal(tau_counts), 0.0)
    taus: dict[str, Array] = {
        "pt": pt[chosen] * scale,
        "eta": eta[chosen],
        "phi": truth["phi_vis"][chosen],
        "m": np.zeros(len(chosen)),  # as ATLAS's calibrated taus have it
        "charge": truth["charge"][chosen],
        "truthPtVis": pt[chosen],
        "nTracks": prongs,
        "idEfficiency": objects.tau_efficiency(prongs),
    }
    taus["product"] = (owner >= 0) & kept[np.maximum(owner, 0)] if len(kept) else np.zeros(len(owner), dtype=bool)
    return taus, tau_counts, np.isin(np.abs(record["pdgId"]), NEUTRINOS)


def _missing(
    jets: Mapping[str, Array],
    jet_counts: Array,
    taus: Mapping[str, Array],
    tau_counts: Array,
    rest: Floats,
    random: Any,
) -> dict[str, Array]:
    """Return the columns of missing ET: as measured, as the visible particles have it, and the resolution of its
    components: σ² = Σ (σ(pt) cos φ)² over jets and taus + σ(soft)², for y with sin φ.
    """
    n = len(rest)
    truth, measured, variance = -rest[:, :2], -rest[:, :2], np.full((n, 2), objects.SOFT_RESOLUTION**2)
    measured = measured + objects.SOFT_RESOLUTION * random.normal(np.full(n, 2)).reshape(n, 2)
    sumet = rest[:, 2].copy()
    for part, counts, true, resolution in (
        (jets, jet_counts, "truthPt", objects.jet_resolution),
        (taus, tau_counts, "truthPtVis", objects.tau_resolution),
    ):
        event = np.repeat(np.arange(n), counts)
        direction = np.stack([np.cos(part["phi"]), np.sin(part["phi"])], axis=1)
        width = part[true] * resolution(np.maximum(part[true], 1.0))
        for axis in (0, 1):
            truth = truth.copy()
            truth[:, axis] -= np.bincount(event, weights=part[true] * direction[:, axis], minlength=n)
            measured[:, axis] -= np.bincount(event, weights=part["pt"] * direction[:, axis], minlength=n)
            variance[:, axis] += np.bincount(event, weights=(width * direction[:, axis]) ** 2, minlength=n)
        sumet += np.bincount(event, weights=part["pt"], minlength=n)
    values = (
        np.hypot(*measured.T), np.arctan2(measured[:, 1], measured[:, 0]),
        np.hypot(*truth.T), np.arctan2(truth[:, 1], truth[:, 0]), sumet, *np.sqrt(variance).T,
    )  # fmt: skip
    return {name: one.astype(np.float32) for name, one in zip(MET_COLUMNS, values, strict=True)}


def _tag(jets: dict[str, Array], counts: Array, random: Any) -> Array:
    """Give the jets the probability of a tag and mark the two that are drawn; return the probability of two tags."""
    chance = jets["tagEfficiency"] = objects.tag_efficiency(jets["label"], jets["pt"], jets["eta"])
    tagged = np.zeros(len(chance), dtype=np.int64)
    draws, edges = random.uniform(1), np.concatenate([[0], np.cumsum(counts)])
    weights = np.zeros(len(counts))
    for number, (start, stop) in enumerate(pairwise(edges.tolist())):
        weights[number], pair = objects.pair_of_tags(chance[start:stop], float(draws[number]))
        if weights[number]:
            tagged[start + np.array(pair)] = 1
    jets["isTagged"] = tagged
    return weights


def _write(
    events: Events, name: str, columns: Mapping[str, Array], counts: Array, types: Mapping[str, str], kept: Array
) -> None:
    """Make a container of the objects that are kept, hardest first."""
    event = np.repeat(np.arange(len(counts)), counts)[kept]
    order = np.lexsort((-columns["pt"][kept], event))
    chosen = np.flatnonzero(kept)[order]
    values = {column: columns[column][chosen].astype(kind) for column, kind in types.items()}
    events.add(name, values, counts=np.bincount(event, minlength=len(counts)))


def _two_hardest(events: Events) -> Array:
    """Return the probability that the two hardest taus are identified, 0 for events without two."""
    taus = events["TauJets"]
    counts, chance = np.asarray(taus.counts), taus.flat("idEfficiency").astype(np.float64)
    first = np.cumsum(counts) - counts
    weights = np.zeros(len(counts))
    two = counts >= 2
    weights[two] = chance[first[two]] * chance[first[two] + 1]
    return weights


def _spherical(vectors: Floats) -> dict[str, Array]:
    """Return pt, eta, phi, m of four-momenta (n × px, py, pz, e)."""
    px, py, pz, e = vectors.T
    pt = np.hypot(px, py)
    mass = np.sqrt(np.maximum(e**2 - pt**2 - pz**2, 0.0))
    return {"pt": pt, "eta": np.arcsinh(pz / np.maximum(pt, 1e-9)), "phi": np.arctan2(py, px), "m": mass}
