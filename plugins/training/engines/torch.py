"""PyTorch: a plain ``torch.nn.Module``, the user's own by import string or that of an architecture plugin."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepflow.errors import JobOptionsError, NetworkError
from hepflow.files import write_bytes
from hepflow.plugins.training.architectures.base import Architecture, Key, NetworkInput
from hepflow.plugins.training.configuration import read_arch
from hepflow.plugins.training.engines.base import (
    Arrays,
    Engine,
    Floats,
    Report,
    Request,
    Schedule,
    SettingsPlan,
    check_settings,
    loss_of,
)
from hepflow.plugins.training.engines.onnx import write_described
from hepflow.plugins.training.engines.progress import Progress
from hepflow.registry.manager import registry
from hepflow.trainingset import TrainingSet

if TYPE_CHECKING:
    from hepflow.plugins.training.data import Batch, TrainingData

__all__ = ["TorchEngine"]

DEFAULT = "TorchDense"
OPSET = 17
ROWS = 3
"""Rows that a module is tried with."""
HELD_BYTES = 2**30
"""A training set of flat inputs up to this size is held in memory; on a GPU one up to ``SHARE`` of what is free."""
SHARE = 0.6
STEPS = 64
"""Losses are looked at after so many steps, for each look waits for the device."""


class TorchEngine(Engine):
    """A ``torch.nn.Module``: its outputs are logits (or their log-softmax) of the classes, or numbers.

    ``Architecture`` is an import string (``package.module:Net``), called with the setting ``arguments``, or the name of
    an architecture of PyTorch. A module of one flat input gets its tensor (rows, variables), any other a keyword a
    group, and ``<group>_mask`` of sequences. Inputs are scaled before, so that offset and scale travel with the model.
    ``schedule``: ``plateau`` is that of the trainer, ``cosine`` goes from the learning rate to 0 and back in twice
    ``t_max`` batches.
    """

    IN_EPOCHS: ClassVar[bool] = True
    SCALES: ClassVar[bool] = True
    SEQUENCES: ClassVar[bool] = True
    PACKAGES: ClassVar[Mapping[str, str]] = {"torch": "torch"}
    MODEL: ClassVar[str] = "weights.npz"
    KEYS: ClassVar[Mapping[str, Key]] = {
        "schedule": Key("plateau", choices=("plateau", "cosine")),
        "t_max": Key(20),
        "weight_decay": Key(0.0, number=True),
    }

    OPTIMISERS: ClassVar[Mapping[str, str]] = {
        "adam": "Adam",
        "nadam": "NAdam",
        "adamw": "AdamW",
        "adamax": "Adamax",
        "sgd": "SGD",
        "rmsprop": "RMSprop",
    }

    module: Any
    _held: list[Any] | None = None

    @classmethod
    def make_plan(cls, request: Request, inputs: tuple[NetworkInput, ...], declared: TrainingSet) -> SettingsPlan:
        """Return the plan of a module; it is built and exported once, to tell what does not fit before it trains."""
        given = {name: value for name, value in request.settings.items() if name != "arguments"}
        settings = check_settings("torch", cls.KEYS, given, request.where)
        name = request.architecture or (read_arch(request.arch)[0] if request.arch is not None else DEFAULT)
        outputs = declared.outputs
        if ":" in name:
            settings["arguments"] = dict(request.settings.get("arguments", {}))
        else:
            kind: Architecture = registry().load("architectures", name)()
            if kind.LIBRARY != "torch":
                raise JobOptionsError(
                    f"the architecture {name} is of {kind.LIBRARY}, not of torch", where=request.where,
                    hint='set Engine = "keras", or name a torch.nn.Module: package.module:Net',
                )  # fmt: skip
            arch = read_arch(request.arch)[1] if request.arch is not None else None
            settings["arch"] = kind.resolve(arch, inputs, outputs, where=str(request.arch or name))
        plan = SettingsPlan(name, settings, inputs, outputs, loss_of(declared))
        cls.check()
        _try_export(_build(plan), plan)
        return plan

    def __init__(self, plan: SettingsPlan, schedule: Schedule, *, deterministic: bool = True) -> None:
        import torch

        super().__init__(plan, schedule, deterministic=deterministic)
        if deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(schedule.seed)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.module = _build(plan).to(self.device)
        made = getattr(torch.optim, self.OPTIMISERS[schedule.optimiser])
        decay = float(plan.settings["weight_decay"])
        self._optimiser = made(self.module.parameters(), lr=schedule.learning_rate, weight_decay=decay)
        self._scaling = [
            tuple(torch.tensor(values, dtype=torch.float32, device=self.device) for values in (one.offset, one.scale))
            for one in plan.inputs
        ]

    @property
    def learning_rate(self) -> float:
        """The learning rate that the next epoch begins with."""
        return float(self._optimiser.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = value

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(one.numel() for one in self.module.parameters())

    @property
    def devices(self) -> list[str]:
        """Return the device."""
        return [f"{self.device}:0"]

    @classmethod
    def backend(cls) -> str:
        """Return the library."""
        return "torch"

    def _scaled(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Return scaled inputs on the device."""
        return [
            (_tensor(inputs[one.name], self.device) + offset) * scale
            for one, (offset, scale) in zip(self.plan.inputs, self._scaling, strict=True)
        ]

    def _tensors(self, batch: Batch) -> tuple[list[Any], dict[str, Any]]:
        """Return scaled inputs and masks on the device."""
        return self._scaled(batch.inputs), {name: _tensor(mask, self.device) for name, mask in batch.masks.items()}

    def _hold(self, data: TrainingData) -> list[Any]:
        """Return the training set as tensors on the device: inputs, scaled, then labels and weights; empty where it is
        not held.
        """
        import torch

        if self._held is None:
            room = SHARE * torch.cuda.mem_get_info()[0] if self.device == "cuda" else HELD_BYTES
            self._held = []
            if not data.caps and data.nbytes("train") <= room:
                rows = data.everything("train")
                self._held = [
                    *self._scaled(rows.inputs),
                    *(_tensor(x, self.device) for x in (rows.labels, rows.weights)),
                ]
        return self._held

    def _steps(self, data: TrainingData, epoch: int) -> Iterator[tuple[list[Any], dict[str, Any], Any, Any]]:
        """Yield inputs, masks, labels and weights of each step of an epoch."""
        import torch

        size, seed = self.schedule.batch_size, self.schedule.seed
        held = self._hold(data)
        if held:
            order = torch.from_numpy(data.order("train", shuffle_seed=seed, epoch=epoch)).to(self.device)
            for rows in order.split(size):
                *values, labels, weights = (array.index_select(0, rows) for array in held)
                yield values, {}, labels, weights
            return
        for batch in data.batches("train", size, shuffle_seed=seed, epoch=epoch):
            labels, weights = (_tensor(x, self.device) for x in (batch.labels, batch.weights))
            yield *self._tensors(batch), labels, weights

    def fit_epoch(self, data: TrainingData, epoch: int, report: Report | None = None) -> dict[str, float]:
        """Train for one epoch; the loss is the weighted mean while the network learns."""
        import torch

        torch.manual_seed(self.schedule.seed * 1_000_003 + epoch)  # dropout: the same after a resume
        self.module.train()
        rate = self.learning_rate
        done = epoch * -(-data.size("train") // self.schedule.batch_size)
        progress = Progress(data.size("train"), epoch, self.schedule.epochs, report)
        waiting: list[tuple[int, Any, Any]] = []
        for number, (values, masks, labels, weights) in enumerate(self._steps(data, epoch)):
            if self.plan.settings["schedule"] == "cosine":
                turn = math.pi * (done + number) / int(self.plan.settings["t_max"])
                self.learning_rate = self.schedule.learning_rate * (1 + math.cos(turn)) / 2
            self._optimiser.zero_grad(set_to_none=True)
            found = _call(self.module, self.plan, values, masks)
            loss = (weights * _losses(found, labels, classifies=self.plan.classifies)).mean()
            loss.backward()
            self._optimiser.step()
            waiting.append((len(weights), loss.detach(), weights.sum()))
            if len(waiting) == STEPS:
                if not progress.add(*_sums(waiting)):
                    return progress.row(rate)
                waiting = []
        if waiting:
            progress.add(*_sums(waiting))
        return progress.row(rate)

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities, or numbers."""
        import torch

        self.module.eval()
        with torch.no_grad():
            found = _answers(_call(self.module, self.plan, *self._tensors(batch)), classifies=self.plan.classifies)
        result: Floats = found.cpu().numpy()
        return result

    def arrays(self) -> tuple[Arrays, Arrays]:
        """Return the module's state, and that of the optimiser: of each parameter in turn, and the learning rate."""
        held = [value.detach().cpu().numpy().copy() for value in self.module.state_dict().values()]
        state = self._optimiser.state_dict()["state"]
        flat = [np.asarray(value) for _, one in sorted(state.items()) for _, value in sorted(one.items())]
        return held, [np.array([self.learning_rate]), *(array.copy() for array in flat)]

    def assign(self, model: Arrays, optimiser: Arrays | None = None) -> None:
        """Set module and optimiser; NetworkError where the weights are of another module."""
        import torch

        own = self.module.state_dict()
        if [tuple(value.shape) for value in own.values()] != [array.shape for array in model]:
            raise NetworkError("the weights are of another network", where=self.plan.name)
        new = {name: torch.from_numpy(array.copy()) for name, array in zip(own, model, strict=True)}
        self.module.load_state_dict(new)
        if optimiser:
            self._resume(optimiser)

    def _resume(self, optimiser: Arrays) -> None:
        """Set the optimiser: its state has the same names for each parameter, which a step with no gradient makes."""
        import torch

        for parameter in self.module.parameters():
            parameter.grad = torch.zeros_like(parameter)
        before = {name: value.clone() for name, value in self.module.state_dict().items()}
        self._optimiser.step()
        self.module.load_state_dict(before)
        self.learning_rate = float(optimiser[0][0])
        held = self._optimiser.state_dict()
        rest = iter(optimiser[1:])
        for _, one in sorted(held["state"].items()):
            for name in sorted(one):
                value = next(rest)
                one[name] = torch.from_numpy(value.copy()) if torch.is_tensor(one[name]) else value.item()
        self._optimiser.load_state_dict(held)

    def save(self, path: Path) -> None:
        """Write the weights by name, as arrays: nothing in the file is code."""
        held = {name: value.detach().cpu().numpy() for name, value in self.module.state_dict().items()}
        buffer = io.BytesIO()
        np.savez(buffer, **held)
        write_bytes(path, buffer.getvalue())

    def export(self, folder: Path, output: str, record: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, str]]:
        """Write ONNX: scaling, module and softmax; a sequence goes in with its counts."""
        import torch

        name = "model.onnx"
        content = _onnx(self.module.cpu().eval(), self.plan, output)
        self.module.to(self.device)
        write_described(content, folder / name, self.plan, output, record, f"PyTorch {torch.__version__}")
        return (name,), {}


def _sums(steps: Sequence[tuple[int, Any, Any]]) -> tuple[tuple[int, ...], Floats, Floats]:
    """Return the rows, the losses and the weights of steps."""
    import torch

    rows, losses, weights = zip(*steps, strict=True)
    return rows, *(torch.stack(one).cpu().numpy().astype(np.float64) for one in (losses, weights))


def _tensor(values: Any, device: str) -> Any:
    """Return an array on the device; one that is only lent is copied, as PyTorch has no tensors that are read alone."""
    import torch

    return torch.from_numpy(np.require(values, requirements="W")).to(device)


def _build(plan: SettingsPlan) -> Any:
    """Return the module, tried with some rows."""
    import torch

    if ":" not in plan.name:
        kind: Architecture = registry().load("architectures", plan.name)()
        module = kind.build(plan.inputs, plan.classes, plan.settings["arch"])
    else:
        where, _, attribute = plan.name.partition(":")
        try:
            made = getattr(importlib.import_module(where), attribute)
        except (ImportError, AttributeError) as error:
            raise JobOptionsError(
                f"the module {plan.name!r} cannot be imported: {error}",
                hint="Architecture is package.module:Class; its folder must be on PYTHONPATH",
            ) from error
        module = made if isinstance(made, torch.nn.Module) or not callable(made) else _made(made, plan)
    if not isinstance(module, torch.nn.Module):
        raise JobOptionsError(f"{plan.name!r} is no torch.nn.Module, but a {type(module).__name__}")
    if not any(one.requires_grad for one in module.parameters()):
        raise NetworkError(f"the module {plan.name} has no parameters to train")
    _try(module, plan)
    return module


def _made(made: Any, plan: SettingsPlan) -> Any:
    """Return what the user's class or function makes with its arguments."""
    arguments = plan.settings["arguments"]
    try:
        return made(**arguments)
    except TypeError as error:
        raise JobOptionsError(
            f"{plan.name!r} cannot be made with the arguments {arguments}: {error}",
            hint='Settings={"arguments": {…}} are those of the class',
        ) from error


def _try(module: Any, plan: SettingsPlan) -> None:
    """Raise NetworkError for a module that does not take the inputs, gives other outputs, or answers a row by others or
    at random.
    """
    import torch

    values, masks = _trial(plan)
    try:
        with torch.no_grad():
            found = _call(module.eval(), plan, values, masks)
            rows = [
                _call(module, plan, [x[k : k + 1] for x in values], {name: m[k : k + 1] for name, m in masks.items()})
                for k in range(ROWS)
            ]
    except Exception as error:  # whatever the user's module raises
        raise NetworkError(
            f"the module {plan.name} does not take inputs of the shapes "
            f"{', '.join(str(tuple(one.shape)) for one in values)}: {error}",
            where=plan.name,
        ) from error
    wanted = [(ROWS, len(plan.classes)), *([(ROWS, 1)] if plan.classifies and len(plan.classes) == 2 else [])]
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
    if shape not in wanted:
        raise NetworkError(f"the module {plan.name} answers {ROWS} rows with {shape}, not with {wanted[0]}")
    if not torch.allclose(found, torch.cat(rows), rtol=1e-3, atol=1e-5, equal_nan=True):
        raise NetworkError(
            f"the module {plan.name} answers a row by the other rows of the batch, or at random, after training, too",
            hint="torch.nn.Dropout and BatchNorm know eval(), their functions do not; no sums over the first axis",
        )


def _trial(plan: SettingsPlan) -> tuple[list[Any], dict[str, Any]]:
    """Return made-up inputs and masks of a few rows, the same each time."""
    import torch

    rng = torch.Generator().manual_seed(1)
    shapes = [(ROWS, *(() if one.cap is None else (one.cap,)), len(one.variables)) for one in plan.inputs]
    masks = {one.name: torch.ones(ROWS, one.cap, dtype=torch.bool) for one in plan.inputs if one.cap is not None}
    return [torch.randn(shape, generator=rng) for shape in shapes], masks


def _try_export(module: Any, plan: SettingsPlan) -> None:
    """Raise NetworkError where PyTorch cannot export a module, or what it exports answers otherwise."""
    import onnxruntime
    import torch

    values, masks = _trial(plan)
    scaled = [
        (x + torch.tensor(one.offset)) * torch.tensor(one.scale) for x, one in zip(values, plan.inputs, strict=True)
    ]
    content = _onnx(module.eval(), plan, "classes")
    given = {one.name: x.numpy() for one, x in zip(plan.inputs, values, strict=True)}
    given |= {f"{name}_counts": mask.sum(dim=1).numpy() for name, mask in masks.items()}
    with torch.no_grad():
        wanted = _answers(_call(module, plan, scaled, masks), classifies=plan.classifies).numpy()
    try:
        (found,) = onnxruntime.InferenceSession(content).run(None, given)
        wrong = "" if np.allclose(found, wanted, rtol=1e-3, atol=1e-4, equal_nan=True) else "it answers otherwise"
    except Exception as error:  # of a class that ONNX Runtime does not name
        wrong = str(error).strip().splitlines()[0][:200]
    if wrong:
        raise NetworkError(
            f"the module {plan.name} as ONNX is not what it is in PyTorch: {wrong}",
            hint="use layers and operations that ONNX has, without branches on values and without numpy",
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep standard output empty: PyTorch's exporter, where it fails, prints its graph from C++."""
    sys.stdout.flush()
    held = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(held, 1)
        os.close(held)


def _call(module: Any, plan: SettingsPlan, values: list[Any], masks: Mapping[str, Any]) -> Any:
    if len(plan.inputs) == 1 and not masks:
        return module(values[0])
    named = {one.name: value for one, value in zip(plan.inputs, values, strict=True)}
    return module(**named, **{f"{name}_mask": mask for name, mask in masks.items()})


def _logits(found: Any) -> Any:
    """Return one logit a class; of a single one for two classes, 0 for the first."""
    import torch

    return torch.cat([torch.zeros_like(found), found], dim=1) if found.shape[1] == 1 else found


def _losses(found: Any, labels: Any, *, classifies: bool) -> Any:
    """Return the loss of each row."""
    import torch

    if classifies:
        return torch.nn.functional.cross_entropy(_logits(found), labels, reduction="none")
    return ((found - labels) ** 2).mean(dim=1)


def _answers(found: Any, *, classifies: bool) -> Any:
    import torch

    return torch.softmax(_logits(found), dim=1) if classifies else found


def _onnx(module: Any, plan: SettingsPlan, output: str) -> bytes:
    """Return the ONNX of scaling, module and softmax; NetworkError where PyTorch cannot export the module. What depends
    on values in Python becomes a constant, which ``_try_export`` notices.
    """
    import tempfile
    import warnings

    import torch

    sequences = [one for one in plan.inputs if one.cap is not None]

    class Whole(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *tensors: Any) -> Any:
            values, counts = tensors[: len(plan.inputs)], tensors[len(plan.inputs) :]
            scaled = [
                (x + torch.tensor(one.offset, dtype=torch.float32)) * torch.tensor(one.scale, dtype=torch.float32)
                for x, one in zip(values, plan.inputs, strict=True)
            ]
            masks = {
                one.name: torch.arange(scaled[plan.inputs.index(one)].shape[1])[None, :] < number[:, None]
                for one, number in zip(sequences, counts, strict=True)
            }
            return _answers(_call(self.inner, plan, scaled, masks), classifies=plan.classifies)

    shapes = [(2, *(() if one.cap is None else (one.cap,)), len(one.variables)) for one in plan.inputs]
    names = [*(one.name for one in plan.inputs), *(f"{one.name}_counts" for one in sequences)]
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*names, output)}
    for one in sequences:
        axes[one.name][1] = f"{one.name}_objects"
    arguments = [*(torch.zeros(shape) for shape in shapes), *(torch.full((2,), one.cap or 0) for one in sequences)]
    try:
        with _quiet(), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs nothing else is called the legacy one
            torch.onnx.export(
                Whole().eval(), tuple(arguments), f"{folder}/model.onnx", dynamo=False, opset_version=OPSET,
                input_names=names, output_names=[output], dynamic_axes=axes,
            )  # fmt: skip
            return Path(folder, "model.onnx").read_bytes()
    except Exception as error:  # whatever the exporter raises
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NetworkError(
            f"PyTorch cannot export the module {plan.name} as ONNX: {first[:300]}",
            hint="use layers and operations that ONNX has, without branches on values and without numpy",
        ) from error
