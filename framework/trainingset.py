"""The training set, declared once: rows, inputs, target, weight, selection, folds and spectators.

Selection, normaliser, reweighter, data set stream, trainer and tuner take the same ``TrainingSet``, and the HDF5 file
says of itself what was declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import ColumnError, JobOptionsError, ToolError, nearest
from hepflow.expressions import Cut
from hepflow.folds import Folds, one_rule
from hepflow.html import table
from hepflow.properties import Configurable
from hepflow.variables import Variable

__all__ = ["NEGATIVE_WEIGHTS", "Target", "TrainingSet", "training_set_of"]

NEGATIVE_WEIGHTS = ("refuse", "ignore-in-training", "keep", "abs")
"""What is done with rows of negative weight: an error; left out of training (as TMVA does); kept; their absolute value
in training. Validation and test keep the sign."""

Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Target:
    """What is learned: the class that an integer column tells, or without ``classes`` the number in a column.

    ``classes`` is value of the column → name of the class, in the order of the outputs; several values may share one.
    """

    column: str
    classes: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", {int(value): str(name) for value, name in self.classes.items()})

    @property
    def name(self) -> str:
        """Return the column without its container."""
        return self.column.rpartition(".")[2]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs: of the classes, or of the number."""
        return tuple(dict.fromkeys(self.classes.values())) or (self.name,)

    def labels(self, values: npt.NDArray[Any], of: str) -> npt.NDArray[Any]:
        """Return the place of each value's class (or the numbers); ColumnError for values of no class."""
        if not self.classes:
            return values
        labels = np.full(len(values), -1)
        for value, name in self.classes.items():
            labels[values == value] = self.outputs.index(name)
        if (labels < 0).any():
            shown = ", ".join(map(str, np.unique(values[labels < 0])[:5]))
            raise ColumnError(
                f"{(labels < 0).sum()} {of} have {self.column} = {shown}, which is in no class",
                hint="add a TrainingSelection before it, or name the class in Target",
            )
        return labels


_DEFINE = 'job += Define("NAME", Columns={"CONTAINER.NAME": EXPRESSION}) makes a column of it'


@dataclass(frozen=True)
class TrainingSet:
    """What models are trained on. JobOptionsError where the parts do not go together.

    ``rows`` is the container whose objects (or the tree whose entries) are the rows, ``called`` what they are called
    in files and messages (by default as the container tells: taus, jets, …, else events). ``inputs`` is group of inputs
    (a container) → variables; a group with a cap in ``caps`` is a sequence of at most so many objects, any other is
    flat: one value a row. ``target`` is what is learned, one or several. ``weight`` is a column, empty: 1.
    ``selection`` are cuts, or columns that must be true. ``folds`` are the roles of one model or of several
    (``kfold``); by default those of the reference training. ``spectators`` are columns that go along and are no inputs.
    """

    inputs: Mapping[str, tuple[Variable, ...]]
    target: tuple[Target, ...]
    caps: Mapping[str, int] = field(default_factory=dict)
    rows: str = "TauJets"
    weight: str = ""
    negative_weights: str = "refuse"
    selection: tuple[str, ...] = ()
    folds: tuple[Folds, ...] = ()
    spectators: tuple[str, ...] = ()
    called: str = ""

    def _repr_html_(self) -> str:
        """Show the declaration in a notebook."""
        rows = [(f"inputs: {group}", ", ".join(one.name for one in ones)) for group, ones in self.inputs.items()]
        rows += [("target", ", ".join(map(str, self.target))), ("weight", self.weight or "1")]
        rows += [("selection", cut) for cut in self.selection] + [("folds", str(one)) for one in self.folds]
        return table(("what", "is"), rows, f"training set of {self.called}")

    def __post_init__(self) -> None:
        own: Any = self
        several = [own.target] if isinstance(own.target, str | Target) else own.target
        folds = own.folds or Folds(column=f"{self.rows}.mcEventNumber")
        for name, made, wanted in (
            ("inputs", lambda: {g: tuple(v) for g, v in own.inputs.items()}, '{"Nominal": [Variable("pt"), …]}'),
            ("caps", lambda: dict(own.caps), '{"TauTrack": 3}'),
            ("target", lambda: tuple(Target(one) if isinstance(one, str) else one for one in several), "Target(…)"),
            ("selection", lambda: _texts(own.selection), "cuts"),
            ("folds", lambda: (folds,) if isinstance(folds, Folds) else tuple(folds), "Folds(…) or kfold(5)"),
            ("spectators", lambda: _texts(own.spectators), "columns"),
        ):
            try:
                object.__setattr__(self, name, made())
            except (TypeError, ValueError, AttributeError):
                raise JobOptionsError(
                    f"{name} of a TrainingSet cannot be {getattr(self, name)!r}", hint=f"give {wanted}"
                ) from None
        self._check_kinds()
        object.__setattr__(self, "called", self.called or _called(self.rows))
        self._check()

    def _check_kinds(self) -> None:
        for name, values, kind in (
            ("rows", (self.rows,), str),
            ("inputs", (v for variables in self.inputs.values() for v in variables), Variable),
            ("caps", self.caps.values(), int),
            ("target", self.target, Target),
            ("weight", (self.weight,), str),
            ("folds", self.folds, Folds),
        ):
            if wrong := [value for value in values if not isinstance(value, kind)]:
                raise JobOptionsError(f"{name} of a TrainingSet wants {kind.__name__}, got {wrong[0]!r}")

    def _check(self) -> None:
        if not any(self.inputs.values()):
            raise JobOptionsError("the training set has no inputs", hint='inputs={"TauTrack": (Variable("pt"), …)}')
        formula = next((name for name in self.input_columns if not set(name).isdisjoint(" ()*+/")), None)
        if formula is not None:
            raise JobOptionsError(
                f"inputs of a TrainingSet are columns, and {formula.partition('.')[2]!r} is an expression",
                hint=_DEFINE,
            )
        self._check_columns()
        unknown = [group for group in self.caps if group not in self.inputs]
        if unknown:
            hint = nearest(unknown[0], self.inputs, what="groups of inputs")
            raise JobOptionsError(f"caps names {unknown[0]}, which has no inputs", hint=hint)
        if min(self.caps.values(), default=1) < 1:
            raise JobOptionsError(f"caps must be at least 1, got {self.caps}")
        if self.negative_weights not in NEGATIVE_WEIGHTS:
            hint = nearest(self.negative_weights, NEGATIVE_WEIGHTS, what="choices")
            raise JobOptionsError(f"negative_weights does not accept {self.negative_weights!r}", hint=hint)
        if not self.target:
            raise JobOptionsError("the training set has no target", hint='target=Target("TauJets.x", {0: "a", 1: "b"})')
        one_rule("TrainingSet", self.folds)

    def _check_columns(self) -> None:
        """Refuse what is no column where one is meant, and rows that nothing belongs to."""
        for what, names in (
            ("weight", [self.weight] if self.weight else []),
            ("target", [one.column for one in self.target]),
            ("folds", [self.fold_column]),
            ("spectators", self.spectators),
        ):
            for name in names:
                if not set(name).isdisjoint(" ()*+/"):
                    raise JobOptionsError(
                        f"{what} of a TrainingSet is a column, and {name!r} an expression", hint=_DEFINE
                    )
                if "." not in name:
                    raise JobOptionsError(
                        f"{what} of a TrainingSet: {name!r} is no Container.column", hint=f"{self.rows}.{name}"
                    )
        cuts = [name for cut in self.cuts for name in cut.columns]
        containers = {
            name.partition(".")[0]
            for name in (*cuts, *(one.column for one in self.target), self.weight, *self.input_columns)
        }
        if self.rows not in containers:
            hint = nearest(self.rows, containers - {""}, what="containers")
            raise JobOptionsError(f"nothing of the training set belongs to its rows, {self.rows!r}", hint=hint)

    @property
    def fold_column(self) -> str:
        """Return the column that the folds are made of."""
        return self.folds[0].column

    @property
    def fold_number(self) -> int:
        """Return how many folds there are."""
        return self.folds[0].number

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes of the one target, in the order of the outputs; none where numbers are learned."""
        return self.target[0].outputs if self.target[0].classes else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of all outputs, target after target."""
        return tuple(name for one in self.target for name in one.outputs)

    @property
    def input_columns(self) -> list[str]:
        """Return the columns of the inputs."""
        return [f"{group}.{v.column}" for group, variables in self.inputs.items() for v in variables]

    @property
    def flat_inputs(self) -> list[str]:
        """Return the columns of the inputs with one value a row."""
        return [name for name in self.input_columns if name.partition(".")[0] not in self.caps]

    @property
    def columns(self) -> list[str]:
        """Return every column that a row is made of, once."""
        weight = [self.weight] if self.weight else []
        targets = [one.column for one in self.target]
        return list(dict.fromkeys([*targets, *weight, self.fold_column, *self.spectators, *self.input_columns]))

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """Return the selection."""
        return tuple(Cut(text) for text in self.selection)

    @property
    def kept_columns(self) -> list[str]:
        """Return the columns that go along as they are, beside labels, weight, fold and inputs."""
        flat = self.flat_inputs
        return [name for name in dict.fromkeys([self.fold_column, *self.spectators]) if name not in flat]

    def check_weights(self, weights: Floats) -> None:
        """Raise ToolError for weights that are not finite, or negative where they are refused."""
        bad = int((~np.isfinite(weights)).sum())
        if bad:
            raise ToolError(f"{self.weight} is not finite for {bad} of {len(weights)} {self.called}")
        negative = int((weights < 0).sum())
        if negative and self.negative_weights == "refuse":
            choices = ", ".join(f'"{choice}"' for choice in NEGATIVE_WEIGHTS[1:])
            raise ToolError(
                f"{negative} of {len(weights)} {self.called} have a negative {self.weight}",
                hint=f"negative_weights of the TrainingSet says what to do: {choices}",
            )

    def training_weights(self, weights: Floats) -> tuple[npt.NDArray[np.bool_] | None, Floats]:
        """Return which rows train (None: all), and the weights of all rows as the training has them."""
        if self.negative_weights == "ignore-in-training" and (weights < 0).any():
            return weights >= 0, weights
        return None, np.abs(weights) if self.negative_weights == "abs" else weights

    def record(self) -> dict[str, Any]:
        """Return the declaration as JSON takes it."""
        return {
            "rows": self.rows,
            "called": self.called,
            "inputs": {group: [v.record() for v in variables] for group, variables in self.inputs.items()},
            "caps": dict(self.caps),
            "target": [
                {"column": t.column, "classes": {str(value): name for value, name in t.classes.items()}}
                for t in self.target
            ],
            "weight": self.weight,
            "negative_weights": self.negative_weights,
            "selection": list(self.selection),
            "folds": [folds.record() for folds in self.folds],
            "spectators": list(self.spectators),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingSet:
        """Return the training set that ``record`` wrote down; plots' binnings are not in it."""
        groups = record["inputs"].items()
        return cls(
            **{
                **record,
                "inputs": {group: tuple(Variable.from_record(v) for v in variables) for group, variables in groups},
                "target": tuple(Target(**one) for one in record["target"]),
                "folds": tuple(Folds.from_record(one) for one in record["folds"]),
            }
        )


def training_set_of(user: Configurable) -> TrainingSet:
    """Return the TrainingSet of a tool or stream; JobOptionsError where it has none."""
    declared = user.values["TrainingSet"]
    if not isinstance(declared, TrainingSet):
        raise JobOptionsError(
            f"{user.name} has no TrainingSet", hint="TrainingSet=… says rows, inputs, target, weight and folds"
        )
    return declared


def _texts(given: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, [given] if isinstance(given, str | Cut) else given))


def _called(rows: str) -> str:
    """Return what the objects of a container are called."""
    names: Sequence[str] = ("tau", "jet", "electron", "muon", "photon")
    return next((f"{name}s" for name in names if name in rows.lower()), "events")
