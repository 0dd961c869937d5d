"""The trainer: from a training set to trained models of any engine, with curves, numbers and how they were made."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hepflow import Context, Job, Property, Tool
from hepflow.errors import HepflowError, JobOptionsError, NetworkError, listed
from hepflow.files import replacing, sha256, write_bytes
from hepflow.folds import ROLES, Folds
from hepflow.plugins.training import figures
from hepflow.plugins.training.checkpoint import CHECKPOINT, RESUMES, Checkpoint
from hepflow.plugins.training.configuration import read_conf
from hepflow.plugins.training.data import TrainingData
from hepflow.plugins.training.engines.base import Engine as Library
from hepflow.plugins.training.engines.base import Plan, Request, Schedule, engine_of
from hepflow.plugins.training.fitting import Evaluation, State, evaluate, fit
from hepflow.plugins.training.report import make_report
from hepflow.plugins.training.source import Source, check_folder, given_files, needed, unscaled
from hepflow.trainingset import TrainingSet as Declared
from hepflow.versions import versions

__all__ = ["CONFIGURATION", "OPTIMISERS", "SUMMARY", "Trainer"]

SUMMARY, CONFIGURATION, REPORT = "summary.json", "configuration.json", "report.json"
OPTIMISERS = ("adam", "nadam", "adamw", "adamax", "adagrad", "rmsprop", "sgd", "lion")
OF_EPOCHS = (
    "Optimiser", "LearningRate", "BatchSize", "Epochs", "ReduceFactor", "ReducePatience", "MinLearningRate",
)  # fmt: skip
"""Properties that mean something to engines that train in epochs."""


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, which has no NaN, in one step."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode(), hint=RESUMES)


class Trainer(Tool):
    """Train models with any engine and keep the weights of the epoch with the smallest validation loss.

    ``Engine`` is the library: keras, torch, xgboost, lightgbm, sklearn, or what a plugin brings. It only finalizes:
    after the event loop it opens the file of a DatasetStream and trains on the training folds; the test folds are not
    looked at, unless ``Report`` names them. Into its folder of the run directory it writes the model (``model.keras``,
    after each better epoch), ``checkpoint.npz`` (after each epoch), ``log.csv``, learning curves, the confusion matrix
    of the validation rows, the training report (``report.json`` and its figures: ROC curves, scores, calibration,
    importance of the variables, correlations), ``configuration.json`` and ``summary.json``. ``--resume`` continues at
    the checkpoint, also for more epochs, and gives the same weights as a training without interruption; a training with
    other settings is kept as ``network-1``. Each of several models (``kfold``) has a subfolder: 0, 1, …. Properties
    override the Conf file, which overrides the defaults. Its result has, for each model, the folder, the best epoch and
    its loss.
    """

    Dataset = Property("dataset", "stream that writes the training set, or the path of its file (.h5)")
    TrainingSet: Property[Any] = Property(
        None, "as declared, for the roles of the folds; by default what Dataset says of itself", type=Declared
    )
    Normaliser = Property("Normaliser", "tool that measures offsets and scales, or the path of a variables.json")
    Reweighter = Property("", "tool that measures factors for the weights; empty: none")
    OutputName = Property("network", "folder in the run directory")
    Engine = Property("keras", "library that trains (hepflow list engines)")
    Settings: Property[dict[str, Any]] = Property({}, "settings of the engine, by its names", item=object)
    Architecture = Property(
        "",
        "architecture (torch: or package.module:Net, sklearn: estimator); empty: that of the files, else DSNN or Dense",
    )
    ConfFile = Property("", "YAML file with settings and the name of an Arch file", file=True)
    ArchFile = Property("", "YAML file with the architecture; empty: that of ConfFile, else its defaults", file=True)
    Optimiser = Property("adam", "optimiser", choices=OPTIMISERS)
    LearningRate = Property(1e-3, "learning rate at the start", minimum=0)
    BatchSize = Property(1000, "rows of a training step", minimum=1)
    Epochs = Property(100, "most epochs", minimum=1)
    Patience = Property(10, "stop after this many epochs (or trees) without improvement; 0: never", minimum=0)
    MinDelta = Property(1e-4, "a validation loss smaller by this is an improvement", minimum=0)
    ReduceFactor = Property(0.4, "factor for the learning rate without improvement", minimum=0, maximum=1)
    ReducePatience = Property(3, "lower the learning rate after this many epochs without improvement", minimum=1)
    MinLearningRate = Property(4e-6, "smallest learning rate", minimum=0)
    Seed = Property(42, "seed of first weights, shuffling and dropout", minimum=0)
    Deterministic = Property(True, "use operations that repeat bitwise, for one number of threads")
    Report = Property(
        ("train", "validation"), "roles that the training report shows; test only where named; empty: no report",
        choices=ROLES, item=str,
    )  # fmt: skip
    Verbose = Property(1, "1: report every ten seconds; 2: every epoch; 0: the end", choices=(0, 1, 2))

    def freeze(self) -> None:
        """Set ArchFile to the file that the Conf file names, so that it counts as a file of this tool for --resume."""
        if self.ConfFile and not self.ArchFile:
            with suppress(HepflowError):  # check tells what is wrong with the Conf file
                self.ArchFile = str(read_conf(Path(self.ConfFile)).arch or "")
        super().freeze()

    def data_files(self) -> dict[str, str]:
        """Return the files of settings, and training set and normalisation where they are files."""
        return super().data_files() | given_files(self)

    def needs(self) -> list[str]:
        """Return the stream and the tools that the training set, its numbers and factors come from."""
        return needed(self)

    def check(self, job: Job) -> None:
        """Read the files and compare them with the training set that will be written; see that the library is there."""
        engine = engine_of(self.Engine)
        engine.check()
        declared = Source.declared(self, job)
        check_folder(self, job, Trainer)
        optimiser = self._schedule()[0].optimiser
        if engine.OPTIMISERS and optimiser not in engine.OPTIMISERS:
            raise JobOptionsError(
                f"{self.Engine} has no optimiser {optimiser!r} here: {', '.join(engine.OPTIMISERS)}", where=self.name
            )
        self._check_folds(declared.folds)
        self._check_fills(declared)
        engine.make_plan(self._request(), unscaled(declared), declared)

    def _check_folds(self, several: Sequence[Folds]) -> None:
        """Raise JobOptionsError for early stopping without anything to validate with."""
        if self.Patience and not all(folds.validation for folds in several):
            raise JobOptionsError(
                "early stopping needs rows to validate with, and no fold validates",
                where=self.name,
                hint="give the folds of the TrainingSet a validation fold, or set Patience = 0",
            )

    def _check_fills(self, declared: Declared) -> None:
        """Raise NetworkError for values that stay missing, of which the engine can make nothing."""
        if engine_of(self.Engine).MISSING:
            return
        for group, variables in declared.inputs.items():
            for v in variables:
                if v.fill is not None and not np.isfinite(v.fill):
                    raise NetworkError(
                        f"{group}.{v.name} stays missing (fill={v.fill}), of which {self.Engine} can make nothing",
                        hint="fill it with a number, or train xgboost or lightgbm",
                    )

    def finalize(self, total: Any, context: Context) -> tuple[dict[str, Any], ...]:
        """Train and write; see the class."""
        folder = context.path(self.OutputName)
        sources = Source.find(self, context)
        self._check_folds([source.folds for source in sources])
        for source in sources:  # before the first of several is trained
            with source.open() as data:
                data.check_weights()
        folders = [folder / str(number) for number in range(len(sources))] if len(sources) > 1 else [folder]
        self._set_aside(dict(zip(folders, sources, strict=True)), context)
        results = []
        for number, source in enumerate(sources):
            if len(sources) > 1:
                context.log.info("model %d of %d: %s", number + 1, len(sources), source.folds)
            results.append(self._train(source, folders[number], context, first=number == 0))
        losses = [result["val_loss"] for result in results]
        if len(sources) > 1:
            context.log.info("%d models: val_loss %.4f to %.4f", len(losses), min(losses), max(losses))
        return tuple(results)

    def _set_aside(self, sources: Mapping[Path, Source], context: Context) -> None:
        """Give the folder another name where it has a training with other settings or data, which does not go on."""
        differ: list[str] = []
        schedule, _ = self._schedule()
        for path in [path for path in sources if (path / CHECKPOINT).exists()]:
            held = Checkpoint.load(path / CHECKPOINT)
            with sources[path].open() as data:
                plan = self._plan_for(sources[path], data)
                differ += held.differences(self._identity(plan, schedule, sources[path], data))
            if held.state["epoch"] > schedule.epochs and engine_of(self.Engine).IN_EPOCHS:
                differ.append(f"epochs: {held.state['epoch']} → {schedule.epochs}")
        if differ:
            names = (f"{self.OutputName}-{number}" for number in count(1))
            name = next(name for name in names if not (context.directory / name).exists())
            context.path(self.OutputName).rename(context.path(name))
            context.log.warning(
                "%s starts anew, the earlier training is kept in %s; it had other settings or data:%s",
                self.name, name, listed([*dict.fromkeys(differ)]),
            )  # fmt: skip

    def _train(self, source: Source, folder: Path, context: Context, *, first: bool = True) -> dict[str, Any]:
        """Train one model into a folder; return what is known of it."""
        folder.mkdir(exist_ok=True, parents=True)
        schedule, verbose = self._schedule()
        with source.open() as data:
            plan = self._plan_for(source, data)
            if first:
                self._report_ignored(plan, context)
            engine = engine_of(self.Engine)(plan, schedule, deterministic=self.Deterministic)
            size = f"{engine.parameters} parameters, " if engine.IN_EPOCHS else ""
            validating = data.size("validation") if data.folds.validation else 0
            context.log.info(
                "%s: %s, %s%d %s to train, %d to validate, on %s", self.name, plan.name, size,
                data.size("train"), data.declared.called, validating, ", ".join(engine.devices),
            )  # fmt: skip
            write_json(folder / CONFIGURATION, self._configuration(engine, schedule, source, data, folder, context))
            writer = _Writer(folder, engine)
            state = fit(
                engine,
                data,
                schedule,
                plan.loss,
                identity=self._identity(plan, schedule, source, data),
                checkpoint=folder / CHECKPOINT,
                report=lambda line: context.log.info("%s", line) if verbose else None,
                within_epochs=verbose == 1,
                after_epoch=writer.after_epoch,
            )
            writer.save_model()
            role = "validation" if data.folds.validation else "train"
            found = evaluate(engine, data, role, plan.loss)
            context.log.info("stopped after epoch %d: %s", state.epoch, state.stopped)
            context.log.info("Minimum val_loss %.4f at epoch %d", state.best_loss, state.best_epoch)
            style = figures.style_of(context)
            figures.learning_curves(state.history, state.best_epoch, folder / "learning-curves", style)
            if found.confusion is not None:
                figures.confusion_matrix(found.confusion, folder / "confusion-matrix", style, role)
            self._report(engine, data, folder, context)
            summary = self._summary(folder, engine, state, found)
        write_json(folder / SUMMARY, summary)
        return {"folder": str(folder), "best_epoch": state.best_epoch, "val_loss": found.loss}

    def _report(self, engine: Library, data: TrainingData, folder: Path, context: Context) -> None:
        """Write the training report of the roles that are asked for and have rows."""
        roles = [role for role in ROLES if role in self.Report and data.size(role)]
        for role in sorted({*self.Report} - {*roles}):
            context.log.warning("the report does not show %s: it has no %s", role, data.declared.called)
        if roles:
            report = make_report(engine, data, roles, self.Seed)
            report.draw(folder, figures.style_of(context), context.processes)
            write_json(folder / REPORT, report.numbers)

    def _request(self) -> Request:
        """Return what is asked of the engine."""
        conf, arch = (Path(value) if value else None for value in (self.ConfFile, self.ArchFile))
        return Request(self.Architecture, conf, arch, self.Settings, self.name)

    def _schedule(self) -> tuple[Schedule, int]:
        """Return the schedule and how much to report: what is set, else what the Conf file says, else the defaults.

        JobOptionsError for a setting of epochs where the engine trains in one fit.
        """
        names = {"Epochs": "epochs", "Patience": "patience", "Optimiser": "opt", "Verbose": "verbose"}
        in_epochs = engine_of(self.Engine).IN_EPOCHS
        useless = [name for name in self.values_set if name in OF_EPOCHS and not in_epochs]
        if useless:
            raise JobOptionsError(
                f"{useless[0]} has no effect on {self.Engine}, which trains in one fit",
                where=self.name,
                hint="its settings are in Settings: n_estimators, learning_rate, …",
            )
        conf = read_conf(Path(self.ConfFile)) if self.ConfFile and in_epochs else None
        values = dict(self.values)
        for name, key in names.items():
            if conf is not None and key in conf.settings and name not in self.values_set:
                given = conf.settings[key]
                values[name] = self.properties()[name].check(given.lower() if isinstance(given, str) else given)
        return Schedule(
            epochs=values["Epochs"],
            batch_size=values["BatchSize"],
            optimiser=values["Optimiser"],
            learning_rate=values["LearningRate"],
            patience=values["Patience"],
            min_delta=values["MinDelta"],
            reduce_factor=values["ReduceFactor"],
            reduce_patience=values["ReducePatience"],
            min_learning_rate=values["MinLearningRate"],
            seed=values["Seed"],
        ), values["Verbose"]

    def _plan_for(self, source: Source, data: TrainingData) -> Plan:
        """Return the model to train on this data."""
        return engine_of(self.Engine).make_plan(self._request(), source.inputs(data), data.declared)

    def _report_ignored(self, plan: Plan, context: Context) -> None:
        """Report the keys of the files that have no effect here."""
        ignored = {Path(path).name: keys for path, keys in plan.ignored.items()}
        if self.ConfFile and engine_of(self.Engine).IN_EPOCHS and (keys := read_conf(Path(self.ConfFile)).ignored):
            ignored = {Path(self.ConfFile).name: keys, **ignored}
        for path, keys in ignored.items():
            context.log.info("%s: without effect here: %s", path, ", ".join(keys))

    def _identity(self, plan: Plan, schedule: Schedule, source: Source, data: TrainingData) -> dict[str, Any]:
        """Return what a training that is continued must have in common; there may be more epochs."""
        settings = {name: value for name, value in asdict(schedule).items() if name != "epochs"}
        backend = engine_of(self.Engine).backend()
        return {"plan": plan.describe(), "schedule": settings, **source.identity(data), "backend": backend}

    def _configuration(
        self, engine: Library, schedule: Schedule, source: Source, data: TrainingData, folder: Path, context: Context
    ) -> dict[str, Any]:
        """Return what the network was made from, as an exporter reads it.

        A training set in the run directory is named as seen from the folder, so that the run can be moved.
        """
        own = source.path.resolve().is_relative_to(context.directory.resolve())
        path = os.path.relpath(source.path, folder) if own else str(source.path.absolute())
        files = {key: Path(value) for key, value in (("ConfFile", self.ConfFile), ("ArchFile", self.ArchFile)) if value}
        return {
            "engine": self.Engine,
            "plan": engine.plan.describe(),
            "schedule": asdict(schedule),
            "backend": engine.backend(),
            "devices": engine.devices,
            "versions": versions(),
            "files": {key: {"name": path.name, "sha256": sha256(path)} for key, path in files.items()},
            "dataset": {"path": path, "size": source.path.stat().st_size},
            "output": _output(source),
            "reweighting": source.reweighting.record() if source.reweighting is not None else None,
            "data": data.record,
        }

    def _summary(self, folder: Path, engine: Library, state: State, found: Evaluation) -> dict[str, Any]:
        """Return the results."""
        sums = None if found.confusion is None else found.confusion.counts.T.tolist()
        matrix = None if sums is None else {"classes": engine.plan.classes, "weights": sums}
        return {
            "engine": self.Engine,
            "architecture": engine.plan.name,
            "parameters": engine.parameters,
            "epochs": state.epoch,
            "stopped": state.stopped,
            "best_epoch": state.best_epoch,
            "val_loss": found.loss,
            "val_accuracy": found.accuracy,
            "validation_rows": found.rows,
            "confusion": matrix,
            "seconds": sum(row["seconds"] for row in state.history),
            "rows_per_second": float(np.median([row["rows_per_second"] for row in state.history])),
            "sha256": {name: sha256(folder / name) for name in (engine.MODEL, CHECKPOINT, CONFIGURATION)},
        }


def _output(source: Source) -> str:
    """Return the name of the network's output, as a Normaliser gave it."""
    outputs = (source.variables or {}).get("outputs")
    return str(outputs[0]["name"]) if outputs else "classes"


class _Writer:
    """Writes what a training leaves after each epoch: the log, and the model where it is the best so far."""

    def __init__(self, folder: Path, engine: Library) -> None:
        self.folder, self.engine = folder, engine

    def after_epoch(self, state: State) -> None:
        """Write the model, where it is the best so far, and the log."""
        if state.best_epoch == state.epoch:
            self.save_model()
        text = io.StringIO()
        rows = csv.DictWriter(text, list(state.history[0]), lineterminator="\n")
        rows.writeheader()
        rows.writerows(state.history)
        write_bytes(self.folder / "log.csv", text.getvalue().encode(), hint=RESUMES)

    def save_model(self) -> None:
        with replacing(self.folder / self.engine.MODEL, hint=RESUMES) as temporary:
            self.engine.save(temporary)
