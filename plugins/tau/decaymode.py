"""The inputs of the decay-mode networks: which objects, in which order, with which variables.

One function calculates them, for the ntuple and for the classifier. Definitions follow Athena's
``TauDecayModeNNClassifier``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Property, Tool
from hepflow.events import Container, Linked
from hepflow.plugins.tau.truth import wrap
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES

__all__ = [
    "SEQUENCES",
    "NNDecayModeTree",
    "SequenceSpec",
    "decay_mode_objects",
    "decay_mode_reads",
    "decay_mode_sequences",
]

CHARGED_BIT, CONVERSION_BIT = 5, 7
"""Bits of ``TauTracks.flagSet``: classifiedCharged, classifiedConversion."""

TRACKS, NEUTRAL, SHOTS = "TauTracks", "TauNeutralParticleFlowObjects", "TauShotParticleFlowObjects"


COMMON = ("dphiECal", "dphi", "detaECal", "deta", "pt", "jetpt")
"""Variables that are calculated from directions and momenta; the others are attributes of the objects."""


@dataclass(frozen=True)
class SequenceSpec:
    """Where the objects of an input sequence come from: their container, the link that leads there.

    ``prefix`` is what stands before the name of an attribute in the container.
    """

    container: str
    link: str
    prefix: str = ""


SEQUENCES: Mapping[str, SequenceSpec] = {
    "TauTrack": SequenceSpec(TRACKS, "tauTrackLinks"),
    "NeutralPFO": SequenceSpec(NEUTRAL, "neutralPFOLinks", "cellBased_"),
    "ShotPFO": SequenceSpec(SHOTS, "shotPFOLinks"),
    "ConvTrack": SequenceSpec(TRACKS, "tauTrackLinks"),
}


def _attributes(sequence: str) -> list[str]:
    return [variable.column for variable in DECAY_MODE_VARIABLES[sequence] if variable.column not in COMMON]


def decay_mode_reads() -> list[str]:
    """Return the columns that the inputs are calculated from."""
    names = [f"TauJets.{name}" for name in ("ptIntermediateAxis", "etaIntermediateAxis", "phiIntermediateAxis")]
    names += [f"{TRACKS}.{name}" for name in ("flagSet", "CaloSamplingEtaEM", "CaloSamplingPhiEM")]
    names += [f"{SHOTS}.tauShots_nPhotons"]
    for sequence, spec in SEQUENCES.items():
        attributes = [spec.prefix + name for name in _attributes(sequence)]
        names += [f"TauJets.{spec.link}", *(f"{spec.container}.{name}" for name in ("pt", "eta", "phi", *attributes))]
    return list(dict.fromkeys(names))


def decay_mode_objects(
    events: Events, *, neutral_pt_cut: float, caps: Mapping[str, int] | None = None
) -> dict[str, Linked]:
    """Return for each sequence the objects of each visible tau.

    Tracks are those classified as charged (TauTrack) or conversion (ConvTrack), neutral PFOs have at least
    ``neutral_pt_cut`` (GeV), shots at least one photon; each sorted by descending pt and then cut to ``caps``.
    """
    return _ordered(_chosen(events, neutral_pt_cut), caps)


def _chosen(events: Events, neutral_pt_cut: float) -> dict[str, Linked]:
    """Return the objects of each sequence in the order of the links."""
    taus = events["TauJets"]
    tracks = taus.follow("tauTrackLinks", TRACKS)
    neutral, shots = taus.follow("neutralPFOLinks", NEUTRAL), taus.follow("shotPFOLinks", SHOTS)
    return {
        "TauTrack": _flagged(tracks, CHARGED_BIT),
        "NeutralPFO": neutral.where(neutral.flat("pt") >= neutral_pt_cut * 1000.0),
        "ShotPFO": shots.where(shots.flat("tauShots_nPhotons") >= 1),
        "ConvTrack": _flagged(tracks, CONVERSION_BIT),
    }


def _ordered(objects: Mapping[str, Linked], caps: Mapping[str, int] | None) -> dict[str, Linked]:
    ordered = {name: selected.sort(selected.flat("pt")) for name, selected in objects.items()}
    return ordered if caps is None else {name: ordered[name].first(caps[name]) for name in ordered}


def _flagged(tracks: Linked, bit: int) -> Linked:
    return tracks.where((tracks.flat("flagSet").astype(np.int64) >> bit) & 1 == 1)


def decay_mode_sequences(
    events: Events, *, neutral_pt_cut: float, caps: Mapping[str, int] | None = None
) -> dict[str, tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]]:
    """Return for each sequence of ``decay_mode_objects`` (objects per tau, raw variables of all objects, tau after
    tau).

    Momenta in MeV, lengths in mm.
    """
    taus = events["TauJets"]
    chosen = _chosen(events, neutral_pt_cut)
    charged = chosen["TauTrack"]  # the leading one in the order of the links, as Athena has it
    objects = _ordered(chosen, caps)
    return {name: (found.counts, _variables(name, taus, found, charged)) for name, found in objects.items()}


def _variables(sequence: str, taus: Container, objects: Linked, charged: Linked) -> dict[str, npt.NDArray[Any]]:
    owners = objects.owners
    eta, phi = (objects.flat(name).astype(np.float64) for name in ("eta", "phi"))
    track_eta = charged.one("CaloSamplingEtaEM", np.nan)[owners]
    track_phi = charged.one("CaloSamplingPhiEM", np.nan)[owners]
    columns = {
        "dphiECal": np.nan_to_num(wrap(phi - track_phi)),
        "dphi": wrap(taus.flat("phiIntermediateAxis")[owners] - phi),
        "detaECal": np.nan_to_num(eta - track_eta),
        "deta": eta - taus.flat("etaIntermediateAxis")[owners],
        "pt": objects.flat("pt"),
        "jetpt": taus.flat("ptIntermediateAxis")[owners],
    }
    prefix = SEQUENCES[sequence].prefix
    columns |= {name: objects.flat(prefix + name) for name in _attributes(sequence)}
    return {
        name: values.astype(np.float32) if values.dtype == np.float64 else values for name, values in columns.items()
    }


class NNDecayModeTree(Tool):
    """Write the training ntuple of the decay-mode networks: four sequences of raw variables for each tau, and the tau
    itself.

    The sequences TauTrack, NeutralPFO, ShotPFO and ConvTrack are selected and sorted as the classifier does, but not
    capped.
    """

    selects = False

    energy_unit = "MeV"

    NeutralPFOPtCut = Property(1.5, "neutral particle-flow objects have at least this pt", unit="GeV", minimum=0)

    def _passed(self) -> list[str]:
        columns = (
            "pt eta phi charge nTracks ptIntermediateAxis mu nVtxPU "
            "IsTruthMatched truthIsHadronicTau truthDecayMode truthProng truthPtVis truthEtaVis truthPhiVis"
        )
        return [f"TauJets.{column}" for column in columns.split()]

    def reads(self) -> Sequence[str]:
        """Return the inputs and the columns that are passed on."""
        return [*decay_mode_reads(), *self._passed(), "EventInfo.mcEventNumber", "EventInfo.beamSpotWeight"]

    def writes(self) -> Sequence[str]:
        """Return the tau's columns and the four sequences."""
        own = ["TauJets.mcEventNumber", "TauJets.beamSpotWeight"]
        return [*self._passed(), *own, *(f"{name}.*" for name in SEQUENCES)]

    def execute(self, events: Events, result: Any) -> None:
        """Calculate the sequences and repeat the event's columns for each tau."""
        taus, event = events["TauJets"], events["EventInfo"]
        for column in ("mcEventNumber", "beamSpotWeight"):
            taus[column] = np.repeat(event[column], taus.counts)
        for name, (counts, columns) in decay_mode_sequences(events, neutral_pt_cut=self.NeutralPFOPtCut).items():
            events.add(name, columns, counts=counts, parent="TauJets")
