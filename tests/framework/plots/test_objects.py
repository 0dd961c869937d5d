"""What all plot objects have in common: adding, comparing, JSON, pickles, ROOT, and what is left out."""

from __future__ import annotations

import copy
import json
import pickle

import hist
import mplhep
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hepflow.errors import OutputError, PlotError
from hepflow.execution.results import add
from hepflow.plots import (
    Axis,
    EfficiencyAtRejection,
    EfficiencyProfile,
    Histogram,
    MigrationMatrix,
    PlotObject,
    Profile,
    ResolutionProfile,
    RocCurve,
    WorkingPoint,
    load_plot,
    load_plots,
    write_root,
)
from hepflow.plots.base import FORMAT, KINDS
from hepflow.plots.figures import draw, save
from tests.framework.plots.conftest import ETA, MAKERS, MODES, PT, RATIO, fill

KIND = st.sampled_from(sorted(MAKERS))
SEED = st.integers(0, 2**32)
NUMBER = st.integers(0, 60)


def number_of_columns(plot):
    """How many columns fill it."""
    if isinstance(plot, Histogram):
        return len(plot.axes)
    return 3 if isinstance(plot, EfficiencyAtRejection) else 2


# ── adding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(KIND, SEED, SEED, NUMBER, NUMBER)
def test_the_order_of_a_sum_does_not_matter(kind, seed, other, number, more):
    a, b = fill(MAKERS[kind](), seed, number), fill(MAKERS[kind](), other, more)
    assert a + b == b + a
    assert (a + b).entries == number + more


@settings(deadline=None)
@given(KIND, SEED, NUMBER, st.integers(0, 60), st.booleans())
def test_filling_in_pieces_is_filling_at_once(kind, seed, number, cut, weighted):
    whole = fill(MAKERS[kind](), seed, number, weighted=weighted)
    first = fill(MAKERS[kind](), seed, number, weighted=weighted, part=slice(cut))
    second = fill(MAKERS[kind](), seed, number, weighted=weighted, part=slice(cut, None))
    assert first + second == whole
    fill(first, seed, number, weighted=weighted, part=slice(cut, None))
    assert first == whole


def test_an_empty_object_adds_nothing_and_the_summands_stay(make, filled):
    a, empty = filled(make(), 1, 50), make()
    before = pickle.dumps(a)
    assert a + empty == a == empty + a
    assert pickle.dumps(a) == before
    assert empty == make()


def test_results_of_tools_add_up(make, filled):
    total = add({"a": filled(make(), 1, 20), "b": [make()]}, {"a": filled(make(), 2, 30), "b": [filled(make(), 3, 4)]})
    assert total["a"].entries == 50
    assert total["b"][0] == filled(make(), 3, 4)


def test_remarks_add_up_and_the_label_is_that_of_the_first():
    a, b = Histogram(ETA, "Ztautau"), Histogram(ETA, "Gammatautau")
    a.remark, b.remark = "no truth in a.root", "no truth in b.root"
    assert (a + b).remark == "no truth in a.root; no truth in b.root"
    assert (a + b).label == "Ztautau"
    assert (a + a).remark == a.remark


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (Histogram(ETA), Histogram(PT), "differ in axes"),
        (Histogram(ETA), EfficiencyProfile(ETA), "of one kind"),
        (Profile(PT, RATIO), Profile(PT, ETA), "differ in response"),
        (RocCurve("a", bins=10), RocCurve("b", bins=20), "differ in bins[\\s\\S]*bins: 10 and 20"),
        (MigrationMatrix(MODES), MigrationMatrix(MODES[:2]), "differ in truth_labels, reco_labels"),
        (MigrationMatrix(MODES), MigrationMatrix(MODES, reco_title="PanTau"), "differ in reco_title"),
    ],
)
def test_what_does_not_fit_is_not_added(a, b, text):
    with pytest.raises(PlotError, match=text):
        a + b
    assert a != b


def test_plot_objects_add_to_nothing_else(make):
    with pytest.raises(TypeError):
        make() + 1
    assert make() != 1


# ── copies: pickles and JSON ─────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(KIND, SEED, NUMBER, st.booleans())
def test_json_and_pickles_give_the_same_object(kind, seed, number, weighted):
    plot = fill(MAKERS[kind](), seed, number, weighted=weighted)
    plot.remark = "a remark with ≥ and 'quotes'"
    text = json.dumps(plot.to_json(), allow_nan=False)
    for twin in (PlotObject.from_json(json.loads(text)), pickle.loads(pickle.dumps(plot))):
        assert twin == plot
        assert (twin.note, twin.to_json()) == (plot.note, plot.to_json())


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-1e100, 1e100) | st.sampled_from([np.nan, np.inf])), max_size=30))
def test_json_is_exact_for_any_weights(entries):
    histogram = Histogram(ETA)
    histogram.fill([x for x, _ in entries], weight=[weight for _, weight in entries])
    copy = PlotObject.from_json(json.loads(json.dumps(histogram.to_json(), allow_nan=False)))
    assert copy == histogram
    np.testing.assert_array_equal(copy.values(), histogram.values())


def test_what_is_filled_later_is_filled_into_the_copy_alone(make, filled):
    plot = filled(make(), 1, 50)
    copy = pickle.loads(pickle.dumps(plot))
    filled(copy, 2, 10)
    assert copy == plot + filled(make(), 2, 10)
    assert copy != plot


def test_empty_objects_pickle_small():
    for plot in (RocCurve("a"), ResolutionProfile(PT, Axis("ratio", tuple(np.linspace(0, 2, 1001))))):
        assert len(pickle.dumps(plot)) < 12_000


def test_saving_and_loading(make, filled, tmp_path):
    plot = filled(make(), 1, 100)
    path = plot.save(tmp_path / "new" / "plot.json")
    assert load_plot(path) == plot
    assert type(plot).from_json(json.loads(path.read_text())) == plot
    assert [file.name for file in path.parent.iterdir()] == ["plot.json"]
    content = json.loads(path.read_text())
    assert content["type"] == type(plot).__name__
    assert content["format"] == FORMAT
    assert "method" in content["derived"]


def test_every_kind_can_be_loaded():
    assert set(KINDS) == {type(make()).__name__ for make in MAKERS.values()}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"type": "EfficencyProfile"}, "did you mean 'EfficiencyProfile'"),
        ({"type": None}, "no plot object of type None"),
        ({"format": FORMAT + 1}, "update hepflow"),
        ({"format": "1"}, "format '1'"),
        ({"sums": {}}, "damaged"),
        ({"sums": {"counts": {"bins": [0], "values": [], "variances": None}}}, "different length"),
        ({"sums": {"counts": {"bins": [99], "values": [1.0], "variances": None}}}, "damaged"),
        ({"sums": {"counts": {"bins": [-1], "values": [1.0], "variances": None}}}, "whole numbers from 0"),
        ({"sums": {"counts": {"bins": [0.5], "values": [1.0], "variances": None}}}, "whole numbers from 0"),
        ({"sums": {"counts": {"bins": [1], "values": ["x"], "variances": None}}}, "damaged"),
        ({"sums": {"counts": {"bins": [1], "values": None, "variances": None}}}, "missing"),
        ({"sums": {"counts": {"bins": [1], "values": [1.0]}}}, "damaged"),
        ({"layout": {}}, "damaged"),
        ({"layout": {"axes": [{"name": "x", "edges": [1.0, 0.0]}]}}, "ascending"),
        ({"layout": {"axes": "x"}}, "damaged"),
        ({"entries": "many"}, "damaged"),
    ],
)
def test_damaged_files(tmp_path, change, text):
    path = tmp_path / "plot.json"
    path.write_text(json.dumps(Histogram(ETA).to_json() | change))
    with pytest.raises(PlotError, match=text) as error:
        load_plot(path)
    assert error.value.where == str(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"type": "Histogram"}', "\udcff"])
def test_files_that_are_no_plots(tmp_path, text):
    path = tmp_path / "plot.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(PlotError, match=r"damaged|no plot object"):
        load_plot(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PlotError, match="No such file"):
        load_plot(tmp_path / "none.json")


def test_another_kind_than_asked_for():
    with pytest.raises(PlotError, match="this is a Histogram, not a RocCurve"):
        RocCurve.from_json(Histogram(ETA).to_json())


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = Histogram(ETA).save(tmp_path / "plot.json")
    with pytest.raises(OutputError, match="cannot be written"):
        Histogram(ETA).save(path / "below.json")
    with pytest.raises(OutputError, match="cannot be written"):
        Histogram(ETA).save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["plot.json"]
    assert load_plot(path) == Histogram(ETA)


# ── ROOT ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_root_files_hold_the_sums(make, filled, tmp_path):
    plot = filled(make(), 1, 200)
    with uproot.open(write_root(tmp_path / "plots.root", {"tau/plot": plot})) as file:
        for name, histogram in plot.histograms().items():
            several = len(plot.histograms()) > 1
            read = file[f"tau/plot/{name}" if several else "tau/plot"]
            np.testing.assert_array_equal(read.values(), histogram.values())
            np.testing.assert_allclose(read.variances(), histogram.variances(), rtol=1e-15)
            titles = [read.member(f"f{axis}axis").member("fTitle") for axis in "XY"[: len(histogram.axes)]]
            assert titles == [axis.label for axis in histogram.axes]


def test_root_files_keep_what_is_outside_the_axes_and_the_labels(tmp_path):
    histogram = Histogram(PT)
    histogram.fill([1.0, 30.0, 1e6, 1e6])
    matrix = MigrationMatrix(MODES, truth_title="true mode")
    matrix.fill([0, 1, 1], [0, 2, 1])
    with uproot.open(write_root(tmp_path / "plots.root", {"pt": histogram, "matrix": matrix})) as file:
        assert file["pt"].values(flow=True)[[0, -1]].tolist() == [1, 2]
        np.testing.assert_allclose(file["pt"].axis().edges(), PT.edges, rtol=1e-12)
        assert file["matrix"].axis("x").labels() == list(MODES)
        assert file["matrix"].member("fXaxis").member("fTitle") == "true mode"
        assert file["matrix"].values()[1, 2] == 1  # x: truth 1p1n, y: reconstructed 1pXn


def test_a_root_file_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_root(tmp_path, {"plot": Histogram(ETA)})
    assert list(tmp_path.iterdir()) == []


# ── what is left out ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_empty_objects_say_so(make):
    plot = make()
    assert plot.note == "no entries"
    plot.remark = "no truth in this sample"
    assert plot.note == "no truth in this sample; no entries"
    assert plot.to_json()["note"] == plot.note
    assert all(np.all(histogram.values() == 0) for histogram in plot.histograms().values())


def test_weights_that_are_not_finite_are_left_out(make, filled):
    plot, bad = make(), np.array([1.0, np.nan, 2.0, np.inf, -np.inf])
    plot.fill(*[np.array([1, 0, 1, 1, 0])] * number_of_columns(plot), weight=bad)
    assert (plot.entries, plot.invalid) == (2, 3)
    assert "3 of 5 entries left out" in plot.note


@pytest.mark.parametrize("kind", ["Histogram", "Histogram2", "EfficiencyProfile", "Profile", "ResolutionProfile"])
def test_values_that_are_nan_are_left_out(kind):
    plot, good = MAKERS[kind](), MAKERS[kind]()
    x = np.array([30.0, np.nan, 50.0, 60.0])
    if kind == "Histogram":
        plot.fill(x)
        good.fill(x[[0, 2, 3]])
        left = 1
    elif kind == "EfficiencyProfile":
        plot.fill(x, [True, True, False, True])
        good.fill(x[[0, 2, 3]], [True, False, True])
        left = 1
    else:
        plot.fill(x, [1.0, 1.0, np.nan, 0.5])
        good.fill(x[[0, 3]], [1.0, 0.5])
        left = 2
    assert plot.invalid == left
    good.invalid = left
    assert plot == good


def test_all_values_nan():
    histogram = Histogram(ETA)
    histogram.fill(np.full(4, np.nan))
    assert histogram.note == "no entries: all 4 have no value (NaN) or no finite weight"
    assert histogram.total == 0


def test_masked_values_are_left_out():
    histogram = Histogram(ETA)
    histogram.fill(np.ma.masked_array([0, 1, 2], mask=[False, True, False]))
    assert (histogram.entries, histogram.invalid, histogram.total) == (2, 1, 2)


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i1", "u1", "i4", "u4", "i8", "u8", "?"])
def test_columns_of_every_kind_of_number(dtype):
    values = np.arange(12).astype(dtype)[::3]
    assert not values.flags.c_contiguous
    axis = Axis("x", tuple(np.arange(-0.5, 12)))
    histogram = Histogram(axis)
    histogram.fill(values)
    np.testing.assert_array_equal(histogram.values(), np.histogram(values.astype(float), axis.edges)[0])
    weighted = Histogram(axis)
    weighted.fill(np.zeros(4), weight=values)
    assert weighted.values()[0] == values.astype(float).sum()


def test_filling_nothing_changes_nothing(make):
    plot = make()
    number = number_of_columns(plot)
    plot.fill(*[np.array([], dtype=np.int64)] * number)
    plot.fill(*[np.array([], dtype=np.int64)] * number, weight=np.array([]))
    assert plot == make()


def test_one_weight_for_all(make):
    plot, other = make(), make()
    number = number_of_columns(plot)
    plot.fill(*[np.array([1, 0, 1])] * number, weight=0.5)
    other.fill(*[np.array([1, 0, 1])] * number, weight=np.full(3, 0.5))
    assert plot == other


def test_what_cannot_be_filled(make):
    plot = make()
    number = number_of_columns(plot)
    with pytest.raises(PlotError, match=r"different lengths: 3(, 3)*, 2"):
        plot.fill(*[np.array([0, 1, 0])] * number, weight=[1.0, 2.0])
    with pytest.raises(PlotError, match=r"one dimension, got the shape \(2, 2\)"):
        plot.fill(*[np.zeros((2, 2), dtype=int)] * number)
    with pytest.raises(PlotError, match="expected numbers"):
        plot.fill(*[np.array(["a", "b"])] * number)
    with pytest.raises(PlotError, match="flatten"):
        plot.fill(*[[[1], [2, 3]]] * number)
    if number == 2:
        with pytest.raises(PlotError, match="different lengths"):
            plot.fill(np.array([0, 1, 0]), np.array([0, 1]))
    assert plot == make()


@pytest.mark.parametrize(
    ("make_plot", "columns", "text"),
    [
        (lambda: EfficiencyProfile(PT), ([1.0], [0.5]), "passed: expected booleans"),
        (lambda: RocCurve(), ([1.0], [0.5]), "signal: expected booleans"),
        (lambda: WorkingPoint(), ([0.9], [True]), "selected: expected booleans"),
        (lambda: MigrationMatrix(MODES), ([0.0], [1]), "truth: expected whole numbers"),
        (lambda: Histogram(ETA), ([1.0], [1.0]), "has 1 axes"),
        (lambda: Histogram([ETA, PT]), ([1.0],), "has 2 axes"),
    ],
)
def test_columns_of_the_wrong_kind(make_plot, columns, text):
    with pytest.raises(PlotError, match=text):
        make_plot().fill(*map(np.array, columns))


def test_negative_weights_are_counted():
    profile = EfficiencyProfile(ETA)
    profile.fill([0.1, 0.1, 0.1], [True, True, False], weight=[1.0, -0.25, 1.0])
    assert profile.negative == 1
    assert "1 entry with negative weight: errors from N_eff" in profile.note
    assert (profile + profile).negative == 2


def test_other_libraries_and_notebooks_take_plot_objects(tmp_path):
    weight = np.array([2.0, 0.5, 1.0, 1.0])
    histogram = Histogram(Axis("pt", (0.0, 10.0, 30.0), "pT", "GeV"), "taus")
    histogram.fill([5.0, 5.0, 20.0, 99.0], weight=weight)
    taken = hist.Hist(histogram)
    assert taken.values(flow=True).tolist() == [0, 2.5, 1.0, 1.0]
    assert taken.variances().tolist() == [4.25, 1.0]
    assert (histogram[0].value, histogram[sum].value, histogram[:10j:sum].value) == (
        2.5,
        4.5,
        2.5,
    )  # sum: with flow, as UHI has it
    steps = mplhep.histplot(histogram, ax=Figure().subplots())
    assert steps[0].stairs.get_data().values.tolist() == [2.5, 1.0]
    assert histogram.counts() == pytest.approx([2.5**2 / 4.25, 1.0])
    assert list(histogram.axes[0]) == [(0.0, 10.0), (10.0, 30.0)]

    efficiency = EfficiencyProfile(histogram.axes[0], "eff")
    efficiency.fill([5.0] * 4, [True, True, True, False])
    value, low, high = efficiency.efficiency()
    assert hist.Hist(efficiency)[0].value == value[0] == 0.75
    assert efficiency.to_hist()[0].variance == pytest.approx(((high[0] - low[0]) / 2) ** 2)
    with pytest.raises(PlotError, match="is 2 histograms"):
        RocCurve("roc").to_hist()

    assert histogram._repr_png_().startswith(b"\x89PNG")
    both = [histogram, copy.copy(histogram)]
    beside = save(draw(both), tmp_path / "two", both)[-1]
    assert load_plots(beside) == both
    with pytest.raises(PlotError, match="holds 2 plot objects"):
        load_plot(beside)
    assert load_plot(save(draw(histogram), tmp_path / "one", histogram)[-1]) == histogram
