"""hepflow merge."""

from __future__ import annotations

import pytest

JOB = """
job = Job("j")
for name in ("a", "b"):
    job += NtupleStream(name, Keep=["TauJets.pt"])
"""


@pytest.fixture
def made(hepflow, joboptions, xaods, tmp_path):
    hepflow("run", joboptions(JOB), "-i", xaods[0], "-o", "run").fine()
    return tmp_path / "run"


def test_joins_a_stream_of_a_folder(hepflow, made, read, tmp_path, assert_same):
    out = hepflow("merge", "run", "--stream", "a", "-o", "joined.root").fine().out
    assert "entries of 3 parts" in out
    assert_same(read(tmp_path / "joined.root"), read(*sorted(made.glob("a_*.root"))))


def test_joins_files(hepflow, made):
    hepflow("merge", *sorted(made.glob("b_*.root")), "-o", "joined.root").fine()


def test_refuses_what_is_incomplete(hepflow, made, tmp_path):
    hepflow("merge", "run", "-o", "joined.root").failed("the parts of 2 streams: a, b", "--stream")
    (made / "a_000003.root").unlink()
    hepflow("merge", "run", "--stream", "a", "-o", "joined.root").failed("a_000003.root", "missing")
    hepflow("merge", made / "a_000002.root", "-o", "joined.root").failed("number 000001")
    assert not (tmp_path / "joined.root").exists()


def test_replaces_only_when_told(hepflow, made, tmp_path):
    (tmp_path / "joined.root").write_text("mine")
    hepflow("merge", "run", "--stream", "a", "-o", "joined.root").failed("exists already", "--force replaces it")
    assert (tmp_path / "joined.root").read_text() == "mine"
    hepflow("merge", "run", "--stream", "a", "-o", "joined.root", "--force").fine()


def test_needs_inputs_and_output(hepflow):
    hepflow("merge", "-o", "x.root").failed("Missing argument", status=2)
    hepflow("merge", "x.root").failed("Missing option", status=2)
