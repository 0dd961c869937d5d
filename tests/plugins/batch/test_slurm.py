"""The executor slurm on a real Slurm of one node."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from hepflow.errors import OutputError, ToolError, UnitsFailedError, WorkerError
from hepflow.execution import RunOptions, run
from hepflow.execution import plan as planning
from hepflow.executor import Detached
from hepflow.plugins.batch.slurm import SlurmExecutor, larger, longer
from tests.framework.execution.test_executors import hear_ctrl_c
from tests.plugins.batch.conftest import ask, jobs, node, parts, wait_for

FAST = ("slurm.Poll=0.1", "slurm.Patience=0.5", "slurm.UnitsPerJob=8")
CODE = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hepflow import Job, Property, Tool
from hepflow.streams import NtupleStream


@dataclass
class Counts:
    "What only the key of the run makes readable."

    taus: int = 0
    pt: float = 0.0


class Busy(Tool):
    "Counts taus; dies, waits or fails where a file says so."

    Folder = Property("", "where the file is")

    def reads(self):
        return ["TauJets.pt", "EventInfo.mcEventNumber"]

    def start(self):
        return Counts()

    def execute(self, events, result):
        result.taus += len(events["TauJets"])
        result.pt += float(events["TauJets"].flat("pt").sum())
        todo = Path(self.Folder, "todo")
        if todo.exists() and 30 in events["EventInfo"]["mcEventNumber"]:
            what = todo.read_text()
            if what == "kill":
                os.kill(os.getpid(), 9)
            if what == "fail":
                raise ValueError("no luck")
            while what == "wait" and todo.exists():
                time.sleep(0.1)


    def finalize(self, total, context):
        return total.taus, total.pt


job = Job("Busy")
job += Busy("busy", Folder=os.environ["BUSY"])
job += NtupleStream("tree", Keep=["TauJets.pt", "EventInfo.mcEventNumber"])
"""


@pytest.fixture
def go(slurm, xaods, tmp_path, monkeypatch):
    """Run a job of 30 work units; ``todo`` tells the tool what to do at an event."""
    from hepflow.joboptions import load_joboptions

    monkeypatch.setattr(planning, "UNIT_ENTRIES", 2)
    monkeypatch.setenv("BUSY", str(tmp_path))
    (tmp_path / "busy.py").write_text(CODE)

    def start(output, *, todo="", settings=FAST, **options):
        (tmp_path / "todo").write_text(todo) if todo else (tmp_path / "todo").unlink(missing_ok=True)
        inputs = [str(x.path) for x in xaods[1]]
        settings = settings if options.get("executor") == "slurm" else ()
        file = load_joboptions(tmp_path / "busy.py")
        return run(file, RunOptions(inputs=inputs, output=str(tmp_path / output), settings=settings, **options))

    return start


@pytest.fixture
def here(go):
    return go("here")


def test_the_same_as_in_this_process(go, here, read, assert_same):
    elsewhere = "slurm.Prologue=export XDG_DATA_HOME=/nowhere"  # the key comes by the environment
    there = go("there", executor="slurm", settings=(*FAST, "slurm.JobTime=0.01", elsewhere))
    assert len(here.outputs["tree"]) >= 20
    assert there.results == here.results
    assert_same(read(*there.outputs["tree"]), read(*here.outputs["tree"]))
    assert not list(there.directory.glob(".hepflow/batch/*"))
    assert not list(there.directory.glob(".hepflow/ledger/units-*"))
    wait_for(lambda: jobs() == [])


def test_a_job_that_is_killed_is_submitted_again(go, here, caplog):
    vanished = r"1 of 38 units failed: .*\n.*, entries .*: the job \d+_\d+ vanished .*as 1 before it with the same"
    with pytest.raises(UnitsFailedError, match=vanished):
        go("always", todo="kill", executor="slurm", settings=(*FAST, "slurm.Retries=1"), retries=0)
    assert "are submitted again" in caplog.text
    assert list(here.directory.parent.glob("always/.hepflow/batch/*/logs/*.log"))  # what the message names
    resumed = go("always", executor="slurm", resume=True)
    assert resumed.kept > 0
    assert resumed.results == here.results


def test_an_error_of_a_tool_comes_through(go):
    with pytest.raises(ToolError, match="busy failed: ValueError: no luck") as caught:
        go("failed", todo="fail", executor="slurm")
    assert "busy.py line" in caught.value.where
    wait_for(lambda: jobs() == [])  # the others are cancelled


def test_detach_scancel_a_drained_node_status_and_resume(go, here, hepflow, tmp_path, read, assert_same):
    with pytest.raises(Detached, match="left to 5 jobs of slurm: 38 work units"):
        go("out", todo="wait", executor="slurm", detach=True)
    out = hepflow("status", "out").fine().out
    assert "out: detached" in out
    assert re.search(r"jobs     (\d running, )?\d waiting\n", out)
    with pytest.raises(OutputError, match="this run has jobs of slurm, and is to go on with processes"):
        go("out", resume=True)
    with pytest.raises(OutputError, match="jobs work for the run that --force would replace"):
        go("out", force=True)
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(OutputError, match=r"was moved while its jobs work: they look for it in .*out"):
        go("moved", executor="slurm", resume=True)
    assert "moved    the jobs look for this folder in" in hepflow("status", "moved").fine().out
    (tmp_path / "moved").rename(tmp_path / "out")
    wait_for(lambda: parts(tmp_path / "out"))
    ask("scontrol", "update", f"nodename={node()}", "state=drain", "reason=test")
    ask("scancel", *jobs()[:2])
    ask("scontrol", "update", f"nodename={node()}", "state=resume")
    resumed = go("out", executor="slurm", resume=True)
    assert resumed.results == here.results
    assert_same(read(*resumed.outputs["tree"]), read(*here.outputs["tree"]))
    assert not list(resumed.directory.glob(".hepflow/batch/*"))
    assert "out: finished" in hepflow("status", "out").fine().out


def test_ctrl_c_leaves_the_jobs_or_cancels_them(slurm, xaods, tmp_path):
    (tmp_path / "busy.py").write_text(CODE)
    (tmp_path / "todo").write_text("wait")
    inputs = [word for x in xaods[1] for word in ("-i", str(x.path))]
    sets = [word for text in FAST for word in ("--set", text)]
    words = ["run", "busy.py", *inputs, "-o", "out", "--executor", "slurm", *sets]
    command = [sys.executable, "-c", "from hepflow.cli import main; main()", *words]
    wait_for(lambda: jobs() == [])  # those of other tests are ending
    options = {"cwd": tmp_path, "env": {**os.environ, "BUSY": str(tmp_path)}, "preexec_fn": hear_ctrl_c, "text": True}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options) as process:
        wait_for(jobs)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[0]
        assert process.returncode == 130
    assert f"may go on; this ends them: scancel {jobs()[0].partition('_')[0]}" in told
    terminal, end = pty.openpty()
    with subprocess.Popen([*command, "--resume"], stdin=end, stderr=end, stdout=subprocess.PIPE, **options) as process:
        assert "output   out" in "".join(iter(process.stdout.readline, "output   out\n")) + "output   out"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        os.write(terminal, b"y\n")
        process.communicate(timeout=60)
    wait_for(lambda: jobs() == [])


def test_what_would_be_submitted(tmp_path):
    made = SlurmExecutor("slurm", UnitsPerJob=8, Partition="long", Time="01:00:00")
    told, script = made.sketch(range(30), tmp_path / "out")
    assert told == "4 jobs of slurm, 8 work units each"
    assert "#SBATCH --array=0-3" in script
    assert "#SBATCH --partition=long" in script
    assert "#SBATCH --time=01:00:00" in script
    assert f"work {tmp_path / 'out'} --into ID" in script
    assert not (tmp_path / "out").exists()


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
