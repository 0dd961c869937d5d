"""Whole runs in this process: the same for any number of workers, resume, finalize, what the directory says."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepflow import Job, Property, Tool
from hepflow.errors import InputError, JobOptionsError, OutputError, ToolError, UnitsFailedError
from hepflow.events import Column
from hepflow.execution import RunOptions, run
from hepflow.execution import plan as planning
from hepflow.execution.merge import collect_parts
from hepflow.execution.rundir import RunDirectory
from hepflow.io.writers import RNTupleWriter
from hepflow.joboptions import load_joboptions
from hepflow.plugins.tau import NNDecayModeTree, PFOCountDecayMode, TauSelection, TauTruthMatching
from hepflow.registry.manager import Registry
from hepflow.streams import MxAODStream, NtupleStream
from hepflow.variables import Binning, Variable


class Noise(Tool):
    """Decorates with random numbers of the event."""

    def reads(self):
        return ["TauJets.pt", "EventInfo.eventNumber"]

    def writes(self):
        return ["TauJets.noise"]

    def start(self):
        return {"sum": 0.0, "n": 0}

    def execute(self, events, result):
        noise = events.random(self).normal(events["TauJets"].counts)
        events["TauJets"]["noise"] = noise
        result["sum"] += float(noise.sum())
        result["n"] += len(noise)


class Trouble(Tool):
    """Does something bad at one event, as long as a file is there that says how often."""

    At = Property(0, "mcEventNumber")
    Counter = Property("", "file with the number of times")
    How = Property("kill", "what to do", choices=("kill", "interrupt", "raise", "close", "unpicklable"))

    def reads(self):
        return ["EventInfo.mcEventNumber"]

    def start(self):
        return {}

    def execute(self, events, result):
        left = int(Path(self.Counter).read_text() or 0)
        if self.At not in events["EventInfo"]["mcEventNumber"] or left == 0:
            return
        Path(self.Counter).write_text(str(left - 1))
        if self.How == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.How == "interrupt":
            raise KeyboardInterrupt
        if self.How == "unpicklable":
            result["f"] = {"g": (i for i in range(3))}
        if self.How == "close":
            for one in Path("/proc/self/fd").iterdir():
                if one.is_symlink() and "/doing-" in os.readlink(one):  # noqa: PTH115
                    os.close(int(one.name))
        if self.How == "raise":
            raise ValueError("trouble")


class Summary(Tool):
    """Only finalizes: looks at an earlier result and an output."""

    Of = Property("noise", "tool to look at")

    def finalize(self, total, context):
        files = context.output("tree")
        context.path("sub/summary.txt").write_text(f"{context.result(self.Of)['n']} {context.events}")
        return {"total": total, "files": [path.name for path in files]}


def decay_modes(*extra):
    """The real tools with two streams."""
    tree, output = NtupleStream("tree"), MxAODStream("output", Drop=["Truth*"])
    tree += NNDecayModeTree("t")
    output += PFOCountDecayMode("p")
    things = [TauSelection("TauSelection", PtMin=10e3), TauTruthMatching("TauTruthMatching")]
    return [*things, *extra, Noise("noise"), tree, output]


def all_columns(result, read):
    return {name: read(*paths) for name, paths in result.outputs.items()}


def same(left, right, read, assert_same):
    for name, columns in all_columns(left, read).items():
        assert_same(columns, all_columns(right, read)[name])


@pytest.fixture
def files(xaods):
    return [x.path for x in xaods[1]]


def test_same_bits_for_workers_and_chunks(files, go, read, assert_same):
    files = files[1:]
    reference = go(files, *decay_modes())
    assert reference.results["noise"]["n"] == len(read(*reference.outputs["tree"])["TauJets.pt"]) > 20
    for options in ({"workers": 2}, {"chunk": 15}):
        other = go(files, *decay_modes(), **options)
        same(reference, other, read, assert_same)
        assert other.cutflow == reference.cutflow
        assert other.results["noise"]["n"] == reference.results["noise"]["n"]
        assert other.results["noise"]["sum"] == pytest.approx(reference.results["noise"]["sum"], rel=1e-12, abs=1e-12)
        if "chunk" not in options:
            assert other.results == reference.results
            for name, paths in reference.outputs.items():
                assert [p.stat().st_size for p in paths] == [p.stat().st_size for p in other.outputs[name]]


def test_same_bits_event_by_event(files, go, read, assert_same):
    reference, single = (go(files, *decay_modes(), events=6, chunk=chunk) for chunk in (100_000, 1))
    same(reference, single, read, assert_same)
    assert single.cutflow == reference.cutflow


def test_work_units_within_a_file_give_the_same(files, go, read, assert_same, monkeypatch):
    reference = go(files[2:], *decay_modes())
    monkeypatch.setattr(planning, "UNIT_ENTRIES", 15)
    other = go(files[2:], *decay_modes())
    assert [len(paths) for paths in other.outputs.values()] == [2, 2]
    same(reference, other, read, assert_same)


def test_events_and_skip_are_a_window(files, go, read):
    def numbers(**options):
        stream = NtupleStream("tree", Container="", Keep=["EventInfo.mcEventNumber"])
        return read(*go(files, stream, **options).outputs["tree"])["EventInfo.mcEventNumber"].tolist()

    assert numbers() == list(range(1, 76))
    assert numbers(events=33) == list(range(1, 34))
    assert numbers(events=33, skip=28) == list(range(29, 62))


def test_seed_changes_random_numbers(files, go, read):
    one, two = (go(files[:1], Noise("noise"), seed=s).results["noise"] for s in (1, 2))
    assert one["n"] == two["n"]
    assert one["sum"] != two["sum"]


def test_taus_of_one_event_in_an_ntuple_have_their_own_random_numbers(files, go, read):
    taus = go(files[:1], NtupleStream("taus", Keep=["TauJets.pt", "EventInfo.eventNumber"])).outputs["taus"]
    assert len(np.unique(read(*taus)["EventInfo.eventNumber"])) < len(read(*taus)["EventInfo.eventNumber"])

    def drawn(**options):
        smeared = NtupleStream("tree", Container="", Keep=["TauJets.noise"])
        return read(*go(taus, Noise("noise"), smeared, **options).outputs["tree"])["TauJets.noise"].tolist()

    assert len(set(drawn())) == len(read(*taus)["TauJets.pt"])
    assert drawn(chunk=1) == drawn()


def test_finalize_sees_results_outputs_and_directory(files, go, measure):
    tree = NtupleStream("tree", Keep=["TauJets.noise"])
    result = go(files, Noise("noise"), tree, Summary("summary"), measure("m"), chunk=10)
    assert result.results["summary"] == {"total": None, "files": [p.name for p in result.outputs["tree"]]}
    assert (result.directory / "sub" / "summary.txt").read_text() == f"{result.results['noise']['n']} 75"
    assert [p.name for p in result.outputs["tree"]] == [f"tree_00000{i}.root" for i in (1, 2, 3)]


def test_tools_finalize_in_job_order(files, go, measure):
    tree = NtupleStream("tree", Keep=["TauJets.noise"])
    with pytest.raises(JobOptionsError, match="no result of a tool 'later'") as caught:
        go(files, Noise("noise"), tree, Summary("summary", Of="later"), measure("later"))
    assert caught.value.hint == "known results: noise; tools finalize in job order"


class Label(Tool):
    """Returns the label of the run's figures."""

    def finalize(self, total, context):
        return context.label


def test_figures_are_called_simulation_where_hepflow_simulated_all_of_the_input(files, go, tmp_path, caplog):
    simulated = tmp_path / "simulated.root"
    writer = RNTupleWriter(simulated, "EventData", metadata={"simulation": "parametrised detector"})
    writer.write({"EventInfo.mcEventNumber": Column(None, np.arange(3, dtype=np.uint64))})
    writer.close()

    def said(inputs, output, **options):
        keep = MxAODStream("output", Keep=["EventInfo.mcEventNumber"])
        return go(inputs, Label("l"), keep, output=str(tmp_path / output), **options)

    first = said([simulated], "a")
    assert first.results["l"] == "hepflow simulation"
    assert said(first.outputs["output"], "b").results["l"] == "hepflow simulation"  # also of what is made of it
    assert said([simulated, files[0]], "c").results["l"] == "hepflow"
    assert said([simulated, files[0]], "c", resume=True, label="My lab").results["l"] == "My lab"
    with pytest.raises(OutputError, match="--force would replace the folder that the input"):
        said(first.outputs["output"], "a", force=True)


def test_job_that_only_finalizes(tmp_path):
    class Answer(Tool):
        """Returns something."""

        def finalize(self, total, context):
            return 42

    job = Job("answer")
    job += Answer("a")
    assert run(job, RunOptions(output=str(tmp_path / "run"))).results == {"a": 42}
    with pytest.raises(JobOptionsError, match="-i has no effect"):
        run(job, RunOptions(inputs=["x.root"], output=str(tmp_path / "run2")))
    assert not (tmp_path / "run2").exists()


def test_no_input_and_no_sample(tmp_path, measure):
    job = Job("test")
    job += measure("m")
    with pytest.raises(JobOptionsError, match="has no default sample") as caught:
        run(job, RunOptions(output=str(tmp_path / "run")))
    assert "-i" in caught.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"workers": 0}, {"chunk": 0}, {"skip": -1}, {"events": -1}])
def test_options_that_make_no_sense(files, go, measure, options):
    with pytest.raises(JobOptionsError, match="at least"):
        go(files, measure("m"), **options)


def test_directory_says_how_it_was_made(files, go, cut):
    tree = NtupleStream("tree", Keep=["TauJets.pt"])
    result = go(files, cut("cut", PtMin=20e3), tree, events=40, checksum=True)
    record = json.loads((result.directory / "provenance.json").read_text())
    assert record["job"] == "test"
    assert record["events"] == 40
    assert record["properties"]["cut"] == {"class": "Cut", "PtMin": 20e3}
    assert record["properties"]["tree"]["Keep"] == ["TauJets.pt"]
    assert [i["path"] for i in record["inputs"]] == [str(f) for f in files[:2]]
    assert {"sha256", "uuid", "size", "mtime"} <= set(record["inputs"][0])
    assert {"hepflow", "python", "numpy", "uproot"} <= set(record["versions"])
    assert record["outputs"] == {"tree": ["tree_000001.root", "tree_000002.root"]}
    assert record["samples"] == dict.fromkeys(record["outputs"]["tree"], record["inputs"][0]["sample"])
    (line,) = json.loads((result.directory / "cutflow.json").read_text())
    assert (line["tool"], line["container"], line["selection"]) == ("cut", "TauJets", "pt")
    assert sorted(p.name for p in result.directory.iterdir()) == [
        *(".hepflow", "cutflow.json", "provenance.json", "tree_000001.root", "tree_000002.root")
    ]
    assert list((result.directory / ".hepflow" / "parts").iterdir()) == []


# ── when things go wrong ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def counter(tmp_path):
    path = tmp_path / "counter"

    def times(number):
        path.write_text(str(number))
        return str(path)

    times.read = path.read_text
    return times


@pytest.mark.parametrize(("how", "kept"), [("interrupt", 1), ("raise", 1), ("truncate", 0)])
def test_resume_continues_and_gives_the_same_bits(files, go, read, assert_same, counter, tmp_path, how, kept):
    def things():
        trouble = Trouble(
            "trouble", At=40, How="raise" if how == "truncate" else how, Counter=str(tmp_path / "counter")
        )
        streams = [NtupleStream("tree", Keep=["TauJets.*"], Drop=["*Links"]), MxAODStream("output", Keep=["TauJets.*"])]
        return [TauSelection("sel", PtMin=10e3), trouble, Noise("noise"), *streams]

    counter(0)
    reference = go(files, *things())
    counter(1)
    out = str(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt if how == "interrupt" else ToolError):
        go(files, *things(), output=out)
    parts = sorted((Path(out) / ".hepflow" / "parts").iterdir())
    assert [part.name[: -len("-0123456789abcdef.root")] for part in parts] == ["output_000001", "tree_000001"]
    assert not list(Path(out).glob("*.root"))
    if how == "truncate":
        os.truncate(parts[1], 1000)
    resumed = go(files, *things(), output=out, resume=True)
    assert resumed.kept == kept
    assert resumed.events == 75
    assert resumed.results == reference.results
    assert resumed.cutflow == reference.cutflow
    same(reference, resumed, read, assert_same)


def test_resume_of_a_finished_run_changes_nothing(files, go, measure, tmp_path):
    things = [measure("m"), NtupleStream("tree", Keep=["TauJets.pt"])]
    first = go(files, *things, output=str(tmp_path / "run"))
    times = {p: p.stat().st_mtime_ns for p in first.outputs["tree"]}
    things = [measure("m"), NtupleStream("tree", Keep=["TauJets.pt"])]
    again = go(files, *things, output=str(tmp_path / "run"), resume=True)
    assert again.kept == 3
    assert str(again.results) == str(first.results)
    assert {p: p.stat().st_mtime_ns for p in again.outputs["tree"]} == times


def test_killed_while_streams_are_closed(files, go, read, assert_same, tmp_path, monkeypatch):
    reference = go(files, *decay_modes())
    output = str(tmp_path / "killed")

    def killed(self, stream, *closed):
        if stream == "output":
            raise KeyboardInterrupt
        save(self, stream, *closed)

    save = RunDirectory.save_stream
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save_stream", killed)
        with pytest.raises(KeyboardInterrupt):
            go(files, *decay_modes(), output=output)
    resumed = go(files, *decay_modes(), output=output, resume=True)
    assert resumed.kept == len(files)
    same(reference, resumed, read, assert_same)
    assert not list((tmp_path / "killed/.hepflow/parts").iterdir())


def test_inputs_may_come_and_go_and_what_is_done_stays_done(files, go, measure, read, assert_same, tmp_path):
    def things():
        return [measure("m"), NtupleStream("tree", Keep=["TauJets.pt"])]

    output = str(tmp_path / "run")
    go(files[:2], *things(), output=output)
    for inputs in (files, files[1:], [files[0], files[2]]):
        again = go(inputs, *things(), output=output, resume=True, workers=1 + (inputs == files))
        reference = go(inputs, *things())
        assert again.kept >= len(inputs) - 1
        assert (str(again.results), again.cutflow) == (str(reference.results), reference.cutflow)
        same(reference, again, read, assert_same)
    assert [path.name for path in again.directory.glob("*.root")] == [path.name for path in again.outputs["tree"]]


def test_a_folder_of_an_unfinished_run_is_no_input(files, go, measure, tmp_path, monkeypatch):
    output = tmp_path / "run"
    stream = NtupleStream("tree", Keep=["TauJets.pt"])

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            go(files, stream, output=str(output))
    for read in (lambda: go(output, measure("m")), lambda: go(output / "*1.root", measure("m")),
                 lambda: collect_parts([output]), lambda: collect_parts(sorted(output.glob("*.root")))):  # fmt: skip
        with pytest.raises(InputError, match="has not finished") as caught:
            read()
        assert "--resume" in caught.value.hint
    done = go(files, stream.copy(), output=str(output), resume=True)
    assert go(output, NtupleStream("again", Keep=["TauJets.pt"])).events
    done.outputs["tree"][0].unlink()
    with pytest.raises(InputError, match=r"1 of 3 outputs of this run are missing: tree_000001.root"):
        go(output, measure("m"))
    (output / "provenance.json").write_text("[]")
    with pytest.raises(InputError, match="record of a run is damaged"):
        collect_parts([output])


def test_a_run_of_somebody_else_does_not_go_on(files, go, measure, tmp_path, monkeypatch):
    output = str(tmp_path / "run")
    go(files, measure("m"), output=output)
    monkeypatch.setattr("hepflow.execution.keys._user_key", lambda **_: b"another user's key, 32 bytes long")
    with pytest.raises(OutputError, match="not started by you"):
        go(files, measure("m"), output=output, resume=True)
    assert go(files, measure("m"), output=output, force=True).events


def test_resume_makes_a_deleted_output_again(files, go, read, assert_same, tmp_path):
    def things():
        return [NtupleStream("tree", Keep=["TauJets.pt"]), MxAODStream("output")]

    first = go(files, *things(), output=str(tmp_path / "run"))
    columns = all_columns(first, read)
    first.outputs["tree"][1].unlink()
    again = go(files, *things(), output=str(tmp_path / "run"), resume=True)
    for name in columns:
        assert_same(all_columns(again, read)[name], columns[name])
    assert list((tmp_path / "run" / ".hepflow" / "parts").iterdir()) == []


def test_resume_refuses_another_job_or_input(files, go, measure, cut, tmp_path):
    go(files, cut("cut", PtMin=5.0), output=str(tmp_path / "run"))
    with pytest.raises(OutputError, match=r"\n  cut\.PtMin: 5\.0 → 6\.0\n"):
        go(files, cut("cut", PtMin=6.0), output=str(tmp_path / "run"), resume=True)
    with pytest.raises(OutputError, match=r"entries\[0\]: '0–20' → '0–15'"):
        go(files, cut("cut", PtMin=5.0), output=str(tmp_path / "run"), resume=True, events=70)


def test_resume_refuses_other_code_and_no_other_plugins(files, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mytaus.py").write_text(
        "from hepflow import Tool\nfrom myscale import SCALE\n\n\nclass Scaled(Tool):\n    def reads(self):\n"
        "        return ['TauJets.pt']\n\n    def start(self):\n        return {'sum': 0.0}\n\n"
        "    def execute(self, events, result):\n        result['sum'] += SCALE * len(events['TauJets'].flat('pt'))\n"
    )
    (tmp_path / "myscale.py").write_text("import math\n\nSCALE = 2.0\n")
    from mytaus import Scaled

    def start(**options):
        job = Job("test")
        job += Scaled("scaled")
        plugins = options.pop("plugins", None)
        return run(job, RunOptions(inputs=[str(files[0])], output=str(tmp_path / "run"), **options), plugins=plugins)

    first = start()
    fewer = Registry(blocked=("simulation",))  # as if a plugin that the job does not use had gone
    assert start(resume=True, plugins=fewer).results == first.results
    (tmp_path / "myscale.py").write_text("import math\n\nSCALE = 1000.0\n")
    with pytest.raises(OutputError, match=r"scaled\.myscale\.py \(SHA-256\)"):
        start(resume=True)
    text = (tmp_path / "mytaus.py").read_text()  # the tool in the job-option file itself
    (tmp_path / "job.py").write_text(f"from hepflow import Job\n{text}\njob = Job('job')\njob += Scaled('scaled')\n")
    options = RunOptions(inputs=[str(files[0])], output=str(tmp_path / "of-file"))
    run(load_joboptions(tmp_path / "job.py"), options)
    (tmp_path / "myscale.py").write_text("import math\n\nSCALE = 3.0\n")
    with pytest.raises(OutputError, match=r"modules \(SHA-256\)\.myscale: "):
        run(load_joboptions(tmp_path / "job.py"), replace(options, resume=True))


def test_tools_check_the_job_before_anything_is_written(files, go, tmp_path):
    class Picky(Tool):
        """Wants a stream."""

        def check(self, job):
            job.find("tre")

    with pytest.raises(JobOptionsError, match="no tool or stream 'tre'") as caught:
        go("no.root", Picky("p"), NtupleStream("tree", Keep=["TauJets.pt"]), output=str(tmp_path / "run"))
    assert (caught.value.where, caught.value.hint) == ("tool p, before the event loop", "did you mean 'tree'?")
    assert not (tmp_path / "run").exists()


class Said(Tool):
    """Only finalizes: notes that it did, and returns what it is told."""

    Text = Property("", "what to return")
    Data = Property("", "a file", file=True)

    def finalize(self, total, context):
        with context.path("said.txt").open("a") as file:
            file.write(self.name)
        return self.Text


def test_resume_makes_anew_what_only_finalizes_and_has_changed(files, go, measure, tmp_path, caplog):
    """The loop and the tools before stay as they are; the tools after may use what has changed."""
    caplog.set_level("INFO", "hepflow")
    out, data = tmp_path / "run", tmp_path / "data.txt"
    data.write_text("1")

    def again(text, **options):
        tools = [Said("a"), measure("m"), Said("b", Text=text, Data=str(data)), Said("c")]
        return go(files, *tools, NtupleStream("tree", Keep=["TauJets.pt"]), output=str(out), **options)

    again("one")
    result = again("two", resume=True)
    assert (result.kept, result.results["b"], (out / "said.txt").read_text()) == (3, "two", "abcbc")
    data.write_text("2")
    again("two", resume=True)
    assert (out / "said.txt").read_text() == "abcbcbc"
    again("two", resume=True)
    assert (out / "said.txt").read_text() == "abcbcbc"
    assert "b.Text: 'one' → 'two'" in caplog.text
    assert "b.Data (SHA-256): " in caplog.text


class Shows(Tool):
    """Draws a variable, in the loop or at the end."""

    Shown = Property(None, "the variable", type=Variable)


class Fills(Shows):
    """Reads it, too."""

    def reads(self):
        return ["TauJets.pt"]

    def execute(self, events, result):
        """Take part in the loop."""


def test_resume_notices_another_binning(files, go, tmp_path, caplog):
    caplog.set_level("INFO", "hepflow")

    def again(number, tool, name, **options):
        variable = Variable("pt", binnings={"default": Binning.regular(number, 0, 1)})
        stream = NtupleStream("tree", Keep=["TauJets.pt"])
        go(files[:1], tool("plot", Shown=variable), stream, output=str(tmp_path / name), **options)

    again(1, Shows, "end")
    again(2, Shows, "end", resume=True)
    assert "plot.Shown.binnings.default.edges: [0.0, 1.0] → [0.0, 0.5, 1.0]" in caplog.text
    again(1, Fills, "loop")
    with pytest.raises(OutputError, match=r"plot\.Shown\.binnings\.default\.edges"):
        again(2, Fills, "loop", resume=True)


class Writes(Tool):
    """Only finalizes: writes into a folder, that of another tool where it is given one."""

    Into = Property("", "tool that has a folder")

    def finalize(self, total, context):
        folder = Path(context.result(self.Into)["folder"]) if self.Into else context.path("net")
        folder.mkdir(exist_ok=True)
        (folder / self.name).write_text(self.name * 9)
        with (folder / "steps").open("a") as file:
            file.write(self.name)
        return {"folder": str(folder)}


def written(files, go, out, **options):
    result = go(files[:1], NtupleStream("tree", Keep=["TauJets.pt"]), Writes("a"), Writes("b", Into="a"),
                Writes("c", Into="b"), output=str(out), **options)  # fmt: skip
    return result, (out / "net" / "steps").read_text()


@pytest.mark.parametrize(
    ("broken", "steps"),
    [
        ("", "abc"),
        ("net/b", "abcbc"),
        ("net/c", "abcc"),
        ("net/a", "abcabc"),
        ("net", "abc"),
        ("tree_000001.root", "abcabc"),
    ],
)
@pytest.mark.parametrize("damage", ["delete", "truncate"])
def test_resume_makes_what_is_gone_or_damaged_again(
    files, go, read, assert_same, tmp_path, caplog, broken, steps, damage
):
    out = tmp_path / "run"
    first, _ = written(files, go, out)
    columns = all_columns(first, read)
    if damage == "truncate" and broken not in ("", "net"):
        os.truncate(out / broken, 1)
    elif broken == "net":
        shutil.rmtree(out / "net")
    elif broken:
        (out / broken).unlink()
    again, found = written(files, go, out, resume=True)
    assert found == steps
    assert (f"\n  {broken}" in caplog.text) == bool(broken)
    assert_same(all_columns(again, read)["tree"], columns["tree"])
    assert {path.name for path in (out / "net").iterdir()} == {"a", "b", "c", "steps"}
    assert written(files, go, out, resume=True)[1] == steps


class Breaks(Tool):
    """Only finalizes: writes two files, with an interruption in between where there is to be one."""

    def finalize(self, total, context):
        folder = context.path("net")
        folder.mkdir(exist_ok=True)
        (folder / "checkpoint").touch()
        if "BREAK" in os.environ:
            raise KeyboardInterrupt
        (folder / "model").touch()


@pytest.mark.parametrize("name", ["checkpoint", "model"])
def test_the_files_of_a_step_that_was_killed_belong_to_the_run(files, go, tmp_path, monkeypatch, name):
    def again(**options):
        go(files[:1], NtupleStream("tree", Keep=["TauJets.pt"]), Breaks("b"), output=str(tmp_path / "run"), **options)

    with monkeypatch.context() as killed:
        killed.setenv("BREAK", "1")
        killed.setattr(RunDirectory, "noting", lambda *_: nullcontext())  # a process that is killed notes nothing
        with pytest.raises(KeyboardInterrupt):
            again()
    again(resume=True)
    (tmp_path / "run" / "net" / name).unlink()
    again(resume=True)
    assert (tmp_path / "run" / "net" / name).exists()
    RunDirectory.prepare(str(tmp_path / "run"), "job", resume=False, force=True).release()
    assert not (tmp_path / "run" / "net").exists()


def test_what_is_written_into_the_folder_of_a_tool_that_was_kept_counts(files, go, tmp_path):
    def again(*more, **options):
        tools = (Writes("a"), *(Writes(name, Into="a") for name in more))
        go(files[:1], NtupleStream("tree", Keep=["TauJets.pt"]), *tools, output=str(tmp_path / "run"), **options)
        return (tmp_path / "run" / "net" / "steps").read_text()

    again()
    assert again("b", resume=True) == "ab"
    (tmp_path / "run" / "net" / "b").unlink()
    assert again("b", resume=True) == "abb"
    RunDirectory.prepare(str(tmp_path / "run"), "job", resume=False, force=True).release()
    assert not (tmp_path / "run" / "net").exists()


class Aside(Tool):
    """Only finalizes: as a trainer does, sets aside what it wrote with another text."""

    Text = Property("", "what to write")

    def finalize(self, total, context):
        file = context.path("net") / "model"
        if file.exists() and file.read_text() != self.Text:
            context.path("net").rename(context.path("net-1"))
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_text(self.Text)


@pytest.mark.parametrize(("gone", "again"), [("net", True), ("net-1", False)])
def test_what_a_tool_set_aside_may_be_removed(files, go, tmp_path, caplog, gone, again):
    def resumed(text, **options):
        go(files[:1], NtupleStream("tree", Keep=["TauJets.pt"]), Aside("a", Text=text), output=str(out), **options)

    out = tmp_path / "run"
    resumed("one")
    resumed("two", resume=True)
    assert (out / "net-1" / "model").read_text() == "one"
    shutil.rmtree(out / gone)
    resumed("two", resume=True)
    assert ("made again" in caplog.text) == again
    assert (out / "net" / "model").read_text() == "two"
    RunDirectory.prepare(str(out), "job", resume=False, force=True).release()
    assert not list(out.glob("net*"))


@pytest.mark.parametrize(("entry", "steps"), [("group-*", "abc"), ("stream_tree", "abcabc"), ("tool_b", "abcbc")])
def test_resume_after_a_power_loss_makes_what_cannot_be_read_again(
    files, go, read, assert_same, tmp_path, entry, steps
):
    out = tmp_path / "run"
    first, _ = written(files, go, out)
    columns = all_columns(first, read)
    next((out / ".hepflow" / "ledger").glob(f"{entry}.entries")).write_bytes(b"")
    again, found = written(files, go, out, resume=True)
    assert found == steps
    assert_same(all_columns(again, read)["tree"], columns["tree"])
    assert list((out / ".hepflow" / "parts").iterdir()) == []


def test_a_copy_of_a_run_leaves_the_original_alone(files, go, tmp_path):
    written(files, go, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "copy" / ".hepflow" / "ledger" / "tool_c.entries").unlink()
    result, steps = written(files, go, tmp_path / "copy", resume=True)
    assert steps == "abcc"
    assert result.outputs["tree"] == [tmp_path / "copy" / "tree_000001.root"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


OPTIONS = """
text = job.option("text", default="one", doc="to say")
job += Said("a", Text=text)
job += NtupleStream("tree", Keep=["TauJets.pt"])
"""


@pytest.mark.parametrize(("code", "kept"), [("", True), ("\ndef mine():\n    return text\n", False)])
def test_text_and_options_of_a_file_count_where_it_has_code_of_its_own(files, joboptions, tmp_path, code, kept):
    head = f"from {__name__} import Said\njob = Job('job')\n"
    options = RunOptions(inputs=[str(files[0])], output=str(tmp_path / "run"))
    run(load_joboptions(joboptions(head + OPTIONS + code)), options)
    changed = joboptions(head + "# a comment\n" + OPTIONS + code)
    again = replace(options, resume=True)
    if kept:
        assert run(load_joboptions(changed, {"text": "two"}), again).results["a"] == "two"
        return
    with pytest.raises(OutputError, match=r"SHA-256.*\n  options.text: 'one' → 'two'"):
        run(load_joboptions(changed, {"text": "two"}), again)


def test_killed_worker_is_tried_again(files, go, counter, read, assert_same):
    def things(times, at=0):
        return [Trouble("trouble", At=at, Counter=counter(times)), NtupleStream("tree", Keep=["TauJets.pt"])]

    reference = go(files[:2], *things(0))
    result = go(files[:2], *things(1, at=40), workers=2)
    assert counter.read() == "0"
    same(reference, result, read, assert_same)


def test_unit_that_kills_again_is_named_and_others_are_kept(files, go, counter, tmp_path):
    things = [Trouble("trouble", At=40, Counter=counter(99)), NtupleStream("tree", Keep=["TauJets.pt"])]
    told = f"1 of 3 units failed: 1 worker lost\n.*{files[1]}, entries 0–25: .*killed, and again when .* tried alone"
    with pytest.raises(UnitsFailedError, match=told) as caught:
        go(files, *things, workers=2, output=str(tmp_path / "run"), retries=0)
    assert "--resume" in caught.value.hint
    counter(0)
    things = [Trouble("trouble", At=40, Counter=counter(0)), NtupleStream("tree", Keep=["TauJets.pt"])]
    assert go(files, *things, output=str(tmp_path / "run"), resume=True).kept >= 1


def test_result_that_cannot_be_sent_names_the_tool(files, go, counter):
    with pytest.raises(ToolError, match="cannot be kept") as caught:
        go(files, Trouble("trouble", At=40, How="unpicklable", Counter=counter(9)), workers=2)
    assert caught.value.where == "tool trouble['f']['g']"


def test_tool_that_closes_files_of_its_process_is_named(files, go, counter, tmp_path):
    with pytest.raises(ToolError, match="tool trouble failed: it closed files of this process"):
        go(files, Trouble("trouble", At=40, How="close", Counter=counter(9)), output=str(tmp_path / "run"))
    assert not [*(tmp_path / "run/.hepflow/parts").iterdir()]


class FullFile:
    """A file system that is full from some write on."""

    def __init__(self, monkeypatch, matching):
        monkeypatch.setattr(Path, "write_bytes", self._guard(Path.write_bytes, matching))
        monkeypatch.setattr(Path, "write_text", self._guard(Path.write_text, matching))

    @staticmethod
    def _guard(function, matching):
        def write(path, *args, **kwargs):
            if matching in str(path):
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return function(path, *args, **kwargs)

        return write


@pytest.mark.parametrize("matching", ["payload", "group-", "stream_tree", "cutflow", "provenance", "fingerprint"])
def test_full_disk_while_the_engine_writes(files, go, tmp_path, monkeypatch, matching):
    out = tmp_path / "run"
    with monkeypatch.context() as full:
        FullFile(full, matching)
        workers = 2 if matching == "payload" else 1
        with pytest.raises(OutputError, match="No space left on device") as caught:
            go(files, NtupleStream("tree", Keep=["TauJets.pt"]), output=str(out), workers=workers)
    assert matching in caught.value.where
    assert "disk full" in caught.value.hint
    if matching != "fingerprint":
        assert len(go(files, NtupleStream("tree", Keep=["TauJets.pt"]), output=str(out), resume=True).outputs) == 1


def test_full_disk_while_a_stream_writes(files, go, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Full(MxAODStream):
        """Writes to a disk that gets full: no file may grow further."""

        def open(self, path, metadata, inputs):
            writer = super().open(path, metadata, inputs)
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 3000, before[1]))
            return writer

    try:
        with pytest.raises(OutputError, match=r"writing failed: .*File too large") as caught:
            go(files, Full("output"), output=str(tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "output_000001-" in caught.value.where
    assert "free on this disk" in caught.value.hint
    assert list((tmp_path / "run" / ".hepflow" / "parts").iterdir()) == []
    assert not list((tmp_path / "run").glob("*.root"))


def test_two_tools_with_one_name(files, go, measure, tmp_path):
    with pytest.raises(JobOptionsError, match="are called 'm'"):
        go(files, measure("m"), measure("m"), output=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_events_without_objects_anywhere(make_xaod, tmp_path, go, read):
    file = make_xaod(tmp_path / "a.root", 8, first=900)
    result = go(file.path, TauSelection("none", PtMin=1e9), *decay_modes())
    columns = read(*result.outputs["tree"])
    assert len(columns["TauJets.pt"]) == 0
    assert result.results["noise"] == {"sum": 0.0, "n": 0}
    assert np.all(read(*result.outputs["output"])["EventInfoAuxDyn:mcEventNumber"] == np.arange(900, 908))
