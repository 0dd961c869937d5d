"""Errors for users: each says what is wrong, where, what was expected, the nearest match and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

__all__ = [
    "ChangedError",
    "ColumnError",
    "DamagedError",
    "HepflowError",
    "InputError",
    "JobOptionsError",
    "NetworkError",
    "OutputError",
    "PlotError",
    "PluginError",
    "PropertyError",
    "ToolError",
    "TreeError",
    "TruncatedError",
    "UnitsFailedError",
    "WorkerError",
    "differences",
    "listed",
    "many",
    "nearest",
]

WIDTH = 70
"""Most characters of a value in a line of ``differences``."""
SHOWN = 12
"""Lines that ``listed`` shows."""


E = TypeVar("E", bound="HepflowError")


class HepflowError(Exception):
    """Base of all errors that hepflow raises on purpose.

    ``message`` says what is wrong, ``where`` names the job option, tool, file, column or entry range, and ``hint`` says
    what to do. ``str(error)`` joins them, one to a line. ``about`` is the one name that the error is about (a column
    that is not there, an option as it is written), for who catches the error and knows more of it.
    """

    cause: ClassVar[str] = "failed"
    """The kind of error in a word or two: units that fail are counted by it."""

    def __init__(self, message: str, *, where: str = "", hint: str = "", about: str = "") -> None:
        super().__init__(message, where, hint)
        self.message = message
        self.where = where
        self.hint = hint
        self.about = about

    def but(self: E, *, where: str | None = None, hint: str | None = None) -> E:
        """Return the same error with another place or hint."""
        where, hint = self.where if where is None else where, self.hint if hint is None else hint
        return type(self)(self.message, where=where, hint=hint, about=self.about)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.where, self.hint, self.about)

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)


def _rebuild(cls: type[HepflowError], message: str, where: str, hint: str, about: str) -> HepflowError:
    return cls(message, where=where, hint=hint, about=about)


class JobOptionsError(HepflowError):
    """A job-option file or the command line does not describe a job."""


class PropertyError(HepflowError, AttributeError):
    """An unknown property, or a value that the property does not accept."""


class PluginError(HepflowError):
    """Something named is not found, found twice, or cannot be imported."""


class InputError(HepflowError):
    """An input is missing, empty, damaged, or not what the job reads."""

    cause = "cannot be read"


class DamagedError(InputError):
    """An input that was whole once: truncated or broken. A search through a folder does not pass it over."""

    cause = "damaged"


class TruncatedError(DamagedError):
    """An input that ends too early."""

    cause = "truncated"


class ChangedError(InputError):
    """An input that was replaced or written to while the run read it."""

    cause = "changed during the run"


class TreeError(InputError):
    """An input with several trees of which none was chosen. A search through a folder does not pass it over."""

    cause = "several trees"


class ColumnError(HepflowError, KeyError):
    """A container or column that is not there, was not declared, or does not fit."""

    cause = "no such column"

    __str__ = HepflowError.__str__


class OutputError(HepflowError):
    """An output cannot be written."""


class ToolError(HepflowError):
    """A tool failed while it ran."""

    cause = "error of a tool"


class UnitsFailedError(HepflowError):
    """Work units failed; the others are done and kept."""


class WorkerError(HepflowError):
    """A worker process died, or ran into a limit."""

    cause = "worker lost"


class NetworkError(HepflowError):
    """A network file is damaged, inconsistent, or does not fit its inputs."""


class PlotError(HepflowError):
    """A plot object cannot be made, filled, added or read as asked."""


def many(number: int, thing: str) -> str:
    """Return a number of things in words: ``1 file``, ``1,200 files``, ``2 entries``."""
    things = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else things}"


def nearest(name: str, known: Iterable[str], *, what: str = "") -> str:
    """Return a hint that names the known names closest to ``name``, or lists them where none is close.

    >>> nearest("PtMinn", ["PtMin", "AbsEtaMax"])
    "did you mean 'PtMin'?"
    >>> nearest("pt", ["TauJets.eta", "TauJets.pt"])
    "did you mean 'TauJets.pt'?"
    """
    options = sorted(set(known))
    lowered = {option.lower(): option for option in options}
    same = [option for option in options if option.lower() == name.lower()]
    ends = [option for option in options if name and option.lower().endswith(f".{name.lower()}")][:3]
    close = same or ends or [lowered[m] for m in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if not options:
        return f"there are no {what or 'names'} to choose from"
    shown = ", ".join(options[:12]) + (f", … ({len(options)} in all)" if len(options) > 12 else "")
    return f"known {what or 'names'}: {shown}"


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Return a line for each leaf in which nested dicts and lists differ.

    Of long values the part that differs is shown.

    >>> differences({"cut": {"PtMin": 5.0, "Tight": True}}, {"cut": {"PtMin": 7.0, "Tight": True}})
    ['cut.PtMin: 5.0 → 7.0']
    """
    if old == new:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(f".{key}" if where else str(key), key) for key in dict.fromkeys([*old, *new])]
        return [
            line
            for part, key in pairs
            for line in differences(old.get(key, _ABSENT), new.get(key, _ABSENT), where + part)
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, (a, b) in enumerate(zip(old, new, strict=True)) for line in differences(a, b, f"{where}[{i}]")
        ]
    texts = repr(old), repr(new)
    equal = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    start = max(0, equal - WIDTH // 3) if max(map(len, texts)) > WIDTH else 0
    return [f"{where}: " + " → ".join(_part(text, start) for text in texts)]


def listed(lines: Sequence[str]) -> str:
    """Return the lines below each other; of many the first, and how many more there are."""
    more = f"\n  … and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "".join(f"\n  {line}" for line in lines[:SHOWN]) + more


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _part(text: str, start: int) -> str:
    """Return the part of a text from ``start`` on that fits into a line."""
    return ("…" if start else "") + text[start : start + WIDTH] + ("…" if len(text) > start + WIDTH else "")
