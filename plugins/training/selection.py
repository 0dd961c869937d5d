"""Which taus a network is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import ToolError
from hepflow.plugins.training.columns import flat_column
from hepflow.variables import Variable

__all__ = ["TrainingSelection"]


class TrainingSelection(Tool):
    """Select the taus to train on: true hadronic taus of the declared classes, with usable weights and inputs.

    It works on an ntuple with one entry a tau, where it hides entries, and on containers, where it hides objects.
    """

    Container = Property("TauJets", "container of the taus")
    Require: Property[tuple[str, ...]] = Property(
        ("TauJets.truthIsHadronicTau",), "columns that must be true (not 0)", item=str
    )
    Label = Property("TauJets.truthDecayMode", "column that tells the class; empty: no class is asked for")
    Classes: Property[dict[int, str]] = Property(
        {}, "value of the label → name of its class; empty: any value", item=str
    )
    Weight = Property("", "column with the weight of a tau; empty: no weights")
    NegativeWeights = Property(
        "error", "what to do with negative weights: ignore leaves the taus out", choices=("error", "ignore", "keep")
    )
    Variables: Property[dict[str, tuple[Variable, ...]]] = Property(
        {}, "inputs by group whose values must be finite", item=tuple
    )
    NonFinite = Property(
        "error", "what to do with values that are not finite: ignore leaves the taus out", choices=("error", "ignore")
    )

    def reads(self) -> Sequence[str]:
        """Return the columns of the cuts."""
        label = [self.Label] if self.Label and self.Classes else []
        weight = [self.Weight] if self.Weight else []
        return list(dict.fromkeys([*self.Require, *label, *weight, *self._inputs()]))

    def record(self) -> Mapping[str, Any]:
        """Return the selection, for the users of a model."""
        classes = {str(value): name for value, name in self.Classes.items()}
        return {
            "require": list(self.Require),
            "label": self.Label,
            "classes": classes,
            "negative": self.NegativeWeights,
        }

    def _inputs(self) -> list[str]:
        return [f"{group}.{v.column}" for group, variables in self.Variables.items() for v in variables]

    def start(self) -> Any:
        """Return the number of taus that were kept with a negative weight, and that of all that were looked at."""
        return {"taus": 0, "negative": 0}

    def execute(self, events: Events, result: Any) -> None:
        """Apply the cuts, one line of the cutflow each."""
        for name in self.Require:
            required = flat_column(events, name)
            missing = np.isnan(required)
            self._hide(events, (required != 0) & ~missing, name, missing)
        if self.Label and self.Classes:
            values = np.asarray([int(value) for value in self.Classes])
            label = f"{self.Label} in {', '.join(map(str, values))}"
            found = flat_column(events, self.Label)
            self._hide(events, np.isin(found, values), label, np.isnan(found))
        if self.Weight:
            self._weights(events, result)
        for name in self._inputs():
            self._finite(events, name)

    def finalize(self, total: Any, context: Context) -> Any:
        """Say how many negative weights were kept."""
        if total["negative"]:
            message = "%s: %d of %d taus have a negative %s and are kept"
            context.log.info(message, self.name, total["negative"], total["taus"], self.Weight)
        return total

    def _weights(self, events: Events, result: Any) -> None:
        self._finite(events, self.Weight)
        negative = flat_column(events, self.Weight) < 0
        if self.NegativeWeights == "keep":
            result["taus"] += len(negative)
            result["negative"] += int(negative.sum())
        if negative.any() and self.NegativeWeights == "error":
            raise ToolError(
                f"{negative.sum()} of {len(negative)} taus have a negative {self.Weight}",
                hint=f'{self.name}.NegativeWeights = "ignore" leaves them out, "keep" trains with them',
            )
        if self.NegativeWeights == "ignore":
            self._hide(events, ~negative, f"{self.Weight} >= 0")

    def _finite(self, events: Events, name: str) -> None:
        """Look for values that are not finite in a column, one value or a list of them for each tau."""
        finite = np.isfinite(flat_column(events, name))
        if finite.all() and self.NonFinite == "error":
            return
        if self.NonFinite == "error":
            raise ToolError(
                f"{name} is not finite in {(~finite).sum()} of {len(finite)} values",
                hint=f'find out where they come from; {self.name}.NonFinite = "ignore" leaves these taus out',
            )
        container = name.partition(".")[0]
        taus = len(events[self.Container])
        if container != self.Container:
            owners = np.repeat(np.arange(taus), events[container].counts)
            finite = np.bincount(owners[~finite], minlength=taus) == 0
        self._hide(events, finite, f"{name} finite")

    def _hide(self, events: Events, mask: npt.NDArray[np.bool_], label: str, missing: Any = None) -> None:
        taus = events[self.Container]
        column = next(name for name in self.reads() if name.partition(".")[0] == self.Container).partition(".")[2]
        if isinstance(taus[column], np.ndarray):  # one entry a tau: an ntuple
            events.select_events(mask, label, missing=missing)
        else:
            events.select(self.Container, mask, label, missing=missing)
