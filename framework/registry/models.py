"""Models by file: which reader opens it, by content; opened once a process, and described for the record of what they
decorated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError, PluginError, PropertyError, nearest
from hepflow.protocols import Model, ModelReader, ModelWriter
from hepflow.registry.manager import registry
from hepflow.variables import Variable

__all__ = ["HEAD", "model_record", "model_sha256", "open_model", "reader_of", "recipes", "write_model"]

HEAD = 4096
"""Bytes by which readers recognise their files."""
_FIELDS = tuple(field.name for field in fields(Variable) if field.name not in ("binnings", "truth"))


def open_model(path: str | Path) -> Model:
    """Return the model of a file, opened once a process unless the file changes; NetworkError where no format knows it,
    or where it is damaged or cannot be evaluated rightly.
    """
    return _open(str(path), _stamp(path))


def reader_of(path: str | Path) -> type[ModelReader] | None:
    """Return the reader that recognises a file, None where none does; PluginError where two do."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise NetworkError(f"the model file cannot be read: {error.strerror}", where=str(path)) from error
    found: dict[str, type[ModelReader]] = {}
    for name, named in registry().names("models").items():
        reader: type[ModelReader] = named.load()
        if reader.recognises(Path(path), head):
            found[name] = reader
    if len(found) > 1:
        raise PluginError(
            f"the formats {' and '.join(found)} both take this file for theirs",
            where=str(path),
            hint="switch the plugin of one off with -p no:NAME",
        )
    return next(iter(found.values()), None)


def model_record(path: str | Path) -> dict[str, Any]:
    """Return the file's name, its SHA-256, and what it says of itself (its ``hepflow`` record)."""
    return {
        "WeightFile": Path(path).name,
        "sha256": model_sha256(path),
        "record": dict(open_model(path).record),
    }


def model_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a model file."""
    return _checksum(str(path), _stamp(path))


def write_model(model: Model, target: str | Path) -> Sequence[str]:
    """Write a model in the format that the target's ending says; returns what a user must know of it, in lines.

    NetworkError where no format with this ending takes the model, or where it cannot hold it.
    """
    ending = Path(target).suffix.lower()
    writers = [named.load() for named in registry().names("model_writers").values()]
    fitting: list[type[ModelWriter]] = [writer for writer in writers if writer.takes(model)]
    for writer in fitting:
        if ending in writer.endings:
            return writer.write(model, Path(target))
    endings = sorted({known for writer in fitting for known in writer.endings})
    if not fitting:
        raise NetworkError(
            f"a model of the format {model.format} cannot be converted",
            hint="convert what it was made from: a lwtnn JSON or Keras file, a weight file of trees",
        )
    raise NetworkError(
        f"the target {str(target)!r} must end in {' or '.join(endings)}",
        hint=f"that is what a model of the format {model.format} becomes",
    )


def recipes(model: Model) -> Mapping[str, Mapping[str, Variable]]:
    """Return what the file says of where its variables come from: input → variable → its recipe.

    Empty where it says nothing. NetworkError where what it says is no recipe.
    """
    found: dict[str, dict[str, Variable]] = {}
    held = model.record.get("variables", {})
    if not isinstance(held, Mapping):
        raise NetworkError("the variables in the record of the model are no object")
    for group, listed in held.items():
        found[group] = {}
        for entry in listed:
            unknown = [key for key in entry if key not in _FIELDS]
            if unknown:
                raise NetworkError(
                    f"the model says {unknown[0]!r} of a variable of {group!r}, which no variable has",
                    hint=nearest(unknown[0], _FIELDS, what="fields of a variable"),
                )
            try:
                variable = Variable.from_record(entry)
            except (TypeError, PropertyError) as error:
                raise NetworkError(f"the model has no recipe for a variable of {group!r}: {error}") from error
            found[group][variable.name] = variable
    return found


def _stamp(path: str | Path) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise NetworkError(f"the model file cannot be read: {error.strerror}", where=str(path)) from error
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _open(path: str, stamp: tuple[int, int]) -> Model:
    reader = reader_of(path)
    if reader is not None:
        return reader.read(Path(path))
    from hepflow.networks.loading import load

    return load(path)  # says what is wrong with it as a network


@lru_cache(maxsize=16)
def _checksum(path: str, stamp: tuple[int, int]) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
