"""Failures are data: which are tried again, how many may be, and what is told of them. Nothing here knows how units
are run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from hepflow.errors import HepflowError, InputError, OutputError, UnitsFailedError, WorkerError

__all__ = ["Failure", "Policy", "as_rows", "counted", "outcomes", "units_failed"]

RETRIED = (InputError, WorkerError)
"""What may pass: an input that cannot be read, a worker that is lost, a limit that it ran into."""
PAUSE = 0.5
"""Seconds before the second try; twice as long before each further one."""
MANY, SHARE = 20, 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")
_Failed = tuple[HepflowError, int]
Run = Callable[[Sequence[Item]], Generator[tuple[int, Result | HepflowError], None, None]]


@dataclass(frozen=True)
class Failure:
    """What failed, for good, and why: the entries ``[start, stop)`` of a file, or a file that could not be opened
    (None, None).
    """

    file: str
    error: HepflowError
    start: int | None = None
    stop: int | None = None
    tries: int = 1

    def row(self) -> dict[str, Any]:
        """Return what ``failures.json`` and the metadata of outputs say."""
        entries = None if self.start is None else [self.start, self.stop]
        told = {"message": self.error.message, "where": self.error.where, "hint": self.error.hint}
        return {"file": self.file, "entries": entries, "cause": self.error.cause, **told, "tries": self.tries}


@dataclass(frozen=True)
class Policy:
    """How often a unit is tried again, whether errors in the code of tools are only noted, and how many units may fail:
    20, and however many are at most 10 % of those tried, where ``most`` is None.
    """

    retries: int = 2
    most: int | None = None
    keep_going: bool = False

    def stops(self, error: HepflowError) -> bool:
        """Tell whether an error ends the run: one of a tool's own code, or an output that cannot be written."""
        return isinstance(error, OutputError) or not (self.keep_going or isinstance(error, RETRIED))

    def again(self, error: HepflowError, tries: int) -> bool:
        """Tell whether to try once more."""
        return isinstance(error, RETRIED) and tries <= self.retries

    def too_many(self, failed: int, tried: int) -> bool:
        """Tell whether so many failed that something else must be wrong."""
        return failed > MANY and failed > SHARE * tried if self.most is None else failed > self.most

    def limit(self) -> str:
        """Return the limit in words."""
        return f"more than {MANY}, and more than {SHARE:.0%} of those tried" if self.most is None else f"> {self.most}"


def outcomes(
    items: Sequence[Item], run: Run[Item, Result], policy: Policy
) -> Generator[tuple[Item, Result | _Failed], None, None]:
    """Run items, those that fail again behind the others; yield each with its result, or the error that it fails with
    and how often it was tried.

    ``run`` yields (position, result or error) in any order. Raises errors that stop the run, and UnitsFailedError where
    too many fail: these are tried again before it goes on, in case the trouble passes.
    """
    waiting = dict(enumerate(items))
    tries: Counter[int] = Counter()
    failed = 0
    while waiting:
        again: dict[int, Item] = {}
        numbers = list(waiting)
        with closing(run(list(waiting.values()))) as running:
            for position, outcome in running:
                number = numbers[position]
                item = waiting.pop(number)
                tries[number] += 1
                if not isinstance(outcome, HepflowError):
                    yield item, outcome
                    continue
                if policy.stops(outcome):
                    raise outcome
                if policy.again(outcome, tries[number]):
                    again[number] = item
                else:
                    failed += 1
                    yield item, (outcome, tries[number])
                if policy.too_many(failed, len(tries)):
                    raise UnitsFailedError(f"stopped: too many units failed ({policy.limit()})")
                if policy.too_many(failed + len(again), len(tries)):
                    break
        if again:
            time.sleep(PAUSE * 2 ** (max(tries[number] for number in again) - 1))
        waiting = {**again, **waiting}


def counted(failures: Sequence[Failure]) -> str:
    """Return failures by cause: ``5 truncated, 2 no such column``."""
    counts = Counter(failure.error.cause for failure in failures)
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.most_common())


def as_rows(failures: Sequence[Failure]) -> list[Mapping[str, Any]]:
    """Return failures as plain data."""
    return [failure.row() for failure in failures]


WAYS_ON = "the others are kept: --resume tries these again, --resume --leave-out gives the outputs without them"


def units_failed(
    failures: Sequence[Failure], total: int, *, where: str = "", stopped: str = "", hint: str = WAYS_ON
) -> HepflowError:
    """Return the error that ends a run with failures: by cause, with one of each, and the two ways on; where the only
    unit failed, its own.
    """
    if total == 1 and not stopped:
        return failures[0].error
    first = {failure.error.cause: failure for failure in reversed(failures)}
    examples = [
        f"\n  {cause}: {f.file}{'' if f.start is None else f', entries {f.start}–{f.stop}'}: {f.error.message}"
        + (f"\n    {f.error.hint}" if f.error.hint else "")
        for cause, f in first.items()
    ]
    text = f"{len(failures):,} of {total:,} units failed: {counted(failures)}"
    return UnitsFailedError(
        "\n".join(filter(None, (text + "".join(reversed(examples)), stopped))),
        where=where,
        hint=hint,
    )
