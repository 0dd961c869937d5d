"""ROOT itself opens what the writers write; its wheel on PyPI is an alpha: these tests run where it is installed."""

from __future__ import annotations

from contextlib import closing

import awkward as ak
import numpy as np
import pytest

from hepflow.events.column import Column
from hepflow.events.layout import pack_links
from hepflow.io.ntuple import NtupleTTreeReader
from hepflow.io.opening import open_reader
from hepflow.io.spelling import xaod_spelling
from hepflow.io.writers import RNTupleWriter, TTreeWriter

ROOT = pytest.importorskip("ROOT", reason="PyROOT (wheel `root`, alpha) is not installed")
OFFSETS = np.array([0, 2, 2, 3], dtype=np.int64)


def link_array(keys, index, counts=None):
    """Links with keys that stand for nothing, as a reader returns them; in lists where ``counts`` are given."""
    return pack_links([] if counts is None else [counts], -np.asarray(keys), index)


def test_ntuple(tmp_path):
    writer = TTreeWriter(tmp_path / "n.root", "tree")
    writer.write(
        {
            "TauJets.pt": Column(None, np.array([1, 2, 3], dtype=np.float32)),
            "TauTrack.dphi": Column(OFFSETS, np.array([1, 2, 3], dtype=np.float32)),
        }
    )
    writer.close()
    frame = ROOT.RDataFrame("tree", str(tmp_path / "n.root"))
    assert frame.Count().GetValue() == 3
    assert frame.Sum("TauTrack.dphi").GetValue() == pytest.approx(6)


def test_mxaod(tmp_path):
    writer = RNTupleWriter(tmp_path / "m.root", "EventData", spell=xaod_spelling({}, ":"))
    writer.write(
        {
            "EventInfo.mcEventNumber": Column(None, np.array([1, 2, 3], dtype=np.uint64)),
            "TauJets.pt": Column(OFFSETS, np.array([1, 2, 3], dtype=np.float32)),
            "TauJets.tauTrackLinks": Column(OFFSETS, link_array([1, 2], [0, 1], np.array([1, 0, 1]))),
        }
    )
    writer.close()
    reader = ROOT.RNTupleReader.Open("EventData", str(tmp_path / "m.root"))
    assert reader.GetNEntries() == 3
    view = reader.GetView["std::vector<float>"]("TauJetsAuxDyn:pt")
    assert [list(view(entry)) for entry in range(3)] == [[1.0, 2.0], [], [3.0]]


def test_a_nanoaod_that_root_imported(tmp_path, formats):
    """Fields that show others (``Muon_pt`` those of ``_collection0``), and lengths of lists without a column."""
    writer = TTreeWriter(tmp_path / "t.root", "Events", spell={"Muon.pt": "Muon_pt"}.get)
    writer.write({"Muon.pt": Column(OFFSETS, np.array([1, 2, 3], dtype=np.float32))})
    writer.close()
    importer = ROOT.Experimental.RNTupleImporter.Create(str(tmp_path / "t.root"), "Events", str(tmp_path / "r.root"))
    importer.Import()
    with closing(open_reader(str(tmp_path / "r.root"), formats)) as reader:
        columns = reader.schema().columns
        assert columns.keys() == {"Events.nMuon", "Muon.pt"}
        assert columns["Muon.pt"].counter == "nMuon"
        assert reader.read([columns["Events.nMuon"]], 1, 3)["Events.nMuon"].content.tolist() == [0, 1]


def test_leaf_lists_packed_floats_and_a_short_branch(tmp_path):
    ROOT.gInterpreter.ProcessLine(
        f'{{ TFile f("{tmp_path}/t.root", "RECREATE"); TTree t("tree", "t");'
        " struct { int run; float pt; float cov[3]; } e; Double32_t d; int late;"
        ' t.Branch("evt", &e, "run/I:pt/F:cov[3]/F"); t.Branch("d", &d, "d/d"); TBranch* b = t.Branch("late", &late);'
        ' for (int i = 0; i < 3; ++i) { e = {i, 1.5f * i, {1.f * i, 2, 3}}; d = i; t.GetBranch("evt")->Fill();'
        ' t.GetBranch("d")->Fill(); if (i) b->Fill(); } t.SetEntries(3); t.Write(); }'
    )
    reader = NtupleTTreeReader(str(tmp_path / "t.root"))
    schema = reader.schema()
    found = {name: ak.to_list(c.content) for name, c in reader.read(list(schema.columns.values()), 0, 3).items()}
    assert found["evt.run"] == [0, 1, 2]
    assert found["evt.pt"] == [0, 1.5, 3]
    assert found["evt.cov"] == [[0, 2, 3], [1, 2, 3], [2, 2, 3]]
    assert found["tree.d"] == [0, 1, 2]
    assert "2 entries, its tree 3" in schema.unreadable["tree.late"]
    reader.close()


def test_fields_of_an_rntuple(tmp_path, formats):
    """Arrays, bitsets, enums, atomics, bytes; fields that a file has from its third entry on; what is no column."""
    ROOT.gInterpreter.Declare(
        "#include <ROOT/RNTupleModel.hxx>\n#include <ROOT/RNTupleWriter.hxx>\n#include <array>\n#include <atomic>\n"
        "#include <bitset>\n#include <cstddef>\n#include <optional>\n#include <variant>\n"
        "enum class HepflowSmall : std::uint8_t { one = 1, big = 200 };"
        "void hepflow_fields(const char* path) { auto m = ROOT::RNTupleModel::Create();"
        ' auto e = m->MakeField<HepflowSmall>("e"); auto b = m->MakeField<std::byte>("b");'
        ' auto a = m->MakeField<std::atomic<int>>("a"); auto bits = m->MakeField<std::bitset<3>>("bits");'
        ' auto o = m->MakeField<std::optional<float>>("o"); auto v = m->MakeField<std::variant<int, float>>("v");'
        ' auto w = ROOT::RNTupleWriter::Recreate(std::move(m), "tree", path);'
        " auto fill = [&](int i) { *e = HepflowSmall::big; *b = std::byte(250 + i); a->store(-i); *bits = i;"
        " w->Fill(); w->CommitCluster(); }; fill(0); fill(1); auto u = w->CreateModelUpdater(); u->BeginUpdate();"
        ' auto l = u->MakeField<std::array<short, 2>>("l"); auto s = u->MakeField<std::array<std::string, 2>>("s");'
        ' u->CommitUpdate(); *l = {2, -2}; *s = {"x", "yy"}; fill(2); *l = {3, -3}; fill(3); }'
    )
    ROOT.hepflow_fields(str(tmp_path / "r.root"))
    with closing(open_reader(str(tmp_path / "r.root"), formats)) as reader:
        schema = reader.schema()
        read = reader.read(list(schema.columns.values()), 1, 4)
    assert {name: (info.dtype, ak.to_list(read[name].content)) for name, info in schema.columns.items()} == {
        "tree.e": ("uint8", [200, 200, 200]),
        "tree.b": ("uint8", [251, 252, 253]),
        "tree.a": ("int32", [-1, -2, -3]),
        "tree.bits": ("bool", [[True, False, False], [False, True, False], [True, True, False]]),
        "tree.l": ("int16", [[0, 0], [2, -2], [3, -3]]),
        "tree.s": ("string", [["", ""], ["x", "yy"], ["x", "yy"]]),
    }
    assert schema.unreadable == {
        "tree.o": "type std::optional<float> cannot be read",
        "tree.v": "type std::variant<std::int32_t,float> cannot be read",
    }
