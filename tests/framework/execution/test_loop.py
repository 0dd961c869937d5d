"""The event loop: chunks, selections, streams, errors that say where."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow import Property, Tool
from hepflow.errors import ColumnError, InputError, OutputError, PropertyError, ToolError, WorkerError
from hepflow.execution import plan as planning
from hepflow.execution.loop import failure
from hepflow.streams import MxAODStream, NtupleStream


class Decorate(Tool):
    """Writes TauJets.twice."""

    def reads(self):
        return ["TauJets.pt"]

    def writes(self):
        return ["TauJets.twice"]

    def execute(self, events, result):
        events["TauJets"]["twice"] = 2 * events["TauJets"].pt


class Fails(Tool):
    """Fails at one event."""

    At = Property(0, "mcEventNumber at which to fail")
    How = Property("raise", "how", choices=("raise", "exit", "undeclared", "container", "write", "state", "mask"))

    def reads(self):
        return ["TauJets.pt", "EventInfo.mcEventNumber"]

    def execute(self, events, result):
        if self.At not in events["EventInfo"]["mcEventNumber"]:
            return
        if self.How == "raise":
            raise ZeroDivisionError("no luck")
        if self.How == "exit":
            sys.exit(0)
        if self.How == "undeclared":
            events["TauJets"].flat("eta")
        if self.How == "container":
            events["TauTracks"]
        if self.How == "write":
            events["TauJets"]["new"] = 1
        if self.How == "state":
            self.counter = 1
        if self.How == "mask":
            events.select("TauJets", np.ones(1), "no mask")


class Forgets(Tool):
    """Declares a column and never writes it."""

    def reads(self):
        return ["TauJets.pt"]

    def writes(self):
        return ["TauJets.forgotten"]

    def execute(self, events, result):
        """Do nothing."""


class Model(Tool):
    """Opens something in initialize."""

    Works = Property(True, "whether it does")

    def reads(self):
        return ["TauJets.pt"]

    def initialize(self, context):
        if not self.Works:
            raise FileNotFoundError("no weights")
        self.factor = 3

    def start(self):
        return {"factor": self.factor, "n": 0}

    def execute(self, events, result):
        result["n"] += 1


@pytest.mark.parametrize("chunk", [1, 7, 100_000])
def test_chunks_have_at_most_so_many_events(xaod, go, measure, chunk):
    result = go(xaod.path, measure("m"), chunk=chunk).results["m"]
    pts = [np.float64(tau["pt"]) for tau in xaod.taus()]
    assert result["chunks"] == -(-60 // chunk)
    assert result["taus"] == len(pts)
    assert result["pt"] == pytest.approx([sum(pts), 60], rel=1e-12)


def test_chunks_do_not_cross_blocks(make_xaod, tmp_path, go, measure, monkeypatch):
    file = make_xaod(tmp_path / "a.root", 50, cluster=10)
    monkeypatch.setattr(planning, "UNIT_ENTRIES", 20)
    assert go(file.path, measure("m"), chunk=15).results["m"]["chunks"] == 5  # 15 + 5, 15 + 5, 10


def test_one_read_a_block(make_xaod, tmp_path, go, measure, monkeypatch):
    from hepflow.io.rntuple import RNTupleReader

    file = make_xaod(tmp_path / "a.root", 40)
    calls = []
    read = RNTupleReader.read
    monkeypatch.setattr(
        RNTupleReader,
        "read",
        lambda self, columns, start, stop: (
            calls.append(([c.name for c in columns], start, stop)) or read(self, columns, start, stop)
        ),
    )
    go(file.path, measure("m"), chunk=3)
    assert calls == [(["TauJets.pt"], 0, 40)]


def test_selection_narrows_for_later_tools_only(xaod, go, measure, cut):
    result = go(xaod.path, measure("before"), cut("cut", PtMin=40e3), measure("after"))
    pts = [tau["pt"] for tau in xaod.taus()]
    assert result.results["before"]["taus"] == len(pts)
    assert result.results["after"]["taus"] == sum(pt > 40e3 for pt in pts)
    assert result.cutflow == {("", "cut", "TauJets", "pt"): [len(pts), sum(pt > 40e3 for pt in pts), 0]}


def test_selection_of_a_stream_stays_in_it(xaod, go, measure, cut, read):
    streams = []
    for name, cuts in (("loose", [20e3]), ("tight", [20e3, 60e3]), ("all", [])):
        stream = NtupleStream(name, Keep=["TauJets.pt"])
        for i, pt in enumerate(cuts):
            stream += cut(f"{name}{i}", PtMin=pt)
        stream += measure(f"{name}_m")
        streams.append(stream)
    result = go(xaod.path, *streams, chunk=13)
    for name, lowest in (("loose", 20e3), ("tight", 60e3), ("all", 0)):
        expected = [np.float32(tau["pt"]) for tau in xaod.taus() if tau["pt"] > lowest]
        assert read(*result.outputs[name])["TauJets.pt"].tolist() == expected
        assert result.results[f"{name}_m"]["taus"] == len(expected)
    assert [key[0] for key in result.cutflow] == ["loose", "tight", "tight"]


def test_stream_passes_on_columns_of_the_job(xaod, go, read):
    stream = NtupleStream("tree", Keep=["TauJets.twice", "EventInfo.mcEventNumber"])
    columns = read(*go(xaod.path, Decorate("d"), stream).outputs["tree"])
    assert set(columns) == {"TauJets.twice", "EventInfo.mcEventNumber"}
    assert columns["TauJets.twice"].tolist() == [2 * np.float32(tau["pt"]) for tau in xaod.taus()]
    assert columns["EventInfo.mcEventNumber"].tolist() == [
        event["EventInfo"]["mcEventNumber"] for event in xaod.events for _ in event["TauJets"]
    ]


def test_tool_of_a_stream_decorates_there_only(xaod, go, read):
    first, second = MxAODStream("first"), MxAODStream("second")
    first += Decorate("d")
    result = go(xaod.path, first, second)
    extra = set(read(*result.outputs["first"])) - set(read(*result.outputs["second"]))
    assert extra == {"TauJetsAuxDyn:twice"}


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("raise", ToolError, "fails failed: ZeroDivisionError: no luck"),
        ("exit", ToolError, r"fails failed: it called sys.exit\(0\)"),
        ("undeclared", ColumnError, "fails reads TauJets.eta, which it did not declare"),
        ("container", ColumnError, "fails uses the container 'TauTracks', which it did not declare"),
        ("write", ColumnError, "fails writes TauJets.new, which it did not declare"),
        ("state", PropertyError, "sets its attribute 'counter' outside initialize"),
        ("mask", ColumnError, "is no mask"),
    ],
)
def test_error_names_tool_stream_file_entries_and_line(xaods, go, how, error, text):
    files = xaods[1]
    stream = NtupleStream("tree", Keep=["TauJets.pt"])
    stream += Fails("fails", At=44, How=how)  # the 14th event of the second file
    with pytest.raises(error, match=text) as caught:
        go([f.path for f in files], stream, chunk=10)
    where = caught.value.where
    assert where.startswith(f"tool fails of stream tree, {files[1].path}, entries 10–20, test_loop.py line ")


def test_tool_that_does_not_write_what_it_declares(xaod, go):
    with pytest.raises(ToolError, match=r"declares that it writes TauJets\.forgotten, but did not"):
        go(xaod.path, Forgets("f"))


def test_initialize_prepares_the_workers_copy_and_start_may_use_it(xaods, go):
    result = go([x.path for x in xaods[1]], Model("m"), chunk=10)
    assert result.results["m"] == {"factor": 9, "n": 3 + 3 + 2}  # three work units: what start gives adds up


def test_initialize_that_raises(xaod, go):
    with pytest.raises(ToolError, match="m failed: FileNotFoundError: no weights") as caught:
        go(xaod.path, Model("m", Works=False))
    assert caught.value.where.startswith("tool m, initialize")


class Opens(Tool):
    """Opens its model after somebody has written another one."""

    Model = Property("", "the model", file=True)

    def reads(self):
        return ["TauJets.pt"]

    def initialize(self, context):
        Path(self.Model).write_text("another")

    def execute(self, events, result):
        pass


def test_a_worker_with_another_model_than_the_run_began_with(xaod, go, tmp_path):
    model = tmp_path / "model.json"
    model.write_text("the model")
    with pytest.raises(WorkerError, match=r"another .*model\.json than the run began with"):
        go(xaod.path, Opens("opens", Model=str(model)))


def test_a_tools_error_keeps_what_it_says_of_its_place():
    place = "tool m, finalize"
    told = failure(
        InputError("damaged", where="/data/x.h5, rows 0–9", hint="make it again"), Model("m"), None, "finalize"
    )
    assert (told.where, told.hint) == (f"{place}: /data/x.h5, rows 0–9", "make it again")
    assert failure(ColumnError("no", where="tool m"), Model("m"), None, "finalize").where == place


def test_failed_unit_leaves_no_part(xaods, go, tmp_path):
    stream = NtupleStream("tree", Keep=["TauJets.pt"])
    stream += Fails("fails", At=44)
    with pytest.raises(ToolError):
        go([x.path for x in xaods[1]], stream, output=str(tmp_path / "run"))
    (part,) = (tmp_path / "run" / ".hepflow" / "parts").iterdir()
    assert part.name.startswith("tree_000001-")
    assert not list((tmp_path / "run").glob("*.root"))


def test_damaged_data_names_file_entries_and_column(tmp_path, go, measure):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        pts = ak.values_astype(ak.Array([[1.0] * 9] * 500), np.float32)
        tree = file.mktree("CollectionTree", {"TauJetsAuxDyn.pt": pts.type.content}, counter_name=lambda _: "nTauJets")
        tree.extend({"TauJetsAuxDyn.pt": pts})
    with uproot.open(path) as file:
        key = file["CollectionTree"]["TauJetsAuxDyn.pt"].basket_key(0)
        middle = key.data_cursor.index + key.data_compressed_bytes // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(InputError, match="reading failed") as caught:
        go(path, measure("m"))
    assert str(path) in caught.value.where
    assert "entries [0, 500), column TauJets.pt" in caught.value.where


def test_stream_that_fails_is_named(xaod, go):
    class Broken(NtupleStream):
        """Fails to collect."""

        def collect(self, events, columns):
            raise KeyError("oops")

    with pytest.raises(ToolError, match="stream out failed: KeyError: 'oops'") as caught:
        go(xaod.path, Broken("out", Keep=["TauJets.pt"]))
    assert f"{xaod.path}, entries 0–60" in caught.value.where


class Changes(Tool):
    """Writes floats where it wrote integers."""

    def reads(self):
        return ["EventInfo.mcEventNumber", "TauJets.pt"]

    def writes(self):
        return ["EventInfo.kind"]

    def execute(self, events, result):
        numbers = np.asarray(events["EventInfo"]["mcEventNumber"])
        events["EventInfo"]["kind"] = numbers if numbers[0] < 20 else numbers / 2


def test_a_column_that_changes_its_type_names_the_tool(xaod, go):
    with pytest.raises(OutputError, match=r"EventInfo\.kind was .* in earlier chunks and is .* now") as caught:
        go(xaod.path, Changes("changes"), NtupleStream("out", Keep=["EventInfo.kind"]), chunk=20)
    assert caught.value.where.startswith("tool changes, stream out, ")


def test_optional_column_reads_as_missing_where_a_file_lacks_it(make_xaod, tmp_path, go):
    class Charge(Tool):
        """Counts taus without a charge."""

        def reads(self):
            return ["TauJets.pt", "TauJets.charge?", "TauJets.nowhere?"]

        def start(self):
            return [0, 0]

        def execute(self, events, result):
            taus = events["TauJets"]
            result[0] += int(np.isnan(taus.flat("charge")).sum())
            result[1] += int(ak.sum(ak.is_none(taus["nowhere"], axis=-1) | np.isnan(taus["nowhere"])))

    a, b = make_xaod(tmp_path / "a.root", 10), make_xaod(tmp_path / "b.root", 10, drop=["TauJets.charge"])
    assert go([a.path, b.path], Charge("c")).results["c"] == [len(b.taus()), len(a.taus()) + len(b.taus())]


def test_one_name_however_files_spell_it(make_xaod, tmp_path, go, measure):
    spellings = ("{}AuxDyn", "{}Aux", "Analysis{}AuxDyn")
    files = [make_xaod(tmp_path / f"{i}.root", 10, first=i * 10, spell=s) for i, s in enumerate(spellings)]
    files.append(make_xaod(tmp_path / "t.root", 10, first=90, kind="TTree", spell="Analysis{}Aux"))
    result = go([f.path for f in files], measure("m"))
    assert result.results["m"]["taus"] == sum(len(f.taus()) for f in files)
