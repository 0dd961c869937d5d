"""Joining numbered parts; completeness."""

from __future__ import annotations

import json
import shutil

import pytest

from hepflow.errors import InputError, OutputError
from hepflow.execution.merge import collect_parts, merge_parts
from hepflow.streams import MxAODStream, NtupleStream


@pytest.fixture
def made(xaods, go):
    """A run with two streams in three parts."""
    streams = [NtupleStream("tree", Keep=["TauJets.pt"]), MxAODStream("output")]
    return go([x.path for x in xaods[1]], *streams)


def test_parts_joined_in_order_hold_the_same(made, tmp_path, read, assert_same):
    for name, paths in made.outputs.items():
        parts = collect_parts([made.directory], name)
        assert parts == paths
        joined = tmp_path / "new" / f"{name}.root"
        entries = merge_parts(parts, joined)
        assert entries == len(next(iter(read(*paths).values())))
        assert_same(read(joined), read(*paths))


def test_the_only_stream_of_a_folder_needs_no_name(made, tmp_path):
    folder = tmp_path / "only"
    folder.mkdir()
    for path in made.outputs["tree"]:
        shutil.copy(path, folder)
    assert [p.name for p in collect_parts([folder])] == [p.name for p in made.outputs["tree"]]


def test_several_streams_need_a_name(made):
    with pytest.raises(InputError, match="2 streams: output, tree") as caught:
        collect_parts([made.directory])
    assert "--stream" in caught.value.hint
    with pytest.raises(InputError, match="no parts of a stream 'treee'") as caught:
        collect_parts([made.directory], "treee")
    assert "'tree'" in caught.value.hint


def test_missing_part_in_the_middle(made):
    parts = made.outputs["tree"]
    with pytest.raises(InputError, match="parts are missing: number 000002"):
        collect_parts([parts[0], parts[2]])


def test_missing_last_part_is_known_from_the_record(made):
    made.outputs["tree"][2].unlink()
    with pytest.raises(InputError, match=r"1 of 3 parts of tree are missing: tree_000003\.root") as caught:
        collect_parts([made.directory], "tree")
    assert "--resume" in caught.value.hint
    record = made.directory / "provenance.json"
    assert json.loads(record.read_text())["outputs"]["tree"][2] == "tree_000003.root"


def test_folder_without_parts(tmp_path):
    with pytest.raises(InputError, match="holds no numbered parts"):
        collect_parts([tmp_path])
    with pytest.raises(InputError, match=r"no file .* to merge"):
        collect_parts([tmp_path / "none.root"])


def test_output_is_not_overwritten_unless_forced(made, tmp_path, read):
    target = tmp_path / "joined.root"
    target.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        merge_parts(made.outputs["tree"], target)
    assert target.read_text() == "mine"
    merge_parts(made.outputs["tree"], target, force=True)
    assert len(read(target)["TauJets.pt"]) > 0


def test_output_is_no_part(made):
    first = made.outputs["tree"][0]
    with pytest.raises(OutputError, match="is one of the parts"):
        merge_parts(made.outputs["tree"], first, force=True)


def test_different_columns_leave_nothing_behind(made, tmp_path):
    with pytest.raises(InputError, match="not ntuple-ttree tree"):
        merge_parts([made.outputs["tree"][0], made.outputs["output"][0]], tmp_path / "joined.root")
    assert list(tmp_path.glob("*joined*")) == []


def test_output_that_cannot_be_written(made, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        merge_parts(made.outputs["tree"], tmp_path / "file" / "joined.root")


def test_stream_joins_its_own_parts(xaods, go, made, read, assert_same):
    joined = go([x.path for x in xaods[1]], NtupleStream("tree", Keep=["TauJets.pt"], Merge=True))
    assert [p.name for p in joined.outputs["tree"]] == ["tree.root"]
    assert_same(read(*joined.outputs["tree"]), read(*made.outputs["tree"]))
    assert list((joined.directory / ".hepflow" / "parts").iterdir()) == []
