"""Keras networks, on any of its backends."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hepflow.errors import HepflowError, JobOptionsError, NetworkError
from hepflow.networks import open_keras
from hepflow.networks.keras_import import check_keras, import_keras
from hepflow.plugins.training import backend
from hepflow.plugins.training.architectures.base import RAGGED, NetworkInput
from hepflow.plugins.training.checkpoint import arrays, assign
from hepflow.plugins.training.configuration import NetworkPlan, plan_network, read_arch, read_conf
from hepflow.plugins.training.engines.base import (
    Answers,
    Arrays,
    Engine,
    Floats,
    Plan,
    Report,
    Request,
    Schedule,
    check_settings,
    loss_of,
)
from hepflow.plugins.training.engines.keras_steps import PlainSteps, Steps, predicted
from hepflow.plugins.training.engines.progress import Progress
from hepflow.trainingset import TrainingSet

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = ["KerasEngine", "compile_model"]

_log = logging.getLogger(__name__)


def default_architecture(inputs: Sequence[NetworkInput]) -> str:
    """Return the architecture where none is said: DeepSets of sequences, dense layers where there is none."""
    return "Dense" if all(one.cap is None for one in inputs) else "DSNN"


class KerasEngine(Engine):
    """Networks of Keras' layers: the architectures of ``hepflow_architectures``, set by their Arch file."""

    IN_EPOCHS: ClassVar[bool] = True
    SCALES: ClassVar[bool] = True
    SEQUENCES: ClassVar[bool] = True
    MODEL: ClassVar[str] = "model.keras"
    SOURCE: ClassVar[str] = MODEL

    model: Any
    steps: Any = None

    @classmethod
    def check(cls) -> None:
        """Raise NetworkError where Keras is not installed, or was told to calculate with less than float32."""
        check_keras()
        keras = sys.modules.get("keras")
        policy = "float32" if keras is None else keras.config.dtype_policy().name
        if policy != "float32":
            raise NetworkError(
                f"Keras calculates in {policy}, and what is exported, in float32, would answer something else",
                hint='keras.config.set_dtype_policy("float32")',
            )

    @classmethod
    def make_plan(cls, request: Request, inputs: tuple[NetworkInput, ...], declared: TrainingSet) -> NetworkPlan:
        """Return the network that Architecture, Conf file and Arch file say."""
        check_settings("keras", {}, request.settings, request.where)
        conf = read_conf(request.conf) if request.conf is not None else None
        name = request.architecture or (conf.architecture if conf is not None else "")
        name = name or (read_arch(request.arch)[0] if request.arch is not None else default_architecture(inputs))
        if conf is not None and name != conf.architecture:
            raise JobOptionsError(
                f"Architecture is {name!r}, the Conf file is for {conf.architecture!r}", where=str(conf.path)
            )
        plan = plan_network(name, request.arch, inputs, declared.outputs)
        if plan.loss != loss_of(declared):
            made, other = ("classes", "numbers") if declared.classes else ("numbers", "classes")
            raise JobOptionsError(
                f"the training set has {made}, the network is for {other}",
                where=f"{request.where}, architecture {name}",
                hint="Dense with  task: regression  learns numbers",
            )
        return plan

    @classmethod
    def plan_from(cls, description: Mapping[str, Any]) -> Plan:
        """Return the plan that was described."""
        return NetworkPlan.from_description(description)

    def __init__(self, plan: NetworkPlan, schedule: Schedule, *, deterministic: bool = True) -> None:
        super().__init__(plan, schedule, deterministic=deterministic)
        import_keras().utils.clear_session()
        backend.seed_everything(schedule.seed, deterministic=deterministic)
        ragged = partial(plan.build, RAGGED) if plan.architecture.RAGGED else None
        self._compile(plan.build(), plan.loss, ragged)

    @classmethod
    def opened(cls, plan: Any, folder: Path) -> KerasEngine:
        """Return the trained model of a folder, from Keras' own file; its layers are registered by importing them."""
        import_keras()
        from hepflow.plugins.training import layers  # noqa: F401 - the import registers them

        made = cls.__new__(cls)
        Engine.__init__(made, plan, Schedule())
        made.model = open_keras(folder / cls.MODEL)
        return made

    def _compile(self, model: Any, loss: str, ragged: Callable[[], Any] | None = None) -> None:
        """Choose what trains the model; NetworkError where a layer calculates with less than float32."""
        if reduced := [layer.name for layer in _layers(model) if layer.compute_dtype in ("float16", "bfloat16")]:
            raise NetworkError(
                f"layers of the network calculate with less than float32: {', '.join(reduced)}; what is exported, in "
                "float32, would answer something else",
                hint="leave the dtype of layers out",
            )
        self.model = model
        self.steps = _choose_steps(model, ragged, loss, self.schedule)

    @property
    def learning_rate(self) -> float:
        """The learning rate that the next epoch begins with."""
        return float(self.steps.optimiser.learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.steps.optimiser.learning_rate = value

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return int(self.model.count_params())

    @property
    def devices(self) -> list[str]:
        """Return the devices of the backend."""
        return backend.devices()

    @classmethod
    def backend(cls) -> str:
        """Return the backend of Keras."""
        import keras

        return str(keras.backend.backend())

    def fit_epoch(self, data: TrainingData, epoch: int, report: Report | None = None) -> dict[str, float]:
        """Train for one epoch.

        Loss and accuracy are weighted means, both while the network learns. A loss that is not finite ends the epoch.
        Where the memory of the device does not suffice beside the training set, the epoch begins anew with the set in
        blocks; NetworkError where the device fails otherwise.
        """
        before = self.arrays() if backend.free_memory() is not None else None
        try:
            return self._fit_epoch(data, epoch, report)
        except Exception as error:
            if isinstance(error, HepflowError) or not backend.accelerated():
                raise
            if before is None or not backend.is_exhausted(error) or not self.steps.release():
                raise _device_error(error, epoch) from error
        _log.warning("the memory of the device did not suffice beside the training set, which goes there in blocks now")
        self.assign(*before)
        return self.fit_epoch(data, epoch, report)

    def _fit_epoch(self, data: TrainingData, epoch: int, report: Report | None) -> dict[str, float]:
        rate = self.learning_rate
        progress = Progress(data.size("train"), epoch, self.schedule.epochs, report)
        for sums in self.steps.epoch(data, epoch):
            if not progress.add(sums.rows, sums.losses, sums.weights, sums.right):
                break
        return progress.row(rate)

    def predict(self, batch: Batch) -> Floats:
        """Return what the model answers."""
        found: Floats = predicted(self.model, batch) if self.steps is None else self.steps.predict(batch)
        return found

    def answers(self, data: TrainingData, role: str) -> Iterator[Answers]:
        """Yield what the model answers: on an accelerator many batches in one call, which takes seconds to compile."""
        compiled = backend.accelerated() and not isinstance(self.steps, PlainSteps | type(None))
        return self.steps.answers(data, role) if compiled else super().answers(data, role)

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the variables of model and optimiser."""
        return arrays(self.model.variables), [] if self.steps is None else arrays(self.steps.optimiser.variables)

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set the variables of the model, and those of its optimiser."""
        assign(self.model.variables, model)
        if optimiser is not None:
            assign(self.steps.optimiser.variables, optimiser)

    def save(self, path: Path) -> None:
        """Write Keras' own file."""
        self.model.save(path)

    def export(self, folder: Path, output: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Write lwtnn JSON, where lwtnn can express the network, and ONNX."""
        from hepflow.plugins.training.engines.keras_export import LWTNN, ONNX, export

        refused = export(self.model, self.plan, output, record, folder)
        return ((ONNX,), {LWTNN: refused}) if refused else ((LWTNN, ONNX), {})


def _device_error(error: Exception, epoch: int) -> NetworkError:
    """Return the error for a device that failed in an epoch, counted from 0."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    smaller = "smaller batches take less of it; " if backend.is_exhausted(error) else ""
    kept = "--resume goes on after the last whole epoch"
    return NetworkError(
        f"the device failed in epoch {epoch + 1}: {text}",
        where=", ".join(backend.devices()),
        hint=f"{smaller}{kept}; with CUDA_VISIBLE_DEVICES= it goes on on the processor",
    )


def _layers(model: Any) -> list[Any]:
    """Return the layers of a model, those of models within it included."""
    return [inner for layer in model.layers for inner in (layer, *(_layers(layer) if hasattr(layer, "layers") else ()))]


def compile_model(model: Any, schedule: Schedule, loss: str) -> KerasEngine:
    """Return an engine of a model that is there."""
    made = KerasEngine.__new__(KerasEngine)
    Engine.__init__(made, None, schedule)
    made._compile(model, loss)
    return made


def _choose_steps(model: Any, ragged: Any, loss: str, schedule: Schedule) -> Steps:
    """Return what trains a model fastest here; ``ragged`` makes the ragged form, None where there is none."""
    from hepflow.plugins.training.engines.keras_jax import JaxSteps
    from hepflow.plugins.training.engines.keras_tensorflow import RaggedSteps, TensorFlowSteps

    name = backend.name()
    if name not in ("jax", "tensorflow"):
        _log.info("%s below Keras trains batch by batch, which is slower than jax and tensorflow (KERAS_BACKEND)", name)
        return PlainSteps(model, None, loss, schedule)
    if name == "tensorflow" and ragged is not None and not backend.accelerated():
        _log.info("many training steps in a call of TensorFlow, without the padding of sequences")
        return RaggedSteps(model, ragged(), loss, schedule)
    _log.info("many training steps in a call of %s; sequences are padded to their caps", name)
    return (JaxSteps if name == "jax" else TensorFlowSteps)(model, None, loss, schedule)
