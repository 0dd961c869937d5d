"""Which tree of a file is read."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

from hepflow.errors import InputError, TreeError
from hepflow.execution.inputs import formats as known_formats
from hepflow.io.opening import open_reader, trees_of
from hepflow.io.spelling import Notes
from hepflow.registry.manager import registry


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a file with the trees of these names, of 1, 2, 3, … entries."""

    def write(*names, folder=""):
        path = tmp_path / folder / "t.root"
        path.parent.mkdir(exist_ok=True)
        with uproot.recreate(path) as file:
            file["histogram"] = np.histogram(np.arange(10.0))
            for number, name in enumerate(names, 1):
                file.mktree(name, {"x": "f4"}).extend({"x": np.arange(number, dtype="f4")})
        return str(path)

    return write


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["one"], "one"),
        (["folder/deep/one"], "folder/deep/one"),
        (["tree", "other"], "tree"),
        (["CollectionTree", "MetaData"], "CollectionTree"),
        (["Runs", "LuminosityBlocks", "Events"], "Events"),
        (["Delphes", "other"], "Delphes"),
        (["events", "podio_metadata", "runs"], "events"),
    ],
)
def test_tree_without_a_choice(make, formats, names, expected):
    reader = open_reader(make(*names), formats)
    schema = reader.schema()
    assert (schema.tree, schema.entries) == (expected, names.index(expected) + 1)
    assert reader.others() == {name: number for number, name in enumerate(names, 1) if name != expected}
    assert {info.container for info in schema.columns.values()} == {expected.rpartition("/")[2]}
    reader.close()


@pytest.mark.parametrize("names", [["nominal", "sumWeights"], ["Events", "Delphes"], ["one", "folder/two"]])
def test_several_trees_are_named_with_entries_and_how_to_choose(make, formats, names):
    path = make(*names)
    with pytest.raises(TreeError, match=rf"2 trees.*{names[0]} \(1 entry\), {names[1]} \(2 entries\)") as caught:
        open_reader(path, formats)
    assert f"{path}:{names[0]}" in caught.value.hint
    assert trees_of(path) == {names[0]: 1, names[1]: 2}


def test_a_tree_is_chosen(make, formats):
    path = make("nominal", "tree", "folder/other")
    for name, entries in (("nominal", 1), ("tree", 2), ("folder/other", 3), ("/folder/other", 3)):
        reader = open_reader(path, formats, name)
        assert (reader.schema().tree, reader.schema().entries) == (name.strip("/"), entries)
        assert np.array_equal(reader.read(list(reader.schema().columns.values()), 0, entries).popitem()[1].content,
                              np.arange(entries))  # fmt: skip
        reader.close()


@pytest.mark.parametrize(
    ("tree", "text"),
    [("nominl", "did you mean 'nominal'"), ("histogram", "histogram is no tree, but a TH1D"), ("folder", "TDirectory")],
)
def test_a_tree_that_is_not_there(make, formats, tree, text):
    with pytest.raises(InputError, match=text):
        open_reader(make("nominal", "folder/other"), formats, tree)


def test_rows_of_an_ntuple_are_called_otherwise(make, formats):
    """What hepflow noted of the columns goes along, a convention does not."""
    notes = Notes({"pt": "HH.x.pt", "q": "Jet.q"}, {"HH": "n"}, frozenset(["HH", "Met"]), frozenset(["n"]))
    renamed = Notes({"pt": "t.x.pt", "q": "Jet.q"}, {"t": "n"}, frozenset(["t", "Met"]), frozenset(["n"]))
    assert notes.renamed("HH", "t") == renamed
    for tree, unit in (("Delphes", "GeV"), ("HH", "")):
        schema = open_reader(make(f"up/{tree}"), formats, f"up/{tree}=Delphes").schema()
        assert (schema.tree, schema.energy_unit, [*schema.columns]) == (f"up/{tree}=Delphes", unit, ["Delphes.x"])
    with pytest.raises(InputError, match="xAOD, whose containers have names of their own"):
        open_reader(make("CollectionTree"), formats, "=tree")


def test_an_input_that_is_no_file_has_no_tree():
    with pytest.raises(InputError, match="has no tree 'x'"):
        open_reader("pythia:Gammatautau", known_formats(registry()), "x")


def test_fixed_arrays_have_their_depth_and_counters_are_columns(tmp_path, formats):
    types = {"x": "3 * float32", "y": "2 * 3 * float32", "z": "var * float32", "a/b": "f4", "jet-pt": "f4"}
    values = {"x": np.ones((2, 3), "f4"), "y": np.arange(12, dtype="f4").reshape(2, 2, 3), "a/b": np.ones(2, "f4")}
    lists = ak.values_astype(ak.Array([[1.0], [2.0, 3.0]]), np.float32)
    with uproot.recreate(tmp_path / "t.root") as file:
        file.mktree("tree", types).extend({**values, "z": lists, "jet-pt": np.zeros(2, "f4")})
    reader = open_reader(str(tmp_path / "t.root"), formats)
    columns = reader.schema().columns
    depths = {info.sources[0]: info.depth for info in columns.values()}
    assert depths == {"x": 1, "y": 2, "z": 1, "nz": 0, "a/b": 0, "jet-pt": 0}
    found = reader.read(list(columns.values()), 1, 2)
    assert found["tree.y"].content.to_list() == [[[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]]
    assert found["tree.nz"].content.tolist() == [2]
    assert found["tree.a/b"].content.tolist() == [1.0]
    reader.close()
