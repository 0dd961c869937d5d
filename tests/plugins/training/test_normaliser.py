"""The normaliser: moments against numpy over all values at once, which taus count, and what it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hepflow import Folds, Job, kfold
from hepflow.errors import HepflowError, JobOptionsError, ToolError
from hepflow.execution import RunOptions, run
from hepflow.plugins.tau.variables import CLASSES, DECAY_MODE_VARIABLES, SEQUENCE_CAPS
from hepflow.plugins.training import Normaliser, TrainingSelection
from hepflow.plugins.training.moments import Moments
from hepflow.variables import Variable
from tests.plugins.training.conftest import decay_mode_set

TAUS = 600
WEIGHT = "TauJets.beamSpotWeight"


def normaliser(**properties):
    return Normaliser("norm", TrainingSet=decay_mode_set(**{"negative_weights": "keep", **properties}))


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory, training_columns, write_training_ntuple):
    folder = tmp_path_factory.mktemp("ntuples")
    columns = [training_columns(TAUS, first=first) for first in (0, TAUS)]
    return [str(write_training_ntuple(folder / f"{i}.root", c)) for i, c in enumerate(columns)], columns


@pytest.fixture
def go(tmp_path):
    def call(inputs, *tools, **options):
        job = Job("normalise")
        for tool in tools:
            job += tool
        output = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        return run(job, RunOptions(inputs=[str(i) for i in inputs], output=str(output), **options))

    return call


def expected(columns, group, variable, folds=(2, 3, 4), selected=None):
    """Values and weights of a variable, tau by tau, in float64."""
    values, weights = [], []
    for part in columns:
        tau = part["TauJets"]
        counts, found = part[group]
        start = 0
        for i, count in enumerate(counts):
            kept = min(count, SEQUENCE_CAPS[group])
            if tau["mcEventNumber"][i] % 5 in folds and (selected is None or selected(tau, i)):
                for x in found[variable.column][start : start + kept]:
                    x = np.float32(x)
                    values.append(float(np.log10(max(x, np.float32(variable.floor))) if variable.transform else x))
                    weights.append(float(tau["beamSpotWeight"][i]))
            start += count
    return np.array(values), np.array(weights)


@pytest.mark.parametrize(
    ("weight", "message", "hint"),
    [
        (0.0, "weights of the 360 taus to train on add up to 0,", "an empty weight gives each row 1"),
        (-1.0, "weights of the 360 taus to train on add up to -360,", 'negative_weights="ignore-in-training"'),
        (np.nan, "TauJets.beamSpotWeight is not finite for 600 of 600 taus", ""),
    ],
)
def test_weights_that_add_up_to_nothing(go, tmp_path, training_columns, write_training_ntuple, weight, message, hint):
    columns = training_columns(TAUS)
    columns["TauJets"]["beamSpotWeight"] = np.full(TAUS, weight, np.float32)
    path = write_training_ntuple(tmp_path / "n.root", columns)
    with pytest.raises(ToolError) as caught:
        go([path], normaliser())
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert not list(tmp_path.glob("run*/variables.json"))


def test_weights_of_a_variable_that_add_up_to_less_than_nothing(go, tmp_path, training_columns, write_training_ntuple):
    """The taus with conversion tracks have negative weights, all others positive ones."""
    columns = training_columns(TAUS)
    there = columns["ConvTrack"][0] > 0
    columns["TauJets"]["beamSpotWeight"] = np.where(there, -0.1, 1.0).astype(np.float32)
    path = write_training_ntuple(tmp_path / "n.root", columns)
    with pytest.raises(ToolError, match=r"weights of ConvTrack.dphiECal add up to -") as caught:
        go([path], normaliser())
    assert 'negative_weights="ignore-in-training"' in caught.value.hint


def test_moments_of_training_taus_within_the_cap_with_weights(ntuples, go):
    result = go(ntuples[0], normaliser())
    (made,) = result.results["norm"]
    assert made.statistics == json.loads((result.directory / "preproc.json").read_text())
    assert made.variables == json.loads((result.directory / "variables.json").read_text())
    for group, variables in DECAY_MODE_VARIABLES.items():
        offsets, scales = made.scaling(group)
        for i, variable in enumerate(variables):
            values, weights = expected(ntuples[1], group, variable)
            mean = np.average(values, weights=weights)
            width = np.sqrt(np.average((values - mean) ** 2, weights=weights))
            found = made.statistics["groups"][group][variable.name]
            assert found["entries"] == len(values)
            assert found["mean"] == pytest.approx(mean, rel=1e-6, abs=1e-6)
            assert found["width"] == pytest.approx(width, rel=1e-6)
            assert found["minimum"] == pytest.approx(values.min(), rel=1e-6)
            assert found["maximum"] == pytest.approx(values.max(), rel=1e-6)
            fixed = variable.name in ("dphi", "deta", "dphiECal", "detaECal")
            assert offsets[i] == (0.0 if fixed else -found["mean"])
            assert scales[i] == 0.5 / found["width"]


def test_what_the_converters_of_lwtnn_read(ntuples, go):
    variables = go(ntuples[0], normaliser()).results["norm"][0].variables
    assert list(variables) == ["inputs", "input_sequences", "outputs"]
    assert variables["inputs"] == []
    assert variables["outputs"] == [{"name": "classes", "labels": list(CLASSES)}]
    for sequence, (group, declared) in zip(variables["input_sequences"], DECAY_MODE_VARIABLES.items(), strict=True):
        assert list(sequence) == ["name", "variables"]
        assert sequence["name"] == group
        assert [list(v) for v in sequence["variables"]] == [["name", "offset", "scale"]] * len(declared)
        assert [v["name"] for v in sequence["variables"]] == [v.name for v in declared]


def test_real_zeros_count_and_missing_values_do_not(tmp_path, go, training_columns, write_training_ntuple):
    columns = training_columns(200)
    _, values = columns["ShotPFO"]
    rng = np.random.default_rng(3)
    values["deta"] = rng.choice([0.0, 0.0, 1.0, -1111.0], len(values["deta"])).astype(np.float32)
    path = write_training_ntuple(tmp_path / "n.root", columns)
    variable = Variable("deta", missing=-1111.0, fill=0.5)
    (made,) = go([path], normaliser(inputs={"ShotPFO": (variable,)}, caps={"ShotPFO": 6}, weight="")).results["norm"]
    everything, _ = expected([columns], "ShotPFO", variable)
    there = everything[everything != -1111.0]
    found = made.statistics["groups"]["ShotPFO"]["deta"]
    assert 0 < (there == 0).sum() < len(there)
    assert found["entries"] == len(everything)
    assert found["missing"] == pytest.approx(1 - len(there) / len(everything))
    assert found["mean"] == pytest.approx(there.mean())
    assert found["width"] == pytest.approx(there.std())
    assert found["minimum"] == 0.0


def test_selection_comes_before(ntuples, go):
    taus = decay_mode_set(classes=dict(enumerate(CLASSES[:3])), selection="TauJets.truthIsHadronicTau")
    result = go(ntuples[0], TrainingSelection("select", TrainingSet=taus), normaliser())
    variable = DECAY_MODE_VARIABLES["TauTrack"][4]
    values, _ = expected(
        ntuples[1],
        "TauTrack",
        variable,
        selected=lambda tau, i: tau["truthIsHadronicTau"][i] and tau["truthDecayMode"][i] < 3,
    )
    found = result.results["norm"][0].statistics["groups"]["TauTrack"]["pt_log"]
    assert found["entries"] == len(values) > 100


def test_validation_and_test_taus_change_nothing(tmp_path, go, training_columns, write_training_ntuple):
    columns = training_columns(300)
    before = go([write_training_ntuple(tmp_path / "a.root", columns)], normaliser()).results["norm"]
    counts, values = columns["TauTrack"]
    owner = np.repeat(columns["TauJets"]["mcEventNumber"] % 5, counts)
    values["d0TJVA"][owner < 2] = 1e6
    after = go([write_training_ntuple(tmp_path / "b.root", columns)], normaliser()).results["norm"]
    assert after == before


def test_bitwise_the_same_for_any_number_of_workers_and_close_for_chunks(ntuples, go):
    one = go(ntuples[0], normaliser()).results["norm"]
    assert go(ntuples[0], normaliser(), workers=2).results["norm"] == one
    small = go(ntuples[0], normaliser(), chunk=97).results["norm"]
    for group in DECAY_MODE_VARIABLES:
        for left, right in zip(small[0].scaling(group), one[0].scaling(group), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-15)


def test_kfold_measures_each_network_on_its_own_folds(ntuples, go):
    result = go(ntuples[0], normaliser(folds=kfold(5)))
    made = result.results["norm"]
    assert [n.folds.test for n in made] == [(0,), (1,), (2,), (3,), (4,)]
    variable = DECAY_MODE_VARIABLES["NeutralPFO"][6]
    for k, one in enumerate(made):
        values, weights = expected(ntuples[1], "NeutralPFO", variable, folds=one.folds.train)
        mean = one.statistics["groups"]["NeutralPFO"][variable.name]["mean"]
        assert mean == pytest.approx(np.average(values, weights=weights), rel=1e-6, abs=1e-6)
        assert json.loads((result.directory / f"variables_{k}.json").read_text()) == one.variables


def test_flat_inputs(ntuples, go):
    variables = {"TauJets": (Variable("pt_log", "pt", "log10", 1.0), Variable("eta"))}
    (made,) = go(ntuples[0], normaliser(inputs=variables, caps={}, weight="")).results["norm"]
    pt = np.concatenate([c["TauJets"]["pt"][c["TauJets"]["mcEventNumber"] % 5 >= 2] for c in ntuples[1]])
    (group,) = made.variables["inputs"]
    assert group["name"] == "TauJets"
    assert -group["variables"][0]["offset"] == pytest.approx(np.log10(pt.astype(float)).mean(), rel=1e-6)
    assert made.variables["input_sequences"] == []


def test_constant_and_empty_variables(tmp_path, go, caplog, training_columns, write_training_ntuple):
    columns = training_columns(100)
    columns["TauTrack"][1]["d0TJVA"][:] = 7.5
    columns["ConvTrack"] = (0 * columns["ConvTrack"][0], {n: v[:0] for n, v in columns["ConvTrack"][1].items()})
    path = write_training_ntuple(tmp_path / "n.root", columns)
    with caplog.at_level("WARNING", "hepflow"):
        (made,) = go([path], normaliser()).results["norm"]
    assert "TauTrack.d0TJVA is constant (7.5): its scale is 1" in caplog.text
    assert "ConvTrack.pt_log has no values: its scale is 1" in caplog.text
    assert made.scaling("TauTrack")[0][6] == -7.5
    assert made.scaling("TauTrack")[1][6] == 1.0
    assert made.scaling("ConvTrack")[1].tolist() == [1.0] * 10
    assert "NaN" not in json.dumps(made.statistics)


def test_non_finite_values_are_counted_and_refused(tmp_path, go, training_columns, write_training_ntuple):
    columns = training_columns(100)
    columns["TauTrack"][1]["d0TJVA"][:] = np.inf
    path = write_training_ntuple(tmp_path / "n.root", columns)
    number = len(expected([columns], "TauTrack", Variable("d0TJVA"))[0])
    with pytest.raises(ToolError) as caught:
        go([path], normaliser())
    assert f"TauTrack.d0TJVA ({number} values)" in str(caught.value)


def test_table_on_the_terminal(ntuples, go, caplog):
    with caplog.at_level("INFO", "hepflow"):
        go(ntuples[0], normaliser())
        go(ntuples[0], normaliser(inputs={"TauTrack": (Variable("d0TJVA"),)}, caps={"TauTrack": 3}))
    many, few = (record.getMessage() for record in caplog.records if "folds 2, 3, 4" in record.getMessage())
    assert many.endswith("the table is in preproc.json")
    assert "d0TJVA" in few


@pytest.mark.parametrize(
    ("properties", "error", "words"),
    [
        ({"inputs": {}, "caps": {}}, JobOptionsError, "no inputs"),
        ({"folds": [Folds(), *kfold(3)]}, JobOptionsError, "several rules"),
        ({"inputs": {"TauTrack": (Variable("charge"),)}, "caps": {"TauTrack": 3}}, HepflowError, "TauTrack.charge"),
        ({"folds": [Folds(9, (7,), (0,), (1,))]}, ToolError, "no taus are left to train on"),
    ],
)
def test_errors(tmp_path, go, training_columns, write_training_ntuple, properties, error, words):
    path = write_training_ntuple(tmp_path / "n.root", training_columns(6))
    with pytest.raises(error, match=words):
        go([path], normaliser(**properties))


FLOATS = npst.arrays(np.float64, st.integers(0, 30), elements=st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))


@given(FLOATS, st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_moments_add_up(values, cut, seed):
    weights = np.random.default_rng(seed).uniform(0.1, 2.0, len(values))

    def moments(part):
        made = Moments.empty(1)
        made.fill(0, values[part], weights[part])
        return made

    total = moments(slice(cut)) + moments(slice(cut, None))
    assert total.entries[0] == len(values)
    if len(values):
        mean = np.average(values, weights=weights)
        assert total.mean[0] == pytest.approx(mean, rel=1e-9, abs=1e-9)
        width = np.sqrt(np.average((values - mean) ** 2, weights=weights))
        assert total.width[0] == pytest.approx(width, rel=1e-6, abs=1e-6)
        assert (total.minimum[0], total.maximum[0]) == (values.min(), values.max())


def test_moments_keep_precision_far_from_zero():
    rng = np.random.default_rng(1)
    values = 1e8 + rng.normal(size=10_000)
    total = Moments.empty(1)
    for part in np.split(values, 50):
        one = Moments.empty(1)
        one.fill(0, part, np.ones(len(part)))
        total = total + one
    assert total.width[0] == pytest.approx(values.std(), rel=1e-9)
