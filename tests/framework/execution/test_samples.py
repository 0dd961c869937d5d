"""Samples made on demand, with a tiny generator of a plugin of its own."""

from __future__ import annotations

import os
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

import hepflow
from hepflow import Job
from hepflow.errors import InputError, OutputError, UnitsFailedError
from hepflow.events.column import Column
from hepflow.execution import samples
from hepflow.execution.cache import cache_directory
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.planning import plan_job
from hepflow.execution.run import run
from hepflow.execution.samples import SampleRecipe
from hepflow.protocols import ColumnInfo, FileSchema
from hepflow.registry.manager import Registry
from hepflow.streams import NtupleStream

PER_FILE, TOTAL = 10, 50
INFOS = {
    "EventInfo.mcEventNumber": ColumnInfo("EventInfo.mcEventNumber", (), "uint64", 0),
    "TauJets.pt": ColumnInfo("TauJets.pt", (), "float32", 1),
}


class Dice:
    """A source without end: event k has k % 3 taus of pt k."""

    format = "dice"
    scheme = "dice"
    made: ClassVar[list[tuple[int, int]]] = []

    def __init__(self, path):
        if path != "dice:six":
            raise InputError(f"there is no {path}")
        self.path = path

    def schema(self):
        return FileSchema(
            *(self.path, "dice", "", 10**12, INFOS, (0, 10**12)), identity="dice 1", unit_entries=PER_FILE, endless=True
        )

    identity = "dice 1"

    def bookkept(self):
        return None

    def blocks(self, columns, start, stop):
        return [(start, stop)]

    def read(self, columns, start, stop):
        Dice.made.append((start, stop))
        if Dice.broken in range(start, stop):
            raise InputError("the dice are lost")
        number = np.arange(start, stop, dtype=np.uint64)
        offsets = np.concatenate([[0], np.cumsum(number % 3)]).astype(np.int64)
        found = {
            "EventInfo.mcEventNumber": Column(None, number),
            "TauJets.pt": Column(offsets, np.repeat(number, (number % 3).astype(int)).astype(np.float32)),
        }
        return {info.name: found[info.name] for info in columns}

    def close(self):
        pass

    broken = -1


JOB = """
from hepflow import Job
from hepflow.streams import MxAODStream
job = Job("Throw", default_sample="dice:six")
stream = MxAODStream("aod")
job += stream
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """A registry with a generator and a sample made of it; the cache is in ``tmp_path``."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "Throw.py").write_text(JOB)
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Dice, "made", [])
    monkeypatch.setattr(Dice, "broken", -1)
    plugin = ModuleType("dice_plugin")
    plugin.Dice = Dice
    plugin.recipe = SampleRecipe("Six", "Throw", "aod", "v1", events=TOTAL, per_file=PER_FILE, metadata={"xs": 2.5})
    plugin.hepflow_readers = hepflow.hookimpl(lambda: {"dice": "dice_plugin:Dice"})
    plugin.hepflow_samples = hepflow.hookimpl(lambda: {"Six": "dice_plugin:recipe"})
    plugin.hepflow_joboptions = hepflow.hookimpl(lambda: [tmp_path / "jobs"])
    for name in ("hepflow_readers", "hepflow_samples", "hepflow_joboptions"):
        getattr(plugin, name).__name__ = name
    monkeypatch.setitem(sys.modules, "dice_plugin", plugin)
    found = Registry()
    found._manager.register(plugin, "dice_plugin")
    return found


def go(plugins, tmp_path, *, sample="Six", inputs=(), reporter=None, **options):
    job = Job("test", default_sample=sample)
    job += NtupleStream("tree", Container="", Keep=["EventInfo.mcEventNumber", "TauJets.pt"])
    output = str(tmp_path / f"out{len(list(tmp_path.glob('out*')))}")
    return run(job, RunOptions(inputs=inputs, output=output, **options), plugins=plugins, reporter=reporter)


def numbers(result, read):
    return read(*result.outputs["tree"])["EventInfo.mcEventNumber"].tolist()


def cached(tmp_path):
    found = (tmp_path / "cache" / "samples" / "Six-v1").glob("*")
    return sorted(path.name for path in found if path.name not in ("lock", "columns.root"))


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("HEPFLOW_CACHE")
    assert cache_directory().name == "hepflow"


def test_only_what_is_needed_is_made(plugins, tmp_path, read):
    assert numbers(go(plugins, tmp_path, events=8), read) == list(range(8))
    assert cached(tmp_path) == ["Six_000001.root"]
    assert numbers(go(plugins, tmp_path, events=15, skip=8), read) == list(range(8, 23))
    assert cached(tmp_path) == ["Six_000001.root", "Six_000002.root", "Six_000003.root"]


def test_what_is_there_is_not_made_again(plugins, tmp_path, read):
    go(plugins, tmp_path, events=20)
    made = list(Dice.made)
    assert made == [(0, 10), (10, 20)]
    go(plugins, tmp_path, events=20)
    assert Dice.made == made


def test_hole_in_the_cache_is_filled(plugins, tmp_path, read):
    go(plugins, tmp_path)
    (tmp_path / "cache" / "samples" / "Six-v1" / "Six_000003.root").unlink()
    Dice.made.clear()
    assert numbers(go(plugins, tmp_path), read) == list(range(TOTAL))
    assert Dice.made == [(20, 30)]


def test_an_interrupted_sample_says_what_is_kept_in_all(plugins, tmp_path, monkeypatch, read):
    def stopped(dice, columns, start, stop):
        if start == 20:
            raise KeyboardInterrupt
        return whole(dice, columns, start, stop)

    whole, said, reporter = Dice.read, [], Reporter()
    monkeypatch.setattr(reporter, "step", said.append)
    go(plugins, tmp_path, events=5)
    monkeypatch.setattr(Dice, "read", stopped)
    with pytest.raises(KeyboardInterrupt):
        go(plugins, tmp_path, reporter=reporter)
    monkeypatch.setattr(Dice, "read", whole)
    folder = tmp_path / "cache" / "samples" / "Six-v1"
    assert (said[-1], cached(tmp_path)) == (
        f"kept: 2 of 5 files of the sample Six, in {folder}", ["Six_000001.root", "Six_000002.root"]
    )  # fmt: skip
    assert numbers(go(plugins, tmp_path), read) == list(range(TOTAL))


def test_sample_by_name_with_its_metadata(plugins, tmp_path):
    job = Job("test")
    job += NtupleStream("tree", Keep=["TauJets.pt"])
    plan = plan_job(job, RunOptions(inputs=["mine=Six"]), plugins=plugins, run=run)
    assert [plan.kinds[file.kind].sample for file in plan.files] == ["mine"] * 5
    assert plan.kinds[0].metadata == {"xs": 2.5}


def test_a_plan_counts_a_sample_that_is_not_made_yet_and_generates_nothing(plugins, tmp_path):
    def planned(made, **options):
        job = Job("test", default_sample="Six")
        job += NtupleStream("tree", Keep=["TauJets.pt"])
        plan = plan_job(job, RunOptions(**options), plugins=plugins)
        assert cached(tmp_path) == [f"Six_{number:06d}.root" for number in range(1, made + 1)]
        return plan

    plan = planned(0, events=35)
    assert plan.notes == ("4 of 4 files of the sample Six are not made yet; a run makes them first",)
    assert (plan.entries, len(plan.units), plan.flow.reads) == (35, 4, ["TauJets.pt"])
    assert [Path(file.path).name for file in plan.files] == [f"Six_{number:06d}.root" for number in range(1, 5)]
    assert planned(0).entries == TOTAL
    assert all(start == stop for start, stop in Dice.made)
    go(plugins, tmp_path, events=10)
    plan = planned(1)
    assert (plan.entries, plan.notes[0][:14]) == (TOTAL, "4 of 5 files o")
    assert len(plan.kinds) == 1  # as the file that is made, lists inside of lists too
    assert [unit.stop - unit.start for unit in plan.units] == [unit.entries for unit in planned(1).units]


def test_failure_keeps_whole_files_only(plugins, tmp_path, read):
    Dice.broken = 27
    with pytest.raises(UnitsFailedError, match=r"1 of 5 units failed: .*\n.*the dice are lost"):
        go(plugins, tmp_path)
    assert cached(tmp_path) == [f"Six_{i:06d}.root" for i in (1, 2, 4, 5)]
    Dice.broken = -1
    assert numbers(go(plugins, tmp_path), read) == list(range(TOTAL))


class Killed(BaseException):
    """The process is gone: nothing that follows is done."""


@pytest.mark.parametrize("moment", ["in the loop", "between closing and moving"])
def test_what_a_killed_run_leaves_is_kept_or_removed_by_the_next(plugins, tmp_path, read, monkeypatch, moment):
    if moment == "in the loop":
        Dice.broken = 27
    with monkeypatch.context() as kill:
        kill.setattr(samples, "_keep", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            go(plugins, tmp_path)
    assert cached(tmp_path) == [".making-1-5"]
    Dice.broken = -1
    Dice.made.clear()
    assert numbers(go(plugins, tmp_path, events=40), read) == list(range(40))  # another range than the killed run's
    assert Dice.made == ([(20, 30)] if moment == "in the loop" else [])
    assert cached(tmp_path) == [f"Six_{i:06d}.root" for i in range(1, 6)]


def test_two_runs_make_it_once(plugins, tmp_path):
    errors = []

    def one(number):
        try:
            job = Job("test", default_sample="Six")
            job += NtupleStream("tree", Keep=["TauJets.pt"])
            plan_job(job, RunOptions(events=30), plugins=plugins, run=run)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(Dice.made) == [(0, 10), (10, 20), (20, 30)]


def test_a_run_that_waits_says_for_whom(plugins, tmp_path):
    folder = tmp_path / "cache" / "samples" / "Six-v1"
    folder.mkdir(parents=True)
    waits = threading.Event()

    class Waiting(Reporter):
        """Tells that it waits."""

        def step(self, text):
            if not waits.is_set():
                self.said = text
            waits.set()

    reporter = Waiting()
    with samples._alone(plugins.load("samples", "Six"), Reporter()):
        other = threading.Thread(target=go, args=(plugins, tmp_path), kwargs={"events": 5, "reporter": reporter})
        other.start()
        assert waits.wait(10.0)
        assert cached(tmp_path) == ["maker"]
    other.join()
    assert re.fullmatch(
        rf"waiting for the sample Six, which .+ \(process {os.getpid()} on .+, since 20.+\) makes in {folder}",
        reporter.said,
    )
    assert cached(tmp_path) == ["Six_000001.root"]


def test_what_makes_the_sample_is_not_installed(plugins, tmp_path, read):
    def absent():
        raise InputError("throwing needs dice, which are not installed", hint="pip install dice")

    go(plugins, tmp_path, events=10)
    made = plugins.load("samples", "Six")
    for version, files in (("v1", 1), ("v2", 0)):
        sys.modules["dice_plugin"].recipe = replace(made, version=version, check=absent)
        if files:
            assert numbers(go(plugins, tmp_path, events=10), read) == list(range(10))  # it is there already
        with pytest.raises(InputError, match="the sample Six is not made yet: throwing needs dice") as caught:
            go(plugins, tmp_path, events=12)
    kept = tmp_path / "cache" / "samples" / "Six-v1"
    assert caught.value.hint == (f"pip install dice; or -i '{kept}/Six_*.root' reads 1 file of another version")
    assert samples.other_versions(sys.modules["dice_plugin"].recipe) == {kept: 1}


def test_reporter_hears_of_it(plugins, tmp_path):
    class Listening(Reporter):
        """Keeps what it hears."""

        heard: ClassVar[list[str]] = []

        def nested(self, text):
            self.heard.append(text)
            return self

    go(plugins, tmp_path, events=12, reporter=Listening())
    assert Listening.heard == [f"making the sample Six: 20 events, kept in {tmp_path}/cache/samples/Six-v1"]


def test_cache_that_cannot_be_written(plugins, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEPFLOW_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="cache folder for the sample Six cannot be made") as caught:
        go(plugins, tmp_path)
    assert caught.value.hint == "set HEPFLOW_CACHE"


def test_source_without_end_wants_a_number(plugins, tmp_path, read):
    with pytest.raises(InputError, match="dice:six has no end") as caught:
        go(plugins, tmp_path, inputs=["dice:six"])
    assert "-n" in caught.value.hint
    assert numbers(go(plugins, tmp_path, inputs=["dice:six"], events=15, skip=7), read) == list(range(7, 22))


def test_prefix_is_the_same(plugins, tmp_path, read):
    short = read(*go(plugins, tmp_path, events=14).outputs["tree"])
    long = read(*go(plugins, tmp_path).outputs["tree"])
    for name in short:
        assert short[name].tolist() == long[name][:14].tolist()
