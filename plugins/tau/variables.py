"""The input variables of the decay-mode networks, declared once: for ntuple, training and classifier.

Names and order follow NNAlgs' ``DatasetBuilder``, floors Athena's ``TauDecayModeNNClassifier``, except that pt and
jetpt have the floor of the training (1e-3 MeV), below which no object has a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from hepflow import Folds, Target, TrainingSet
from hepflow.variables import Binning, Variable

__all__ = ["CLASSES", "DECAY_MODE_VARIABLES", "SEQUENCE_CAPS", "decay_mode_training"]

CLASSES = ("c_1p0n", "c_1p1n", "c_1pXn", "c_3p0n", "c_3pXn")
"""Labels of the network's outputs, in the order of the decay modes 0…4."""

SEQUENCE_CAPS: Mapping[str, int] = MappingProxyType({"TauTrack": 3, "NeutralPFO": 8, "ShotPFO": 6, "ConvTrack": 4})
"""Most objects of each sequence, by descending pt."""


Bins: TypeAlias = Mapping[str, Binning]
"""Binnings of plots, in what the networks see: of the logarithm where there is one."""


def _bins(number: int, low: float, high: float) -> Bins:
    return {"default": Binning.regular(number, low, high)}


def _log(column: str, floor: float, label: str, bins: Bins, unit: str = "") -> Variable:
    return Variable(f"{column}_log", column, "log10", floor, label=label, unit=unit, binnings=bins)


_FRACTION = _bins(50, 0, 1)
_ANGLE = _bins(50, -0.2, 0.2)
_SECOND_ETA = _bins(42, -6.1, -1.9)

_COMMON = (
    Variable(
        "dphiECal", mean=0.0, label="Δφ to the leading track in the ECal", unit="rad", binnings=_bins(50, -0.5, 0.5)
    ),
    Variable("dphi", mean=0.0, label="Δφ to the tau axis", unit="rad", binnings=_ANGLE),
    Variable("detaECal", mean=0.0, label="Δη to the leading track in the ECal", binnings=_bins(50, -0.25, 0.25)),
    Variable("deta", mean=0.0, label="Δη to the tau axis", binnings=_ANGLE),
    _log("pt", 1e-3, "pT", _bins(40, 2.4, 6.4), "MeV"),
    _log("jetpt", 1e-3, "pT of the tau (IntermediateAxis)", _bins(42, 4.0, 6.1), "MeV"),
)


def _track(d0: float, significance: float) -> tuple[Variable, ...]:
    """Return the variables of a track; d0 (mm) and its significance are shown up to these values."""
    return (
        *_COMMON,
        Variable("d0TJVA", label="d0", unit="mm", binnings=_bins(50, -d0, d0)),
        Variable("d0SigTJVA", label="d0 / σ(d0)", binnings=_bins(50, -significance, significance)),
        Variable("z0sinthetaTJVA", label="z0 sin θ", unit="mm", binnings=_bins(50, -1.5, 1.5)),
        Variable("z0sinthetaSigTJVA", label="z0 sin θ / σ(z0 sin θ)", binnings=_bins(50, -15, 15)),
    )


_NEUTRAL = (
    *_COMMON,
    Variable("FIRST_ETA", label="first moment of η", binnings=_bins(54, -2.7, 2.7)),
    _log("SECOND_R", 1e-3, "second moment of r", _bins(50, 1.5, 4.0), "mm²"),
    Variable("DELTA_THETA", label="Δθ of the shower axis", unit="rad", binnings=_bins(50, 0, 0.5)),
    _log("CENTER_LAMBDA", 1e-3, "λ center", _bins(50, 1.5, 3.0), "mm"),
    Variable("LONGITUDINAL", label="longitudinal moment", binnings=_FRACTION),
    _log("SECOND_ENG_DENS", 1e-6, "second moment of the energy density", _bins(42, -6.2, 2.2), "(MeV/mm³)²"),
    Variable("ENG_FRAC_CORE", label="energy fraction in the core", binnings=_FRACTION),
    Variable("NPosECells_EM1", label="cells with energy above 0 in EM1", binnings=_bins(60, -0.5, 179.5)),
    Variable("NPosECells_EM2", label="cells with energy above 0 in EM2", binnings=_bins(51, -0.5, 101.5)),
    Variable("energy_EM1", label="energy in EM1", unit="MeV", binnings=_bins(52, -4e3, 1e5)),
    Variable("energy_EM2", label="energy in EM2", unit="MeV", binnings=_bins(52, -8e3, 2e5)),
    Variable("EM1CoreFrac", label="core energy fraction in EM1", binnings=_FRACTION),
    Variable(
        "firstEtaWRTClusterPosition_EM1", label="first moment of η - η(cluster) in EM1", binnings=_bins(50, -0.05, 0.05)
    ),
    Variable(
        "firstEtaWRTClusterPosition_EM2", label="first moment of η - η(cluster) in EM2", binnings=_bins(50, -0.02, 0.02)
    ),
    _log("secondEtaWRTClusterPosition_EM1", 1e-6, "second moment of η - η(cluster) in EM1", _SECOND_ETA),
    _log("secondEtaWRTClusterPosition_EM2", 1e-6, "second moment of η - η(cluster) in EM2", _SECOND_ETA),
)

DECAY_MODE_VARIABLES: Mapping[str, tuple[Variable, ...]] = MappingProxyType(
    {
        "TauTrack": _track(d0=1, significance=25),
        "NeutralPFO": _NEUTRAL,
        "ShotPFO": _COMMON,
        "ConvTrack": _track(d0=20, significance=200),
    }
)
"""Sequence → its variables (10, 22, 6, 10)."""


def decay_mode_training(folds: Sequence[Folds] = (Folds(),)) -> TrainingSet:
    """Return what the decay-mode networks are trained on: true hadronic taus of the ntuple of NNDecayMode."""
    return TrainingSet(
        inputs=DECAY_MODE_VARIABLES,
        caps=SEQUENCE_CAPS,
        target=(Target("TauJets.truthDecayMode", dict(enumerate(CLASSES))),),
        weight="TauJets.beamSpotWeight",
        selection=("TauJets.truthIsHadronicTau",),
        folds=tuple(folds),
        spectators=("TauJets.pt", "TauJets.eta", "TauJets.nTracks", "TauJets.truthDecayMode"),
    )
