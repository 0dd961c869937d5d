"""Reading a run directory: figures in order, what is damaged is named, what is no run is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hepflow.errors import InputError
from hepflow.plugins.performance.report import comparison
from hepflow.plugins.performance.report.contents import read_run
from hepflow.plugins.performance.report.overview import facts, overview
from hepflow.plugins.performance.report.page import page_of


def names(contents):
    return [picture.path.as_posix() for picture in contents.pictures]


def test_figures_by_folder_in_the_order_people_count(reported):
    contents = read_run(reported)
    assert names(contents) == ["central", "roc/pt", "spectra/empty", "spectra/pt_2", "spectra/pt_10"]
    assert {name: len(group) for name, group in contents.groups.items()} == {"": 1, "roc": 1, "spectra": 3}
    assert contents.problems == ()
    for picture in contents.pictures:
        assert picture.problems == ()
        assert picture.pixels > (300, 200)
        assert all(path.is_file() for path in (picture.png, picture.pdf, picture.json))


def test_folders_stand_in_the_order_of_the_job(rundir):
    said = json.loads((rundir / "provenance.json").read_text())
    said["properties"] = {"spectra": {"class": "A"}, "other": {"class": "B", "Folder": "roc"}}
    (rundir / "provenance.json").write_text(json.dumps(said))
    (rundir / "a").mkdir()
    (rundir / "a" / "last.png").write_bytes((rundir / "central.png").read_bytes())
    assert [*read_run(rundir).groups] == ["", "spectra", "roc", "a"]
    for place, name in enumerate(("pt_10", "empty", "pt_2")):
        path = rundir / f"spectra/{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "by": {"tool": "spectra", "place": place}}))
    assert names(read_run(rundir))[1:4] == ["spectra/pt_10", "spectra/empty", "spectra/pt_2"]


def test_what_the_run_remarked_is_told(rundir):
    said = json.loads((rundir / "provenance.json").read_text())
    assert said["remarks"] == []
    said |= {"remarks": ["a is b"], "notes": [{"column": "TauJets.link", "links": 2, "note": "lead nowhere"}]}
    (rundir / "provenance.json").write_text(json.dumps(said))
    assert read_run(rundir).warnings == ("a is b", "TauJets.link: 2 links lead nowhere")


def test_what_was_left_out_is_told(rundir):
    said = json.loads((rundir / "provenance.json").read_text())
    told = {"file": "a.root", "cause": "truncated", "message": "too short"}
    said["left_out"] = [{**told, "entries": None}, {**told, "entries": [10, 20]}]
    (rundir / "provenance.json").write_text(json.dumps(said))
    contents = read_run(rundir)
    assert ("left out", "2") in facts(contents)
    table = overview(contents)["Inputs"][0]
    assert [row[:3] for row in table.rows] == [("a.root", "all", "truncated"), ("a.root", "10–20", "truncated")]


def test_what_the_run_says_of_itself(reported):
    contents = read_run(reported)
    assert contents.job == "Reported"
    assert contents.paragraphs == ["What the report is about.", "A second paragraph, <b>not</b> bold."]
    assert "class Figures(Tool)" in contents.joboptions
    assert contents.provenance["events"] == 60
    assert contents.cutflow[0]["selection"] == "pt >= 20 GeV"


def test_captions_say_sample_and_why_a_figure_is_empty(reported):
    by_name = {picture.path.name: picture for picture in read_run(reported).pictures}
    assert {name: picture.title for name, picture in by_name.items()} == {
        "central": "Efficiency against tau pt",
        "pt": "pt",
        **{name: f"tau pt ({name.replace('_', ' ')})" for name in ("empty", "pt_2", "pt_10")},
    }
    assert by_name["pt_2"].lines[0] == "test simulation · taus of <i>60</i> events"
    assert "no entries" in by_name["empty"].lines[-1]


def picture(rundir, name="spectra/pt_2"):
    return next(p for p in read_run(rundir).pictures if p.path == Path(name))


@pytest.mark.parametrize("suffix", ["png", "pdf", "json"])
def test_a_missing_file_is_named(rundir, suffix):
    (rundir / f"spectra/pt_2.{suffix}").unlink()
    found = picture(rundir)
    assert getattr(found, suffix) is None
    assert found.problems == (() if suffix == "pdf" else (f"pt_2.{suffix} is missing",))


def cut(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage", [lambda content: b"", cut, lambda content: b"x" * 999, lambda content: content.replace(b"IDAT", b"IDAU")]
)
def test_a_damaged_png_is_named(rundir, damage):
    path = rundir / "spectra/pt_2.png"
    path.write_bytes(damage(path.read_bytes()))
    found = picture(rundir)
    assert found.png is None
    assert len(found.problems) == 1
    assert found.problems[0].startswith("pt_2.png is damaged")
    assert str(rundir) not in found.problems[0]


@pytest.mark.parametrize("text", ["", "{", '{"plots": [1, null, "x"]}', "[]", "7", '{"plots": 3, "style": 4}', "\xff"])
def test_damaged_json_leaves_the_picture(rundir, text):
    (rundir / "spectra/pt_2.json").write_text(text, encoding="latin-1")
    found = picture(rundir)
    assert found.png is not None
    assert found.tables == ()
    assert found.title == "pt 2"


@pytest.mark.parametrize("name", ["provenance.json", "cutflow.json"])
@pytest.mark.parametrize("text", [None, "", "{]", "3", '[{"stream": ""}]'])
def test_a_damaged_description_is_named(rundir, name, text):
    path = rundir / name
    path.unlink() if text is None else path.write_text(text)
    contents = read_run(rundir)
    assert len(contents.problems) == 1
    assert contents.problems[0].startswith(name)
    assert len(contents.pictures) == 5


def test_a_run_of_a_version_that_wrote_less_is_shown(reported, rundir):
    said = json.loads((rundir / "provenance.json").read_text())
    for keys in ({*said}, *({key} for key in said)):
        (rundir / "provenance.json").write_text(json.dumps({k: v for k, v in said.items() if k not in keys}))
        contents = read_run(rundir)
        assert sum(map(len, page_of(contents, title="old").figures.values())) == 5
        runs = {"new": read_run(reported), "old": contents}
        assert comparison.which_runs(runs).rows[0][1] == "Reported"
        assert all(row[2] == "not there" for row in comparison.settings(runs).rows)
        assert len(comparison.pairs(runs)[0]) == 5


def test_a_job_run_from_python_has_no_joboptions(rundir):
    (rundir / "joboptions.py").unlink()
    contents = read_run(rundir)
    assert (contents.joboptions, contents.paragraphs, contents.problems) == ("", [], ())


def test_joboptions_with_a_syntax_error_are_shown_all_the_same(rundir):
    (rundir / "joboptions.py").write_text("job = (\x00")
    assert read_run(rundir).paragraphs == []
    assert read_run(rundir).joboptions == "job = (\x00"


def test_networks_and_the_ledger_are_no_figures(rundir):
    (rundir / "weights.json").write_text(json.dumps({"layers": []}))
    (rundir / "manual.pdf").write_bytes(b"%PDF")
    (rundir / ".hepflow" / "ledger" / "x.png").write_bytes(b"")
    assert len(read_run(rundir).pictures) == 5


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run directory .*nowhere"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"no provenance\.json and no figures"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no run directory"):
        read_run(tmp_path / "a.txt")
