"""From what the user gives with -i to a list of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow.errors import InputError
from hepflow.execution.inputs import InputFile, expand, hard_links
from hepflow.registry.manager import registry


def _make_sample(name):
    return [InputFile(f"/cache/{name}_1.root", name, metadata={"xs": 2.0})]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.root", "b.root", "sub/c.root", "sub/notes.txt", ".hidden/d.root", "sub/e.root.1"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "in"


@pytest.fixture
def paths(monkeypatch):
    plugins = registry()
    names = plugins.names
    monkeypatch.setattr(
        plugins, "names", lambda kind: {"Gammatautau": None} if kind == "samples" else names(kind), raising=True
    )

    def call(*patterns):
        return expand([str(p) for p in patterns], plugins, ["pythia"], _make_sample)

    return call


def test_file(folder, paths):
    assert paths(folder / "a.root") == [InputFile(str(folder / "a.root"), "in")]


def test_name_before_a_pattern_names_the_sample(folder, paths):
    (found,) = paths(f"Ztautau={folder}/a.root")
    assert (found.path, found.sample) == (str(folder / "a.root"), "Ztautau")


def test_a_file_whose_name_has_an_equals_sign(folder, paths, monkeypatch):
    (folder / "mass=5.root").write_bytes(b"x")
    monkeypatch.chdir(folder)
    assert [f.path for f in paths("mass=5.root")] == ["mass=5.root"]


def test_folder_is_searched_recursively_in_order_without_hidden_files(folder, paths):
    found = paths(folder)
    assert [f.path for f in found] == [str(folder / n) for n in ("a.root", "b.root", "sub/c.root", "sub/e.root.1")]
    assert all(f.searched and f.sample == "in" for f in found)


def test_glob(folder, paths):
    assert [f.path for f in paths(f"{folder}/**/*.root")] == [
        str(folder / name) for name in ("a.root", "b.root", "sub/c.root")
    ]
    assert not paths(f"{folder}/[a]*.root")[0].searched


def test_file_whose_name_looks_like_a_pattern(folder, paths):
    (folder / "x[1].root").write_bytes(b"x")
    assert paths(folder / "x[1].root") == [InputFile(str(folder / "x[1].root"), "in")]
    assert [f.path for f in paths(f"{folder}/x*")] == [str(folder / "x[1].root")]


def test_several_patterns_keep_their_order(folder, paths):
    assert [f.path[-6:] for f in paths(folder / "b.root", folder / "a.root")] == ["b.root", "a.root"]


def test_addresses_and_generators_are_left_alone(paths):
    found = paths("root://eos.cern.ch//eos/x/DAOD.root", "pythia:Gammatautau?seed=7", "Ztt=https://host/f.root?a=1")
    assert [(f.path, f.sample) for f in found] == [
        ("root://eos.cern.ch//eos/x/DAOD.root", "DAOD.root"),
        ("pythia:Gammatautau?seed=7", "Gammatautau"),
        ("https://host/f.root?a=1", "Ztt"),
    ]


def test_sample_by_name(paths):
    assert paths("Gammatautau") == [InputFile("/cache/Gammatautau_1.root", "Gammatautau", False, {"xs": 2.0})]
    assert paths("mine=Gammatautau")[0].sample == "mine"


def test_no_such_file_names_the_nearest(folder, paths):
    with pytest.raises(InputError, match=r"there is no input .*aa\.root") as caught:
        paths(folder / "aa.root")
    assert "did you mean 'a.root'" in caught.value.hint
    assert caught.value.where == str(folder)


def test_misspelt_sample_and_scheme(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        paths("Gammatautua")
    assert "Gammatautau" in caught.value.hint
    with pytest.raises(InputError) as caught:
        paths("pytia:Dijet")
    assert "did you mean 'pythia'" in caught.value.hint


def test_pattern_that_matches_nothing(folder, paths):
    with pytest.raises(InputError, match="matches no file"):
        paths(f"{folder}/*.rot")


def test_folder_without_root_files(tmp_path, paths):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no ROOT files"):
        paths(tmp_path / "empty")
    (tmp_path / "empty" / ".hepflow" / "parts").mkdir(parents=True)
    (tmp_path / "empty" / ".hepflow" / "parts" / "AOD_000001-1f.root").touch()
    with pytest.raises(InputError, match="holds no ROOT files") as unfinished:
        paths(tmp_path / "empty")
    assert "was interrupted" in str(unfinished.value.hint)


@pytest.mark.parametrize("again", ["in/a.root", "./in/../in/a.root", "in/a*.root", "in"])
def test_twice_the_same_file_is_refused_however_it_is_spelt(folder, paths, again, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="given twice"):
        paths(folder / "a.root", again)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/a.root:nominal", [("in/a.root", "nominal")]),
        ("in/a.root:folder/tree", [("in/a.root", "folder/tree")]),
        ("in/?.root:nominal", [("in/a.root", "nominal"), ("in/b.root", "nominal")]),
        ("in/sub:nominal", [("in/sub/c.root", "nominal"), ("in/sub/e.root.1", "nominal")]),
        ("Ztt=in/a.root:nominal", [("in/a.root", "nominal")]),
        ("in/a.root", [("in/a.root", "")]),
        ("root://host:1094//f.root:nominal", [("root://host:1094//f.root", "nominal")]),
        ("root://host:1094//f.root", [("root://host:1094//f.root", "")]),
        ("https://host/f.root:folder/tree?key=a:b", [("https://host/f.root?key=a:b", "folder/tree")]),
        ("https://host/f.root?key=a:b", [("https://host/f.root?key=a:b", "")]),
    ],
)
def test_tree_behind_a_file(folder, paths, monkeypatch, pattern, expected):
    monkeypatch.chdir(folder.parent)
    assert [(file.path, file.tree) for file in paths(pattern)] == [
        (str(Path(path)) if "//" not in path else path, tree) for path, tree in expected
    ]


def test_tree_for_all_inputs_that_name_none(folder):
    plugins = registry()
    files = expand([f"{folder}/a.root", f"{folder}/b.root:other"], plugins, [], _make_sample, "nominal")
    assert [file.tree for file in files] == ["nominal", "other"]


def test_file_with_a_colon_in_its_name(folder, paths):
    (folder / "x:y.root").write_bytes(b"x")
    assert [(f.path, f.tree) for f in paths(folder / "x:y.root")] == [(str(folder / "x:y.root"), "")]
    assert [(f.path, f.tree) for f in paths(f"{folder}/x:y.root:t")] == [(str(folder / "x:y.root"), "t")]


def test_a_second_name_of_a_file_is_told(folder, paths):
    assert hard_links(paths(str(folder))) == []
    (folder / "other.root").hardlink_to(folder / "a.root")
    (note,) = hard_links(paths(str(folder)))
    assert note.startswith(f"{folder}/other.root is a hard link of another input")


@pytest.mark.parametrize(
    ("text", "message"), [("loop", "the link '.*loop' leads nowhere"), ("~nobody-at-all/x", "there is no input")]
)
def test_what_leads_nowhere(folder, paths, text, message):
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(InputError, match=message):
        paths(text if text.startswith("~") else f"{folder}/{text}")


def test_two_trees_of_one_file(folder, paths):
    assert [f.tree for f in paths(f"{folder}/a.root:one", f"{folder}/a.root:two")] == ["one", "two"]
    for again in ("a.root:one", "a.root"):
        with pytest.raises(InputError, match="given twice"):
            paths(f"{folder}/a.root:one", folder / again)


def test_list_of_files_with_replicas_and_comments(folder, paths, monkeypatch):
    text = "# of today\na.root /elsewhere/a.root  # nearer\n\nsub/c.root:nominal root://host//c.root\nroot://host//d#1.root\n"
    text += '"a file.root" "/a copy.root"\n'
    (folder / "files.txt").write_text(text)
    for pattern, sample in ((f"@{folder / 'files.txt'}", "files"), (f"Ztt=@{folder / 'files.txt'}", "Ztt")):
        assert [(f.path, f.tree, f.replicas, f.sample, f.origin[-6:]) for f in paths(pattern)] == [
            (str(folder / "a.root"), "", ("/elsewhere/a.root",), sample, "line 2"),
            (str(folder / "sub/c.root"), "nominal", ("root://host//c.root",), sample, "line 4"),
            ("root://host//d#1.root", "", (), sample, "line 5"),
            (str(folder / "a file.root"), "", ("/a copy.root",), sample, "line 6"),
        ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a.root\nsub", 2, "'sub' in a list is a folder"),
        ("*.root", 1, "is a pattern"),
        ("a.root a.root", 1, "named twice in a line"),
        ("a.root\n\na.root", 3, "is given twice"),
        ("a.root:x b.root:y", 1, "replicas of a file have its tree"),
        ("# nothing", 0, "names no file"),
    ],
)
def test_lists_that_are_wrong_say_where(folder, paths, text, line, message):
    (folder / "files.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        paths(f"@{folder}/files.txt")
    assert (f"files.txt, line {line}" in caught.value.where) == bool(line)
    with pytest.raises(InputError, match="cannot be read: No such file") as caught:
        paths(f"@{folder}/file.txt")
    assert "files.txt" in caught.value.hint
