"""The job options that make the sample, run by the engine: files, links, the same events however the run is cut."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepflow.execution import RunOptions, run
from hepflow.execution.samples import SampleRecipe
from hepflow.io.links import link_key, probable_class
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.plugins.simulation import events
from hepflow.plugins.simulation.samples import sources
from hepflow.plugins.simulation.tools import CONTAINERS
from hepflow.plugins.tau import samples
from hepflow.registry.manager import registry

from .test_detector import MODULES

uproot = pytest.importorskip("uproot")


def make(name: str, directory: Path, settings: Sequence[str] = (), **options: Any) -> dict[str, ak.Array]:
    """Run job options and return all columns of the AOD."""
    plugins = registry()
    file = load_joboptions(find_joboptions(name, plugins), settings=settings)
    result = run(file, RunOptions(output=str(directory), **options), plugins=plugins)
    (path,) = result.outputs["AOD"]
    with uproot.open(path) as file:
        tree = file["EventData"]
        columns: list[str] = tree.keys()
        names = [name for name in columns if ":" in name and not name.endswith(("m_persKey", "m_persIndex"))]
        return {name.replace("AuxDyn:", "."): tree[name].array() for name in names}


@pytest.fixture(scope="module")
def aod(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ak.Array]:
    return make("Gammatautau", tmp_path_factory.mktemp("sample") / "run", events=30)


def test_the_aod_holds_the_sample_and_no_generator_record(aod: dict[str, ak.Array]) -> None:
    containers = {name.partition(".")[0] for name in aod}
    assert containers == {"EventInfo", "TruthTaus", "TauJets", *CONTAINERS}
    assert ak.to_numpy(aod["EventInfo.mcEventNumber"]).tolist() == list(range(1, 31))
    assert ak.all(ak.num(aod["EventInfo.mcEventWeights"]) == 1)
    assert ak.all(aod["EventInfo.beamSpotWeight"] == 1)
    assert {"EventInfo.averageInteractionsPerCrossing", "EventInfo.nPileUpVertices"} <= set(aod)


def test_the_table_of_columns_is_that_of_the_sample(aod: dict[str, ak.Array]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "sample.md").read_text("utf-8")
    told: list[str] = []
    for section in text.split("\n### ")[1:]:
        title, *lines = section.partition("\n## ")[0].splitlines()
        names = [
            name for line in lines if line.startswith("| `") for name in re.findall("`([^`]+)`", line.split("|")[1])
        ]
        told += [name if "," in title else f"{title}.{name}" for name in names]
    whole = {f"Jets.{name}" for name in events.JET_COLUMNS} | {f"MET.{name}" for name in events.MET_COLUMNS}
    whole |= {f"TauJets.{name}" for name in events.TAU_COLUMNS} | {"EventInfo.tagWeight", "EventInfo.tauWeight"}
    twice = sorted({name for name in told if told.count(name) > 1})
    assert twice == [f"TauJets.{name}" for name in ("charge", "eta", "m", "nTracks", "phi", "pt")]  # of both samples
    assert set(told) == whole | set(aod)


def test_links_lead_to_the_objects_of_the_tau(aod: dict[str, ak.Array]) -> None:
    for container, (_, link, _) in CONTAINERS.items():
        links = aod[f"TauJets.{link}"]
        key = link_key(container, probable_class(container))
        assert set(ak.to_numpy(ak.flatten(links.m_persKey, axis=None)).tolist()) <= {key}
        index = ak.flatten(links.m_persIndex, axis=2)
        assert ak.array_equal(ak.values_astype(index, np.int64), ak.local_index(aod[f"{container}.pt"], axis=1))


def test_a_run_that_begins_in_the_middle_of_a_block_gives_the_same_events(
    aod: dict[str, ak.Array], tmp_path: Path
) -> None:
    part = make("Gammatautau", tmp_path / "run", events=9, skip=13, chunk=4)
    assert set(part) == set(aod)
    assert [name for name in aod if not ak.array_equal(part[name], aod[name][13:22])] == []


def test_jets_go_through_the_same_detector(aod: dict[str, ak.Array], tmp_path: Path) -> None:
    jets = make("Dijet", tmp_path / "run", events=12)
    assert set(jets) == set(aod)
    assert ak.sum(ak.num(jets["TauJets.pt"])) > 12
    assert ak.sum(ak.num(jets["TruthTaus.pt_vis"])) == 0
    assert ak.mean(ak.flatten(jets["TauJets.nTracks"])) > ak.mean(ak.flatten(aod["TauJets.nTracks"]))


@pytest.mark.parametrize("name", ["Gammatautau", "Dijet"])
def test_samples_on_demand_are_made_by_these_job_options(name: str) -> None:
    recipe: SampleRecipe = registry().load("samples", name)
    assert (recipe.name, recipe.job, recipe.stream) == (name, name, "AOD")
    assert (recipe.events, recipe.per_file) == (20_000, 500)
    job = load_joboptions(find_joboptions(recipe.job, registry())).job
    assert job.default_sample == f"pythia:{name}"


def test_the_key_of_a_sample_covers_what_makes_it_and_nothing_else() -> None:
    of_taus, of_events = (sources("simulation.pythia", *modules) for modules in (samples.TOOLS, ("simulation.events",)))
    detector = {module.__name__.rpartition(".")[2] for module in MODULES}
    common = {f"simulation.{name}" for name in ("generator", "hooks", "pythia", "truth")}
    assert {name for name in of_taus if not name.startswith(("tau.", "networks"))} == {
        *common, "simulation.tools", *(f"simulation.{name}" for name in detector)
    }  # fmt: skip
    assert {"tau.classifier", "tau.energyscale.regression", "networks.decorators"} <= set(of_taus)
    assert not any("deriv" in name or "performance" in name for name in of_taus)
    assert set(of_events) == {*common, "simulation.events", "simulation.objects"}


def test_another_calibration_makes_another_sample(tmp_path: Path) -> None:
    """The key follows what the tools of the job read; the others of its files are code."""
    job = load_joboptions(find_joboptions("Gammatautau", registry())).job
    assert {*job.data_files().values()} | {samples.LIBRARY} == {*samples.FILES}
    versions = [samples.GAMMATAUTAU.version]
    for number, file in enumerate(samples.FILES):
        other = tmp_path / file.name
        other.write_bytes(file.read_bytes() + b" ")
        files = [*samples.FILES[:number], other, *samples.FILES[number + 1 :]]
        versions.append(samples.recipe("Gammatautau", samples.TOOLS, files).version)
    assert len(set(versions)) == 6


def test_pt_is_the_final_one_where_that_is_asked_for(aod: dict[str, ak.Array], tmp_path: Path) -> None:
    made = make("Gammatautau", tmp_path / "run", ("TauFinalCalibration.SetPt=true",), events=6)
    assert ak.array_equal(made["TauJets.pt"], aod["TauJets.ptFinalCalib"][:6])
    others = [name for name in aod if name != "TauJets.pt" and not ak.array_equal(made[name], aod[name][:6])]
    assert others == []
