"""Network inputs per class against plain Python, from the ntuple and from the objects."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import uproot

from hepflow import Job
from hepflow.errors import HepflowError
from hepflow.execution import RunOptions, run
from hepflow.plots import Histogram, PlotObject
from hepflow.plugins.tau import NetworkInputPlots, NNDecayModeTree, TauTruthMatching
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.variables import DECAY_MODE_VARIABLES
from hepflow.streams import NtupleStream
from hepflow.variables import Binning, Variable

LOG = Variable("pt_log", "pt", "log10", 1e-3, label="pt", unit="MeV", binnings={"": Binning.regular(7, 2.5, 4.5)})
D0 = Variable("d0TJVA", unit="mm", missing=0.0, binnings={"": Binning.regular(4, -1, 1)})
DPHI = Variable("dphi", binnings={"": Binning.regular(10, -0.2, 0.2)})
VARIABLES = {"TauTrack": (LOG, D0), "NeutralPFO": (LOG,), "ShotPFO": (DPHI,), "ConvTrack": (D0,)}


@pytest.fixture(scope="module")
def ntuple(xaod, tmp_path_factory):
    job = Job("ntuple")
    job += TauTruthMatching("Truth", DataType="JET")
    stream = NtupleStream("tree")
    stream += NNDecayModeTree("NNDecayModeTree")
    job += stream
    output = str(tmp_path_factory.mktemp("inputs") / "run")
    (path,) = run(job, RunOptions(inputs=[str(xaod.path)], output=output)).outputs["tree"]
    return path


@pytest.fixture(scope="module")
def rows(ntuple):
    """The taus of the ntuple as plain Python: a dict each."""
    with uproot.open(ntuple) as file:
        return file["tree"].arrays().to_list()


class Numbers(NetworkInputPlots):
    """The tool without its figures, which take their time."""

    def figures(self, samples, draw):
        pass


def plots(path, output, *tools, kind=Numbers, **properties):
    """Run the tool on a file; return the result of the only sample and the run directory."""
    job = Job("test")
    for tool in tools:
        job += tool
    job += kind("Inputs", **{"Variables": VARIABLES, **properties})
    result = run(job, RunOptions(inputs=[str(path)], output=str(output), chunk=9))
    (found,) = result.results["Inputs"].values()
    return found, result.directory


def counted(values, variable, weights):
    """Sums of weights in the bins of a variable, without numpy's histogram."""
    edges = variable.binning().edges
    sums = [0.0] * (len(edges) - 1)
    for value, weight in zip(values, weights, strict=True):
        for k in range(len(sums)):
            sums[k] += weight * (edges[k] <= value < edges[k + 1])
    return sums


def expected(rows, sequence, variable, objects, mode, weight=lambda row: 1.0):
    """The bins of one histogram, and how many values went into it."""
    values, weights = [], []
    for row in rows:
        if row["TauJets.truthDecayMode"] != MODES.index(mode):
            continue
        found = row[f"{sequence}.{variable.column}"][: 1 if objects == "leading" else None]
        for value in found:
            if variable.missing is not None and value == variable.missing:
                continue
            values.append(math.log10(max(value, variable.floor)) if variable.transform else value)
            weights.append(weight(row))
    return counted(values, variable, weights), len(values)


def test_against_plain_python(ntuple, rows, tmp_path):
    found, _ = plots(ntuple, tmp_path / "run")
    assert len(found) == 5 * (5 * 2 + 4)
    compared = 0
    for sequence, variables in VARIABLES.items():
        for variable in variables:
            for objects in ("leading", "all"):
                for mode in MODES:
                    plot = found[f"{sequence}/{variable.name}_{objects}/{mode}"]
                    sums, entries = expected(rows, sequence, variable, objects, mode)
                    assert plot.values().tolist() == sums
                    assert plot.entries == entries
                    assert plot.label == mode
                    compared += entries
    assert compared > 200


def test_numbers_of_objects(ntuple, rows, tmp_path):
    found, _ = plots(ntuple, tmp_path / "run")
    for sequence in VARIABLES:
        for number, mode in enumerate(MODES):
            lengths = [len(row[f"{sequence}.pt"]) for row in rows if row["TauJets.truthDecayMode"] == number]
            plot = found[f"{sequence}/number/{mode}"]
            assert plot.values().tolist() == [*map(lengths.count, range(9)), sum(n >= 9 for n in lengths)]
            assert plot.total == len(lengths)


def test_the_objects_give_what_the_ntuple_gives(xaod, ntuple, tmp_path):
    from_ntuple, _ = plots(ntuple, tmp_path / "ntuple")
    tools = TauTruthMatching("Truth", DataType="JET"), NNDecayModeTree("NNDecayModeTree")
    from_objects, _ = plots(xaod.path, tmp_path / "aod", *tools)
    assert from_objects == from_ntuple


@pytest.mark.parametrize("source", ["ntuple", "aod"])
def test_selection_and_weight_are_those_of_the_tau(source, xaod, ntuple, rows, tmp_path):
    tools = () if source == "ntuple" else (TauTruthMatching("Truth", DataType="JET"), NNDecayModeTree("Tree"))
    settings = {"Selection": "TauJets.pt > 40000", "Weight": "TauJets.beamSpotWeight", "Objects": ["all"]}
    found, _ = plots(ntuple if source == "ntuple" else xaod.path, tmp_path / "run", *tools, **settings)
    chosen = [row for row in rows if row["TauJets.pt"] > 40000]
    weight = lambda row: row["TauJets.beamSpotWeight"]  # noqa: E731
    for mode in MODES:
        sums, entries = expected(chosen, "NeutralPFO", LOG, "all", mode, weight)
        plot = found[f"NeutralPFO/pt_log_all/{mode}"]
        assert plot.values() == pytest.approx(sums)
        assert plot.entries == entries
        lengths = [row for row in chosen if row["TauJets.truthDecayMode"] == MODES.index(mode)]
        assert found[f"NeutralPFO/number/{mode}"].total == pytest.approx(sum(map(weight, lengths)))
    assert not any("leading" in key for key in found)


def test_missing_values_are_left_out_and_counted(ntuple, rows, tmp_path):
    zero = next(x for row in rows if row["TauJets.truthDecayMode"] == 0 for x in row["TauTrack.d0TJVA"])
    variable = Variable("d0TJVA", missing=zero, binnings={"": Binning.regular(4, -2, 2)})
    found, _ = plots(ntuple, tmp_path / "run", Variables={"TauTrack": [variable]}, Objects=["all"])
    assert found["TauTrack/d0TJVA_all/1p0n"].invalid == 1
    assert "1 of" in found["TauTrack/d0TJVA_all/1p0n"].note


def test_figures_with_their_numbers(ntuple, tmp_path):
    found, directory = plots(
        ntuple, tmp_path / "run", kind=NetworkInputPlots, Variables={"TauTrack": (LOG,)}, Objects=["leading"]
    )
    assert {p.name for p in (directory / "Inputs").iterdir() if p.is_file()} == {
        f"TauTrack_leading.{s}" for s in ("json", "pdf", "png")
    }
    folder = directory / "Inputs" / "TauTrack"
    assert {p.name for p in folder.iterdir()} == {
        f"{n}.{s}" for n in ("number", "pt_log_leading") for s in ("json", "pdf", "png")
    }
    content = json.loads((folder / "pt_log_leading.json").read_text())
    read = [PlotObject.from_json(plot) for plot in content["plots"]]
    assert read == [found[f"TauTrack/pt_log_leading/{mode}"] for mode in MODES]
    assert isinstance(read[0], Histogram)
    assert read[0].axes[0].title == "log10(pt / MeV)"


def test_variables_without_binning_are_asked_for(ntuple, tmp_path):
    with pytest.raises(HepflowError, match=r"TauTrack\.z0 has no binning") as error:
        plots(ntuple, tmp_path / "run", Variables={"TauTrack": [LOG, Variable("z0")]})
    assert "Binning.regular(50, low, high)" in error.value.hint


@pytest.mark.parametrize("settings", [{"Selection": "TauTrack.pt > 1"}, {"Weight": "ShotPFO.pt"}])
def test_cuts_on_objects_are_refused(settings, ntuple, tmp_path):
    with pytest.raises(HepflowError, match=r"is about taus, and (TauTrack|ShotPFO)\.pt is of their objects"):
        plots(ntuple, tmp_path / "run", **settings)


def test_all_inputs_of_the_network_are_plotted_by_default():
    tool = NetworkInputPlots("Inputs")
    keys = {key.rpartition("/")[0] for key in tool.empty()}
    assert len(keys) == 2 * 48 + 4
    for sequence, variables in DECAY_MODE_VARIABLES.items():
        assert {f"{sequence}/{v.name}_{kind}" for v in variables for kind in ("leading", "all")} < keys
    assert np.isfinite([plot.total for plot in tool.empty().values()]).all()
