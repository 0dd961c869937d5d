"""Values as data, the entries of the ledger, and who is trusted with what is pickled."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hepflow.execution import keys
from hepflow.execution.ledger import Ledger
from hepflow.execution.packing import PackingError, pack, unpack
from hepflow.plots import Axis, Histogram
from hepflow.variables import Variable


@dataclass
class Own:
    """A class that hepflow does not know."""

    value: int


class Planted:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("planted",)


def plot():
    histogram = Histogram(Axis("x", (0.0, 1.0, 2.0)), "taus")
    histogram.fill(np.array([0.5, 1.5, 1.7]), weight=np.array([1.0, 2.0, -1.0]))
    return histogram


DATA = [
    *(None, True, -3, 2**70, 0.1, math.inf, "τ", b"\0x", 1 + 2j, Path("/elsewhere/x")),
    *([1, [2.5, None]], (1, ("a",)), {1, 2}, frozenset({"a"}), {("a", 1): {"b": [1]}, 2: None}),
    *(np.float32(0.1), np.bool_(True), np.str_("é"), Variable("pt", unit="MeV")),
]


@pytest.mark.parametrize("value", DATA, ids=repr)
def test_data_stay_what_they_are(value, tmp_path):
    packed = pack(value, tmp_path, pickles=False)
    again = unpack(packed.content, tmp_path)
    assert (type(again), again, packed.pickled) == (type(value), value, False)


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3), "f4"), np.array(5), np.array(["a", "bc"]), np.array([True]),
     np.array([(1, 2.5)], dtype=[("n", "<u8"), ("x", ">f4", (1,))]), np.array([np.nan, -0.0]),
     np.array(["2026-01-01"], "M8[D]")],
)  # fmt: skip
def test_arrays_are_bitwise_the_same_and_may_be_filled(array, tmp_path):
    again = unpack(pack([array], tmp_path, pickles=False).content, tmp_path)[0]
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert again.flags.writeable


def test_plot_objects_are_data(tmp_path):
    again = unpack(pack({"s": {"h": plot()}}, tmp_path, pickles=False).content, tmp_path)
    assert again["s"]["h"] == plot()
    assert again["s"]["h"] + plot() == plot() + plot()


@pytest.mark.parametrize("value", [Own(3), np.array([Own(1)], dtype=object), [print]])
def test_what_is_no_data_is_pickled_and_must_be_trusted(value, tmp_path):
    with pytest.raises(PackingError, match="can only be pickled"):
        pack(value, tmp_path, pickles=False)
    packed = pack(value, tmp_path)
    assert packed.pickled
    with pytest.raises(PackingError, match="no data"):
        unpack(packed.content, tmp_path)
    assert repr(unpack(packed.content, tmp_path, trusted=True)) == repr(value)


@pytest.mark.parametrize(
    "text",
    ['{"fields": ["os:system", ["x"]]}', '{"fields": ["hepflow.job:Job", []]}', '{"plot": ["Job", 0, {}, [], 0]}',
     '{"x": 1}', '{"array": ["__import__(\'os\')", [1], 0]}', '{"a": 1, "b": 2}', '{"bytes": 7}', "[" * 100_000],
)  # fmt: skip
def test_what_nobody_packed_runs_nothing(text, tmp_path):
    body = f"[{text}, [], []]".encode()
    with pytest.raises(PackingError):
        unpack(len(body).to_bytes(8, "little") + body, tmp_path)


@pytest.fixture
def ledger(tmp_path):
    """A ledger of three entries; the second one is no data."""
    (tmp_path / "ledger").mkdir()
    ledger = Ledger(tmp_path / "ledger", tmp_path, b"k" * 32)
    segment = ledger.segment("s")
    for number, value in enumerate([{"a": np.ones(3)}, Own(2), "last"]):
        segment.append({"n": number}, value)
    segment.close()
    return ledger


def numbers(ledger):
    return [about["n"] for about, _ in ledger.entries("s")]


def test_what_a_killed_process_left_half_is_ignored(ledger):
    path = next(ledger.folder.iterdir())
    whole = path.read_bytes()
    last = [place.offset for _, place in ledger.entries()][-1]
    for length in range(last + 1, len(whole), 7):
        path.write_bytes(whole[:length])
        assert numbers(ledger) == [0, 1]


def test_no_changed_byte_of_an_entry_is_read(ledger):
    path = next(ledger.folder.iterdir())
    whole = path.read_bytes()
    begin = [place.offset for _, place in ledger.entries()][1]
    for byte in range(begin, len(whole), 11):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 4]) + whole[byte + 1 :])
        assert set(numbers(ledger)) < {0, 1, 2}


def test_pickles_are_read_with_the_key_that_signed_them_only(ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = [entry.place for entry in ledger.entries()][1]
    assert ledger.value(place) == Own(2)
    ledger.save("tool_x", {}, Planted())
    for key in (None, b"x" * 32):
        stranger = Ledger(ledger.folder, tmp_path, key)
        assert numbers(stranger) == [0, 2]
        assert stranger.load("tool_x") == (False, None)
        assert stranger.load("tool_z") == (False, None)
    assert not (tmp_path / "planted").exists()
    with pytest.raises(PackingError, match="can only be pickled"):
        Ledger(ledger.folder, tmp_path).encode({}, Own(1))


def test_the_key_is_the_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(keys.platformdirs, "user_data_path", lambda name: tmp_path / "data")
    first = keys.run_key("a")
    assert first == keys.run_key("a") != keys.run_key("b")
    path = tmp_path / "data" / "key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(keys.OutputError, match="others can read it"):
        keys.run_key("a")
    monkeypatch.setenv(keys.RUN_KEY, first.hex())
    assert keys.worker_key("x") == first
    monkeypatch.setenv(keys.RUN_KEY, "")
    assert keys.worker_key("x") is None
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(keys.platformdirs, "user_data_path", lambda name: tmp_path / "file" / "data")
    assert keys.run_key("a") is None
