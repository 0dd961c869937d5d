"""Looking into files for the plan: the cache, workers, what fails."""

from __future__ import annotations

import os
import shutil

import pytest

from hepflow import Job
from hepflow.errors import InputError, UnitsFailedError
from hepflow.execution import failures
from hepflow.execution import survey as surveys
from hepflow.execution.cache import cache_directory
from hepflow.execution.executors import ProcessExecutor
from hepflow.execution.inputs import InputFile, formats
from hepflow.execution.plan import make_plan
from hepflow.registry.manager import registry
from tests.framework.execution.conftest import Declares, Measure


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(failures, "PAUSE", 0.001)


def plan_of(files, tool=None, **options):
    job = Job("test")
    job += tool or Declares("a", R=["TauJets.pt"])
    job.freeze()
    files = [file if isinstance(file, InputFile) else InputFile(str(file), "s") for file in files]
    return make_plan(job, files, formats(registry()), **options)


@pytest.fixture
def files(xaods, tmp_path):
    """Three files in a folder."""
    return [shutil.copy2(x.path, tmp_path / x.path.name) for x in xaods[1]]


def shards():
    return [*(cache_directory() / "files").glob("*/*.lines")]


def test_a_second_plan_looks_into_no_file_whatever_is_read(files):
    first = plan_of(files)
    assert (first.looked, len(first.kinds), len(first.units)) == (3, 1, 3)
    again = plan_of(files)
    assert again.looked == 0
    assert (again.units, again.kinds, again.columns) == (first.units, first.kinds, first.columns)
    assert plan_of(files, Declares("a", R=["TauJets.eta", "TauTracks.pt"])).looked == 0


def test_what_changed_is_looked_into_again(files, make_xaod):
    plan_of(files)
    os.utime(files[0], (1, 1))
    assert plan_of(files).looked == 1
    make_xaod(files[1], 7)
    plan = plan_of(files)
    assert (plan.looked, plan.files[1].entries) == (1, 7)
    assert plan_of(files).looked == 0


@pytest.mark.parametrize("where", ["line", "half a line", "schema", "gone", "no folder"])
def test_a_damaged_cache_costs_a_look_and_nothing_else(files, tmp_path, where):
    first = plan_of(files)
    (shard,) = shards()
    schema = next(shard.parent.glob("*.json"))
    if where == "line":
        shard.write_bytes(shard.read_bytes().replace(b'", 30, ', b'", 31, '))  # the entries of the first file
    elif where == "half a line":
        shard.write_bytes(shard.read_bytes()[:-30])
    elif where == "schema":
        schema.write_bytes(schema.read_bytes().replace(b"TauJets", b"TauJits"))
    elif where == "gone":
        shutil.rmtree(shard.parent)
    else:
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").write_text("a file")
    again = plan_of(files)
    assert again.units == first.units
    assert again.looked == (1 if "line" in where else 3)
    assert plan_of(files).looked == (3 if where == "no folder" else 0)


def test_another_file_with_the_same_size_and_time_is_looked_into_again(files, make_xaod):
    other = make_xaod(files[0].with_name("other.root"), 29)
    size = max(files[0].stat().st_size, other.path.stat().st_size)
    for path in (files[0], other.path):  # bytes behind the end of a ROOT file count for nothing
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, (1, 1))
    assert plan_of(files[:1]).entries == 30
    shutil.copy2(other.path, files[0])
    assert plan_of(files[:1]).entries == 29


def test_workers_look_where_there_is_much(files, monkeypatch):
    monkeypatch.setattr(surveys, "ALONE", 0.0)
    told = []
    plan = plan_of(files, executor=ProcessExecutor("p", Workers=2), tell=lambda *one: told.append(one))
    assert (plan.looked, told) == (3, [(1, 3), (2, 3), (3, 3)])
    assert [unit.stop for unit in plan.units] == [30, 25, 20]


def test_only_as_many_files_as_are_needed(files):
    assert plan_of(files, events=31).looked == 3  # 1, then 2
    shutil.rmtree(cache_directory())
    assert plan_of(files, events=30).looked == 1
    files[2].write_bytes(b"")
    assert plan_of(files, events=31).entries == 31  # the broken file is not needed
    with pytest.raises(InputError, match="empty"):
        plan_of(files, events=56)


def test_replicas_are_read_where_the_file_cannot_be(files, tmp_path, go):
    (tmp_path / "list.txt").write_text("lost.root part0.root  # moved\npart1.root\nlost2.root lost3.root\npart2.root\n")
    listed = [InputFile(str(tmp_path / "lost.root"), "s", replicas=(str(files[0]),)), InputFile(str(files[1]), "s")]
    plan = plan_of(listed)
    assert [(file.entries, file.mtime > 0) for file in plan.files] == [(30, False), (25, True)]
    with pytest.raises(UnitsFailedError, match=r"1 of 4 units failed: 1 cannot be read\n.*lost2\.root"):
        go(f"@{tmp_path}/list.txt", Measure("m"), output=str(tmp_path / "run"))
    left = go(f"@{tmp_path}/list.txt", Measure("m"), output=str(tmp_path / "run"), resume=True, leave_out=True)
    assert (left.events, left.kept) == (75, 3)
    assert left.left_out[0].error.where.endswith("list.txt, line 3")


def test_too_many_files_that_fail_stop_the_plan(files, tmp_path):
    lost = [tmp_path / f"{number}.root" for number in range(30)]
    with pytest.raises(
        UnitsFailedError, match=r"21 of 24 units failed: 21 cannot be read\n.*\n.*\nnothing was run: too many"
    ):
        plan_of([*files, *lost])
