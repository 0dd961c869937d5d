"""A Slurm of one node, of Debian's packages, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1
DefMemPerCPU=500
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm of two cores; the fixture skips where it cannot be started, with the reason."""
    if shutil.which("slurmctld") is None or shutil.which("slurmd") is None:
        pytest.skip("there is no Slurm (Debian's packages slurmctld, slurmd, slurm-client)")
    if os.getuid() != 0:
        pytest.skip("slurmd needs to be started by root")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    settings = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    settings.write_text(SETTINGS.format(host=host, folder=folder, ports=(free_port(), free_port())))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(settings))
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-c"], check=True, capture_output=True, timeout=60)
        try:
            end = time.monotonic() + 60
            while "idle" not in ask("sinfo", "--noheader", "--format", "%t"):
                assert time.monotonic() < end, (folder / "slurmctld.log").read_text()[-2000:]
                time.sleep(0.2)
            yield settings
        finally:
            ask("scancel", "--user", "root")
            for daemon in ("slurmd", "slurmctld"):
                os.kill(int((folder / f"{daemon}.pid").read_text()), signal.SIGTERM)


def ask(*command):
    """Return what a command of Slurm prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def jobs():
    """Return the names of the jobs that Slurm has."""
    return ask("squeue", "--noheader", "--array", "--format", "%i").split()


def node():
    """Return the name of the node."""
    return socket.gethostname().partition(".")[0]


def wait_for(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def parts(folder):
    """Return the finished parts of a run that goes on."""
    return list(Path(folder).glob(".hepflow/parts/*.root"))
