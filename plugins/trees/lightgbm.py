"""LightGBM's models, the text of ``save_model``.

Cuts and variables are double precision; a value equal to a cut is below it. Objectives whose transformation is known
are read; what changes the answers otherwise (linear trees, zero as missing value, categories, random forests) is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError, nearest
from hepflow.networks.description import read_description
from hepflow.networks.jsontext import read_bytes
from hepflow.plugins.trees.forest import Forest, ForestModel, Tree, forest_input

__all__ = ["OBJECTIVES", "LightGbmReader"]

OBJECTIVES: Mapping[str, str] = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "xentropy": "sigmoid",
    "multiclass": "softmax",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}
"""Objectives that are read → what becomes of the sum of the trees."""
CATEGORICAL, DEFAULT_LEFT = 1, 2
ZERO = float(np.float32(1e-35))
"""LightGBM takes values up to this for 0 (``kZeroThreshold``), and cuts there where a variable has zeros."""
MISSING = ("None", "Zero", "NaN")


class LightGbmReader:
    """LightGBM's models (the text of save_model)."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell by the first line."""
        return re.match(rb"tree\r?\n", head) is not None

    @staticmethod
    def read(path: Path) -> ForestModel:
        """Open the forest; NetworkError where it is damaged, or nothing that is evaluated rightly is known of it."""
        try:
            return _model(read_bytes(path).decode().replace("\r\n", "\n"))
        except UnicodeDecodeError:
            raise NetworkError("the LightGBM model is no text", where=str(path)) from None
        except NetworkError as error:
            raise error.but(where=str(path)) from None


def _model(text: str) -> ForestModel:
    parts = re.split(r"\n(?=Tree=\d+\n)", text)
    header = _entries(parts[0])
    if "end of trees" not in parts[-1]:
        raise NetworkError("the LightGBM model ends too early: its end of trees is missing", hint="is it a whole copy?")
    last, _, rest = parts[-1].partition("end of trees")
    blocks = [*parts[1:-1], last] if len(parts) > 1 else []
    link, slope = _objective(header)
    if re.search(r"^\[zero_as_missing: 1\]|^\[linear_tree: 1\]", rest, re.MULTILINE):
        raise NetworkError(
            "the LightGBM model was trained with zero_as_missing or linear_tree, which is not read",
            hint="train without",
        )
    sums = _whole(header, "num_tree_per_iteration")
    sizes = header.get("tree_sizes", "").split()
    if len(sizes) != len(blocks) or not blocks or len(blocks) % sums:
        raise NetworkError(
            f"the LightGBM model has {len(blocks)} trees, it should have {len(sizes)}", hint="is it a whole copy?"
        )
    names = header.get("feature_names", "").split()
    if len(names) != _whole(header, "max_feature_idx") + 1:
        raise NetworkError(
            f"the LightGBM model names {len(names)} variables, it has {header.get('max_feature_idx')} + 1"
        )
    trees = tuple(_tree(_entries(block), number) for number, block in enumerate(blocks))
    described = read_description(header.get("hepflow", ""))
    usual = ("score",) if link != "softmax" else tuple(f"class_{number}" for number in range(sums))
    return ForestModel(
        "LightGBM",
        f"LightGBM, format {header.get('version', '')}",
        forest_input(names, described.input),
        described.output(usual, pair=link == "sigmoid"),
        Forest(len(names), trees, link=link, base=(0.0,) * sums, single=False, slope=slope),
        described.record,
        facts=(f"objective {header['objective']}",),
    )


def _objective(header: Mapping[str, str]) -> tuple[str, float]:
    """Return the transformation of the sum and its slope; NetworkError where it is not known."""
    if "average_output" in header:
        raise NetworkError(
            "the LightGBM model is a random forest (boosting=rf), which is not read",
            hint="converters get it wrong, too",
        )
    name, *options = header.get("objective", "").split() or [""]
    if name not in OBJECTIVES:
        hint = (
            nearest(name, OBJECTIVES, what="objectives") if name else "a model of one's own objective does not say it"
        )
        raise NetworkError(f"the objective {name!r} of the LightGBM model is not read", hint=hint)
    slope = 1.0
    for option in options:
        key, _, value = option.partition(":")
        if key == "sigmoid" and name == "binary":
            slope = _number(value, "sigmoid")
        elif not (key == "num_class" and name == "multiclass"):
            raise NetworkError(
                f"the objective {name} of the LightGBM model has the option {option!r}, which is not known"
            )
    return OBJECTIVES[name], slope


def _entries(block: str) -> dict[str, str]:
    """Return the lines ``key=value`` of a block."""
    found: dict[str, str] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        if key in found:
            raise NetworkError(f"the LightGBM model has the line {key}= twice in one place")
        if key:
            found[key] = value
    return found


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NetworkError(f"{what} of the LightGBM model is {text!r}, which is no number") from None


def _whole(entries: Mapping[str, str], key: str) -> int:
    found = _number(entries.get(key, ""), key)
    if not found.is_integer() or found < 0:
        raise NetworkError(f"{key} of the LightGBM model is {entries[key]!r}")
    return int(found)


def _tree(entries: Mapping[str, str], number: int) -> Tree:
    where = f"tree {number} of the LightGBM model"
    if entries.get("is_linear", "0").strip() not in ("0", ""):
        raise NetworkError(f"{where} has linear models in its leaves (linear_tree), which are not read")
    if _whole(entries, "num_cat"):
        raise NetworkError(f"{where} has categorical splits, which are not read")
    n = _whole(entries, "num_leaves")

    def column(key: str, length: int) -> npt.NDArray[Any]:
        values = entries.get(key, "").split()
        if len(values) != length:
            raise NetworkError(f"{where} has {len(values)} numbers as {key}, {length} are needed")
        return np.array([_number(value, f"{key} of {where}") for value in values], dtype=np.float64)

    values = column("leaf_value", n)
    if n == 1:
        none = np.full(1, -1, dtype=np.int64)
        return Tree(none, np.zeros(1), none, none, np.zeros(1, dtype=np.bool_), values)
    feature, left, right, kind = (
        column(key, n - 1).astype(np.int64) for key in ("split_feature", "left_child", "right_child", "decision_type")
    )
    cut = column("threshold", n - 1)
    if (kind & CATEGORICAL).any():
        raise NetworkError(f"{where} has categorical splits, which are not read")
    missing = kind >> 2 & 3
    if (missing == MISSING.index("Zero")).any():
        raise NetworkError(f"{where} takes zero for a missing value (zero_as_missing), which is not read")
    if (missing > MISSING.index("NaN")).any() or (feature < 0).any():
        raise NetworkError(f"{where} has a node that is not known")
    # without a way of their own, missing values count as 0
    below = np.where(missing == MISSING.index("NaN"), (kind & DEFAULT_LEFT) > 0, cut >= 0)
    # below or equal; a value next to 0 is 0
    least = np.where((cut >= 0) & (cut < ZERO), ZERO, cut)
    least = np.where((cut < 0) & (cut >= -ZERO), -ZERO, np.nextafter(least, np.inf))
    # inner nodes first, then leaves, which the file counts -1, -2, …
    children = [np.where(side >= 0, side, n - 2 - side) for side in (left, right)]
    none = np.full(n, -1, dtype=np.int64)
    return Tree(
        np.concatenate((feature, none)),
        np.concatenate((least, np.zeros(n))),
        np.concatenate((children[0], none)),
        np.concatenate((children[1], none)),
        np.concatenate((below, np.zeros(n, dtype=np.bool_))),
        np.concatenate((np.zeros(n - 1), values)),
    )
