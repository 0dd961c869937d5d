"""The inputs of tau identification, declared once: for ntuple, training and classifier.

Those of the network are the variables of Athena's ``TauJetRNNEvaluator`` (transforms of ``TauJetRNNUtils``), those of
the BDT loki's (``tauid/r21``); both start from the identification variables of the taus, their tracks and clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Events, Folds, Property, Target, Tool, TrainingSet
from hepflow.errors import JobOptionsError, NetworkError, nearest
from hepflow.plugins.networks.models import ModelTool
from hepflow.plugins.tau.truth import MISSING, wrap
from hepflow.registry.models import recipes
from hepflow.variables import Variable

if TYPE_CHECKING:
    from hepflow.networks.graph import InputNode
    from hepflow.protocols import Model

__all__ = [
    "BDT_CUTS",
    "BDT_VARIABLES",
    "ID_CAPS",
    "ID_VARIABLES",
    "TauIDClassifier",
    "TauIDTree",
    "either_prong",
    "identification_training",
    "tau_columns",
    "tau_sequences",
]

Array = npt.NDArray[Any]

TRACKS, CLUSTERS = "TauTracks", "CaloCalTopoClusters"
UNCLASSIFIED = 9
"""Bit of ``TauTracks.flagSet``."""
MAX_DISTANCE = 1.0
"""Largest ΔR between a cluster and the tau axis."""
GEV = 1000.0
HIGHEST_PT = 100.0
"""GeV, above which all taus look alike to the training."""

ID_CAPS: Mapping[str, int] = MappingProxyType({"TauTrack": 10, "TauCluster": 6})
"""Most objects of each sequence of the network, by descending transverse momentum."""


def _raw(name: str, label: str, unit: str = "") -> Variable:
    return Variable(name, missing=MISSING, label=label, unit=unit)


def _capped(name: str, label: str) -> Variable:
    return Variable(f"{name}_capped", label=label)


def _log(name: str, floor: float, label: str, unit: str = "") -> Variable:
    return Variable(f"{name}_log", name, "log10", floor, missing=MISSING, fill=floor, label=label, unit=unit)


_PT = Variable("ptIntermediateAxis_capped", label="pT (IntermediateAxis), at most 100 GeV", unit="MeV")
_BDT_BOTH = (
    _raw("centFrac", "core energy fraction"),
    _raw("innerTrkAvgDist", "mean distance of the tracks, weighted with pT"),
    _raw("SumPtTrkFrac", "isolation fraction of the tracks"),
    _raw("EMPOverTrkSysP", "electromagnetic over track momentum"),
    _raw("ptRatioEflowApprox", "pT of energy flow / pT"),
    _raw("mEflowApprox", "mass of energy flow", "MeV"),
)
BDT_VARIABLES: Mapping[int, tuple[Variable, ...]] = MappingProxyType(
    {
        1: (
            *_BDT_BOTH,
            _raw("etOverPtLeadTrk", "ET / pT of the leading track"),
            _raw("absipSigLeadTrk", "|d0| / σ(d0) of the leading track"),
            _PT,
        ),
        3: (
            *_BDT_BOTH,
            _raw("dRmax", "largest ΔR of a track"),
            _raw("trFlightPathSig", "significance of the flight path"),
            _raw("massTrkSys", "mass of the tracks", "MeV"),
            _PT,
        ),
    }
)
"""Number of tracks → the inputs of the BDT: nine, and ten."""

_CUTS_BOTH = (
    "0 <= TauJets.centFrac < 1.1",
    "0 <= TauJets.innerTrkAvgDist <= 0.4",
    "0 <= TauJets.EMPOverTrkSysP < 50",
    "0 <= TauJets.ptRatioEflowApprox < 7",
    "0 <= TauJets.mEflowApprox < 30*GeV",
    "0 <= TauJets.SumPtTrkFrac <= 1",
)
BDT_CUTS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: (*_CUTS_BOTH, "0 <= TauJets.absipSigLeadTrk < 35", "0 <= TauJets.etOverPtLeadTrk < 40"),
        3: (
            *_CUTS_BOTH,
            "0 <= TauJets.dRmax <= 0.4",
            "-10 < TauJets.trFlightPathSig < 60",
            "0 <= TauJets.massTrkSys < 30*GeV",
        ),
    }
)
"""Number of tracks → loki's cuts against outliers, in the training only."""

_ID_FIRST = (
    _capped("centFrac", "core energy fraction, at most 1"),
    _log("etOverPtLeadTrk", 0.1, "ET / pT of the leading track"),
    Variable("dRmax", missing=MISSING, fill=0.0, label="largest ΔR of a track"),
)
_ID_LAST = (
    Variable("SumPtTrkFrac", missing=MISSING, fill=0.0, label="isolation fraction of the tracks"),
    _log("EMPOverTrkSysP", 1e-3, "electromagnetic over track momentum"),
    _capped("ptRatioEflowApprox", "pT of energy flow / pT, at most 4"),
    _log("mEflowApprox", 140.0, "mass of energy flow", "MeV"),
    Variable("ptIntermediateAxis_log", label="log10(pT / GeV), at most 100 GeV"),
)
_ID_SEQUENCES = {
    "TauTrack": (
        Variable("pt_log", label="log10(pT / MeV)"),
        Variable("pt_jetseed_log", label="log10(pT of the seed jet / MeV)"),
        Variable("d0_abs_log", label="log10(|d0| / mm + 1e-6)"),
        Variable("z0sinThetaTJVA_abs_log", label="log10(|z0 sin θ| / mm + 1e-6)"),
        Variable("dEta", mean=0.0, label="Δη to the tau"),
        Variable("dPhi", mean=0.0, label="Δφ to the tau", unit="rad"),
        Variable("nInnermostPixelHits", label="hits in the innermost pixel layer"),
        Variable("nPixelHits", label="pixel hits"),
        Variable("nSCTHits", label="SCT hits"),
    ),
    "TauCluster": (
        Variable("et_log", label="log10(ET / MeV)"),
        Variable("pt_jetseed_log", label="log10(pT of the seed jet / MeV)"),
        Variable("dEta", mean=0.0, label="Δη to the tau"),
        Variable("dPhi", mean=0.0, label="Δφ to the tau", unit="rad"),
        Variable("SECOND_R", label="log10(second moment of r / mm² + 0.1)"),
        Variable("SECOND_LAMBDA", label="log10(second moment of λ / mm² + 0.1)"),
        Variable("CENTER_LAMBDA", label="log10(λ center / mm + 1e-6)"),
    ),
}
ID_VARIABLES: Mapping[int, Mapping[str, tuple[Variable, ...]]] = MappingProxyType(
    {
        1: {
            "TauJets": (
                *_ID_FIRST,
                _capped("absipSigLeadTrk", "|d0| / σ(d0) of the leading track, at most 30"),
                *_ID_LAST,
            ),
            **_ID_SEQUENCES,
        },
        3: {
            "TauJets": (
                *_ID_FIRST,
                _log("trFlightPathSig", 0.01, "significance of the flight path"),
                _log("massTrkSys", 140.0, "mass of the tracks", "MeV"),
                *_ID_LAST,
            ),
            **_ID_SEQUENCES,
        },
    }
)
"""Number of tracks → group → inputs of the network: nine or ten of the tau, nine of tracks, seven of clusters."""

_CAPS = {"centFrac": 1.0, "absipSigLeadTrk": 30.0, "ptRatioEflowApprox": 4.0}
"""Variable of the tau → the value that its capped one has at most; a missing one counts as 0."""
_OF_TRACKS = (
    "pt",
    "eta",
    "phi",
    "d0TJVA",
    "z0sinthetaTJVA",
    "nInnermostPixelHits",
    "nPixelHits",
    "nSCTHits",
    "flagSet",
)
_OF_CLUSTERS = ("e", "eta", "phi", "SECOND_R", "SECOND_LAMBDA", "CENTER_LAMBDA")


def _scalars() -> list[str]:
    """Return the columns of the tau that variables are, or are made of."""
    plain = [v.column for prongs in (1, 3) for v in (*BDT_VARIABLES[prongs], *ID_VARIABLES[prongs]["TauJets"])]
    made = [*(f"{name}_capped" for name in (*_CAPS, "ptIntermediateAxis")), "ptIntermediateAxis_log"]
    return list(dict.fromkeys([*(name for name in plain if name not in made), *_CAPS, "ptIntermediateAxis"]))


def tau_columns(taus: Mapping[str, Array]) -> dict[str, Array]:
    """Return the variables of taus that are made of a column, from ``centFrac``, ``absipSigLeadTrk``,
    ``ptRatioEflowApprox`` and ``ptIntermediateAxis`` (MeV).
    """
    made = {}
    for name, highest in _CAPS.items():
        raw = taus[name]
        made[f"{name}_capped"] = np.where(raw == MISSING, 0.0, np.minimum(raw, highest)).astype(np.float32)
    pt = np.asarray(taus["ptIntermediateAxis"], dtype=np.float64) / GEV
    made["ptIntermediateAxis_capped"] = (np.minimum(pt, HIGHEST_PT) * GEV).astype(np.float32)
    made["ptIntermediateAxis_log"] = np.log10(np.clip(pt, 1e-3, HIGHEST_PT)).astype(np.float32)
    return made


def tau_sequences(events: Events, caps: Mapping[str, int]) -> dict[str, tuple[npt.NDArray[np.int64], dict[str, Array]]]:
    """Return the sequences of the network: name → (objects per visible tau, variable → values, tau after tau).

    Tracks are all but unclassified ones, clusters those within ΔR = 1 of the tau; by descending pt, the first ``caps``.
    Directions are those of the object minus those of the tau (IntermediateAxis).
    """
    taus = events["TauJets"]
    axis = {name: taus.flat(f"{name}IntermediateAxis").astype(np.float64) for name in ("eta", "phi")}
    seed = np.log10(np.maximum(taus.flat("ptJetSeed").astype(np.float64), 1e-3))
    tracks = taus.follow("tauTrackLinks", TRACKS)
    tracks = tracks.where((tracks.flat("flagSet").astype(np.int64) >> UNCLASSIFIED) & 1 == 0)
    clusters = taus.follow("clusterLinks", CLUSTERS)
    near = np.hypot(*_distances(axis, clusters)) <= MAX_DISTANCE
    clusters = clusters.where(near)
    et = clusters.flat("e") / np.cosh(clusters.flat("eta").astype(np.float64))
    tracks = tracks.sort(tracks.flat("pt")).first(caps["TauTrack"])
    clusters = clusters.sort(et).first(caps["TauCluster"])
    found: dict[str, tuple[npt.NDArray[np.int64], dict[str, Array]]] = {}
    for name, objects in (("TauTrack", tracks), ("TauCluster", clusters)):
        eta, phi = _distances(axis, objects)
        columns: dict[str, Array] = {"pt_jetseed_log": seed[objects.owners], "dEta": eta, "dPhi": phi}
        columns |= _of_tracks(objects) if name == "TauTrack" else _of_clusters(objects)
        found[name] = objects.counts, {key: np.asarray(values, dtype=np.float32) for key, values in columns.items()}
    return found


def _distances(axis: Mapping[str, Array], objects: Any) -> tuple[Array, Array]:
    eta, phi = (objects.flat(name).astype(np.float64) - axis[name][objects.owners] for name in ("eta", "phi"))
    return eta, wrap(phi)


def _of_tracks(tracks: Any) -> dict[str, Array]:
    def log_abs(name: str) -> Array:
        values: Array = np.log10(np.abs(tracks.flat(name).astype(np.float64)) + 1e-6)
        return values

    return {
        "pt_log": np.log10(np.maximum(tracks.flat("pt").astype(np.float64), 1e-3)),
        "d0_abs_log": log_abs("d0TJVA"),
        "z0sinThetaTJVA_abs_log": log_abs("z0sinthetaTJVA"),
        **{name: tracks.flat(name) for name in ("nInnermostPixelHits", "nPixelHits", "nSCTHits")},
    }


def _of_clusters(clusters: Any) -> dict[str, Array]:
    def log_of(name: str, shift: float) -> Array:
        values: Array = np.log10(np.maximum(clusters.flat(name).astype(np.float64), 0.0) + shift)
        return values

    et = clusters.flat("e").astype(np.float64) / np.cosh(clusters.flat("eta").astype(np.float64))
    return {
        "et_log": np.log10(np.maximum(et, 1e-3)),
        "SECOND_R": log_of("SECOND_R", 0.1),
        "SECOND_LAMBDA": log_of("SECOND_LAMBDA", 0.1),
        "CENTER_LAMBDA": log_of("CENTER_LAMBDA", 1e-6),
    }


def _sequence_reads() -> list[str]:
    own = ("tauTrackLinks", "clusterLinks", "etaIntermediateAxis", "phiIntermediateAxis", "ptJetSeed")
    names = [f"TauJets.{name}" for name in own]
    return [*names, *(f"{TRACKS}.{name}" for name in _OF_TRACKS), *(f"{CLUSTERS}.{name}" for name in _OF_CLUSTERS)]


def identification_training(
    prongs: int, kind: str = "network", folds: Sequence[Folds] = (Folds(),), caps: Mapping[str, int] = ID_CAPS
) -> TrainingSet:
    """Return what the identification of taus with one or three tracks is trained on: the ntuple of TauIDTree.

    ``kind`` is ``network`` or ``bdt``. The weight is 1: jets are reweighted to the taus' pt by a Reweighter.
    """
    if prongs not in BDT_VARIABLES or kind not in ("network", "bdt"):
        raise JobOptionsError(
            f"there is no identification of {prongs}-prong taus by a {kind!r}", hint="1 or 3; network, bdt"
        )
    network = kind == "network"
    return TrainingSet(
        inputs=ID_VARIABLES[prongs] if network else {"TauJets": BDT_VARIABLES[prongs]},
        caps=caps if network else {},
        target=(Target("TauJets.isTau", {0: "jet", 1: "tau"}),),
        selection=(f"TauJets.nTracks == {prongs}", *(() if network else BDT_CUTS[prongs])),
        folds=tuple(folds),
        spectators=("TauJets.pt", "TauJets.ptIntermediateAxis", "TauJets.nTracks"),
    )


def either_prong(name: str) -> str:
    """Return the score of a tau from those of the models for one and for three tracks, ``<name>_1p`` and ``_3p``."""
    return f"where(TauJets.nTracks == 1, TauJets.{name}_1p, TauJets.{name}_3p)"


class TauIDTree(Tool):
    """Write the training ntuple of tau identification: the variables of BDT and network, and the tau itself.

    ``Class`` selects candidates: ``tau`` those that match a true tau with the same number of charged particles
    (``isTau`` is 1), ``jet`` those that match none (0).
    """

    energy_unit = "MeV"

    Class = Property("tau", "class of the candidates to keep", choices=("tau", "jet"))

    def reads(self) -> Sequence[str]:
        """Return the columns that variables are made of, those of the truth, and the event number."""
        truth = ("IsTruthMatched", "truthProng", "truthPtVis")
        own = [*_scalars(), "pt", "eta", "phi", "nTracks", "mu", *truth]
        return list(
            dict.fromkeys([*(f"TauJets.{name}" for name in own), *_sequence_reads(), "EventInfo.mcEventNumber"])
        )

    def writes(self) -> Sequence[str]:
        """Return the columns of the tau and the two sequences."""
        made = [*(f"{name}_capped" for name in (*_CAPS, "ptIntermediateAxis")), "ptIntermediateAxis_log", "isTau"]
        kept = [*_scalars(), "pt", "eta", "phi", "nTracks", "mu", "truthPtVis", *made, "mcEventNumber"]
        return [*(f"TauJets.{name}" for name in dict.fromkeys(kept)), *(f"{name}.*" for name in ID_CAPS)]

    def execute(self, events: Events, result: Any) -> None:
        """Hide what is of no class, calculate the variables, and repeat the event number for each tau."""
        taus = events["TauJets"]
        matched = taus.flat("IsTruthMatched") == 1
        whole = matched & (taus.flat("truthProng") == taus.flat("nTracks"))
        is_tau = self.Class == "tau"
        kept, label = (whole, "true taus, all tracks found") if is_tau else (~matched, "matched to no true tau")
        events.select("TauJets", kept, label)
        taus["isTau"] = np.full(len(taus), is_tau, dtype=np.int8)
        taus["mcEventNumber"] = np.repeat(events["EventInfo"]["mcEventNumber"], taus.counts)
        for name, values in tau_columns({name: taus.flat(name) for name in (*_CAPS, "ptIntermediateAxis")}).items():
            taus[name] = values
        for name, (counts, columns) in tau_sequences(events, ID_CAPS).items():
            events.add(name, columns, counts=counts, parent="TauJets")


class TauIDClassifier(ModelTool):
    """Decorate taus with the score of an identification model that was trained on the ntuple of TauIDTree: a network
    (lwtnn JSON, ONNX) or trees; with a k-fold set each tau gets the model that has not seen it.
    """

    energy_unit = "MeV"

    OutputName = Property("TauIDScore", "name of the decoration, larger for taus")
    Output = Property("tau", "label of the model's output that is the score")
    MaxTracks = Property(ID_CAPS["TauTrack"], "most tracks", minimum=1)
    MaxClusters = Property(ID_CAPS["TauCluster"], "most clusters", minimum=1)

    def reads(self) -> Sequence[str]:
        """Return the columns of the inputs; the model is checked here, before any event."""
        model = self.models()[0]
        self._place(model)
        for node in (*model.used_inputs, *model.used_sequences):
            self._variables(model, node)
        sequences = _sequence_reads() if model.used_sequences else []
        own = [f"TauJets.{name}" for name in _scalars()]
        return list(dict.fromkeys([*own, *sequences, *self.number_reads()]))

    def writes(self) -> Sequence[str]:
        """Return the decoration."""
        return [f"TauJets.{self.OutputName}"]

    def record(self) -> Mapping[str, Any]:
        """Return which model decorated, and what is known of it."""
        return self.decorated(self.writes()) | {"OutputName": self.OutputName}

    def _variables(self, model: Model, node: InputNode) -> dict[str, Variable]:
        """Return the variables of an input by name, as the file says them, else as they are declared here."""
        told = recipes(model).get(node.name, {})
        declared: dict[str, Variable] = {}
        for prongs in (1, 3):
            bdt = BDT_VARIABLES[prongs] if node.name == "TauJets" else ()
            declared |= {v.name: v for v in (*ID_VARIABLES[prongs].get(node.name, ()), *bdt)}
        for name in node.names:
            if name not in declared or (name in told and told[name].column != declared[name].column):
                raise NetworkError(
                    f"the model wants {name!r} of {node.name}, which is no variable of tau identification",
                    where=self.WeightFile,
                    hint=nearest(name, declared, what="variables")
                    if declared
                    else "inputs: TauJets, TauTrack, TauCluster",
                )
        return {name: told.get(name, declared[name]) for name in node.names}

    def _place(self, model: Model) -> tuple[str, int]:
        labels = [(output.name, place, label) for output in model.outputs for place, label in enumerate(output.labels)]
        for name, place, label in labels:
            if label == self.Output:
                return name, place
        raise NetworkError(
            f"the model has no output {self.Output!r}",
            where=self.WeightFile,
            hint=nearest(self.Output, [label for *_, label in labels], what="outputs"),
        )

    def execute(self, events: Events, result: Any) -> None:
        """Calculate the inputs, evaluate, decorate."""
        model, taus = self._models[0], events["TauJets"]
        raw = {name: taus.flat(name) for name in _scalars()}
        raw |= tau_columns(raw)
        inputs = {
            node.name: {name: v(raw[v.column]) for name, v in self._variables(model, node).items()}
            for node in model.used_inputs
        }
        sequences = {}
        if model.used_sequences:
            found = tau_sequences(events, {"TauTrack": self.MaxTracks, "TauCluster": self.MaxClusters})
            for node in model.used_sequences:
                counts, columns = found[node.name]
                sequences[node.name] = ({name: columns[name] for name in node.names}, counts)
        output, place = self._place(model)
        taus[self.OutputName] = self.evaluate(events, "TauJets", inputs, sequences)[output][:, place].astype(np.float32)
