"""Reading training files: a Conf file (how to train) and an Arch file (the network), in the form of NNAlgs.

Both are YAML with one top key, the name of the architecture. Keys that have a meaning only there are accepted and
reported; any other key is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hepflow.datafiles import data_folders, find_data_file
from hepflow.errors import JobOptionsError, nearest
from hepflow.plugins.training.architectures.base import TRAINING, Architecture, NetworkInput
from hepflow.plugins.training.engines.base import Plan, network_inputs
from hepflow.registry.manager import registry

__all__ = ["Conf", "NetworkPlan", "plan_network", "read_arch", "read_conf"]

USED = ("name", "arch", "epochs", "patience", "opt", "verbose")
WITHOUT_EFFECT = ("gpus", "workers", "lmdb_dir", "gen", "model", "tune", "tune_model", "save_dir", "dropout")


@dataclass(frozen=True)
class Conf:
    """What a Conf file says: the architecture and its Arch file, settings by key, and the keys without effect."""

    path: Path
    architecture: str
    arch: Path | None
    settings: Mapping[str, Any]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkPlan(Plan):
    """A network that can be built: architecture, its resolved configuration, inputs and classes."""

    name: str
    architecture: Architecture
    config: Mapping[str, Any]
    inputs: tuple[NetworkInput, ...]
    classes: tuple[str, ...]
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def build(self, form: str = TRAINING) -> Any:
        """Return the Keras model; see ``Architecture.build``."""
        return self.architecture.build(self.inputs, self.classes, self.config, form)

    @property
    def loss(self) -> str:  # type: ignore[override]
        """Return the name of the loss."""
        return self.architecture.loss(self.config)

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON takes it."""
        return {
            "architecture": self.name,
            "config": dict(self.config),
            "inputs": json.loads(json.dumps([asdict(i) for i in self.inputs])),
            "classes": list(self.classes),
        }

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> NetworkPlan:
        """Return the plan that ``describe`` wrote down."""
        inputs = network_inputs(data["inputs"])
        architecture = registry().load("architectures", data["architecture"])()
        return cls(data["architecture"], architecture, data["config"], inputs, tuple(data["classes"]))


def read_conf(path: Path) -> Conf:
    """Read a Conf file; JobOptionsError for an unknown key, a wrong value, or an Arch file that is not there."""
    name, content = _read(path)
    for key in content:
        if key not in (*USED, *WITHOUT_EFFECT):
            raise JobOptionsError(
                f"there is no key {key!r}", where=str(path), hint=nearest(str(key), (*USED, *WITHOUT_EFFECT))
            )
    for key in ("epochs", "patience"):
        value = content.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise JobOptionsError(f"{key} is {value!r}, it must be a whole number from 1", where=str(path))
    if not isinstance(content.get("opt", ""), str):
        raise JobOptionsError(f"opt is {content['opt']!r}, it must be the name of an optimiser", where=str(path))
    arch = content.get("arch")
    found = None if arch is None else _beside(str(arch), path)
    settings = {key: content[key] for key in USED if key in content and key != "arch"}
    return Conf(path, name, found, settings, tuple(key for key in WITHOUT_EFFECT if key in content))


def read_arch(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the architecture's name and the keys of an Arch file; JobOptionsError where it is not of that form."""
    return _read(path)


def plan_network(
    architecture: str, arch_file: Path | None, inputs: tuple[NetworkInput, ...], classes: tuple[str, ...]
) -> NetworkPlan:
    """Return the network of an architecture, as its Arch file or its defaults say, for inputs and classes.

    Raises JobOptionsError, PluginError or NetworkError where name, file and data do not go together.
    """
    kind: Architecture = registry().load("architectures", architecture)()
    if kind.LIBRARY != "keras":
        hint = f'set Engine = "{kind.LIBRARY}"'
        raise JobOptionsError(f"the architecture {architecture} is of {kind.LIBRARY}, not of Keras", hint=hint)
    given = None
    if arch_file is not None:
        named, given = read_arch(arch_file)
        if named != architecture:
            raise JobOptionsError(
                f"the file is of the architecture {named!r}, not {architecture!r}", where=str(arch_file)
            )
    config = kind.resolve(given, inputs, classes, where=str(arch_file or architecture))
    ignored = tuple(key for key in kind.WITHOUT_EFFECT if key in (given or {}))
    return NetworkPlan(
        architecture, kind, config, inputs, classes, {str(arch_file): ignored} if ignored and arch_file else {}
    )


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the one top key of a YAML file and its content."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise JobOptionsError(f"the file cannot be read: {' '.join(str(error).split())}", where=str(path)) from error
    if not isinstance(content, dict) or len(content) != 1:
        raise JobOptionsError(
            "the file must have one top key, the name of the architecture",
            where=str(path),
            hint="for example  DSNN:  with all other keys indented below it",
        )
    name, inner = next(iter(content.items()))
    if not isinstance(inner, dict):
        raise JobOptionsError(f"there are no keys below {name!r}", where=str(path))
    return str(name), inner


def _beside(arch: str, conf: Path) -> Path:
    """Return the Arch file that a Conf file names: beside it, under its folders, or among the data files."""
    for candidate in (conf.parent / arch, conf.parent / Path(arch).name):
        if candidate.is_file():
            return candidate.resolve()
    return find_data_file(Path(arch).name, [conf.parent, *data_folders()], where=f"{conf}: arch")
