"""Saving: which files, the numbers beside a figure, the same bytes every time, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hepflow.errors import OutputError, PlotError
from hepflow.plots import Comparison, Line, Panel, PlotObject, Stack, load_plots
from hepflow.plots.figures import Style, draw, draw_panels, load_figure, save
from hepflow.plots.figures.picture import picture
from tests.framework.plots.figures.conftest import (
    STYLE,
    area,
    efficiency,
    histogram,
    matrix,
    point,
    profile,
    resolution,
    roc,
    stack,
)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_files(tmp_path):
    plot = efficiency(label="DSNN")
    written = save(draw(plot, style=STYLE), tmp_path / "deep/efficiency.pt", plot)
    assert [path.name for path in written] == [f"efficiency.pt.{kind}" for kind in ("png", "pdf", "json")]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == sorted(path.name for path in written)
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    assert [p.name for p in save(draw(plot), tmp_path / "x", plot, formats=["pdf"])] == ["x.pdf", "x.json"]


@pytest.mark.parametrize(
    "what",
    [
        histogram(label="a"),
        [efficiency(), efficiency(seed=2)],
        Comparison([profile(), profile()]),
        resolution(),
        [roc(), point()],
        matrix(),
        area(),
        stack(),
    ],
)
def test_the_numbers_beside_a_figure_are_the_objects(what, tmp_path):
    path = save(draw(what, style=STYLE, title="t"), tmp_path / "figure", what, formats=())[-1]
    content = read(path)
    loaded = [PlotObject.from_json(part) for part in content["plots"]]
    expected = [what] if isinstance(what, PlotObject) else what
    if isinstance(what, Comparison):
        expected = list(what.plots)
    elif isinstance(what, Stack):
        expected = [*what.histograms, what.data]
    assert loaded == expected
    assert content["style"] == {"text": "hepflow simulation", "lines": list(STYLE.lines)}
    assert content["options"]["title"] == "t"
    saved = load_figure(path)
    assert saved.plots == expected
    assert type(saved.what) is (type(what) if not isinstance(what, PlotObject) else list)
    again = saved.draw(Style("ATLAS Internal")).drawn_with
    assert again["options"]["title"] == "t"
    assert (again["style"]["text"], again["style"]["lines"]) == ("ATLAS Internal", STYLE.lines)


def test_plain_numbers_beside_panels(tmp_path):
    panel = Panel([Line([1, 2], [3.0, 4.0], "a"), Line([1], [float("nan")])], "x", "y", mark=(1.0, "best"))
    figure = draw_panels([panel], style=Style(lines=("DSNN",)))
    path = save(figure, tmp_path / "curves", {"x": [1, 2], "y": [3.0, float("nan")]})[-1]
    content = read(path)
    assert (content["x"], content["y"]) == ([1, 2], [3.0, None])
    saved = load_figure(path)
    assert saved.style == Style(lines=("DSNN",))
    (again,) = saved.plots
    assert again.lines[0] == panel.lines[0]
    assert again.mark == panel.mark
    assert np.isnan(again.lines[1].y[0])
    assert load_plots(path)
    assert picture(saved.draw(), "png") == picture(figure, "png")

    path.write_text('{"epochs": [], "style": {"text": "hepflow"}}')
    with pytest.raises(PlotError, match="older hepflow"):
        load_figure(path)


SCRIPT = """
import sys, hashlib
from tests.framework.plots.figures.conftest import STYLE, matrix, roc
from hepflow.plots.figures import draw
from hepflow.plots.figures.picture import picture
for what in (roc("DSNN", number=500), matrix(number=20)):
    figure = draw(what, style=STYLE)
    print(*(hashlib.sha256(picture(figure, kind)).hexdigest() for kind in ("png", "pdf")))
"""


def test_the_same_figure_has_the_same_bytes():
    """In another process, with another hash seed and on another day."""
    found = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        environment.pop("SOURCE_DATE_EPOCH", None)
        command = [sys.executable, "-c", SCRIPT]
        found.add(subprocess.run(command, capture_output=True, check=True, env=environment, timeout=600).stdout)
    assert len(found) == 1


def test_no_date_in_the_files():
    figure = draw(histogram())
    assert b"CreationDate" not in picture(figure, "pdf")
    assert b"Software" not in picture(figure, "png")


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path):
    plot = histogram()
    with pytest.raises(PlotError, match="did you mean 'png'"):
        save(draw(plot), tmp_path / "figure", plot, formats=["pdf", "pgn"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    plot = histogram()
    with pytest.raises(OutputError, match="cannot be written"):
        save(draw(plot), tmp_path / "file/figure", plot)


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    plot = histogram()
    save(draw(plot), tmp_path / "figure", plot)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        save(draw(histogram(seed=2)), tmp_path / "figure", plot)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
