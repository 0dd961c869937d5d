"""hepflow run: options, outputs, and every way in which a run goes wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import count
from types import SimpleNamespace

import psutil
import pytest

from hepflow.cli import progress as progress_shown
from hepflow.execution.ledger import Ledger
from hepflow.execution.totals import progress

SIMPLE = """
job = Job("simple")
level = job.option("level", default=10.0, doc="lowest pt in GeV")
job += TauSelection("sel", PtMin=level * 1000)
job += NtupleStream("tree", Keep=["TauJets.pt", "EventInfo.mcEventNumber"])
"""

OWN = """
from dataclasses import dataclass

@dataclass
class Count:
    taus: int = 0
    events: int = 0

class Mine(Tool):
    '''Defined where it is used.'''
    Factor = Property(2.0, "factor")
    def reads(self): return ["TauJets.pt"]
    def writes(self): return ["TauJets.scaled"]
    def start(self): return Count()
    def execute(self, events, result):
        events["TauJets"]["scaled"] = scale(events["TauJets"].pt, self.Factor)
        result.taus += len(events["TauJets"])
        result.events += len(events)
    def finalize(self, total, context):
        context.path("count.txt").write_text(f"{total.taus} {total.events} {isinstance(total, Count)}")

def scale(values, factor):
    return values * np.float32(factor)

job = Job("own")
job += Mine("mine")
job += NtupleStream("tree", Keep=["TauJets.scaled"])
"""

BAD = """
class Bad(Tool):
    def reads(self): return ["TauJets.pt", "EventInfo.mcEventNumber"]
    def execute(self, events, result):
        if 40 in events["EventInfo"]["mcEventNumber"]:
            %s
job = Job("bad")
job += NtupleStream("tree", Keep=["TauJets.pt"])
job += Bad("bad")
"""


def workers_alive(group):
    """The worker processes of a process group that do not end within ten seconds."""
    deadline = time.monotonic() + 60
    while True:
        alive = []
        for process in psutil.process_iter(["status", "cmdline"]):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                    alive.append(process.info)
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def nothing_half_written(folder):
    """No output under a final name, no temporary file."""
    return not list(folder.rglob("*.part")) and not list(folder.glob("*.root"))


def taus(files, lowest):
    return [tau["pt"] for x in files for tau in x.taus() if tau["pt"] >= lowest and abs(tau["eta"]) < 2.5]


def test_run_with_options_of_the_file_and_set(hepflow, joboptions, xaods, tmp_path, read):
    path, (folder, files) = joboptions(SIMPLE), xaods
    out = hepflow("run", path, "-i", folder, "-o", "one", "--level", "30").fine().out
    assert "job      simple --level 30.0\n" in out
    assert "75 events in 3 work units" in out
    assert "pt >= 30 GeV" in out
    assert "tree: " in out
    assert "done 75 events" in out
    assert len(read(*sorted((tmp_path / "one").glob("*.root")))["TauJets.pt"]) == len(taus(files, 30e3))
    named = [word for name, x in zip("abb", files, strict=True) for word in ("-i", f"{name}={x.path}")]
    out = hepflow("run", *named, "-o", "two", path, "--level=30", "--set", "sel.PtMin=50_000").fine().out
    assert f"  a: {tmp_path / 'two/tree_000001.root'}\n  b: {tmp_path / 'two/tree_000002.root'} … tree_000003" in out
    assert "tree of b" in hepflow("inspect", "two").fine().out
    assert len(read(*sorted((tmp_path / "two").glob("*.root")))["TauJets.pt"]) == len(taus(files, 50e3))
    assert (tmp_path / "two" / "joboptions.py").read_text() == path.read_text()
    assert json.loads((tmp_path / "two" / "provenance.json").read_text())["properties"]["sel"]["PtMin"] == 50e3


def test_default_folder_and_latest(hepflow, joboptions, xaod, tmp_path):
    hepflow("run", joboptions(SIMPLE), "-i", xaod.path).fine()
    assert (tmp_path / "output" / "simple-latest" / "tree_000001.root").exists()
    hepflow("run", joboptions(SIMPLE), "-i", xaod.path, "--resume").fine()


def test_events_and_skip_across_files(hepflow, joboptions, xaods, tmp_path, read):
    hepflow(
        "run", joboptions(SIMPLE), "-i", xaods[0], "-o", "run", "-n", 20, "--skip", 25, "--set", "sel.PtMin=0"
    ).fine()
    found = set(read(*sorted((tmp_path / "run").glob("*.root")))["EventInfo.mcEventNumber"].tolist())
    events = [event for x in xaods[1] for event in x.events]
    inside = {e["EventInfo"]["mcEventNumber"] for e in events if any(abs(t["eta"]) < 2.5 for t in e["TauJets"])}
    assert found == inside & set(range(26, 46))


def test_several_named_inputs(hepflow, joboptions, xaods, tmp_path):
    paths = [x.path for x in xaods[1]]
    out = hepflow("run", joboptions(SIMPLE), "-i", f"Ztt={paths[1]}", "-i", f"Zee={paths[0]}", "-o", "run").fine().out
    assert "2 files of Ztt, Zee" in out
    inputs = json.loads((tmp_path / "run" / "provenance.json").read_text())["inputs"]
    assert [(i["sample"], i["path"]) for i in inputs] == [("Ztt", str(paths[1])), ("Zee", str(paths[0]))]


def test_folder_with_foreign_files_lists_them(hepflow, joboptions, make_xaod, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    make_xaod(tmp_path / "in" / "sub" / "good.root", 5)
    make_xaod(tmp_path / "in" / "no_taus.root", 5, drop=["TauJets"])
    (tmp_path / "in" / "text.root.md5").write_text("text")
    out = hepflow("run", joboptions(SIMPLE), "-i", "in", "-o", "run").fine().out
    assert "skipped  in/no_taus.root: holds no TauJets" in out
    assert "skipped  in/text.root.md5: this input is not a ROOT file" in out
    assert "5 events in 1 work unit\n" in out


def test_brackets_in_names_are_shown_as_they_are(hepflow, joboptions, xaod, tmp_path):
    import shutil

    (tmp_path / "in [bold]").mkdir()
    shutil.copy(xaod.path, tmp_path / "in [bold]" / "a.root")
    outcome = hepflow("run", joboptions(SIMPLE), "-i", "in [bold]", "-o", "out [red]").fine()
    assert "1 file of in [bold]:" in outcome.out
    assert "output   out [red]" in outcome.out
    hepflow("run", joboptions(SIMPLE), "-i", "in [/bold]").failed("the pattern 'in [/bold]' matches no file")


def test_help_behind_the_file_shows_the_job(hepflow, joboptions):
    out = hepflow("run", joboptions(SIMPLE), "--level", "30", "--help").fine().out
    assert "lowest pt in GeV" in out
    assert "PtMin=30000.0" in out
    assert "--resume" in out


def test_tool_of_the_file_in_two_processes(hepflow, joboptions, xaods, tmp_path, read, assert_same):
    for workers in (1, 2):
        hepflow("run", joboptions(OWN), "-i", xaods[0], "-o", f"run{workers}", "-j", workers).fine()
        total = sum(len(x.taus()) for x in xaods[1])
        assert (tmp_path / f"run{workers}" / "count.txt").read_text() == f"{total} 75 True"
    one, two = (read(*sorted((tmp_path / f"run{n}").glob("*.root"))) for n in (1, 2))
    assert_same(one, two)


def test_force_and_resume(hepflow, joboptions, xaods, tmp_path):
    path = joboptions(SIMPLE)
    hepflow("run", path, "-i", xaods[0], "-o", "run").fine()
    hepflow("run", path, "-i", xaods[0], "-o", "run").failed("exists already", "--resume", "--force")
    assert "3 work units kept" in hepflow("run", path, "-i", xaods[0], "-o", "run", "--resume").fine().out
    hepflow("run", path, "-i", xaods[0], "-o", "run", "--resume", "--level", 20).failed(
        "cannot be resumed, this has changed:\n  sel.PtMin: 10000.0 → 20000.0\n"
    )
    (tmp_path / "run" / "notes.txt").write_text("mine")
    hepflow("run", path, "-i", xaods[1][0].path, "-o", "run", "--force").fine()
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert [p.name for p in sorted((tmp_path / "run").glob("*.root"))] == ["tree_000001.root"]
    hepflow("run", path, "-i", xaods[0], "-o", "run", "--force", "--resume").failed("exclude each other")


def test_what_was_done_before_has_no_part_in_the_rate(hepflow, joboptions, xaods, monkeypatch):
    """A clock that goes on by a second whenever it is read."""
    monkeypatch.setattr(progress_shown.ConsoleReporter, "INTERVAL", 0.0)
    monkeypatch.setattr(progress_shown, "time", SimpleNamespace(monotonic=count(1.0).__next__))
    paths = [x.path for x in xaods[1]]
    command = ("run", joboptions(SIMPLE), "-o", "run")
    hepflow(*command, "-i", paths[0], "-i", paths[1]).fine()
    out = hepflow(*command, "-i", paths[0], "-i", paths[1], "-i", paths[2], "--resume").fine().out
    new = 75 - sum(len(x.events) for x in xaods[1][:2])
    ((done, rate, left),) = re.findall(r"(\d+)/75 events, (\d+) events/s, (\d+) s left", out)
    assert (int(done), int(rate), int(left)) == (75, new, 0)


def test_force_leaves_a_foreign_folder_alone(hepflow, joboptions, xaod, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    hepflow("run", joboptions(SIMPLE), "-i", xaod.path, "-o", "thesis", "--force").failed("not made by a hepflow run")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "status", "texts"),
    [
        ([], 2, ["which job-option file?"]),
        (["job.py", "--levle", "3"], 1, ["has no option --levle", "did you mean 'level'?"]),
        (["job.py", "--eventss", "3"], 1, ["has no option --eventss", "'--events'"]),
        (["job.py", "--level"], 1, ["--level wants a value"]),
        (["job.py", "--evnts"], 1, ["no option --evnts", "of run: did you mean '--events'"]),
        (["job.py", "--level", "x"], 1, ["level", "'x'"]),
        (["job.py", "--level", "1", "--level", "2"], 2, ["given twice"]),
        (["job.py", "other.py"], 2, ["what is 'other.py'?", "one job-option file is run at a time\n"]),
        (["job.py", "job.py"], 2, ["what is 'job.py'?", "repeat -i, or put the pattern in quotes"]),
        (["job.py", "-x"], 2, ["-x"]),
        (["--nonsense", "job.py"], 2, ["no option --nonsense", "stand behind it"]),
        (["job.py", "-n", "-5"], 2, ["-5"]),
        (["job.py", "-j", "0"], 2, ["0 is not in the range"]),
        (["job.py", "-dt", "TAUS"], 2, ["'TAUS' is not one of"]),
        (["job.py", "-dt", "ELE"], 1, ["-dt ELE has no effect", "TauTruthMatching"]),
        (["job.py", "--set", "sel.PtMinn=3"], 1, ["no property 'PtMinn'", "did you mean 'PtMin'"]),
        (["job.py", "--set", "sell.PtMin=3"], 1, ["no tool or stream 'sell'", "did you mean 'sel'"]),
        (["job.py", "--set", "sel.PtMin=high"], 1, ["PtMin", "'high'"]),
        (["job.py", "--set", "sel.PtMin"], 1, ["--set wants Tool.Property=value, got 'sel.PtMin'"]),
    ],
)
def test_wrong_usage(hepflow, joboptions, xaod, tmp_path, arguments, status, texts):
    joboptions(SIMPLE)
    hepflow("run", *arguments, "-i", xaod.path, "-o", "run").failed(*texts, status=status)
    assert not (tmp_path / "run").exists()


# ── the job-option file ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("job = Job('j'\n", ["syntax error", "job.py, line"]),
        ("job = Job('j')\nvalue = 1 / 0\n", ["raised ZeroDivisionError", "job.py, line 8", "--debug"]),
        ("raise SystemExit(0)\n", ["raised SystemExit"]),
        ("x = 3\n", ["builds no job", "job = Job("]),
        ("a = Job('a')\nb = Job('b')\n", ["builds 2 jobs: a, b", "call the one to run `job`"]),
        ("job = Job('empty')\n", ["has no tools and no streams"]),
        ("job = Job('j')\njob += TauSelecton('t')\n", ["NameError", "TauSelecton", "line 8"]),
        ("job = Job('j')\njob += TauSelection\n", ["is no tool", "parentheses", "line 8"]),
        ("job = Job('j')\nt = TauSelection('t')\nt.PtMinn = 3\n", ["no property 'PtMinn'", "'PtMin'", "line 9"]),
        ("TauSelection('t', PtMin='high')\n", ["PtMin", "float", "'high'", "line 7"]),
        ("TauSelection('t').setProperty('PtMin', -5)\n", ["-5", "below its minimum 0 MeV"]),
        ("TauTruthMatching('t', DataType='TAUS')\n", ["does not accept 'TAUS'", "'TAU'"]),
        ("job = Job('j')\njob += TauSelection('t')\njob += TauSelection('t')\n", ["are called 't'", "another name"]),
        (
            "job = Job('j')\njob.option('a', default=1, doc='')\njob.option('a', default=1, doc='')\n",
            ["declared twice"],
        ),
    ],
)
def test_job_options_that_build_no_job(hepflow, joboptions, xaod, tmp_path, body, texts):
    path = joboptions(body)
    hepflow("run", path, "-i", xaod.path, "-o", "run").failed(*texts)
    assert not (tmp_path / "run").exists()


def test_missing_job_options(hepflow, tmp_path):
    (tmp_path / "MyJob.py").write_text("")
    hepflow("run", "MyJop.py").failed("there is no job-option file 'MyJop.py'", "did you mean 'MyJob.py'?")
    hepflow("run", "NNDecayMod").failed("no job-option file 'NNDecayMod'", "'NNDecayMode'", "hepflow list jobs")
    hepflow("run", "nowhere/job.py").failed("there is no job-option file")
    hepflow("run", tmp_path).failed("is a folder")


def test_debug_shows_the_traceback(hepflow_process, joboptions, xaod):
    path = joboptions("job = Job('j')\nvalue = 1 / 0\n")
    plain = hepflow_process("run", path, "-i", xaod.path)
    assert (plain.status, "Traceback" in plain.err) == (1, False)
    debug = hepflow_process("run", path, "-i", xaod.path, "--debug")
    assert debug.status == 1
    assert "Traceback" in debug.err
    assert "ZeroDivisionError" in debug.err


def test_two_plugins_with_one_tool(hepflow, monkeypatch):
    from hepflow.registry import manager

    known = manager.registry()
    names = known.names

    class Twice(manager.Registry):
        """A registry in which two plugins bring the same."""

        def names(self, kind):
            names(kind)
            return manager.Registry.names(self, kind)

    import types

    import hepflow as package

    other = types.ModuleType("other")
    other.hepflow_tools = package.hookimpl(lambda: {"TauSelection": "other:TauSelection"})
    other.hepflow_tools.__name__ = "hepflow_tools"
    fresh = manager.Registry()
    fresh._manager.register(other, "other")
    fresh.plugins["other"] = manager.Plugin("other", "other-package", "1", blocked=False)
    monkeypatch.setattr("hepflow.cli.list.registry", lambda blocked: fresh)
    hepflow("list", "tools").failed("called 'TauSelection'", "other (other-package)", "tau (hepflow)", "-p no:")


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ("job += TauSelection('t', Container='TauJet')\n", ["no container 'TauJet'", "'TauJets'", "tool t"]),
        ("job += LinkedObjects('t', Columns=['ptt'])\n", ["t reads TauTracks.ptt", "did you mean 'pt'?", "tool t"]),
        ("job += NtupleStream('s', Keep=['TauJets.ptt'])\n", ["Keep = 'TauJets.ptt' matches no column"]),
        ("job += NtupleStream('s')\n", ["stream s writes nothing", "Keep"]),
        ("job += NtupleStream('s', Keep=['TauJets.*'])\n", ["cannot hold element links", "TauJets.tauTrackLinks"]),
    ],
)
def test_unknown_columns(hepflow, joboptions, xaod, tmp_path, body, texts):
    hepflow("run", joboptions(f"job = Job('j')\n{body}"), "-i", xaod.path, "-o", "run").failed(*texts)
    assert not (tmp_path / "run").exists()


def test_undeclared_read(hepflow, joboptions, xaods, tmp_path):
    path = joboptions(BAD % 'events["TauJets"]["eta"]')
    hepflow("run", path, "-i", xaods[0], "-o", "run").failed(
        *("bad reads TauJets.eta, which it did not declare", "tool bad", xaods[1][1].path, "entries 0–25"),
        "add 'TauJets.eta' to reads()",
    )
    assert nothing_half_written(tmp_path / "run")


@pytest.mark.parametrize("datatype", ["ELE", "MUON", "TAU"])
def test_datatype_that_the_input_cannot_serve(hepflow, make_xaod, tmp_path, datatype):
    container = {"ELE": "TruthElectrons", "MUON": "TruthMuons", "TAU": "TruthTaus"}[datatype]
    file = make_xaod(tmp_path / "a.root", 10, drop=[container])
    hepflow("run", "NNDecayMode", "-i", file.path, "-dt", datatype, "-o", "run").failed(
        f"no container '{container}'", f"cannot serve -dt {datatype}", "TauTruthMatching", file.path
    )
    assert not (tmp_path / "run").exists()


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _broken(tmp_path, make_xaod, how):
    import uproot

    path = tmp_path / "in.root"
    if how == "empty":
        path.write_bytes(b"")
    if how == "text":
        path.write_text("this is no ROOT file")
    if how == "truncated":
        whole = make_xaod(tmp_path / "whole.root", 20).path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    if how == "tree":
        with uproot.recreate(path) as file:
            file["note"] = "nothing here"
    if how == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("how", "texts"),
    [
        ("missing", ["there is no input"]),
        ("empty", ["is empty (0 bytes)"]),
        ("text", ["not a ROOT file", "b'this'"]),
        ("truncated", ["truncated"]),
        ("tree", ["no tree that hepflow reads", "note (TObjString)"]),
        ("folder", ["holds no ROOT files"]),
    ],
)
def test_inputs_that_cannot_be_used(hepflow, joboptions, make_xaod, tmp_path, how, texts):
    body = "job = Job('j')\njob += TauSelection('t')\n"
    path = _broken(tmp_path, make_xaod, how)
    hepflow("run", joboptions(body), "-i", path, "-o", "run").failed(*texts, "in.root")
    assert not (tmp_path / "run").exists()


# ── outputs, tools, processes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("output", ["job.py/run", "/proc/run", "job.py"])
def test_output_that_cannot_be_written(hepflow, joboptions, xaod, output):
    hepflow("run", joboptions(SIMPLE), "-i", xaod.path, "-o", output).failed(output, "-o")


def test_tool_that_raises(hepflow, joboptions, xaods, tmp_path):
    path = joboptions(BAD % 'raise ValueError("no luck")')
    for workers in (1, 2):
        hepflow("run", path, "-i", xaods[0], "-o", f"run{workers}", "-j", workers).failed(
            "bad failed: ValueError: no luck", f"tool bad, {xaods[1][1].path}, entries 0–25, job.py line 12", "--debug"
        )
        assert nothing_half_written(tmp_path / f"run{workers}")


def test_worker_that_is_killed_is_named(hepflow, joboptions, xaods, tmp_path):
    path = joboptions(BAD % "import os; os.kill(os.getpid(), 9)")
    hepflow("run", path, "-i", xaods[0], "-o", "run", "-j", 2).failed(
        "a worker process was killed, and again",
        f"worker lost: {xaods[1][1].path}, entries 0–25",
        "--resume",
        "; it was at tool bad",
    )
    assert nothing_half_written(tmp_path / "run")


def test_damaged_files_are_noted_and_left_out(hepflow, xaods, joboptions, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(xaods[0], folder)
    path = joboptions('job = Job("t")\njob += NtupleStream("tree", Keep=["TauJets.pt"])\n')
    (folder / "part1.root").write_bytes((folder / "part1.root").read_bytes()[:-300])
    run = ("run", path, "-i", folder, "-o", "out")
    hepflow("plan", path, "-i", folder).failed("1 of 3 units failed: 1 truncated")
    hepflow(*run).failed("1 of 3 units failed: 1 truncated", "part1.root", "failures.json", "--leave-out")
    hepflow("run", path, "-i", folder / "part1.root", "-o", "one").failed("truncated")
    hepflow(*run, "--leave-out").failed("--leave-out accepts what has failed")
    out = hepflow(*run, "--resume", "--leave-out")
    out.fine()
    assert "left out 1 work unit that failed: 1 truncated" in out
    assert len(list((tmp_path / "out").glob("tree_*.root"))) == 2


SLOW = """
import time
from pathlib import Path
class Slow(Tool):
    def reads(self): return ["EventInfo.mcEventNumber", "TauJets.pt"]
    def start(self): return {"sum": 0.0}
    def execute(self, events, result):
        result["sum"] += float(events["TauJets"].flat("pt").sum())
        if 40 in events["EventInfo"]["mcEventNumber"] and not Path("go").exists():
            Path(f"waiting").touch()
            time.sleep(60)
    def finalize(self, total, context):
        context.path("sum.txt").write_text(repr(total["sum"]))
job = Job("slow")
job += Slow("slow")
job += NtupleStream("tree", Keep=["TauJets.pt", "EventInfo.mcEventNumber"])
job += MxAODStream("output")
"""


@pytest.mark.parametrize(("workers", "stop"), [(1, signal.SIGINT), (2, signal.SIGINT), (2, signal.SIGTERM)])
def test_interrupt_keeps_finished_parts_and_resume_continues(
    hepflow, joboptions, xaods, tmp_path, read, assert_same, workers, stop
):
    path = joboptions(SLOW)
    # a shell that runs the tests in the background has made them ignore Ctrl-C, and children inherit that
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listening}; from hepflow.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(path), "-i", str(xaods[0])]
    process = subprocess.Popen(
        [*command, "-o", "run", "-j", str(workers)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    finished = tmp_path / "run" / ".hepflow" / "ledger"
    deadline = time.monotonic() + 60
    wanted = 1 if workers == 1 else 2
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "waiting").exists() and progress(Ledger(finished, tmp_path))[0] >= wanted:
            break
        time.sleep(0.05)
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)  # as a terminal does: to the main process and its workers
    else:
        process.send_signal(stop)  # as a batch system does
    out, err = process.communicate(timeout=600)
    assert process.returncode == 128 + stop, out + err
    assert "Traceback" not in out + err
    assert "interrupted" in err
    assert not workers_alive(process.pid)
    assert f"kept: {wanted} finished part{'s' * (wanted > 1)} of tree: tree_000001-" in out
    assert "continue with: hepflow run " in out
    assert "-o run" in out
    assert "--resume" in out
    assert nothing_half_written(tmp_path / "run")
    (tmp_path / "go").touch()
    resumed = hepflow("run", path, "-i", xaods[0], "-o", "run", "--resume").fine()
    assert f"{wanted} work unit{'s' * (wanted > 1)} kept from before" in resumed.out
    hepflow("run", path, "-i", xaods[0], "-o", "whole").fine()
    for name in ("tree", "output"):
        run, whole = (read(*sorted((tmp_path / folder).glob(f"{name}_*.root"))) for folder in ("run", "whole"))
        assert_same(run, whole)
    assert (tmp_path / "run" / "sum.txt").read_text() == (tmp_path / "whole" / "sum.txt").read_text()


@pytest.mark.parametrize(
    ("shell", "code", "message"),
    [
        ("{} list samples >&-", 0, ""),
        ("{} list samples > /dev/full", 1, "stdout, what hepflow prints, cannot be written: No space left on device"),
        ("mkdir gone; cd gone; rmdir ../gone; {} list samples", 1, "the folder that hepflow is started in cannot be"),
    ],
)
def test_where_it_is_started(tmp_path, shell, code, message):
    command = shell.format(f"{sys.executable} -c 'from hepflow.cli import main; main()'")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "itself failed" not in done.stderr


def test_the_end_of_a_file_is_no_ctrl_c(hepflow, monkeypatch):
    def ends(*_):
        raise EOFError("marshal data too short")

    monkeypatch.setattr("hepflow.cli.hepflow.invoke", ends)
    hepflow("doctor").failed("hepflow itself failed: EOFError: marshal data too short")
