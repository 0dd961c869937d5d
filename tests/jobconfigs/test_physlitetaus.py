"""PhysliteTaus on files that ATLAS's software wrote: the counts that are published with them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepflow.execution import RunOptions, run
from hepflow.joboptions import find_joboptions, load_joboptions

ELECTRONS, TRACKS = 394100163, 215277022


def run_on(path, folder, **options):
    job = load_joboptions(find_joboptions("PhysliteTaus"))
    return run(job, RunOptions(inputs=[str(path)], output=str(folder), **options)).outputs


@pytest.fixture(scope="module")
def ttree(physlite, tmp_path_factory):
    path = physlite("PHYSLITE_example.root")
    return run_on(path, tmp_path_factory.mktemp("physlite") / "run")


@pytest.fixture(scope="module")
def again(ttree, tmp_path_factory):
    """The job on its own MxAOD."""
    return run_on(ttree["output"][0], tmp_path_factory.mktemp("again") / "run")


def modes(values, last=5):
    return [int(np.sum(np.asarray(values) == mode)) for mode in range(last)]


@pytest.fixture(params=["ttree", "again"])
def outputs(request):
    return request.getfixturevalue(request.param)


def test_ntuple(outputs, read):
    columns = read(*outputs["tree"])
    assert len(columns["TauJets.pt"]) == 143
    assert int(ak.sum(ak.num(columns["TauTrack.pt"]))) == 179
    assert np.bincount(ak.num(columns["TauTrack.pt"])).tolist() == [0, 125, 0, 18]
    assert modes(columns["TauJets.NNDecayMode"]) == [36, 84, 5, 6, 12]
    assert modes(columns["TauJets.PanTau_DecayMode"]) == [24, 93, 8, 8, 10]
    assert ak.all(columns["TauJets.pt"] == columns["TauJets.ptFinalCalib"])
    assert ak.all((ak.flatten(columns["TauTrack.flagSet"]) >> 5) & 1 == 1)
    flags = columns["TauJets.isTauFlags"].to_numpy().astype(np.uint32)
    assert [int(np.sum(flags >> bit & 1)) for bit in range(28, 32)] == [108, 86, 65, 39]
    assert not any("Link" in name for name in columns)


def test_mxaod(outputs, read):
    columns = read(*outputs["output"])
    assert len(columns["AnalysisTauJetsAuxDyn:pt"]) == 100
    assert int(ak.sum(ak.num(columns["AnalysisTauJetsAuxDyn:pt"]))) == 143
    assert int(ak.sum(ak.num(columns["TauTracksAuxDyn:pt"]))) == 889
    assert modes(ak.flatten(columns["AnalysisTauJetsAuxDyn:NNDecayMode"])) == [36, 84, 5, 6, 12]
    truth = ak.flatten(columns["AnalysisTauJetsAuxDyn:truthParticleLink"]).m_persKey
    assert {int(key): int(n) for key, n in zip(*np.unique(truth, return_counts=True), strict=True)} == {
        0: 34,
        ELECTRONS: 109,
    }
    links = columns["AnalysisTauJetsAuxDyn:tauTrackLinks"]
    valid = links[links.m_persKey != 0]
    assert int(ak.count(valid.m_persIndex)) == 179
    assert ak.all(valid.m_persKey == TRACKS)
    assert int(ak.sum(links.m_persKey == 0)) == 1608
    assert ak.all(ak.flatten(valid.m_persIndex, axis=2) < ak.num(columns["TauTracksAuxDyn:pt"]))
    assert "EventInfoAuxDyn:mcEventNumber" in columns


def test_content_is_that_of_the_file(ttree, physlite, read):
    import uproot

    columns = read(*ttree["output"])
    with uproot.open(physlite("PHYSLITE_example.root")) as file:
        tree = file["CollectionTree"]
        for name in ("pt", "eta", "phi", "charge", "NNDecayMode", "RNNJetScoreSigTrans"):
            original = tree[f"AnalysisTauJetsAuxDyn.{name}"].array()
            assert ak.array_equal(columns[f"AnalysisTauJetsAuxDyn:{name}"], original, dtype_exact=False), name
        electrons = tree["TruthElectronsAuxDyn.px"].array()
    links = columns["AnalysisTauJetsAuxDyn:truthParticleLink"]
    inside = links.m_persIndex < ak.num(electrons)
    assert ak.all(inside[links.m_persKey == ELECTRONS])


def test_round_trip_changes_nothing(ttree, again, read, assert_same):
    for name in ("tree", "output"):
        assert_same(read(*again[name]), read(*ttree[name]))


def test_rntuple_file(physlite, tmp_path, read):
    path = physlite("PHYSLITE_rntuple.root")
    outputs = run_on(path, tmp_path / "run")
    columns = read(*outputs["output"])
    assert len(columns["AnalysisTauJetsAuxDyn:pt"]) == 100
    number = int(ak.sum(ak.num(columns["AnalysisTauJetsAuxDyn:pt"])))
    ntuple = read(*outputs["tree"])
    assert len(ntuple["TauJets.pt"]) == number > 0
    assert ntuple["TauJets.pt"].tolist() == ak.flatten(columns["AnalysisTauJetsAuxDyn:pt"]).tolist()
    links = columns["AnalysisTauJetsAuxDyn:tauTrackLinks"]
    valid = links[links.m_persKey == TRACKS]
    assert ak.flatten(ak.num(valid.m_persIndex, axis=2)).tolist() == ak.num(ntuple["TauTrack.pt"]).tolist()
    again = run_on(outputs["output"][0], tmp_path / "again")
    assert read(*again["tree"])["TauTrack.pt"].tolist() == ntuple["TauTrack.pt"].tolist()


def test_command(hepflow_process, physlite, tmp_path):
    outcome = hepflow_process("run", "PhysliteTaus", "-i", physlite("PHYSLITE_example.root"), "-o", "run").fine()
    assert "100 events in 1 work unit" in outcome.out
    (line,) = [line for line in outcome.out.splitlines() if "pt >= 0 GeV" in line]
    assert line.split()[-3:] == ["143", "143", "100.0%"]


def test_what_a_physlite_file_lacks_is_named(hepflow, physlite):
    hepflow("run", "NNDecayMode", "-i", physlite("PHYSLITE_example.root"), "-o", "run").failed(
        "NNDecayModeTree reads TauJets.ptIntermediateAxis, which is not there",
        "of stream tree",
        "PHYSLITE_example.root",
    )
