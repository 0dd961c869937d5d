"""hepflow status."""

from __future__ import annotations

import json

import pytest

from hepflow.cli.console import duration
from hepflow.execution.rundir import STATE

JOB = """
class Picky(Tool):
    def reads(self):
        return ["EventInfo.mcEventNumber"]

    def execute(self, events, result):
        if 31 in events["EventInfo"]["mcEventNumber"] and picky:
            raise ValueError("no luck")


job = Job("picky")
picky = job.option("picky", default=False, doc="fail at an event")
job += Picky("picky")
stream = NtupleStream("tree")
stream.Keep = ["TauJets.pt"]
job += stream
"""


def test_finished_failed_interrupted_and_damaged(hepflow, joboptions, xaods, tmp_path):
    path = joboptions(JOB)
    hepflow("run", path, "-i", xaods[0], "-o", "run").fine()
    out = hepflow("status", "run").fine().out
    assert "run: finished\n" in out
    assert "75 events" in out
    assert "output   tree: tree_000001.root … tree_000003.root" in out

    hepflow("run", path, "--picky", "-i", xaods[0], "-o", "bad")
    out = hepflow("status", "bad").fine().out
    assert "bad: failed\n" in out
    assert "units    1 of 3 done (33%)" in out
    assert "error    picky failed: ValueError: no luck" in out

    noted = tmp_path / "bad" / STATE / "run.json"
    told = json.loads(noted.read_text())
    noted.write_text(json.dumps({**told, "error": {"message": "interrupted"}}))
    assert "bad: interrupted\n" in hepflow("status", "bad").fine().out
    noted.write_text(json.dumps({name: value for name, value in told.items() if name not in ("error", "ended")}))
    out = hepflow("status", "bad").fine().out
    assert "bad: stopped\n" in out
    assert "its process is gone without a word" in out
    noted.write_text(json.dumps({**told, "command": ["hepflow", "run", "job.py", "-o", "bad"]}))
    assert "hepflow run job.py -o bad --resume\n" in hepflow("status", "bad").fine().out
    (tmp_path / "bad").rename(tmp_path / "moved")
    assert f"-o {tmp_path / 'moved'} --resume" in hepflow("status", "moved").fine().out
    (tmp_path / "moved").rename(tmp_path / "bad")
    noted.write_text("{")
    hepflow("status", "bad").failed("the record of this run is damaged")


def test_failures_by_cause(hepflow, joboptions, xaods, tmp_path):
    whole = xaods[1][0].path.read_bytes()
    (tmp_path / "good.root").write_bytes(whole)
    (tmp_path / "short.root").write_bytes(whole[:3000])
    hepflow("run", joboptions(JOB), "-i", "*.root", "-o", "run")
    out = hepflow("status", "run").fine().out
    assert "run: failed\n" in out
    assert "failed   1 truncated\n           short.root: this ROOT file is truncated" in out
    assert "--leave-out" in out


def test_no_run(hepflow, tmp_path):
    hepflow("status", "nothing").failed("there is no such folder")
    hepflow("status", tmp_path).failed("there is no run in this folder")


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.21, "3.2 s"), (59, "59 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"), (2e5, "2 d 7 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
