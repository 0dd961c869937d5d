"""Files that are there whole or not at all."""

from __future__ import annotations

import pytest

from hepflow.errors import OutputError
from hepflow.files import replacing, sha256, write_bytes, write_text


def test_written_in_one_step_with_the_ending_kept(tmp_path):
    target = tmp_path / "new" / "model.keras"
    with replacing(target) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_text("all of it")
        assert not target.exists()
    assert target.read_text() == "all of it"
    assert write_text(tmp_path / "a.txt", "π⁰").read_bytes() == "π⁰".encode()
    assert write_bytes(tmp_path / "a.txt", b"b").read_bytes() == b"b"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.txt", "model.keras"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("else"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_stays_and_nothing_else(tmp_path, error):
    (tmp_path / "a").write_text("before")
    expected = OutputError if isinstance(error, OSError) else type(error)

    def write():
        with replacing(tmp_path / "a", hint="buy a disk") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(expected) as caught:
        write()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "before")]
    if expected is OutputError:
        assert caught.value.message == "a cannot be written: No space left on device"
        assert (caught.value.where, caught.value.hint) == (str(tmp_path / "a"), "buy a disk")


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="b cannot be written"):
        write_text(tmp_path / "a" / "b", "")


def test_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"")
    assert sha256(tmp_path / "abc").startswith("e3b0c442"), "the digest of a changed file was kept"
