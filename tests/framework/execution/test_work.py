"""Work units that a batch job does."""

from __future__ import annotations

import json

import pytest

from hepflow.errors import InputError, WorkerError
from hepflow.execution.work import (
    check_versions,
    collected,
    do_units,
    note_versions,
    numbers_of,
    refused,
    written_numbers,
)


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


def test_what_a_job_left(tmp_path):
    assert collected(tmp_path, 1) is None
    told = {"class": "InputError", "message": "bad", "where": "here", "hint": "", "about": "", "trace": ""}
    (tmp_path / "1.json").write_text(json.dumps({"error": told, "of": "all"}))
    error = collected(tmp_path, 1)
    assert (type(error), error.message, error.where) == (InputError, "bad", "here")
    for text in (
        "{",
        "[]",
        "{}",
        '{"error": {"class": "nothing"}}',
        '{"error": {"class": "InputError", "mesage": "x"}}',
    ):
        (tmp_path / "1.json").write_text(text)
        assert isinstance(collected(tmp_path, 1), WorkerError)
    (tmp_path / "1.json").write_text(json.dumps({"error": told}))
    assert collected(tmp_path, 1) == (tmp_path / "1.json").read_bytes()  # of this unit alone


def test_a_worker_with_other_versions_tells_the_run(hepflow, tmp_path):
    batch = tmp_path / ".hepflow" / "batch" / "b"
    note_versions(batch)
    check_versions(tmp_path, "b")
    told = json.loads((batch / "versions.json").read_text())
    (batch / "versions.json").write_text(json.dumps({**told, "uproot": "5.0.0", "python": "3.9"}))
    hepflow("work", tmp_path, "1", "--into", "b").failed("other versions than the run: ", "→ '5.0.0'", "→ '3.9'")
    assert "let the prologue of a job bring" in refused(batch).hint
    assert refused(batch) is None
