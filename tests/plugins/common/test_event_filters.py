"""Good-run lists and events that come twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from hepflow import Events, Job
from hepflow.errors import ColumnError, InputError
from hepflow.execution.options import RunOptions
from hepflow.execution.planning import plan_job
from hepflow.execution.run import run
from hepflow.plugins.common import GoodRuns, UniqueEvents
from hepflow.plugins.common.goodruns import read_good_runs

ATLAS = """<?xml version="1.0"?>
<!DOCTYPE LumiRangeCollection SYSTEM "http://atlas-runquery.cern.ch/LumiRangeCollection.dtd">
<LumiRangeCollection><NamedLumiRange><Name>x</Name><Metadata Name="RunList">297730</Metadata>
<LumiBlockCollection><Run>297730</Run><LBRange Start="14" End="20"/><LBRange Start="22" End="-1"/></LumiBlockCollection>
<LumiBlockCollection><Run PrescaleRMin="1"> 298595 </Run><LBRange Start="1" End="1"/></LumiBlockCollection>
</NamedLumiRange></LumiRangeCollection>"""


def events_of(pairs, names=("EventInfo.runNumber", "EventInfo.lumiBlock")):
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Events.from_arrays(dict(zip(names, columns.astype(np.uint32), strict=True)))


def filtered(tool, pairs):
    tool.prepare(None)
    events = events_of(pairs)
    tool.execute(events, None)
    runs, blocks = (events["EventInfo"].flat(name).tolist() for name in ("runNumber", "lumiBlock"))
    return list(zip(runs, blocks, strict=True))


def test_an_atlas_list(tmp_path):
    (tmp_path / "grl.xml").write_text(ATLAS)
    assert read_good_runs(tmp_path / "grl.xml") == [(297730, 14, 20), (297730, 22, 2**32 - 1), (298595, 1, 1)]
    pairs = [(297730, 13), (297730, 14), (297730, 20), (297730, 21), (297730, 999), (298595, 1), (298595, 2), (1, 1)]
    tool = GoodRuns("g", File=str(tmp_path / "grl.xml"))
    assert filtered(tool, pairs) == [(297730, 14), (297730, 20), (297730, 999), (298595, 1)]


@given(
    st.dictionaries(
        st.integers(0, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted), max_size=3)
    ),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10))),
)
def test_a_cms_list(tmp_path_factory, ranges, pairs):
    path = tmp_path_factory.mktemp("grl") / "golden.json"
    path.write_text(json.dumps({str(run): [list(r) for r in found] for run, found in ranges.items()}))
    if not any(ranges.values()):
        with pytest.raises(InputError, match="no run"):
            read_good_runs(path)
        return
    wanted = [(r, b) for r, b in pairs if any(low <= b <= high for low, high in ranges.get(r, []))]
    assert filtered(GoodRuns("g", File=str(path)), pairs) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"1": [[2]]}', "not .first, last."),
        ('{"1": [[5, 2]]}', "blocks 5 to 2"),
        ('{"x": [[1, 2]]}', "no good-run list"),
        ('{"1": [[true, 2]]}', "not .first, last."),
        ("[1]", "no JSON object"),
        ("hello", "no good-run list"),
        ("<a><b></a>", "mismatched tag"),
        ("<a/>", "no run"),
        ('<a><LBRange Start="1" End="2"/></a>', "before its run"),
        ('<!DOCTYPE a [<!ENTITY x "1">]><a><Run>&x;</Run></a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "declares entities"),
        ("[" * 100_000, "no good-run list"),
    ],
)
def test_what_is_no_list(tmp_path, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(InputError, match=message):
        GoodRuns("g", File=str(tmp_path / "list")).check(Job("j"))


def ntuple(path, pairs):
    with uproot.recreate(path) as file:
        file.mktree("t", {"run": "u4", "event": "u8"})
        runs, numbers = zip(*pairs, strict=True)
        file["t"].extend({"run": np.array(runs, "u4"), "event": np.array(numbers, "u8")})
    return str(path)


def unique(tmp_path, files, workers=1, chunk=100_000, **properties):
    job = Job("u")
    job += UniqueEvents("u", Keys=["t.run", "t.event"], **properties)
    folder = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    return run(job, RunOptions(inputs=files, output=str(folder), workers=workers, chunk=chunk))


def test_events_that_come_twice(tmp_path):
    big = 2**64 - 1
    one = ntuple(tmp_path / "a.root", [(1, 1), (1, 2), (2, 1), (1, 1), (1, big), (1, big), (1, big - 1)])
    for chunk in (1, 2, 100):
        result = unique(tmp_path, [one], chunk=chunk)
        assert result.results["u"] == 0
        assert [counts[:2] for counts in result.cutflow.values()] == [[7, 5]]
    other = ntuple(tmp_path / "b.root", [(1, 3), (1, 2)])
    with pytest.raises(InputError, match=r"1 event also in another work unit \(t.run, t.event: 1 2\)"):
        unique(tmp_path, [one, other])
    for workers in (1, 2):
        assert unique(tmp_path, [one, other], workers, AcrossUnits="warn").results["u"] == 1


def test_wrong_keys_are_told_before_or_at_the_first_event(tmp_path):
    path = ntuple(tmp_path / "a.root", [(1, 1)])
    job = Job("u")
    job += UniqueEvents("u")
    with pytest.raises(ColumnError, match="EventInfo"):
        plan_job(job, RunOptions(inputs=[path]))
