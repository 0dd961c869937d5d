"""--checksum: what was read and written is known by its SHA-256; a turned bit is told, whatever date and size say."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from hepflow import Tool
from hepflow.errors import InputError, OutputError, UnitsFailedError
from hepflow.execution.merge import collect_parts, merge_parts
from hepflow.execution.records import CHECKSUMS
from hepflow.streams import NtupleStream


class Spoils(Tool):
    """Does something to its input while the run reads it."""

    how = staticmethod(lambda: None)

    def reads(self):
        return ["TauJets.pt"]

    def execute(self, events, result):
        self.how()


def turn_bit(path):
    """Turn a bit in the middle of a file; size and date stay."""
    state = Path(path).stat()
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def tree():
    return NtupleStream("tree", Keep=["TauJets.pt"])


@pytest.fixture
def files(xaods, tmp_path):
    return [shutil.copy(x.path, tmp_path / f"in{number}.root") for number, x in enumerate(xaods[1][:2])]


@pytest.fixture
def finished(files, go):
    """A finished run with checksums."""
    return go(files, tree(), checksum=True)


def test_inputs_and_outputs_are_recorded(files, finished):
    record = json.loads((finished.directory / "provenance.json").read_text())
    assert {entry["path"]: entry["sha256"] for entry in record["inputs"]} == {str(f): sha256(f) for f in files}
    assert record[CHECKSUMS] == {path.name: sha256(path) for path in finished.outputs["tree"]}


@pytest.mark.parametrize("checksum", [True, False])  # a run that was started with it goes on with it
def test_a_changed_input_is_refused_by_name(files, finished, go, checksum):
    turn_bit(files[1])
    with pytest.raises(OutputError, match=r"in1\.root.*\.sha256"):
        go(files, tree(), checksum=checksum, resume=True, output=str(finished.directory))


def test_a_changed_output_is_made_again(files, finished, go, caplog):
    right = [sha256(path) for path in finished.outputs["tree"]]
    turn_bit(finished.outputs["tree"][1])
    again = go(files, tree(), resume=True, output=str(finished.directory))
    assert "tree_000002.root has another SHA-256" in caplog.text
    assert again.kept == 1
    assert len(right) == len(again.outputs["tree"])
    go([str(finished.directory)], tree())  # and the record is that of the new ones


def test_a_changed_part_is_made_again(files, go, monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(NtupleStream, "close", stop)
        with pytest.raises(KeyboardInterrupt):
            go(files, tree(), checksum=True, output=str(tmp_path / "run"))
    turn_bit(next((tmp_path / "run/.hepflow/parts").glob("tree_000002-*.root")))
    assert go(files, tree(), resume=True, output=str(tmp_path / "run")).kept == 1


def test_a_changed_file_of_a_run_is_no_input_and_is_not_merged(finished, go, tmp_path):
    damaged = finished.outputs["tree"][0]
    parts = collect_parts([finished.directory])
    merge_parts(parts, tmp_path / "whole.root")
    turn_bit(damaged)
    for given in (finished.directory, damaged):
        with pytest.raises(InputError, match="recorded other checksums") as caught:
            go(given, tree(), output=str(tmp_path / "next"))
        assert damaged.name in str(caught.value)
        assert "tree_000002.root" not in str(caught.value)
    assert not (tmp_path / "next").exists()
    with pytest.raises(InputError, match="recorded other checksums"):
        merge_parts(parts, tmp_path / "other.root")
    assert not (tmp_path / "other.root").exists()


@pytest.mark.parametrize("victim", [0, 1], ids=["read", "next"])
@pytest.mark.parametrize(
    ("how", "told"), [("bit", "touched"), ("time", "written"), ("overwritten", "UUID"), ("replaced", "UUID")]
)
def test_an_input_that_changes_in_the_run_is_told(files, go, monkeypatch, how, told, victim):
    """Whatever stays as it was: size, time, both, or the file that is open."""
    size = max(path.stat().st_size for path in files)
    for path in files:  # bytes behind the end of a ROOT file count for nothing
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, (1, 1))
    path, other = files[victim], files[1 - victim].read_bytes()

    def change():
        if how == "bit":
            turn_bit(path)
        elif how == "time":
            os.utime(path, (2, 2))
        elif how == "overwritten":
            path.write_bytes(other)
            os.utime(path, (1, 1))
        elif how == "replaced":
            path.unlink()
            path.write_bytes(other)
            os.utime(path, (1, 1))

    once = iter([change])
    monkeypatch.setattr(Spoils, "how", staticmethod(lambda: next(once, bool)()))
    with pytest.raises(UnitsFailedError, match=rf"(?s)1 changed during the run\n.*{path.name}.*: {told} "):
        go(files, Spoils("spoils"), retries=0)


def test_an_input_that_changes_after_it_was_read_is_told(files, go, monkeypatch):
    calls = iter([[], [files[0]]])
    monkeypatch.setattr(Spoils, "how", staticmethod(lambda: [turn_bit(path) for path in next(calls, [])]))
    with pytest.raises(InputError, match=r"not what they were before the event loop \(SHA-256\):\n  .*in0\.root"):
        go(files, Spoils("spoils"), checksum=True)
