"""Values as data: JSON with the bytes of arrays behind it, which anybody may read without running what somebody wrote.

Data are numbers, texts, bytes, paths, arrays, plot objects, hepflow's dataclasses, and dicts, lists, tuples, sets of
these. Anything else is pickled inside, and whoever unpacks must say that he trusts it. Paths in a folder are kept by
what they are called in there: the folder may have been moved or copied.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import io
import json
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

__all__ = ["Packed", "PackingError", "pack", "unpack"]

_NUMBERS = {bool, int, float}
_PATH = type(Path())
_SUMS = "<i4", "<f8", "<f8"
"""Numbers of bins, sums of weights and of squares of a plot object."""
_OURS = re.compile(r"hepflow(\.[A-Za-z_]\w*)+")


class PackingError(ValueError):
    """A value that cannot be packed or unpacked; the message says why, ``keys`` where it is in dicts in dicts."""

    keys: tuple[Any, ...] = ()


class Packed(NamedTuple):
    """A value as bytes; whether some of it is pickled, and whether that has classes which only this process knows."""

    content: bytes
    pickled: bool = False
    local: bool = False


def pack(value: Any, folder: Path, *, pickles: bool = True) -> Packed:
    """Return a value as bytes; PackingError where it cannot be pickled, or may not be (``pickles``)."""
    packer = _Packer(str(folder), pickles)
    try:
        told = packer.encode(value)
        text = json.dumps(
            [told, [len(one) for one in packer.buffers], [one for _, one in packer.layouts.values()]]
        ).encode()
    except PackingError:
        raise
    except Exception as error:  # whatever a value's own pickling raises
        raise PackingError(f"{type(error).__name__}: {error}") from error
    return Packed(b"".join([len(text).to_bytes(8, "little"), text, *packer.buffers]), packer.pickled, packer.local)


def unpack(content: bytes, folder: Path, *, trusted: bool = False) -> Any:
    """Return what ``pack`` packed, in a folder that may be another one; PackingError where that is not possible, or
    where it is pickled and not ``trusted``.
    """
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        value, lengths, layouts = json.loads(content[8:start])
        buffers = []
        for length in lengths:
            buffers.append(content[start : start + length])
            start += length
        unpacker = _Unpacker(str(folder), trusted, buffers)
        unpacker.layouts = unpacker.decode(layouts)
        return unpacker.decode(value)
    except PackingError:
        raise
    except Exception as error:  # whatever damaged bytes, or a value's own unpickling, raise
        raise PackingError(f"{type(error).__name__}: {error}") from error


class _Packer:
    """Turns values into JSON, in which a dict is always {what it is: of what}, and buffers."""

    def __init__(self, folder: str, pickles: bool) -> None:
        self.folder = folder
        self.pickles = pickles
        self.buffers: list[bytes] = []
        self.layouts: dict[Any, tuple[int, Any]] = {}
        """Layout of plot objects, of which many have the same → its number, and the JSON of it."""
        self.pickled = self.local = False

    def encode(self, value: Any) -> Any:
        """Return a value as JSON."""
        kind = type(value)
        if value is None or kind in (bool, int, float):
            return value
        if kind is str:
            return {"text": rest} if (rest := _inside(value, self.folder)) is not None else value
        if kind is list:
            return value if _plain(value) else [self.encode(one) for one in value]
        if kind is dict:
            return {"dict": [[self.encode(key), _within(key, self.encode, one)] for key, one in value.items()]}
        if kind in (tuple, set, frozenset):
            return {kind.__name__: list(value) if _plain(value) else [self.encode(one) for one in value]}
        if kind is bytes:
            return {"bytes": self._buffer(value)}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is _PATH:
            rest = _inside(str(value), self.folder)
            return {"path": str(value)} if rest is None else {"inside": rest}
        return self._encode_object(value, kind)

    def _encode_object(self, value: Any, kind: type) -> Any:
        if (kind is np.ndarray or isinstance(value, np.generic)) and not value.dtype.hasobject:
            described = repr(np.lib.format.dtype_to_descr(value.dtype))
            return {
                "array" if kind is np.ndarray else "number": [described, value.shape, self._buffer(value.tobytes())]
            }
        name = f"{kind.__module__}:{kind.__qualname__}"
        if _OURS.fullmatch(kind.__module__):
            if _plot_class(kind.__name__) is kind:
                _, (_, state, sums) = value.__reduce__()
                layout = self._layout(state.pop("layout"))
                return {"plot": [kind.__name__, layout, self.encode(state), *self._sums(sums)]}
            fields = _fields(name)
            if _class(name) is kind and fields is not None and {*getattr(value, "__dict__", fields)} <= {*fields}:
                return {"fields": [name, [self.encode(getattr(value, field)) for field in fields]]}
        return self._pickle(value)

    def _layout(self, layout: dict[str, Any]) -> int:
        key = tuple(layout.items())
        if key not in self.layouts:
            self.layouts[key] = len(self.layouts), self.encode(layout)
        return self.layouts[key][0]

    def _sums(self, sums: Mapping[str, Any]) -> tuple[list[Any], int]:
        """Return what each of a plot object's sums is called, how many bins it has, and whether squares are others;
        and the buffer of all.
        """
        told = [[name, len(bins), squares is not None] for name, (bins, _, squares) in sums.items()]
        arrays = [one for parts in sums.values() for one in zip(_SUMS, parts, strict=True) if one[1] is not None]
        return told, self._buffer(b"".join(part.astype(kind, copy=False).tobytes() for kind, part in arrays))

    def _buffer(self, content: bytes) -> int:
        self.buffers.append(content)
        return len(self.buffers) - 1

    def _pickle(self, value: Any) -> Any:
        if not self.pickles:
            raise PackingError(f"{type(value).__name__} is no data: it can only be pickled")
        blob = io.BytesIO()
        pickler = _Pickler(blob, self.folder)
        pickler.dump(value)
        self.pickled = True
        self.local |= pickler.local
        return {"pickle": self._buffer(blob.getvalue())}


class _Unpacker:
    def __init__(self, folder: str, trusted: bool, buffers: list[bytes]) -> None:
        self.folder = folder
        self.trusted = trusted
        self.buffers = buffers
        self.layouts: list[Any] = []
        self.decoders: dict[str, Callable[[Any], Any]] = {
            "text": lambda rest: self.folder + rest,
            "inside": lambda rest: Path(self.folder + rest),
            "path": Path,
            "dict": self._dict,
            "tuple": lambda values: tuple(self.decode(values)),
            "set": lambda values: set(self.decode(values)),
            "frozenset": lambda values: frozenset(self.decode(values)),
            "complex": lambda parts: complex(*parts),
            "bytes": lambda number: self.buffers[number],
            "array": lambda told: self._array(*told),
            "number": lambda told: self._array(*told)[()],
            "plot": lambda told: self._plot(*told),
            "fields": lambda told: self._object(*told),
            "pickle": self._unpickle,
        }

    def decode(self, value: Any) -> Any:
        """Return the value that JSON stands for."""
        if isinstance(value, list):
            return value if _plain(value) else [self.decode(one) for one in value]
        if not isinstance(value, dict):
            return value
        ((what, told),) = value.items()
        return self.decoders[what](told)

    def _dict(self, pairs: list[Any]) -> dict[Any, Any]:
        keyed = [(self.decode(key), one) for key, one in pairs]
        return {key: _within(key, self.decode, one) for key, one in keyed}

    def _array(self, described: str, shape: list[int], number: int) -> Any:
        return np.ndarray(shape, _dtype(described), bytearray(self.buffers[number]))

    def _plot(self, name: str, layout: int, state: Any, told: list[Any], number: int) -> Any:
        from hepflow.plots.base import restore

        kind = _plot_class(name)
        if kind is None:
            raise PackingError(f"there is no plot object {name!r}")
        content, place, sums = self.buffers[number], 0, {}
        for what, size, squares in told:
            parts: list[Any] = []
            for dtype in _SUMS[: 2 + bool(squares)]:
                parts.append(np.frombuffer(content, dtype, size, place))
                place += parts[-1].nbytes
            sums[what] = (*parts, *([] if squares else [None]))
        return restore(kind, {**self.decode(state), "layout": self.layouts[layout]}, sums)

    def _object(self, name: str, values: list[Any]) -> Any:
        kind, fields = _class(name), _fields(name)
        if kind is None or fields is None:
            raise PackingError(f"{name!r} is no dataclass of hepflow")
        if issubclass(kind, tuple):
            return kind._make(self.decode(values))  # type: ignore[attr-defined]
        made = object.__new__(kind)
        for field, value in zip(fields, values, strict=True):
            object.__setattr__(made, field, self.decode(value))
        return made

    def _unpickle(self, number: int) -> Any:
        if not self.trusted:
            raise PackingError("this is no data, but code of whoever wrote it")
        return _Unpickler(io.BytesIO(self.buffers[number]), self.folder).load()


def _plain(values: Iterable[Any]) -> bool:
    """Tell whether all are numbers: the edges of axes, of which there are many."""
    return {*map(type, values)} <= _NUMBERS


@cache
def _dtype(described: str) -> np.dtype[Any]:
    return np.lib.format.descr_to_dtype(ast.literal_eval(described))


@cache
def _class(name: str) -> type[Any] | None:
    """Return a class of hepflow or of its plugins by ``module:name``, None where it is none."""
    module, _, qualified = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), qualified) if _OURS.fullmatch(module) else None
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None


@cache
def _fields(name: str) -> tuple[str, ...] | None:
    """Return the fields of a dataclass or named tuple without pickling of its own, else None."""
    kind = _class(name)
    if kind is None or "__reduce__" in vars(kind) or "__getstate__" in vars(kind):
        return None
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None)
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def _plot_class(name: str) -> type[Any] | None:
    """Return a kind of plot object by name."""
    from hepflow.plots.base import KINDS

    return _class(f"hepflow.plots.{KINDS[name]}:{name}") if name in KINDS else None


def _within(key: Any, function: Callable[[Any], Any], value: Any) -> Any:
    """Return what a function gives for a value in a dict; PackingError that has its key."""
    try:
        return function(value)
    except Exception as error:  # whatever a value's own pickling raises
        told = error if isinstance(error, PackingError) else PackingError(f"{type(error).__name__}: {error}")
        told.keys = (key, *told.keys)
        raise told from error.__cause__ if told is error else error


def _inside(path: str, folder: str) -> str | None:
    """Return what follows a folder in a path, None where it is not in there."""
    return path[len(folder) :] if path == folder or path.startswith(folder + os.sep) else None


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles paths in a folder by what they are called in there, and the classes of modules that only the main process
    has (a job-option file) by name.
    """

    def __init__(self, file: io.BytesIO, folder: str) -> None:
        super().__init__(file)
        self._folder = folder
        self.local = False

    def persistent_id(self, thing: Any) -> tuple[str, str, str] | None:
        """Return (what it is, where, its name) of such things, None of anything else."""
        if isinstance(thing, str | Path):
            rest = _inside(str(thing), self._folder)
            return None if rest is None else ("text" if isinstance(thing, str) else "path", "", rest)
        if isinstance(thing, type) and _is_by_value(thing.__module__):
            if "<locals>" not in thing.__qualname__:
                return "class", thing.__module__, thing.__qualname__
            self.local = True
        elif isinstance(thing, type) and "<locals>" in thing.__qualname__:
            self.local = True
        return None


def _is_by_value(module: str) -> bool:
    by_value: Mapping[str, Any] | set[str] = cloudpickle.list_registry_pickle_by_value()
    return module in by_value or module in ("__main__", "__mp_main__") or module not in sys.modules


class _Unpickler(pickle.Unpickler):
    """Reads what ``_Pickler`` wrote."""

    def __init__(self, file: io.BytesIO, folder: str) -> None:
        super().__init__(file)
        self._folder = folder

    def persistent_load(self, held: tuple[str, str, str]) -> Any:
        """Return the path in this folder, or the class of that name."""
        what, module, name = held
        if what != "class":
            return self._folder + name if what == "text" else Path(self._folder + name)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        return found
