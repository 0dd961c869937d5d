"""Export of a trained network: lwtnn JSON and ONNX, and the check that they give what Keras gives."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Job, Property, Tool
from hepflow.errors import InputError, NetworkError, OutputError
from hepflow.files import sha256
from hepflow.folds import Folds
from hepflow.networks import Network, from_keras, load, open_keras, write_lwtnn, write_onnx
from hepflow.networks.keras_import import check_keras, import_keras
from hepflow.plugins.training.architectures.base import BARE
from hepflow.plugins.training.checkpoint import RESUMES, arrays
from hepflow.plugins.training.configuration import NetworkPlan
from hepflow.plugins.training.data import Batch, TrainingData, open_dataset
from hepflow.plugins.training.fitting import feed
from hepflow.plugins.training.onnx_export import write_keras_onnx
from hepflow.plugins.training.source import find_tool
from hepflow.plugins.training.trainer import CONFIGURATION, MODEL, SUMMARY, Trainer, write_json

__all__ = ["LWTNN", "ONNX", "ModelExporter"]

LWTNN, ONNX = "weights-for-lwtnn.json", "model.onnx"
DIVERGED = "the training diverged: train again with a smaller LearningRate"


class ModelExporter(Tool):
    """Write a trained network as lwtnn JSON, as Athena reads it, and as ONNX, and check both against Keras.

    Input sequences, variables (after their transform: ``pt_log``), output and labels have the names of the training
    set; offset and scale belong to the inputs. The record (folds and roles, variables, sample, versions) goes into
    both files. An architecture that lwtnn cannot express is written as ONNX only, with the reason in the summary.
    The largest difference to Keras on validation rows goes into ``summary.json``; above ``Tolerance`` it is an error.
    Of several networks (``kfold``) each is exported into its folder.
    """

    Trainer = Property("Trainer", "tool that trained the networks, or the folder that a trainer wrote")
    Rows = Property(5000, "most validation rows that are compared", minimum=1)
    Tolerance = Property(1e-5, "largest difference of an output value", minimum=0)

    def data_files(self) -> dict[str, str]:
        """Return the networks, and how they were made, where Trainer is a folder."""
        folder = Path(self.Trainer)
        paths = [one / name for one in _networks(folder) for name in (MODEL, CONFIGURATION)] if folder.is_dir() else []
        named = {f"Trainer/{path.relative_to(folder)}": str(path) for path in paths if path.is_file()}
        return super().data_files() | named

    def needs(self) -> list[str]:
        """Return the trainer, where it is none whose folder is there."""
        return [] if Path(self.Trainer).is_dir() else [self.Trainer]

    def check(self, job: Job) -> None:
        """See that there is such a trainer, or that the folder holds finished trainings; that Keras is there."""
        check_keras()
        if not Path(self.Trainer).is_dir() or self.Trainer in [tool.name for tool in job.all_tools()]:
            find_tool(job, self, "Trainer", Trainer)
            return
        for folder in _networks(Path(self.Trainer)):
            for name in (CONFIGURATION, SUMMARY):
                _read(folder / name)

    def finalize(self, total: Any, context: Context) -> tuple[dict[str, Any], ...]:
        """Write, compare, and add what was found to the summary; returns files and differences of each network."""
        import_keras()
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
        """Export the network of a folder."""
        configuration, summary = (_read(folder / name) for name in (CONFIGURATION, SUMMARY))
        plan = NetworkPlan.from_description(configuration["plan"])
        model = _open_model(folder / MODEL)
        if not all(np.isfinite(array).all() for array in arrays(model.variables)):
            raise NetworkError("the weights of the network are not finite", where=str(folder / MODEL), hint=DIVERGED)
        with _open_data(configuration, folder) as data:
            rows = next(data.batches("validation", self.Rows))
            record = network_record(plan, configuration, summary, data)
        refused = export(model, plan, configuration["output"], record, folder)
        if refused:
            context.log.warning("%s is not written: %s", LWTNN, refused)
            (folder / LWTNN).unlink(missing_ok=True)
        expected = np.asarray(model.predict_on_batch(feed(rows)))
        differences = {}
        for name in (ONNX,) if refused else (LWTNN, ONNX):
            found = next(iter(load(folder / name).evaluate(ragged(rows)).values()))
            differences[name] = float(np.abs(found - expected).max())
            if not math.isfinite(differences[name]):
                raise NetworkError(
                    "the network gives values that are not finite", where=str(folder / name), hint=DIVERGED
                )
        exported: dict[str, Any] = {
            "rows": len(rows),
            "tolerance": self.Tolerance,
            "differences": differences,
            "sha256": {name: sha256(folder / name) for name in differences},
        }
        if refused:
            exported["refused"] = {LWTNN: refused}
        write_json(folder / SUMMARY, {**summary, "export": exported})
        for name, difference in differences.items():
            shown = f"{folder.name}/{name}"
            context.log.info("%s: largest difference to Keras %.1e on %d rows", shown, difference, len(rows))
            if not difference <= self.Tolerance:
                raise NetworkError(
                    f"{name} differs from Keras by {difference:.2g}, more than {self.Tolerance:g}",
                    where=str(folder / name),
                    hint="are there inputs that are huge after scaling? the table of the Normaliser shows their range",
                )
        return {"files": {name: str(folder / name) for name in (MODEL, *differences)}, "differences": differences}


def _networks(folder: Path) -> list[Path]:
    """Return the folder of each network in what a trainer wrote."""
    several = [path for path in folder.iterdir() if path.name.isdigit() and (path / CONFIGURATION).is_file()]
    return sorted(several, key=lambda path: int(path.name)) or [folder]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the training's file cannot be read: {error}", where=str(path)) from error


def _open_model(path: Path) -> Any:
    """Open the Keras model; its layers are registered by importing them."""
    from hepflow.plugins.training import layers  # noqa: F401 - the import registers them

    return open_keras(path)


def _open_data(configuration: Mapping[str, Any], folder: Path) -> TrainingData:
    return open_dataset(folder / configuration["dataset"]["path"], Folds.from_record(configuration["data"]["folds"]))


def network_record(
    plan: NetworkPlan, configuration: Mapping[str, Any], summary: Mapping[str, Any], data: TrainingData
) -> dict[str, Any]:
    """Return what travels with the network beyond its weights."""
    variables = {
        group: [
            {
                key: getattr(v, key)
                for key in ("name", "column", "transform", "floor", "missing", "fill", "unit", "label")
                if getattr(v, key) not in (None, "")
            }
            for v in listed
        ]
        for group, listed in data.variables.items()
    }
    training = {key: summary[key] for key in ("architecture", "parameters", "best_epoch", "val_loss", "val_accuracy")}
    return {
        "folds": configuration["data"]["folds"],
        "variables": variables,
        "units": {group: {v.name: v.unit for v in listed if v.unit} for group, listed in data.variables.items()},
        "caps": data.caps,
        "training": {**training, "config": dict(plan.config), "schedule": configuration["schedule"]},
        "data": {key: value for key, value in configuration["data"].items() if key not in ("folds", "schema")},
        "versions": dict(configuration["versions"]),
    }


def export(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any], folder: Path) -> str:
    """Write both files; returns why lwtnn cannot express the network, empty where it can."""
    refused = plan.architecture.NO_LWTNN
    if not refused:
        try:
            network = to_network(model, plan, output, record)
        except NetworkError as error:
            refused = f"{error.message}; {error.hint}" if error.hint else error.message
    if refused:
        write_keras_onnx(model, plan, output, record, folder / ONNX)
    else:
        write_lwtnn(network, folder / LWTNN)
        write_onnx(network, folder / ONNX)
    return refused


def to_network(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any]) -> Network:
    """Return the network in lwtnn's words: the same weights without masks, offset and scale at the inputs.

    Raises NetworkError for what lwtnn cannot express.
    """
    bare = plan.build(BARE)
    bare.set_weights(model.get_weights())
    groups: dict[str, list[Any]] = {"inputs": [], "input_sequences": []}
    for one in plan.inputs:
        variables = [
            {"name": name, "offset": offset, "scale": scale}
            for name, offset, scale in zip(one.variables, one.offset, one.scale, strict=True)
        ]
        groups["inputs" if one.cap is None else "input_sequences"].append({"name": one.name, "variables": variables})
    outputs = [{"name": output, "labels": list(plan.classes)}]
    return from_keras(bare, {**groups, "outputs": outputs}, record)


def ragged(batch: Batch) -> dict[str, npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """Return the rows as the evaluator takes them: of sequences the real objects of all rows, and their numbers."""
    inputs: dict[str, Any] = {}
    for name, values in batch.inputs.items():
        mask = batch.masks.get(name)
        inputs[name] = values if mask is None else (values[mask], mask.sum(axis=1))
    return inputs
