"""The base class of all streams: an output with the tools that feed it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from hepflow.context import Context
from hepflow.errors import JobOptionsError, nearest
from hepflow.files import link_or_copy, sync_file
from hepflow.properties import Configurable, Property
from hepflow.protocols import ColumnInfo, Writer, matching
from hepflow.tool import Tool

if TYPE_CHECKING:
    from hepflow.events import Events
    from hepflow.events.column import Column

__all__ = ["Stream", "as_tools"]

S = TypeVar("S", bound="Stream")


def as_tools(thing: object, owner: str) -> list[Tool]:
    """Return the tools in what was added with ``+=``: one tool, or a list of them as a factory returns it."""
    things = list(thing) if isinstance(thing, Iterable) and not isinstance(thing, str | Configurable) else [thing]
    if not things:
        raise JobOptionsError(
            f"an empty list of tools was added to {owner}", hint="a factory that returns nothing configures nothing"
        )
    for item in things:
        if not isinstance(item, Tool):
            hint = "did you forget the parentheses?" if isinstance(item, type) else "add tools with +="
            raise JobOptionsError(f"{item!r} was added to {owner}, which is no tool", hint=hint)
    return things  # type: ignore[return-value]


class Stream(Configurable):
    """An output with the tools that feed it. Tools are added with ``stream += tool``.

    ``Keep`` and ``Drop`` are name patterns (``TauJets.*``) of columns that the stream passes on from its input and
    from the job's tools, besides what its own tools write.
    """

    suffix: ClassVar[str] = ".root"
    joined: ClassVar[str] = ""
    """Ending of the one file ``<stream><joined>`` that all parts become; empty where they stay numbered."""
    varies: ClassVar[bool] = False
    """Whether varied columns are written beside the nominal ones; else the stream is nominal."""
    always: ClassVar[tuple[str, ...]] = ()
    """Columns that no Drop pattern removes."""

    Keep: Property[tuple[str, ...]] = Property((), "name patterns of the columns to write", item=str)
    Drop: Property[tuple[str, ...]] = Property((), "name patterns of columns to leave out; overrides Keep", item=str)

    def __init__(self, name: str = "", /, **properties: Any) -> None:
        super().__init__(name, **properties)
        self.__dict__["tools"] = []

    tools: list[Tool]

    def __iadd__(self: S, thing: Tool | Iterable[Tool]) -> S:
        if self._configurable_phase != "configure":
            raise JobOptionsError(f"{self._label} is frozen: no tool can be added")
        self.tools.extend(as_tools(thing, self._label))
        return self

    def freeze(self) -> None:
        """Lock the properties and the list of tools."""
        super().freeze()
        for tool in self.tools:
            tool.freeze()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _rebuild, (type(self), self.name, self.values_set, self.tools)

    def wanted(self) -> Sequence[str]:
        """Return name patterns of the columns that the stream may take from the input, besides what its tools read."""
        return (*self.Keep, *self.always)

    def kept(self, available: Mapping[str, ColumnInfo | None]) -> list[str]:
        """Return the columns, of those available, that the stream passes on; JobOptionsError for a Keep that matches
        nothing.

        ``available`` gives what the plan knows of a column: its description, or None for a column made by a tool.
        """
        names = []
        for pattern in self.Keep:
            matched = matching(pattern, available)
            if not matched:
                raise JobOptionsError(
                    f"Keep = {pattern!r} matches no column",
                    where=self._label,
                    hint=f"{nearest(pattern, available, what='columns')}; hepflow plan JOB shows what tools write",
                )
            names += matched
        dropped = {name for pattern in self.Drop for name in matching(pattern, available)}
        kept = [name for name in dict.fromkeys(names) if name not in dropped]
        return kept + [name for name in self.always if name in available and name not in kept]

    def check(self, columns: Mapping[str, ColumnInfo | None], inputs: Mapping[str, ColumnInfo]) -> None:
        """Raise OutputError where this stream cannot write a column; called before the loop.

        ``columns`` are those that are written, as in ``kept``; ``inputs`` are all of the input: they tell how a column,
        and a new one of its container, is spelled.
        """

    def open(self, path: Path, metadata: Mapping[str, Any], inputs: Mapping[str, ColumnInfo]) -> Writer:
        """Return a writer of a new file; ``path`` is a temporary name, ``metadata`` says how the file is made,
        ``inputs`` are all columns of the input.
        """
        raise TypeError(f"{type(self).__name__} does not say how to write: override open()")

    def collect(self, events: Events, columns: Sequence[str]) -> Mapping[str, Column]:
        """Return the visible part of the columns of a chunk, as the writer takes them."""
        raise TypeError(f"{type(self).__name__} does not say what to write: override collect()")

    def close(self, parts: Sequence[Path], context: Context) -> list[Path]:
        """Give the finished parts their final names ``<stream>_000001.root`` in the run directory; return these.

        The parts stay where they are, under their own names, too: the run removes them when it has noted that the
        stream is closed, so that one that is killed meanwhile loses nothing.
        """
        files = []
        for number, part in enumerate(parts, start=1):
            target = context.path(f"{self.name}_{number:06d}{self.suffix}")
            link_or_copy(part, target)
            files.append(target)
        sync_file(context.directory)
        return files


def _rebuild(cls: type[S], name: str, values: Mapping[str, Any], tools: Sequence[Tool]) -> S:
    made = cls(name)
    for key, value in values.items():
        made.setProperty(key, value)
    made.tools.extend(tool.copy() for tool in tools)
    return made
