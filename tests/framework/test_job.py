"""Jobs: tools, streams, options, --set, -dt, and what freezing refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import Job, Property, Stream, Tool
from hepflow.datafiles import find_data_file
from hepflow.errors import JobOptionsError, PropertyError
from hepflow.job import OptionValues, option_values


class ToolA(Tool):
    """A tool."""

    Cut = Property(1, "a cut")
    Names: Property[tuple[str, ...]] = Property((), "names", item=str)


class Matching(Tool):
    """Takes -dt."""

    DataType = Property("TAU", "which taus", choices=("TAU", "JET", "ELE", "MUON"))


class Weighted(Tool):
    """Names a data file."""

    WeightFile = Property("", "a network", file=True)
    Others: Property[tuple[str, ...]] = Property((), "more networks", item=str, file=True)


@pytest.fixture
def with_options():
    """A job as a job-option file builds it, with values from the command line."""
    tokens = []

    def make(texts=None, datatype=None):
        tokens.append(option_values.set(OptionValues(texts, datatype)))
        return Job("Test")

    yield make
    for token in reversed(tokens):
        option_values.reset(token)


def full_job():
    job = Job("Test")
    job += ToolA("first")
    stream = Stream("tree")
    stream += ToolA("inner")
    job += stream
    job += [ToolA("second"), ToolA("third")]
    stream += ToolA("late")
    return job


def test_members_stand_in_the_order_in_which_they_were_added():
    job = full_job()
    assert [tool.name for tool in job.tools] == ["first", "second", "third"]
    assert [stream.name for stream in job.streams] == ["tree"]
    assert [tool.name for tool in job.all_tools()] == ["first", "inner", "late", "second", "third"]
    assert [member.name for member in job.configurables()] == ["first", "tree", "inner", "late", "second", "third"]
    assert "Test" in repr(job)


def test_athena_style_configuration():
    """tool = …, setProperty, += as in THOR's job options."""
    job = Job("Test")
    tool = ToolA("a")
    assert tool.setProperty("Cut", 5)
    job += tool
    assert job.find("a") is tool
    assert job.find("a").Cut == 5


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (ToolA, r"was added to job Test[\s\S]*parentheses"),
        ([], "empty list of tools was added to job Test"),
        ([ToolA("a"), "b"], "'b' was added to job Test"),
        (None, "None was added to job Test"),
    ],
)
def test_only_tools_and_streams_are_added(thing, message):
    job = Job("Test")
    with pytest.raises(JobOptionsError, match=message):
        job += thing
    assert list(job.configurables()) == []


def test_tools_are_added_with_plus_equal_only():
    """Appending to the list of tools would leave the tool half in the job."""
    with pytest.raises(AttributeError):
        full_job().tools.append(ToolA("x"))


@pytest.mark.parametrize("name", ["", "a b", "a/b", "1a"])
def test_names_of_jobs(name):
    with pytest.raises(JobOptionsError, match="no name for a job"):
        Job(name)


# ── --set ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_set_reads_text_by_the_type_of_the_property():
    job = full_job()
    job.set("inner.Cut=7")
    job.set("first.Names = a,b=c")
    job.set("tree.Keep=TauJets.*,TauTracks.pt")
    assert job.find("inner").Cut == 7
    assert job.find("first").Names == ("a", "b=c")
    assert job.find("tree").Keep == ("TauJets.*", "TauTracks.pt")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("inner.Cut", "wants Tool.Property=value"),
        ("Cut=1", "wants Tool.Property=value"),
        ("iner.Cut=1", r"no tool or stream 'iner'[\s\S]*did you mean 'inner'"),
        ("inner.Cit=1", r"has no property 'Cit'[\s\S]*did you mean 'Cut'"),
        ("inner.Cut=many", "Cut wants int, got the text 'many'"),
    ],
)
def test_set_refuses_what_does_not_fit(assignment, message):
    with pytest.raises((JobOptionsError, PropertyError), match=message):
        full_job().set(assignment)


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_options_have_defaults_without_a_command_line():
    job = Job("Test")
    assert job.option("mode", default="tree", choices=("tree", "both"), doc="what to write") == "tree"
    assert job.option("cut", default=1.5, doc="a cut") == 1.5
    assert job.options == {"mode": "tree", "cut": 1.5}
    assert {name: option.doc for name, option in job.declared_options.items()} == {
        "mode": "what to write",
        "cut": "a cut",
    }


def test_options_are_read_by_the_type_of_the_default(with_options):
    job = with_options({"cut": "2", "names": "a,b", "on": "false", "folds": "1,2", "all": None})
    assert job.option("cut", default=1.5, doc="") == 2.0
    assert job.option("names", default=("x",), doc="") == ("a", "b")
    assert job.option("on", default=True, doc="") is False
    assert job.option("folds", default=(), item=int, doc="") == (1, 2)
    assert job.option("all", default=False, doc="") is True


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"mode": "tre"}, r"--mode does not accept 'tre'[\s\S]*did you mean 'tree'"),
        ({"cut": "much"}, "--cut wants float, got the text 'much'"),
        ({"cut": None}, "--cut wants a value"),
    ],
)
def test_option_values_that_do_not_fit(with_options, texts, message):
    job = with_options(texts)
    declared = {"mode": {"default": "tree", "choices": ("tree", "both")}, "cut": {"default": 1.5}}
    (name,) = texts
    with pytest.raises(JobOptionsError, match=message) as caught:
        job.option(name, doc="", **declared[name])
    assert caught.value.where == "the options that were given"


def test_wrong_declarations(with_options):
    job = with_options({"mode": "both"})
    with pytest.raises(JobOptionsError, match="--mode does not accept 'none'"):
        job.option("mode", default="none", choices=("tree", "both"), doc="")
    job.option("cut", default=1, doc="")
    with pytest.raises(JobOptionsError, match="--cut is declared twice"):
        job.option("cut", default=1, doc="")


def test_values_of_undeclared_options_are_errors(with_options):
    job = with_options({"mod": "tree"})
    job.option("mode", default="tree", doc="")
    job += ToolA("a")
    with pytest.raises(JobOptionsError, match=r"job Test has no option --mod[\s\S]*did you mean 'mode'"):
        job.freeze()


# ── freezing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_frozen_jobs_are_locked():
    job = full_job()
    job.freeze()
    job.freeze()
    with pytest.raises(JobOptionsError, match="job Test is frozen"):
        job += ToolA("x")
    with pytest.raises(PropertyError, match="frozen"):
        job.set("inner.Cut=2")
    with pytest.raises(JobOptionsError, match="frozen"):
        job.streams[0].__iadd__(ToolA("x"))


def test_an_empty_job_is_refused():
    with pytest.raises(JobOptionsError, match="no tools and no streams"):
        Job("Test").freeze()


def test_names_are_unique_in_the_whole_job():
    job = full_job()
    job += Matching("inner")
    with pytest.raises(JobOptionsError, match="called 'inner': a ToolA and a Matching"):
        job.freeze()
    job = Job("Test")
    job += ToolA("tree")
    job += Stream("tree")
    with pytest.raises(JobOptionsError, match="called 'tree': a ToolA and a Stream"):
        job.freeze()


def test_a_tool_has_one_owner():
    job, tool = Job("Test"), ToolA("a")
    for name in ("one", "two"):
        stream = Stream(name)
        stream += tool
        job += stream
    with pytest.raises(JobOptionsError, match=r"was added twice[\s\S]*stands on the job"):
        job.freeze()


def test_a_refused_job_can_be_repaired():
    job = Job("Test")
    with pytest.raises(JobOptionsError):
        job.freeze()
    job += ToolA("a")
    job.freeze()


# ── -dt ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_datatype_reaches_the_tools_that_take_it(with_options):
    job = with_options(datatype="ELE")
    job += Matching("m")
    stream = Stream("s")
    stream += Matching("n")
    job += stream
    job.freeze()
    assert (job.datatype, job.find("m").DataType, job.find("n").DataType) == ("ELE", "ELE", "ELE")


def test_without_datatype_a_tool_keeps_what_it_says(with_options):
    job = with_options()
    job += Matching("m", DataType="JET")
    job += Matching("n")
    job.freeze()
    assert (job.datatype, job.find("m").DataType, job.find("n").DataType) == ("TAU", "JET", "TAU")


def test_a_datatype_without_effect_is_an_error(with_options):
    job = with_options(datatype="JET")
    job += ToolA("a")
    with pytest.raises(JobOptionsError, match="-dt JET has no effect"):
        job.freeze()


def test_a_datatype_that_a_tool_contradicts_is_an_error(with_options):
    job = with_options(datatype="JET")
    job += Matching("m", DataType="ELE")
    with pytest.raises(JobOptionsError, match="-dt JET meets"):
        job.freeze()


# ── data files ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_data_files_are_found_when_the_job_is_frozen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside, elsewhere = tmp_path / "options", tmp_path / "data"
    for folder in (beside, elsewhere):
        folder.mkdir()
    (elsewhere / "net.json").write_text("far")
    monkeypatch.setenv("HEPFLOW_DATA_PATH", str(elsewhere))

    def frozen():
        job = Job("Test")
        job.folder = beside
        job += [Weighted("w", WeightFile="net.json"), Weighted("none")]
        job.freeze()
        return job.data_files()

    assert frozen() == {"w.WeightFile": elsewhere / "net.json"}
    (beside / "net.json").write_text("near")
    assert frozen() == {"w.WeightFile": beside / "net.json"}
    (tmp_path / "net.json").write_text("here")
    assert frozen() == {"w.WeightFile": tmp_path / "net.json"}


def test_several_data_files_of_one_property(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(name)
    job = Job("Test")
    job.folder = tmp_path
    job += Weighted("w", Others=["a.json", "b.json"])
    job.freeze()
    assert job.find("w").Others == (str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert job.data_files() == {f"w.Others[{i}]": tmp_path / name for i, name in enumerate(("a.json", "b.json"))}


def test_a_tool_can_name_its_own_data_files(tmp_path):
    class Reader(Weighted):
        Folder = Property("", "a folder with data")

        def data_files(self):
            return super().data_files() | {"Folder/x": f"{self.Folder}/x"}

    (tmp_path / "a.json").write_text("")
    job = Job("Test")
    job += Reader("r", WeightFile=str(tmp_path / "a.json"), Folder="data")
    job.freeze()
    assert job.data_files() == {"r.WeightFile": tmp_path / "a.json", "r.Folder/x": Path("data/x")}


def test_a_missing_data_file_is_named_with_the_nearest(tmp_path):
    (tmp_path / "network.json").write_text("")
    job = Job("Test")
    job.folder = tmp_path
    job += Weighted("w", WeightFile="netwrk.json")
    with pytest.raises(
        JobOptionsError, match=r"no data file 'netwrk.json'[\s\S]*did you mean 'network.json'"
    ) as caught:
        job.freeze()
    assert caught.value.where == "w.WeightFile"
    assert str(tmp_path) in caught.value.hint
    (tmp_path / "training").mkdir()  # of a path, what is not there
    with pytest.raises(JobOptionsError, match=r"has no 'trainin': did you mean 'training'"):
        find_data_file(f"{tmp_path}/trainin/*/model.onnx", [])
