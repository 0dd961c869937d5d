"""Declarations of a job, resolved against the columns of an input."""

from __future__ import annotations

import pytest

from hepflow import Job, Tool
from hepflow.errors import ColumnError, JobOptionsError
from hepflow.execution.dataflow import resolve
from hepflow.protocols import ColumnInfo
from hepflow.streams import MxAODStream, NtupleStream
from tests.framework.execution.conftest import Declares

INPUT = {
    name: ColumnInfo(name, (name,), dtype, depth)
    for name, dtype, depth in [
        ("TauJets.pt", "float32", 1),
        ("TauJets.eta", "float32", 1),
        ("TauJets.tauTrackLinks", "link", 2),
        ("TauTracks.pt", "float32", 1),
        ("EventInfo.mcEventNumber", "uint64", 0),
    ]
}


def job_of(*tools, streams=()):
    job = Job("test")
    for thing in (*tools, *streams):
        job += thing
    job.freeze()
    return job


def stream_of(*tools, kind=NtupleStream, name="out", **properties):
    stream = kind(name, **properties)
    for tool in tools:
        stream += tool
    return stream


def test_reads_are_the_union_in_order_of_need():
    a = Declares("a", R=["TauJets.pt"], W=["TauJets.x"])
    b = Declares("b", R=["TauJets.x", "TauTracks.pt", "TauJets.pt"])
    flow = resolve(job_of(a, b), INPUT)
    assert flow.reads == ["TauJets.pt", "TauTracks.pt"]  # TauJets.x is made on the way
    assert flow.access["b"].reads == {"TauJets.x", "TauTracks.pt", "TauJets.pt"}


def test_optional_reads():
    tool = Declares("a", R=["TauJets.pt", "TauJets.nothing?", "TauTracks.pt?"])
    flow = resolve(job_of(tool), INPUT)
    assert flow.reads == ["TauJets.pt", "TauTracks.pt"]
    assert flow.access["a"].optional == {"TauJets.nothing", "TauTracks.pt"}


def test_wildcards_are_resolved():
    tool = Declares("a", R=["TauJets.*"])
    assert resolve(job_of(tool), INPUT).reads == ["TauJets.pt", "TauJets.eta", "TauJets.tauTrackLinks"]


def test_new_container_serves_later_tools():
    maker = Declares("maker", R=["TauJets.pt"], W=["TauTrack.*"])
    user = Declares("user", R=["TauTrack.dphi"])
    assert resolve(job_of(maker, user), INPUT).reads == ["TauJets.pt"]


def test_missing_column_names_the_nearest_and_the_stream():
    stream = stream_of(Declares("a", R=["TauJets.ptt"], W=["TauJets.x"]))
    with pytest.raises(ColumnError, match=r"a reads TauJets\.ptt, which is not there") as caught:
        resolve(job_of(streams=[stream]), INPUT)
    assert caught.value.where == "tool a of stream out"
    assert "did you mean 'pt'?" in caught.value.hint


def test_missing_container_names_the_nearest():
    with pytest.raises(ColumnError, match="no container 'TauJet'") as caught:
        resolve(job_of(Declares("a", R=["TauJet.pt"])), INPUT)
    assert "'TauJets'" in caught.value.hint


def test_read_before_the_write_names_the_later_tool():
    reader, writer = Declares("reader", R=["TauJets.x"]), Declares("writer", W=["TauJets.x"])
    with pytest.raises(ColumnError, match="which writer writes later") as caught:
        resolve(job_of(reader, writer), INPUT)
    assert caught.value.hint == "add writer before reader, on the job if several streams need it"


def test_streams_do_not_see_each_other():
    first = stream_of(Declares("maker", R=["TauJets.pt"], W=["TauJets.x"]), name="first")
    second = stream_of(Declares("user", R=["TauJets.x"], W=["TauJets.y"]), name="second")
    with pytest.raises(ColumnError, match="maker writes later or for another stream"):
        resolve(job_of(streams=[first, second]), INPUT)


def test_two_streams_may_make_the_same_column():
    streams = [stream_of(Declares(f"t{n}", R=["TauJets.pt"], W=["TauJets.x"]), name=f"s{n}") for n in (1, 2)]
    assert resolve(job_of(streams=streams), INPUT).outputs == {"s1": ["TauJets.x"], "s2": ["TauJets.x"]}


class Misspelled(Tool):
    """Means execute."""

    def writes(self):
        return ["TauJets.x"]

    def excute(self, events, result):
        events["TauJets"]["x"] = 1


@pytest.mark.parametrize(
    ("tools", "text"),
    [
        ([Declares("a", W=["TauJets.pt"])], "a writes TauJets.pt, but the input has it"),
        ([Declares("a", W=["TauJets.x"]), Declares("b", W=["TauJets.x"])], "but a writes it"),
        ([Declares("a", W=["TauJets.*"])], "makes the container 'TauJets', which there is already"),
        ([Declares("a", W=["New.*"]), Declares("b", W=["New.*"])], "which there is already"),
        ([Declares("a", W=["TauJets.x*"])], "only a whole new container"),
        ([Declares("a", R=["pt"])], "'pt', which is no Container.column"),
        ([Declares("a", R=["TauJets."])], "no Container.column"),
        ([Misspelled("m")], r"but has no execute\(events, result\)\n.*\n.*did you mean 'excute'"),
    ],
)
def test_declarations_that_cannot_be_right(tools, text):
    with pytest.raises(JobOptionsError, match=text):
        resolve(job_of(*tools), INPUT)


class Text(Tool):
    """Forgets the list."""

    def reads(self):
        return "TauJets.pt"


class Raises(Tool):
    """Fails to open its model."""

    def reads(self):
        raise FileNotFoundError("no weights.json")


def test_reads_that_is_no_list():
    with pytest.raises(JobOptionsError, match="must return a list of columns"):
        resolve(job_of(Text("text")), INPUT)


def test_reads_that_raises_names_the_tool():
    with pytest.raises(JobOptionsError, match=r"raises\.reads\(\) failed: FileNotFoundError: no weights") as caught:
        resolve(job_of(Raises("raises")), INPUT)
    assert caught.value.where == "tool raises"


def test_stream_keeps_and_drops():
    stream = stream_of(kind=MxAODStream, Drop=["TauJets.eta", "EventInfo.*"])
    flow = resolve(job_of(Declares("a", W=["TauJets.x"]), streams=[stream]), INPUT)
    assert flow.outputs["out"] == [
        *("TauJets.pt", "TauJets.tauTrackLinks", "TauTracks.pt", "TauJets.x"),
        "EventInfo.mcEventNumber",
    ]
    assert "TauJets.eta" not in flow.reads


def test_column_read_and_written_is_passed_on():
    tool = Declares("a", R=["TauJets.pt"], W=["TauJets.pt", "TauJets.x"])
    assert resolve(job_of(streams=[stream_of(tool)]), INPUT).outputs["out"] == ["TauJets.pt", "TauJets.x"]


def test_stream_without_columns():
    with pytest.raises(JobOptionsError, match="stream out writes nothing"):
        resolve(job_of(streams=[stream_of(Declares("a", R=["TauJets.pt"]))]), INPUT)


def test_keep_that_matches_nothing():
    with pytest.raises(JobOptionsError, match=r"Keep = 'Jets\.\*' matches no column"):
        resolve(job_of(streams=[stream_of(Keep=["Jets.*"])]), INPUT)


def test_a_tool_that_passes_a_column_on_does_not_make_it():
    selection = Declares("selection", R=["Jets.pt"])
    passing = stream_of(Declares("passing", R=["Jets.pt"], W=["Jets.pt"]))
    with pytest.raises(ColumnError, match=r"selection reads Jets\.pt, but there is no container 'Jets'") as caught:
        resolve(job_of(selection, streams=[passing]), INPUT)
    assert caught.value.about == "Jets.pt"
