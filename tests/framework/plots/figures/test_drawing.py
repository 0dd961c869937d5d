"""What is drawn: the numbers of the objects, legends, ratios, axes; what options do; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from hepflow.errors import PlotError
from hepflow.plots import (
    Axis,
    Comparison,
    EfficiencyProfile,
    Histogram,
    MigrationMatrix,
    Profile,
    Ratio,
    ResolutionProfile,
    RocCurve,
    Stack,
    WorkingPoint,
)
from hepflow.plots.figures import Style, draw
from tests.framework.plots.figures.conftest import (
    ETA,
    LOG_PT,
    MODE,
    MODES,
    PT,
    area,
    efficiency,
    equal_scores,
    histogram,
    matrix,
    nan_histogram,
    point,
    profile,
    resolution,
    roc,
    several,
    stack,
)


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def legend(figure):
    found = figure.axes[0].get_legend()
    return [] if found is None else [text.get_text().replace("\n", " ") for text in found.get_texts()]


def drawn_points(axes, position=0):
    """Points of an error bar container with the lengths of its vertical bars: x, y, low, high."""
    container = axes.containers[position]
    x, y = container.lines[0].get_data()
    bars = container.lines[2][-1].get_segments()
    return x, y, np.array([bar[0, 1] for bar in bars]), np.array([bar[1, 1] for bar in bars])


def ends(value, error):
    return value, value - error, value + error


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_histogram_is_drawn_as_it_is():
    plot = histogram(weights=[1.0, 2.0])
    line, band = draw(plot).axes[0].patches
    np.testing.assert_array_equal(line.get_data().values, plot.values())
    np.testing.assert_allclose(band.get_data().values, plot.values() + plot.errors)
    np.testing.assert_allclose(band.get_data().baseline, plot.values() - plot.errors)
    np.testing.assert_array_equal(line.get_data().edges, PT.edges)


def test_normalised_histograms_add_up_to_one():
    figure = draw([histogram(number=1000), histogram(number=300, seed=2)], normalise=True, ratio=True)
    for line in figure.axes[0].patches[::2]:
        assert line.get_data().values.sum() == pytest.approx(1)
    ratio = Ratio(histogram(number=300, seed=2), histogram(number=1000)).values
    inside = [histogram(number=n, seed=s).values().sum() for n, s in ((1000, 1), (300, 2))]
    shown = drawn_points(figure.axes[1])[1]
    np.testing.assert_allclose(shown, ratio[np.isfinite(ratio)] * inside[0] / inside[1])


@pytest.mark.parametrize(
    ("plot", "expected"),
    [
        (efficiency(), lambda plot: plot.efficiency()),
        (profile(), lambda plot: ends(*plot.mean())),
        (resolution(), lambda plot: ends(*plot.values("rms"))),
    ],
)  # fmt: skip
def test_points_have_the_values_and_errors_of_the_object(plot, expected):
    value, low, high = expected(plot)
    known = np.isfinite(value)
    x, y, bottom, top = drawn_points(draw(plot, mode="rms").axes[0])
    np.testing.assert_allclose(x, plot.axis.centers[known])
    np.testing.assert_allclose(y, value[known])
    np.testing.assert_allclose(bottom, low[known])
    np.testing.assert_allclose(top, high[known])


def test_bins_without_entries_have_no_point():
    plot = EfficiencyProfile(ETA)
    plot.fill([0.1, 0.1, 0.2], [True, False, True])
    assert len(drawn_points(draw(plot).axes[0])[0]) == np.isfinite(plot.efficiency()[0]).sum() < len(ETA)


def test_ratios_are_those_of_the_objects_to_the_reference():
    plots = several(efficiency, 3)
    figure = draw(Comparison(plots, reference=1))
    for position, plot in enumerate((plots[0], plots[2])):
        ratio = Ratio(plot, plots[1])
        known = np.isfinite(ratio.values)
        _, y, low, high = drawn_points(figure.axes[1], position)
        np.testing.assert_allclose(y, ratio.values[known])
        np.testing.assert_allclose(low, (ratio.values - ratio.errors[0])[known])
        np.testing.assert_allclose(high, (ratio.values + ratio.errors[1])[known])
    assert figure.axes[1].get_ylabel() == "Ratio to network 1"


def test_ratios_outside_the_panel_are_marked_at_its_edge():
    first, second = Histogram(PT, "a"), Histogram(PT, "b")
    first.fill(np.repeat(PT.centers, [100, *[1000] * 29]))
    second.fill(np.repeat(PT.centers, [2000, *[400] * 28, 700]))
    panel = draw([first, second], ratio=True).axes[1]
    arrows = [line for line in panel.lines if line.get_marker() in "^v" and len(line.get_xdata())]
    marks = {line.get_marker(): line.get_xdata() for line in arrows}
    assert list(marks) == ["^"]
    assert marks["^"] == pytest.approx(PT.centers[:1])
    low, high = panel.get_ylim()
    assert 0.2 < low < 0.38  # all others are seen,
    assert 1.0 < high < 1.2  # with 1


@pytest.mark.parametrize(
    ("counts", "scale", "ends"),
    [  # of the second in 30 bins, over 100 in each of the first
        ([100] * 24 + [600] * 6, "log", (0.5, 10.0)),
        ([100] * 15 + [10, 1000] * 7 + [0], "log", (0.04, 20.0)),
        ([100] * 26 + [30, 250] * 2, "linear", (0.0, 3.0)),
    ],
)
def test_ratios_that_differ_by_orders_of_magnitude_are_on_a_logarithmic_axis(counts, scale, ends):
    first, second = Histogram(PT, "a"), Histogram(PT, "b")
    first.fill(np.repeat(PT.centers, 100))
    second.fill(np.repeat(PT.centers, counts))
    panel = draw([first, second], ratio=True).axes[1]
    assert panel.get_yscale() == scale
    low, high = panel.get_ylim()
    assert ends[0] <= low < 1 < high < ends[1]


def test_ratios_that_are_not_known_do_not_decide_the_range():
    first, second = Histogram(PT, "a"), Histogram(PT, "b")
    first.fill(np.repeat(PT.centers, [400] * 24 + [1] * 6))
    second.fill(np.repeat(PT.centers, [400] * 24 + [1, 4, 9, 9, 9, 9]))  # 9 ± 9.5: the bars are seen
    panel = draw([first, second], ratio=True).axes[1]
    assert panel.get_yscale() == "linear"
    assert panel.get_ylim()[0] == 0.0
    assert 2.0 <= panel.get_ylim()[1] < 3.0


def test_a_stack_adds_up():
    made = stack()
    figure = draw(made, ratio=True)
    *areas, band = figure.axes[0].patches
    np.testing.assert_allclose(areas[-1].get_data().values, made.total.values())
    np.testing.assert_allclose(areas[0].get_data().values, made.histograms[0].values())
    np.testing.assert_allclose(band.get_data().values, made.total.values() + made.total.errors)
    np.testing.assert_allclose(drawn_points(figure.axes[0])[1], made.data.values())
    assert legend(figure) == ["data", *MODES[:4][::-1], "statistical uncertainty"]
    known = made.total.values() > 0
    ratio = (made.data.values() / made.total.values())[known]
    np.testing.assert_allclose(drawn_points(figure.axes[1])[1], ratio)
    (around_one,) = figure.axes[1].patches
    np.testing.assert_allclose(around_one.get_data().values, 1 + made.total.errors / made.total.values())


def test_data_have_poisson_intervals_and_a_signal_stands_over_the_stack():
    mc, few, signal = (Histogram(MODE, name) for name in ("mc", "data", "signal"))
    mc.fill([0, 1, 2], weight=[2.5, 0.25, 4.0])
    few.fill([0] * 5 + [2] * 10)
    signal.fill([3, 4], weight=[1.5, 30.0])
    figure = draw(Stack([mc], few, [signal]), ratio=True)
    (bars,) = figure.axes[0].containers
    (low, high) = np.array([segment[:, 1] for segment in bars.lines[2][-1].get_segments()]).T
    np.testing.assert_allclose(low, [2.840, 0.0, 6.891], atol=5e-4)
    np.testing.assert_allclose(high, [8.382, 1.841, 14.267], atol=5e-4)  # no data in 1: up to 1.84; none in 3, 4: none
    assert legend(figure) == ["data", "mc", "statistical uncertainty", "signal"]
    assert Stack([mc], few, [signal]).total.total == mc.total
    assert figure.axes[0].get_ylim()[1] > 30
    log = draw(Stack([mc], few, [signal]), log_y=True).axes[0]
    assert log.get_ylim()[0] == pytest.approx(0.125)  # half of the smallest sum


def test_a_roc_curve_keeps_its_shape():
    plot = roc("DSNN", number=200_000)
    (line,) = draw(plot).axes[0].lines
    efficiency_, rejection = line.get_data()
    curve = plot.curve()
    assert len(efficiency_) < 5000 < len(curve.efficiency)
    assert set(zip(efficiency_, rejection, strict=True)) <= set(zip(curve.efficiency, curve.rejection, strict=True))
    at = np.linspace(0.3, 1, 1000)
    full = np.interp(at, curve.efficiency, np.log(curve.rejection))
    np.testing.assert_allclose(np.interp(at, efficiency_, np.log(rejection)), full, atol=0.02)
    assert legend(draw(plot)) == [f"DSNN (AUC\xa0{plot.auc:.4f}\xa0±\xa0{plot.auc_error:.4f})"]


def test_working_points_stand_on_the_axes_of_the_curves():
    made = point("PFO count")
    x, y, low, high = drawn_points(draw([roc("DSNN"), made]).axes[0])
    expected = made.point()
    assert (x[0], y[0]) == (expected.efficiency, expected.rejection)
    assert high[0] - low[0] == pytest.approx(2 * expected.rejection_error)


def test_the_ratio_of_roc_curves_is_that_of_rejections_at_one_efficiency():
    first, second, made = roc("a", 2.0), roc("b", 2.5, seed=7), point()
    panel = draw(Comparison([first, second, made])).axes[1]
    x, y = panel.lines[0].get_data()
    a, b = first.curve(), second.curve()
    middle = np.argmin(np.abs(x - 0.6))
    expected = np.interp(x[middle], b.efficiency, b.rejection) / np.interp(x[middle], a.efficiency, a.rejection)
    assert y[middle] == pytest.approx(expected, rel=0.01)
    mark = next(line for line in panel.lines if len(line.get_xdata()) == 1)
    of_point = made.point()
    below = np.interp(of_point.efficiency, a.efficiency, a.rejection)
    assert mark.get_ydata()[0] == pytest.approx(of_point.rejection / below, rel=0.01)


@pytest.mark.parametrize("kind", ["efficiency", "purity", "counts"])
def test_the_cells_of_a_matrix(kind):
    made = matrix()
    values, errors = (made.counts, made.errors) if kind == "counts" else getattr(made, kind)()
    scale, decimals = (1, 0) if kind == "counts" else (100, 1)
    figure = draw(made, kind=kind)
    shown = texts(figure)
    for value, error in zip(values.flat, errors.flat, strict=True):
        assert f"{scale * value:.{decimals}f}" in shown
        assert error == 0 or f"± {scale * error:.{decimals}f}" in shown
    np.testing.assert_allclose(figure.axes[0].collections[0].get_array(), scale * values)
    fraction, error = made.diagonal()
    outside = 100 * made.excluded / (made.excluded + made.counts.sum())
    line = f"Diagonal: {100 * fraction:.1f} ± {100 * error:.1f} %   (not in the matrix: {outside:.1f} %)"
    assert line in shown


def test_a_matrix_has_truth_along_x():
    made = MigrationMatrix(("a", "b"), ("x", "y", "z"), truth_title="true", reco_title="found")
    made.fill([0, 0, 0, 1], [2, 2, 2, 0])
    axes = draw(made, kind="counts").axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_array(), [[0, 1], [0, 0], [3, 0]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y", "z"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true", "found")


def test_numbers_in_dark_cells_are_white():
    figure = draw(matrix())
    mesh = figure.axes[0].collections[0]
    values = mesh.get_array().ravel()
    numbers = [text for text in figure.axes[0].texts if not text.get_text().startswith("±")]
    for text, value in zip(numbers, values, strict=True):
        background = np.array(mesh.cmap(mesh.norm(value))[:3]) @ [0.2126, 0.7152, 0.0722]
        assert to_hex(text.get_color()) == ("#ffffff" if background < 0.45 else "#000000")


def test_a_histogram_of_two_axes():
    made = area()
    figure = draw(made)
    shown = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(np.ma.masked_invalid(shown), 0), made.values().T)
    assert np.isnan(np.ma.filled(shown.astype(float), np.nan)).sum() == (made.values() == 0).sum() > 0


# ── axes and legends ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_axes_are_called_by_label_and_unit():
    axes = draw(histogram(weights=[1.5])).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (r"truth tau $\mathit{p}_{T}$ [GeV]", "Sum of weights / 10 GeV")
    assert draw(histogram(ETA)).axes[0].get_ylabel() == "Entries"
    assert draw(histogram(LOG_PT)).axes[0].get_ylabel() == "Entries"
    assert draw(resolution(), mode="winmode").axes[0].get_ylabel().replace("\n", " ") == (
        r"Most probable value of reconstructed / true $\mathit{p}_{T}$"
    )


def test_large_numbers_have_their_power_in_the_title():
    axes = draw(histogram(Axis("e", (0, 1e6, 2e6), "energy", "MeV"), weights=[1e9])).axes[0]
    assert axes.get_xlabel() == "energy [$10^{6}$ MeV]"
    assert axes.get_ylabel().endswith("[$10^{12}$]")
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "2.0"


def test_logarithmic_x_as_the_axis_says_unless_asked_for():
    assert draw(efficiency()).axes[0].get_xscale() == "log"
    assert draw(efficiency(), log_x=False).axes[0].get_xscale() == "linear"
    assert draw(histogram(Axis("x", (1, 2, 3))), log_x=True).axes[0].get_xscale() == "log"


def test_efficiencies_have_no_ticks_above_one():
    axes = draw(several(efficiency, 3)).axes[0]
    assert axes.get_ylim()[1] > 1
    assert max(axes.get_yticks()) <= 1


def test_widths_begin_at_zero_and_positions_do_not():
    assert draw(resolution(), mode="core").axes[0].get_ylim()[0] == 0
    assert draw(resolution(), mode="median").axes[0].get_ylim()[0] > 0.8


def test_label_lines_and_title_stand_in_the_figure():
    shown = texts(draw(histogram(), style=Style("My lab, internal", ("a line",)), title="the title"))
    first = shown.index("My lab, internal")
    assert shown[first : first + 3] == ["My lab, internal", "the title", "a line"]
    shown = texts(draw(histogram(), style=Style("ATLAS Internal")))
    assert shown[shown.index("ATLAS") + 1] == "Internal"  # the name of an experiment has a look of its own
    assert not any("ATLAS" in text for text in texts(draw(histogram())))


def test_curves_differ_in_colour_and_in_line_or_marker():
    lines = draw(several(histogram, 8)).axes[0].patches[::2]
    assert len({to_hex(line.get_edgecolor()) for line in lines}) == 8
    assert len({str(line.get_linestyle()) for line in lines}) == 8
    points = [container.lines[0] for container in draw(several(efficiency, 8)).axes[0].containers]
    assert len({(p.get_marker(), p.get_markerfacecolor()) for p in points}) == 8


# ── nothing to draw ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "what",
    [
        Histogram(PT),
        EfficiencyProfile(PT),
        Profile(ETA, PT),
        ResolutionProfile(ETA, PT),
        [RocCurve(), WorkingPoint()],
        MigrationMatrix(MODES),
        Histogram([PT, ETA]),
        nan_histogram(),
        Stack([Histogram(PT)]),
    ],
)
def test_what_is_empty_says_so_and_draws_nothing(what):
    figure = draw(what)
    assert any("nothing to draw" in text and "no entries" in text.replace("\n", " ") for text in texts(figure))
    axes = figure.axes[0]
    assert axes.get_legend() is None
    for line in (*axes.lines, *(container.lines[0] for container in axes.containers)):
        assert not np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()


def test_an_empty_one_among_others_says_why_in_the_legend():
    figure = draw([efficiency(label="a"), EfficiencyProfile(LOG_PT, "b")], ratio=True)
    assert legend(figure) == ["a", "b (no entries)"]
    assert any("no ratio is known" in text for text in texts(figure))


def test_what_was_left_out_is_said_below():
    plot = histogram(label="a")
    plot.fill([np.nan])
    assert "1 of 5001 entries left out" in plot.note
    assert "2 % are outside the range" in plot.note
    for what, said in ((plot, plot.note), ([plot, histogram(label="b", seed=2)], f"a: {plot.note}")):
        assert any(said in text.replace("\n", " ") for text in texts(draw(what)))
    assert any("all scores are equal" in text for text in texts(draw(equal_scores())))


def test_negative_sums_on_a_logarithmic_axis():
    plot = Histogram(MODE, "a")
    plot.fill([0, 1], weight=[-1.0, -2.0])
    assert any("no values above 0" in text.replace("\n", " ") for text in texts(draw(plot, log_y=True)))


def test_bins_at_zero_leave_gaps_on_a_logarithmic_axis():
    plot = Histogram(MODE)
    plot.fill([0, 0, 2, 4])
    axes = draw(plot, log_y=True).axes[0]
    assert np.isnan(axes.patches[0].get_data().values).tolist() == [False, True, False, True, False]
    assert axes.get_ylim()[0] == 0.5


def test_no_ratio_panel_for_one_object():
    assert len(draw(efficiency(), ratio=True).axes) == 1
    assert len(draw(Comparison([efficiency()])).axes) == 1


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ([], {}, "the list is empty"),
        ([histogram(), efficiency()], {}, "EfficiencyProfile and Histogram do not go into one figure"),
        ([matrix(), MigrationMatrix(["a"])], {}, "their classes differ"),
        ([area(), area()], {}, "several Histogram do not go into one figure"),
        ([histogram(), histogram(ETA)], {}, "their axes differ"),
        (efficiency(), {"normalise": True}, "EfficiencyProfiles has no option normalise"),
        (roc(), {"log_x": True}, "a ROC curve has no option log_x"),
        (matrix(), {"ratio": True}, "a matrix has no option ratio"),
        (matrix(), {"kind": "efficency"}, "did you mean 'efficiency'"),
        (area(), {"y_range": (0, 1)}, "two axes has no option y_range"),
        (stack(), {"normalise": True}, "a stack has no option normalise"),
        (histogram(), {"log_x": True}, "cannot be logarithmic: it begins at 0"),
        (histogram(MODE), {"log_x": True}, "cannot be logarithmic: it shows categories"),
        (histogram(), {"y_range": (2, 1)}, "from a lower to a higher number"),
        (histogram(), {"y_range": (0, 1), "log_y": True}, "begins above 0"),
        (roc(), {"y_range": (0, 10)}, "begins above 0"),
        (resolution(), {"mode": "median_"}, "median"),
        ([point("a"), roc("b")], {"ratio": True}, "a ratio to the working point 'a'"),
        (1.5, {}, "a float cannot be drawn"),
        ([histogram(), "pt"], {}, "a str cannot be drawn"),
    ],
)
def test_what_does_not_fit_is_refused(what, options, message):
    with pytest.raises(PlotError) as caught:
        draw(what, **options)
    assert message in str(caught.value)
