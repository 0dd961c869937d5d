"""Forests written for Athena's MVAUtils, XGBoost and ONNX, read back; the ROOT file is laid out as ROOT writes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepflow.errors import NetworkError
from hepflow.networks import Output, compare_rows, evaluate_rows, read_rows
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, forest_input
from hepflow.registry.models import open_model, write_model

DATA = Path(__file__).parents[4] / "shared"
TMVA, MVAUTILS = DATA / "tmva", DATA / "mvautils"
needs_answers = pytest.mark.skipif(not TMVA.is_dir(), reason="the answers of the programs are not here")


def answers(path, model, output=""):
    """The answers of a model to the reference rows of a file, and what they should be."""
    rows = read_rows(path.parent / f"{path.name.partition('.')[0]}.reference.json")
    rows = dataclasses.replace(rows, names=(), output=output or rows.output)
    return evaluate_rows(model, rows)[1], rows


@needs_answers
@pytest.mark.parametrize(
    ("path", "function"),
    [
        (MVAUTILS / "xgb_binary.json", "GetClassification"),
        (MVAUTILS / "xgb_regression.json", "GetResponse"),
        (MVAUTILS / "lgbm_binary.txt", "GetClassification"),
        (TMVA / "qgid_BDTG.weights.xml", "GetGradBoostMVA"),
        (TMVA / "squark_AdaBoost_BDT.weights.xml", "GetClassification"),
    ],
)
def test_mvautils(path, function, tmp_path):
    notes = write_model(open_model(path), tmp_path / "m.root")
    assert notes[0].endswith(f"call {function}")
    assert compare_rows(*answers(path, open_model(tmp_path / "m.root"), function))[0] <= 2e-6


def layout(path):
    """What a ROOT file says of its tree and branches, but for sizes and places."""
    with uproot.open(path) as file:
        tree = file["BDT"]
        differs = ("fTotBytes", "fZipBytes", "fBasketBytes", "fBasketSeek", "fCompress", "fTitle", "fBranchRef")
        said = {}
        for owner in (tree, *tree.branches, *(branch.member("fLeaves")[0] for branch in tree.branches)):
            for key, value in owner.all_members.items():
                if isinstance(value, int | float | str | bytes) and key not in differs and not key.startswith("@fBits"):
                    said[type(owner).__name__, owner.all_members["fName"], key] = value
        arrays = tree.arrays(["vars", "values"]).tolist()
        return said, arrays


@needs_answers
def test_the_file_is_laid_out_as_that_of_root(tmp_path):
    write_model(open_model(MVAUTILS / "xgb_binary.json"), tmp_path / "m.root")
    (mine, values), (wanted, expected) = layout(tmp_path / "m.root"), layout(MVAUTILS / "xgb_binary.root")
    assert {key: mine[key] for key in wanted if key in mine} == wanted
    assert [one["vars"] for one in values] == [one["vars"] for one in expected]
    for one, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(one["values"], other["values"], rtol=1e-6)
    with uproot.open(tmp_path / "m.root") as file:
        assert file["varList"].member("fTitle") == "f0,f1,f2,f3,f4"
        assert {"TBranchElement", "TLeafElement", "TTree"} <= set(file.file.streamers)


@needs_answers
@pytest.mark.parametrize(
    ("name", "ending", "message"),
    [
        ("cls_Fisher", ".root", "Fisher cuts"),
        ("reg_BDTR2", ".root", "AdaBoostR2"),
        ("trf_BDTG_N", ".root", "transformation Normalize"),
        ("cls_BDTG", ".root", "splits it at commas"),
        ("trf_BDTG_D", ".onnx", "transformation Decorrelation"),
        ("reg_BDTR2", ".json", "AdaBoostR2"),
        ("cls_BDTG", ".txt", ".json or .onnx or .root"),
    ],
)
def test_what_a_format_cannot_hold(name, ending, message, tmp_path):
    with pytest.raises(NetworkError, match=message):
        write_model(open_model(TMVA / f"{name}.weights.xml"), tmp_path / f"m{ending}")
    assert not list(tmp_path.iterdir())


def test_limits_of_mvautils(tmp_path):
    nodes = ([0, -1, -1], [0.5, 0, 0], [1, -1, -1], [2, -1, -1], [True] * 3, [0.0, 1, 2])
    tree = Tree(*(np.array(held) for held in nodes))
    for names, message in (([f"v{n}" for n in range(128)], "127 variables at most"), (["a b", *"cdef"], "commas")):
        model = ForestModel("XGBoost", "", forest_input(names), Output("o", 0, ("s",)), Forest(len(names), (tree,)))
        with pytest.raises(NetworkError, match=message):
            write_model(model, tmp_path / "m.root")


@needs_answers
@pytest.mark.parametrize("name", ["cls_BDTG", "cls_AdaBoost", "mul_BDTG", "reg_BDTG"])
def test_tmva_becomes_xgboost_and_onnx(name, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    path = TMVA / f"{name}.weights.xml"
    model = open_model(path)
    notes = write_model(model, tmp_path / "m.json")
    rows = answers(path, model)[1]
    given = xgboost.DMatrix(rows.values, feature_names=list(model.input.names), nthread=1)
    native = xgboost.Booster({"nthread": 1}, model_file=tmp_path / "m.json").predict(given)
    for found in (native.reshape(len(rows.values), -1), answers(path, open_model(tmp_path / "m.json"))[0]):
        assert compare_rows(2 * found - 1 if "2 p - 1" in "".join(notes) else found, rows)[0] <= 2e-6
    pytest.importorskip("onnx")
    write_model(model, tmp_path / "m.onnx")
    again = open_model(tmp_path / "m.onnx")
    assert again.record["variables"] == model.record["variables"]
    assert compare_rows(*answers(path, again))[0] <= 2e-6
