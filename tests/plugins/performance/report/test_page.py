"""The HTML page: what it says, that it escapes everything and needs nothing from anywhere."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from hepflow.plugins.performance.report.contents import Contents, Picture, read_run
from hepflow.plugins.performance.report.overview import results
from hepflow.plugins.performance.report.page import page_of, write_page
from hepflow.plugins.performance.report.tables import Table, measured
from hepflow.plugins.performance.report.tool import write_report


@pytest.fixture(scope="module")
def page(reported, parse):
    return parse(reported / "report.html")


def remade(rundir, parse):
    """The page of a run directory that a test has changed."""
    return parse(write_report(rundir))


def section(page, name):
    return next(s for s in page.all("section") if any(h.attributes.get("id") == name for h in s.all("h2")))


def test_title_and_what_the_job_says(page):
    assert page.all("title")[0].text == "Taus & <script>alert(1)</script>"
    header = page.all("header")[0]
    assert [p.text for p in header.all("p")] == [
        "What the report is about.",
        "A second paragraph, <b>not</b> bold.",
        "A. <i>Author</i>",
    ]
    facts = {dt.text: dd.text for dt, dd in zip(header.all("dt"), header.all("dd"), strict=True)}
    assert (facts["events"], facts["input files"], facts["figures"]) == ("60", "1", "5")


def test_nothing_of_the_user_is_markup(page, reported):
    assert page.all("script") == page.all("b") == page.all("i") == []
    text = (reported / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "alert(1)" in text
    assert "alert(2)" in text


def test_nothing_is_loaded_from_anywhere(page):
    assert {meta.attributes.get("http-equiv") for meta in page.all("meta")} >= {"Content-Security-Policy"}
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    (style,) = page.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert all(":" not in a["href"] for a in page.all("a")), "links lead into the page or the run directory"


def test_every_link_has_its_target(page, reported):
    for link in page.all("a"):
        target = link["href"]
        if target.startswith("#"):
            assert page.with_id(target[1:]) is not None, target
        else:
            assert (reported / unquote(target)).is_file(), target


def test_every_id_is_there_once(page):
    tags = ("main", "h2", "h3", "figure")
    ids = [one.attributes["id"] for tag in tags for one in page.all(tag) if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    assert {"top", "figures", "cutflow", "inputs", "outputs", "command-line", "versions", "configuration"} < set(ids)


def test_contents_lead_to_every_section_and_figure(page):
    (nav,) = page.all("nav")
    entries = [a.text for a in nav.all("a")]
    spectra = ["Spectra", "tau pt (empty)", "tau pt (pt 2)", "tau pt (pt 10)"]
    figures = ["Figures", "Efficiency against tau pt", "ROC", "pt", *spectra]
    assert entries[:11] == ["Overview", "Results", "Cutflow", *figures]
    assert entries[11:] == [h2.text for h2 in page.all("h2")][3:]


def test_the_numbers_that_stand_for_the_whole_come_first(page, reported):
    auc = json.loads((reported / "roc/pt.json").read_text())["plots"][0]["derived"]["auc"]
    assert page.all("h2")[0].text == "Results"
    text = measured(auc["value"], auc["error"])
    assert section(page, "results").rows() == [["of", "AUC"], ["pt", text]]


def test_a_row_has_the_quantities_of_what_was_measured_and_a_matrix_stands_once():
    single = frozenset({1})
    net = Table((), [("diagonal", "0.9"), ("mean_diagonal", "0.8"), ("total", "70")], "Net", right=single)
    curve = Table((), [("auc", "0.95")], "Net", right=single)
    cut = Table((), [("efficiency", "0.7"), ("rejection", "20")], "Cut", right=single)
    titles = {"m/a": "Net: efficiency", "m/b": "Net: purity", "roc/a": "ROC: a against b", "roc/b": "ROC: a against c"}
    pictures = [
        Picture(Path(path), title, tables=(net,) if path < "n" else (curve, cut)) for path, title in titles.items()
    ]
    matrices, rocs = results(Contents(Path(), {}, (), "", tuple(pictures), ()))
    assert (matrices.header, matrices.rows) == (("of", "diagonal", "mean diagonal"), [("Net", "0.9", "0.8")])
    assert rocs.header == ("figure", "of", "AUC", "efficiency", "rejection")
    both = [("Net", "0.95", "", ""), ("Cut", "", "0.7", "20")]
    assert rocs.rows == [(f"ROC: a against {other}", *row) for other in "bc" for row in both]


def test_pictures_are_inside_with_their_size(page, reported):
    for picture, figure in zip(read_run(reported).pictures, page.all("figure"), strict=True):
        (image,) = figure.all("img")
        with (
            Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as shown,
            Image.open(picture.png) as drawn,
        ):
            assert shown.size == drawn.size
            difference = np.abs(np.subtract(shown.convert("RGB"), drawn.convert("RGB"), dtype=float))
            assert difference.mean() < 1  # fewer colours
        assert (int(image["width"]), int(image["height"])) == picture.pixels
        assert image["loading"] == "lazy"
        assert image["alt"] == picture.title


def test_numbers_of_a_figure(page, reported):
    figure = next(f for f in page.all("figure") if f.all("h4")[0].text == "tau pt (pt 2)")
    (details,) = figure.all("details")
    values = json.loads((reported / "spectra/pt_2.json").read_text())["plots"][0]["derived"]["values"]
    table = details.all("table")[-1].rows()
    assert [row[0] for row in table][:2] == ["tau pt [GeV]", "0 … 10"]
    assert [float(row[1].replace(",", "")) for row in table[1:]] == values
    assert sum(values) > 20


def test_cutflow_with_bars(page, reported):
    rows = section(page, "cutflow").rows()
    counts = json.loads((reported / "cutflow.json").read_text())
    assert rows[0] == ["stream", "tool", "selection", "of", "before", "after", "kept"]
    first = counts[0]
    share = f"{100 * first['after'] / first['before']:.1f}%"
    assert rows[1] == [
        "job",
        "TauSelection",
        "pt >= 20 GeV",
        "TauJets",
        f"{first['before']}",
        f"{first['after']}",
        share,
    ]
    bar = next(td for td in section(page, "cutflow").all("td") if "share" in td.attributes.get("class", ""))
    assert bar["style"] == f"--part: {share}"


def test_how_it_was_made(page, reported):
    provenance = json.loads((reported / "provenance.json").read_text())
    (source,) = provenance["inputs"]
    assert section(page, "inputs").rows()[1][0] == source["path"]
    assert section(page, "inputs").rows()[1][3] == "60"
    assert section(page, "outputs").rows()[1][:2] == ["tree", "tree_000001.root"]
    assert ["command line", " ".join(provenance["command"].split())] in section(page, "command-line").rows()
    assert ["numpy", provenance["versions"]["numpy"]] in section(page, "versions").rows()
    assert section(page, "text").all("pre")[0].text == " ".join((reported / "joboptions.py").read_text().split())


def test_configuration_shows_what_was_set_and_on_request_everything(page):
    text = section(page, "configuration")
    names = [h3.text for h3 in text.all("h3")]
    assert names == ["TauSelection", "tree NtupleStream", "Figures", "Report"]
    changed, everything = text.all("table")[:2]
    assert changed.rows()[1:] == [["PtMin", "20000.0"]]
    assert len(everything.rows()) > 5
    assert ["AbsEtaMax", "2.5"] in everything.rows()
    assert text.all("summary")[0].text == f"All {len(everything.rows()) - 1} properties"


def test_two_pages_of_one_run_are_the_same(reported, tmp_path):
    contents = read_run(reported)
    for name in ("one.html", "two.html"):
        write_page(page_of(contents, title="t", author="a"), tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_damaged_files_are_shown_as_such(rundir, parse):
    (rundir / "spectra/pt_2.png").unlink()
    (rundir / "spectra/pt_10.json").write_text("{")
    (rundir / "cutflow.json").write_text("[")
    page = remade(rundir, parse)
    figures = {f.all("h4")[0].text: f for f in page.all("figure")}
    assert figures["tau pt (pt 2)"].all("img") == []
    assert "pt_2.png is missing" in figures["tau pt (pt 2)"].text
    assert len(figures["pt 10"].all("img")) == 1
    assert "pt_10.json cannot be read" in figures["pt 10"].text
    assert "cutflow.json cannot be read" in page.all("header")[0].text
    assert page.with_id("cutflow") is None


def test_a_run_of_which_only_figures_are_left(rundir, parse):
    for name in ("provenance.json", "cutflow.json", "joboptions.py"):
        (rundir / name).unlink()
    page = remade(rundir, parse)
    assert page.all("h1")[0].text == "run"
    assert [h2.text for h2 in page.all("h2")] == ["Results", "Figures"]
    assert len(page.all("img")) == 5


def test_names_of_files_are_quoted_in_links(rundir, parse):
    for suffix in ("png", "pdf", "json"):
        (rundir / f"spectra/pt_2.{suffix}").rename(rundir / f'spectra/50% "a" #1?.{suffix}')
    page = remade(rundir, parse)
    links = [a["href"] for a in page.all("a") if "50" in a["href"]]
    assert len(links) == 3
    assert all((rundir / unquote(link)).is_file() and not set('"#?') & set(link) for link in links)


MODEL = {
    "WeightFile": "dsnn.json",
    "sha256": "ab" * 32,
    "record": {"folds": {"rule": "TauJets.mcEventNumber % 5", "train": [2, 3, 4], "validation": [0], "test": [1]}},
}


def test_models_with_their_folds(rundir, parse):
    path = rundir / "provenance.json"
    said = json.loads(path.read_text())
    said["models"] = {"/models/dsnn.json": "ab" * 32, "/models/other.yaml": "cd" * 32}
    said["records"] = [
        {"tool": "Selection", "of": "job", "record": {"require": ["x"]}},
        {"tool": "Classifier", "of": "job", "record": MODEL},
        {
            "tool": "Folded",
            "of": "inputs",
            "record": {"networks": [MODEL, MODEL | {"sha256": "ef" * 32, "record": {}}]},
        },
    ]
    path.write_text(json.dumps(said))
    rows = section(remade(rundir, parse), "models").rows()[1:]
    roles = "TauJets.mcEventNumber % 5: train 2, 3, 4; validation 0; test 1"
    assert rows == [
        ["dsnn.json", "used by Classifier", roles, "ab" * 32],
        ["dsnn.json", "decorated the inputs (Folded)", roles, "ab" * 32],
        ["dsnn.json", "decorated the inputs (Folded)", "not recorded", "ef" * 32],
        ["/models/other.yaml", "used by the job", "–", "cd" * 32],
    ]
