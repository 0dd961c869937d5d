"""What a calibration of the energy scale is: numbers, and how they are applied.

Formulas and special cases are those of Athena's ``TauCalibrateLC`` and ``TauCombinedTES`` (tauRecTools).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hepflow.errors import InputError
from hepflow.plugins.tau.energyscale.curves import Curve
from hepflow.plugins.tau.modes import MODES

__all__ = ["COMBINED_ETA", "Combination", "Combined", "LocalCalibration", "Resolution", "transverse_energy"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GEV = 1000.0
LOWEST_PT = 0.001
"""MeV: pt of a tau without energy."""
LARGEST = 10_000.0
"""GeV: from here on the response is 1."""
COMBINED_ETA = (0.0, 0.3, 0.8, 1.3, 1.6, 2.6)
"""Edges of |η| of the combination."""


@dataclass(frozen=True, eq=False)
class LocalCalibration:
    """Pile-up slopes (GeV a vertex) and responses (functions of pt / GeV) in bins of |η|, for one prong and several.

    ``slopes`` is (2, bins), ``responses`` one sequence of curves for each of both.
    """

    eta: Floats
    average_npv: float
    slopes: Floats
    responses: tuple[Sequence[Curve], Sequence[Curve]]
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.eta) - 1
        rows = [len(row) for row in self.responses]
        if n < 1 or self.eta[0] > 0 or (np.diff(self.eta) <= 0).any():
            raise InputError("the edges of |η| must begin at 0 and ascend")
        if (
            self.slopes.shape != (2, n)
            or rows != [n, n]
            or not np.isfinite([self.average_npv, *self.slopes.flat]).all()
        ):
            raise InputError(f"{n} bins of |η|, slopes {self.slopes.shape}, responses {rows}: these do not fit")

    def bins(self, eta: Floats) -> npt.NDArray[np.int64]:
        """Return the bin of |η|; above the last edge it is the last one."""
        number: npt.NDArray[np.int64] = np.searchsorted(self.eta, np.abs(eta), side="right") - 1
        return np.minimum(number, len(self.eta) - 2)

    def offset(self, pt: Floats, eta: Floats, n_tracks: Floats, npv: Floats) -> Floats:
        """Return what pile-up adds (MeV); 0 where that would leave nothing."""
        prong = (np.asarray(n_tracks) > 1).astype(np.int64)
        added: Floats = GEV * self.slopes[prong, self.bins(eta)] * (npv - self.average_npv)
        return np.where(pt - added <= 0.0, 0.0, added)

    def apply(self, pt: Floats, eta: Floats, n_tracks: Floats, npv: Floats) -> tuple[Floats, Bools]:
        """Return the calibrated pt (MeV) of taus, and where the response was asked for beyond its points."""
        pt, eta = np.asarray(pt, np.float64), np.asarray(eta, np.float64)
        x = (pt - self.offset(pt, eta, n_tracks, npv)) / GEV
        prong, number = (np.asarray(n_tracks) > 1).astype(np.int64), self.bins(eta)
        response, beyond = np.ones(len(pt)), np.zeros(len(pt), dtype=bool)
        asked = (x > 0.0) & (x < LARGEST)
        for row, curves in enumerate(self.responses):
            for column, curve in enumerate(curves):
                chosen = asked & (prong == row) & (number == column)
                if chosen.any():
                    response[chosen], beyond[chosen] = curve(x[chosen]), curve.beyond(x[chosen])
        calibrated = GEV * x / np.where(response > 0.0, response, 1.0)
        return np.where(pt > 0.0, calibrated, LOWEST_PT), beyond


def transverse_energy(pt: Floats, eta: Floats, m: Floats) -> Floats:
    """Return E/cosh η of a four-momentum."""
    found: Floats = np.sqrt(pt**2 + (m / np.cosh(eta)) ** 2)
    return found


class Resolution(NamedTuple):
    """Of one energy, mode and |η| bin: relative bias (Et − true)/Et and relative width, against Et / MeV."""

    bias: Curve
    width: Curve


class Combined(NamedTuple):
    """Combined Et (MeV), the weight of the calorimeter, by how many standard deviations both energies differ, and which
    taus were incompatible, without calibration (mode or |η|), or beyond the points of a curve."""

    et: Floats
    weight: Floats
    pull: Floats
    incompatible: Bools
    without: Bools
    beyond: Bools


@dataclass(frozen=True, eq=False)
class Combination:
    """Biases, widths, correlations and compatibility of calorimeter and particle flow: mode by mode, in bins of |η|.

    ``calo`` and ``flow`` are [mode][bin], ``rho`` is (modes, bins), ``compatibility`` a number of standard deviations
    against the Et of the calorimeter for each mode.
    """

    calo: Sequence[Sequence[Resolution]]
    flow: Sequence[Sequence[Resolution]]
    rho: Floats
    compatibility: Sequence[Curve]
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(MODES), len(COMBINED_ETA) - 1)
        for what in (self.calo, self.flow):
            if (len(what), *{len(row) for row in what}) != shape:
                raise InputError(f"a combination has {shape[0]} modes with {shape[1]} bins of |η| each")
        if self.rho.shape != shape or len(self.compatibility) != shape[0]:
            raise InputError(f"correlations {self.rho.shape}, {len(self.compatibility)} compatibilities: not {shape}")
        if not (np.abs(self.rho) <= 1).all():
            raise InputError("a correlation is not between -1 and 1")

    def apply(self, calo: Floats, flow: Floats, eta: Floats, mode: npt.NDArray[Any]) -> Combined:
        """Return the combination of two Et (MeV); ``eta`` and ``mode`` say which calibration is used."""
        calo, flow = np.asarray(calo, np.float64), np.asarray(flow, np.float64)
        number = np.searchsorted(COMBINED_ETA[1:], np.abs(eta), side="right")
        none = (np.zeros(len(calo), dtype=bool) for _ in range(3))
        result = Combined(calo.copy(), np.ones(len(calo)), np.zeros(len(calo)), *none)
        result.without[:] = ~np.isin(mode, range(len(MODES))) | (number >= self.rho.shape[1])
        for row in range(len(MODES)):
            for column in range(self.rho.shape[1]):
                chosen = (mode == row) & (number == column)
                if chosen.any():
                    self._fill(result, chosen, calo[chosen], flow[chosen], (row, column))
        return result

    def _fill(self, result: Combined, chosen: Bools, calo: Floats, flow: Floats, at: tuple[int, int]) -> None:
        parts = self.calo[at[0]][at[1]], self.flow[at[0]][at[1]]
        (s_calo, calo_true), (s_flow, flow_true) = (
            _corrected(p, et) for p, et in zip(parts, (calo, flow), strict=True)
        )
        covariance = self.rho[at] * s_calo * s_flow
        variance = s_flow**2 + s_calo**2 - 2.0 * covariance
        weight = np.where(variance == 0.0, 0.0, (s_flow**2 - covariance) / np.where(variance == 0.0, 1.0, variance))
        weight = np.clip(weight, 0.0, 1.0)
        sigma, difference = np.sqrt(np.maximum(variance, 0.0)), np.abs(calo_true - flow_true)
        wrong = difference > np.maximum(self.compatibility[at[0]](calo), 0.0) * sigma
        result.et[chosen] = np.where(wrong, calo, weight * calo_true + (1.0 - weight) * flow_true)
        result.weight[chosen] = np.where(wrong, 1.0, weight)
        result.pull[chosen] = difference / np.where(sigma > 0.0, sigma, 1.0)
        result.incompatible[chosen] = wrong
        result.beyond[chosen] = parts[0].width.beyond(calo) | parts[1].width.beyond(flow)


def _corrected(part: Resolution, et: Floats) -> tuple[Floats, Floats]:
    """Return width and value without bias (MeV); above the points the width is that of the last, the bias 0."""
    width = et * part.width(np.minimum(et, part.width.x[-1]))
    bias = np.where(et > part.bias.x[-1], 0.0, part.bias(et))
    return width, et - et * bias
