"""Typed, documented properties, and the base class of everything that is configured with them.

A property is declared once, in the class; from that one line come the check when it is set, ``hepflow describe``, the
``--set`` option and the record of the resolved job.
"""

from __future__ import annotations

import builtins
import contextvars
import inspect
import json
import numbers
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from hepflow.errors import PropertyError, nearest
from hepflow.files import matching_files

__all__ = ["Configurable", "Property", "on_made"]

T = TypeVar("T")
C = TypeVar("C", bound="Configurable")

on_made: contextvars.ContextVar[Callable[[Configurable], None] | None] = contextvars.ContextVar("on_made", default=None)
"""Is called with everything configurable that is made: so a job-option file learns of tools that it never adds."""

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


class Property(Generic[T]):
    """One typed, documented setting of a tool or a stream.

    The type is that of ``default``: bool, int, float, str, tuple (any sequence is accepted and kept as a tuple),
    dict, or the class given as ``type``; with ``default=None`` and a ``type`` the property may stay unset. ``item``
    is the type of the elements of a tuple or the values of a dict (by default that of the first). An int is accepted
    for a float, and a text for a class that can ``parse`` it. ``choices``, ``minimum`` and ``maximum`` narrow the
    values; for a tuple they apply to each element.
    ``file`` marks names of data files, or patterns of names: they are searched when the job is frozen, and recorded
    with their checksums.

    >>> class Cut(Configurable):
    ...     PtMin = Property(15_000.0, "lowest pt", unit="MeV", minimum=0)
    >>> Cut("cut", PtMin=20_000).PtMin
    20000.0
    """

    def __init__(
        self,
        default: T,
        doc: str,
        *,
        type: type[Any] | None = None,
        item: type[Any] | None = None,
        choices: Sequence[Any] = (),
        minimum: float | None = None,
        maximum: float | None = None,
        unit: str = "",
        file: bool = False,
    ) -> None:
        self.name = ""
        self.doc = doc
        self.optional = default is None
        listed = isinstance(default, Sequence) and not isinstance(default, str)
        self.type: builtins.type[Any] = type or (tuple if listed else default.__class__)
        self.item = item
        if item is None and isinstance(default, tuple | list | dict) and default:
            first = next(iter(default.values())) if isinstance(default, dict) else default[0]
            self.item = first.__class__
        self.choices = tuple(choices)
        self.minimum = minimum
        self.maximum = maximum
        self.unit = unit
        self.file = file
        self._default = default
        declared = sys._getframe(1)
        self._place = (declared.f_code.co_filename, declared.f_lineno)

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    @property
    def default(self) -> T:
        """Return the checked default."""
        return self.check(self._default)

    @property
    def type_name(self) -> str:
        """Return the type as shown to users: ``float``, ``tuple of str``."""
        name = self.type.__name__
        if self.type in (tuple, dict) and self.item is not None:
            name += f" of {self.item.__name__}"
        return f"{name} or None" if self.optional else name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Property[T]: ...
    @overload
    def __get__(self, instance: Configurable, owner: type[Any]) -> T: ...
    def __get__(self, instance: Configurable | None, owner: type[Any]) -> Property[T] | T:
        if instance is None:
            return self
        values: dict[str, T] = instance.__dict__["_configurable_values"]
        value = values.get(self.name, self.default)
        return cast("T", dict(value)) if isinstance(value, dict) else value  # a copy: what is set stays as checked

    def __set__(self, instance: Configurable, value: T) -> None:
        instance._store(self, value)

    def check(self, value: Any) -> T:
        """Return ``value`` in the property's type; raise PropertyError where it does not fit."""
        if value is None and self.optional:
            return cast("T", value)
        if self.type is tuple:
            if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
                raise self._error(value)
            checked: Any = tuple(self._one(element, self.item, value) for element in value)
        elif self.type is dict:
            if not isinstance(value, Mapping):
                raise self._error(value)
            checked = {key: self._one(element, self.item, value) for key, element in value.items()}
        else:
            checked = self._one(value, self.type, value)
        return cast("T", checked)

    def _one(self, value: Any, kind: type[Any] | None, whole: Any) -> Any:
        if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
            value = float(value)
        elif kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
            value = int(value)
        elif kind is tuple and isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, str) and kind is not None and not issubclass(kind, str) and hasattr(kind, "parse"):
            value = kind.parse(value)
        elif kind is not None and not (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
            raise self._error(whole)
        if self.choices and value not in self.choices:
            raise PropertyError(
                f"{self.name} does not accept {value!r}",
                hint=nearest(str(value), [str(choice) for choice in self.choices], what="choices"),
            )
        if (self.minimum, self.maximum) != (None, None) and isinstance(value, str):
            raise PropertyError(
                f"{self.name} has a minimum or maximum, but {value!r} is a text",
                hint="the default is first, then what it is: Property(15.0, 'lowest pt', minimum=0)",
            )
        if self.minimum is not None and not value >= self.minimum:
            raise PropertyError(f"{self.name} = {value!r} is below its minimum {self.minimum:g}{self._unit}")
        if self.maximum is not None and not value <= self.maximum:
            raise PropertyError(f"{self.name} = {value!r} is above its maximum {self.maximum:g}{self._unit}")
        return value

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _error(self, value: Any) -> PropertyError:
        return PropertyError(
            f"{self.name} wants {self.type_name}, got {value!r} ({type(value).__name__})", hint=self.doc
        )

    def parse(self, text: str) -> T:
        """Turn the text of ``--set`` or of a job option into a checked value.

        A tuple is written ``a,b,c`` or as a JSON list, a dict as JSON.
        """
        stripped = text.strip()
        if self.optional and stripped.lower() == "none":
            return self.check(None)
        try:
            if self.type is tuple:
                elements = (
                    json.loads(stripped)
                    if stripped.startswith("[")
                    else [e.strip() for e in stripped.split(",") if e.strip()]
                )
                return self.check([_parse(e, self.item) if isinstance(e, str) else e for e in elements])
            if self.type is dict:
                return self.check(json.loads(stripped))
            return self.check(_parse(text, self.type))
        except ValueError as error:
            raise PropertyError(f"{self.name} wants {self.type_name}, got the text {text!r}", hint=self.doc) from error


def _parse(text: str, kind: type[Any] | None) -> Any:
    """Read one scalar; raises ValueError."""
    if kind is None or kind is str:
        return text
    if kind is bool:
        lowered = text.strip().lower()
        if lowered not in _TRUE | _FALSE:
            raise ValueError(text)
        return lowered in _TRUE
    if kind in (int, float):
        return kind(text.strip())
    if hasattr(kind, "parse"):
        return kind.parse(text)
    raise ValueError(f"a {kind.__name__} cannot be written as text")


class Configurable:
    """A named thing with properties: the base of tools and streams.

    ``X("name", Property=value)``, ``x.Property = value`` and ``x.setProperty("Property", value)`` are the same.
    Unknown names and wrong values are errors where they are set. It pickles as (class, name, the properties that were
    set), so nothing else travels to a worker.
    """

    _properties: ClassVar[dict[str, Property[Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared: dict[str, Property[Any]] = {}
        others = {"name", "tools"}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Property):
                    declared[name] = value
                else:
                    others.add(name)
        for name, prop in declared.items():
            if name in others:
                raise PropertyError(
                    f"{cls.__name__}.{name} is a property and something else",
                    hint="give the property another name, or its new default in a Property",
                )
            try:
                prop.check(prop._default)
            except PropertyError as error:
                where = "{}, line {}".format(*prop._place)
                text = f"default of {cls.__name__}.{name}: {error.message}"
                raise PropertyError(text, where=where, hint=error.hint) from None
        cls._properties = declared

    def __init__(self, name: str = "", /, **properties: Any) -> None:
        cls = type(self)
        self.__dict__.update(name=name or cls.__name__, _configurable_values={}, _configurable_phase="configure")
        if not isinstance(name, str):
            raise PropertyError(f"the first argument of {cls.__name__} is its name, a text, not {name!r}")
        if not all(part.isidentifier() for part in self.name.replace("-", "_").split(".")):
            raise PropertyError(f"{name!r} is no name for a {cls.__name__}", hint="use letters, digits, '_' and '-'")
        for key, value in properties.items():
            self.setProperty(key, value)
        notice = on_made.get()
        if notice is not None:
            notice(self)

    name: str

    @classmethod
    def properties(cls) -> Mapping[str, Property[Any]]:
        """Return the declared properties by name, base classes first."""
        return cls._properties

    @property
    def values_set(self) -> dict[str, Any]:
        """Return the properties that were set, as set."""
        return dict(self.__dict__["_configurable_values"])

    @property
    def values(self) -> dict[str, Any]:
        """Return all properties with their values."""
        return {name: getattr(self, name) for name in self._properties}

    def data_files(self) -> dict[str, str]:
        """Return the files that this depends on, by property (``Property[0]``, … of several): those of the ``file``
        properties. Override it for files that are named in another way; only files that are there count.

        They are recorded with their checksums, and ``--resume`` does again what depends on one that has changed.
        """
        found: dict[str, str] = {}
        for name, value in self.values.items():
            if self._properties[name].file and value:
                paths = value if isinstance(value, tuple) else matching_files(value)
                several = isinstance(value, tuple) or len(paths) > 1
                found |= {f"{name}[{i}]" if several else name: path for i, path in enumerate(paths)}
        return found

    def setProperty(self, name: str, value: Any) -> bool:  # noqa: N802 - the name that Gaudi and Athena users type
        """Set a property; returns True, as job options wrapped in a status check expect."""
        prop = self._properties.get(name)
        if prop is None:
            raise self._unknown(name)
        prop.__set__(self, value)
        return True

    def _store(self, prop: Property[Any], value: Any) -> None:
        if self._configurable_phase != "configure":
            raise PropertyError(
                f"{self._label}.{prop.name} cannot be set: the job is frozen",
                hint="set properties in the job options or with --set",
            )
        try:
            self.__dict__["_configurable_values"][prop.name] = prop.check(value)
        except PropertyError as error:
            raise PropertyError(error.message, where=self._label, hint=error.hint) from None

    def _unknown(self, name: str) -> PropertyError:
        return PropertyError(
            f"{type(self).__name__} has no property {name!r}",
            where=self._label,
            hint=nearest(name, self._properties, what="properties"),
        )

    @property
    def _label(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(inspect.getattr_static(type(self), name, None), Property):
            object.__setattr__(self, name, value)
        elif self._configurable_phase == "initialize":
            self.__dict__[name] = value
        elif self._configurable_phase == "configure":
            raise self._unknown(name)
        else:
            raise PropertyError(
                f"{self._label} sets its attribute {name!r} outside initialize",
                hint="a tool has no hidden state: what it accumulates belongs in its result (start, execute)",
            )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        raise self._unknown(name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), self.name, self.values_set)

    def __repr__(self) -> str:
        values = "".join(f", {name}={value!r}" for name, value in self.values_set.items())
        return f"{type(self).__name__}({self.name!r}{values})"

    def freeze(self) -> None:
        """Lock the properties."""
        self.__dict__["_configurable_phase"] = "frozen"

    def copy(self: C) -> C:
        """Return a new, unlocked thing of the same class with the same name and properties."""
        function, arguments = self.__reduce__()
        copied: C = function(*arguments)
        return copied


def _rebuild(cls: type[C], name: str, values: Mapping[str, Any]) -> C:
    made = cls(name)
    for key, value in values.items():
        made.setProperty(key, value)
    return made
