"""Work units that a batch job does."""

from __future__ import annotations

import pytest

from hepflow.errors import InputError, WorkerError
from hepflow.execution.work import collected, do_units, numbers_of, written_numbers


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
    (tmp_path / "1.json").write_text(
        '{"class": "InputError", "message": "bad", "where": "here", "hint": "", "about": ""}'
    )
    error = collected(tmp_path, 1)
    assert (type(error), error.message, error.where) == (InputError, "bad", "here")
    for text in ("{", "[]", '{"class": "nothing"}', '{"class": "InputError", "mesage": "x"}'):
        (tmp_path / "1.json").write_text(text)
        assert isinstance(collected(tmp_path, 1), WorkerError)
    (tmp_path / "1.pkl").write_bytes(b"result")
    assert collected(tmp_path, 1) == b"result"
