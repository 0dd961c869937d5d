"""What every engine has: what it is asked for, what it makes of it, and how the trainer drives it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from hepflow.errors import JobOptionsError, NetworkError, nearest
from hepflow.plugins.training.architectures.base import Key, NetworkInput
from hepflow.plugins.training.checkpoint import CHECKPOINT, Checkpoint
from hepflow.registry.manager import registry
from hepflow.trainingset import TrainingSet

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = [
    "EVALUATION_BATCH", "Answers", "Arrays", "Engine", "Plan", "Report", "Request", "Schedule", "engine_of",
    "flat_matrix", "network_inputs",
]  # fmt: skip

Arrays = list[npt.NDArray[Any]]
Floats = npt.NDArray[np.floating]
Answers = tuple[Floats, Floats, Floats]
"""Outputs, labels and weights of some rows."""
Report = Callable[[str], None]

EVALUATION_BATCH = 10_000


@dataclass(frozen=True)
class Schedule:
    """How long and with which steps to train; the defaults are those of the reference training."""

    epochs: int = 100
    batch_size: int = 1000
    optimiser: str = "adam"
    learning_rate: float = 1e-3
    patience: int = 10
    min_delta: float = 1e-4
    reduce_factor: float = 0.4
    reduce_patience: int = 3
    min_learning_rate: float = 4e-6
    seed: int = 42


@dataclass(frozen=True)
class Request:
    """What a tool asks of an engine: the properties of these names. ``conf`` is a Conf file, ``arch`` an Arch file."""

    architecture: str = ""
    conf: Path | None = None
    arch: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


class Plan:
    """A model that can be built: inputs, outputs (``classes``), and what decides about it.

    ``name`` is shown, ``describe`` goes into the record; ``ignored`` are keys of files that have no effect.
    """

    name: str
    inputs: tuple[NetworkInput, ...]
    classes: tuple[str, ...]
    loss: str
    ignored: Mapping[str, tuple[str, ...]]

    @property
    def classifies(self) -> bool:
        """Tell whether classes are learned."""
        return self.loss == "categorical_crossentropy"

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON takes it."""
        raise TypeError(f"{type(self).__name__} does not describe itself")


@dataclass(frozen=True)
class SettingsPlan(Plan):
    """The plan of an engine whose models are settings alone."""

    name: str
    settings: Mapping[str, Any]
    inputs: tuple[NetworkInput, ...]
    classes: tuple[str, ...]
    loss: str
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON takes it."""
        inputs = json.loads(json.dumps([asdict(one) for one in self.inputs]))
        own = {"name": self.name, "settings": dict(self.settings)}
        return {**own, "inputs": inputs, "classes": list(self.classes), "loss": self.loss}

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> SettingsPlan:
        """Return the plan that ``describe`` wrote down."""
        inputs, classes = network_inputs(data["inputs"]), tuple(data["classes"])
        return cls(data["name"], data["settings"], inputs, classes, data["loss"])


class Engine:
    """A library that trains. A plugin brings one through the hook ``hepflow_engines``: name → import string.

    ``IN_EPOCHS``: it has ``fit_epoch`` (the trainer decides when to stop), else ``fit``. ``SCALES``: its inputs have
    offset and scale. ``SEQUENCES``: it takes sequences. ``MISSING``: a missing value (NaN) means something to it.
    ``PACKAGES`` are what must be installed, with the extra of hepflow that has it. ``MODEL`` is the file that ``save``
    writes, ``SOURCE`` the one that ``opened`` reads. ``CONF`` is the top key of Conf files with its settings, if it
    reads such. ``OPTIMISERS``: the trainer's names → those of the library, where it has not all.
    """

    IN_EPOCHS: ClassVar[bool] = False
    SCALES: ClassVar[bool] = False
    SEQUENCES: ClassVar[bool] = False
    MISSING: ClassVar[bool] = False
    PACKAGES: ClassVar[Mapping[str, str]] = {}
    MODEL: ClassVar[str] = ""
    SOURCE: ClassVar[str] = CHECKPOINT
    CONF: ClassVar[str] = ""
    KEYS: ClassVar[Mapping[str, Key]] = {}
    OPTIMISERS: ClassVar[Mapping[str, str]] = {}

    plan: Any
    schedule: Schedule
    learning_rate: float

    @classmethod
    def check(cls) -> None:
        """Raise NetworkError, naming the extra, where the library is not installed."""
        for package, extra in cls.PACKAGES.items():
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise NetworkError(
                    f"this training needs the package {package}, which is not installed",
                    hint=f"pip install 'hepflow[{extra}]' from your checkout",
                ) from error

    @classmethod
    def make_plan(cls, request: Request, inputs: tuple[NetworkInput, ...], declared: TrainingSet) -> Plan:
        """Return what is to be trained; an error where request and training set do not go together."""
        raise TypeError(f"{cls.__name__} plans nothing")

    @classmethod
    def plan_from(cls, description: Mapping[str, Any]) -> Plan:
        """Return the plan that was described."""
        return SettingsPlan.from_description(description)

    def __init__(self, plan: Any, schedule: Schedule, *, deterministic: bool = True) -> None:
        self.plan, self.schedule, self.deterministic = plan, schedule, deterministic

    @classmethod
    def opened(cls, plan: Any, folder: Path) -> Engine:
        """Return the trained model of a trainer's folder, from its checkpoint."""
        made = cls(plan, Schedule())
        made.assign(Checkpoint.load(folder / CHECKPOINT).best)
        return made

    @property
    def parameters(self) -> int:
        """Return the number of trained numbers."""
        return 0

    @property
    def devices(self) -> list[str]:
        """Return the devices that it uses."""
        return ["cpu:0"]

    @classmethod
    def backend(cls) -> str:
        """Return what a training that is continued must have in common, beside plan and schedule."""
        return cls.__name__

    def fit_epoch(self, data: TrainingData, epoch: int, report: Report | None = None) -> dict[str, float]:
        """Train for one epoch (from 0, which decides about the order of the rows); return its numbers: ``loss``, …"""
        raise TypeError(f"{type(self).__name__} does not train in epochs")

    def fit(self, data: TrainingData, report: Report) -> tuple[list[dict[str, float]], int]:
        """Train; return one row of numbers a step (``loss``, ``val_loss``: those of the trainer), as learning curves
        show them, and how many steps the model keeps.
        """
        raise TypeError(f"{type(self).__name__} trains in epochs")

    def predict(self, batch: Batch) -> Floats:
        """Return the outputs (rows, outputs): probabilities of the classes, or numbers."""
        raise TypeError(f"{type(self).__name__} does not predict")

    def answers(self, data: TrainingData, role: str) -> Iterator[Answers]:
        """Yield the outputs of all rows of a role, many at a time, with their labels and weights."""
        for batch in data.batches(role, EVALUATION_BATCH):
            yield self.predict(batch), batch.labels, batch.weights

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return copies of all there is to continue: of the model, and of its optimiser; nothing in it is code."""
        raise TypeError(f"{type(self).__name__} has no state")

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set the model, and its optimiser, to what ``arrays`` returned."""
        raise TypeError(f"{type(self).__name__} has no state")

    def save(self, path: Path) -> None:
        """Write the model under a name that ends as ``MODEL``."""
        raise TypeError(f"{type(self).__name__} does not save")

    def export(self, folder: Path, output: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Write the files that others read; return their names, and why others are not written."""
        raise TypeError(f"{type(self).__name__} exports nothing")

    def importance(self) -> dict[str, float]:
        """Return the gain of each variable, of trees; else nothing."""
        return {}


def engine_of(name: str) -> type[Engine]:
    """Return an engine; PluginError with the nearest names where there is none."""
    found: type[Engine] = registry().load("engines", name)
    return found


def network_inputs(described: Sequence[Mapping[str, Any]]) -> tuple[NetworkInput, ...]:
    """Return inputs from their description."""
    return tuple(
        NetworkInput(i["name"], tuple(i["variables"]), i["cap"], tuple(i["offset"]), tuple(i["scale"]))
        for i in described
    )


def loss_of(declared: TrainingSet) -> str:
    """Return the name of the loss; JobOptionsError where classes and numbers would be learned together."""
    kinds = {bool(one.classes) for one in declared.target}
    if len(kinds) > 1 or (declared.classes and len(declared.target) > 1):
        raise JobOptionsError(
            "one model learns the classes of one target, or numbers: "
            f"{', '.join(one.column for one in declared.target)} are several",
            hint="train one model for each",
        )
    return "categorical_crossentropy" if declared.classes else "mean_squared_error"


def check_settings(engine: str, keys: Mapping[str, Key], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return all settings with checked values; NetworkError for unknown keys and wrong values."""
    for name in given:
        if name not in keys:
            raise NetworkError(
                f"{engine} has no setting {name!r}", where=where, hint=nearest(str(name), keys, what="settings")
            )
    return {name: key.check(name, given.get(name, key.default), where) for name, key in keys.items()}


def flat_names(inputs: Sequence[NetworkInput]) -> tuple[str, ...]:
    """Return the names of all variables of flat inputs; with the group in front where names repeat."""
    names = [name for one in inputs for name in one.variables]
    if len(set(names)) == len(names):
        return tuple(names)
    return tuple(f"{one.name}.{name}" for one in inputs for name in one.variables)


def flat_matrix(inputs: Mapping[str, Floats], plan: Plan) -> Floats:
    """Return the values of all flat inputs, (rows, variables), in the order of the plan."""
    parts = [np.asarray(inputs[one.name], np.float32) for one in plan.inputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
