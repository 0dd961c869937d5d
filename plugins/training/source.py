"""What a network is trained on: training set, normalisation and weights, as a trainer's properties name them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hepflow import Context, Job, Stream, Tool
from hepflow.errors import JobOptionsError, NetworkError
from hepflow.files import sha256
from hepflow.folds import Folds
from hepflow.io.hdf5 import open_dataset_file
from hepflow.networks.jsontext import parse_json, read_bytes
from hepflow.plugins.training.architectures.base import NetworkInput
from hepflow.plugins.training.data import TrainingData, open_dataset
from hepflow.plugins.training.engines.base import engine_of
from hepflow.plugins.training.normaliser import Normaliser
from hepflow.plugins.training.reweighter import Reweighter, Reweighting
from hepflow.trainingset import TrainingSet, training_set_of

__all__ = ["Source", "check_folder", "find_tool", "given_files", "needed", "unscaled"]

ENDINGS = (".h5", ".hdf5")
SHOWN = 5
"""Most variables that an error names."""
T = TypeVar("T", bound=Tool)


def _read_variables(path: Path) -> Any:
    """Read a ``variables.json``; NetworkError where that is not possible."""
    hint = "Normaliser is the name of a tool, or the path of a variables.json that one has written"
    try:
        content = parse_json(read_bytes(path))
        _names_of(_numbers(content))
    except NetworkError as error:
        raise error.but(where=str(path), hint=hint) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise NetworkError("the file has no list of variables", where=str(path), hint=hint) from error
    return content


def _numbers(variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return group → variable → its offset and scale, from the content of a ``variables.json``."""
    groups = [*variables.get("inputs", ()), *variables.get("input_sequences", ())]
    return {entry["name"]: {v["name"]: v for v in entry["variables"]} for entry in groups}


def _names(declared: TrainingSet) -> dict[str, tuple[str, ...]]:
    return {group: tuple(v.name for v in variables) for group, variables in declared.inputs.items()}


def _names_of(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {group: tuple(variables) for group, variables in groups.items()}


def _compare(
    declared: Mapping[str, Sequence[str]], measured: Mapping[str, Sequence[str]], where: str, what: str = "normalised"
) -> None:
    """Raise NetworkError where a training set has a variable that is not normalised, or the other way round."""
    differ = []
    for group, names in declared.items():
        have = measured.get(group, ())
        differ += [f"{group}.{name} (not {what})" for name in names if name not in have]
        differ += [f"{group}.{name} (not in the training set)" for name in have if name not in names]
    if differ:
        more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        raise NetworkError(
            f"training set and normalisation differ in {', '.join(differ[:SHOWN])}{more}",
            where=where,
            hint="give both the same TrainingSet",
        )


def _named(user: Tool) -> dict[str, str]:
    """Return what Dataset, Normaliser and Reweighter of a tool name; an engine that scales nothing has no Normaliser.

    JobOptionsError where one is set nevertheless.
    """
    named = {key: str(user.values[key]) for key in ("Dataset", "Normaliser", "Reweighter")}
    engine = user.values["Engine"]
    if engine_of(engine).SCALES:
        return named
    if user.values_set.get("Normaliser"):
        raise JobOptionsError(f"{engine} takes its inputs as they are", where=user.name, hint="leave Normaliser out")
    return {**named, "Normaliser": ""}


def given_files(user: Tool) -> dict[str, str]:
    """Return training set and normalisation of a tool, by property, where they are files and not streams or tools."""
    endings = {"Dataset": ENDINGS, "Normaliser": (".json",)}
    named = {key: _named(user)[key] for key in endings}
    return {key: name for key, name in named.items() if name.endswith(endings[key]) and Path(name).is_file()}


def needed(user: Tool) -> list[str]:
    """Return the stream and the tools that Dataset, Normaliser and Reweighter of a tool name; files are none."""
    endings = {"Dataset": ENDINGS, "Normaliser": (".json",), "Reweighter": ()}
    return [name for key, files in endings.items() if (name := _named(user)[key]) and not name.endswith(files)]


def find_tool(job: Job, user: Tool, key: str, kind: type[T]) -> T:
    """Return the tool of this kind that the property ``key`` of a tool names; JobOptionsError where there is none, or
    it is something else.
    """
    found = job.find(getattr(user, key))
    if not isinstance(found, kind):
        raise JobOptionsError(
            f"{found.name} is no {kind.__name__}, but a {type(found).__name__}",
            hint=f"{user.name}.{key}: {user.properties()[key].doc}",
        )
    return found


def check_folder(user: Tool, job: Job, *kinds: type[Tool]) -> None:
    """Raise JobOptionsError where OutputName is no folder in the run directory, or that of another of these kinds."""
    folder = _folder(user)
    if folder.is_absolute() or folder.parts[:1] in ((), ("..",)):
        raise JobOptionsError(
            f"OutputName = {user.values['OutputName']!r} is no folder in the run directory", hint="give it a name"
        )
    for other in job.all_tools():
        if isinstance(other, kinds) and other.name != user.name and _folder(other) == folder:
            raise JobOptionsError(
                f"{other.name} writes into the folder {str(folder)!r} as well",
                hint="give one of them another OutputName",
            )


def _folder(tool: Tool) -> Path:
    return Path(os.path.normpath(tool.values["OutputName"]))


@dataclass(frozen=True)
class Source:
    """What one model is trained on: the file, the roles of its folds, factors on the weights, offsets and scales (None:
    none), and the SHA-256 of a file that was given.
    """

    path: Path
    folds: Folds
    reweighting: Reweighting | None
    variables: Mapping[str, Any] | None
    digest: str = ""

    @classmethod
    def find(cls, user: Tool, context: Context) -> tuple[Source, ...]:
        """Return the sources of all models of a tool, from the results of earlier tools and streams; a name with a
        file's ending is a file. JobOptionsError where Normaliser or Reweighter have other folds.
        """
        dataset, normaliser, reweighter = _named(user).values()
        given = dataset.endswith(ENDINGS)
        path = Path(dataset) if given else context.output(dataset)[0]
        digest = sha256(path) if given and path.is_file() else ""
        own: TrainingSet | None = user.values["TrainingSet"]
        folds = (_recorded(path) if own is None else own).folds
        factors: Any = context.result(reweighter) if reweighter else (None,) * len(folds)
        if reweighter:
            _check_roles(reweighter, [one.folds for one in factors], folds)
        if normaliser.endswith(".json"):
            measured: list[Any] = [_read_variables(Path(normaliser))]
        elif normaliser:
            found = context.result(normaliser)
            _check_roles(normaliser, [one.folds for one in found], folds)
            measured = [one.variables for one in found]
        else:
            measured = [None] * len(folds)
        return tuple(cls(path, *one, digest) for one in zip(folds, factors, measured, strict=True))

    @staticmethod
    def declared(user: Tool, job: Job) -> TrainingSet:
        """Return what the Dataset of a tool says of itself, with the folds of the tool's own TrainingSet if it has one.

        JobOptionsError or NetworkError where the job has no such stream or earlier tools, where these do not go
        together, or where a file cannot be read.
        """
        dataset, normaliser, reweighter = _named(user).values()
        found = _declared(dataset, job)
        own = user.values["TrainingSet"]
        if own is not None:
            _compare(_names(found), _names(own), f"{dataset} and TrainingSet of {user.name}", "in TrainingSet")
            _check_folds(user, own, dataset, found)
        folds = found.folds if own is None else own.folds
        if normaliser.endswith(".json"):
            _compare(
                _names(found), _names_of(_numbers(_read_variables(Path(normaliser)))), f"{dataset} and {normaliser}"
            )
            if len(folds) > 1:
                raise JobOptionsError(f"{normaliser} is of one model, {dataset} has the folds of {len(folds)}")
        elif normaliser:
            measured = training_set_of(find_tool(job, user, "Normaliser", Normaliser))
            _compare(_names(found), _names(measured), f"{dataset} and {normaliser}")
            _check_folds(job.find(normaliser), measured, dataset, found)
            _check_roles(normaliser, measured.folds, folds)
        if reweighter:
            weights = find_tool(job, user, "Reweighter", Reweighter)
            _check_folds(weights, training_set_of(weights), dataset, found)
            _check_labels(weights, dataset, found)
            _check_roles(reweighter, training_set_of(weights).folds, folds)
        return replace(found, folds=folds)

    def identity(self, data: TrainingData) -> dict[str, Any]:
        """Return what tells this training set from another."""
        return {"data": data.record, **({"dataset (SHA-256)": self.digest} if self.digest else {})}

    def open(self) -> TrainingData:
        """Open the training set."""
        return open_dataset(self.path, self.folds, reweighting=self.reweighting)

    def inputs(self, data: TrainingData) -> tuple[NetworkInput, ...]:
        """Return the inputs of a network on this data; NetworkError where offsets and scales are of other variables.

        Offsets and scales are rounded to float32, so that every runtime calculates with the same numbers.
        """
        if self.variables is None:
            return unscaled(data.declared)
        listed = _numbers(self.variables)
        declared = _names(data.declared)
        _compare(declared, _names_of(listed), str(self.path))
        inputs = []
        for group, names in declared.items():
            have = listed.get(group, {})
            numbers = (tuple(float(np.float32(have[name][key])) for name in names) for key in ("offset", "scale"))
            inputs.append(NetworkInput(group, names, data.caps.get(group), *numbers))
        return tuple(inputs)


def unscaled(declared: TrainingSet) -> tuple[NetworkInput, ...]:
    """Return the inputs of a network on a training set of which nothing is measured: offset 0, scale 1."""
    names = _names(declared)
    return tuple(NetworkInput(g, n, declared.caps.get(g), (0.0,) * len(n), (1.0,) * len(n)) for g, n in names.items())


def _recorded(path: Path) -> TrainingSet:
    """Return what a file says of itself."""
    file, record = open_dataset_file(path)
    file.close()
    return TrainingSet.from_record(record["training_set"])


def _declared(dataset: str, job: Job) -> TrainingSet:
    """Return what a file, or a stream of the job, says of itself."""
    if dataset.endswith(ENDINGS):
        return _recorded(Path(dataset))
    stream = job.find(dataset)
    if not isinstance(stream, Stream) or "TrainingSet" not in stream.values:
        raise JobOptionsError(
            f"{dataset} writes no training set", hint="Dataset is the name of a DatasetStream, or a file .h5"
        )
    return training_set_of(stream)


def _check_folds(tool: Any, own: TrainingSet, dataset: str, found: TrainingSet) -> None:
    """Raise JobOptionsError where a tool and a training set divide the rows into different folds."""
    if (own.fold_column, own.fold_number) != (found.fold_column, found.fold_number):
        raise JobOptionsError(
            f"{tool.name} has the folds {own.fold_column} % {own.fold_number}, {dataset} has {found.fold_column} % "
            f"{found.fold_number}",
            hint="give both the same TrainingSet",
        )


def _check_labels(tool: Reweighter, dataset: str, found: TrainingSet) -> None:
    """Raise JobOptionsError where factors are measured with another target or weight than the training set."""
    own = training_set_of(tool)
    for key in ("target", "weight", "negative_weights"):
        if getattr(own, key) != getattr(found, key):
            raise JobOptionsError(
                f"{key} of {tool.name} is {getattr(own, key)!r}, that of the training set {dataset} is "
                f"{getattr(found, key)!r}",
                hint="its factors would belong to something else: give both the same TrainingSet",
            )


def _check_roles(tool: str, own: Sequence[Folds], folds: Sequence[Folds]) -> None:
    """Raise JobOptionsError where a tool measured on the training folds of other models."""
    if tuple(own) != tuple(folds):
        raise JobOptionsError(f"{tool} has other training folds than the models", hint="give both the same TrainingSet")
