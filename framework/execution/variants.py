"""Variations in the event loop: scopes beside the nominal one, in which what depends on an override runs again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hepflow.errors import ColumnError, InputError
from hepflow.events import Events, Scope
from hepflow.events.scope import Cutflow, Group, Yields
from hepflow.execution.varied import EVENT, PASSES, VariedFlow, names_of

__all__ = ["Alternative", "Variant", "VariedResult", "together", "weigh"]


@dataclass(frozen=True)
class Alternative:
    """A sample that stands for another one in a variation."""

    variation: str
    sample: str

    @staticmethod
    def independent(scope: Scope) -> None:
        """Let the scope be that of a variation that has no event in common with the nominal."""
        hidden = scope.child(scope.label)
        hidden.hide_events(np.zeros(hidden.visible_events(), dtype=bool))
        scope.nominal = hidden
        scope.chosen()


@dataclass
class VariedResult:
    """What a variation gives besides the nominal: results of the tools that run again, and their lines of the
    cutflow.
    """

    results: dict[str, Any] = field(default_factory=dict)
    cutflow: Cutflow = field(default_factory=dict)
    yields: Yields = field(default_factory=dict)

    @staticmethod
    def like(results: Mapping[str, Any], cutflow: Cutflow, yields: Yields) -> VariedResult:
        """Return what the nominal gives, as that of a variation in which another sample differs."""
        return VariedResult(copy.deepcopy(dict(results)), copy.deepcopy(cutflow), copy.deepcopy(yields))

    def values(self, sample: str) -> dict[str, Any]:
        """Return what is added up."""
        yields = {sample: self.yields} if self.yields else {}
        return {"results": self.results, "cutflow": self.cutflow, "yields": yields}


@dataclass(frozen=True)
class Variant:
    """A variation of one chunk: its scope, and where its results go."""

    flow: VariedFlow
    scope: Scope
    result: VariedResult

    @property
    def name(self) -> str:
        """Return the name of the variation."""
        return self.flow.variation.name

    @staticmethod
    def of(flow: VariedFlow, nominal: Scope, result: VariedResult) -> Variant:
        """Return the variation of a scope."""
        scope = nominal.variant()
        scope.cutflow, scope.yields = result.cutflow, result.yields
        return Variant(flow, scope, result)

    def within(self, inner: Scope) -> Variant:
        """Return the variation of a child, which is as it was made, of the scope that this one is of."""
        return replace(self, scope=inner.variant(self.scope))


def weigh(scope: Scope, flow: VariedFlow, where: str) -> None:
    """Multiply the weights of events with those of a variation; InputError where one is missing or infinite."""
    variation = flow.variation
    factor, index = variation.factor_of(scope.sample.name), scope.event_index()
    if variation.weight.trivial:
        scope.weigh(np.full(scope.n_events, float(factor)))
        return
    found = np.asarray(variation.weight(Events(scope)), dtype=np.float64)
    told, text = f"{where}, variation {variation.name}", variation.weight.text
    if found.shape != (scope.visible_events(),):
        raise ColumnError(
            f"{text!r} has {len(found)} values for {scope.visible_events()} events",
            where=told,
            hint="a weight of events has one; prod(TauJets.sf) makes one of those of objects",
        )
    if not np.isfinite(found).all():
        hint = "where(isfinite(…), …, 1) gives them one"
        raise InputError(f"the weight {text} is missing or infinite for some events", where=told, hint=hint)
    weights = found if factor == 1 else found * factor
    if index is not None:  # of events that are hidden nobody asks
        weights = np.full(scope.n_events, float(factor))
        weights[index] *= found
    scope.weigh(weights)


def together(
    inner: Scope, variants: Mapping[str, Variant], stream: str, names: list[str]
) -> tuple[Scope, list[str], dict[str, Any]]:
    """Return a scope with the objects of a stream and of its variations, the columns to write (the nominal ones, those
    that differ, and, where selections do, which objects each has), and the flags, as ``Lineage`` has them.
    """
    scope = inner.union([one.scope for one in variants.values()])
    names = list(names)
    for name, one in variants.items():
        for column in one.flow.columns[stream]:
            scope.put(names_of(column, name), one.scope.column(column))
            names.append(names_of(column, name))
    selecting = {name: one.scope for name, one in variants.items() if stream in one.flow.selects}
    if not selecting:
        return scope, names, {}
    flags = [f"{container}.{PASSES}" for container in dict.fromkeys(name.partition(".")[0] for name in names)]
    if all(inner.group(flag.partition(".")[0]).offsets is not None for flag in flags):
        flags.append(f"{EVENT}.{PASSES}")
        if not scope.knows(EVENT):
            scope.define(EVENT, Group(None))
    own: dict[str, tuple[str, ...]] = {}
    for name, seen in {"": inner, **selecting}.items():
        own[name] = tuple(names_of(flag, name) if name else flag for flag in flags)
        for flag in flags:
            scope.put(names_of(flag, name) if name else flag, seen.flag(flag.partition(".")[0]))
        names += own[name]
    return scope, names, {"nominal": own.pop(""), "varied": {**dict.fromkeys(variants, ()), **own}}
