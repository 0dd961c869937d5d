"""XGBoost: boosted trees by histograms, in one fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepflow.errors import NetworkError
from hepflow.plugins.training.architectures.base import Key
from hepflow.plugins.training.engines.base import Arrays, Floats, Report, flat_names
from hepflow.plugins.training.engines.trees import TREE_KEYS, TreeEngine, curve
from hepflow.plugins.training.fitting import losses_of

if TYPE_CHECKING:
    from hepflow.plugins.training.data import TrainingData

__all__ = ["XGBoostEngine"]

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror", "reg:absoluteerror")
SIGNED = "signed"
METRICS = dict(zip(OBJECTIVES, ("logloss", "mlogloss", "rmse", "mae"), strict=True))


class XGBoostEngine(TreeEngine):
    """XGBoost (``hist``). ``min_node_percent`` becomes ``min_child_weight``: XGBoost counts second derivatives, not
    rows; the percentage of their sum at the start is the same thing only for the first tree.
    """

    NAME: ClassVar[str] = "xgboost"
    PACKAGES: ClassVar[Mapping[str, str]] = {"xgboost": "bdt"}
    MODEL: ClassVar[str] = "model.json"
    KEYS: ClassVar[Mapping[str, Key]] = {
        **TREE_KEYS,
        "min_child_weight": Key(1.0, number=True),
        "gamma": Key(0.0, number=True),
    }

    booster: Any = None

    def fit(self, data: TrainingData, report: Report) -> tuple[list[dict[str, float]], int]:
        """Train; the trees behind the best one are left out."""
        import xgboost

        values, labels, weights = self.matrix(data, "train")
        _refuse_negative(weights, data)
        parameters = self._parameters(labels, weights)
        bins = int(self.plan.settings["max_bin"])
        train = xgboost.QuantileDMatrix(values, labels, weight=weights, max_bin=bins)
        watched = [(train, "train")]
        signed: Any = None
        if data.folds.validation:
            others, their_labels, their_weights = self.matrix(data, "validation")
            if negative := bool((their_weights < 0).any()):
                signed = self._signed(len(others), their_labels, their_weights)
            given = None if negative else their_weights
            matrix = xgboost.QuantileDMatrix(others, their_labels, weight=given, max_bin=bins, ref=train)
            watched.append((matrix, "validation"))
        metric = METRICS[str(parameters["objective"])] if signed is None else SIGNED
        stop = xgboost.callback.EarlyStopping(
            rounds=self.schedule.patience,
            metric_name=metric,
            data_name="validation",
            min_delta=self.schedule.min_delta,
            save_best=True,
        )
        found: dict[str, dict[str, list[float]]] = {}
        began = time.perf_counter()
        self.booster = xgboost.train(
            parameters,
            train,
            int(self.plan.settings["n_estimators"]),
            evals=watched,
            evals_result=found,
            custom_metric=signed,
            verbose_eval=False,
            callbacks=[stop] if self.schedule.patience else [],
        )
        seconds = time.perf_counter() - began
        own = METRICS[str(parameters["objective"])]
        squared = 2 if own == "rmse" else 1  # the loss is the mean square, as SIGNED is
        trained = [value**squared for value in found["train"][own]]
        validated = found.get("validation", {}).get(metric, [])
        validated = [value**squared for value in validated] if signed is None else validated
        return curve(trained, validated, seconds, len(labels)), self.booster.num_boosted_rounds()

    def _signed(self, rows: int, labels: Floats, weights: Floats) -> Any:
        """Return the loss of the validation rows with the sign of their weights, which XGBoost itself does not take."""
        classifies = self.plan.classifies

        def metric(found: Any, matrix: Any) -> tuple[str, float]:
            if matrix.num_row() != rows or not np.array_equal(matrix.get_label(), labels):
                return SIGNED, 0.0  # the training rows, which have a metric of their own
            if classifies:
                p = (
                    found[np.arange(rows), labels.astype(int)]
                    if found.ndim > 1
                    else np.where(labels > 0, found, 1 - found)
                )
                losses = -np.log(np.clip(p, 1e-7, 1.0))
            else:
                losses = losses_of(found[:, None], labels[:, None], self.plan.loss)
            return SIGNED, float(np.average(losses.astype(np.float64), weights=weights))

        return metric

    def _parameters(self, labels: Floats, weights: Floats) -> dict[str, Any]:
        """Return XGBoost's parameters."""
        settings = dict(self.plan.settings)
        objective = self.objective(OBJECTIVES)
        percent = float(settings.pop("min_node_percent"))
        if percent:  # second derivatives at the start: w p (1 - p), of several classes 2 w p (1 - p), of a number w
            p = 1 / len(self.plan.classes)
            each = {"binary:logistic": 0.25, "multi:softprob": 2 * p * (1 - p)}.get(objective, 1.0)
            settings["min_child_weight"] = percent / 100 * each * float(weights.sum(dtype=np.float64))
        for name in ("n_estimators", "loss"):
            settings.pop(name)
        threads = {"nthread": settings.pop("threads") or None}
        own = {"objective": objective, "eval_metric": METRICS[objective], "seed": self.schedule.seed}
        classes = {"num_class": len(self.plan.classes)} if objective == "multi:softprob" else {}
        return {**settings, **threads, "tree_method": "hist", **own, **classes}

    @property
    def parameters(self) -> int:
        """Return the number of nodes."""
        return 0 if self.booster is None else sum(text.count("\n") for text in self.booster.get_dump())

    def raw(self, values: Floats) -> Floats:
        """Return what the booster answers."""
        found: Floats = self.booster.inplace_predict(values)
        return found

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the bytes of the model (UBJSON)."""
        held = [] if self.booster is None else [np.frombuffer(bytes(self.booster.save_raw("ubj")), np.uint8)]
        return held, []

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set the model."""
        import xgboost

        if model:
            self.booster = xgboost.Booster(model_file=bytearray(model[0].tobytes()))

    def save(self, path: Path) -> None:
        """Write XGBoost's JSON."""
        self.booster.feature_names = list(flat_names(self.plan.inputs))
        self.booster.save_model(path)

    def write(self, path: Path, description: str) -> None:
        """Write XGBoost's JSON, the description as an attribute."""
        self.booster.set_attr(hepflow=description)
        self.save(path)

    def importance(self) -> dict[str, float]:
        """Return the total gain of each variable, in parts of 1."""
        names = flat_names(self.plan.inputs)
        gains = self.booster.get_score(importance_type="total_gain")
        whole = sum(gains.values()) or 1.0
        kept = {name: gains.get(name, gains.get(f"f{number}", 0.0)) for number, name in enumerate(names)}
        return {name: float(gain) / whole for name, gain in kept.items()}


def _refuse_negative(weights: Floats, data: TrainingData) -> None:
    """Raise NetworkError for negative weights in the training, of which XGBoost would make nothing."""
    negative = int((weights < 0).sum())
    if negative:
        raise NetworkError(
            f"xgboost trains with no negative weights, {negative} of {len(weights)} {data.declared.called} have one",
            hint='negative_weights="ignore-in-training" of the TrainingSet leaves them out, "abs" takes their size',
        )
