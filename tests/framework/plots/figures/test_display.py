"""Event displays as they are drawn: areas, places, ranges and texts."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.patches import Circle, Rectangle

from hepflow.errors import PlotError
from hepflow.plots import EventDisplay
from hepflow.plots.display import Marks
from hepflow.plots.figures import Style, draw
from hepflow.plots.figures.style import house_style
from tests.framework.plots.figures.conftest import LONG, STYLE
from tests.framework.plots.figures.geometry import overlap, shown_texts

ENDS = (0.012, -0.02), (0.04, math.nan)
TRACKS = Marks("charged tracks", (0.01, -0.02), (0.001, 0.005), (80.0, 5.0), *ENDS)
NEUTRAL = Marks("neutral PFOs", (0.0, 0.15, -0.02), (0.01, 0.1, 0.02), (40.0, 2.0, 10.0))
SHOTS = Marks("shots", (0.001,), (0.011,), (20.0,))
NONE = Marks("conversion tracks", (), (), ())
TEXTS = ("tau: $p_{T}$ = 127 GeV, η = −0.80, event 12345",)

DISPLAYS = {
    "tau": EventDisplay(
        (TRACKS, NEUTRAL, SHOTS, NONE), "truth: 1p1n, network: 1p1n", TEXTS, end_label="track at the ECal"
    ),
    "soft": EventDisplay((Marks("tracks", (0.15, -0.3), (0.15, 0.2), (0.7, 0.4)), NONE), "truth: 1p0n", TEXTS),
    "far": EventDisplay((Marks("tracks", (2.0,), (-3.0,), (1e3,)),), "truth: 3p0n"),
    "many": EventDisplay(tuple(Marks(f"{LONG} {i}", (i / 9,), (0.0,), (1.0,)) for i in range(4)), LONG, (LONG, LONG)),
    "crowd": EventDisplay((Marks("tracks", *np.random.default_rng(1).normal(0, 0.1, (2, 60)), [3.0] * 60), NONE)),
    "nothing": EventDisplay((NONE,), "truth: 1p0n"),
    "no kinds": EventDisplay(()),
}


def views(figure):
    """The close view and that of the whole cone."""
    close, whole, _ = figure.axes
    return close, whole


def areas(axes):
    """Areas and places of the markers, kind after kind."""
    found = [one for one in axes.collections if isinstance(one, PathCollection)]
    return [(np.asarray(one.get_sizes()), np.asarray(one.get_offsets())) for one in found]


def texts(figure):
    with house_style():
        return [text for text, _, _ in shown_texts(figure)]


@pytest.mark.parametrize("name", DISPLAYS)
@pytest.mark.parametrize("style", [STYLE, Style("My lab, work in progress", (LONG, LONG, LONG))], ids=["short", "long"])
def test_texts_are_in_the_figure_and_apart(name, style):
    figure = draw(DISPLAYS[name], style=style, title="a title")
    with house_style():
        found = shown_texts(figure)
    assert [(a[0], b[0]) for a, b in combinations(found, 2) if overlap(a, b)] == []
    width, height = figure.get_size_inches() * figure.dpi
    for text, corners, _ in found:
        assert (corners >= 0).all(), text
        assert corners[:, 0].max() <= width, text
        assert corners[:, 1].max() <= height, text


def test_areas_are_proportional_to_pt():
    close, whole = views(draw(DISPLAYS["tau"]))
    drawn = areas(close)
    assert [len(places) for _, places in drawn] == [2, 3, 1, 0]
    per_gev = [size / pt for (sizes, _), pts in zip(drawn, [(80, 5), (40, 10, 2), (20,), ()], strict=True)
               for size, pt in zip(sizes, pts, strict=True)]  # fmt: skip
    assert per_gev == pytest.approx([per_gev[0]] * 6)
    assert drawn[1][1].tolist() == [[0.0, 0.01], [-0.02, 0.02], [0.15, 0.1]]  # small ones are drawn last, on top
    factor = [small / large for (small, _), (large, _) in zip(areas(whole), drawn, strict=True)]
    assert np.concatenate(factor) == pytest.approx(factor[0][0])


def test_the_legend_of_areas_has_their_scale():
    close, _ = views(figure := draw(DISPLAYS["tau"]))
    sizes = figure.axes[2]
    shown = [float(one.get_sizes()[0]) for one in sizes.collections]
    values = [float(text.get_text().removesuffix(" GeV")) for text in sizes.texts]
    assert values == [2.0, 10.0, 50.0]
    scale = areas(close)[0][0][0] / 80
    assert shown == pytest.approx([scale * value for value in values])


def test_kinds_differ_in_colour_and_shape_and_are_counted():
    figure = draw(DISPLAYS["tau"])
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == [
        "charged tracks: 2, 85 GeV",
        "neutral PFOs: 3, 52 GeV",
        "shots: 1, 20 GeV",
        "conversion tracks: 0",
        "track at the ECal",
    ]
    drawn = [one for one in figure.axes[0].collections if isinstance(one, PathCollection)]
    shapes = {str(one.get_paths()[0].vertices.tolist()) for one in drawn}
    colours = {tuple(one.get_edgecolor()[0]) for one in drawn if len(one.get_edgecolor())}
    assert len(shapes) == 4
    assert len(colours) >= 3


def test_rings_have_their_radius():
    close, whole = views(draw(DISPLAYS["soft"]))
    for axes in (close, whole):
        assert [patch.radius for patch in axes.patches if isinstance(patch, Circle)] == [0.1, 0.2, 0.4]
    assert [text.get_text() for text in whole.texts] == ["0.1", "0.2", "0.4"]


@pytest.mark.parametrize(
    ("name", "half", "outside"),
    [("tau", 0.055, "1 more outside"), ("soft", 0.44, None), ("far", 0.44, "1 more outside")],
)
def test_the_close_view_shows_the_core(name, half, outside):
    figure = draw(DISPLAYS[name])
    close, whole = views(figure)
    assert close.get_xlim() == close.get_ylim() == (-half, half)
    assert whole.get_xlim() == (-0.44, 0.44)
    assert [text for text in texts(figure) if "outside" in text] == ([outside] if outside else [])
    frames = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in whole.patches if isinstance(p, Rectangle)]
    assert frames == ([(-half, -half, 2 * half, 2 * half)] if half < 0.44 else [])
    box = close.get_window_extent()
    assert box.width == pytest.approx(box.height)


def test_where_tracks_arrive():
    close, _ = views(draw(DISPLAYS["tau"]))
    crosses = next(line for line in close.lines if line.get_marker() == "x")
    x, y = crosses.get_data()
    assert np.array([x, y]).T[0].tolist() == [0.012, 0.04]
    assert np.isnan(y[1])


@pytest.mark.parametrize("name", ["nothing", "no kinds"])
def test_nothing_says_so(name):
    assert "nothing to draw: no objects" in texts(draw(DISPLAYS[name]))


def test_options_that_displays_do_not_have():
    for options in ({"log_y": True}, {"ratio": True}, {"normalise": True}, {"y_range": (0, 1)}):
        with pytest.raises(PlotError, match=f"an event display has no option {next(iter(options))}"):
            draw(DISPLAYS["tau"], **options)
    with pytest.raises(PlotError, match="several EventDisplay do not go into one figure"):
        draw([DISPLAYS["tau"], DISPLAYS["far"]])
