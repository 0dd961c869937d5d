"""scikit-learn: any of its estimators that can be kept as ONNX; no pickle is written or read."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepflow.errors import JobOptionsError, NetworkError, nearest
from hepflow.files import write_bytes
from hepflow.plugins.training.architectures.base import NetworkInput, check_flat
from hepflow.plugins.training.engines.base import (
    Arrays,
    Engine,
    Floats,
    Report,
    Request,
    SettingsPlan,
    flat_matrix,
    loss_of,
)
from hepflow.plugins.training.engines.onnx import write_described
from hepflow.trainingset import TrainingSet

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = ["SklearnEngine"]

ESTIMATORS = {
    "GradientBoostingClassifier": "ensemble",
    "GradientBoostingRegressor": "ensemble",
    "RandomForestClassifier": "ensemble",
    "RandomForestRegressor": "ensemble",
    "ExtraTreesClassifier": "ensemble",
    "ExtraTreesRegressor": "ensemble",
    "AdaBoostClassifier": "ensemble",
    "AdaBoostRegressor": "ensemble",
    "HistGradientBoostingClassifier": "ensemble",
    "HistGradientBoostingRegressor": "ensemble",
    "LogisticRegression": "linear_model",
    "LinearRegression": "linear_model",
}
"""Estimators that take weights → their module below ``sklearn``."""
TRIAL_ROWS = 60
TOLERANCE = 1e-5


class SklearnEngine(Engine):
    """An estimator of scikit-learn (``Architecture``) with its own settings. What is kept is its ONNX: an estimator
    that skl2onnx cannot convert, or converts wrongly, is refused before the fit, on a few made-up rows.
    """

    PACKAGES: ClassVar[Mapping[str, str]] = {"sklearn": "bdt", "skl2onnx": "bdt"}
    MODEL: ClassVar[str] = "model.onnx"

    _onnx: bytes = b""
    _session: Any = None

    @classmethod
    def make_plan(cls, request: Request, inputs: tuple[NetworkInput, ...], declared: TrainingSet) -> SettingsPlan:
        """Return the estimator and its settings, tried on made-up rows."""
        check_flat("sklearn", inputs)
        if request.conf is not None or request.arch is not None:
            raise JobOptionsError(
                "ConfFile and ArchFile have no effect on sklearn", where=request.where, hint="use Settings"
            )
        loss = loss_of(declared)
        kind = "Classifier" if loss == "categorical_crossentropy" else "Regressor"
        name = request.architecture or f"GradientBoosting{kind}"
        if name not in ESTIMATORS:
            raise JobOptionsError(
                f"there is no estimator {name!r}",
                where=request.where,
                hint=nearest(name, ESTIMATORS, what="estimators"),
            )
        if len(declared.outputs) > 1 and loss == "mean_squared_error":
            raise NetworkError(f"sklearn learns one number here, not {len(declared.outputs)}", where=request.where)
        cls.check()
        plan = SettingsPlan(name, dict(request.settings), inputs, declared.outputs, loss)
        _try(plan, request.where)
        return plan

    def fit(self, data: TrainingData, report: Report) -> tuple[list[dict[str, float]], int]:
        """Fit, convert, and compare the answers of both on rows of the training."""
        whole = data.whole("train")
        values = flat_matrix(whole.inputs, self.plan)
        labels = np.argmax(whole.labels, axis=1) if self.plan.classifies else whole.labels[:, 0]
        began = time.perf_counter()
        estimator = _estimator(self.plan, self.schedule.seed).fit(values, labels, sample_weight=whole.weights)
        seconds = time.perf_counter() - began
        self._take(_convert(estimator, self.plan, values[:5000]))
        return [{"epoch": 1, "seconds": seconds, "rows_per_second": len(values) / seconds if seconds else 0.0}], 1

    def _take(self, content: bytes) -> None:
        self._onnx = content
        self._session = _session(content)

    def predict(self, batch: Batch) -> Floats:
        """Return what the ONNX answers."""
        return _run(self._session, flat_matrix(batch.inputs, self.plan))

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the bytes of the ONNX."""
        return ([np.frombuffer(self._onnx, np.uint8)] if self._onnx else []), []

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set the model."""
        if model:
            self._take(model[0].tobytes())

    @property
    def parameters(self) -> int:
        """Return the bytes of the model over four: what takes as much room as so many weights."""
        return len(self._onnx) // 4

    def save(self, path: Path) -> None:
        """Write the ONNX as it was converted; ``export`` describes it."""
        write_bytes(path, self._onnx)

    def export(self, folder: Path, output: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Write the ONNX with its description."""
        import sklearn

        content = _renamed(self._onnx, self.plan, output)
        write_described(content, folder / self.MODEL, self.plan, output, record, f"scikit-learn {sklearn.__version__}")
        return (self.MODEL,), {}


def _estimator(plan: SettingsPlan, seed: int) -> Any:
    """Return the estimator; NetworkError for settings that it does not have."""
    kind = getattr(importlib.import_module(f"sklearn.{ESTIMATORS[plan.name]}"), plan.name)
    known = inspect.signature(kind).parameters
    for name in plan.settings:
        if name not in known:
            raise NetworkError(f"{plan.name} has no setting {name!r}", hint=nearest(name, known, what="settings"))
    return kind(**{**({"random_state": seed} if "random_state" in known else {}), **plan.settings})


def _try(plan: SettingsPlan, where: str) -> None:
    """Fit, convert and compare on made-up rows; NetworkError where one of it does not work."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(TRIAL_ROWS, sum(len(one.variables) for one in plan.inputs))).astype(np.float32)
    labels = np.arange(TRIAL_ROWS) % len(plan.classes) if plan.classifies else values[:, 0]
    small = {"n_estimators": min(3, plan.settings.get("n_estimators", 3)), "max_iter": 30}
    known = _estimator(plan, 1).get_params()
    settings = {**plan.settings, **{name: value for name, value in small.items() if name in known}}
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # thirty iterations are few
            trial = SettingsPlan(plan.name, settings, plan.inputs, plan.classes, plan.loss)
            _convert(_estimator(trial, 1).fit(values, labels, sample_weight=np.ones(TRIAL_ROWS)), plan, values)
    except NetworkError as error:
        raise error.but(where=where) from error
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{plan.name} does not take these settings: {error}", where=where) from error


def _convert(estimator: Any, plan: SettingsPlan, values: Floats) -> bytes:
    """Return the ONNX of a fitted estimator; NetworkError where there is no converter, or the answers differ."""
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType

    types = [("values", FloatTensorType([None, values.shape[1]]))]
    options = {"options": {id(estimator): {"zipmap": False}}} if plan.classifies else {}
    try:
        content: bytes = skl2onnx.convert_sklearn(estimator, initial_types=types, **options).SerializeToString()
    except Exception as error:  # whatever the converters raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NetworkError(
            f"{plan.name} cannot be kept: skl2onnx does not convert it, and no pickle is written ({first[:120]})",
            hint="GradientBoosting, RandomForest, ExtraTrees and AdaBoost can; so can the engines xgboost and lightgbm",
        ) from error
    native = estimator.predict_proba(values) if plan.classifies else estimator.predict(values)
    native, found = np.asarray(native).reshape(len(values), -1), _run(_session(content), values)
    width = float(np.ptp(native)) or 1.0
    difference = float(np.abs(found - native).max())
    if not difference <= TOLERANCE * max(1.0, width):
        raise NetworkError(f"the ONNX of {plan.name} answers otherwise than scikit-learn, by {difference:.2g}")
    return content


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run(session: Any, values: Floats) -> Floats:
    """Return the last output, (rows, outputs): the probabilities, or the number."""
    found: Floats = np.asarray(session.run([session.get_outputs()[-1].name], {"values": values})[0])
    return found.reshape(len(values), -1)


def _renamed(content: bytes, plan: SettingsPlan, output: str) -> bytes:
    """Return the ONNX with the name of the input, one output of the given name, and an open axis ``batch``.

    Several flat inputs are put together inside.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(content)
    graph = model.graph
    old, own = graph.output[-1].name, [one.name for one in plan.inputs]
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = output if name == old else own[0] if name == "values" and len(own) == 1 else name
    if len(own) > 1:
        graph.node.insert(0, helper.make_node("Concat", own, ["values"], axis=1))
    tensors = [
        helper.make_tensor_value_info(one.name, TensorProto.FLOAT, ["batch", len(one.variables)]) for one in plan.inputs
    ]
    del graph.input[:], graph.output[:]
    graph.input.extend(tensors)
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", len(plan.classes)]))
    whole: bytes = model.SerializeToString()
    return whole
