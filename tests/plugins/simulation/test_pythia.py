"""The generator as a reader: the same events however they are cut, physics of tau decays, weights."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.errors import ColumnError, InputError
from hepflow.events.column import Column
from hepflow.plugins.simulation.generator import block_seed
from hepflow.plugins.simulation.pythia import ENTRIES, UNIT_EVENTS, PythiaReader
from hepflow.protocols import ColumnInfo


def columns_of(reader: PythiaReader, *names: str) -> list[ColumnInfo]:
    columns = reader.schema().columns
    return [columns[name] for name in names] if names else list(columns.values())


def same(first: Column, second: Column) -> bool:
    if first.offsets is not None and not np.array_equal(first.offsets, second.offsets):
        return False
    return bool(ak.array_equal(ak.Array(first.content), ak.Array(second.content)))


@pytest.mark.parametrize(("start", "stop"), [(130, 170), (195, 210), (0, 1)])
def test_events_do_not_depend_on_where_reading_starts(generated: dict[str, Column], start: int, stop: int) -> None:
    reader = PythiaReader("pythia:Gammatautau")
    reader.read(columns_of(reader, "EventInfo.eventNumber"), 250, 255)  # another history
    read = reader.read(columns_of(reader), start, stop)
    assert set(read) == set(generated)
    assert [name for name, column in read.items() if not same(column, generated[name][start:stop])] == []


def test_another_seed_gives_other_events(generated: dict[str, Column]) -> None:
    reader = PythiaReader("pythia:Gammatautau?seed=99")
    info = columns_of(reader, "TruthParticles.px")
    assert not same(reader.read(info, 0, 3)["TruthParticles.px"], generated["TruthParticles.px"][0:3])
    assert len({block_seed(seed, block) for seed in range(10) for block in range(100)}) == 1000


def test_schema_is_endless_and_starts_no_generator() -> None:
    reader = PythiaReader("pythia:Dijet")
    schema = reader.schema()
    assert schema.endless
    assert schema.entries == ENTRIES
    assert ENTRIES % UNIT_EVENTS == 0
    assert reader.blocks([], 50, 1250) == [(50, 500), (500, 1000), (1000, 1250)]
    assert reader._generator is None


def test_columns_have_the_declared_types(generated: dict[str, Column]) -> None:
    for name, info in PythiaReader("pythia:Gammatautau").schema().columns.items():
        column = generated[name]
        values = ak.flatten(column.content) if isinstance(column.content, ak.Array) else column.content
        assert np.asarray(values).dtype == np.dtype(info.dtype), name
        assert (column.offsets is not None) == (not name.startswith("EventInfo.")), name


def test_event_numbers_and_weights(generated: dict[str, Column]) -> None:
    numbers = generated["EventInfo.mcEventNumber"].content
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert np.all(generated["EventInfo.beamSpotWeight"].content == 1.0)
    assert np.all(ak.num(generated["EventInfo.mcEventWeights"].content) == 1)


def masses_and_weights(columns: dict[str, Column]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mass of the hard γ* (its first appearance; GeV) and the weight of each event."""
    pdg, mass = columns["TruthParticles.pdgId"], columns["TruthParticles.m"]
    assert pdg.offsets is not None
    ids = ak.unflatten(pdg.content, np.diff(pdg.offsets))
    m = ak.unflatten(mass.content, np.diff(pdg.offsets))
    return ak.to_numpy(ak.firsts(m[ids == 23])) / 1000.0, ak.to_numpy(columns["EventInfo.mcEventWeights"].content[:, 0])


def test_the_weight_is_one_over_the_bias(generated: dict[str, Column]) -> None:
    mass, weight = masses_and_weights(generated)
    assert mass.min() > 60.0
    assert mass.max() < 2000.0
    np.testing.assert_allclose(weight * (mass / 60.0) ** 3, 1.0, rtol=1e-4)


def test_weighted_mass_spectrum_is_that_of_an_unbiased_run(generated: dict[str, Column]) -> None:
    reader = PythiaReader("pythia:Gammatautau?power=0&seed=3")
    names = ("TruthParticles.pdgId", "TruthParticles.m", "EventInfo.mcEventWeights")
    plain_mass, plain_weight = masses_and_weights(reader.read(columns_of(reader, *names), 0, 500))
    assert np.all(plain_weight == 1.0)
    mass, weight = masses_and_weights(generated)
    edges = [60.0, 66.0, 75.0, 90.0, 120.0, 2000.0]
    biased = np.histogram(mass, edges, weights=weight)[0] / weight.sum()
    error = np.sqrt(np.histogram(mass, edges, weights=weight**2)[0]) / weight.sum()
    plain = np.histogram(plain_mass, edges)[0] / len(plain_mass)
    pull = (biased - plain) / np.hypot(error, np.sqrt(plain / len(plain_mass)))
    assert np.sum(pull**2) < 15.1  # 1 % tail of χ² with 5 bins
    unweighted = np.histogram(mass, edges)[0] / len(mass)
    assert unweighted[-1] > 2.0 * plain[-1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("pythia:Gammatauta", "Gammatautau"),
        ("pythia:Dijet?sed=3", "seed"),
        ("pythia:Dijet?seed=x", "int"),
        ("pythia:Dijet?seed=-1", "from 0 on"),
        ("pythia:Gammatautau?decays=some", "hadronic"),
    ],
)
def test_wrong_addresses_are_explained(path: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PythiaReader(path)


def test_unknown_column_is_explained() -> None:
    reader = PythiaReader("pythia:Gammatautau")
    with pytest.raises(ColumnError, match=r"StableParticles\.px"):
        reader.read([ColumnInfo("StableParticles.pxx", (), "float64", 1)], 0, 1)


def test_all_decays_include_leptonic_ones() -> None:
    reader = PythiaReader("pythia:Gammatautau?decays=all")
    read = reader.read(columns_of(reader, "TruthParticles.pdgId", "TruthParticles.parentIndex"), 0, 100)
    pdg, parent = (ak.unflatten(c.content, np.diff(c.offsets)) for c in read.values())
    from_tau = (parent >= 0) & (abs(pdg[ak.where(parent >= 0, parent, 0)]) == 15)
    leptons = ak.sum(from_tau & ((abs(pdg) == 11) | (abs(pdg) == 13)))
    assert 45 < leptons < 95  # 35.2 % of 200 taus, within three standard deviations


def test_dijet_weights_and_flavours() -> None:
    reader = PythiaReader("pythia:Dijet")
    read = reader.read(columns_of(reader, "EventInfo.mcEventWeights", "TruthParticles.pdgId"), 0, 100)
    weights = ak.to_numpy(read["EventInfo.mcEventWeights"].content[:, 0])
    assert np.all((weights > 0) & (weights <= 1.0))
    assert weights.max() / weights.min() > 50
    assert np.mean(read["TruthParticles.pdgId"].content == 21) > 0.01
