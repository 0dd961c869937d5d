"""The plan: files, work units, what differs between files."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepflow import Folds, Job, Tool, TrainingSet
from hepflow.errors import ColumnError, DamagedError, InputError
from hepflow.execution import plan as planning
from hepflow.execution.inputs import InputFile, formats
from hepflow.execution.plan import make_plan
from hepflow.io import blocks
from hepflow.io.blocks import cut_range
from hepflow.io.opening import open_reader
from hepflow.registry.manager import registry
from hepflow.streams import DatasetStream, MxAODStream
from hepflow.variables import Variable
from tests.framework.execution.conftest import Declares


def plan_of(paths, *things, searched=False, **options):
    job = Job("test")
    for thing in things or [Declares("a", R=["TauJets.pt"])]:
        job += thing
    job.freeze()
    files = [InputFile(str(path), "sample", searched) for path in paths]
    return make_plan(job, files, formats(registry()), **options)


def ranges(plan):
    return [(plan.files.index(unit.file), unit.start, unit.stop) for unit in plan.units]


def test_one_unit_a_small_file(xaods):
    plan = plan_of([x.path for x in xaods[1]])
    assert ranges(plan) == [(0, 0, 30), (1, 0, 25), (2, 0, 20)]
    assert [unit.number for unit in plan.units] == [1, 2, 3]
    assert plan.entries == 75
    assert set(plan.kinds[0].columns) == {"TauJets.pt"}


@pytest.mark.parametrize(
    ("skip", "events", "expected"),
    [
        (0, 10, [(0, 0, 10)]),
        (0, 40, [(0, 0, 30), (1, 0, 10)]),
        (30, None, [(0, 0, 25), (1, 0, 20)]),
        (29, 3, [(0, 29, 30), (1, 0, 2)]),
        (70, 100, [(0, 15, 20)]),
        (0, 1000, [(0, 0, 30), (1, 0, 25), (2, 0, 20)]),
    ],
)
def test_events_and_skip_count_over_all_files(xaods, skip, events, expected):
    plan = plan_of([x.path for x in xaods[1]], skip=skip, events=events)
    assert ranges(plan) == expected
    assert len(plan.files) == len({file for file, _, _ in expected})  # files without events are not part of the plan


def test_units_end_on_clusters(make_xaod, tmp_path, monkeypatch):
    file = make_xaod(tmp_path / "a.root", 70, cluster=10)
    monkeypatch.setattr(planning, "UNIT_ENTRIES", 30)
    assert ranges(plan_of([file.path])) == [(0, 0, 30), (0, 30, 60), (0, 60, 70)]


def test_blocks_end_on_clusters(make_xaod, tmp_path, monkeypatch):
    file = make_xaod(tmp_path / "a.root", 70, cluster=10)
    reader = open_reader(str(file.path), formats(registry()))
    pt = [reader.schema().columns["TauJets.pt"]]
    assert reader.blocks(pt, 0, 30) == [(0, 30)]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)  # no cluster is read twice for that
    assert reader.blocks(pt, 5, 30) == [(5, 10), (10, 20), (20, 30)]
    with monkeypatch.context() as small:
        small.setattr(blocks, "LARGEST_BLOCK_BYTES", 1)
        assert reader.blocks(pt, 0, 30) == [(i, i + 1) for i in range(30)]
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 15 * 5 * 4)  # pt of 15 events, at a few bytes each
    edges = {edge for block in reader.blocks(pt, 0, 70) for edge in block}
    assert edges == {0, 10, 20, 30, 40, 50, 60, 70}
    reader.close()


def test_baskets_of_a_ttree(make_xaod, tmp_path, monkeypatch):
    file = make_xaod(tmp_path / "t.root", 50, kind="TTree", cluster=20)
    monkeypatch.setattr(planning, "UNIT_ENTRIES", 25)
    assert ranges(plan_of([file.path])) == [(0, 0, 20), (0, 20, 40), (0, 40, 50)]


def test_cuts_depend_on_the_file_alone(make_xaod, tmp_path, monkeypatch):
    file = make_xaod(tmp_path / "a.root", 70, cluster=10)
    monkeypatch.setattr(planning, "UNIT_ENTRIES", 20)
    whole = ranges(plan_of([file.path]))
    assert ranges(plan_of([file.path], events=45)) == [*whole[:2], (0, 40, 45)]
    assert ranges(plan_of([file.path], skip=25)) == [(0, 25, 40), *whole[2:]]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 60), st.integers(0, 200), st.integers(0, 200)
)
def test_intervals_cover_the_range_once(lengths, limit, first, length):
    marks = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    first, last = min(first, marks[-1]), min(first + length, marks[-1])
    found = list(cut_range(marks, limit, first, last)) if first < last else []
    assert all(stop - start <= limit for start, stop in found)
    assert all(a[1] == b[0] for a, b in pairwise(found))
    if first < last:
        assert found[0][0] <= first < found[0][1]
        assert found[-1][0] < last <= found[-1][1]


def test_a_source_of_billions_is_cut_at_once():
    assert list(cut_range([0, 10**12], 500, 10**11, 10**11 + 700)) == [
        (10**11, 10**11 + 500),
        (10**11 + 500, 10**11 + 1000),
    ]


def test_foreign_files_of_a_folder_are_skipped_with_reasons(make_xaod, tmp_path):
    import uproot

    good = make_xaod(tmp_path / "good.root", 10)
    other = make_xaod(tmp_path / "other.root", 10, drop=["TauJets"])
    (tmp_path / "text.root.log").write_text("hello, this is text")
    with uproot.recreate(tmp_path / "hist.root") as file:
        file["note"] = "no tree"
    names = ("good.root", "other.root", "text.root.log", "hist.root")
    tool = Declares("a", R=["TauJets.pt", "EventInfo.mcEventNumber"], W=["TauJets.x"])
    plan = plan_of([tmp_path / name for name in names], tool, searched=True)
    assert [file.path for file in plan.files] == [str(good.path)]
    assert plan.skipped[str(other.path)] == "holds no TauJets"
    assert "not a ROOT file" in plan.skipped[str(tmp_path / "text.root.log")]
    assert "no tree" in plan.skipped[str(tmp_path / "hist.root")]


@pytest.mark.parametrize("how", ["truncated", "checksum|cannot be (opened|understood)", "empty", "not a ROOT file"])
def test_damaged_file_of_a_folder_is_no_skipped_one(make_xaod, tmp_path, how):
    good = make_xaod(tmp_path / "good.root", 10)
    data = good.path.read_bytes()
    contents = {"truncated": data[:-500], "empty": b"", "not a ROOT file": b"<html>please log in</html>"}
    (tmp_path / "bad.root").write_bytes(contents.get(how, data[:-3000] + bytes(3000)))
    plan = plan_of([good.path, tmp_path / "bad.root"], searched=True)
    assert [(failure.file, plan.skipped) for failure in plan.failed] == [(str(tmp_path / "bad.root"), {})]
    assert re.search(how, plan.failed[0].error.message)
    with pytest.raises(DamagedError, match=how):  # how many events it has decides which others are read
        plan_of([tmp_path / "bad.root", good.path], searched=True, events=15)
    with pytest.raises(DamagedError, match=how):  # there is no other
        plan_of([tmp_path / "bad.root"], searched=True)


def test_folder_called_truncated_is_no_reason(make_xaod, tmp_path):
    (tmp_path / "truncated").mkdir()
    good = make_xaod(tmp_path / "good.root", 10)
    (tmp_path / "truncated" / "text.root").write_text("text")
    assert plan_of([good.path, tmp_path / "truncated" / "text.root"], searched=True).entries == 10


def test_nothing_in_a_folder_fits(make_xaod, tmp_path):
    other = make_xaod(tmp_path / "other.root", 10, drop=["TauJets"])
    with pytest.raises(InputError, match="no input file holds what the job reads") as caught:
        plan_of([other.path], searched=True)
    assert "holds no TauJets" in caught.value.where
    assert caught.value.hint == "the job reads TauJets"


def test_named_file_without_the_container_is_an_error(make_xaod, tmp_path):
    other = make_xaod(tmp_path / "other.root", 10, drop=["TauJets"])
    with pytest.raises(ColumnError, match="no container 'TauJets'") as caught:
        plan_of([other.path])
    assert str(other.path) in caught.value.where


def test_zero_events(make_xaod, tmp_path, xaod):
    empty = make_xaod(tmp_path / "zero.root", 10)
    with pytest.raises(InputError, match="no events to read") as caught:
        plan_of([empty.path], events=0)
    assert caught.value.hint == "-n 0 reads nothing"
    with pytest.raises(InputError, match="no events to read") as caught:
        plan_of([empty.path], skip=10)
    assert caught.value.hint == "--skip goes beyond the 10 entries"


def test_optional_column_that_some_files_lack_is_noted(make_xaod, tmp_path):
    a, b = make_xaod(tmp_path / "a.root", 10), make_xaod(tmp_path / "b.root", 10, drop=["TauJets.charge"])
    plan = plan_of([a.path, b.path], Declares("a", R=["TauJets.pt", "TauJets.charge?"]))
    (note,) = plan.notes
    assert note == f"TauJets.charge is missing in 1 of 2 files: {b.path}; it reads as missing there"
    assert "TauJets.charge" not in plan.kinds[1].columns


def test_needed_column_that_some_files_lack(make_xaod, tmp_path):
    a, b, c = (make_xaod(tmp_path / f"{n}.root", 10, drop=["TauJets.charge"] if n == "b" else []) for n in "abc")
    three = [a.path, b.path, c.path]
    plan = plan_of(three, Declares("a", R=["TauJets.charge"]))
    (failed,) = plan.failed
    assert (failed.file, failed.error.message) == (str(b.path), "TauJets.charge is not there")
    assert [file.path for file in plan.files] == [str(a.path), str(c.path)]
    with pytest.raises(ColumnError, match=r"missing in 1 of 3 files: .*b\.root") as caught:
        plan_of(three, Declares("a", R=["TauJets.charge"]), skip=1)
    assert caught.value.hint == "leave these files out"
    with pytest.raises(ColumnError, match="missing in 1 of 2 files"):  # which one is wrong?
        plan_of([a.path, b.path], Declares("a", R=["TauJets.charge"]))
    drop = "(Drop = 'TauJets.charge')"
    hint = plan_of(three, MxAODStream("out")).failed[0].error.hint
    assert hint == f"leave these files out, or take it out of what out writes {drop}"
    declared = {"inputs": {"TauJets": (Variable("pt"),)}, "target": "TauJets.nTracks", "spectators": "TauJets.charge"}
    folds = Folds(column="EventInfo.mcEventNumber")
    data = DatasetStream("data", TrainingSet=TrainingSet(**declared, folds=folds))
    hint = plan_of(three, data).failed[0].error.hint
    assert hint == "leave these files out, or take it out of what data writes"


def test_other_spelling_is_noted(make_xaod, tmp_path):
    a = make_xaod(tmp_path / "a.root", 10)
    b = make_xaod(tmp_path / "b.root", 10, spell="Analysis{}AuxDyn")
    (note,) = plan_of([a.path, b.path]).notes
    assert note.startswith("TauJets.pt is spelled TauJetsAuxDyn:pt in ")
    assert str(b.path) in note


def test_ntuple_and_xaod_in_one_job(make_xaod, tmp_path, go):
    from hepflow.streams import NtupleStream

    a = make_xaod(tmp_path / "a.root", 10)
    ntuple = go(a.path, NtupleStream("tree", Keep=["TauJets.pt"])).outputs["tree"]
    with pytest.raises(ColumnError, match=r"one structure in .*another in"):
        plan_of([a.path, *ntuple])


def test_unreadable_column_is_named_with_its_reason(physlite):
    path = physlite("PHYSLITE_example.root")
    with pytest.raises(ColumnError) as caught:
        plan_of([path], Declares("a", R=["EventInfo.hardScatterVertexLink"]))
    assert "cannot be read" in caught.value.hint


def test_job_without_loop_has_no_units():
    class Finalizes(Tool):
        """Only finalizes."""

        def finalize(self, total, context):
            return 1

    assert plan_of([], Finalizes("f")).units == ()


def test_more_files_than_may_be_open(xaod, tmp_path):
    import resource

    paths = [shutil.copy(xaod.path, tmp_path / f"{i}.root") for i in range(60)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir())  # of what this process has open already
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, before[1]))
    try:
        assert len(plan_of(paths).files) == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
