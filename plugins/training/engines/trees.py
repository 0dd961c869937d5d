"""What the engines of boosted trees share: options of TMVA, matrices, and their learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepflow.errors import JobOptionsError, NetworkError, nearest
from hepflow.networks.description import write_description
from hepflow.plugins.training.architectures.base import Key, NetworkInput, check_flat
from hepflow.plugins.training.configuration import read_arch
from hepflow.plugins.training.engines.base import (
    Engine,
    Floats,
    Request,
    SettingsPlan,
    check_settings,
    flat_matrix,
    loss_of,
)
from hepflow.registry.models import open_model, write_model
from hepflow.trainingset import TrainingSet

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = ["TREE_KEYS", "TreeEngine", "read_bdt"]

ONNX = "model.onnx"
BDT = "BDT"
"""The top key of a Conf file with TMVA's options."""
TMVA_KEYS = {"NTrees": "n_estimators", "Shrinkage": "learning_rate", "MaxDepth": "max_depth", "nCuts": "max_bin"}
"""Options of TMVA's BDTG → settings of the engines."""
WITHOUT_EFFECT = ("SeparationType", "PruneMethod", "UseYesNoLeaf", "H", "V", "NegWeightTreatment")
"""Options that mean nothing to other libraries (or are said by the TrainingSet): reported once."""

TREE_KEYS: Mapping[str, Key] = {
    "n_estimators": Key(400),
    "learning_rate": Key(0.1, positive=True),
    "max_depth": Key(6),
    "max_bin": Key(256, minimum=2),
    "subsample": Key(1.0, positive=True),
    "colsample_bytree": Key(1.0, positive=True),
    "reg_lambda": Key(1.0, number=True),
    "reg_alpha": Key(0.0, number=True),
    "min_node_percent": Key(0.0, number=True),
    "loss": Key("squared", choices=("squared", "absolute")),
    "threads": Key(0, minimum=0),
}
"""Settings that all engines of boosted trees have; ``min_node_percent`` is TMVA's MinNodeSize, ``loss`` that of a
number: of the absolute difference the median is learned, which tails do not move."""


def read_bdt(path: Path, keys: Mapping[str, Key] = TREE_KEYS) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return settings from a Conf file with TMVA's options (``BDT: {NTrees: 400, …}``) or an engine's own ``keys``, and
    the keys without effect.

    JobOptionsError for other boosting than by gradients, or an unknown key.
    """
    name, content = read_arch(path)
    if name != BDT:
        raise JobOptionsError(f"the file is for {name!r}, not for {BDT!r}", where=str(path))
    settings: dict[str, Any] = {}
    known = (
        *TMVA_KEYS,
        *keys,
        *WITHOUT_EFFECT,
        "BoostType",
        "UseBaggedBoost",
        "BaggedSampleFraction",
        "MinNodeSize",
    )
    for key, value in content.items():
        if key not in known:
            raise JobOptionsError(f"there is no option {key!r}", where=str(path), hint=nearest(str(key), known))
        if key == "BoostType" and value != "Grad":
            raise JobOptionsError(f"BoostType is {value!r}: the engines boost by gradients (Grad)", where=str(path))
        if key in TMVA_KEYS or key in keys:
            settings[TMVA_KEYS.get(key, key)] = value
    if "MinNodeSize" in content:
        settings["min_node_percent"] = float(str(content["MinNodeSize"]).strip().rstrip("%"))
    if content.get("UseBaggedBoost"):
        settings["subsample"] = content.get("BaggedSampleFraction", 0.6)
    return settings, tuple(key for key in WITHOUT_EFFECT if key in content)


class TreeEngine(Engine):
    """Boosted trees: one fit of flat inputs. Early stopping is that of the library, on the validation rows."""

    MISSING: ClassVar[bool] = True
    CONF: ClassVar[str] = BDT
    NAME: ClassVar[str] = ""
    SEVERAL: ClassVar[bool] = False
    """Whether one model may learn several numbers."""

    @classmethod
    def make_plan(cls, request: Request, inputs: tuple[NetworkInput, ...], declared: TrainingSet) -> SettingsPlan:
        """Return settings (those of the Conf file, over these the tool's own) for flat inputs."""
        check_flat(cls.NAME, inputs)
        if len(inputs) > 1:
            names = ", ".join(one.name for one in inputs)
            raise NetworkError(f"{cls.NAME} takes one group of flat inputs, not {names}", where=request.where)
        if request.arch is not None:
            hint = f"its settings are in Settings, or in a ConfFile: {BDT}: {{…}}"
            raise JobOptionsError(f"ArchFile has no effect on {cls.NAME}", where=request.where, hint=hint)
        given, ignored = read_bdt(request.conf, cls.KEYS) if request.conf is not None else ({}, ())
        where = str(request.conf or request.where)
        settings = check_settings(cls.NAME, cls.KEYS, {**given, **request.settings}, where)
        loss = loss_of(declared)
        if loss == "mean_squared_error" and len(declared.outputs) > 1 and not cls.SEVERAL:
            raise NetworkError(f"{cls.NAME} learns one number, not {len(declared.outputs)}", where=request.where)
        if settings["loss"] == "absolute" and loss != "mean_squared_error":
            raise NetworkError(f"{cls.NAME} learns classes, which have no absolute loss", where=where)
        if settings["loss"] == "absolute":
            loss = "mean_absolute_error"
        unused = {str(request.conf): ignored} if ignored else {}
        return SettingsPlan(cls.NAME, settings, inputs, declared.outputs, loss, unused)

    def objective(self, names: Sequence[str]) -> str:
        """Return which of the library's objectives (two classes, several, a number by squares, by absolute values) is
        learned.
        """
        if not self.plan.classifies:
            return names[3 if self.plan.loss == "mean_absolute_error" else 2]
        return names[0] if len(self.plan.classes) == 2 else names[1]

    def matrix(self, data: TrainingData, role: str) -> tuple[Floats, Floats, Floats]:
        """Return values (rows, variables), labels (rows) and weights of a role; a class is its number."""
        whole = data.whole(role)
        labels = np.argmax(whole.labels, axis=1) if self.plan.classifies else whole.labels[:, 0]
        return flat_matrix(whole.inputs, self.plan), labels.astype(np.float32), whole.weights

    def smallest_node(self, rows: int) -> int:
        """Return the fewest rows of a node: ``min_node_percent`` of all."""
        return max(1, round(float(self.plan.settings["min_node_percent"]) / 100 * rows))

    def raw(self, values: Floats) -> Floats:
        """Return the library's own answer: of two classes the probability of the second (rows)."""
        raise TypeError(f"{type(self).__name__} does not predict")

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities of the classes, or the number."""
        found = np.asarray(self.raw(flat_matrix(batch.inputs, self.plan)))
        if self.plan.classifies and found.ndim == 1:
            return np.stack([1 - found, found], axis=1)
        return found.reshape(len(batch), -1)

    def write(self, path: Path, description: str) -> None:
        """Write the library's own file with a description in it."""
        raise TypeError(f"{type(self).__name__} does not write")

    def export(self, folder: Path, output: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Write the library's own file, and the same trees as ONNX."""
        own = folder / self.MODEL
        self.write(
            own, write_description(record, labels=self.plan.classes, input=self.plan.inputs[0].name, name=output)
        )
        try:
            write_model(open_model(own), folder / ONNX)
        except NetworkError as error:
            return (self.MODEL,), {ONNX: f"{error.message}; {error.hint}" if error.hint else error.message}
        return (self.MODEL, ONNX), {}


def curve(train: Sequence[float], validation: Sequence[float], seconds: float, rows: int) -> list[dict[str, float]]:
    """Return the learning curve of trees, one row a tree."""
    rate = rows * len(train) / seconds if seconds else 0.0
    return [
        {
            "epoch": number + 1,
            "loss": float(loss),
            **({"val_loss": float(validation[number])} if len(validation) else {}),
            "seconds": seconds / len(train),
            "rows_per_second": rate,
        }
        for number, loss in enumerate(train)
    ]
