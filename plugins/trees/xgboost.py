"""XGBoost's models, JSON and UBJSON (``save_model``).

Only trees (``gbtree``) with an objective whose transformation is known are read. XGBoost compares and adds in float32:
a value equal to a cut is above it, a missing one (NaN) goes where the node says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepflow.errors import NetworkError, nearest
from hepflow.networks import jsontext
from hepflow.networks.description import Description, read_description
from hepflow.networks.graph import Output
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, forest_input
from hepflow.plugins.trees.ubjson import read_ubjson

__all__ = ["OBJECTIVES", "XgBoostReader"]

OBJECTIVES: Mapping[str, str] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "reg:squarederror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
}
"""Objectives that are read → what becomes of the sum of the trees."""
_WHY = {
    "multi:softmax": "it answers with the number of a class; train with multi:softprob",
    "binary:logitraw": "converters take it for binary:logistic, silently; train with that",
    "reg:linear": "that is the old name of reg:squarederror; save the model with a newer XGBoost",
}


class XgBoostReader:
    """XGBoost's models (JSON or UBJSON of save_model)."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the first keys; dumps and the old binary form are recognised to be refused."""
        text = re.match(rb'\s*\{\s*"(learner|version)"\s*:|\s*\[\s*\{\s*"nodeid"', head)
        return text is not None or head.startswith(b"binf") or (head[:1] == b"{" and b"learner" in head[:64])

    @staticmethod
    def read(path: Path) -> ForestModel:
        """Open the forest; NetworkError where it is damaged, or nothing that is evaluated rightly is known of it."""
        content = jsontext.read_bytes(path)
        try:
            if content.startswith(b"binf") or re.match(rb"\s*\[", content):
                what = "a dump of trees" if content[:1] != b"b" else "XGBoost's old binary form"
                raise NetworkError(f"this is {what}", hint='save the model again: booster.save_model("model.json")')
            text = re.match(rb'\s*\{\s*"', content) is not None
            return _model(jsontext.parse_json(content) if text else read_ubjson(content))
        except (KeyError, TypeError, IndexError, OverflowError) as error:
            raise NetworkError(
                f"the XGBoost model is damaged: {type(error).__name__}: {error}", where=str(path)
            ) from None
        except (NetworkError, ValueError) as error:
            told = error if isinstance(error, NetworkError) else NetworkError(f"the XGBoost model is damaged: {error}")
            raise told.but(where=str(path)) from None


def _model(data: Mapping[str, Any]) -> ForestModel:
    learner = jsontext.section(data, "learner", dict, "the XGBoost model")
    objective = str(jsontext.section(jsontext.section(learner, "objective", dict, "learner"), "name", str, "objective"))
    if objective not in OBJECTIVES:
        hint = _WHY.get(objective) or f"{nearest(objective, OBJECTIVES, what='objectives')}"
        raise NetworkError(f"the objective {objective!r} of the XGBoost model is not read", hint=hint)
    booster = jsontext.section(learner, "gradient_booster", dict, "learner")
    if booster.get("name") != "gbtree":
        raise NetworkError(
            f"the booster {booster.get('name')!r} of the XGBoost model is not read",
            hint="dart weights its trees, gblinear has none: train with booster=gbtree",
        )
    model, facts = booster["model"], learner["learner_model_param"]
    n, classes = int(facts["num_feature"]), max(int(facts.get("num_class", 0)), 1)
    targets = max(int(facts.get("num_target", 1)), 1)
    if (classes > 1 and OBJECTIVES[objective] != "softmax") or targets > 1:
        raise NetworkError(f"the XGBoost model has {targets} targets and {classes} classes with {objective}")
    if int(model["gbtree_model_param"].get("num_parallel_tree", 1)) > 1:
        raise NetworkError(
            "the XGBoost model is a random forest (num_parallel_tree), which is not read",
            hint="train with num_parallel_tree=1",
        )
    trees = tuple(_tree(one, number) for number, one in enumerate(model["trees"]))
    groups = tuple(int(group) for group in model["tree_info"])
    if len(groups) != len(trees) or set(groups) - set(range(classes)):
        raise NetworkError(f"the trees of the XGBoost model do not belong to its {classes} classes")
    attributes = learner.get("attributes") or {}
    _check_rounds(attributes, len(trees), classes)
    base = _base(facts["base_score"], classes, OBJECTIVES[objective])
    names = [str(name) for name in learner.get("feature_names") or [f"f{number}" for number in range(n)]]
    if len(names) != n:
        raise NetworkError(f"the XGBoost model names {len(names)} variables and has {n}")
    described = read_description(str(attributes.get("hepflow", "")))
    version = ".".join(map(str, data.get("version", ())))
    return ForestModel(
        "XGBoost",
        f"XGBoost {version}",
        forest_input(names, described.input),
        _output(described, OBJECTIVES[objective], classes),
        Forest(n, trees, link=OBJECTIVES[objective], base=base, groups=groups),
        described.record,
        kind=np.float32,
        facts=(f"objective {objective}",),
    )


def _output(described: Description, link: str, classes: int) -> Output:
    labels = ("score",) if link != "softmax" else tuple(f"class_{number}" for number in range(classes))
    return described.output(labels, pair=link == "sigmoid")


def _base(text: Any, classes: int, link: str) -> tuple[float, ...]:
    """Return the start value of the sums: a number, a text, or (since XGBoost 3.1) a list as text; of binary models a
    probability, of exponentials the mean, of the others what the sum begins with.
    """
    try:
        held = json.loads(text) if isinstance(text, str) else text
        values = [float(value) for value in (held if isinstance(held, Sequence) else [held])]
    except (ValueError, TypeError):
        raise NetworkError(
            f"the base_score of the XGBoost model is {text!r}, no number and no list of numbers"
        ) from None
    if len(values) == 1:
        values *= classes
    if len(values) != classes:
        raise NetworkError(f"the XGBoost model has {len(values)} base scores for {classes} classes")
    if link == "sigmoid":
        if not all(0 < value < 1 for value in values):
            raise NetworkError(f"the base_score {values[0]} of the XGBoost model is no probability between 0 and 1")
        return tuple(-math.log(1.0 / value - 1.0) for value in values)
    if link == "exp":
        if not all(value > 0 for value in values):
            raise NetworkError(f"the base_score {values[0]} of the XGBoost model is not above 0")
        return tuple(math.log(value) for value in values)
    return tuple(values)


def _check_rounds(attributes: Mapping[str, Any], n_trees: int, classes: int) -> None:
    """Refuse a model with trees behind its best iteration: XGBoost's own classes do not agree on whether they count."""
    best = attributes.get("best_iteration")
    if best is not None and (int(best) + 1) * classes < n_trees:
        raise NetworkError(
            f"the XGBoost model has {n_trees // classes} rounds, of which early stopping found {int(best) + 1} best",
            hint="XGBClassifier leaves the others out, Booster.predict does not: save booster[: best_iteration + 1]",
        )


def _tree(data: Mapping[str, Any], number: int) -> Tree:
    if any(data.get("split_type", ())) or data.get("categories_nodes"):
        raise NetworkError(f"tree {number} of the XGBoost model has categorical splits, which are not read")
    if int(data["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise NetworkError(f"tree {number} of the XGBoost model has vectors in its leaves, which are not read")
    below, above = (np.array(data[key], dtype=np.int64) for key in ("left_children", "right_children"))
    cut = np.array(data["split_conditions"], dtype=np.float32).astype(np.float64)
    feature = np.where(below < 0, -1, np.array(data["split_indices"], dtype=np.int64))
    left = np.array(data["default_left"]).astype(np.bool_)
    return Tree(feature, cut, below, above, left, cut)
