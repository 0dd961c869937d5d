"""Search spaces of the Tuner: what a setting may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hepflow.errors import JobOptionsError

__all__ = ["Choice", "Float", "Int", "Layers", "SearchRange"]


class SearchRange:
    """What a setting may be; base of ``Int``, ``Float``, ``Choice`` and ``Layers``."""

    def suggest(self, trial: Any, name: str) -> Any:
        """Return the value that an Optuna trial takes."""
        raise TypeError(f"{type(self).__name__} suggests nothing")


@dataclass(frozen=True)
class Int(SearchRange):
    """A whole number from ``low`` to ``high``, in steps from ``low``."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if not (self.low <= self.high and self.step >= 1):
            raise JobOptionsError(f"{self!r} is empty")

    def suggest(self, trial: Any, name: str) -> int:
        """Return a whole number."""
        high = self.low + (self.high - self.low) // self.step * self.step
        return int(trial.suggest_int(name, self.low, high, step=self.step))


@dataclass(frozen=True)
class Float(SearchRange):
    """A number from ``low`` to ``high``, uniform, or uniform in its logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise JobOptionsError(f"{self!r} is empty, or reaches below 0 in a logarithm")

    def suggest(self, trial: Any, name: str) -> float:
        """Return a number."""
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))


class Choice(SearchRange):
    """One of some values: ``Choice("adam", "nadam")``."""

    def __init__(self, *values: Any) -> None:
        if not values:
            raise JobOptionsError("a Choice needs values")
        self.values = values

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"

    def suggest(self, trial: Any, name: str) -> Any:
        """Return one of the values."""
        return trial.suggest_categorical(name, self.values)


@dataclass(frozen=True)
class Layers(SearchRange):
    """Sizes of several layers, each of its own: ``Layers(Int(3, 4), Int(10, 40, 3))`` is three or four of 10 to 40."""

    number: Int
    size: Int

    def suggest(self, trial: Any, name: str) -> list[int]:
        """Return the sizes."""
        number = self.number.suggest(trial, f"{name}.layers")
        return [self.size.suggest(trial, f"{name}.{place}") for place in range(1, number + 1)]


def suggest_all(space: Mapping[str, SearchRange], trial: Any, inputs: list[str]) -> dict[str, Any]:
    """Return a value for each key; ``key`` is for all inputs that have no ``key.<input>`` of their own."""
    found: dict[str, Any] = {}
    for name, kind in space.items():
        key, dot, one = name.partition(".")
        value = kind.suggest(trial, name)
        if not dot and not any(other.startswith(f"{name}.") for other in space):
            found[key] = value
            continue
        own = [other.partition(".")[2] for other in space if other.startswith(f"{key}.")]
        for wanted in [one] if dot else [i for i in inputs if i not in own]:
            found.setdefault(key, {})[wanted] = value
    return found
