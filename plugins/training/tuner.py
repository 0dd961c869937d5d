"""The tuner: searches for a better network with Optuna, stopping trials that are worse than the median."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hepflow import Context, Job, Property, Tool
from hepflow.errors import JobOptionsError, ToolError, nearest
from hepflow.files import sha256, write_text
from hepflow.plugins.training import figures
from hepflow.plugins.training.architectures import base
from hepflow.plugins.training.architectures.base import NetworkInput
from hepflow.plugins.training.configuration import NetworkPlan
from hepflow.plugins.training.data import TrainingData
from hepflow.plugins.training.engines.base import Plan, Request, Schedule, engine_of
from hepflow.plugins.training.engines.keras import default_architecture
from hepflow.plugins.training.fitting import DivergedError, State, fit
from hepflow.plugins.training.source import Source, check_folder, given_files, needed, unscaled
from hepflow.plugins.training.space import SearchRange, suggest_all
from hepflow.plugins.training.trainer import OPTIMISERS, Trainer, write_json
from hepflow.registry.manager import registry
from hepflow.trainingset import TrainingSet as Declared
from hepflow.versions import versions

__all__ = ["Tuner"]

SETTINGS = {"Optimiser": "optimiser", "LearningRate": "learning_rate", "BatchSize": "batch_size"}
"""Settings of the training that a search space may have beside the keys of the architecture → their name inside."""
SHOWN = 8


class Tuner(Tool):
    """Search for the settings with the smallest validation loss; the test folds are never looked at.

    ``Space`` has keys of the architecture's file (or settings of the engine), for all inputs (``n_inputs``) or one
    (``n_inputs.NeutralPFO``), and Optimiser, LearningRate or BatchSize. Trials that are worse than the median at the
    same epoch are stopped. ``Storage`` keeps all trials: an interrupted search continues, and several runs with the
    same file share the work, until there are ``Trials`` in total. Writes ``trials.csv``, figures, ``best.json``,
    whose ``properties`` are those of a trainer, and ``best.yaml``: of Keras an Arch file for it, of boosted trees a
    Conf file. Its result has the best value and settings.
    """

    Dataset = Property("dataset", "stream that writes the training set, or the path of its file (.h5)")
    TrainingSet: Property[Any] = Property(
        None, "as declared, for the roles of the folds; by default what Dataset says of itself", type=Declared
    )
    Normaliser = Property("Normaliser", "tool that measures offsets and scales, or the path of a variables.json")
    Reweighter = Property("", "tool that measures factors for the weights; empty: none")
    OutputName = Property("tuning", "folder in the run directory")
    Engine = Property("keras", "library that trains (hepflow list engines)")
    Architecture = Property(
        "", "name of the architecture; empty: the engine's own, of keras DSNN, without sequences Dense"
    )
    Settings: Property[dict[str, Any]] = Property({}, "settings of the engine that are not searched", item=object)
    ConfFile = Property("", "Conf file with settings that are not searched, of boosted trees (BDT: …)", file=True)
    Sampler = Property("tpe", "how the space is searched; grid: every combination of Choices", choices=("tpe", "grid"))
    Space: Property[dict[str, SearchRange]] = Property({}, "key → Int, Float, Choice or Layers", item=SearchRange)
    Trials = Property(20, "number of trials, of all runs that share the storage", minimum=1)
    Executions = Property(2, "trainings of each trial, with other seeds; their mean loss counts", minimum=1)
    Epochs = Property(20, "most epochs of a training", minimum=1)
    Patience = Property(10, "stop a training after this many epochs without improvement", minimum=1)
    Optimiser = Property("adam", "optimiser, unless Space has it", choices=OPTIMISERS)
    LearningRate = Property(1e-3, "learning rate at the start, unless Space has it", minimum=0)
    BatchSize = Property(200, "rows of a training step, unless Space has it", minimum=1)
    Seed = Property(42, "seed of the search and of the first training of each trial", minimum=0)
    Storage = Property("", "file that keeps the trials, or an SQL address; empty: one in the run directory")

    def data_files(self) -> dict[str, str]:
        """Return training set and normalisation where they are files."""
        return super().data_files() | given_files(self)

    def needs(self) -> list[str]:
        """Return the stream and the tools that the training set, its numbers and factors come from."""
        return needed(self)

    def check(self, job: Job) -> None:
        """See that the space fits architecture and training set, and that library and Optuna are there."""
        engine_of(self.Engine).check()
        if self.ConfFile and not engine_of(self.Engine).CONF:
            raise JobOptionsError(
                f"{self.name}.ConfFile has no effect on {self.Engine}", hint="set Epochs, Patience, …"
            )
        _open_optuna()
        declared = Source.declared(self, job)
        self._check_one(len(declared.folds))
        check_folder(self, job, Trainer, Tuner)
        self._check_space(unscaled(declared))
        if self.Engine != "keras":
            engine_of(self.Engine).make_plan(self._request({}), unscaled(declared), declared)

    def finalize(self, total: Any, context: Context) -> dict[str, Any]:
        """Search; see the class."""
        optuna = _open_optuna()
        folder = context.path(self.OutputName)
        folder.mkdir(exist_ok=True)
        source, *others = Source.find(self, context)
        self._check_one(1 + len(others))
        with source.open() as data:
            data.check_weights()
            inputs = source.inputs(data)
            study = self._study(optuna, folder, {"inputs": [asdict(i) for i in inputs], **source.identity(data)})

            def objective(trial: Any) -> float:
                return self._trial(optuna, trial, inputs, data, context)

            finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
            enough = optuna.study.MaxTrialsCallback(self.Trials, states=finished)
            if len(study.get_trials(deepcopy=False, states=finished)) < self.Trials:
                study.optimize(objective, callbacks=[enough])
        complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        if not complete:
            raise ToolError("no trial came to its end", hint="see trials.csv; try smaller learning rates")
        return self._write(study, folder, inputs, source, context)

    def _check_one(self, networks: int) -> None:
        if networks > 1:
            raise JobOptionsError(
                f"{self.name} tunes one model, the training set has the folds of {networks}",
                hint="tune with one entry in Folds; kfold then trains networks with what was found",
            )

    def _architecture(self, inputs: Sequence[NetworkInput]) -> base.Architecture:
        """Return the architecture of Keras."""
        name = self.Architecture or default_architecture(inputs)
        found: base.Architecture = registry().load("architectures", name)()
        return found

    def _request(self, values: Mapping[str, Any]) -> Request:
        """Return what is asked of an engine: its settings, with those of a trial."""
        conf = Path(self.ConfFile) if self.ConfFile else None
        return Request(self.Architecture, conf, settings={**self.Settings, **values}, where=self.name)

    def _check_space(self, inputs: tuple[NetworkInput, ...]) -> None:
        """Refuse keys that neither the architecture (or engine) nor the training has."""
        if not self.Space:
            raise JobOptionsError(f"{self.name} has nothing to search for", hint="set Space")
        names = [i.name for i in inputs]
        engine = engine_of(self.Engine)
        keys = self._architecture(inputs).KEYS if self.Engine == "keras" else engine.KEYS
        known = (*keys, *(SETTINGS if engine.IN_EPOCHS else ()))
        if self.Sampler == "grid" and (wrong := [n for n, kind in self.Space.items() if not hasattr(kind, "values")]):
            raise JobOptionsError(f"{self.name}.Space: {wrong[0]} is no Choice, of which a grid is made")
        for name in self.Space:
            key, dot, one = name.partition(".")
            if key not in known and keys:
                raise JobOptionsError(
                    f"{self.name}.Space: {self.Architecture or self.Engine} has no key {key!r}",
                    hint=nearest(key, known, what="keys"),
                )
            if dot and one not in names:
                raise JobOptionsError(
                    f"{self.name}.Space: there is no input {one!r}", hint=nearest(one, names, what="inputs")
                )

    def _study(self, optuna: Any, folder: Path, made_from: Mapping[str, Any]) -> Any:
        """Open the storage, or go on with what it has; JobOptionsError where that is another search."""
        storage: Any = self.Storage
        if "://" not in storage:
            path = Path(storage) if storage else folder / "trials.journal"
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = optuna.storages.journal.JournalFileOpenLock(str(path))
            storage = optuna.storages.JournalStorage(
                optuna.storages.journal.JournalFileBackend(str(path), lock_obj=lock)
            )
        study = optuna.create_study(
            study_name=self.name,
            storage=storage,
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(),
        )
        done = len(study.get_trials(deepcopy=False))
        if self.Sampler == "grid":
            grid = {name: list(kind.values) for name, kind in self.Space.items()}  # type: ignore[attr-defined]
            study.sampler = optuna.samplers.GridSampler(grid, seed=self.Seed)
        else:
            study.sampler = optuna.samplers.TPESampler(seed=self.Seed + done)
        identity = {
            "engine": self.Engine,
            "architecture": self.Architecture,
            "settings": self.Settings,
            "space": {name: repr(kind) for name, kind in self.Space.items()},
            "epochs": self.Epochs,
            "executions": self.Executions,
            **({"conf": sha256(Path(self.ConfFile))} if self.ConfFile else {}),
            **made_from,
        }
        earlier = study.user_attrs.get("identity")
        text = repr(identity)
        if earlier is not None and earlier != text:
            raise JobOptionsError(
                "the storage has trials of another search",
                where=self.Storage or str(folder),
                hint=f"use another {'Storage' if self.Storage else 'OutputName'}; --resume keeps the training set",
            )
        study.set_user_attr("identity", text)
        return study

    def _trial(
        self,
        optuna: Any,
        trial: Any,
        inputs: tuple[NetworkInput, ...],
        data: TrainingData,
        context: Context,
    ) -> float:
        """Train the network of a trial and return its mean loss."""
        plan, schedule = self._settings(trial, inputs, data)
        losses = []
        for number in range(self.Executions):
            now = replace(schedule, seed=self.Seed + number)
            engine = engine_of(self.Engine)(plan, now)

            def after_epoch(state: State, before: int = number * self.Epochs) -> None:
                if not engine_of(self.Engine).IN_EPOCHS:
                    return  # it is done
                trial.report(state.history[-1].get("val_loss", state.best_loss), before + state.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

            try:
                losses.append(fit(engine, data, now, plan.loss, after_epoch=after_epoch).best_loss)
            except (optuna.TrialPruned, DivergedError) as error:
                what = "stopped early" if isinstance(error, optuna.TrialPruned) else "diverged"
                context.log.info("trial %d: %s", trial.number, what)
                raise optuna.TrialPruned from None
        trial.set_user_attr("parameters", engine.parameters)
        value = sum(losses) / len(losses)
        context.log.info("trial %d: val_loss %.4f, %d parameters", trial.number, value, engine.parameters)
        return value

    def _settings(self, trial: Any, inputs: tuple[NetworkInput, ...], data: TrainingData) -> tuple[Plan, Schedule]:
        """Return model and schedule of a trial: the architecture's defaults with what the trial suggests."""
        values = suggest_all(self.Space, trial, [i.name for i in inputs])
        settings = {inside: values.pop(name, getattr(self, name)) for name, inside in SETTINGS.items()}
        schedule = Schedule(epochs=self.Epochs, patience=self.Patience, **settings)
        if self.Engine != "keras":
            return engine_of(self.Engine).make_plan(self._request(values), inputs, data.declared), schedule
        architecture = self._architecture(inputs)
        given = architecture.defaults(inputs)
        for key, value in values.items():
            given[key] = {**given[key], **value} if isinstance(value, Mapping) and key in given else value
        classes = data.declared.outputs
        config = architecture.resolve(given, inputs, classes, where=f"trial {trial.number}")
        return NetworkPlan(
            self.Architecture or default_architecture(inputs), architecture, config, inputs, classes
        ), schedule

    def _write(
        self,
        study: Any,
        folder: Path,
        inputs: tuple[NetworkInput, ...],
        source: Source,
        context: Context,
    ) -> dict[str, Any]:
        """Write table, figures and the best network."""
        import yaml

        best = study.best_trial
        with source.open() as data:
            plan, schedule = self._settings(_Frozen(best), inputs, data)
        _write_table(study, folder / "trials.csv")
        figures.trials(
            [{"number": t.number, "value": t.value, "state": t.state.name, **t.params} for t in study.trials],
            folder / "trials",
            figures.style_of(context),
        )
        described = plan.describe()
        config = described.get("config", described.get("settings"))
        epochs = engine_of(self.Engine).IN_EPOCHS
        properties = {name: asdict(schedule)[inside] for name, inside in SETTINGS.items() if epochs}
        top = plan.name if self.Engine == "keras" else engine_of(self.Engine).CONF
        if not top:
            found = suggest_all(self.Space, _Frozen(best), [i.name for i in inputs])
            own = {name: value for name, value in found.items() if name not in SETTINGS}
            properties["Settings"] = {**self.Settings, **own}
        result = {"value": best.value, "trial": best.number, "properties": properties, "config": config}
        write_json(folder / "best.json", {**result, "versions": versions()})
        if top:
            text = yaml.safe_dump({top: config}, sort_keys=False, default_flow_style=None)
            write_text(folder / "best.yaml", text)
        ranked = sorted((t for t in study.trials if t.state.name == "COMPLETE"), key=lambda t: t.value)[:SHOWN]
        for t in ranked:
            context.log.info("val_loss %.4f  trial %3d  %s", t.value, t.number, t.params)
        context.log.info("%d trials, best: trial %d, val_loss %.4f", len(study.trials), best.number, best.value)
        return result


class _Frozen:
    """A finished trial that suggests what it had."""

    def __init__(self, trial: Any) -> None:
        self.number, self._params = trial.number, trial.params

    def suggest_int(self, name: str, *_: Any, **__: Any) -> Any:
        return self._params[name]

    suggest_float = suggest_categorical = suggest_int


def _open_optuna() -> Any:
    """Return optuna, quiet; ToolError, naming the extra, where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ToolError(
            "tuning needs the package optuna", hint="pip install 'hepflow[train]' from your checkout"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _write_table(study: Any, path: Path) -> None:
    """Write one row a trial: number, state, loss, seconds, and every parameter."""
    names = list(dict.fromkeys(name for trial in study.trials for name in trial.params))
    text = io.StringIO()
    rows = csv.DictWriter(text, ["trial", "state", "val_loss", "seconds", "parameters", *names], lineterminator="\n")
    rows.writeheader()
    for trial in study.trials:
        seconds = trial.duration.total_seconds() if trial.duration is not None else None
        own = {"trial": trial.number, "state": trial.state.name, "val_loss": trial.value, "seconds": seconds}
        rows.writerow({**own, "parameters": trial.user_attrs.get("parameters"), **trial.params})
    write_text(path, text.getvalue())
