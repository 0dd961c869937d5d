"""Variations in one pass: what depends on an override runs again, and gives what a job of its own gives."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Job, Property, Tool
from hepflow.errors import ColumnError, HepflowError, JobOptionsError
from hepflow.execution import RunOptions, run
from hepflow.execution.dataflow import resolve
from hepflow.execution.planning import plan_job
from hepflow.plugins.common import Define, Filter
from hepflow.plugins.performance import HistogramPlots
from hepflow.protocols import ColumnInfo
from hepflow.streams import MxAODStream, NtupleStream
from hepflow.variations import chosen


class Undrawn(HistogramPlots):
    """Fills and draws nothing."""

    def figures(self, samples, draw):
        """Draw nothing: that takes its time."""


class Smear(Tool):
    """Smears pt by a factor; up and down share the draw."""

    Size = Property(0.1, "width")

    selects = False

    def reads(self):
        return ["TauJets.pt", "EventInfo.eventNumber"]

    def writes(self):
        return ["TauJets.pt"]

    def execute(self, events, result):
        taus = events["TauJets"]
        taus["pt"] = taus.flat("pt") * (1 + self.Size * events.random(self).normal(taus.counts))


class Collect(Tool):
    """Collects pt of all taus, and the numbers of their events."""

    selects = False

    def reads(self):
        return ["TauJets.pt", "EventInfo.eventNumber"]

    def start(self):
        return []

    def execute(self, events, result):
        counts = events["TauJets"].counts
        result.append((events["TauJets"].flat("pt"), np.repeat(events["EventInfo"].flat("eventNumber"), counts)))


class Leading(Tool):
    """Makes a container of the leading tau, replaces eta, and measures."""

    def reads(self):
        return ["TauJets.pt", "TauJets.eta"]

    def writes(self):
        return ["Leading.*", "TauJets.eta"]

    def start(self):
        return {"pt": np.zeros(2), "chunks": 0}

    def execute(self, events, result):
        pt = events["TauJets"]["pt"]
        best = pt[ak.argmax(pt, axis=1, keepdims=True)]
        best = ak.drop_none(best)
        events.add("Leading", {"pt": ak.flatten(best)}, counts=ak.num(best))
        events["TauJets"]["eta"] = events["TauJets"].flat("eta") * 0.5
        result["pt"] += [ak.sum(best), len(best)]
        result["chunks"] += 1


VARIED = {
    "TES_UP": lambda: {"columns": {"TauJets.pt": "TauJets.pt * 1.2"}},
    "SMEAR_UP": lambda: {"tools": [Smear("smear", Size=0.3)]},
    "SMEAR_DOWN": lambda: {"tools": [Smear("smear", Size=-0.3)]},
    "MADE_UP": lambda: {"columns": {"TauJets.sum": "TauJets.sum + 5000 * TauJets.eta"}},
    "PU_UP": lambda: {"weight": "1.5 + EventInfo.eventNumber % 3"},
    "XS_UP": lambda: {"factor": {"A": 1.25}},
}


def members(own=None):
    """The job; ``own`` are the overrides of one variation as its nominal, by the tool that they stand behind."""
    own = own or {}
    yield from own.get("", [])
    yield Filter("pt", Cut="TauJets.pt > 20000")
    yield Define("sum", Columns={"TauJets.sum": "TauJets.pt + 1000 * TauJets.eta"})
    yield from own.get("sum", [])
    yield Undrawn("etas", Variables=["TauJets.eta:10;-3;3", "EventInfo.eventNumber:5;0;100"], **own.get("plots", {}))
    yield Leading("leading")
    yield Filter("some", Cut="len(TauJets.pt) > 0")
    weight = own.get("plots", {})
    yield Undrawn("sums", Variables=["TauJets.sum:10;0;100000", "TauJets.eta:10;-3;3", "Leading.pt:9;0;1e5"], **weight)
    flat, event = NtupleStream("flat", Keep=["TauJets.pt", "TauJets.eta", "TauJets.sum"]), MxAODStream("mxaod")
    flat += Filter("hard", Cut="TauJets.sum > 30000")
    flat += Undrawn("hards", Variables=["TauJets.pt:10;0;100000"], **weight)
    event.Keep, event.Drop = ["TauJets.pt", "TauJets.sum", "EventInfo.eventNumber"], ["Leading.*"]
    yield flat
    yield event


def job_of(own=None, vary=()):
    job = Job("test", seed=3)
    for member in members(own):
        job += member
    for name in vary:
        settings = VARIED[name]()
        job.vary(name, *settings.pop("tools", []), **settings)
    return job


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, make_xaod):
    folder = tmp_path_factory.mktemp("varied")
    return [f"{name}={make_xaod(folder / f'{name}.root', 70, seed=seed)}" for name, seed in (("A", 3), ("B", 4))]


@pytest.fixture(scope="module")
def varied(inputs, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("run") / "out")
    return run(job_of(vary=VARIED), RunOptions(inputs=inputs, output=output, chunk=25, variations=["ALL"]))


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right


def events_of(paths):
    """The columns of an MxAOD, as Container.column: values by event."""
    found = {}
    for path in paths:
        with uproot.open(path) as file:
            for field in file["EventData"].keys():  # noqa: SIM118
                container, _, column = field.rpartition(":")[0].partition("AuxDyn")[0], 0, field.rpartition(":")[2]
                found.setdefault(f"{container}.{column}", []).append(file["EventData"][field].array())
    return {name: ak.concatenate(parts) for name, parts in found.items()}


def same_columns(alone, union, name):
    """Compare the columns of a file with those of a variation in another one, bit for bit."""

    def mine(container, column):
        there = f"{container}.{column}__{name}"
        return union[there if name and there in union else f"{container}.{column}"]

    events = mine("EventInfo", "passes") != 0
    assert {"TauJets.pt", "TauJets.sum", "EventInfo.eventNumber"} <= alone.keys()
    for full, values in alone.items():
        container, _, column = full.partition(".")
        if container not in ("TauJets", "EventInfo") or not column:
            continue
        found = mine(container, column)[events]
        if container == "TauJets":
            found = found[(mine(container, "passes") != 0)[events]]
        assert ak.array_equal(found, values), full


OWN = {
    "": {},
    "TES_UP": {"": [Define("up", Columns={"TauJets.pt": "TauJets.pt * 1.2"})]},
    "SMEAR_UP": {"": [Smear("smear", Size=0.3)]},
    "SMEAR_DOWN": {"": [Smear("smear", Size=-0.3)]},
    "MADE_UP": {"sum": [Define("up", Columns={"TauJets.sum": "TauJets.sum + 5000 * TauJets.eta"})]},
    "PU_UP": {"plots": {"Weight": "1.5 + EventInfo.eventNumber % 3"}},
}


@pytest.mark.parametrize("name", OWN)
def test_a_variation_gives_what_a_job_of_its_own_gives(name, varied, inputs, tmp_path):
    own = run(job_of(OWN[name]), RunOptions(inputs=inputs, output=str(tmp_path / "out"), chunk=25))
    found = {**varied.results, **varied.variations.get(name, {})}
    for tool in ("etas", "leading", "sums", "hards"):
        assert same(found[tool], own.results[tool]), tool
    if name:
        rows = json.loads((varied.directory / "cutflow.json").read_text())
        lines = {(r["stream"], r["tool"]): r["after"] for r in rows if r.get("variation") in (None, name)}
        assert lines == {(stream, tool): after for (stream, tool, *_), (_, after, _) in own.cutflow.items()}
    nominal, union = (events_of(result.outputs["mxaod"]) for result in (own, varied))
    same_columns(nominal, union, name)
    with uproot.open(own.outputs["flat"][0]) as file, uproot.open(varied.outputs["flat"][0]) as both:
        alone, union = file["tree"], both["tree"]
        flags = f"TauJets.passes__{name}" if name and f"TauJets.passes__{name}" in union else "TauJets.passes"
        mask = union[flags].array() != 0
        for column in alone.keys():  # noqa: SIM118
            branch = f"{column}__{name}" if f"{column}__{name}" in union else column
            assert ak.array_equal(union[branch].array()[mask], alone[column].array()), column


@pytest.mark.parametrize("stream", ["flat", "mxaod"])
def test_what_was_written_with_variations_is_nominal_or_the_variation_of_that_name(stream, varied, inputs, tmp_path):
    nominal, up = (
        run(job_of(OWN[name]), RunOptions(inputs=inputs, output=str(tmp_path / f"out{name}"), chunk=25)).outputs
        for name in ("", "TES_UP")
    )

    def counts(outputs, name="", **settings):
        job = Job("later")
        job += Undrawn("plots", Variables=["TauJets.sum:900;0;1e5", "TauJets.pt:900;0;1e5"])
        if settings:
            job.vary(name, **settings)
        files = [f"S={path}" for path in outputs[stream]]
        output = str(tmp_path / f"later{name}{len(list(tmp_path.iterdir()))}")
        result = run(job, RunOptions(inputs=files, output=output, variations=["ALL"] * bool(settings)))
        plots = result.variations[name]["plots"] if settings else result.results["plots"]
        return [plot.values().tolist() for plot in plots["S"].values()]

    both = {f"TauJets.{name}": f"TauJets.{name}__TES_UP" for name in ("pt", "sum")}
    assert counts(varied.outputs) == counts(nominal)
    assert counts(varied.outputs, "TES_UP", columns=both) == counts(up) != counts(nominal)
    assert counts(varied.outputs, "TES_UP", stored=True) == counts(up)
    with pytest.raises(ColumnError, match="no columns …__TES_DOWN") as caught:
        counts(varied.outputs, "TES_DOWN", stored=True)
    assert "SMEAR_DOWN" in caught.value.hint
    again = Job("later")
    again += Undrawn("plots", Variables=["TauJets.pt:900;0;1e5"])
    again.vary("UP", columns={"TauJets.pt": "TauJets.pt * 1.1"})
    notes = plan_job(again, RunOptions(inputs=[f"S={nominal[stream][0]}"], variations=["UP"])).notes
    assert "pt of the job test selected the input by TauJets.pt: what UP would bring in is not there" in notes
    with pytest.raises(JobOptionsError, match="call it TES_UP, too"):
        counts(varied.outputs, "UP", columns=both)
    with pytest.raises(JobOptionsError, match=r"sum of the input was made of TauJets.pt \(by sum of the job test\)"):
        counts(nominal, "UP", columns={"TauJets.pt": "TauJets.pt * 1.1"})


def test_only_what_depends_runs_again(varied, inputs):
    again = {name: set(of) for name, of in varied.variations.items()}
    assert again["TES_UP"] == {"pt", "sum", "etas", "leading", "some", "sums", "hard", "hards"}
    assert again["MADE_UP"] == {"sums", "hard", "hards"}
    assert again["PU_UP"] == {"etas", "sums", "hards"}
    totals = {s: p["TauJets.eta_10_-3_3"].total for s, p in varied.variations["XS_UP"]["etas"].items()}
    nominal = {s: p["TauJets.eta_10_-3_3"].total for s, p in varied.results["etas"].items()}
    assert totals == {"A": 1.25 * nominal["A"], "B": nominal["B"]}
    plan = plan_job(job_of(vary=VARIED), RunOptions(inputs=inputs))
    assert not plan.flow.variations  # off by default
    with uproot.open(varied.outputs["mxaod"][0]) as file:
        names = {field.rpartition(":")[2].rpartition(".")[2] for field in file["EventData"].keys()}  # noqa: SIM118
    assert {"pt", "pt__TES_UP", "sum__MADE_UP", "passes", "passes__TES_UP"} <= names
    assert not {"pt__MADE_UP", "pt__PU_UP", "eta__TES_UP", "passes__PU_UP"} & names


def test_weights_summed_together_give_what_each_gives_alone(inputs, tmp_path):
    job = Job("test")
    job += Undrawn("plots", Variables=["TauJets.eta:10;-1;3", "log(TauJets.eta):5;-3;1"], Weight="1 + TauJets.eta / 3")
    for number in (1, 2):
        job.vary(f"W{number}_UP", weight=f"{number} / 3 - EventInfo.eventNumber % 3")

    def found(*names):
        options = RunOptions(inputs=inputs, output=str(tmp_path / names[0]), chunk=25, variations=names)
        of = run(job, options).variations["W1_UP"]["plots"]
        return {(name, key): plot.to_json() for name, plots in of.items() for key, plot in plots.items()}

    alone = found("W1_UP")
    assert alone == found("W2_UP", "W1_UP")
    assert all(told["negative"] and told["common"]["products"]["values"] for told in alone.values())


def test_resuming_gives_the_same(varied, inputs, tmp_path):
    options = {"inputs": inputs, "output": str(tmp_path / "out"), "chunk": 25, "variations": ["ALL"]}
    first = run(job_of(vary=VARIED), RunOptions(**options))
    assert same(first.variations["TES_UP"]["sums"], varied.variations["TES_UP"]["sums"])
    again = run(job_of(vary=VARIED), RunOptions(**options, resume=True))
    assert again.kept == 2
    assert same(again.variations["SMEAR_DOWN"]["hards"], varied.variations["SMEAR_DOWN"]["hards"])
    with pytest.raises(HepflowError, match=r"."):
        run(job_of(vary=VARIED), RunOptions(**{**options, "variations": ["TES_UP"]}, resume=True))


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"columns": {"TauJets.charge": "-TauJets.charge"}}, JobOptionsError, "nothing in the job reads"),
        ({"columns": {"TauJets.pq": "TauJets.pt"}}, ColumnError, "pq, which is not there"),
        ({"columns": {"TauJets.pt": "TauJets.ptUp"}}, ColumnError, "ptUp, which is not there"),
        ({"columns": {"EventInfo.eventNumber": "EventInfo.eventNumber + 1"}}, JobOptionsError, "never vary"),
        ({"columns": {"TauJets.pt": "TauJets.pt + TauJets.sum"}}, JobOptionsError, "selects by TauJets.pt before"),
        ({"columns": {"TauJets.hard": "1"}}, ColumnError, "not there"),
        ({}, JobOptionsError, "changes nothing"),
        ({"scale": 1.1}, JobOptionsError, "'scale' is no kind of variation"),
        ({"columns": ["TauJets.pt"]}, JobOptionsError, "says not which column"),
        ({"factor": {"Z": 1.1}}, JobOptionsError, "no sample 'Z'"),
        ({"samples": "A"}, JobOptionsError, "samples is"),
        ({"columns": {"TauJets.pt": "1.0"}, "unchanged": ["TauJets.pq"]}, ColumnError, "pq, which is not there"),
        ({"factor": -1.0}, JobOptionsError, "makes no sense"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(settings, error, told, inputs):
    def plan():
        job = job_of()
        job.vary("X_UP", **settings)
        plan_job(job, RunOptions(inputs=inputs, variations=["X_UP"]))

    with pytest.raises(error, match=told):
        plan()


def test_overrides_that_meet_are_refused(inputs):
    job = job_of(vary=["TES_UP"])
    job.vary("TES_UP", Smear("smear"))
    with pytest.raises(JobOptionsError, match=r"smear both override TauJets\.pt"):
        plan_job(job, RunOptions(inputs=inputs, variations=["ALL"]))
    with pytest.raises(JobOptionsError, match="no variation 'TES_UPP'"):
        plan_job(job_of(vary=["TES_UP"]), RunOptions(inputs=inputs, variations=["TES_UPP"]))


@pytest.mark.parametrize(("of", "made"), [("TauJets.pt", "TauJets.ptCombined"), ("tree.tau0_pt", "tree.mHH")])
def test_a_stored_column_that_was_made_of_a_varied_one_is_refused(of, made):
    columns = {name: ColumnInfo(name, (name,), "float32", 1) for name in (of, made)}

    def vary(**settings):
        job = Job("test")
        job += Filter("one", Cut=f"{of} > 0")
        job += Filter("other", Cut=f"{made} > 0")
        job.vary("TES_UP", **settings)
        job.freeze()
        return resolve(job, columns, chosen(["ALL"], job.variations)).variations["TES_UP"].again

    up = {of: f"1.1 * {of}"}
    with pytest.raises(JobOptionsError, match=f"{made} of the input was made of {of}"):
        vary(columns=up)
    assert vary(columns=up, unchanged=[made]) == {"one", "other"}
    assert vary(columns={**up, made: f"1.1 * {made}"}) == {"one", "other"}


def test_what_lacks_a_column_is_nominal_there(tmp_path):
    files = []
    for name, more in (("a", {"up": np.array([2.0, 4.0])}), ("b", {})):
        with uproot.recreate(tmp_path / f"{name}.root") as file:
            content = {"x": np.array([1.0, 3.0]), **more}
            file.mktree("tree", {key: values.dtype for key, values in content.items()}).extend(content)
        files.append(f"{name}={tmp_path / f'{name}.root'}")
    job = Job("test")
    job += Undrawn("plots", Variables=["tree.x:5;0;5"])
    job.vary("X_UP", columns={"tree.x": "tree.up"})
    options = RunOptions(inputs=files, output=str(tmp_path / "out"), variations=["X_UP"])
    assert any(
        "tree.up is missing in 1 of 2 files" in n and "X_UP is nominal" in n for n in plan_job(job, options).notes
    )
    plots = {
        name: of["tree.x_5_0_5"].values().tolist() for name, of in run(job, options).variations["X_UP"]["plots"].items()
    }
    assert plots == {"a": [0, 0, 1, 0, 1], "b": [0, 1, 0, 1, 0]}


def test_figures_have_bands_and_shifts_the_errors_of_what_migrates(inputs, tmp_path):
    job = Job("test")
    job += Collect("all")
    job += Filter("pt", Cut="TauJets.pt > 30000")
    job += HistogramPlots("plots", Variables=["TauJets.pt:3;0;90"], EachVariation=True)
    job.vary("TES_UP", columns={"TauJets.pt": "TauJets.pt * 1.2"})
    job.vary("PU_UP", weight="1 + EventInfo.eventNumber % 2")
    result = run(job, RunOptions(inputs=inputs[:1], output=str(tmp_path / "out"), chunk=25, variations=["ALL"]))
    files = {path.name for path in (result.directory / "plots").glob("*.png")}
    assert files == {f"TauJets.pt_3_0_90{end}.png" for end in ("", "__TES_UP", "__PU_UP")}
    told = json.loads((result.directory / "plots/TauJets.pt_3_0_90.json").read_text())["variations"]["variations"]
    pt, number = map(np.concatenate, zip(*result.results["all"], strict=True))
    weight = 1.0 + number % 2
    before, after = (np.digitize(x, [0, 3e4, 6e4, 9e4]) * (x > 3e4) for x in (pt, np.float32(1.2) * pt))
    bins = np.array([2, 3])
    moves = (before != after) & (bins[:, None] == np.array([before, after])[:, None]).any(axis=0)
    assert told["TES_UP"]["shifts"][0]["errors"] == pytest.approx([0, *np.sqrt(moves.sum(axis=1))])
    extra = [np.sqrt(np.sum((weight[before == b] - 1) ** 2)) for b in bins]
    assert told["PU_UP"]["shifts"][0]["errors"] == pytest.approx([0, *extra])


def alternative_job(together=False):
    job = Job("test")
    job += Filter("low", Cut="tree.x < 4")
    job += HistogramPlots("plots", Variables=["tree.x:5;0;5"], Together=together)
    stream = NtupleStream("flat", Keep=["tree.x"], Container="")
    stream += Undrawn("inner", Variables=["tree.x:5;0;5"])
    job += stream
    job.vary("TUNE_UP", samples={"a": "alt"})
    job.vary("X_UP", columns={"tree.x": "tree.x + 1"})
    return job


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    files = {"a": [1.0, 3.0, 4.5], "b": [2.0], "alt": [0.5, 2.5, 2.6, 3.5]}
    for name, values in files.items():
        with uproot.recreate(folder / f"{name}.root") as file:
            file.mktree("tree", {"x": "float64"}).extend({"x": np.array(values)})
    return [f"{name}={folder / f'{name}.root'}" for name in files]


def test_another_sample_stands_for_one(samples, tmp_path):
    result = run(alternative_job(), RunOptions(inputs=samples, output=str(tmp_path / "out"), variations=["ALL"]))

    def counts(plots):
        return {name: of["tree.x_5_0_5"].values().tolist() for name, of in plots.items()}

    nominal = {"a": [0, 1, 0, 1, 0], "b": [0, 0, 1, 0, 0]}
    varied = {"a": [1, 0, 2, 1, 0], "b": [0, 0, 1, 0, 0]}
    for tool in ("plots", "inner"):
        assert counts(result.results[tool]) == nominal
        assert counts(result.variations["TUNE_UP"][tool]) == varied
        assert counts(result.variations["X_UP"][tool]) == {"a": [0, 0, 1, 0, 0], "b": [0, 0, 0, 1, 0]}
    rows = json.loads((result.directory / "cutflow.json").read_text())
    assert {row.get("variation"): row["after"] for row in rows} == {None: 3, "TUNE_UP": 5, "X_UP": 2}
    told = json.loads((result.directory / "plots/tree.x_5_0_5.json").read_text())["variations"]["variations"]
    assert told["TUNE_UP"]["shifts"][0]["errors"] == pytest.approx(np.sqrt([1, 1, 2, 2, 0]))  # independent
    assert told["X_UP"]["shifts"][0]["errors"] == pytest.approx(np.sqrt([0, 1, 1, 1, 0]))
    values = np.concatenate([uproot.open(path)["tree"]["x"].array(library="np") for path in result.outputs["flat"]])
    assert sorted(values.tolist()) == [1, 2, 3]


def test_alternatives_are_left_out_unless_they_are_asked_for(samples, tmp_path):
    off = plan_job(alternative_job(), RunOptions(inputs=samples))
    assert off.entries == 4
    assert any("alt is read for variations only" in note for note in off.notes)
    with pytest.raises(JobOptionsError, match="no sample 'alt': in the variation TUNE_UP, alt stands for a"):
        plan_job(alternative_job(), RunOptions(inputs=samples[:2], variations=["TUNE_UP"]))
    with pytest.raises(JobOptionsError, match="other samples, and something else"):
        Job("test").vary("TUNE_UP", samples={"a": "alt"}, weight="2")
