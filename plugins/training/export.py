"""Export of trained models, and the check that the files give what the library gives that trained."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hepflow import Context, Job, Property, Tool
from hepflow.errors import HepflowError, InputError, NetworkError, OutputError
from hepflow.files import sha256
from hepflow.folds import Folds
from hepflow.plugins.training.checkpoint import RESUMES
from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
from hepflow.plugins.training.engines.base import Engine, Plan, engine_of
from hepflow.plugins.training.source import find_tool
from hepflow.plugins.training.trainer import CONFIGURATION, SUMMARY, Trainer, write_json
from hepflow.registry.models import open_model

__all__ = ["ModelExporter"]

DIVERGED = "the training diverged: train again with a smaller LearningRate"


class ModelExporter(Tool):
    """Export trained models for other programs, and check each file against the library that trained.

    Keras models are written as lwtnn JSON, as Athena reads it, and ONNX; PyTorch and scikit-learn as ONNX; XGBoost and
    LightGBM as their own files, and ONNX. Inputs, variables (after their transform: ``pt_log``), output and
    labels have the names of the training set; offset and scale belong to the inputs. The record (folds and roles,
    variables, sample, versions) goes into the files. A model that a format cannot express is not written in it; the
    summary gives the reason. The largest difference on validation rows goes into ``summary.json``; above ``Tolerance``
    it is an error. Each of several models (``kfold``) is exported into its folder.
    """

    Trainer = Property("Trainer", "tool that trained the models, or the folder that a trainer wrote")
    Rows = Property(5000, "most validation rows that are compared", minimum=1)
    Tolerance = Property(1e-5, "largest difference of an output value; of numbers in parts of their range", minimum=0)

    def data_files(self) -> dict[str, str]:
        """Return the networks, and how they were made, where Trainer is a folder."""
        folder = Path(self.Trainer)
        paths = (
            [one / name for one in _networks(folder) for name in (_source_of(one), CONFIGURATION)]
            if folder.is_dir()
            else []
        )
        named = {f"Trainer/{path.relative_to(folder)}": str(path) for path in paths if path.is_file()}
        return super().data_files() | named

    def needs(self) -> list[str]:
        """Return the trainer, where it is none whose folder is there."""
        return [] if Path(self.Trainer).is_dir() else [self.Trainer]

    def check(self, job: Job) -> None:
        """See that there is such a trainer, or that the folder holds finished trainings, and that their libraries are
        there.
        """
        if not Path(self.Trainer).is_dir() or self.Trainer in [tool.name for tool in job.all_tools()]:
            find_tool(job, self, "Trainer", Trainer)
            return
        for folder in _networks(Path(self.Trainer)):
            engine_of(_read(folder / CONFIGURATION)["engine"]).check()
            _read(folder / SUMMARY)

    def finalize(self, total: Any, context: Context) -> tuple[dict[str, Any], ...]:
        """Write, compare, and add what was found to the summary; returns files and differences of each network."""
        try:
            return tuple(self._export(folder, context) for folder in self._folders(context))
        except OutputError as error:
            raise error.but(hint=RESUMES) from error

    def _folders(self, context: Context) -> list[Path]:
        """Return the folder of each trained network."""
        folder = Path(self.Trainer)
        if self.Trainer in context.results or not folder.is_dir():
            return [Path(one["folder"]) for one in context.result(self.Trainer)]
        return _networks(folder)

    def _export(self, folder: Path, context: Context) -> dict[str, Any]:
        """Export the model of a folder."""
        configuration, summary = (_read(folder / name) for name in (CONFIGURATION, SUMMARY))
        kind = engine_of(configuration["engine"])
        engine = kind.opened(kind.plan_from(configuration["plan"]), folder)
        if not all(np.isfinite(one).all() for one in engine.arrays()[0]):
            where = str(folder / kind.MODEL)
            raise NetworkError("the weights of the network are not finite", where=where, hint=DIVERGED)
        with _open_data(configuration, folder) as data:
            rows = next(data.batches("validation" if data.folds.validation else "train", self.Rows))
            record = model_record(engine.plan, configuration, summary, data)
        names, refused = engine.export(folder, configuration["output"], record)
        for name, reason in refused.items():
            context.log.warning("%s is not written: %s", name, reason)
            (folder / name).unlink(missing_ok=True)
        expected = np.asarray(engine.predict(rows))
        differences = {name: self._difference(folder / name, rows, expected) for name in names}
        exported: dict[str, Any] = {
            "rows": len(rows),
            "tolerance": self.Tolerance,
            "differences": differences,
            "sha256": {name: sha256(folder / name) for name in differences},
        }
        if refused:
            exported["refused"] = refused
        digests = {name: sha256(folder / name) for name in summary["sha256"]}
        write_json(folder / SUMMARY, {**summary, "sha256": digests, "export": exported})
        limit = self._limit(engine, expected)
        for name, difference in differences.items():
            shown = f"{folder.name}/{name}"
            context.log.info(
                "%s: largest difference to %s %.1e on %d rows", shown, _library(engine), difference, len(rows)
            )
            if not difference <= limit:
                raise NetworkError(
                    f"{name} differs from {_library(engine)} by {difference:.2g}, more than {limit:g}",
                    where=str(folder / name),
                    hint="are there inputs that are huge after scaling? the table of the Normaliser shows their range",
                )
        files = {name: str(folder / name) for name in dict.fromkeys((kind.MODEL, *differences))}
        return {"files": files, "differences": differences}

    def _difference(self, path: Path, rows: Batch, expected: Any) -> float:
        """Return the largest difference of what a file answers; NetworkError where an answer is not finite."""
        found = next(iter(open_model(path).evaluate(*_ragged(rows)).values()))
        difference = float(np.abs(found - expected).max())
        if not math.isfinite(difference):
            raise NetworkError("the network gives values that are not finite", where=str(path), hint=DIVERGED)
        return difference

    def _limit(self, engine: Engine, expected: Any) -> float:
        """Return the difference that is allowed: of probabilities Tolerance, of numbers so much of their range."""
        return self.Tolerance if engine.plan.classifies else self.Tolerance * max(1.0, float(np.ptp(expected)))


def _networks(folder: Path) -> list[Path]:
    """Return the folder of each network in what a trainer wrote."""
    several = [path for path in folder.iterdir() if path.name.isdigit() and (path / CONFIGURATION).is_file()]
    return sorted(several, key=lambda path: int(path.name)) or [folder]


def _source_of(folder: Path) -> str:
    """Return the name of the file that the model is opened from."""
    try:
        return engine_of(_read(folder / CONFIGURATION)["engine"]).SOURCE
    except (HepflowError, KeyError):  # check tells what is wrong with the folder
        return CONFIGURATION


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the training's file cannot be read: {error}", where=str(path)) from error


def _library(engine: Engine) -> str:
    return type(engine).__name__.removesuffix("Engine")


def _open_data(configuration: Mapping[str, Any], folder: Path) -> TrainingData:
    return open_dataset(folder / configuration["dataset"]["path"], Folds.from_record(configuration["data"]["folds"]))


def model_record(
    plan: Plan, configuration: Mapping[str, Any], summary: Mapping[str, Any], data: TrainingData
) -> dict[str, Any]:
    """Return what travels with the model beyond its numbers."""
    variables = {
        group: [
            {key: value for key, value in v.record().items() if key != "mean" and value not in (None, "")}
            for v in listed
        ]
        for group, listed in data.variables.items()
    }
    kept = ("engine", "architecture", "parameters", "best_epoch", "val_loss", "val_accuracy")
    described = {key: value for key, value in plan.describe().items() if key in ("config", "settings")}
    return {
        "folds": configuration["data"]["folds"],
        "variables": variables,
        "units": {group: {v.name: v.unit for v in listed if v.unit} for group, listed in data.variables.items()},
        "caps": data.caps,
        "training": {**{key: summary[key] for key in kept}, **described, "schedule": configuration["schedule"]},
        "data": {key: value for key, value in configuration["data"].items() if key not in ("folds", "schema")},
        "versions": dict(configuration["versions"]),
    }


def _ragged(batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows as a model takes them: flat inputs, and of sequences the real objects and their numbers."""
    masks = batch.masks
    flat = {name: values for name, values in batch.inputs.items() if name not in masks}
    return flat, {name: (batch.inputs[name][mask], mask.sum(axis=1)) for name, mask in masks.items()}
