"""Variables that tau identification and the energy scale use, from the tracks, clusters and cells of candidates.

Identification variables are those of ATL-PHYS-PUB-2015-045, named as in xAOD; inputs of the energy scale those of
Athena's MvaTESVariableDecorator. Where a variable needs something that a candidate does not have, it is −1111.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.plugins.simulation.clusters import Cells
from hepflow.plugins.simulation.geometry import eta_from
from hepflow.plugins.simulation.particles import sum_by
from hepflow.plugins.simulation.tracking import BITS, Tracks
from hepflow.plugins.simulation.vectors import Momenta, Objects, add_up

__all__ = ["MISSING", "decay_lengths", "identification", "scale_inputs"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MISSING = -1111.0
"""Value of a variable that a candidate cannot have, as in ATLAS."""
INNER, CORE, WIDE = 0.1, 0.2, 0.4
PION_MASS = 139.57
LEADING_CLUSTERS = 2
BEAM_WIDTH = 0.010
"""mm, spread of the collisions across the beam, as the beam spot is known."""
NO_UPSILON = -2.0
"""UpsilonCluster of a candidate without clusters, as in ATLAS."""


def _ratio(above: Floats, below: Floats, missing: float = MISSING) -> Floats:
    """Return above / below, ``missing`` where the denominator is not positive."""
    good = below > 0.0
    return np.where(good, above / np.where(good, below, 1.0), missing)


def _flag(tracks: Objects, name: str) -> npt.NDArray[np.bool_]:
    chosen: npt.NDArray[np.bool_] = (tracks["flagSet"] >> BITS[name]) & 1 == 1
    return chosen


def identification(
    axes: Momenta, z: Floats, tracks: Objects, measured: Tracks, clusters: Objects, cells: Sequence[Cells]
) -> dict[str, Floats]:
    """Return the identification variables of candidates with these axes and vertices.

    ``tracks`` and ``measured`` are the same tracks, as columns and with errors; ``cells`` are the electromagnetic and
    hadronic ones of clusters.
    """
    n = len(z)
    charged = np.flatnonzero(_flag(tracks, "charged"))
    own = tracks.where(charged)
    system = add_up(n, own.owner, own["pt"], own["eta"], own["phi"], PION_MASS)
    count = np.bincount(own.owner, minlength=n)
    rings = _rings(axes, z, cells)
    core = clusters.where(axes.distance(clusters.owner, clusters["eta"], clusters["phi"]) < CORE)
    electromagnetic = _sum(n, core, core["electromagnetic"]).momentum
    variables = {
        "centFrac": _ratio(rings["inner"], rings["core"]),
        "isolFrac": _ratio(rings["core"] - rings["inner"], rings["wide"]),
        "etEMAtEMScale": rings["em"],
        "etHadAtEMScale": rings["had"],
        "EMPOverTrkSysP": np.where(count > 0, electromagnetic / system.momentum, MISSING),
        "massTrkSys": np.where(count > 0, system.m, MISSING),
        "trFlightPathSig": decay_lengths(axes, z, own.owner, measured[charged]),
    }
    variables |= _track_variables(axes, tracks, own, rings["core"])
    return variables | _flow(n, axes, own, core)


def _rings(axes: Momenta, z: Floats, cells: Sequence[Cells]) -> dict[str, Floats]:
    """Return the transverse energies (MeV, electromagnetic scale) of cells within 0.1, 0.2 and 0.4 of the axes, and
    those within 0.2 by calorimeter."""
    n, eta = len(z), eta_from(axes.eta, -z)  # as seen from the middle, like the cells
    seen = Momenta(axes.pt, eta, axes.phi, axes.m)
    sums: dict[str, Floats] = {}
    for name, part in zip(("em", "had"), cells, strict=True):
        distance, et = seen.distance(part.owner, part.eta, part.phi), part.energy / np.cosh(part.eta)
        for ring, radius in (("inner", INNER), ("core", CORE), ("wide", WIDE)):
            inside = distance < radius
            found = sum_by(part.owner[inside], et[inside], n)
            sums[ring] = sums[ring] + found if ring in sums else found
            if ring == "core":
                sums[name] = found
    return sums


def _track_variables(axes: Momenta, tracks: Objects, own: Objects, et: Floats) -> dict[str, Floats]:
    """Return the variables of the charged tracks and of those in the isolation ring."""
    n = len(et)
    some = np.bincount(own.owner, minlength=n) > 0
    distance = axes.distance(own.owner, own["eta"], own["phi"])
    farthest = np.zeros(n)
    np.maximum.at(farthest, own.owner, distance)
    total = sum_by(own.owner, own["pt"], n)
    around = tracks.where(_flag(tracks, "isolation") & _flag(tracks, "wideTrack"))
    isolation = sum_by(around.owner, around["pt"], n)
    ordered = own.ordered()
    lead = ordered.where(ordered.ranks() == 0)

    def of_lead(values: Floats) -> Floats:
        result = np.full(n, MISSING)
        result[lead.owner] = values
        return result

    return {
        "dRmax": np.where(some, farthest, MISSING),
        "innerTrkAvgDist": _ratio(sum_by(own.owner, own["pt"] * distance, n), total),
        "SumPtTrkFrac": _ratio(isolation, isolation + total),
        "absipSigLeadTrk": of_lead(np.abs(lead["d0SigTJVA"])),
        "etOverPtLeadTrk": of_lead(et[lead.owner] / lead["pt"]),
        "ABS_ETA_LEAD_TRACK": of_lead(np.abs(lead["eta"])),
    }


def _flow(n: int, axes: Momenta, own: Objects, core: Objects) -> dict[str, Floats]:
    """Return pt over that of the axis, and mass, of the charged tracks and the two clusters with most energy in EM1
    and EM2."""
    front = Objects(core.owner, {**core.columns, "pt": core["front"] / np.cosh(core["eta"])}).ordered()
    front = front.where((front.ranks() < LEADING_CLUSTERS) & (front["pt"] > 0.0))
    mass = np.concatenate([np.full(len(own), PION_MASS), np.zeros(len(front))])
    owner = np.concatenate([own.owner, front.owner])
    pt, eta, phi = (np.concatenate([own[name], front[name]]) for name in ("pt", "eta", "phi"))
    total = add_up(n, owner, pt, eta, phi, mass)
    some = np.bincount(owner, minlength=n) > 0
    return {
        "ptRatioEflowApprox": np.where(some, total.pt / axes.pt, MISSING),
        "mEflowApprox": np.where(some, total.m, MISSING),
    }


def _sum(n: int, clusters: Objects, energy: Floats) -> Momenta:
    return add_up(n, clusters.owner, energy / np.cosh(clusters["eta"]), clusters["eta"], clusters["phi"])


def decay_lengths(axes: Momenta, z: Floats, owner: Ints, tracks: Tracks) -> Floats:
    """Return the significance of the transverse flight path along the axis, of candidates with two tracks or more.

    The vertex is that of least squares of the tracks as straight lines with the errors of d0 and z0: a stand-in for
    ATLAS's adaptive vertex fit, which leaves out tracks that do not fit. The path begins at the beam line.
    """
    n = len(z)
    sine, cosine, slope = np.sin(tracks.phi), np.cos(tracks.phi), np.sinh(tracks.eta)
    across = np.stack([-sine, cosine, np.zeros(len(owner))]), tracks.d0, tracks.d0_error
    along = np.stack([-cosine * slope, -sine * slope, np.ones(len(owner))]), tracks.z0 - z[owner], tracks.z0_error
    matrix, vector = np.zeros((n, 3, 3)), np.zeros((n, 3))
    for direction, measured, error in (across, along):
        weight = error**-2
        for a in range(3):
            vector[:, a] += sum_by(owner, weight * measured * direction[a], n)
            for b in range(3):
                matrix[:, a, b] += sum_by(owner, weight * direction[a] * direction[b], n)
    result = np.full(n, MISSING)
    # with one track, or parallel ones, the vertex can be anywhere along the way
    several = np.flatnonzero(np.bincount(owner, minlength=n) > 1)
    fixed = several[np.linalg.cond(matrix[several]) < 1e12]
    covariance = np.linalg.inv(matrix[fixed])
    vertex = (covariance * vector[fixed][:, None, :]).sum(axis=2)
    axis = np.stack([np.cos(axes.phi[fixed]), np.sin(axes.phi[fixed]), np.zeros(len(fixed))], axis=1)
    variance = (axis[:, :, None] * covariance * axis[:, None, :]).sum(axis=(1, 2)) + BEAM_WIDTH**2
    result[fixed] = (vertex * axis).sum(axis=1) / np.sqrt(variance)
    return result


def scale_inputs(axes: Momenta, tracks: Objects, clusters: Objects, neutral: Objects) -> dict[str, Floats]:
    """Return the inputs of the energy scale: means over the clusters within 0.2 of the axis, weighted by calibrated
    energy, and the balance of charged tracks and the neutral objects that enter particle flow."""
    n = len(axes.pt)
    core = clusters.where(axes.distance(clusters.owner, clusters["eta"], clusters["phi"]) < CORE)
    owner, energy = core.owner, core["e"]
    total = sum_by(owner, energy, n)

    def mean(values: npt.NDArray[Any], missing: float = MISSING) -> Floats:
        return _ratio(sum_by(owner, energy * values, n), total, missing)

    density = mean(core["FIRST_ENG_DENS"])
    dense = density > 0.0
    leading = np.zeros(n)
    np.maximum.at(leading, owner, energy)
    sign = np.where(core["EM_PROBABILITY"] > 0.5, -1.0, 1.0)
    charged = tracks.where(_flag(tracks, "charged"))
    flow = [
        add_up(n, part.owner, part["pt"], part["eta"], part["phi"], mass)
        for part, mass in ((charged, PION_MASS), (neutral, neutral["m"]))
    ]
    energies = [
        np.where(np.bincount(part.owner, minlength=n) > 0, np.hypot(sum_.momentum, sum_.m), 0.0)
        for part, sum_ in zip((charged, neutral), flow, strict=True)
    ]
    return {
        "ClustersMeanCenterLambda": mean(core["CENTER_LAMBDA"]),
        "ClustersMeanSecondLambda": mean(core["SECOND_LAMBDA"]),
        "ClustersMeanEMProbability": mean(core["EM_PROBABILITY"]),
        "ClustersMeanFirstEngDens": np.where(
            dense, np.log10(np.where(dense, density, 1.0) / np.where(dense, total, 1.0)), MISSING
        ),
        "LeadClusterFrac": _ratio(leading, total),
        "UpsilonCluster": mean(sign, NO_UPSILON),
        "ClusterTotalEnergy": total,
        "PFOEngRelDiff": _ratio(energies[0] - energies[1], energies[0] + energies[1], 0.0),
    }
