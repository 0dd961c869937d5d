"""The executor htcondor: its submit descriptions as HTCondor reads them, and its commands against stand-ins."""

from __future__ import annotations

import os
import tarfile

import pytest

from hepflow.errors import InputError, WorkerError
from hepflow.execution import RunOptions, run
from hepflow.execution.batch import unpack
from hepflow.joboptions import load_joboptions
from hepflow.plugins.batch.htcondor import HTCondorExecutor
from hepflow.plugins.batch.jobs import Task

FAST = ("htcondor.Poll=0.05", "htcondor.Patience=0.3", "htcondor.UnitsPerJob=2")
STANDINS = {
    # runs the jobs of a description at once; those of the first cluster are held where a file says so
    "condor_submit": """#!/bin/bash
cluster=$(($(cat $POOL/last 2>/dev/null || echo 6) + 1)); echo $cluster > $POOL/last; cp $1 $POOL/$cluster.sub
value() { sed -n "s/^$1 = //p" $2; }
if [ -n "$(value requirements $1)" ]; then echo "ERROR: Parse error in expression" >&2; exit 1; fi
process=0
while read units; do
  log=$(value output $1 | sed "s/\\$(ClusterId)/$cluster/; s/\\$(ProcId)/$process/")
  if [ $cluster = 7 -a -e $POOL/hold ]; then echo 5 > $POOL/$cluster.$process; echo "out of luck" > $log
  else echo 2 > $POOL/$cluster.$process; ($(value executable $1) $units > $log 2>&1; rm $POOL/$cluster.$process) & fi
  process=$((process + 1))
done < $(sed -n "s/^queue units from //p" $1)
echo "$process job(s) submitted to cluster $cluster."
""",
    "condor_q": """#!/bin/bash
if [[ "$*" == *HoldReason* ]]; then
  [ -e $POOL/$1 ] && echo "34 memory usage exceeded request_memory undefined"; exit 0
fi
cd $POOL; for file in [0-9]*.[0-9]*; do [ -e $file ] && echo $file $(cat $file); done; exit 0
""",
    "condor_history": "#!/bin/bash\n",
    "condor_rm": "#!/bin/bash\nfor name; do rm -f $POOL/$name $POOL/$name.*; echo $name >> $POOL/removed; done\n",
}


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """Commands of HTCondor that run the jobs on this machine."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for name, text in STANDINS.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("POOL", str(folder))
    return folder


def test_held_jobs_get_more_memory_and_results_are_the_same(pool, joboptions, xaods, tmp_path, caplog, monkeypatch):
    path = joboptions('job = Job("j")\nstream = NtupleStream("tree")\nstream.Keep = ["TauJets.pt"]\njob += stream\n')
    (pool / "hold").touch()
    options = {"inputs": [str(xaods[0])], "executor": "htcondor"}
    refused = (*FAST, "htcondor.Requirements=(")
    with pytest.raises(WorkerError, match="condor_submit: ERROR: Parse error in expression"):
        run(load_joboptions(path), RunOptions(output=str(tmp_path / "refused"), settings=refused, **options))
    (pool / "last").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("hepflow.execution.batch._versions", lambda: {"hepflow": "0.0.1"})
        with pytest.raises(WorkerError, match=r"this worker has other versions than the run: .*→ '0.0.1'"):
            run(load_joboptions(path), RunOptions(output=str(tmp_path / "other"), settings=FAST, **options))
    (pool / "last").unlink()
    settings = (*FAST, "htcondor.Memory=1000")
    there = run(load_joboptions(path), RunOptions(output=str(tmp_path / "there"), settings=settings, **options))
    assert there.events == 75
    assert (
        "7.0 vanished (OUT_OF_MEMORY, memory usage exceeded request_memory); the end of its log: out of" in caplog.text
    )
    assert "with 2 times the memory" in caplog.text
    assert "7.0" in (pool / "removed").read_text().split()
    assert "request_memory = 1000\n" in (pool / "7.sub").read_text()
    assert "request_memory = 2000\n" in (pool / "8.sub").read_text()


def test_nodes_that_do_not_see_the_folder(pool, joboptions, xaods, tmp_path, monkeypatch, read, assert_same):
    path = joboptions('job = Job("j")\nstream = NtupleStream("tree")\nstream.Keep = ["TauJets.pt"]\njob += stream\n')
    inputs = [str(xaods[0])]
    options = {"inputs": inputs, "executor": "htcondor", "settings": (*FAST, "htcondor.Copy=cp")}
    with pytest.raises(InputError, match="do not see this input: "):
        run(load_joboptions(path), RunOptions(output=str(tmp_path / "refused"), **options))
    monkeypatch.setattr("hepflow.plugins.batch.base.local_path", lambda path: None)  # as if it were a URL
    there = run(load_joboptions(path), RunOptions(output=str(tmp_path / "there"), **options))
    here = run(load_joboptions(path), RunOptions(inputs=inputs, output=str(tmp_path / "here")))
    assert_same(read(*there.outputs["tree"]), read(*here.outputs["tree"]))
    assert there.outputs["tree"][0].is_relative_to(tmp_path / "there")


def test_what_a_job_sends_back_stays_in_its_place(tmp_path):
    batch = tmp_path / ".hepflow" / "batch" / "b"
    batch.mkdir(parents=True)
    for name in ("../../evil", "parts/../../evil", "other/x", "/evil", "parts/.hidden", "ledger/tool_x.entries"):
        with tarfile.open(batch / "1.tar", "w") as packed:
            packed.addfile(tarfile.TarInfo(name))
            packed.addfile(tarfile.TarInfo("end"))
        with pytest.raises(WorkerError, match="which no job gives"):
            unpack(batch / "1.tar", batch)
    whole = (batch / "1.tar").read_bytes()
    (batch / "1.tar").write_bytes(whole[:700])  # on its way
    assert not unpack(batch / "1.tar", batch)


def test_without_htcondor(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WorkerError, match="htcondor needs the command condor_submit"):
        HTCondorExecutor().check()


def test_descriptions_as_htcondor_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CONDOR_CONFIG", "ONLY_ENV")
    htcondor = pytest.importorskip("htcondor2", reason="the bindings of HTCondor (pip install htcondor)")
    executor = HTCondorExecutor(
        Flavour="longlunch", Time=90, Memory=2000, Disk=500, Cores=2, Requirements='OpSysAndVer == "AlmaLinux9"',
        Directives=("+AccountingGroup = \"group_tau\"",),
    )  # fmt: skip
    listed = tmp_path / "run" / ".hepflow" / "batch" / "b" / "cluster0.txt"
    text = executor.description(Task((1, 2), time=2, memory=4), tmp_path / "job.sh", tmp_path / "logs", listed)
    read = dict(htcondor.Submit(text))
    assert read["request_memory"] == "8000"
    assert read["request_disk"] == "500M"
    assert read["request_cpus"] == "2"
    assert read["requirements"] == 'OpSysAndVer == "AlmaLinux9"'
    assert read["MY.JobFlavour"] == '"workday"'
    assert read["MY.MaxRuntime"] == str(90 * 60 * 2)
    assert read["MY.AccountingGroup"] == '"group_tau"'
    assert htcondor.Submit(text).getQArgs() == f"units from {listed}"
    sent = htcondor.Submit(HTCondorExecutor(Transfer=True).description(Task((1,)), tmp_path, tmp_path, listed))
    assert sent["transfer_input_files"] == f"{listed.parent}/payload.pkl,{listed.parent}/job.json"
    assert sent["transfer_output_remaps"] == f'"given.tar={listed.parent}/$(units).tar"'
    plain = HTCondorExecutor().description(Task((1,)), tmp_path / "job.sh", tmp_path / "logs", listed)
    assert not {"request_memory", "request_disk", "requirements", "MY.JobFlavour"} & set(htcondor.Submit(plain))
