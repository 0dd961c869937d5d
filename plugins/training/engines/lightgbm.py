"""LightGBM: boosted trees that grow leaf by leaf, in one fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepflow.files import write_text
from hepflow.plugins.training.architectures.base import Key
from hepflow.plugins.training.engines.base import Arrays, Floats, Report, flat_names
from hepflow.plugins.training.engines.trees import TREE_KEYS, TreeEngine, curve

if TYPE_CHECKING:
    from hepflow.plugins.training.data import TrainingData

__all__ = ["LightGBMEngine"]

OBJECTIVES = ("binary", "multiclass", "regression", "regression_l1")
METRICS = {"binary": "binary_logloss", "multiclass": "multi_logloss", "regression": "l2", "regression_l1": "l1"}


class LightGBMEngine(TreeEngine):
    """LightGBM. ``min_node_percent`` of the training rows becomes ``min_data_in_leaf``; ``num_leaves`` 0 is as many as
    ``max_depth`` allows.
    """

    NAME: ClassVar[str] = "lightgbm"
    PACKAGES: ClassVar[Mapping[str, str]] = {"lightgbm": "bdt"}
    MODEL: ClassVar[str] = "model.txt"
    KEYS: ClassVar[Mapping[str, Key]] = {
        **TREE_KEYS,
        "num_leaves": Key(0, minimum=0, maximum=131072),
        "min_data_in_leaf": Key(20, minimum=0),
    }

    booster: Any = None
    _text: str = ""

    def fit(self, data: TrainingData, report: Report) -> tuple[list[dict[str, float]], int]:
        """Train; the trees behind the best one are left out."""
        import lightgbm

        values, labels, weights = self.matrix(data, "train")
        parameters = self._parameters(len(values))
        names = [f"f{number}" for number in range(values.shape[1])]
        train = lightgbm.Dataset(values, labels, weight=weights, feature_name=names, params=parameters)
        sets, said = [train], ["train"]
        if data.folds.validation:
            others, their_labels, their_weights = self.matrix(data, "validation")
            sets.append(lightgbm.Dataset(others, their_labels, weight=their_weights, reference=train))
            said.append("validation")
        found: dict[str, dict[str, list[float]]] = {}
        callbacks: list[Any] = [lightgbm.record_evaluation(found)]
        if self.schedule.patience:
            stop = lightgbm.early_stopping(
                self.schedule.patience, first_metric_only=True, verbose=False, min_delta=self.schedule.min_delta
            )
            callbacks.append(stop)
        began = time.perf_counter()
        booster = lightgbm.train(
            parameters, train, int(self.plan.settings["n_estimators"]), sets, said, callbacks=callbacks
        )
        seconds = time.perf_counter() - began
        metric = METRICS[str(parameters["objective"])]
        self._take(booster.model_to_string(num_iteration=booster.best_iteration or -1))
        curves = found["train"][metric], found.get("validation", {}).get(metric, [])
        return curve(*curves, seconds, len(values)), booster.best_iteration or len(curves[0])

    def _parameters(self, rows: int) -> dict[str, Any]:
        """Return LightGBM's parameters."""
        settings = {name: self.plan.settings[name] for name in ("learning_rate", "max_depth", "max_bin")}
        settings |= {"lambda_l1": self.plan.settings["reg_alpha"], "lambda_l2": self.plan.settings["reg_lambda"]}
        settings["feature_fraction"] = self.plan.settings["colsample_bytree"]
        subsample = float(self.plan.settings["subsample"])
        settings |= {"bagging_fraction": subsample, "bagging_freq": int(subsample < 1)}
        leaves = int(self.plan.settings["num_leaves"])
        settings["num_leaves"] = leaves or min(2 ** int(settings["max_depth"]), 131072)
        percent = self.plan.settings["min_node_percent"]
        settings["min_data_in_leaf"] = self.smallest_node(rows) if percent else self.plan.settings["min_data_in_leaf"]
        objective = self.objective(OBJECTIVES)
        classes = {"num_class": len(self.plan.classes)} if objective == "multiclass" else {}
        own = {"objective": objective, "metric": METRICS[objective], "seed": self.schedule.seed, **classes}
        fixed = {"deterministic": True, "force_row_wise": True, "verbosity": -1}
        return {**settings, **own, **fixed, "num_threads": self.plan.settings["threads"]}

    def _take(self, text: str) -> None:
        import lightgbm

        if text != self._text:
            self._text, self.booster = text, lightgbm.Booster(model_str=text)

    @property
    def parameters(self) -> int:
        """Return the number of leaves."""
        return sum(len(line.split()) for line in self._text.splitlines() if line.startswith("leaf_value="))

    def raw(self, values: Floats) -> Floats:
        """Return what the booster answers."""
        found: Floats = self.booster.predict(values)
        return found

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the text of the model."""
        return ([np.frombuffer(self._text.encode(), np.uint8)] if self._text else []), []

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set the model."""
        if model:
            self._take(model[0].tobytes().decode())

    def save(self, path: Path) -> None:
        """Write LightGBM's text, with the names of the variables."""
        write_text(path, self._named())

    def _named(self) -> str:
        """Return the text with the names of the variables; LightGBM itself replaces odd characters of names."""
        names = " ".join(name.replace(" ", "_") for name in flat_names(self.plan.inputs))
        lines = self._text.splitlines()
        return "\n".join(f"feature_names={names}" if x.startswith("feature_names=") else x for x in lines) + "\n"

    def write(self, path: Path, description: str) -> None:
        """Write LightGBM's text, the description as its second line."""
        first, _, rest = self._named().partition("\n")
        write_text(path, f"{first}\nhepflow={description}\n{rest}")

    def importance(self) -> dict[str, float]:
        """Return the total gain of each variable, in parts of 1."""
        gains = self.booster.feature_importance("gain")
        whole = float(gains.sum()) or 1.0
        return {name: float(gain) / whole for name, gain in zip(flat_names(self.plan.inputs), gains, strict=True)}
