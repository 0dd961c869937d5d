"""Matching reconstructed taus to truth, and the truth decay mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property, Tool
from hepflow.events import Container
from hepflow.events.links import LINK_PARTS
from hepflow.plugins.tau.modes import NOT_SET, decay_mode

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["MISSING", "TauTruthMatching", "TruthDecayMode", "direction", "first_match", "truth_decay_mode", "wrap"]

MISSING = -1111.0
LEPTONS = {"TruthMuons": "MUON", "TruthElectrons": "ELE"}
MOMENTUM = ("px", "py", "pz")
"""What xAOD truth particles keep; eta and phi are calculated."""


def wrap(angle: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return angles (radians) in [-pi, pi)."""
    turned = np.asarray(np.add(angle, np.pi))
    outside = ~((turned >= 0) & (turned < 2 * np.pi))  # few: a remainder takes long
    np.remainder(turned, 2 * np.pi, out=turned, where=outside)
    wrapped: npt.NDArray[Any] = turned - np.pi
    return wrapped


def direction(px: npt.NDArray[Any], py: npt.NDArray[Any], pz: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return (eta, phi) of momenta; eta is infinite along the beam."""
    px, py, pz = (np.asarray(part, dtype=np.float64) for part in (px, py, pz))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([np.arcsinh(pz / np.hypot(px, py)), np.arctan2(py, px)])


def first_match(
    objects: Container,
    counts: npt.NDArray[np.int64],
    eta: npt.NDArray[Any],
    phi: npt.NDArray[Any],
    radius: float,
) -> npt.NDArray[np.int64]:
    """Return, for each object (flat), the position in its event of the first of the others within ``radius``, or -1.

    The others are ``counts`` an event, with flat ``eta`` and ``phi``. The distance is ΔR = sqrt(Δeta² + Δphi²); the
    order of the others decides, not the distance.
    """
    event = np.repeat(np.arange(len(objects.counts)), objects.counts)
    number, first = counts[event], (np.cumsum(counts) - counts)[event]
    left = np.repeat(np.arange(len(objects)), number)
    right = np.arange(len(left)) - np.repeat(np.cumsum(number) - number, number)
    there = first[left] + right
    deta = objects.flat("eta")[left] - eta[there].astype(np.float64)
    dphi = wrap(objects.flat("phi")[left] - phi[there].astype(np.float64))
    near = np.flatnonzero(deta**2 + dphi**2 <= radius**2)[::-1]
    match = np.full(len(objects), -1, dtype=np.int64)
    match[left[near]] = right[near]  # backwards: the first of them is written last
    return match


def truth_decay_mode(products: ak.Array) -> npt.NDArray[np.int32]:
    """Return the decay mode for lists of PDG ids of tau decay products (one list a tau).

    Charged are π± and K±, neutral are π⁰; neutrinos, photons and neutral kaons do not count.
    """
    import awkward as ak

    ids = abs(products)
    charged = ak.to_numpy(ak.sum((ids == 211) | (ids == 321), axis=-1))
    neutral = ak.to_numpy(ak.sum(ids == 111, axis=-1))
    return decay_mode(charged, neutral)


class TauTruthMatching(Tool):
    """Match taus to truth taus, muons and electrons, and keep those that the datatype asks for.

    The first truth particle within ``MaxDeltaR`` wins, in the order of TruthTaus (visible momentum), TruthMuons,
    TruthElectrons. ``IsTruthMatched`` is 1 for any of them. ``truthIsHadronicTau`` is 1 for a hadronically decaying
    tau; only then are ``truthDecayMode`` (else 6, NotSet), ``truthProng`` (else 0) and ``truthPtVis``,
    ``truthEtaVis``, ``truthPhiVis`` (else -1111) set.
    """

    varies = False

    energy_unit = "MeV"

    Container = Property("TauJets", "container of the taus")
    MaxDeltaR = Property(0.2, "largest distance of a match", minimum=0)
    DataType = Property(
        "TAU",
        "keep taus from hadronic truth taus, all (JET), or those matched to electrons or muons; set by -dt",
        choices=("TAU", "JET", "ELE", "MUON"),
    )

    def _outputs(self) -> list[str]:
        columns = (
            "IsTruthMatched truthIsHadronicTau truthDecayMode truthProng truthPtVis truthEtaVis truthPhiVis "
            "truthParticleLink"
        )
        return [f"{self.Container}.{column}" for column in columns.split()]

    def reads(self) -> Sequence[str]:
        """Return directions of taus, momenta of truth particles; what is written replaces what the input may have."""
        truth = [
            f"TruthTaus.{name}"
            for name in ("pt_vis", "eta_vis", "phi_vis", "IsHadronicTau", "DecayModeVector", "numCharged")
        ]
        leptons = [
            f"{name}.{column}" + ("" if self.DataType == datatype else "?")
            for name, datatype in LEPTONS.items()
            for column in MOMENTUM
        ]
        own = [f"{self.Container}.eta", f"{self.Container}.phi"]
        return own + truth + leptons + [f"{name}?" for name in self._outputs()]

    def writes(self) -> Sequence[str]:
        """Return the truth columns."""
        return self._outputs()

    def links(self) -> Sequence[str]:
        """Return the link to what was matched."""
        return [f"{self.Container}.truthParticleLink"]

    def execute(self, events: Events, result: Any) -> None:
        """Match, decorate and select."""
        import awkward as ak

        taus, truth = events[self.Container], events["TruthTaus"]
        match = first_match(taus, truth.counts, truth.flat("eta_vis"), truth.flat("phi_vis"), self.MaxDeltaR)
        links = events.link("TruthTaus", taus.unflatten(match))
        kind = np.where(match >= 0, "TAU", "").astype(object)
        for name, datatype in LEPTONS.items():
            leptons = events[name]
            if not all(column in leptons for column in MOMENTUM):
                continue
            eta, phi = direction(*(leptons.flat(column) for column in MOMENTUM))
            lepton = first_match(taus, leptons.counts, eta, phi, self.MaxDeltaR)
            new = (kind == "") & (lepton >= 0)
            kind[new] = datatype
            other, chosen = events.link(name, taus.unflatten(lepton)), taus.unflatten(new)
            links = ak.zip({f: ak.where(chosen, other[f], links[f]) for f in LINK_PARTS}, depth_limit=2)
        taus["truthParticleLink"] = links
        taus["IsTruthMatched"] = (kind != "").astype(np.int8)
        self._decorate(events, match)
        if self.DataType != "JET":
            accepted = taus.flat("truthIsHadronicTau") == 1 if self.DataType == "TAU" else kind == self.DataType
            what = {"TAU": "from a hadronic truth tau", "ELE": "from a truth electron", "MUON": "from a truth muon"}
            events.select(self.Container, accepted, what[self.DataType])

    def _decorate(self, events: Events, match: npt.NDArray[np.int64]) -> None:
        """Set the columns that describe the matched hadronic tau; ``match`` is its position in the event, or -1."""
        taus, truth = events[self.Container], events["TruthTaus"]
        starts = np.repeat(np.cumsum(truth.counts) - truth.counts, taus.counts)
        position = (starts + match)[match >= 0]
        hadronic = np.zeros(len(taus), dtype=bool)
        hadronic[match >= 0] = truth.flat("IsHadronicTau")[position] != 0
        position = (starts + match)[hadronic]
        taus["truthIsHadronicTau"] = hadronic.astype(np.int8)

        def values(column: str, missing: float, kind: type[Any]) -> npt.NDArray[Any]:
            found = np.full(len(taus), missing, dtype=kind)
            found[hadronic] = truth.flat(column)[position]
            return found

        mode = np.full(len(taus), NOT_SET, dtype=np.int32)
        mode[hadronic] = truth_decay_mode(truth.flat("DecayModeVector"))[position]
        taus["truthDecayMode"] = mode
        taus["truthProng"] = values("numCharged", 0, np.int32)
        for name in ("Pt", "Eta", "Phi"):
            taus[f"truth{name}Vis"] = values(f"{name.lower()}_vis", MISSING, np.float32)


class TruthDecayMode(Tool):
    """Decorate truth taus with their decay mode, so that truth taus of one mode can be counted.

    The mode is 0…4 = 1p0n…3pXn, 5 Other, 6 NotSet; 6 also for a tau that decays into leptons.
    """

    selects = False

    OutputName = Property("decayMode", "name of the decoration of TruthTaus (int)")

    def reads(self) -> Sequence[str]:
        """Return the decay products, and whether they are hadrons."""
        return ["TruthTaus.DecayModeVector", "TruthTaus.IsHadronicTau"]

    def writes(self) -> Sequence[str]:
        """Return the decoration."""
        return [f"TruthTaus.{self.OutputName}"]

    def execute(self, events: Events, result: Any) -> None:
        """Count the decay products and decorate."""
        truth = events["TruthTaus"]
        modes = truth_decay_mode(truth.flat("DecayModeVector"))
        truth[self.OutputName] = np.where(truth.flat("IsHadronicTau") != 0, modes, np.int32(NOT_SET))
