"""Which taus train a network, which validate it and which test it: folds of the event number, and their roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import JobOptionsError, nearest

__all__ = ["ROLES", "Folds", "kfold"]

ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Folds:
    """The rule ``fold = column % number`` and what each fold is for.

    The default is that of the reference training: five folds of ``mcEventNumber``, 0 validates, 1 tests, 2, 3 and 4
    train. JobOptionsError where a fold has two roles, a role has no fold, or a fold does not exist.
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
        empty = [role for role in ROLES if not getattr(self, role)]
        wrong = sorted({fold for fold in used if not 0 <= fold < self.number or used.count(fold) > 1})
        if empty or wrong:
            what = f"{empty[0]} has no fold" if empty else f"fold {wrong[0]} has two roles or does not exist"
            raise JobOptionsError(
                f"{what}: train {self.train}, validation {self.validation}, test {self.test} of {self.number} folds",
                hint=f"each role takes folds of its own from 0…{self.number - 1}",
            )

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
    rest, so that every tau is tested by a network that has not seen it.
    """
    if number < 3:
        raise JobOptionsError(f"{number} folds are too few", hint="training, validation and test need one each: 3")
    result = []
    for k in range(number):
        following = (k + 1) % number
        rest = tuple(fold for fold in range(number) if fold not in (k, following))
        result.append(Folds(number, rest, (following,), (k,), column))
    return tuple(result)
