"""The PDF book: text, bookmarks, links, figures as vector graphics."""

from __future__ import annotations

import json
import re
import warnings

import pytest

from hepflow.plugins.performance.report.book import write_book
from hepflow.plugins.performance.report.contents import read_run
from hepflow.plugins.performance.report.sheets import ROOM, TEXT, Font, clean, fold, width

PdfReader = pytest.importorskip("pypdf", reason="the book needs the extra 'plots'").PdfReader


def text(page):
    return " ".join(page.extract_text().split())


def outline(reader):
    """Bookmarks as (depth, title, page from 0)."""

    def walk(items, depth):
        for item in items:
            if isinstance(item, list):
                yield from walk(item, depth + 1)
            else:
                yield depth, item.title, reader.get_destination_page_number(item)

    return list(walk(reader.outline, 0))


def images(page):
    """Names of the bitmaps that a page shows."""
    known = page["/Resources"].get("/XObject") or {}
    drawn = re.findall(rb"(/\S+) Do\b", page.get_contents().get_data())
    return [name for name in map(bytes.decode, drawn) if known[name].get_object()["/Subtype"] == "/Image"]


@pytest.fixture(scope="module")
def book(reported):
    return PdfReader(reported / "report.pdf")


def remade(rundir):
    path = rundir / "report.pdf"
    write_book(read_run(rundir), path, title="book")
    return PdfReader(path)


def test_cover_and_contents(book):
    cover = text(book.pages[0])
    assert cover.startswith("Taus & <script>alert(1)</script> What the report is about. A second paragraph, <b>not</b>")
    assert "A. <i>Author</i>" in cover
    assert "events 60" in cover
    assert book.metadata.title == "Taus & <script>alert(1)</script>"
    assert book.metadata.author == "A. <i>Author</i>"


def test_bookmarks_lead_where_the_title_is(book):
    found = outline(book)
    assert [(depth, title) for depth, title, _ in found][:8] == [
        (0, "Figures"),
        (1, "central"),
        (1, "roc"),
        (2, "pt"),
        (1, "spectra"),
        (2, "empty"),
        (2, "pt 2"),
        (2, "pt 10"),
    ]
    assert [title for depth, title, _ in found if depth == 0][1:] == [
        *("Cutflow", "Inputs", "Outputs", "Command line", "Versions", "Configuration", "Job options")
    ]
    for _, title, page in found:
        assert title in text(book.pages[page])


def test_the_contents_give_the_page_and_lead_there(book):
    entries = outline(book)
    links = [link.get_object() for link in book.pages[0]["/Annots"]]
    pages = {page.indirect_reference.idnum: number for number, page in enumerate(book.pages)}
    targets = [pages[link["/Dest"][0].idnum] for link in links]
    assert targets == [page for _, _, page in entries]
    assert text(book.pages[0]).endswith(
        f"Job options {entries[-1][2] + 1} Taus & <script>alert(1)</script> 1 / {len(book.pages)}"
    )


def test_figures_are_vector_graphics_with_their_captions(book, reported):
    pages = {title: book.pages[page] for _, title, page in outline(book)}
    assert images(pages["pt 2"]) == []
    assert "tau pt" in text(pages["pt 2"]), "the label of the axis, as text"
    assert "test simulation · taus of <i>60</i> events" in text(pages["pt 2"])
    assert "no entries" in text(pages["empty"])
    drawn = PdfReader(reported / "spectra/pt_2.pdf").pages[0].get_contents().get_data()
    assert drawn.count(b" l\n") <= pages["pt 2"].get_contents().get_data().count(b" l\n")


def test_pages_are_a4(book):
    assert {(float(page.mediabox.width), float(page.mediabox.height)) for page in book.pages} == {(595.0, 842.0)}


def test_tables_say_what_the_files_say(book, reported):
    whole = " ".join(text(page) for page in book.pages)
    first = json.loads((reported / "cutflow.json").read_text())[0]
    assert f"pt >= 20 GeV TauJets {first['before']} {first['after']} {first['after'] / first['before']:.1%}" in whole
    assert "PtMin 20000.0" in whole
    assert "Set: PtMin." in whole
    assert "job += Figures(" in whole
    assert json.loads((reported / "provenance.json").read_text())["inputs"][0]["uuid"][:12] in whole


def test_indentation_of_job_options_is_kept(rundir):
    (rundir / "joboptions.py").write_text("if True:\n    if True:\n        job = 1\n")
    page = remade(rundir).pages[-1]
    places = {}
    page.extract_text(visitor_text=lambda t, cm, tm, *rest: places.setdefault(t.strip(), tm[4]))
    lines = page.extract_text(extraction_mode="layout")
    assert re.search(r"^( *)if True:\n+\1 {2,}if True:\n+\1 {4,}job = 1$", lines, re.MULTILINE), lines


def test_without_a_pdf_the_png_is_shown(rundir):
    (rundir / "spectra/pt_2.pdf").unlink()
    (rundir / "spectra/pt_10.pdf").write_bytes(b"%PDF-1.4\nnothing")
    reader = remade(rundir)
    numbers = {title: page for _, title, page in outline(reader)}
    pages = {title: reader.pages[page] for title, page in numbers.items()}
    assert {title: len(images(pages[title])) for title in ("pt", "pt 2", "pt 10")} == {
        "pt": 0,
        "pt 2": 1 + (numbers["pt 2"] == numbers["pt 10"]),
        "pt 10": 1 + (numbers["pt 2"] == numbers["pt 10"]),
    }
    assert "pt_2.pdf is missing" in text(pages["pt 2"])
    assert "pt_10.pdf is damaged" in text(pages["pt 10"])


def test_a_figure_of_which_nothing_is_left(rundir):
    (rundir / "spectra/pt_2.png").write_bytes(b"")
    (rundir / "spectra/pt_2.pdf").write_bytes(b"")
    reader = remade(rundir)
    pages = {title: text(reader.pages[page]) for _, title, page in outline(reader)}
    assert "pt_2.png is damaged" in pages["pt 2"]
    assert "pt_2.pdf is damaged" in pages["pt 2"]


def test_two_books_of_one_run_are_the_same(reported, tmp_path):
    contents = read_run(reported)
    for name in ("one.pdf", "two.pdf"):
        write_book(contents, tmp_path / name, title="t", author="a")
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()


def test_many_figures_share_pages_and_fonts(rundir):
    for number in range(40):
        for suffix in ("png", "pdf", "json"):
            (rundir / f"more_{number}.{suffix}").write_bytes((rundir / f"spectra/pt_2.{suffix}").read_bytes())
    reader = remade(rundir)
    figures = [page for depth, title, page in outline(reader) if title.startswith("more")]
    assert len(figures) == 40
    assert len(set(figures)) <= 21
    assert figures == sorted(figures)
    assert (rundir / "report.pdf").stat().st_size < 0.6 * 40 * (rundir / "spectra/pt_2.pdf").stat().st_size
    assert outline(reader)[0][2] == 2, "the contents take two pages"


def test_long_and_strange_values_stay_on_the_page(rundir):
    path = rundir / "provenance.json"
    said = json.loads(path.read_text())
    said["properties"]["TauSelection"]["PtMin"] = "x" * 30_000
    said["properties"]["TauSelection"]["Container"] = "日本\t$x_1$ \u202e π⁰"
    said["inputs"] = [said["inputs"][0] | {"path": f"/{'d' * 300}/{number}.root"} for number in range(30)]
    path.write_text(json.dumps(said))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader = remade(rundir)
    whole = " ".join(text(page) for page in reader.pages)
    assert "□□" in whole
    assert "$x_1$" in whole
    assert "29.root" in whole
    for page in reader.pages:
        heights = []
        page.extract_text(
            visitor_text=lambda t, cm, tm, *rest, into=heights: into.append(cm[5] + tm[5]) if t.strip() else None
        )
        assert min(heights) > 20


def test_of_very_many_inputs_the_book_shows_the_first(rundir):
    path = rundir / "provenance.json"
    said = json.loads(path.read_text())
    said["inputs"] = [said["inputs"][0] | {"path": f"{number}.root", "uuid": ""} for number in range(1, 5001)]
    path.write_text(json.dumps(said))
    reader = remade(rundir)
    whole = " ".join(text(page) for page in reader.pages)
    assert "300.root" in whole
    assert "301.root" not in whole
    assert "300 of 5,000 rows" in whole


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("font", [TEXT, Font(size=7, mono=True), Font(size=20, weight="bold")])
@pytest.mark.parametrize(
    "given", ["a few words that are longer than one line " * 3, "x" * 400, "/a/b" * 60, "", " ", "a\n\nb"]
)
def test_folded_lines_fit_and_lose_nothing(font, given):
    lines = fold(given, font, 120)
    assert all(width(line, font) <= 120 for line in lines)
    assert "".join("".join(lines).split()) == "".join(given.split())


def test_indented_lines_stay_indented():
    assert fold("        job = 1", TEXT, ROOM) == ["        job = 1"]


def test_one_character_is_never_folded():
    assert fold("WW", Font(size=40), 1) == ["W", "W"]


def test_what_the_fonts_lack_is_a_box():
    assert clean("a\tπ⁰ ≥ 日\x00\n") == "a   π⁰ ≥ □□\n"
