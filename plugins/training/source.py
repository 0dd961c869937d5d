"""What a network is trained on: training set, normalisation and weights, as a trainer's properties name them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hepflow import Context, Job, Stream, Tool
from hepflow.errors import JobOptionsError, NetworkError
from hepflow.files import sha256
from hepflow.io.hdf5 import DatasetLayout, open_dataset_file
from hepflow.networks.jsontext import parse_json, read_bytes
from hepflow.plugins.training.architectures.base import NetworkInput
from hepflow.plugins.training.data import TrainingData, open_dataset
from hepflow.plugins.training.folds import Folds, one_rule
from hepflow.plugins.training.normaliser import Normaliser
from hepflow.plugins.training.reweighter import Reweighter, Reweighting
from hepflow.variables import Variable

__all__ = ["Source", "check_folder", "find_tool", "given_files", "needed"]

ENDINGS = (".h5", ".hdf5")
NEEDED = {"Variables", "Caps", "Label", "Classes", "Weight", "FoldColumn", "FoldNumber"}
"""Properties that tell what a stream's training set holds."""
SHOWN = 5
"""Most variables that an error names."""
T = TypeVar("T", bound=Tool)


def _read_variables(path: Path) -> Any:
    """Read a ``variables.json``; NetworkError where that is not possible."""
    hint = "Normaliser is the name of a tool, or the path of a variables.json that one has written"
    try:
        content = parse_json(read_bytes(path))
        _names(_numbers(content))
    except NetworkError as error:
        raise error.but(where=str(path), hint=hint) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise NetworkError("the file has no list of variables", where=str(path), hint=hint) from error
    return content


def _numbers(variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return group → variable → its offset and scale, from the content of a ``variables.json``."""
    groups = [*variables.get("inputs", ()), *variables.get("input_sequences", ())]
    return {entry["name"]: {v["name"]: v for v in entry["variables"]} for entry in groups}


def _names(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    return {group: tuple(variables) for group, variables in groups.items()}


def _compare(declared: Mapping[str, Sequence[str]], measured: Mapping[str, Sequence[str]], where: str) -> None:
    """Raise NetworkError where a training set has a variable that is not normalised, or the other way round."""
    differ = []
    for group, names in declared.items():
        have = measured.get(group, ())
        differ += [f"{group}.{name} (not normalised)" for name in names if name not in have]
        differ += [f"{group}.{name} (not in the training set)" for name in have if name not in names]
    if differ:
        more = f" and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        raise NetworkError(
            f"training set and normalisation differ in {', '.join(differ[:SHOWN])}{more}",
            where=where,
            hint="both must be made with the same Variables",
        )


def given_files(user: Tool) -> dict[str, str]:
    """Return training set and normalisation of a tool, by property, where they are files and not streams or tools."""
    endings = {"Dataset": ENDINGS, "Normaliser": (".json",)}
    named = {key: str(user.values[key]) for key in endings}
    return {key: name for key, name in named.items() if name.endswith(endings[key]) and Path(name).is_file()}


def needed(user: Tool) -> list[str]:
    """Return the stream and the tools that Dataset, Normaliser and Reweighter of a tool name; files are none."""
    endings = {"Dataset": ENDINGS, "Normaliser": (".json",), "Reweighter": ()}
    return [name for key, files in endings.items() if (name := user.values[key]) and not name.endswith(files)]


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
    """What one network is trained on: the file, the roles of its folds, factors on the weights, offsets and scales, and
    the SHA-256 of a file that was given.
    """

    path: Path
    folds: Folds | None
    reweighting: Reweighting | None
    variables: Mapping[str, Any]
    digest: str = ""

    @classmethod
    def find(cls, dataset: str, normaliser: str, reweighter: str, context: Context) -> tuple[Source, ...]:
        """Return the sources of all networks that the Normaliser measured, from the results of earlier tools and
        streams; a name with a file's ending is a file. JobOptionsError where the Reweighter has other folds.
        """
        given = dataset.endswith(ENDINGS)
        path = Path(dataset) if given else context.output(dataset)[0]
        digest = sha256(path) if given and path.is_file() else ""
        factors = context.result(reweighter) if reweighter else None
        if normaliser.endswith(".json"):
            return (cls(path, None, factors[0] if factors else None, _read_variables(Path(normaliser)), digest),)
        found = context.result(normaliser)
        if factors is None:
            factors = (None,) * len(found)
        elif [one.folds for one in factors] != [one.folds for one in found]:
            raise _other_folds(reweighter, normaliser)
        return tuple(
            cls(path, one.folds, factor, one.variables, digest) for one, factor in zip(found, factors, strict=True)
        )

    @staticmethod
    def declared(user: Tool, job: Job) -> tuple[tuple[NetworkInput, ...], tuple[str, ...], tuple[Folds, ...]]:
        """Return inputs (nothing is measured: offset 0, scale 1), classes, and the folds of each network, as the
        Dataset, Normaliser and Reweighter of a tool say.

        JobOptionsError or NetworkError where the job has no such stream or earlier tools, where these do not fit
        together, or where a file cannot be read.
        """
        dataset, normaliser, reweighter = (user.values[key] for key in ("Dataset", "Normaliser", "Reweighter"))
        variables, caps, classes, rule, labelled = _layout(dataset, job)
        names = {group: tuple(v.name for v in listed) for group, listed in variables.items()}
        if normaliser.endswith(".json"):
            measured = _names(_numbers(_read_variables(Path(normaliser))))
            folds: tuple[Folds, ...] = (Folds(rule[1], column=rule[0]),)
        else:
            tool = find_tool(job, user, "Normaliser", Normaliser)
            measured, folds = {g: tuple(v.name for v in listed) for g, listed in tool.Variables.items()}, tool.Folds
            _check_rule(tool, folds, dataset, rule)
        _compare(names, measured, f"{dataset} and {normaliser}")
        if reweighter:
            weights = find_tool(job, user, "Reweighter", Reweighter)
            _check_rule(weights, weights.Folds, dataset, rule)
            _check_labels(weights, dataset, labelled)
            if not normaliser.endswith(".json") and weights.Folds != folds:
                raise _other_folds(reweighter, normaliser)
        inputs = (NetworkInput(g, n, caps.get(g), (0.0,) * len(n), (1.0,) * len(n)) for g, n in names.items())
        return tuple(inputs), classes, folds

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
        listed = _numbers(self.variables)
        declared = {group: tuple(v.name for v in variables) for group, variables in data.variables.items()}
        _compare(declared, _names(listed), str(self.path))
        inputs = []
        for group, names in declared.items():
            have = listed.get(group, {})
            numbers = (tuple(float(np.float32(have[name][key])) for name in names) for key in ("offset", "scale"))
            inputs.append(NetworkInput(group, names, data.caps.get(group), *numbers))
        return tuple(inputs)


def _layout(
    dataset: str, job: Job
) -> tuple[Mapping[str, tuple[Variable, ...]], Mapping[str, int], tuple[str, ...], tuple[str, int], dict[str, Any]]:
    """Return variables, caps, classes, column and number of the folds, and the properties Label, Classes and Weight, of
    a file or a stream of the job.
    """
    if dataset.endswith(ENDINGS):
        file, record = open_dataset_file(Path(dataset))
        file.close()
        layout, rule = DatasetLayout.from_record(record), record["fold"]
        classes = {int(value): name for value, name in record["labels"].items()}
        labelled = {"Label": record["label"], "Classes": classes, "Weight": record["weight"]}
        return layout.variables, layout.caps, layout.classes, (rule["column"], rule["number"]), labelled
    stream = job.find(dataset)
    values = stream.values
    if not isinstance(stream, Stream) or not set(values) >= NEEDED:
        raise JobOptionsError(
            f"{dataset} writes no training set", hint="Dataset is the name of a DatasetStream, or a file .h5"
        )
    names = tuple(dict.fromkeys(values["Classes"].values()))
    labelled = {key: values[key] for key in ("Label", "Classes", "Weight")}
    return values["Variables"], values["Caps"], names, (values["FoldColumn"], values["FoldNumber"]), labelled


def _check_rule(tool: Tool, networks: Sequence[Folds], dataset: str, rule: tuple[str, int]) -> None:
    """Raise JobOptionsError where a tool and a training set divide the taus into different folds."""
    folds = one_rule(tool.name, networks)
    if (folds.column, folds.number) != rule:
        raise JobOptionsError(
            f"{tool.name} has the folds {folds.column} % {folds.number}, {dataset} has {rule[0]} % {rule[1]}",
            hint=f"set Folds of {tool.name}, and FoldColumn and FoldNumber of the DatasetStream, to the same",
        )


def _check_labels(tool: Reweighter, dataset: str, labelled: Mapping[str, Any]) -> None:
    """Raise JobOptionsError where factors are measured with another label, classes or weight than the training set."""
    for key, value in labelled.items():
        own = tool.values[key]
        if own != value:
            raise JobOptionsError(
                f"{tool.name}.{key} is {own!r}, that of the training set {dataset} is {value!r}",
                hint=f"its factors would belong to something else: set {key} of {tool.name} to the same",
            )


def _other_folds(reweighter: str, normaliser: str) -> JobOptionsError:
    return JobOptionsError(f"{reweighter} and {normaliser} have different folds", hint="set Folds of both to the same")
