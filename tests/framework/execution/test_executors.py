"""Where work units run; a process that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hepflow.errors import InputError, JobOptionsError, PropertyError, WorkerError
from hepflow.execution.executors import ProcessExecutor, make_executor
from hepflow.registry.manager import registry


class Task:
    """A function that can be sent to a process: squares, or dies the first times, or raises."""

    def __init__(self, folder=None, die_on=(), times=1, raise_on=()):
        self.folder, self.die_on, self.times, self.raise_on = folder, die_on, times, raise_on

    def __call__(self, item):
        if item in self.raise_on:
            raise InputError(f"bad {item}", where="here", hint="leave it out")
        if item in self.die_on:
            tries = Path(self.folder) / f"{item}"
            tries.open("a").write("x")
            if len(tries.read_text()) <= self.times:
                os.kill(os.getpid(), signal.SIGKILL)
        return item**2


def test_processes_give_every_result_once():
    assert sorted(ProcessExecutor(Workers=2).run(Task(), range(7))) == [(i, i**2) for i in range(7)]


def test_a_process_that_dies_once_is_tried_again(tmp_path):
    assert sorted(ProcessExecutor(Workers=2).run(Task(tmp_path, die_on=[2]), range(5))) == [(i, i**2) for i in range(5)]
    assert len((tmp_path / "2").read_text()) == 2


def test_the_one_that_kills_again_is_named_and_the_others_are_kept(tmp_path):
    found = dict(ProcessExecutor(Workers=2).run(Task(tmp_path, die_on=[1], times=99), range(4)))
    assert isinstance(found.pop(1), WorkerError)
    assert found == {0: 0, 2: 4, 3: 9}
    assert len((tmp_path / "1").read_text()) == 2


MAIN = """
import os, signal, sys, time
from pathlib import Path
from hepflow.execution.executors import ProcessExecutor

def work(item):
    if sys.argv[2:] == ["deaf"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    list(ProcessExecutor(Workers=2).run(work, range(2)))
"""


@pytest.fixture
def main(tmp_path):
    """Start a main process with two workers that are at work; return it and them."""
    script, folder = tmp_path / "main.py", tmp_path / "workers"
    script.write_text(MAIN)
    folder.mkdir()
    started = []

    def start(*arguments):
        command = [sys.executable, script, folder, *arguments]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c))
        until(lambda: len(list(folder.iterdir())) == 2)
        return started[0], [psutil.Process(int(path.name)) for path in folder.iterdir()]

    yield start
    for process in started:
        process.kill()
    for path in folder.iterdir():
        with suppress(psutil.NoSuchProcess):
            psutil.Process(int(path.name)).kill()
    for process in started:
        process.communicate()


def hear_ctrl_c():
    """Undo what a shell does that starts the tests in the background: it lets them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def alive(workers):
    return [worker for worker in workers if worker.is_running() and worker.status() != "zombie"]


def test_workers_end_where_the_main_process_was_killed(main):
    process, workers = main()
    process.kill()
    process.wait()
    until(lambda: not alive(workers))


@pytest.mark.parametrize("how", ["stopped", "deaf"])
def test_ctrl_c_ends_workers_that_do_not_end_when_they_are_asked_to(main, how):
    process, workers = main(how)
    if how == "stopped":
        workers[0].suspend()
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=300)[1]
    assert not alive(workers)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_error_of_the_task_comes_through():
    with pytest.raises(InputError, match="bad 1") as caught:
        list(ProcessExecutor().run(Task(raise_on=[1]), range(3)))
    assert (caught.value.where, caught.value.hint) == ("here", "leave it out")


# ── how executors are configured ─────────────────────────────────────────────────────────────────────────────────────


def test_the_site_file_and_set_configure_an_executor(tmp_path, monkeypatch):
    site = tmp_path / "site.yaml"
    monkeypatch.setenv("HEPFLOW_SITE", str(site))
    site.write_text("processes: {Workers: 7}\n")
    assert make_executor("processes", 2, [], registry()).Workers == 2  # -j is asked for in each run
    assert make_executor("processes", 2, ["processes.Workers=3"], registry()).Workers == 3
    with pytest.raises(PropertyError, match="ProcessExecutor has no property 'Wrkers'") as caught:
        make_executor("processes", 2, ["processes.Wrkers=3"], registry())
    assert "Workers" in caught.value.hint
    with pytest.raises(JobOptionsError, match=r"--set dask\.Workers=3: this run has the executor processes"):
        make_executor("processes", 2, ["dask.Workers=3"], registry())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("slrum: {Partition: short}", "the site file has 'slrum', which is no executor"),
        ("processes: 3", "the site file has 'processes'"),
        ("htcondor: {Flavor: longlunch}", "the site file sets htcondor.Flavor, and there is no such property"),
        ("- a", "the site file has"),
        ("a: [", "the site file cannot be read"),
        (None, "the site file cannot be read"),
    ],
)
def test_wrong_site_files(tmp_path, monkeypatch, content, message):
    monkeypatch.setenv("HEPFLOW_SITE", str(tmp_path / "site.yaml"))
    if content is not None:
        (tmp_path / "site.yaml").write_text(content)
    with pytest.raises(JobOptionsError, match=message) as caught:
        make_executor("processes", 1, [], registry())
    assert caught.value.where == str(tmp_path / "site.yaml")
