"""Energy units of inputs: columns stay as stored, expressions with units are right, tools get what they work in."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot

from hepflow import Job, Property, Tool
from hepflow.errors import HepflowError, InputError
from hepflow.execution.options import RunOptions
from hepflow.execution.planning import plan_job
from hepflow.execution.run import run
from hepflow.expressions import Cut, Expression
from hepflow.plugins.tau import TauSelection
from hepflow.streams import MxAODStream, NtupleStream


class Count(Tool):
    """Count the objects that pass."""

    Pass = Property(Cut(), "what is counted")
    PtMin = Property(0.0, "a number with a unit", unit="MeV")

    def reads(self):
        return self.Pass.columns

    def start(self):
        return {"n": 0, "units": ()}

    def execute(self, events, result):
        result["n"] += int(self.Pass(events).sum())


def job(*tools, streams=()):
    made = Job("units")
    for tool in (*tools, *streams):
        made += tool
    return made


def counted(cut, *inputs, folder, units=None):
    options = RunOptions(inputs=[str(path) for path in inputs], output=str(folder), units=units)
    return run(job(Count("count", Pass=cut)), options).results["count"]["n"]


@pytest.fixture
def plain(tmp_path):
    """A plain ntuple with energies in GeV, which it does not tell."""
    path = tmp_path / "plain.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"pt": "f4", "eta": "f4"})
        file["t"].extend({"pt": np.array([10.0, 30.0, 50.0], "f4"), "eta": np.zeros(3, "f4")})
    return path


def test_a_plain_ntuple_has_the_unit_that_is_given(plain, tmp_path):
    assert counted("t.pt > 20*GeV", plain, folder=tmp_path / "a", units="GeV") == 2
    assert counted("t.pt > 20*MeV", plain, folder=tmp_path / "b", units="MeV") == 2
    assert counted("t.pt > 20", plain, folder=tmp_path / "c") == 2
    with pytest.raises(InputError, match="has a unit, and the energy unit of the input is not known") as error:
        counted("t.pt > 20*GeV", plain, folder=tmp_path / "d")
    assert "--units GeV or --units MeV" in str(error.value)
    assert not (tmp_path / "d").exists()


def test_an_xaod_is_in_mev_and_its_outputs_tell(xaod, tmp_path):
    wanted = counted("TauJets.pt > 20000", xaod, folder=tmp_path / "a")
    assert counted("TauJets.pt > 20*GeV", xaod, folder=tmp_path / "b") == wanted > 0
    with pytest.raises(InputError, match="in MeV, not in GeV"):
        counted("TauJets.pt > 20*GeV", xaod, folder=tmp_path / "c", units="GeV")
    streams = [NtupleStream("flat", Keep=["TauJets.pt"]), MxAODStream("out", Keep=["TauJets.pt"])]
    made = run(job(streams=streams), RunOptions(inputs=[str(xaod)], output=str(tmp_path / "made")))
    for name in ("flat", "out"):
        with uproot.open(made.outputs[name][0]) as file:
            assert json.loads(str(file["hepflow"]))["energy_unit"] == "MeV"
        assert counted("TauJets.pt > 20*GeV", made.outputs[name][0], folder=tmp_path / f"again-{name}") == wanted
    provenance = json.loads((tmp_path / "made" / "provenance.json").read_text())
    assert provenance["inputs"][0]["energy_unit"] == "MeV"


def test_a_tool_that_works_in_mev_refuses_gev(plain, tmp_path):
    options = RunOptions(inputs=[str(plain)], units="GeV")
    with pytest.raises(InputError, match=r"works in MeV, and energies are in GeV here \(PtMin = 20000.0 MeV\)"):
        plan_job(job(Count("count", Pass="t.pt > 0", PtMin=20_000)), options)
    with pytest.raises(InputError, match="TauSelection works in MeV"):
        plan_job(job(TauSelection("TauSelection", Container="t", PtMin=20_000)), options)
    plan_job(job(TauSelection("TauSelection", Container="t", PtMin=0)), options)
    plan = plan_job(job(Count("count", Pass="t.pt > 0", PtMin=20_000)), RunOptions(inputs=[str(plain)]))
    assert any("--units MeV says that it is right" in note for note in plan.notes)


def test_a_unit_is_part_of_the_run(plain, tmp_path):
    counted("t.pt > 20", plain, folder=tmp_path / "a", units="GeV")
    again = RunOptions(inputs=[str(plain)], output=str(tmp_path / "a"), resume=True, units="MeV")
    with pytest.raises(HepflowError, match="unit"):
        run(job(Count("count", Pass="t.pt > 20")), again)


@pytest.fixture
def both(tmp_path):
    """Two ntuples with the same taus, one in MeV, one in GeV, made by hepflow from plain ones."""
    paths = []
    for unit, factor in (("MeV", 1000), ("GeV", 1)):
        path = tmp_path / f"{unit}.root"
        with uproot.recreate(path) as file:
            file.mktree("t", {"pt": "f4", "eta": "f4", "n": "i4"})
            pt = np.array([10, 30, 50], "f4") * factor
            file["t"].extend({"pt": pt, "eta": np.zeros(3, "f4"), "n": np.arange(3, dtype="i4")})
        stream = NtupleStream("t", Keep=["t.*"], TreeName="t", Container="")
        options = RunOptions(inputs=[str(path)], output=str(tmp_path / unit), units=unit)
        paths += run(job(streams=[stream]), options).outputs["t"]
    return paths


@pytest.mark.parametrize(
    ("cut", "number"),
    [
        ("t.pt > 20*GeV", 4),
        ("abs(t.eta) < 1 and t.n > 0", 4),
        ("t.pt / GeV + t.n > 30", 4),
        ("t.pt > 20", 0),
        ("t.pt + 1*GeV > t.pt", 6),
        ("sqrt(t.pt) > 4 and t.pt > 1*GeV", 0),
    ],
)
def test_inputs_of_two_units(both, cut, number, tmp_path):
    if number:
        assert counted(cut, *both, folder=tmp_path / "out") == number
        return
    with pytest.raises(InputError, match=r"energies in MeV .* and GeV .*, and count would mix"):
        counted(cut, *both, folder=tmp_path / "out")


def test_two_units_are_never_written_together(both, tmp_path):
    with pytest.raises(InputError, match="would write into one output"):
        plan_job(
            job(streams=[NtupleStream("t", Keep=["t.pt"], Container="")]),
            RunOptions(inputs=[str(path) for path in both]),
        )


def test_what_is_free_of_units():
    def free(text):
        return Expression(text).unit_free(lambda name: name.endswith((".pt", ".m")))

    assert all(map(free, ("T.n + 1", "T.pt / GeV", "log10(T.pt / GeV) + T.n", "sum(T.pt > 2*GeV)", "len(T.pt)", "2")))
    assert not any(map(free, ("T.pt", "T.pt + 1*GeV", "T.pt / T.m", "where(T.n > 1, T.pt, 0)", "5*GeV", "max(T.pt)")))
