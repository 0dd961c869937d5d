"""Job-option files: found by path or name, run, and what goes wrong with them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import cloudpickle
import pytest

from hepflow.errors import JobOptionsError, PluginError, PropertyError
from hepflow.joboptions import find_joboptions, load_joboptions, shipped_joboptions

GOOD = '''"""A job."""
from hepflow import Job, Property, Tool


class Cut(Tool):
    """Cuts."""

    PtMin = Property(1.0, "lowest pt")


job = Job("Good", default_sample="Gammatautau")
mode = job.option("mode", default="one", choices=("one", "two"), doc="how many cuts")
job += Cut("first")
if mode == "two":
    job += Cut("second", PtMin=2)
'''


@pytest.fixture
def write(tmp_path):
    def make(text, name="Good.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shipped_jobs_are_found_by_name():
    assert {"NNDecayMode", "PhysliteTaus"} <= set(shipped_joboptions())
    assert "__init__" not in shipped_joboptions()
    for name in ("NNDecayMode", "NNDecayMode.py"):
        assert find_joboptions(name).name == "NNDecayMode.py"


def test_paths_win_and_folders_of_the_variable_come_first(write, tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "NNDecayMode.py").write_text(GOOD)
    (own / "Mine.py").write_text(GOOD)
    monkeypatch.setenv("HEPFLOW_JOBOPTIONS_PATH", f"{tmp_path / 'nowhere'}:{own}")
    assert find_joboptions("Mine") == own / "Mine.py"
    assert find_joboptions("NNDecayMode") == own / "NNDecayMode.py"
    monkeypatch.chdir(tmp_path)
    write(GOOD, "NNDecayMode.py")
    assert find_joboptions("NNDecayMode.py") == tmp_path / "NNDecayMode.py"
    assert find_joboptions("own/Mine.py") == own / "Mine.py"


def test_an_output_folder_of_the_same_name_is_not_in_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NNDecayMode").mkdir()
    assert find_joboptions("NNDecayMode").name == "NNDecayMode.py"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NNDecayMod", r"no job-option file 'NNDecayMod'[\s\S]*did you mean 'NNDecayMode'"),
        ("Goood.py", r"did you mean 'Good.py'"),
        ("sub/Othr.py", r"no job-option file 'sub/Othr.py'[\s\S]*did you mean 'Other.py'"),
        ("nowhere/NNDecayMod.py", r"did you mean 'NNDecayMode'[\s\S]*hepflow list jobs"),
        ("sub", "sub is a folder"),
    ],
)
def test_what_is_not_there(write, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    write(GOOD)
    (tmp_path / "sub").mkdir()
    write(GOOD, "sub/Other.py")
    with pytest.raises(JobOptionsError, match=message):
        find_joboptions(name)


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_loading_gives_a_frozen_job(write):
    path = write(GOOD)
    file = load_joboptions(path)
    assert (file.path, file.text) == (path, GOOD)
    assert (file.job.name, file.job.default_sample, file.job.folder) == ("Good", "Gammatautau", path.parent)
    assert file.module.job is file.job
    with pytest.raises(PropertyError, match="frozen"):
        file.job.find("first").PtMin = 3


def test_options_are_in_place_before_the_file_runs_and_set_comes_after(write):
    file = load_joboptions(write(GOOD), {"mode": "two"}, settings=["second.PtMin=5", "second.PtMin=6"])
    assert file.job.options == {"mode": "two"}
    assert (file.job.find("first").PtMin, file.job.find("second").PtMin) == (1.0, 6.0)


def test_errors_behind_the_file_say_what_they_are_about(write):
    with pytest.raises(PropertyError) as caught:
        load_joboptions(write(GOOD), settings=["first.PtMin=high"])
    assert caught.value.where == "--set first.PtMin=high"
    path = write(GOOD + "job += job.find('first').copy()\n")
    with pytest.raises(JobOptionsError, match="two members of job Good are called 'first'") as caught:
        load_joboptions(path)
    assert caught.value.where == str(path)


def test_run_as_plain_python_it_uses_defaults(write):
    path = write(GOOD + "print(mode, [tool.name for tool in job.tools])\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.strip() == "one ['first']"


def test_one_load_does_not_leak_into_the_next(write):
    path = write(GOOD)
    assert load_joboptions(path, {"mode": "two"}).job.options == {"mode": "two"}
    assert load_joboptions(path).job.options == {"mode": "one"}


def test_tools_of_the_file_travel_by_value(write):
    """A worker has no module of that name."""
    job = load_joboptions(write(GOOD)).job
    text = cloudpickle.dumps(job.find("first"))
    script = "import sys, pickle; print(repr(pickle.load(sys.stdin.buffer)))"
    done = subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, check=True, timeout=600)
    assert done.stdout.decode().strip() == "Cut('first')"
    assert pickle.loads(text).copy().PtMin == 1.0


def test_of_several_jobs_the_one_called_job_is_run(write):
    text = (
        'from hepflow import Job, Tool\nother = Job("Other")\nother += Tool("t")\n{} = Job("Good")\n{} += Tool("t")\n'
    )
    assert load_joboptions(write(text.format("job", "job"))).job.name == "Good"
    with pytest.raises(JobOptionsError, match=r"builds 2 jobs: Other, Good[\s\S]*call the one to run `job`"):
        load_joboptions(write(text.format("main", "main")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"builds no job[\s\S]*Good\.py"),
        ("job = (\n", r"syntax error[\s\S]*Good\.py, line 1"),
        ("x = '\0'\n", r"syntax error"),
        ("a = 1\nb = a / 0\n", r"raised ZeroDivisionError: division by zero[\s\S]*Good\.py, line 2"),
        ("import sys\nsys.exit(3)\n", r"raised SystemExit: 3[\s\S]*line 2"),
        ("def f():\n    return 1 / 0\nf()\n", r"raised ZeroDivisionError[\s\S]*line 2"),
        ("import hepfloww\n", r"raised ModuleNotFoundError[\s\S]*line 1"),
        (
            "from hepflow.plugins.tau import TauSelektion\n",
            r"cannot import name 'TauSelektion'[\s\S]*line 1[\s\S]*did you mean 'TauSelection'",
        ),
        ("from hepflow import Jobb\n", "did you mean 'Job'"),
        (
            "from hepflow.plugins.tau import TauSelection\njob = TauSelektion()\n",
            r"name 'TauSelektion' is not defined[\s\S]*line 2[\s\S]*did you mean 'TauSelection'",
        ),
        (
            GOOD.replace('Cut("first")', 'Cut("first", PtMim=3)'),
            r"Cut has no property 'PtMim'[\s\S]*Good\.py, line 13: Cut\('first'\)[\s\S]*did you mean 'PtMin'",
        ),
        (GOOD.replace('Cut("first")', "Cut"), r"did you forget the parentheses"),
        (GOOD + 'job += Cut("first")\n', "two members of job Good are called 'first'"),
    ],
)
def test_what_is_wrong_is_told_with_the_line(write, text, message):
    with pytest.raises((JobOptionsError, PropertyError), match=message):
        load_joboptions(write(text))


def test_a_file_that_cannot_be_read(tmp_path, write):
    with pytest.raises(JobOptionsError, match=r"cannot be read[\s\S]*Nothing\.py"):
        load_joboptions(tmp_path / "Nothing.py")
    path = write("")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(JobOptionsError, match="cannot be read"):
        load_joboptions(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": {"mode": "three"}}, "--mode does not accept 'three'"),
        ({"texts": {"mod": "two"}}, "no option --mod"),
        ({"settings": ["second.PtMin=5"]}, "no tool or stream 'second'"),
        ({"datatype": "TAUS"}, r"no datatype 'TAUS'[\s\S]*did you mean 'TAU'"),
        ({"datatype": "JET"}, "-dt JET has no effect"),
    ],
)
def test_no_option_is_silently_ignored(write, arguments, message):
    with pytest.raises(JobOptionsError, match=message):
        load_joboptions(write(GOOD), **arguments)


def test_errors_keep_their_class_and_cause(write):
    with pytest.raises(PluginError, match="no such plugin") as caught:
        load_joboptions(write("from hepflow.errors import PluginError\nraise PluginError('no such plugin')\n"))
    assert "line 2" in caught.value.where
    assert caught.value.__cause__ is not None


# ── what is made and forgotten ───────────────────────────────────────────────────────────────────────────────────────


def test_tools_that_are_never_added_are_told(write):
    lost = GOOD + 'Cut("lost")\nstream = NtupleStream("tree")\nstream += Cut("inside")\n'
    file = load_joboptions(write("from hepflow.streams import NtupleStream\n" + lost))
    lines = len(GOOD.splitlines()) + 2
    assert file.notes == (
        f"Cut('lost') is made in line {lines} and never added: job += …",
        f"NtupleStream('tree') is made in line {lines + 1} and never added: job += …",
    )
    varied = GOOD + 'job.vary("UP", columns={"TauJets.pt": "TauJets.pt * 2"})\n'
    assert load_joboptions(write(varied)).notes == ()


@pytest.mark.parametrize(
    ("end", "out", "err"),
    [
        ("", "", "builds job Good; run: hepflow run Good.py"),
        ("1 / 0\n", "", "ZeroDivisionError"),
        ('from hepflow import run_file\nif __name__ == "__main__":\n    run_file(__file__)\n', "how many cuts", ""),
    ],
)
def test_a_file_as_a_script(write, tmp_path, end, out, err):
    write(GOOD + end)
    command = [sys.executable, "Good.py", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert out in done.stdout
    assert err in done.stderr
    assert ("builds job" in done.stderr) == (not end)
