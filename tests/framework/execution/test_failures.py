"""Units that fail: what is tried again, noted, left out, put back, and when a run stops."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import h5py
import pytest

from hepflow import Folds, Property, Tool, TrainingSet
from hepflow.errors import HepflowError, InputError, JobOptionsError, OutputError, ToolError, UnitsFailedError
from hepflow.execution import failures
from hepflow.execution.failures import Policy, outcomes
from hepflow.streams import DatasetStream, MxAODStream, NtupleStream
from hepflow.variables import Variable
from tests.framework.execution.conftest import Measure


class Spoiled(Tool):
    """Does something bad at one event, as often as a file says."""

    At = Property(0, "mcEventNumber")
    Times = Property("", "file with a letter for each time that it is still bad")
    How = Property("raise", "what it does", choices=("raise", "input", "memory", "kill"))

    def reads(self):
        return ["EventInfo.mcEventNumber"]

    def execute(self, events, result):
        if self.At not in events["EventInfo"]["mcEventNumber"] or not Path(self.Times).read_text():
            return
        Path(self.Times).write_text(Path(self.Times).read_text()[1:])
        if self.How == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"raise": ValueError, "input": InputError, "memory": MemoryError}[self.How]("spoiled")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_xaod):
    """Twelve files as bytes, by name; two clusters each."""
    folder = tmp_path_factory.mktemp("whole")
    return {f"in{i:02d}.root": make_xaod(folder / "x.root", 10, first=1 + 10 * i, cluster=5).path.read_bytes()
            for i in range(12)}  # fmt: skip


@pytest.fixture
def folder(tmp_path, whole):
    """A folder with the twelve files; one is truncated, one has garbage in its middle."""
    (tmp_path / "in").mkdir()
    for name, data in whole.items():
        (tmp_path / "in" / name).write_bytes(data)
    truncated, garbage = tmp_path / "in" / "in03.root", tmp_path / "in" / "in07.root"
    truncated.write_bytes(whole["in03.root"][:-500])
    middle = len(whole["in07.root"]) // 3
    garbage.write_bytes(whole["in07.root"][:middle] + b"\xff" * 400 + whole["in07.root"][middle + 400 :])
    return tmp_path / "in"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(failures, "PAUSE", 0.001)


def things():
    folds = Folds(column="TauJets.nTracks")
    taus = TrainingSet(inputs={"TauJets": (Variable("eta"),)}, target="TauJets.pt", folds=folds)
    streams = [NtupleStream("tree", Keep=["TauJets.pt"]), MxAODStream("output", Keep=["TauJets.*"])]
    return [Measure("measure"), *streams, DatasetStream("data", TrainingSet=taus)]


def assert_same_runs(left, right, read, assert_same):
    assert left.events == right.events
    assert str(left.results) == str(right.results)
    assert left.outputs["data"][0].read_bytes() == right.outputs["data"][0].read_bytes() or left.left_out
    for name, paths in left.outputs.items():
        if name == "data":
            continue
        assert [path.name for path in paths] == [path.name for path in right.outputs[name]]
        for mine, other in zip(paths, right.outputs[name], strict=True):
            assert_same(read(mine), read(other))


@pytest.fixture
def failed(folder, go, tmp_path):
    """The run over the folder, which fails for two files."""

    def start(**options):
        with pytest.raises(UnitsFailedError) as caught:
            go(folder, *things(), output=str(tmp_path / "run"), **options)
        return caught.value

    return start


@pytest.mark.parametrize("workers", [1, 2])
def test_the_others_go_on_and_what_failed_is_told(failed, folder, tmp_path, workers):
    error = failed(workers=workers)
    assert error.message.startswith("2 of 12 units failed: 1 truncated, 1 ")
    assert f"truncated: {folder / 'in03.root'}: this ROOT file is truncated" in error.message
    assert f"{folder / 'in07.root'}, entries 0–10: " in error.message
    assert "--resume" in error.hint
    assert "--leave-out" in error.hint
    first, second = json.loads((tmp_path / "run" / "failures.json").read_text())
    assert (first["file"], first["entries"], first["cause"]) == (str(folder / "in03.root"), None, "truncated")
    assert (second["file"], second["entries"], second["tries"]) == (str(folder / "in07.root"), [0, 10], 3)
    assert not list((tmp_path / "run").glob("*.root"))  # nothing half: no stream was closed, nothing finalized
    assert not (tmp_path / "run" / "provenance.json").exists()


def test_leaving_out_gives_what_the_others_alone_give(failed, folder, go, tmp_path, read, assert_same):
    failed()
    left = go(folder, *things(), output=str(tmp_path / "run"), resume=True, leave_out=True)
    assert left.kept == 10
    assert [failure.start for failure in left.left_out] == [None, 0]
    good = [path for path in sorted(folder.iterdir()) if path.name not in ("in03.root", "in07.root")]
    assert_same_runs(left, go(good, *things(), output=str(tmp_path / "good")), read, assert_same)
    assert len(json.loads((left.directory / "provenance.json").read_text())["left_out"]) == 2


@pytest.mark.parametrize(("workers", "before"), [(2, "failed"), (1, "left out")])
def test_files_that_are_put_back_are_as_if_nothing_had_been(
    failed, folder, whole, go, tmp_path, read, assert_same, workers, before
):
    failed(workers=workers)
    if before == "left out":
        go(folder, *things(), output=str(tmp_path / "run"), resume=True, leave_out=True)
    for name in ("in03.root", "in07.root"):
        (folder / name).write_bytes(whole[name])
    again = go(folder, *things(), output=str(tmp_path / "run"), workers=workers, resume=True)
    assert_same_runs(again, go(folder, *things(), output=str(tmp_path / "good")), read, assert_same)
    assert not (again.directory / "failures.json").exists()
    assert json.loads((again.directory / "provenance.json").read_text())["left_out"] == []
    assert again.kept == 10


def test_trying_again_what_was_left_out_leaves_the_outputs(failed, folder, go, tmp_path):
    failed()
    left = go(folder, *things(), output=str(tmp_path / "run"), resume=True, leave_out=True)
    stamps = [path.stat().st_mtime_ns for paths in left.outputs.values() for path in paths]
    failed(resume=True)
    again = go(folder, *things(), output=str(tmp_path / "run"), resume=True, leave_out=True)
    assert [path.stat().st_mtime_ns for paths in again.outputs.values() for path in paths] == stamps


def test_other_inputs_than_those_that_failed_must_be_the_same(failed, folder, whole, go, tmp_path):
    failed()
    os.utime(folder / "in05.root", (1, 1))
    with pytest.raises(OutputError, match=r"this has changed:\n  inputs.*in05\.root"):
        go(folder, *things(), output=str(tmp_path / "run"), resume=True)


def test_outputs_say_what_they_lack(failed, folder, go, tmp_path):
    from hepflow.io.opening import open_root
    from hepflow.io.root import read_metadata

    failed()
    stream = NtupleStream("tree", Keep=["TauJets.pt"], Merge=True)
    with pytest.raises(OutputError, match="cannot be resumed"):
        go(folder, Measure("measure"), stream, output=str(tmp_path / "run"), resume=True, leave_out=True)
    left = go(folder, *things(), output=str(tmp_path / "run"), resume=True, leave_out=True)
    with h5py.File(left.outputs["data"].pop()) as file:
        assert len(json.loads(file.attrs["hepflow"])["left_out"]) == 2
    for path in (path for paths in left.outputs.values() for path in paths):
        told = read_metadata(open_root(str(path)), str(path))["left_out"]
        assert [(Path(one["file"]).name, one["entries"]) for one in told] == [
            ("in03.root", None),
            ("in07.root", [0, 10]),
        ]
    over = go(left.directory / "tree_000001.root", NtupleStream("over", Keep=["TauJets.*"]), Measure("measure"))
    path = str(over.outputs["over"][0])  # who reads them is told, too
    assert read_metadata(open_root(path), path)["left_out"] == told
    assert json.loads((over.directory / "provenance.json").read_text())["left_out"] == told


@pytest.mark.parametrize(("how", "workers"), [("memory", 1), ("kill", 2), ("input", 2)])
def test_what_passes_is_tried_again(xaods, go, tmp_path, how, workers):
    files = [x.path for x in xaods[1]]
    times = tmp_path / "times"
    times.write_text("xx")
    spoiled = Spoiled("spoiled", At=40, How=how, Times=str(times))
    assert go(files, spoiled, Measure("measure"), workers=workers).events == 75
    assert times.read_text() == ""
    times.write_text("x" * 99)
    with pytest.raises(UnitsFailedError, match="1 of 3 units failed: 1 "):
        go(files, spoiled.copy(), workers=workers, retries=1)
    assert len(times.read_text()) == (97 if how != "kill" else 95)  # one that kills is tried alone, too, each time


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_tool_stops_the_run_or_is_noted(xaods, go, tmp_path, workers):
    files = [x.path for x in xaods[1]]
    (tmp_path / "times").write_text("x" * 99)
    tools = [Spoiled("spoiled", At=40, Times=str(tmp_path / "times")), Measure("measure")]
    with pytest.raises(ToolError, match="spoiled failed: ValueError: spoiled"):
        go(files, *tools, workers=workers)
    out = str(tmp_path / "run")
    with pytest.raises(UnitsFailedError, match=r"1 of 3 units failed: 1 error of a tool\n.*part1.root, entries 0–25: "):
        go(files, *tools, workers=workers, keep_going=True, output=out)
    assert len((tmp_path / "times").read_text()) == 97  # it is not tried again
    left = go(files, *tools, workers=workers, keep_going=True, output=out, resume=True, leave_out=True)
    assert left.events == 50


def test_only_a_run_that_failed_is_accepted(xaod, go):
    with pytest.raises(JobOptionsError, match="--leave-out"):
        go(xaod, Measure("measure"), leave_out=True)


def test_the_only_unit_fails_with_its_own_error(xaod, go, tmp_path):
    (tmp_path / "times").write_text("x" * 99)
    with pytest.raises(InputError, match=r"^spoiled\n"):
        go(xaod, Spoiled("spoiled", At=1, How="input", Times=str(tmp_path / "times")))


def failing(bad, rounds):
    """Return what runs numbers: those of ``bad`` fail as often as they say; each round is noted."""

    def run(items):
        rounds.append(list(items))
        for position, item in enumerate(items):
            bad[item] = bad.get(item, 0) - 1
            yield position, InputError("bad") if bad[item] >= 0 else item

    return run


def test_too_many_failures_stop():
    policy = Policy()
    assert [policy.too_many(*case) for case in ((20, 20), (21, 21), (21, 209), (21, 210))] == [False, True, True, False]
    assert [Policy(most=2).too_many(*case) for case in ((2, 2), (3, 1000))] == [False, True]
    rounds = []
    with pytest.raises(UnitsFailedError, match="too many"):
        list(outcomes(range(1000), failing(dict.fromkeys(range(50, 1000), 99), rounds), policy))
    assert [one[0] for one in rounds] == [0, 50, 50]  # these are tried again first, in case it passes
    rounds = []
    found = dict(outcomes(range(1000), failing(dict.fromkeys(range(50, 75), 1), rounds), policy))
    assert found == {i: i for i in range(1000)}
    assert [len(one) for one in rounds] == [1000, 950, 4]


def test_an_error_that_ends_the_run_ends_it():
    def run(items):
        yield 0, OutputError("full")

    with pytest.raises(OutputError):
        list(outcomes([1, 2], run, Policy(keep_going=True)))
    assert not Policy().again(HepflowError("x"), 1)
