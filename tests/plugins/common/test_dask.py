"""Work units on Dask: the same results, an error, a process that dies, a cluster that outlives a run."""

from __future__ import annotations

import sys

import pytest

from hepflow.errors import PluginError, ToolError, UnitsFailedError, WorkerError
from hepflow.execution import RunOptions, run
from hepflow.joboptions import load_joboptions

NOISE = """
class Noise(Tool):
    def reads(self):
        return ["TauJets.pt", "EventInfo.eventNumber"]

    def writes(self):
        return ["TauJets.noise"]

    def start(self):
        return {"n": 0, "sum": 0.0}

    def execute(self, events, result):
        taus = events["TauJets"]
        taus["noise"] = events.random(self).normal(taus.counts)
        result["n"] += len(taus)
        result["sum"] += float(taus.flat("noise").sum())
        @HOOK

job = Job("Noise", seed=@SEED)
job += Noise("noise")
job += NtupleStream("tree", Keep=["TauJets.pt", "TauJets.noise"])
"""


@pytest.fixture
def noise(joboptions, tmp_path, xaods):
    """Run the job on three files: ``noise("out", hook=…, seed=…, **options)``."""
    pytest.importorskip("distributed", reason="the executor dask needs the extra 'dask'")

    def call(output, *, hook="pass", seed=1, **options):
        file = load_joboptions(joboptions(NOISE.replace("@HOOK", hook).replace("@SEED", str(seed))))
        inputs = [str(x.path) for x in xaods[1]]
        return run(file, RunOptions(inputs=inputs, output=str(tmp_path / output), **options))

    return call


@pytest.fixture
def cluster(monkeypatch):
    """A cluster that runs already: one worker with two threads, in this process."""
    distributed = pytest.importorskip("distributed", reason="the executor dask needs the extra 'dask'")
    import dask

    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, memory_limit=None, dashboard_address=None
        ) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
    ):
        yield cluster


def test_processes_of_this_machine_give_the_same(noise, read, assert_same):
    here, there = noise("here"), noise("there", executor="dask", workers=2)
    assert there.results == here.results
    assert there.results["noise"]["n"] > 0
    assert [path.name for path in there.outputs["tree"]] == [path.name for path in here.outputs["tree"]]
    assert_same(read(*here.outputs["tree"]), read(*there.outputs["tree"]))


def test_a_process_that_dies_is_named(noise, xaods):
    import dask

    kill = "import os, signal; len(events) == 25 and os.kill(os.getpid(), signal.SIGKILL)"  # the second file
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        pytest.raises(UnitsFailedError, match=f"{xaods[1][1].path}, entries 0–25: .*died"),
    ):
        noise("out", hook=kill, executor="dask", retries=0)


def test_a_cluster_serves_one_run_after_the_other(noise, cluster):
    for seed in (1, 2):  # the second must not meet the worker of the first
        assert noise(f"dask{seed}", seed=seed, executor="dask").results == noise(f"here{seed}", seed=seed).results
    with pytest.raises(
        ToolError, match=r"noise failed: ZeroDivisionError[\s\S]*tool noise, .*part1.root, entries 0–25"
    ):
        noise("error", hook="1 / (len(events) - 25)", executor="dask")
    assert len(cluster.workers) == 1


def test_cluster_that_is_not_there(noise):
    import dask

    with (
        dask.config.set({"scheduler-address": "tcp://127.0.0.1:1", "distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(WorkerError, match=r"there is no Dask cluster to work on: [\s\S]*tcp://127.0.0.1:1\n"),
    ):
        noise("absent", executor="dask")


def test_without_dask(monkeypatch):
    from hepflow.plugins.common.dask import DaskExecutor

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PluginError, match=r"needs the packages dask and distributed[\s\S]*\.\[dask\]"):
        DaskExecutor().check()
