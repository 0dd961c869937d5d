"""hepflow inspect."""

from __future__ import annotations


def rows(out):
    return {line.split()[0]: line.split() for line in out.splitlines() if line.split()}


def test_xaod(hepflow, xaod):
    out = hepflow("inspect", xaod.path).fine().out
    assert "xaod-rntuple, EventData: 60 entries" in out
    found = rows(out)
    assert found["TauJets"][1:3] == ["14", "columns"]
    assert found["tauTrackLinks"][1:4] == ["list", "of", "link"]
    assert found["mcEventNumber"][1:4] == ["uint64", "an", "entry"]


def test_summary_counts_and_ranges(hepflow, xaod):
    line = rows(hepflow("inspect", xaod.path, "--summary").fine().out)["nVtxPU"]
    values = [tau["nVtxPU"] for tau in xaod.taus()]
    assert line[-4:] == [str(len(values)), f"{min(values):.6g}", "…", f"{max(values):.6g}"]


def test_ttree(hepflow, xaod_ttree):
    assert "xaod-ttree, CollectionTree: 60 entries" in hepflow("inspect", xaod_ttree.path, "--summary").fine().out


def test_real_file(hepflow, physlite):
    out = hepflow("inspect", physlite("PHYSLITE_example.root")).fine().out
    assert "CollectionTree: 100 entries" in out
    assert "2 branches cannot be read" in out
    assert "EventInfo.hardScatterVertexLink" in out


def test_what_is_no_file(hepflow, tmp_path):
    hepflow("inspect", "nothing.root").failed("does not exist", "nothing.root")
    (tmp_path / "text.root").write_text("just text")
    hepflow("inspect", "text.root").failed("not a ROOT file", "text.root")
