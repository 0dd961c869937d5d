"""Forests of TMVA as XGBoost JSON, and any forest as ONNX: the same cuts and leaves, where the format can hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import NetworkError
from hepflow.files import write_bytes, write_text
from hepflow.networks.description import write_description
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, at_least

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["ForestOnnxWriter", "XgBoostWriter"]

NO_PARENT = 2**31 - 1
_OBJECTIVES = {"tanh": "binary:logistic", "identity": "reg:squarederror", "softmax": "multi:softprob"}
VERSION = [2, 1, 0]
_MISSING = "a missing variable (NaN), for which TMVA answers -999, goes below every cut there"


class XgBoostWriter:
    """XGBoost's JSON (.json), of forests of TMVA."""

    endings = (".json",)

    @staticmethod
    def takes(model: Model) -> bool:
        """Tell whether the model is a forest of TMVA."""
        return isinstance(model, ForestModel) and model.format == "TMVA"

    @staticmethod
    def write(model: Model, path: Path) -> list[str]:
        """Write the file; returns what to know of its answers. NetworkError for what XGBoost cannot hold."""
        if not isinstance(model, ForestModel):
            raise NetworkError("only forests of trees become models of XGBoost")
        forest = _plain(model, "XGBoost")
        notes = [] if model.of_nan is None else [_MISSING]
        labels, factor, base = model.output.labels, 1.0, forest.base
        objective = {"tanh": "binary:logistic", "identity": "reg:squarederror", "softmax": "multi:softprob"}[
            forest.link
        ]
        if forest.link == "tanh":  # tanh(F) = 2 p - 1 with p the logistic function of 2 F
            factor, base, labels = 2.0, (0.5,), ("probability",)
            notes.insert(0, "the score of TMVA is 2 p - 1 of the probability p")
        described = write_description(model.record, labels=labels, input=model.input.name, name=model.output.name)
        write_text(path, json.dumps(_learner(model, forest, factor, base, objective, described)))
        return notes


def _plain(model: ForestModel, what: str) -> Forest:
    """Return the forest with weights in its leaves; NetworkError for what is more than a sum of trees."""
    if model.refusals:
        raise NetworkError(f"{what} cannot hold {', '.join(model.refusals)}")
    if model.forest.combine != "sum" and model.forest.combine != "average":
        raise NetworkError(f"{what} cannot hold the {model.forest.combine} of trees")
    return model.forest.summed()


def _learner(
    model: ForestModel, forest: Forest, factor: float, base: tuple[float, ...], objective: str, described: str
) -> dict[str, Any]:
    trees = [_tree(tree, number, forest.n_features, factor) for number, tree in enumerate(forest.trees)]
    classes = len(base)
    rounds = len(trees) // classes
    return {
        "learner": {
            "attributes": {"hepflow": described},
            "feature_names": list(model.input.names),
            "feature_types": ["float"] * forest.n_features,
            "gradient_booster": {
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": [classes * number for number in range(rounds + 1)],
                    "tree_info": list(forest.group),
                    "trees": trees,
                },
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": f"{base[0]!r}",
                "boost_from_average": "1",
                "num_class": str(classes if classes > 1 else 0),
                "num_feature": str(forest.n_features),
                "num_target": "1",
            },
            "objective": {"name": objective, **_parameters(objective, classes)},
        },
        "version": VERSION,
    }


def _parameters(objective: str, classes: int) -> Mapping[str, Any]:
    if objective.startswith("multi:"):
        return {"softmax_multiclass_param": {"num_class": str(classes)}}
    return {"reg_loss_param": {"scale_pos_weight": "1"}}


def _tree(tree: Tree, number: int, n_features: int, factor: float) -> dict[str, Any]:
    order = list(tree.order)
    place = {node: k for k, node in enumerate(order)}
    feature = tree.feature[order]
    leaf = feature < 0
    parents = [NO_PARENT] * len(order)
    children: dict[str, list[int]] = {"below": [], "above": []}
    for k, node in enumerate(order):
        for side, held in children.items():
            child = -1 if leaf[k] else place[int(getattr(tree, side)[node])]
            held.append(child)
            if child >= 0:
                parents[child] = k
    values = np.where(leaf, tree.value[order] * factor, at_least(tree.cut[order])).astype(np.float32)
    zeros = [0.0] * len(order)
    return {
        "base_weights": zeros,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": (tree.missing_below[order] & ~leaf).astype(int).tolist(),
        "id": number,
        "left_children": children["below"],
        "loss_changes": zeros,
        "parents": parents,
        "right_children": children["above"],
        "split_conditions": values.tolist(),
        "split_indices": np.where(leaf, 0, feature).tolist(),
        "split_type": [0] * len(order),
        "sum_hessian": zeros,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(n_features),
            "num_nodes": str(len(order)),
            "size_leaf_vector": "1",
        },
    }


class ForestOnnxWriter:
    """ONNX (.onnx), of forests."""

    endings = (".onnx",)

    @staticmethod
    def takes(model: Model) -> bool:
        """Tell whether the model is a forest."""
        return isinstance(model, ForestModel)

    @staticmethod
    def write(model: Model, path: Path) -> list[str]:
        """Write the file, and see that ONNX Runtime gives the same; NetworkError for what ONNX cannot hold."""
        from hepflow.networks.onnx_file import RECORD
        from hepflow.networks.onnx_write import sign

        if not isinstance(model, ForestModel):
            raise NetworkError("this is no forest of trees")
        forest = _plain(model, "ONNX")
        described = {
            "inputs": [
                {
                    "name": model.input.name,
                    "tensor": "input",
                    "variables": [{"name": name, "offset": 0.0, "scale": 1.0} for name in model.input.names],
                }
            ],
            "input_sequences": [],
            "outputs": [
                {"name": model.output.name, "tensor": "output", "labels": model.output.labels, "sequence": None}
            ],
            "record": {**model.record, "origin": model.origin},
        }
        facts = {RECORD: json.dumps(described), "origin": model.origin}
        write_bytes(path, sign(_graph(model, forest), facts))
        notes = [] if model.of_nan is None else [_MISSING]
        return notes if forest.single else [*notes, "variables and cuts are float32 in ONNX"]


def _graph(model: ForestModel, forest: Forest) -> Any:
    """Return the model: trees, slope, link, and 1 - p beside p where these are two labels."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise NetworkError(
            "writing ONNX needs the package onnx", hint="pip install 'hepflow[train]' from your checkout"
        ) from error

    nodes = [helper.make_node("TreeEnsembleRegressor", ["input"], ["sums"], domain="ai.onnx.ml", **_attributes(forest))]
    links = {"tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "softmax": "Softmax", "identity": "Identity"}
    pair = len(model.output.labels) == 2 and len(forest.base) == 1
    constants = []
    if forest.slope != 1:
        constants.append(helper.make_tensor("slope", TensorProto.FLOAT, [1], [forest.slope]))
        nodes.append(helper.make_node("Mul", ["sums", "slope"], ["scaled"]))
    last = nodes[-1].output[0]
    nodes.append(helper.make_node(links[forest.link], [last], ["answer" if pair else "output"]))
    if pair:
        constants.append(helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]))
        nodes.append(helper.make_node("Sub", ["one", "answer"], ["other"]))
        nodes.append(helper.make_node("Concat", ["other", "answer"], ["output"], axis=1))
    graph = helper.make_graph(
        nodes,
        "forest",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", forest.n_features])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", len(model.output.labels)])],
        constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="hepflow")


def _attributes(forest: Forest) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    targets: dict[str, list[Any]] = {name: [] for name in ("ids", "nodeids", "treeids", "weights")}
    for number, (tree, group) in enumerate(zip(forest.trees, forest.group, strict=True)):
        cuts = at_least(tree.cut)
        for node in tree.order:
            leaf = tree.feature[node] < 0
            columns["treeids"].append(number)
            columns["nodeids"].append(node)
            columns["featureids"].append(0 if leaf else int(tree.feature[node]))
            columns["values"].append(0.0 if leaf else float(cuts[node]))
            columns["modes"].append("LEAF" if leaf else "BRANCH_LT")
            columns["truenodeids"].append(0 if leaf else int(tree.below[node]))
            columns["falsenodeids"].append(0 if leaf else int(tree.above[node]))
            columns["missing_value_tracks_true"].append(int(not leaf and tree.missing_below[node]))
            if leaf:
                for name, value in zip(targets, (group, node, number, float(tree.value[node])), strict=True):
                    targets[name].append(value)
    return {
        **{f"nodes_{name}": held for name, held in columns.items()},
        **{f"target_{name}": held for name, held in targets.items()},
        "aggregate_function": "SUM",
        "n_targets": len(forest.base),
        "base_values": list(forest.base),
        "post_transform": "NONE",
    }


_COLUMNS = (
    "treeids",
    "nodeids",
    "featureids",
    "values",
    "modes",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)
