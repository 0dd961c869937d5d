"""Work units that a batch job does."""

from __future__ import annotations

import json

import pytest

from hepflow.errors import InputError, WorkerError
from hepflow.execution.batch import TOLD, News, do_units, note_batch, numbers_of, written_numbers
from hepflow.execution.rundir import BATCH, STATE
from hepflow.execution.work import UnitRunner, told_of


@pytest.mark.parametrize(("text", "numbers"), [("7", [7]), ("1-3,7", [1, 2, 3, 7]), ("2,4,6-7", [2, 4, 6, 7])])
def test_numbers_as_text(text, numbers):
    assert numbers_of(text) == numbers
    assert written_numbers(numbers) == text


@pytest.mark.parametrize("text", ["", "a", "1-", "-2", "1,,2"])
def test_no_numbers(text):
    with pytest.raises(InputError, match="lists no work units"):
        numbers_of(text)


def test_a_run_that_waits_for_nothing(tmp_path):
    with pytest.raises(InputError, match="no run here waits for work"):
        do_units(tmp_path, [1], "batch")


UNIT = {"unit": "abc", "made": "m", "number": 1, "entries": 7, "parts": {"tree": ["tree_000001-abc.root", 4]}}


@pytest.fixture
def news(tmp_path):
    """The ledger of a run that waits for the unit abc; what a call returns is new in it."""
    runner = UnitRunner(tmp_path / STATE / BATCH / "b" / "payload.pkl", None, made="m")
    runner.ledger.folder.mkdir(parents=True)
    (tmp_path / STATE / "parts").mkdir()
    news = News(runner)
    return runner.ledger, lambda: list(news.read({"abc"}))


def test_news_of_the_ledger(news, tmp_path):
    ledger, read = news
    segment = ledger.segment("units-000000")
    assert read() == []
    segment.append({**UNIT, "made": "another run"}, [{}, {}, {}])
    segment.append(UNIT, [{}, {}, {}])
    assert read() == []  # its part is not there yet
    (tmp_path / STATE / "parts" / "tree_000001-abc.root").write_bytes(b"root")
    ((batch, key, said),) = read()
    assert (batch, key, UnitRunner.unpack(said)["about"]) == ("", "abc", UNIT)
    assert UnitRunner.unpack(said)["safe"]
    assert read() == []
    segment.append({"failed": "abc", "batch": "b", "error": told_of(InputError("bad", where="here"))}, None)
    whole = (ledger.folder / segment.append(UNIT, [{}, {}, {}]).file).read_bytes()
    (path,) = ledger.folder.iterdir()
    path.write_bytes(whole[:-8] + bytes(8))  # on its way
    ((batch, key, said),) = read()
    assert (batch, key) == ("b", "abc")
    assert (UnitRunner.unpack(said).message, UnitRunner.unpack(said).where) == ("bad", "here")
    path.write_bytes(whole)
    assert len(read()) == 1


@pytest.mark.parametrize("error", [{}, {"class": "nothing"}, {"class": "InputError", "mesage": "x"}, 7])
def test_what_a_job_of_another_version_may_leave(news, error):
    ledger, read = news
    ledger.segment("units-errors").append({"failed": "abc", "batch": "b", "error": error}, None)
    ((batch, key, said),) = read()
    assert (batch, key, type(said)) == ("b", "", WorkerError)


def test_a_worker_with_other_versions_tells_the_run(news, hepflow, tmp_path):
    _, read = news
    batch = tmp_path / STATE / BATCH / "b"
    note_batch(batch)
    (batch / "payload.pkl").write_bytes(b"")
    told = json.loads((batch / TOLD).read_text())
    versions = {**told["versions"], "uproot": "5.0.0", "python": "3.9"}
    (batch / TOLD).write_text(json.dumps({**told, "versions": versions}))
    hepflow("work", tmp_path, "1", "--into", "b").failed("other versions than the run: ", "→ '5.0.0'", "→ '3.9'")
    ((name, key, error),) = read()
    assert (name, key) == ("b", "")
    assert "let the prologue of a job bring" in error.hint
