"""The trainer: from a training set to a trained Keras network, with its curves, its numbers and how it was made."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hepflow import Context, Job, Property, Tool
from hepflow.errors import HepflowError, JobOptionsError, listed
from hepflow.files import replacing, sha256, write_bytes
from hepflow.networks.keras_import import check_keras, import_keras
from hepflow.plugins.training import backend, figures
from hepflow.plugins.training.architectures.base import NetworkInput
from hepflow.plugins.training.checkpoint import RESUMES, Checkpoint
from hepflow.plugins.training.configuration import Conf, NetworkPlan, plan_network, read_arch, read_conf
from hepflow.plugins.training.data import TrainingData
from hepflow.plugins.training.fitting import Evaluation, Schedule, State, compile_model, evaluate, fit
from hepflow.plugins.training.source import Source, check_folder, given_files, needed, unscaled
from hepflow.trainingset import TrainingSet as Declared
from hepflow.versions import versions

__all__ = ["CHECKPOINT", "CONFIGURATION", "MODEL", "OPTIMISERS", "SUMMARY", "Trainer"]

MODEL, CHECKPOINT, SUMMARY, CONFIGURATION = "model.keras", "checkpoint.npz", "summary.json", "configuration.json"
OPTIMISERS = ("adam", "nadam", "adamw", "adamax", "adagrad", "rmsprop", "sgd", "lion")
DEFAULT = "DSNN"


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, which has no NaN, in one step."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode(), hint=RESUMES)


class Trainer(Tool):
    """Train a network with Keras and keep the weights of the epoch with the smallest validation loss.

    It only finalizes: after the event loop it opens the file of a DatasetStream and trains on the training folds; the
    test folds are never looked at. Into its folder of the run directory it writes ``model.keras`` (after each better
    epoch), ``checkpoint.npz`` (after each epoch), ``log.csv``, learning curves, the confusion matrix of the validation
    rows, ``configuration.json`` and ``summary.json``. ``--resume`` continues at the checkpoint, to more epochs too, and
    gives the same weights as a training without interruption; a training with other settings is set aside
    (``network-1``). Of several networks (``kfold``) each has a folder in there: 0, 1, ….
    Settings that are set win over those of the Conf file, these over the defaults. Its result has, for each network,
    the folder, the best epoch and its loss.
    """

    Dataset = Property("dataset", "stream that writes the training set, or the path of its file (.h5)")
    TrainingSet: Property[Any] = Property(
        None, "as declared, for the roles of the folds; by default what Dataset says of itself", type=Declared
    )
    Normaliser = Property("Normaliser", "tool that measures offsets and scales, or the path of a variables.json")
    Reweighter = Property("", "tool that makes factors on the weights; empty: none")
    OutputName = Property("network", "folder in the run directory")
    Architecture = Property("", f"name of an architecture; empty: that of the files, else {DEFAULT}")
    ConfFile = Property("", "YAML file with settings and the name of an Arch file", file=True)
    ArchFile = Property("", "YAML file with the architecture; empty: that of ConfFile, else its defaults", file=True)
    Optimiser = Property("adam", "optimiser", choices=OPTIMISERS)
    LearningRate = Property(1e-3, "learning rate at the start", minimum=0)
    BatchSize = Property(1000, "rows of a training step", minimum=1)
    Epochs = Property(100, "most epochs", minimum=1)
    Patience = Property(10, "stop after this many epochs without improvement", minimum=1)
    MinDelta = Property(1e-4, "a validation loss smaller by this is an improvement", minimum=0)
    ReduceFactor = Property(0.4, "factor on the learning rate when the validation loss stays", minimum=0, maximum=1)
    ReducePatience = Property(3, "lower the learning rate after this many epochs without improvement", minimum=1)
    MinLearningRate = Property(4e-6, "smallest learning rate", minimum=0)
    Seed = Property(42, "seed of first weights, shuffling and dropout", minimum=0)
    Deterministic = Property(True, "use operations that repeat bitwise, for one number of threads")
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
        """Read the files and compare them with the training set that will be written; see that Keras is there."""
        check_keras()
        declared = Source.declared(self, job)
        check_folder(self, job, Trainer)
        conf = self._conf()
        self._schedule(conf)
        self._plan(conf, unscaled(declared), declared)

    def finalize(self, total: Any, context: Context) -> tuple[dict[str, Any], ...]:
        """Train and write; see the class."""
        import_keras()
        conf = self._conf()
        folder = context.path(self.OutputName)
        sources = Source.find(self, context)
        for source in sources:  # before the first of several is trained
            with source.open() as data:
                data.check_weights()
        folders = [folder / str(number) for number in range(len(sources))] if len(sources) > 1 else [folder]
        self._set_aside(dict(zip(folders, sources, strict=True)), conf, context)
        if len(sources) == 1:
            return (self._train(sources[0], conf, folder, context),)
        results = []
        for number, source in enumerate(sources):
            context.log.info("network %d of %d: %s", number + 1, len(sources), source.folds)
            results.append(self._train(source, conf, folders[number], context, first=number == 0))
        losses = [result["val_loss"] for result in results]
        context.log.info("%d networks: val_loss %.4f to %.4f", len(losses), min(losses), max(losses))
        return tuple(results)

    def _set_aside(self, sources: Mapping[Path, Source], conf: Conf | None, context: Context) -> None:
        """Give the folder another name where it has a training with other settings or data, which does not go on."""
        differ: list[str] = []
        schedule, _ = self._schedule(conf)
        for path in [path for path in sources if (path / CHECKPOINT).exists()]:
            held = Checkpoint.load(path / CHECKPOINT)
            with sources[path].open() as data:
                plan = self._plan_for(conf, sources[path], data)
                differ += held.differences(_identity(plan, schedule, sources[path], data))
            if held.state["epoch"] > schedule.epochs:
                differ.append(f"epochs: {held.state['epoch']} → {schedule.epochs}")
        if differ:
            names = (f"{self.OutputName}-{number}" for number in count(1))
            name = next(name for name in names if not (context.directory / name).exists())
            context.path(self.OutputName).rename(context.path(name))
            context.log.warning(
                "%s starts anew, the earlier training is kept in %s; it had other settings or data:%s",
                self.name, name, listed([*dict.fromkeys(differ)]),
            )  # fmt: skip

    def _train(
        self, source: Source, conf: Conf | None, folder: Path, context: Context, *, first: bool = True
    ) -> dict[str, Any]:
        """Train one network into a folder; return what is known of it."""
        import keras

        folder.mkdir(exist_ok=True, parents=True)
        schedule, verbose = self._schedule(conf)
        keras.utils.clear_session()
        with source.open() as data:
            plan = self._plan_for(conf, source, data)
            if first:
                _report_ignored(conf, plan, context)
            backend.seed_everything(schedule.seed, deterministic=self.Deterministic)
            model = plan.build()
            compile_model(model, schedule, plan.loss)
            context.log.info(
                "%s: %s, %d parameters, %d %s to train, %d to validate, on %s", self.name, plan.name,
                model.count_params(), data.size("train"), data.declared.called, data.size("validation"),
                ", ".join(backend.devices()),
            )  # fmt: skip
            write_json(folder / CONFIGURATION, self._configuration(plan, schedule, source, data, folder, context))
            writer = _Writer(folder, model)
            state = fit(
                model,
                data,
                schedule,
                plan.loss,
                identity=_identity(plan, schedule, source, data),
                checkpoint=folder / CHECKPOINT,
                report=lambda line: context.log.info("%s", line) if verbose else None,
                within_epochs=verbose == 1,
                after_epoch=writer.after_epoch,
            )
            writer.save_model()
            found = evaluate(model, data, "validation", plan.loss)
        context.log.info("stopped after epoch %d: %s", state.epoch, state.stopped)
        context.log.info("Minimum val_loss %.4f at epoch %d", state.best_loss, state.best_epoch)
        figures.learning_curves(state.history, state.best_epoch, folder / "learning-curves", context.label)
        if found.confusion is not None:
            figures.confusion_matrix(found.confusion, folder / "confusion-matrix", context.label)
        write_json(folder / SUMMARY, self._summary(folder, plan, state, found, model))
        return {"folder": str(folder), "best_epoch": state.best_epoch, "val_loss": state.best_loss}

    def _conf(self) -> Conf | None:
        """Read the Conf file, where there is one."""
        return read_conf(Path(self.ConfFile)) if self.ConfFile else None

    def _schedule(self, conf: Conf | None) -> tuple[Schedule, int]:
        """Return the schedule and how much to report: what is set, else what the Conf file says, else the defaults."""
        names = {"Epochs": "epochs", "Patience": "patience", "Optimiser": "opt", "Verbose": "verbose"}
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

    def _plan_for(self, conf: Conf | None, source: Source, data: TrainingData) -> NetworkPlan:
        """Return the network to train on this data."""
        return self._plan(conf, source.inputs(data), data.declared)

    def _plan(self, conf: Conf | None, inputs: tuple[NetworkInput, ...], declared: Declared) -> NetworkPlan:
        """Return the network for inputs and targets."""
        arch = Path(self.ArchFile) if self.ArchFile else None
        name = self.Architecture or (conf.architecture if conf is not None else "")
        name = name or (read_arch(arch)[0] if arch is not None else DEFAULT)
        if conf is not None and name != conf.architecture:
            raise JobOptionsError(
                f"Architecture is {name!r}, the Conf file is for {conf.architecture!r}", where=str(conf.path)
            )
        plan = plan_network(name, arch, inputs, declared.outputs)
        if plan.classifies != bool(declared.classes):
            made = "classes" if declared.classes else "numbers"
            raise JobOptionsError(
                f"the training set has {made}, the network is for {'numbers' if declared.classes else 'classes'}",
                where=f"{self.name}, architecture {name}",
                hint="Dense with  task: regression  learns numbers",
            )
        return plan

    def _configuration(
        self, plan: NetworkPlan, schedule: Schedule, source: Source, data: TrainingData, folder: Path, context: Context
    ) -> dict[str, Any]:
        """Return what the network was made from, as an exporter reads it.

        A training set in the run directory is named as seen from the folder, so that the run can be moved.
        """
        own = source.path.resolve().is_relative_to(context.directory.resolve())
        path = os.path.relpath(source.path, folder) if own else str(source.path.absolute())
        files = {key: Path(value) for key, value in (("ConfFile", self.ConfFile), ("ArchFile", self.ArchFile)) if value}
        return {
            "plan": plan.describe(),
            "schedule": asdict(schedule),
            "backend": _backend(),
            "devices": backend.devices(),
            "versions": versions(),
            "files": {key: {"name": path.name, "sha256": sha256(path)} for key, path in files.items()},
            "dataset": {"path": path, "size": source.path.stat().st_size},
            "output": _output(source),
            "reweighting": source.reweighting.record() if source.reweighting is not None else None,
            "data": data.record,
        }

    def _summary(self, folder: Path, plan: NetworkPlan, state: State, found: Evaluation, model: Any) -> dict[str, Any]:
        """Return the results."""
        sums = None if found.confusion is None else found.confusion.counts.T.tolist()
        matrix = None if sums is None else {"classes": plan.classes, "weights": sums}
        return {
            "architecture": plan.name,
            "parameters": int(model.count_params()),
            "epochs": state.epoch,
            "stopped": state.stopped,
            "best_epoch": state.best_epoch,
            "val_loss": state.best_loss,
            "val_accuracy": found.accuracy,
            "validation_rows": found.rows,
            "confusion": matrix,
            "seconds": sum(row["seconds"] for row in state.history),
            "rows_per_second": float(np.median([row["rows_per_second"] for row in state.history])),
            "sha256": {name: sha256(folder / name) for name in (MODEL, CHECKPOINT, CONFIGURATION)},
        }


def _report_ignored(conf: Conf | None, plan: NetworkPlan, context: Context) -> None:
    """Report the keys of the files that have no effect here."""
    ignored = {conf.path.name: conf.ignored} if conf is not None and conf.ignored else {}
    ignored |= {Path(path).name: keys for path, keys in plan.ignored.items()}
    for path, keys in ignored.items():
        context.log.info("%s: without effect here: %s", path, ", ".join(keys))


def _identity(plan: NetworkPlan, schedule: Schedule, source: Source, data: TrainingData) -> dict[str, Any]:
    """Return what a training that is continued must have in common; there may be more epochs."""
    settings = {name: value for name, value in asdict(schedule).items() if name != "epochs"}
    return {"plan": plan.describe(), "schedule": settings, **source.identity(data), "backend": _backend()}


def _output(source: Source) -> str:
    """Return the name of the network's output, as a Normaliser gave it."""
    outputs = (source.variables or {}).get("outputs")
    return str(outputs[0]["name"]) if outputs else "classes"


def _backend() -> str:
    import keras

    return str(keras.backend.backend())


class _Writer:
    """Writes what a training leaves after each epoch: the log, and the model where it is the best so far."""

    def __init__(self, folder: Path, model: Any) -> None:
        self.folder, self.model = folder, model

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
        with replacing(self.folder / MODEL, hint=RESUMES) as temporary:
            self.model.save(temporary)
