"""Forests of TMVA, XGBoost and LightGBM against the programs that made them, and against a plain walk."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

from hepflow.errors import NetworkError
from hepflow.networks import compare_rows, evaluate_rows, read_rows
from hepflow.networks.description import write_description
from hepflow.plugins.trees import Forest, Tree
from hepflow.plugins.trees.tmva import _recipe
from hepflow.registry.models import open_model, recipes

DATA = Path(os.environ.get("HEPFLOW_TEST_DATA", Path(__file__).parents[4] / "shared" / "data")).parent
TMVA, MVAUTILS = DATA / "tmva", DATA / "mvautils"
needs_answers = pytest.mark.skipif(not TMVA.is_dir(), reason="the answers of the programs are not here")


def models():
    for folder, pattern in ((TMVA, "*.weights.xml"), (MVAUTILS, "*.json"), (MVAUTILS, "*.txt")):
        for path in sorted(folder.glob(pattern)):
            if ".reference" not in path.name:
                yield pytest.param(path, id=path.name)


@needs_answers
@pytest.mark.parametrize("path", list(models()))
def test_answers_are_those_of_the_program(path):
    rows = read_rows(path.parent / f"{re.sub(r'(.weights)?.(xml|json|txt)$', '', path.name)}.reference.json")
    assert compare_rows(evaluate_rows(open_model(path), rows)[1], rows)[0] <= 2e-6


def random_tree(rng, leaves, features):
    """A tree of random shape; cuts on a grid, so that rows hit them."""
    nodes = [[-1, 0.0, -1, -1, False, rng.normal()]]
    while sum(node[0] < 0 for node in nodes) < leaves:
        place = rng.choice([n for n, node in enumerate(nodes) if node[0] < 0])
        nodes[place] = [rng.integers(features), rng.integers(-4, 4) / 2, len(nodes), len(nodes) + 1,
                        bool(rng.integers(2)), 0.0]  # fmt: skip
        nodes += [[-1, 0.0, -1, -1, False, rng.normal()] for _ in range(2)]
    columns = zip(*nodes, strict=True)
    return Tree(*(np.array(column, dtype=kind) for column, kind in zip(columns, "qdqq?d", strict=True)))


def walk(tree, row):
    node = 0
    while tree.feature[node] >= 0:
        x = row[tree.feature[node]]
        below = tree.missing_below[node] if math.isnan(x) else x < tree.cut[node]
        node = int((tree.below if below else tree.above)[node])
    return tree.value[node]


def test_all_sizes_of_trees_give_what_a_plain_walk_gives():
    rng = np.random.default_rng(4)
    trees = tuple(
        random_tree(rng, leaves, 5) for leaves in (1, 2, 7, 8, 9, 16, 17, 33, 63, 64, 65, 150) for _ in range(4)
    )
    rows = rng.integers(-6, 6, (300, 5)) / 2
    rows[rng.random(rows.shape) < 0.1] = np.nan
    wanted = np.array([[walk(tree, row) for tree in trees] for row in rows])
    for groups in (1, 3):
        found = Forest(5, trees, base=(0.5,) * groups)(rows)
        np.testing.assert_allclose(found, np.stack([wanted[:, n::groups].sum(axis=1) for n in range(groups)], 1) + 0.5)
    assert Forest(5, trees)(rows[:0]).shape == (0, 1)


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=(400, 4)), 1)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) ** 2


@pytest.mark.parametrize("kind", ["binary:logistic", "multi:softprob", "reg:squarederror", "count:poisson"])
def test_xgboost_text_and_binary(kind, toy, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    x, y = toy
    target = {"b": y > 1, "m": np.digitize(y, [0, 1]), "r": y, "c": np.exp(y)}[kind[0]]
    more = {"num_class": 3} if kind[0] == "m" else {}
    data = xgboost.DMatrix(x, target, nthread=1, feature_names=["pt", "eta", "a b", "`c"])
    booster = xgboost.train({"objective": kind, "nthread": 1, **more}, data, 5)
    labels = ["no", "yes"] if kind[0] == "b" else []
    booster.set_attr(hepflow=write_description({"folds": {"number": 5}}, labels=labels, input="tau", name="p"))
    for name in ("m.json", "m.ubj"):
        booster.save_model(tmp_path / name)
        model = open_model(tmp_path / name)
        found = model.evaluate({"tau": x})["p"]
        wanted = booster.predict(data).reshape(len(x), -1)
        np.testing.assert_allclose(found[:, -wanted.shape[1] :], wanted, rtol=2e-6, atol=2e-7)
        assert model.record == {"folds": {"number": 5}}
        np.testing.assert_allclose(found[:, 0], 1 - wanted[:, 0] if labels else found[:, 0], atol=1e-6)
    damaged = (tmp_path / "m.ubj").read_bytes()
    for end in (60, 500, len(damaged) - 3):
        (tmp_path / "cut.ubj").write_bytes(damaged[:end])
        with pytest.raises(NetworkError):
            open_model(tmp_path / "cut.ubj")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("objective", "name"), "rank:pairwise", "objective 'rank:pairwise'"),
        (("gradient_booster", "name"), "dart", "booster 'dart'"),
        (("gradient_booster", "model", "gbtree_model_param", "num_parallel_tree"), "4", "random forest"),
        (("learner_model_param", "base_score"), "[0.5,0.5]", "2 base scores for 1 classes"),
        (("learner_model_param", "base_score"), "5E-1", None),
        (("learner_model_param", "base_score"), 1.5, "no probability"),
        (("attributes",), {"best_iteration": "2"}, "rounds, of which early stopping found 3 best"),
    ],
)
@needs_answers
def test_xgboost_that_is_not_read(path, value, message, tmp_path):
    data = json.loads((MVAUTILS / "xgb_binary.json").read_text())
    place = data["learner"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "m.json").write_text(json.dumps(data))
    if message is None:
        assert open_model(tmp_path / "m.json").forest.base == (0.0,)
        return
    with pytest.raises(NetworkError, match=re.escape(message)):
        open_model(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("objective=binary sigmoid:1", "objective=binary sigmoid:2", None),
        ("objective=binary sigmoid:1", "objective=lambdarank", "objective 'lambdarank'"),
        ("objective=binary sigmoid:1", "objective=regression sqrt", "option 'sqrt'"),
        ("tree_sizes=", "average_output\ntree_sizes=", "random forest"),
        ("[linear_tree: 0]", "[linear_tree: 1]", "linear_tree"),
        ("num_cat=0", "num_cat=1", "categorical"),
        ("decision_type=2", "decision_type=6", "zero_as_missing"),
        ("Tree=19\n", "", "20"),
        ("end of trees", "", "ends too early"),
    ],
)
@needs_answers
def test_lightgbm_that_is_not_read(old, new, message, tmp_path):
    text = (MVAUTILS / "lgbm_binary.txt").read_text()
    assert old in text
    (tmp_path / "m.txt").write_text(text.replace(old, new))
    if message is None:
        rows = np.array(json.loads((MVAUTILS / "lgbm_binary.reference.json").read_text())["rows"], dtype=float)
        once, twice = (open_model(p).answers(rows) for p in (MVAUTILS / "lgbm_binary.txt", tmp_path / "m.txt"))
        np.testing.assert_allclose(np.log(1 / twice - 1), 2 * np.log(1 / once - 1))
        return
    with pytest.raises(NetworkError, match=message):
        open_model(tmp_path / "m.txt")


@needs_answers
def test_tiny_values_are_zero_for_lightgbm(tmp_path):
    """``Predictor`` of LightGBM leaves out values up to kZeroThreshold, next to which it cuts."""
    zero = float(np.float32(1e-35))
    text = (MVAUTILS / "lgbm_binary.txt").read_text()
    cuts = re.sub(r"(?<=threshold=).*", lambda found: " ".join([repr(-zero)] * len(found[0].split())), text)
    (tmp_path / "m.txt").write_text(cuts)
    rows = np.repeat([[-zero], [0.0], [-1.01 * zero]], 5, axis=1)
    at, nothing, below = open_model(tmp_path / "m.txt").answers(rows)
    assert at == nothing != below


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Method="BDT::BDTG_N"', 'Method="MLP::MLP"', "method 'MLP'"),
        (">Grad<", ">AnyBoost<", "boosting 'AnyBoost'"),
        (">Grad<", '>AdaBoost</Option><Option name="UseWeightedTrees">False<', "UseWeightedTrees=False"),
        ('Name="Normalize"', 'Name="Normalise"', "did you mean 'Normalize'"),
        ('NTrees="', 'NTrees="9', "it should have 9"),
        ('<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]>', "document type"),
        ("</MethodSetup>", "", "ends too early"),
        ('IVar="2"', 'IVar="7"', "variable 7"),
    ],
)
@needs_answers
def test_tmva_that_is_not_read(old, new, message, tmp_path):
    text = (TMVA / "trf_BDTG_N.weights.xml").read_text()
    assert old in text
    (tmp_path / "m.xml").write_text(text.replace(old, new))
    with pytest.raises(NetworkError, match=re.escape(message)):
        open_model(tmp_path / "m.xml")


@needs_answers
def test_recipes_and_missing_values_of_tmva():
    model = open_model(TMVA / "cls_BDTG.weights.xml")
    columns = [variable.column for variable in recipes(model)["variables"].values()]
    assert columns == ["pt", "abs(eta)", "centFrac", "innerTrkAvgDist", "min(mEflow,4000)", "nTracks"]
    for same in ("var1+var2", "(a<b)<c", "a<b&&b<c", "x[0]"):
        assert _recipe(same, same, "")["column"] == same
    for other in ("-2<x<2", "a<(b)<c", "n&4==4", "x%2"):  # which mean something else in ROOT
        assert _recipe(other, other, "")["column"] == f"`{other}`"
    rows = np.full((1, 6), 1.0)
    rows[0, 2] = np.nan
    assert model.evaluate({"variables": rows})["BDTG"].tolist() == [[-999.0]]


def gauss(x, edges, content):
    """TMVA's PDF of a cumulative histogram, point by point, as ``TMVA::PDF`` and ``TMVA::TSpline1`` do."""
    n, fine = len(content), 10_000
    centre = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    low, width = edges[0], (edges[-1] - edges[0]) / fine

    def line(t):
        k = max((i for i in range(n) if centre[i] <= t), default=0)
        other = k + 1 if (t > centre[k] and k != n - 1) or k == 0 else k - 1
        y = content[k] + (t - centre[k]) * (content[k] - content[other]) / (centre[k] - centre[other])
        return float(np.float32(max(y, 1e-12)))

    k = min(max(int((x - low) / width), 0), fine - 1)
    at = low + (k + 0.5) * width
    other = k + 1 if (x > at and k != fine - 1) or k == 0 else k - 1
    there = low + (other + 0.5) * width
    c = line(at) + (x - at) * (line(at) - line(there)) / (at - there)
    return min(max(c, 1e-9), 1 - 1e-9)


def test_the_gauss_transformation():
    from statistics import NormalDist
    from xml.etree import ElementTree as ET

    from hepflow.plugins.trees.transformations import _erfinv, read_transformations

    # what TMath::ErfInverse of ROOT 6.40 answers; the first is TMVA's for all that lies beyond its range
    of_root = {-0.99999999: -4.052237189349273, 0.999: 2.326753765513347, 0.3: 0.2724627147267544}
    np.testing.assert_allclose(_erfinv(np.array(list(of_root))), list(of_root.values()), rtol=3e-15)
    edges, content = [0.0, 0.25, 1.0, 2.5, 3.0], [0.125, 0.5, 0.75, 1.0]
    pdf = (
        '<PDF InterpolMethod="1" MaxNSmooth="0"><Histogram NBins="4" XMin="0" XMax="3">'
        f'{" ".join(map(str, content))}</Histogram><HistogramBinning NBins="4">{" ".join(map(str, edges))}'
        "</HistogramBinning></PDF>"
    )
    selection = "".join(
        f'<{side} N{side}s="1"><{side} Type="Variable" Expression="b"/></{side}>' for side in ("Input", "Output")
    )
    rows = np.array([[7.0, x] for x in (-1, 0, 0.1, 0.125, 0.7, 1.75, 2.9, 3, 4)], dtype=np.float32)
    for form, inverse in (("Flat", float), ("Gauss", NormalDist().inv_cdf)):
        text = (
            f'<Transformations NTransformations="1"><Transform Name="Gauss" FlatOrGauss="{form}"><Selection>{selection}'
            f'</Selection><Variable VarIndex="0"><CumulativePDF_cls0>{pdf}</CumulativePDF_cls0></Variable></Transform>'
            "</Transformations>"
        )
        (step,) = read_transformations(ET.fromstring(text), ["a", "b"], []).steps
        wanted = [inverse(min(max(gauss(float(x), edges, content), 5e-9), 1 - 5e-9)) for x in rows[:, 1]]
        found = step(rows)
        np.testing.assert_allclose(found[:, 1], wanted, rtol=3e-7, atol=1e-7 if form == "Gauss" else 1e-8)
        assert (found[:, 0] == 7).all()


def test_principal_components_and_targets():
    """PCA by hand: (x - mean) E; a normalised target goes back to its range; only what is selected changes."""
    from xml.etree import ElementTree as ET

    from hepflow.plugins.trees.transformations import read_transformations

    def read(inside):
        text = f'<Transformations NTransformations="1"><Transform {inside}</Transform></Transformations>'
        return read_transformations(ET.fromstring(text), ["a", "b"], ["y"])

    pca = '<Statistics NRows="2">1 2</Statistics><Eigenvectors NRows="2" NCols="2">1 2 3 4</Eigenvectors>'
    assert read(f'Name="PCA">{pca}').steps[0](np.array([[2.0, 4.0]])).tolist() == [[1 + 6, 2 + 8]]
    chosen = "".join(
        f'<{side} N{side}s="2"><{side} Type="Variable" Expression="b"/><{side} Type="Target" Expression="y"/></{side}>'
        for side in ("Input", "Output")
    )
    ranges = '<Range Index="1" Min="10" Max="30"/><Range Index="0" Min="0" Max="4"/>'
    found = read(f'Name="Normalize"><Selection>{chosen}</Selection><Class><Ranges>{ranges}</Ranges></Class>')
    assert found.steps[0](np.array([[7.0, 1.0]])).tolist() == [[7.0, -0.5]]
    assert found.after[0](np.array([[0.5]])).tolist() == [[25.0]]
    # a Rearrange gives each value of its inputs to the output at the same place
    turned = chosen.replace('"b"/><Input Type="Target" Expression="y"', '"b"/><Input Type="Variable" Expression="a"')
    turned = turned.replace('"b"/><Output Type="Target" Expression="y"', '"a"/><Output Type="Variable" Expression="b"')
    step = read(f'Name="Rearrange"><Selection>{turned}</Selection>').steps[0]
    assert step(np.array([[1.0, 2.0]])).tolist() == [[2.0, 1.0]]
    twice = turned.replace('"a"/><Output', '"b"/><Output')
    with pytest.raises(NetworkError, match="Rearrange writes a variable twice"):
        read(f'Name="Rearrange"><Selection>{twice}</Selection>')


@needs_answers
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variables": ["f1", "f0", "f2", "f3", "f4"]}, "in another order"),
        ({"rows": [[1.0, 2.0]], "variables": []}, "a row has 2 values, the model 5"),
        ({"outputs": [[0.5, 0.5]] * 64}, "2 values a row are expected"),
        ({"outputs": [[0.5]]}, "64 rows, but outputs of 1"),
        ({"rows": [1.0]}, "row 0 is no list"),
    ],
)
def test_rows_that_do_not_fit(change, message, tmp_path):
    data = json.loads((MVAUTILS / "xgb_binary.reference.json").read_text())
    if "rows" in change:
        del data["outputs"]
    (tmp_path / "c.json").write_text(json.dumps(data | change))
    with pytest.raises(NetworkError, match=message):
        evaluate_rows(open_model(MVAUTILS / "xgb_binary.json"), read_rows(tmp_path / "c.json"))
