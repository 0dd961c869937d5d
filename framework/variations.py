"""Variations of a job (``Job.vary``): what is overridden where something is a little different from the nominal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepflow.errors import JobOptionsError, nearest
from hepflow.expressions import Expression, Weight
from hepflow.properties import Property
from hepflow.tool import Tool

__all__ = ["KINDS", "VARIATIONS", "FromInput", "Override", "Variation", "check_columns", "chosen"]

KINDS = ("columns", "weight", "factor", "samples", "unchanged", "stored")
"""What ``Job.vary`` takes besides tools."""
VARIATIONS = "variations"
"""Key of the results of the variations among those of the tools."""


class Override(Tool):
    """Give columns the values of expressions: ``Columns={"TauJets.pt": "TauJets.pt * 1.03"}``.

    A later expression sees what an earlier one made.
    """

    selects = False

    Columns: Property[dict[str, Expression]] = Property({}, "column → expression", item=Expression)

    def reads(self) -> Sequence[str]:
        """Return the columns of the expressions, without those that are made before."""
        found: dict[str, None] = {}
        known: set[str] = set()
        for name, expression in self.Columns.items():
            found |= {column: None for column in expression.columns if column not in known}
            known.add(name)
        return list(found)

    def writes(self) -> Sequence[str]:
        """Return the columns."""
        return list(self.Columns)

    def execute(self, events: Any, result: Any) -> None:
        """Calculate and decorate."""
        for name, expression in self.Columns.items():
            container, _, column = name.partition(".")
            values, missing = expression.column(events, container)
            events[container].store(column, values, missing)


class FromInput(Tool):
    """Give columns the values that the input has for a variation: ``TauJets.pt`` those of ``TauJets.pt__TES_UP``."""

    selects = False

    Columns: Property[dict[str, str]] = Property({}, "column → what the input has for it", item=str)

    def reads(self) -> Sequence[str]:
        """Return what the input has."""
        return list(self.Columns.values())

    def writes(self) -> Sequence[str]:
        """Return the columns."""
        return list(self.Columns)

    def execute(self, events: Any, result: Any) -> None:
        """Take over."""
        for name, source in self.Columns.items():
            container, _, column = name.partition(".")
            events[container].store(column, *events[container].stored(source.partition(".")[2]))


@dataclass(frozen=True)
class Variation:
    """What differs from the nominal: ``tools`` that override columns, a ``weight`` that events get besides theirs, a
    ``factor`` of all events, or of samples; or ``samples`` that others stand for (sample → its alternative), which are
    statistically independent. ``unchanged`` are stored columns that are right as they are, although they were made of
    what varies. With ``stored``, columns that the input has for the variation come in, too.
    """

    name: str
    tools: tuple[Tool, ...] = ()
    weight: Weight = field(default_factory=Weight)
    factor: float | Mapping[str, float] = 1.0
    unchanged: tuple[str, ...] = ()
    samples: Mapping[str, str] = field(default_factory=dict)
    stored: bool = False

    @property
    def weighs(self) -> bool:
        """Tell whether events get other weights."""
        return not self.weight.trivial or self.factor != 1.0

    def factor_of(self, sample: str) -> float:
        """Return what the events of a sample are multiplied with."""
        return self.factor if isinstance(self.factor, int | float) else self.factor.get(sample, 1.0)

    def checked(self, where: str) -> Variation:
        """Return the variation; JobOptionsError where it makes no sense."""
        where = f"{where}, variation {self.name}"
        if not self.name.isidentifier() or "__" in self.name:
            raise JobOptionsError(f"{self.name!r} is no name for a variation", where=where, hint="as in TES_UP")
        if self.name in ("ALL", "nominal"):
            raise JobOptionsError(f"{self.name} has a meaning of its own", where=where, hint="call it otherwise")
        numbers = isinstance(self.factor, int | float) or _is_mapping(self.factor, int | float)
        if not numbers or not _is_mapping(self.samples, str):
            raise JobOptionsError(
                "factor is a number or {sample: number}, samples is {sample: alternative}",
                where=where,
                hint=f"got {self.factor!r}, {self.samples!r}",
            )
        if self.samples and (self.tools or self.weighs or self.stored):
            raise _alone(self.name)
        if not self.tools and not self.weighs and not self.samples and not self.stored:
            raise JobOptionsError(
                f"the variation {self.name} changes nothing",
                where=where,
                hint='give tools, columns={"TauJets.pt": "TauJets.pt * 1.03"}, weight=, factor=, samples= or stored=',
            )
        factors = self.factor.values() if isinstance(self.factor, Mapping) else [self.factor]
        bad = next((one for one in factors if not math.isfinite(one) or one <= 0), None)
        if bad is not None:
            raise JobOptionsError(f"the factor {bad:g} makes no sense", where=where, hint="a number above 0")
        return self

    def plus(self, other: Variation) -> Variation:
        """Return both together: what one effect does to columns and to weights."""
        if self.samples or other.samples:
            raise _alone(self.name)
        if self.weighs and other.weighs:
            raise JobOptionsError(f"the variation {self.name} has two weights or factors", hint="multiply them")
        weighing = self if self.weighs else other
        return Variation(
            self.name,
            self.tools + other.tools,
            weighing.weight,
            weighing.factor,
            self.unchanged + other.unchanged,
            stored=self.stored or other.stored,
        )

    def told(self) -> dict[str, Any]:
        """Return the variation as plain data, for provenance."""
        factor = dict(self.factor) if isinstance(self.factor, Mapping) else self.factor
        return {
            "tools": {tool.name: {"class": type(tool).__name__, **tool.values} for tool in self.tools},
            "weight": self.weight.text,
            "factor": factor,
            "unchanged": list(self.unchanged),
            "samples": dict(self.samples),
            "stored": self.stored,
        }


def _is_mapping(thing: Any, kind: Any) -> bool:
    """Tell whether it is a dict of text → what is of a kind."""
    return isinstance(thing, Mapping) and all(isinstance(k, str) and isinstance(v, kind) for k, v in thing.items())


def check_columns(columns: Any, where: str) -> None:
    """Raise JobOptionsError for what is no {column: expression}."""
    bad = columns if not _is_mapping(columns, str) else next((n for n in columns if not all(n.partition("."))), None)
    if bad is not None:
        hint = 'columns={"TauJets.pt": "TauJets.pt * 1.03"}'
        raise JobOptionsError(f"{bad!r} says not which column is overridden with what", where=where, hint=hint)


def _alone(name: str) -> JobOptionsError:
    return JobOptionsError(
        f"the variation {name} has other samples, and something else besides", hint="make two variations of it"
    )


def chosen(names: Sequence[str], known: Mapping[str, Variation]) -> list[Variation]:
    """Return the variations that ``--variations`` names, in order of the job; ``ALL`` are all. JobOptionsError where
    there is none of a name.
    """
    if not names:
        return []
    unknown = next((name for name in names if name not in known and name != "ALL"), None)
    if unknown is not None or not known:
        told = f"there is no variation {unknown!r}" if known else "the job has no variations"
        hint = nearest(unknown or "", known, what="variations") if known else "job.vary(…) declares them"
        if "," in (unknown or ""):
            hint = "give --variations once for each: --variations TES_UP --variations TES_DOWN"
        raise JobOptionsError(told, hint=hint, about="--variations")
    return [one for name, one in known.items() if name in names or "ALL" in names]
