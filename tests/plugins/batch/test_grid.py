"""The executor grid: names, what travels, the commands as prun checks them, and what a job of the grid does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hepflow.errors import JobOptionsError
from hepflow.plugins.batch.grid import LONGEST, Dataset, GridExecutor, read_datasets

GAMMA = "mc20_13TeV.425200.Pythia8EvtGen_A14NNPDF23LO_Gammatautau_MassWeight.deriv.DAOD_TAU1.e5468_s3681_r13144_p5057"
DIJET = "mc20_13TeV:mc20_13TeV.364700.Pythia8EvtGen_A14NNPDF23LO_jetjet_JZ0WithSW.deriv.DAOD_TAU1.e7142_p5057"
LIST = f"# of the year\n# SUBSTREAM = MC20d\n{GAMMA}\n\n{DIJET}  # low pt\n"
JOB = """
from helper.cuts import PT_MIN


class Weighted(Tool):
    File = Property("", "a data file", file=True)

    def reads(self):
        return ["TauJets.pt"]

    def start(self):
        return 0

    def execute(self, events, result):
        assert open(self.File).read() == "weights"

    def finalize(self, total, context):
        context.path("table.txt").write_text("numbers")


job = Job("j")
path = job.option("weights", default="", doc="a data file")
job += Weighted("weighted", File=path)
stream = NtupleStream("tree")
stream.Keep = ["TauJets.pt"]
job += stream
"""


def test_lists_and_names(tmp_path):
    (tmp_path / "list.txt").write_text(LIST)
    datasets = read_datasets(str(tmp_path / "list.txt"))
    assert datasets == [Dataset(GAMMA, "MC20d"), Dataset(DIJET, "MC20d")]
    executor = GridExecutor(StreamName="StreamTES", RunVersion="3", Group="perf-tau")
    short = "425200.Pythia8EvtGen_A14NNPDF23LO_Gammatautau_MassWeight"
    assert executor.output_names(datasets)[GAMMA] == f"group.perf-tau.StreamTES_MC20d.{short}_v3"
    executor = GridExecutor(StreamName="StreamTES", RunVersion="01-00", Nickname="me")
    assert executor.output_names(read_datasets(GAMMA))[GAMMA] == f"user.me.StreamTES.{short}_v01-00"
    assert Dataset("data18_13TeV.00348885.physics_Main.deriv.DAOD_TAU1").short == "00348885.physics_Main"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{GAMMA},{DIJET},{GAMMA}", f"twice:\n  {GAMMA}"),
        ("mc20_13TeV.*", "wildcards"),
        ("lists/none.txt", "there is no list of datasets"),
        (",", "names no dataset"),
    ],
)
def test_lists_that_are_none(text, message):
    with pytest.raises(JobOptionsError, match=re.escape(message)):
        read_datasets(text)


def test_names_that_cannot_be():
    executor = GridExecutor(StreamName="S", RunVersion="1", Nickname="me")
    with pytest.raises(JobOptionsError, match=r"no number of 6 to 8 digits"):
        executor.output_names([Dataset("user.me.files")])
    with pytest.raises(JobOptionsError, match=r"two datasets have the output"):
        executor.output_names([Dataset("a.425200.x.e1"), Dataset("a.425200.x.e2")])
    fits = "x" * (LONGEST - len("user.me.S.425200._v1_tree.root/"))
    name = executor.output_names([Dataset(f"a.425200.{fits}.b")], ["tree.root", "run.tgz"])[f"a.425200.{fits}.b"]
    assert len(f"{name}_tree.root/") == LONGEST
    with pytest.raises(JobOptionsError, match="has 133 characters, PanDA takes 132"):
        executor.output_names([Dataset(f"a.425200.{fits}x.b")], ["tree.root", "run.tgz"])


@pytest.fixture
def thor(hepflow, joboptions, tmp_path, monkeypatch):
    """Call hepflow as one called THOR, with a job that needs a module and a data file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.txt").write_text("weights")
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / "__init__.py").touch()
    (tmp_path / "helper" / "cuts.py").write_text("PT_MIN = 15\n")
    (tmp_path / "list.txt").write_text(LIST)
    monkeypatch.syspath_prepend(tmp_path)
    path = joboptions(JOB)
    words = ["-r", "grid", "-g", "list.txt", "--gridstreamname", "S", "--gridrunversion", "2", "--nFilesPerJob", "5"]

    def run(*more, options=words):
        weights = str(tmp_path / "elsewhere" / "w.txt")
        return hepflow("run", *options, "--set", "grid.Nickname=me", *more, path, "--weights", weights)

    return run


def commands(out):
    return [shlex.split(line) for line in out.splitlines() if line.startswith("prun ")]


def test_what_would_be_sent(thor, tmp_path):
    out = thor("--set", "grid.Container=docker://a/b:1", "--dry-run").fine().out
    assert re.search(r"bundle   5 files, [\d,]+ bytes", out)
    for name in ("hepflow-grid.sh", "job.py", "w.txt  7", "helper/__init__.py  0", "helper/cuts.py  12"):
        assert f"         {name}" in out
    first, second = commands(out)
    options = dict(zip(first[1::2], first[2::2], strict=False))
    assert options["--inDS"] == GAMMA
    assert options["--outDS"] == "user.me.S_MC20d.425200.Pythia8EvtGen_A14NNPDF23LO_Gammatautau_MassWeight_v2"
    assert options["--outputs"] == "tree.root,run.tgz"
    assert options["--nFilesPerJob"] == "5"
    assert options["--containerImage"] == "docker://a/b:1"
    assert second[2] == DIJET
    assert not (tmp_path / "output").exists()


def test_what_lacks_is_told(thor, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    thor("-o", "sent").failed("where hepflow comes from: --set grid.Container=docker://")
    thor(options=["-r", "grid"]).failed("which datasets: -g", "--gridstreamname", "--gridrunversion")
    thor("-i", "x.root", "--set", "grid.Container=c").failed("-i has no meaning with the executor grid")
    thor("--set", "grid.Container=c").failed("needs the command prun, which is not on this machine", "panda_setup.sh")


def test_sent_until_one_is_refused(thor, tmp_path, monkeypatch):
    prun = tmp_path / "bin" / "prun"
    prun.parent.mkdir()
    prun.write_text(
        "#!/bin/bash\ncase $2 in *425200*) echo 'succeeded. new jediTaskID=77';; *) echo no >&2; exit 3;; esac\n"
    )
    prun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{prun.parent}:{os.environ['PATH']}")
    thor("-o", "sent", "--set", "grid.Container=c").failed("prun: no", "sent: 1 task; send the others with -g sent")
    assert read_datasets(str(tmp_path / "sent" / "datasets-not-sent.txt")) == [Dataset(DIJET, "MC20d")]


def test_a_job_of_the_grid(thor, tmp_path, xaods, monkeypatch):
    """The script does, with what travels and nothing else, what its task says that it gives."""
    prun = tmp_path / "bin" / "prun"
    prun.parent.mkdir()
    prun.write_text("#!/bin/bash\necho jediTaskID=77\n")
    hepflow = tmp_path / "bin" / "hepflow"
    hepflow.write_text(f"#!/bin/bash\nexec {sys.executable} -c 'from hepflow.cli import main; main()' \"$@\"\n")
    for path in (prun, hepflow):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{prun.parent}:{os.environ['PATH']}")
    out = thor("-o", "sent", "--set", 'grid.Setup=["export HERE=1"]').fine().out
    assert "task     77: user.me.S_MC20d.364700." in out
    (tmp_path / "helper").rename(tmp_path / "gone")
    (tmp_path / "elsewhere").rename(tmp_path / "away")
    bundle = tmp_path / "sent" / "bundle"
    for file in xaods[1]:
        (bundle / file.path.name).symlink_to(file.path)
    names = ",".join(file.path.name for file in xaods[1])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "hepflow-grid.sh", names], cwd=bundle, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (bundle / "tree.root").exists()
    listed = subprocess.run(["tar", "tzf", bundle / "run.tgz"], capture_output=True, text=True, check=True).stdout
    assert "./table.txt\n" in listed
    assert "./provenance.json\n" in listed
    assert ".hepflow" not in listed


def test_prun_takes_the_commands(thor, tmp_path, monkeypatch):
    setup = next((Path(part).parent for part in os.environ["PATH"].split(":") if Path(part, "prun").exists()), None)
    if setup is None:
        pytest.skip("there is no prun (panda-client, after its panda_setup.sh)")
    server = {
        "PANDA_URL": "http://127.0.0.1:25080/server/panda",
        "PANDACACHE_URL": "https://127.0.0.1:25443/server/panda",
    }
    server |= {"PANDA_URL_SSL": server["PANDACACHE_URL"], "PANDA_AUTH": "x509_no_grid", "PANDA_NICKNAME": "me"}
    for name, value in {**server, "PANDA_BEHIND_REAL_LB": "1", "PANDA_CONFIG_ROOT": str(tmp_path / "panda")}.items():
        monkeypatch.setenv(name, value)
    checked = 'grid.Directives=["--noSubmit","--vo","atlas"]'
    thor("-o", "sent", "--set", "grid.Container=docker://a/b:1", "--set", checked).fine()
    assert len((tmp_path / "sent" / "tasks.txt").read_text().splitlines()) == 2
    thor("-o", "again", "--set", 'grid.Setup=["true"]', "--set", "grid.Cores=8", "--set", checked).fine()
