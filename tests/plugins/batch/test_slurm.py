"""The executor slurm on a real Slurm of one node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from hepflow.errors import ToolError, UnitsFailedError, WorkerError
from hepflow.execution import RunOptions, run
from hepflow.execution import plan as planning
from hepflow.plugins.batch.slurm import larger, longer
from tests.framework.execution.test_executors import hear_ctrl_c
from tests.plugins.batch.conftest import ask, jobs, node, parts, wait_for

FAST = ("slurm.Poll=0.1", "slurm.Patience=0.5", "slurm.UnitsPerJob=6")
CODE = """
import os
import time
from pathlib import Path

from hepflow import Job, Property, Tool
from hepflow.streams import NtupleStream


class Busy(Tool):
    "Counts taus; dies, waits or fails where a file says so."

    Folder = Property("", "where the file is")

    def reads(self):
        return ["TauJets.pt", "EventInfo.mcEventNumber"]

    def start(self):
        return {"taus": 0, "pt": 0.0}

    def execute(self, events, result):
        result["taus"] += len(events["TauJets"])
        result["pt"] += float(events["TauJets"].flat("pt").sum())
        todo = Path(self.Folder, "todo")
        if todo.exists() and 30 in events["EventInfo"]["mcEventNumber"]:
            what = todo.read_text()
            if what == "kill once":
                todo.unlink()
            if what.startswith("kill"):
                os.kill(os.getpid(), 9)
            if what == "fail":
                raise ValueError("no luck")
            if what == "wait":
                time.sleep(60)


job = Job("Busy")
job += Busy("busy", Folder=os.environ["BUSY"])
job += NtupleStream("tree", Keep=["TauJets.pt", "EventInfo.mcEventNumber"])
"""


@pytest.fixture
def go(slurm, xaods, tmp_path, monkeypatch):
    """Run a job of 30 work units; ``todo`` tells the tool what to do at an event."""
    from hepflow.joboptions import load_joboptions

    monkeypatch.setattr(planning, "UNIT_ENTRIES", 3)
    monkeypatch.setenv("BUSY", str(tmp_path))
    (tmp_path / "busy.py").write_text(CODE)

    def start(output, *, todo="", settings=FAST, **options):
        (tmp_path / "todo").write_text(todo) if todo else (tmp_path / "todo").unlink(missing_ok=True)
        inputs = [str(x.path) for x in xaods[1]]
        settings = settings if options.get("executor") == "slurm" else ()
        file = load_joboptions(tmp_path / "busy.py")
        return run(file, RunOptions(inputs=inputs, output=str(tmp_path / output), settings=settings, **options))

    return start


def test_the_same_as_in_this_process(go, read, assert_same):
    here, there = go("here"), go("there", executor="slurm")
    assert len(here.outputs["tree"]) >= 20
    assert there.results == here.results
    assert_same(read(*there.outputs["tree"]), read(*here.outputs["tree"]))
    assert not list(there.directory.glob(".hepflow/batch/*"))
    assert jobs() == []


def test_a_job_that_is_killed_is_submitted_again(go, caplog):
    assert go("killed", todo="kill once", executor="slurm").results == go("here").results
    assert "are submitted again" in caplog.text
    vanished = r"1 of 27 units failed: .*\n.*, entries .*: the job \d+_\d+ vanished .*as 1 before it with the same"
    with pytest.raises(UnitsFailedError, match=vanished):
        go("always", todo="kill", executor="slurm", settings=(*FAST, "slurm.Retries=1"), retries=0)
    assert go("always", executor="slurm", resume=True).kept > 0


def test_an_error_of_a_tool_comes_through(go):
    with pytest.raises(ToolError, match="busy failed: ValueError: no luck") as caught:
        go("failed", todo="fail", executor="slurm")
    assert "busy.py line" in caught.value.where
    wait_for(lambda: jobs() == [])  # the others are cancelled


def test_scancel_and_a_drained_node(go, tmp_path):
    threading.Thread(target=lambda: (wait_for(lambda: parts(tmp_path / "out")), cancel_and_drain())).start()
    assert go("out", todo="wait once", executor="slurm").results == go("here").results


def cancel_and_drain():
    ask("scontrol", "update", f"nodename={node()}", "state=drain", "reason=test")
    ask("scancel", *jobs()[:2])
    ask("scontrol", "update", f"nodename={node()}", "state=resume")


def test_ctrl_c_cancels_the_jobs(slurm, xaods, tmp_path):
    (tmp_path / "busy.py").write_text(CODE)
    (tmp_path / "todo").write_text("wait")
    inputs = [word for x in xaods[1] for word in ("-i", str(x.path))]
    sets = [word for text in FAST for word in ("--set", text)]
    words = ["run", "busy.py", *inputs, "-o", "out", "--executor", "slurm", *sets]
    command = [sys.executable, "-c", "from hepflow.cli import main; main()", *words]
    environment = {**os.environ, "BUSY": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    ) as process:
        try:
            wait_for(jobs)
            process.send_signal(signal.SIGINT)
            assert "cancelled" in process.communicate(timeout=60)[1]
            assert process.returncode == 130
        finally:
            process.kill()
    wait_for(lambda: jobs() == [])


def test_what_slurm_refuses_is_told(go, monkeypatch):
    with pytest.raises(WorkerError, match="invalid partition specified: nowhere"):
        go("refused", executor="slurm", settings=(*FAST, "slurm.Partition=nowhere"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WorkerError, match="needs the command sbatch"):
        go("without", executor="slurm")


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("30", "60"),
        ("30:30", "61"),
        ("01:00:00", "120"),
        ("1-00:30:00", "2940"),
        ("1-2", "3120"),
        ("1-2:30", "3180"),
        ("", ""),
    ],
)
def test_twice_the_time(limit, minutes):
    assert longer(limit, 2) == minutes
    assert longer(limit, 1) == limit


def test_twice_the_memory():
    assert [larger(text, 4) for text in ("2G", "1500", "")] == ["8G", "6000", ""]
