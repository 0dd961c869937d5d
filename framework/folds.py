"""Which rows train a model, which validate it and which test it: folds of the event number, and their roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import JobOptionsError, NetworkError, nearest

__all__ = ["ROLES", "Folds", "kfold", "kfold_roles", "one_rule"]

ROLES = ("train", "validation", "test")
MOST = 255
"""Most folds, which are one byte in a training set."""


@dataclass(frozen=True)
class Folds:
    """The rule ``fold = column % number`` and what each fold is for.

    The default is that of the reference training: five folds of ``mcEventNumber``, 0 validates, 1 tests, 2, 3 and 4
    train. Folds without a role are not looked at. JobOptionsError where a fold has two roles, none trains, or a fold
    does not exist.
    """

    number: int = 5
    train: tuple[int, ...] = (2, 3, 4)
    validation: tuple[int, ...] = (0,)
    test: tuple[int, ...] = (1,)
    column: str = "TauJets.mcEventNumber"

    def __post_init__(self) -> None:
        for role in ROLES:
            object.__setattr__(self, role, tuple(int(fold) for fold in getattr(self, role)))
        used = [*self.train, *self.validation, *self.test]
        wrong = sorted({fold for fold in used if not 0 <= fold < self.number or used.count(fold) > 1})
        if not self.train or wrong or self.number > MOST:
            what = f"fold {wrong[0]} has two roles or does not exist" if wrong else "train has no fold"
            what = what if self.number <= MOST else f"there are more than {MOST} folds"
            raise JobOptionsError(
                f"{what}: {self}",
                hint=f"each role takes folds of its own from 0…{self.number - 1}",
            )

    def __str__(self) -> str:
        return ", ".join(f"{role} {' '.join(map(str, self.of(role)))}" for role in ROLES) + f" of {self.number} folds"

    def of(self, role: str) -> tuple[int, ...]:
        """Return the folds of a role; JobOptionsError for an unknown role."""
        if role not in ROLES:
            raise JobOptionsError(f"there is no role {role!r}", hint=nearest(role, ROLES, what="roles"))
        folds: tuple[int, ...] = getattr(self, role)
        return folds

    def fold(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return the fold of each event number (integers)."""
        return (numbers % self.number).astype(np.uint8)

    def has_role(self, numbers: npt.NDArray[Any], role: str) -> npt.NDArray[np.bool_]:
        """Tell for each event number whether its fold has this role."""
        return np.isin(self.fold(numbers), self.of(role))

    def record(self) -> dict[str, Any]:
        """Return rule and roles as JSON takes them: the record that travels with the model."""
        roles = {role: list(self.of(role)) for role in ROLES}
        return {"rule": f"{self.column} % {self.number}", "column": self.column, "number": self.number, **roles}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Folds:
        """Return the folds that ``record`` wrote down."""
        roles = {role: tuple(record[role]) for role in ROLES}
        return cls(int(record["number"]), column=str(record["column"]), **roles)


def kfold(number: int = 5, column: str = "TauJets.mcEventNumber") -> tuple[Folds, ...]:
    """Return the folds of ``number`` networks: network k is tested on fold k, validated on k + 1 and trained on the
    rest, so that every row is tested by a network that has not seen it.
    """
    if number < 3:
        raise JobOptionsError(f"{number} folds are too few", hint="training, validation and test need one each: 3")
    result = []
    for k in range(number):
        following = (k + 1) % number
        rest = tuple(fold for fold in range(number) if fold not in (k, following))
        result.append(Folds(number, rest, (following,), (k,), column))
    return tuple(result)


def one_rule(owner: str, networks: Sequence[Folds]) -> Folds:
    """Return the first of the folds of several networks; JobOptionsError where there are none, or several rules."""
    rules = {(folds.column, folds.number) for folds in networks}
    if len(rules) != 1:
        found = f"has several rules: {sorted(rules)}" if rules else "is empty"
        raise JobOptionsError(f"{owner}.Folds {found}", hint="all networks of a job divide the rows by one rule")
    return networks[0]


def kfold_roles(files: Sequence[str], records: Sequence[Mapping[str, Any]]) -> tuple[Folds, ...]:
    """Return the folds of the networks of a k-fold training from what each file says of itself.

    NetworkError where a record has no folds, where the rules differ, and unless each fold is the test fold of exactly
    one network: only then has every row one network that has not seen it.
    """
    found = []
    for path, record in zip(files, records, strict=True):
        if "folds" not in record:
            hint = "networks of TrainNNDecayMode --folds say it"
            raise NetworkError("the network does not say which folds it has seen", where=path, hint=hint)
        found.append(Folds.from_record(record["folds"]))
    first, tests = found[0], [fold for folds in found for fold in folds.test]
    for path, folds in zip(files, found, strict=True):
        if (folds.column, folds.number) != (first.column, first.number):
            raise NetworkError(
                f"the folds of {path} are {folds.column} % {folds.number}, those of {files[0]} are {first.column} % "
                f"{first.number}",
                hint="give the networks of one training",
            )
    for fold in range(first.number):
        if tests.count(fold) != 1:
            raise NetworkError(
                f"fold {fold} is the test fold of {'several' if tests.count(fold) else 'none'} of the networks",
                where=", ".join(files),
                hint=f"give all {first.number} networks of one training, each once",
            )
    return tuple(found)
