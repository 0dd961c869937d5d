"""The input variables of the decay-mode networks, declared once: for ntuple, training and classifier.

Names and order follow NNAlgs' ``DatasetBuilder``, floors Athena's ``TauDecayModeNNClassifier``, except that pt and
jetpt have the floor of the training (1e-3 MeV), below which no object has a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hepflow.variables import Variable

__all__ = ["CLASSES", "DECAY_MODE_VARIABLES", "SEQUENCE_CAPS"]

CLASSES = ("c_1p0n", "c_1p1n", "c_1pXn", "c_3p0n", "c_3pXn")
"""Labels of the network's outputs, in the order of the decay modes 0…4."""

SEQUENCE_CAPS: Mapping[str, int] = MappingProxyType({"TauTrack": 3, "NeutralPFO": 8, "ShotPFO": 6, "ConvTrack": 4})
"""Most objects of each sequence, by descending pt."""


def _log(column: str, floor: float, label: str = "", unit: str = "") -> Variable:
    return Variable(f"{column}_log", column, "log10", floor, label=label or column, unit=unit)


_COMMON = (
    Variable("dphiECal", mean=0.0, label="Δφ to the leading track in the ECal", unit="rad"),
    Variable("dphi", mean=0.0, label="Δφ to the tau axis", unit="rad"),
    Variable("detaECal", mean=0.0, label="Δη to the leading track in the ECal"),
    Variable("deta", mean=0.0, label="Δη to the tau axis"),
    _log("pt", 1e-3, "pt", "MeV"),
    _log("jetpt", 1e-3, "pt of the tau (IntermediateAxis)", "MeV"),
)
_TRACK = (
    *_COMMON,
    Variable("d0TJVA", label="d0", unit="mm"),
    Variable("d0SigTJVA", label="d0 significance"),
    Variable("z0sinthetaTJVA", label="z0 sin θ", unit="mm"),
    Variable("z0sinthetaSigTJVA", label="z0 sin θ significance"),
)
_NEUTRAL = (
    *_COMMON,
    Variable("FIRST_ETA"),
    _log("SECOND_R", 1e-3, unit="mm²"),
    Variable("DELTA_THETA", unit="rad"),
    _log("CENTER_LAMBDA", 1e-3, unit="mm"),
    Variable("LONGITUDINAL"),
    _log("SECOND_ENG_DENS", 1e-6),
    Variable("ENG_FRAC_CORE"),
    Variable("NPosECells_EM1"),
    Variable("NPosECells_EM2"),
    Variable("energy_EM1", unit="MeV"),
    Variable("energy_EM2", unit="MeV"),
    Variable("EM1CoreFrac"),
    Variable("firstEtaWRTClusterPosition_EM1"),
    Variable("firstEtaWRTClusterPosition_EM2"),
    _log("secondEtaWRTClusterPosition_EM1", 1e-6),
    _log("secondEtaWRTClusterPosition_EM2", 1e-6),
)

DECAY_MODE_VARIABLES: Mapping[str, tuple[Variable, ...]] = MappingProxyType(
    {"TauTrack": _TRACK, "NeutralPFO": _NEUTRAL, "ShotPFO": _COMMON, "ConvTrack": _TRACK}
)
"""Sequence → its variables (10, 22, 6, 10)."""
