"""Inputs as users give them, right and wrong."""

from __future__ import annotations

import http.server
import re
import socket
import threading
from pathlib import Path
from typing import ClassVar

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import ColumnError, InputError
from hepflow.events.column import Column
from hepflow.io import remote
from hepflow.io.opening import open_reader
from hepflow.io.root import RootReader
from hepflow.io.writers import RNTupleWriter, TTreeWriter
from hepflow.protocols import ColumnInfo


@pytest.fixture
def ntuple(tmp_path):
    path = tmp_path / "ntuple.root"
    writer = TTreeWriter(path, "tree")
    rng = np.random.default_rng(3)
    writer.write({f"TauJets.{name}": Column(None, rng.integers(0, 9, 5000).astype(float)) for name in ("pt", "eta")})
    writer.close()
    return path


def test_missing_file_names_the_nearest(ntuple, formats):
    with pytest.raises(InputError, match="does not exist") as caught:
        open_reader(str(ntuple.parent / "ntupel.root"), formats)
    assert "did you mean 'ntuple.root'?" in str(caught.value)
    with pytest.raises(InputError, match="there is no folder"):
        open_reader(str(ntuple.parent / "nowhere" / "ntuple.root"), formats)


def test_folder_empty_file_and_other_formats(tmp_path, formats):
    with pytest.raises(InputError, match="folder"):
        open_reader(str(tmp_path), formats)
    (tmp_path / "empty.root").touch()
    with pytest.raises(InputError, match="empty"):
        open_reader(str(tmp_path / "empty.root"), formats)
    (tmp_path / "text.root").write_text("pt eta phi\n" * 100)
    with pytest.raises(InputError, match="not a ROOT file") as caught:
        open_reader(str(tmp_path / "text.root"), formats)
    assert "pt e" in str(caught.value)
    (tmp_path / "short.root").write_bytes(b"root")
    with pytest.raises(InputError, match="truncated"):
        open_reader(str(tmp_path / "short.root"), formats)


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.999])
def test_truncated_file(ntuple, formats, fraction):
    data = ntuple.read_bytes()
    ntuple.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError, match=rf"truncated: it has {int(len(data) * fraction)} of {len(data)} bytes"):
        open_reader(str(ntuple), formats)


def test_damaged_basket_names_file_column_and_entries(ntuple, formats):
    with uproot.open(ntuple) as file:
        place = int(file["tree"]["TauJets.eta"].member("fBasketSeek")[0])
    with ntuple.open("r+b") as stream:
        stream.seek(place + 100)
        stream.write(b"\x00\xff" * 1000)
    reader = open_reader(str(ntuple), formats)
    with pytest.raises(InputError, match="reading failed") as caught:
        reader.read(list(reader.schema().columns.values()), 100, 2000)
    for part in (str(ntuple), "column TauJets.eta", "entries [100, 2000)"):
        assert part in str(caught.value)
    assert "TauJets.pt" not in str(caught.value)
    reader.close()


def test_a_file_without_a_tree_lists_its_keys(tmp_path, formats):
    with uproot.recreate(tmp_path / "h.root") as file:
        file["histogram"] = np.histogram(np.arange(10.0))
    with pytest.raises(InputError, match="no tree") as caught:
        open_reader(str(tmp_path / "h.root"), formats)
    assert "histogram (TH1D)" in str(caught.value)


def test_a_foreign_ntuple(tmp_path, formats):
    """Branches without dots, with a counter each, fixed arrays, and strings."""
    with uproot.recreate(tmp_path / "f.root") as file:
        types = {"weight": "f8", "jet": "var * float32", "lepton": "var * int32", "p4": "3 * float64", "name": "string"}
        file.mktree("nominal", types).extend(
            {
                "weight": np.array([1.0, 2.0]),
                "jet": ak.values_astype(ak.Array([[1.0, 2.0], []]), np.float32),
                "lepton": ak.values_astype(ak.Array([[], [3]]), np.int32),
                "p4": np.arange(6.0).reshape(2, 3),
                "name": ak.Array(["a", "bc"]),
            }
        )
    reader = open_reader(str(tmp_path / "f.root"), formats)
    columns = reader.schema().columns
    kinds = {name.partition(".")[2]: (info.dtype, info.depth) for name, info in columns.items()}
    assert kinds == {
        "weight": ("float64", 0),
        "jet": ("float32", 1),
        "njet": ("int32", 0),
        "lepton": ("int32", 1),
        "nlepton": ("int32", 0),
        "p4": ("float64", 1),
        "name": ("string", 0),
    }
    found = reader.read(list(columns.values()), 1, 2)
    assert all(column.offsets is None for column in found.values())
    assert found["nominal.weight"].content.tolist() == [2.0]
    assert found["nominal.name"].content.to_list() == ["bc"]
    assert found["nominal.lepton"].content.to_list() == [[3]]
    assert found["nominal.p4"].content.to_list() == [[3.0, 4.0, 5.0]]
    reader.close()


def test_containers_whose_columns_differ(tmp_path, formats):
    with uproot.recreate(tmp_path / "d.root") as file:
        file.mktree("CollectionTree", {"CAux.x": "var * float32", "CAux.y": "var * float32"}).extend(
            {
                "CAux.x": ak.values_astype(ak.Array([[1.0]]), "f4"),
                "CAux.y": ak.values_astype(ak.Array([[1.0, 2.0]]), "f4"),
            }
        )
    reader = open_reader(str(tmp_path / "d.root"), formats)
    columns = reader.schema().columns
    assert len(reader.read([columns["C.y"]], 0, 1)["C.y"].content) == 2
    with pytest.raises(ColumnError, match=r"C\.x and C\.y have different numbers of objects"):
        reader.read(list(columns.values()), 0, 1)
    reader.close()


def test_a_column_that_this_file_lacks(ntuple, formats):
    reader = open_reader(str(ntuple), formats)
    with pytest.raises(ColumnError, match=r"TauJets\.etta") as caught:
        reader.read([ColumnInfo("TauJets.etta", ("TauJets.etta",), "float64", 0)], 0, 1)
    assert "did you mean 'TauJets.eta'" in str(caught.value)
    assert reader.read([], 0, 10) == {}
    reader.close()


class Generator:
    """A format that claims a scheme."""

    format: ClassVar[str] = "generator"
    scheme: ClassVar[str] = "pythia"

    def __init__(self, path):
        self.path = path


def test_schemes(formats, ntuple):
    assert open_reader("pythia:Gammatautau", [*formats, Generator]).path == "pythia:Gammatautau"
    with pytest.raises(InputError, match="did you mean 'pythia'"):
        open_reader("phythia:Gammatautau", [*formats, Generator])
    reader = open_reader(ntuple.as_uri(), formats)
    assert reader.schema().entries == 5000
    assert reader.schema().size == ntuple.stat().st_size
    reader.close()


def test_names_with_a_colon(ntuple, formats):
    odd = ntuple.rename(ntuple.with_name("a:b.root"))
    reader = open_reader(str(odd), formats)
    assert reader.schema().entries == 5000
    reader.close()


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
def test_a_worker_reads_by_the_schema_of_the_plan(make_xaod, tmp_path, formats, kind, monkeypatch):
    path = str(make_xaod(tmp_path / "a.root", 20, kind=kind).path)
    planned = open_reader(path, formats)
    columns = [planned.schema().columns[name] for name in ("TauJets.pt", "EventInfo.eventNumber")]
    expected = planned.read(columns, 5, 15)
    planned.close()
    with monkeypatch.context() as no_schema:
        no_schema.setattr(RootReader, "schema", None)
        reader = open_reader(path, formats)
        found = reader.read(columns, 5, 15)
        reader.close()
    for name, column in found.items():
        assert np.array_equal(column.content, expected[name].content)
        assert np.array_equal(column.offsets, expected[name].offsets)


class Ranges(http.server.BaseHTTPRequestHandler):
    """Serves files with ranges, as storage does; the standard library's handler has none."""

    folder: ClassVar[Path]
    partial = True

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.partial else None
        part = data[int(found[1]) : int(found[2]) + 1 if found[2] else None] if found else data
        self.send_response(206 if found else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if found:
            self.send_header("Content-Range", f"bytes {found[1]}-{int(found[1]) + len(part) - 1}/{len(data)}")
        self.end_headers()
        if body:
            self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def address(tmp_path):
    handler = type("Handler", (Ranges,), {"folder": tmp_path})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("writer", [TTreeWriter, RNTupleWriter])
def test_remote_files(address, tmp_path, formats, writer):
    pytest.importorskip("aiohttp", reason="https input needs aiohttp")
    columns = {"TauJets.pt": Column(None, np.arange(1000.0)), "TauTrack.pt": Column(np.arange(1001), np.arange(1000.0))}
    output = writer(tmp_path / "remote.root", "tree")
    output.write(columns)
    output.close()
    reader = open_reader(f"{address}/remote.root", formats)
    schema = reader.schema()
    assert (schema.entries, schema.size, schema.mtime) == (1000, (tmp_path / "remote.root").stat().st_size, 0.0)
    found = reader.read(list(schema.columns.values()), 100, 300)
    assert np.array_equal(found["TauTrack.pt"].content, np.arange(100.0, 300.0))
    reader.close()


def test_remote_file_that_is_not_there(address, formats):
    pytest.importorskip("aiohttp", reason="https input needs aiohttp")
    with pytest.raises(InputError, match="does not exist") as caught:
        open_reader(f"{address}/remote.root", formats)
    assert address in str(caught.value)


def test_server_that_cannot_send_parts(address, ntuple, formats, monkeypatch):
    monkeypatch.setattr(Ranges, "partial", False)
    with pytest.raises(InputError, match=r"cannot send parts of a file[\s\S]*curl -L -O http"):
        open_reader(f"{address}/{ntuple.name}", formats)


def test_page_instead_of_a_file(address, tmp_path, formats):
    (tmp_path / "login.root").write_text("<html>")
    with pytest.raises(InputError, match=r"not a ROOT file: it starts with b'<htm'"):
        open_reader(f"{address}/login.root", formats)


@pytest.mark.parametrize("scheme", ["http", "https", "root"])
def test_servers_that_are_not_there_or_silent(formats, monkeypatch, scheme):
    monkeypatch.setattr(remote, "ANSWER", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=r"server 127\.0\.0\.1 cannot be reached: Connection refused"):
            open_reader(f"{scheme}://127.0.0.1:{port}//a.root", formats)
        server.listen()
        if scheme != "root":  # one that takes the connection and says nothing; xrootd waits for it in whole seconds
            with pytest.raises(InputError, match=r"cannot be reached: no answer within 0\.2 s"):
                open_reader(f"{scheme}://127.0.0.1:{port}/a.root", formats)
    with pytest.raises(InputError, match=r"server nowhere\.invalid cannot be reached"):
        open_reader(f"{scheme}://nowhere.invalid//a.root", formats)


def test_address_with_an_impossible_port(formats):
    with pytest.raises(InputError, match="Port out of range"):
        open_reader("root://127.0.0.1:99999//a.root", formats)


def test_a_branch_whose_name_starts_with_a_slash(tmp_path, formats):
    with uproot.recreate(tmp_path / "d.root") as file:
        file.mktree("tree", {"/x": "f4", "x": "f4"}).extend({"/x": [1, 2], "x": [3, 4]})
    reader = open_reader(str(tmp_path / "d.root"), formats)
    columns = reader.schema().columns
    values = reader.read(list(columns.values()), 0, 2)
    assert {name: values[name].content.tolist() for name in columns} == {"tree./x": [1, 2], "tree.x": [3, 4]}
    reader.close()
