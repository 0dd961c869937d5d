"""The page in a browser, wide and narrow, light and dark: nothing scrolls sideways, nothing is asked of a network."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from PIL import Image

from hepflow.plugins.performance.report.contents import read_run
from hepflow.plugins.performance.report.page import page_of, write_page
from hepflow.plugins.performance.report.tool import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
SIZES = {"desktop": (1280, 900), "phone": (375, 740)}


@pytest.fixture(scope="module")
def browser():
    """A browser that every test of this file opens a window of."""
    driver = pytest.importorskip("playwright.sync_api", reason="driving a browser needs the extra 'test'")
    if CHROMIUM is None:
        pytest.skip("there is no chromium (Debian's package of this name)")
    with driver.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, headless=True, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def browse(browser):
    """Open a page: ``with browse(path, "phone", "dark") as (page, heard)``; ``heard`` is all that it complains of or
    asks for."""

    @contextmanager
    def opened(path, size="desktop", scheme="light"):
        width, height = SIZES[size]
        window = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        try:
            page, heard = window.new_page(), []
            page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: heard.append(f"error: {error}"))
            page.on("request", lambda request: heard.append(f"request: {request.url}"))
            page.goto(path.as_uri())
            heard[:] = [line for line in heard if not line.startswith(("request: file:", "request: data:"))]
            yield page, heard
        finally:
            window.close()

    return opened


def sideways(page):
    """How many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def load_all(page):
    """Scroll to every image, wait until it is there, and return their widths."""
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
    return page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_opens_anywhere(browse, reported, size, scheme):
    with browse(reported / "report.html", size, scheme) as (page, heard):
        assert sideways(page) <= 0
        widths = load_all(page)
        assert len(widths) == 5
        assert min(widths) > 300
        for summary in page.locator("summary").all():
            summary.click()
        page.locator("figure img").first.click()
        assert sideways(page) <= 0, "also with all numbers open and a figure enlarged"
        assert page.locator("figure table").first.is_visible()
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
        assert heard == []


def test_a_click_or_the_space_bar_makes_a_figure_larger(browse, reported):
    with browse(reported / "report.html") as (page, _):
        figure = page.locator("#figure-4")
        small = figure.bounding_box()["width"]
        figure.locator("img").click()
        large = figure.bounding_box()["width"]
        assert large > 1.5 * small
        figure.locator("input").press("Space")
        assert figure.bounding_box()["width"] == small


@pytest.mark.parametrize("size", SIZES)
def test_the_contents_lead_somewhere(browse, reported, size):
    with browse(reported / "report.html", size) as (page, _):
        page.locator("nav a", has_text="Cutflow").click()
        page.wait_for_timeout(300)  # what comes into sight gets its size
        place = page.locator("#cutflow").bounding_box()["y"]
        bar = page.locator("nav").bounding_box()
        below = bar["y"] + bar["height"] if size == "phone" else 0
        assert below <= place < below + 120, "in sight, and not covered by the bar"


CONTRAST = """selector => {
    const part = text => text.match(/[\\d.]+/g).map(Number);
    const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const bright = rgb => [.2126, .7152, .0722].reduce((sum, weight, i) => sum + weight * linear(rgb[i] / 255), 0);
    return [...document.querySelectorAll(selector)].map(element => {
        let behind = element;
        const solid = e => { const c = part(getComputedStyle(e).backgroundColor); return c.length == 3 || c[3] > .99; };
        while (behind.parentElement && !solid(behind)) behind = behind.parentElement;
        const one = bright(part(getComputedStyle(element).color));
        const two = bright(part(getComputedStyle(behind).backgroundColor));
        return (Math.max(one, two) + .05) / (Math.min(one, two) + .05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(browse, rundir, scheme):
    """WCAG AA: a contrast of at least 4.5."""
    (rundir / "roc/pt.png").unlink()
    with browse(write_report(rundir), scheme=scheme) as (page, _):
        for selector in (
            "h1, h2, h3, p, td, th, dt, dd, summary, pre",
            "nav a",
            ".files a",
            "figcaption *",
            ".problems p",
        ):
            ratios = page.evaluate(CONTRAST, selector)
            assert ratios, selector
            assert min(ratios) >= 4.5, selector


def test_two_hundred_figures_stay_usable(browse, rundir):
    for number in range(200):
        Image.new("RGB", (1200, 900), (number, 200, 200)).save(rundir / f"more_{number}.png", compress_level=1)
        for suffix in ("pdf", "json"):
            (rundir / f"more_{number}.{suffix}").symlink_to(rundir / f"spectra/pt_2.{suffix}")
    write_page(page_of(read_run(rundir), title="many"), rundir / "report.html")
    with browse(rundir / "report.html", "phone") as (page, heard):
        loaded = "[...document.images].filter(image => image.naturalWidth > 0).length"
        assert page.locator("img").count() == 205
        assert page.evaluate(loaded) < 100, "what is far away is not decoded"
        page.locator("img").last.scroll_into_view_if_needed()
        page.locator("img").last.evaluate("image => image.decode()")
        assert sideways(page) <= 0
        assert heard == []


def test_it_prints(browse, reported, tmp_path):
    from pypdf import PdfReader

    with browse(reported / "report.html", scheme="dark") as (page, _):
        load_all(page)  # a browser does so by itself when a person prints
        page.pdf(path=tmp_path / "print.pdf", prefer_css_page_size=True)
    printed = PdfReader(tmp_path / "print.pdf")
    whole = " ".join(" ".join(page.extract_text() for page in printed.pages).split())
    assert "Taus & <script>alert(1)</script>" in whole
    assert "from hepflow.plugins.performance import Report" in whole
    assert sum(len(page.images) for page in printed.pages) == 5
    assert len(printed.pages) < 9
