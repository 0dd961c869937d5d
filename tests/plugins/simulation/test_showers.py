"""Single particles: where they go, what they leave, what is resolved; checked against formulas and published orders
of magnitude."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepflow.plugins.simulation.calorimeter import Grid, make_grid, offsets, watershed
from hepflow.plugins.simulation.clusters import cluster_cells, moments
from hepflow.plugins.simulation.draws import Draws
from hepflow.plugins.simulation.geometry import BARREL_RADIUS, eta_from, inner_material, propagate
from hepflow.plugins.simulation.identification import decay_lengths
from hepflow.plugins.simulation.minbias import REGION, Cones, load_library, pile_up
from hepflow.plugins.simulation.particleflow import find_shots, subtract_charged
from hepflow.plugins.simulation.particles import Particles, delta_phi
from hepflow.plugins.simulation.seeding import find_jets
from hepflow.plugins.simulation.showers import Spots, shower_spots
from hepflow.plugins.simulation.tracking import (
    Tracks,
    can_leave_tracks,
    convert_photons,
    make_vertices,
    reconstruct_tracks,
)
from hepflow.plugins.simulation.vectors import Momenta


def beam(
    pdg: int,
    pt: float,
    n: int,
    *,
    eta: float = 0.2,
    phi: float = 0.1,
    charge: float = 0.0,
    x: float = 0.0,
    y: float = 0.0,
) -> Particles:
    def full(value: float) -> np.ndarray:
        return np.full(n, float(value))

    number = np.full(n, pdg, dtype=np.int32)
    return Particles(
        full(pt), full(eta), full(phi), number, full(charge), full(x), full(y), full(0),
        np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int64),
    )  # fmt: skip


def response(spots: Spots, energy: float, n: int, layers: tuple[int, ...] = (0, 1, 2, 3)) -> float:
    return float(spots.energy[np.isin(spots.layer, layers)].sum() / (n * energy))


def showered(numbers: Draws, particles: Particles) -> Spots:
    """Return the spots of particles that enter the calorimeter where they point to, all kinds together."""
    parts = shower_spots(numbers, particles, particles.eta, particles.phi)
    return Spots(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Spots)))


def draws(seed: int) -> Draws:
    return Draws([np.random.default_rng(seed)])


def grid_of(numbers: Draws, spots: Spots, eta: float, phi: float) -> Grid:
    """Return the cells of one candidate, without pile-up."""
    owner = np.zeros(int(spots.owner.max(initial=0)) + 1, dtype=np.int64)
    return make_grid(numbers, [spots], owner, owner[:1], np.array([eta]), np.array([phi]), np.zeros(1))


NO_MU = np.zeros(1)


# ── tracks and the way to the calorimeter ────────────────────────────────────────────────────────────────────────────


@given(pt=st.floats(800.0, 2e5), phi=st.floats(-3.0, 3.0), charge=st.sampled_from([-1.0, 1.0]))
def test_the_helix_turns_by_the_arcsine(pt: float, phi: float, charge: float) -> None:
    impact = propagate(beam(211, pt, 1, eta=0.0, phi=phi, charge=charge))
    turn = np.arcsin(0.5 * BARREL_RADIUS * 0.599584916 / pt)
    assert impact.hit[0]
    assert delta_phi(impact.phi[0], phi) == pytest.approx(-charge * turn, abs=1e-6)


def test_soft_tracks_curl_and_neutral_ones_go_straight() -> None:
    assert not propagate(beam(211, 400.0, 1, eta=0.0, charge=1.0)).hit[0]
    straight = propagate(beam(22, 400.0, 1, eta=1.9, phi=2.0))
    assert straight.hit[0]
    np.testing.assert_allclose([straight.eta[0], straight.phi[0]], [1.9, 2.0], atol=1e-9)


@given(eta=st.floats(-2.4, 2.4), z=st.floats(-100.0, 100.0))
def test_directions_from_a_vertex(eta: float, z: float) -> None:
    particle = beam(22, 5000.0, 1, eta=eta)
    moved = Particles(**{**particle.__dict__, "z": np.array([z])})
    seen = propagate(moved).eta
    if abs(abs(seen[0]) - np.arcsinh(3700 / 1500)) > 0.1:  # away from the edge between barrel and endcap
        assert eta_from(seen, z)[0] == pytest.approx(eta, abs=1e-6)


def test_tracks_are_measured_with_the_stated_resolution() -> None:
    n, rng = 4000, np.random.default_rng(3)
    particles = beam(211, 20_000.0, n, charge=-1.0)
    spread = Particles(**{**particles.__dict__, "phi": rng.uniform(-3, 3, n), "eta": rng.uniform(-0.9, 0.9, n)})
    tracks = reconstruct_tracks(draws(3), spread, propagate(spread))
    assert 0.80 < len(tracks) / n < 0.96
    assert np.std(20_000.0 / tracks.pt) == pytest.approx(np.hypot(0.013, 0.0072), rel=0.1)
    assert np.all(tracks.charge == -1)
    assert np.std(tracks.d0 / tracks.d0_error) == pytest.approx(1.0, abs=0.06)


def test_displaced_tracks_have_the_impact_parameter_of_geometry() -> None:
    """A straight track that starts at (0, 1 mm) along x passes the beam line at 1 mm."""
    hard = beam(211, 1e6, 200, phi=0.0, charge=1.0, y=1.0)
    tracks = reconstruct_tracks(draws(4), hard, propagate(hard))
    assert len(tracks) > 5
    assert np.mean(tracks.d0) == pytest.approx(1.0, abs=0.02)


def test_photons_convert_as_often_as_the_material_says() -> None:
    n, rng = 6000, draws(5)
    out = convert_photons(rng, beam(22, 10_000.0, n, eta=1.0))
    electrons = out[out.code == 11]
    expected = -np.expm1(-7 / 9 * inner_material(np.array([1.0]))[0])
    assert len(electrons) / 2 / n == pytest.approx(expected, abs=0.02)
    assert out.pt.sum() == pytest.approx(n * 10_000.0)
    assert electrons.charge.sum() == 0
    assert len(convert_photons(rng, beam(22, 500.0, 50))) == 50


def test_vertices_are_found_and_merged() -> None:
    rng = draws(6)
    vertices = make_vertices(rng, np.array([60]))
    assert len(vertices.true_z) == 61
    assert abs(vertices.reconstructed_z[0] - vertices.true_z[0]) < 0.2
    assert 20 < vertices.n_pile_up[0] < 50
    assert make_vertices(rng, np.array([0])).n_pile_up.tolist() == [0]


def test_the_decay_length_is_that_of_geometry() -> None:
    """Two straight tracks at φ = ±0.1 from (2 mm, 0, 0): x is known to σ / (√2 sin 0.1), and the beam to 0.01 mm."""
    one, phi = np.ones(3), np.array([0.1, -0.1, 0.3])
    tracks = Tracks(
        10_000.0 * one, 0.0 * one, phi, one, -2.0 * np.sin(phi), 0.0 * one, 0.02 * one, 1e3 * one, 0.0 * one, phi,
        one > 2, one > 0, np.full(3, 3), np.full(3, 4), np.zeros(3, dtype=np.int64),
    )  # fmt: skip
    axes = Momenta(20_000.0 * one[:2], np.zeros(2), np.zeros(2), np.zeros(2))
    found = decay_lengths(axes, np.zeros(2), np.array([0, 0, 1]), tracks)
    error = np.hypot(0.02 / (np.sqrt(2.0) * np.sin(0.1)), 0.01)
    np.testing.assert_allclose(found, [2.0 / error, -1111.0], rtol=1e-4)


# ── showers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pt", [2_000.0, 20_000.0, 100_000.0])
def test_photons_are_measured_in_the_electromagnetic_layers(pt: float) -> None:
    n, photons = 150, beam(22, pt, 150)
    spots = showered(draws(1), photons)
    energy = photons.energy[0]
    assert response(spots, energy, n) == pytest.approx(0.99, abs=0.03)
    assert response(spots, energy, n, (3,)) < 0.03
    assert response(spots, energy, n, (1,)) > 0.3


def test_hadrons_leave_less_the_softer_they_are_and_fluctuate_more() -> None:
    means, spreads = [], []
    for pt in (5_000.0, 100_000.0):
        values = []
        for seed in range(120):
            pion = beam(211, pt, 1, charge=1.0)
            values.append(response(showered(draws(seed), pion), pion.energy[0], 1))
        means.append(np.mean(values))
        spreads.append(np.std(values))
    assert 0.6 < means[0] < means[1] < 0.95
    assert spreads[0] > 1.3 * spreads[1]
    photon = beam(22, 5_000.0, 120)
    assert response(showered(draws(0), photon), photon.energy[0], 120) > means[0] + 0.1


def test_hadron_showers_are_deeper_and_wider() -> None:
    rng = draws(2)
    pions, photons = beam(211, 20_000.0, 150, charge=1.0), beam(22, 20_000.0, 150)
    of_pions, of_photons = (showered(rng, p) for p in (pions, photons))
    assert response(of_pions, 20_400.0, 150, (3,)) > 0.25
    em2_width = [
        np.sqrt(np.average((s.eta[s.layer == 1] - 0.2) ** 2, weights=s.energy[s.layer == 1]))
        for s in (of_pions, of_photons)
    ]
    assert em2_width[0] > 1.5 * em2_width[1]


def test_showers_deepen_with_the_logarithm_of_the_energy() -> None:
    rng = draws(3)
    shares = []
    for pt in (2_000.0, 10_000.0, 50_000.0):
        photons = beam(22, pt, 200)
        shares.append(response(showered(rng, photons), photons.energy[0], 200, (0,)))
    assert shares[0] > shares[1] + 0.05
    assert shares[1] > shares[2] + 0.05


def test_muons_leave_what_ionisation_leaves() -> None:
    for pt in (10_000.0, 100_000.0):
        muons = beam(13, pt, 300, charge=-1.0)
        spots = showered(draws(1), muons)
        assert 1_500 < spots.energy.sum() / 300 < 2_500


def test_nothing_showers_into_nothing() -> None:
    none = beam(22, 1000.0, 0)
    assert len(showered(draws(0), none).energy) == 0


# ── cells, clusters, shots ───────────────────────────────────────────────────────────────────────────────────────────


def test_cells_add_up_to_the_deposits() -> None:
    photons = beam(22, 30_000.0, 5, eta=0.0, phi=0.0)
    spots = showered(draws(1), photons)
    grid = grid_of(draws(2), spots, 0.03, 0.01)
    near = (np.abs(spots.eta) < 0.38) & (np.abs(spots.phi) < 0.37)
    for number, layer in enumerate(("EM1", "EM2")):
        deposited = spots.energy[near & (spots.layer == number)].sum()
        noise = 4 * 30.0 * np.sqrt(grid.energy[layer].size)
        assert grid.energy[layer].sum() == pytest.approx(deposited, abs=noise)
    assert (grid.eta.tolist(), grid.phi.tolist()) == ([0.0], [0.0])
    assert [grid.energy[name].shape[1:] for name in ("EM1", "EM2", "EM3", "HAD")] == [
        (256, 8),
        (32, 32),
        (16, 32),
        (8, 8),
    ]


def slow_watershed(energy: np.ndarray, noise: float, seed: float, grow: float) -> tuple[np.ndarray, int]:
    """The definition, cell by cell."""
    rows, columns = energy.shape

    def block(i: int, j: int) -> list[tuple[int, int]]:
        return [
            (a, b) for a in range(max(i - 1, 0), min(i + 2, rows)) for b in range(max(j - 1, 0), min(j + 2, columns))
        ]

    tops: dict[tuple[int, int], int] = {}
    for i in range(rows):
        for j in range(columns):
            if energy[i, j] > seed * noise and energy[i, j] == max(energy[c] for c in block(i, j)):
                tops[i, j] = len(tops)
    label = np.full(energy.shape, -1)
    for i in range(rows):
        for j in range(columns):
            if any(energy[c] > grow * noise for c in block(i, j)):
                cell = (i, j)
                while (up := max(block(*cell), key=lambda c: energy[c])) != cell:
                    cell = up
                label[i, j] = tops.get(cell, -1)
    return label, len(tops)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_clusters_are_what_steepest_ascent_gives(seed: int) -> None:
    energy = np.random.default_rng(seed).exponential(1.5, (2, 9, 7))
    found = watershed(energy, np.ones(2), seed=3.0, grow=2.0)
    label = np.full(energy.shape, -1)
    label[found.candidate, found.row, found.column] = found.label
    (first, n), (second, m) = (slow_watershed(cells, 1.0, 3.0, 2.0) for cells in energy)
    assert found.owner.tolist() == [0] * n + [1] * m
    assert np.array_equal(label, np.stack([first, np.where(second >= 0, second + n, -1)]))


def pi_zero(pt: float, rng: np.random.Generator) -> Particles:
    """Return two photons of equal energy: the smallest opening angle, 2 m / pt at η = 0."""
    angle = rng.uniform(0, 2 * np.pi)
    half = 134.98 / pt
    photons = beam(22, pt / 2, 2, eta=0.0, phi=0.0)
    sign = np.array([1.0, -1.0])
    return Particles(
        **{**photons.__dict__, "eta": sign * half * np.cos(angle) + 0.01, "phi": sign * half * np.sin(angle) + 0.01}
    )


def objects_of_pi_zeros(pt: float) -> tuple[float, float]:
    """Return the mean numbers of clusters and of shots with pt above a tenth of the π⁰'s (no pile-up)."""
    found = []
    for seed in range(40):
        photons = pi_zero(pt, np.random.default_rng(seed))
        grid = grid_of(draws(1000 + seed), showered(draws(seed), photons), 0.0, 0.0)
        shots = find_shots(grid, NO_MU)[1]
        found.append(
            (np.sum(moments(cluster_cells(grid, NO_MU))["energy"] > 0.1 * pt), np.sum(shots["pt"] > 0.03 * pt))
        )
    return tuple(np.mean(found, axis=0))  # type: ignore[return-value]


def test_photons_of_a_pi_zero_are_resolved_at_low_and_merged_at_high_pt() -> None:
    low, middle, high = (objects_of_pi_zeros(pt) for pt in (4_000.0, 15_000.0, 60_000.0))
    assert low[0] > 1.5
    assert high[0] == pytest.approx(1.0, abs=0.05)
    assert middle[1] > high[1] + 0.3  # strips still see what the coarse cells have merged
    assert high[1] < 1.4


def test_moments_of_a_known_cluster() -> None:
    photon = beam(22, 20_000.0, 1, eta=0.0125, phi=0.0)
    grid = grid_of(draws(0), showered(draws(0), photon), 0.0, 0.0)
    found = moments(cluster_cells(grid, NO_MU))
    k = int(np.argmax(found["energy"]))
    assert found["energy"][k] == pytest.approx(20_000.0, rel=0.12)
    assert found["eta"][k] == pytest.approx(0.0125, abs=0.003)
    assert found["phi"][k] == pytest.approx(0.0, abs=0.004)
    assert 100 < found["CENTER_LAMBDA"][k] < 300
    assert found["energy_EM1"][k] + found["energy_EM2"][k] <= found["energy"][k] * 1.02
    assert 0.5 < found["EM1CoreFrac"][k] <= 1.0
    assert 0.0 < found["LONGITUDINAL"][k] < 1.0
    assert 0.2 < found["ENG_FRAC_CORE"][k] < 1.0
    assert 0.0 <= found["DELTA_THETA"][k] < 0.2
    assert abs(found["firstEtaWRTClusterPosition_EM1"][k]) < 0.003
    assert 0 < found["secondEtaWRTClusterPosition_EM1"][k] < 0.001
    assert found["NPosECells_EM2"][k] >= 9


def test_nothing_clusters_into_nothing() -> None:
    grid = grid_of(draws(0), showered(draws(0), beam(22, 1000.0, 0)), 0.5, 1.0)
    quiet = grid.with_energy({name: 0.0 * cells for name, cells in grid.energy.items()})
    found = moments(cluster_cells(quiet, NO_MU))
    assert {len(values) for values in found.values()} == {0}
    assert len(find_shots(quiet, NO_MU)[0]) == 0


def test_charged_energy_is_taken_away_and_photons_stay() -> None:
    left_with, left_photon = [], []
    for seed in range(40):
        pion = beam(211, 20_000.0, 1, eta=0.0, phi=0.0, charge=1.0)
        photon = beam(22, 10_000.0, 1, eta=0.12, phi=0.1)
        both = Particles.join([pion, photon])
        grid = grid_of(draws(1000 + seed), showered(draws(seed), both), 0.0, 0.0)
        after = subtract_charged(grid, np.zeros(1, dtype=np.int64), NO_MU, NO_MU, np.array([20_000.0]))
        for name in ("EM1", "EM2", "EM3"):
            assert np.all(after.energy[name] <= grid.energy[name])
        assert after.energy["HAD"] is grid.energy["HAD"]
        etas, phis = offsets("EM2", 0), offsets("EM2", 1)
        near = (np.abs(etas) < 0.06)[:, None] & (np.abs(phis) < 0.06)
        photon_cells = (np.abs(etas - 0.12) < 0.05)[:, None] & (np.abs(phis - 0.1) < 0.05)
        left_with.append((after.energy["EM2"][0][near].sum(), grid.energy["EM2"][0][near].sum()))
        left_photon.append(after.energy["EM2"][0][photon_cells].sum() / grid.energy["EM2"][0][photon_cells].sum())
    before_after = np.mean(left_with, axis=0)
    assert before_after[0] < 0.5 * before_after[1]
    assert np.median(left_photon) > 0.85


# ── pile-up and seeds ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_library_is_that_of_collisions_at_13_tev() -> None:
    library = load_library()
    assert len(library) == 800
    central = (np.abs(library.eta) < 2.5) & (library.charge != 0) & (library.pt > 500.0)
    # ATLAS, PLB 758 (2016) 67: 2.87 charged particles above 500 MeV in a unit of η, in events with at least one;
    # here in all inelastic ones
    assert 1.8 < central.sum() / 5.0 / len(library) < 3.2
    assert abs(library.charge.sum()) / len(library) < 0.5


def test_pile_up_turns_and_mirrors_collisions() -> None:
    library = load_library()
    z = np.array([-10.0, 0.0, 30.0])
    event = np.zeros(3, dtype=np.int64)
    drawn = pile_up(draws(8), library, z, event, 4)
    assert set(drawn.vertex.tolist()) <= {4, 5, 6}
    assert set(drawn.z.tolist()) <= set(z.tolist())
    again = pile_up(draws(8), library, z, event, 4)
    assert np.array_equal(drawn.phi, again.phi)
    assert len(pile_up(draws(8), library, np.zeros(0), event[:0], 1)) == 0


def test_only_pile_up_that_cannot_count_is_left_out() -> None:
    library, rng = load_library(), np.random.default_rng(5)
    everything = np.full(len(library.pt), np.inf, dtype=np.float32)
    loose = replace(library, width=everything, lowest=-everything, highest=everything)
    eta, phi = rng.uniform(-2.5, 2.5, 12), rng.uniform(-3.1, 3.1, 12)
    cones = Cones(np.repeat(np.arange(4), 3), eta, phi)
    z, event = rng.normal(0.0, 120.0, 400), np.repeat(np.arange(4), 100)
    kept, of_all = (pile_up(Draws([np.random.default_rng(k) for k in range(4)]), lib, z, event, 1, cones)
                    for lib in (library, loose))  # fmt: skip
    assert len(kept) < 0.6 * len(of_all)
    counting = []
    for particles in (kept, of_all):
        impact = propagate(particles)
        near = (particles.event[:, None] == cones.event) & impact.hit[:, None]
        near &= np.abs(impact.eta[:, None] - eta) < REGION
        near &= np.abs(delta_phi(impact.phi[:, None], phi)) < REGION
        counting.append(particles[near.any(axis=1) | can_leave_tracks(particles)])
    assert len(counting[0]) > 1000
    assert all(np.array_equal(a, b) for a, b in zip(*(vars(part).values() for part in counting), strict=True))


def test_seeds_are_the_jets() -> None:
    rng = draws(9)
    photons = (beam(22, 30_000.0, 1, eta=1.0, phi=3.1), beam(22, 15_000.0, 1, eta=1.1, phi=-3.1))
    soft, neutrino = beam(22, 5_000.0, 1, eta=0.0, phi=1.5), beam(12, 90_000.0, 1, eta=0.0, phi=-1.5)
    hard = Particles.join([*photons, beam(211, 25_000.0, 1, eta=-1.0, phi=0.0), soft, neutrino])
    jets = find_jets(rng, hard, propagate(hard))
    assert len(jets) == 2
    assert jets.pt[0] == pytest.approx(45_000.0, rel=0.15)  # the two photons across φ = π are one jet
    assert abs(jets.eta[0] - 1.03) < 0.03
    assert abs(abs(jets.phi[0]) - np.pi) < 0.06
    nothing = hard[np.zeros(0, dtype=np.int64)]
    assert len(find_jets(rng, nothing, propagate(nothing))) == 0
