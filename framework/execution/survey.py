"""Files are looked into for the plan: those that are not known from before, by the workers of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from hepflow.errors import HepflowError, UnitsFailedError
from hepflow.execution.cache import FileCache
from hepflow.execution.failures import Failure, Policy, outcomes, units_failed
from hepflow.execution.inputs import InputFile
from hepflow.execution.schemas import Facts, Look, Looked, Refused, Skipped
from hepflow.executor import Executor
from hepflow.protocols import FileSchema, Reader

__all__ = ["Survey", "survey"]

ALONE = 1.5
"""Seconds of work that this process does alone: others take about as long to start."""
SLICE = 4096
"""Most files that are looked into together where only so many are needed as have the entries."""

Tell = Callable[[int, int], None]
_Failed = tuple[HepflowError, int]
_Found = Facts | Skipped | Refused | _Failed


@dataclass
class Survey:
    """What was found: the files to read with their facts, in order; schemas by digest; why files of a folder are
    skipped; what failed; how many files were opened for that.
    """

    opened: list[tuple[InputFile, Facts]] = field(default_factory=list)
    schemas: dict[str, FileSchema] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    looked: int = 0


def survey(
    files: Sequence[InputFile],
    formats: Sequence[type[Reader]],
    lacks: Callable[[FileSchema], str],
    policy: Policy,
    *,
    executor: Executor | None = None,
    until: int | None = None,
    lenient: bool = True,
    tell: Tell = lambda done, total: None,
    counts: bool = False,
) -> Survey:
    """Look into files, as far as entries are wanted (``until``); what is known from before is not looked at again.

    ``lacks`` names a container that a schema lacks: such files of a folder are skipped. Some of many files that fail
    are noted (``lenient``), else their error is raised. ``tell`` hears how many files of how many are done.
    With ``counts`` the bookkeeping of files is read, too (``Look``). UnitsFailedError where too many fail.
    """
    policy = policy if len(files) > 1 else replace(policy, retries=0)
    surveyor = _Surveyor(Look(formats, counts=counts), executor, policy)
    found, entries, first = Survey(), 0, 0
    size = len(files) if until is None else 1
    lacking: dict[str, str] = {}
    try:
        while first < len(files) and (until is None or not found.opened or entries < until):
            part = files[first : first + size]
            for file, one in zip(part, surveyor.look_up(part, tell), strict=True):
                if until is not None and found.opened and entries >= until:
                    break
                if isinstance(one, Facts) and one.digest not in found.schemas:
                    found.schemas[one.digest] = schema = surveyor.schema(one)
                    lacking[one.digest] = lacks(schema)
                entries += _note(file, one, found, lacking, lenient and len(files) > 1)
            first, size = first + size, min(2 * size, SLICE)
    finally:
        surveyor.cache.close()
    found.looked = surveyor.looked
    return found


def _note(file: InputFile, one: _Found, found: Survey, lacking: dict[str, str], lenient: bool) -> int:
    """Note what was found in a file; return its entries."""
    if isinstance(one, Refused):
        raise one.error
    if isinstance(one, tuple):
        if not lenient:
            raise one[0]
        found.failed.append(Failure(file.path, one[0], tries=one[1]))
    elif isinstance(one, Skipped):
        found.skipped[file.path] = one.reason
    elif file.searched and lacking[one.digest]:
        found.skipped[file.path] = f"holds no {lacking[one.digest]}"
    else:
        made = replace(one, entries=file.entries, boundaries=(0, file.entries)) if file.like else one
        found.opened.append((file, made))
        return made.entries
    return 0


class _Surveyor:
    """Looks files up: in the cache, else in the file."""

    def __init__(self, look: Look, executor: Executor | None, policy: Policy) -> None:
        self.cache = FileCache(look.formats)
        self.looked = 0
        self._look = look
        self._executor = executor
        self._policy = policy

    def schema(self, facts: Facts) -> FileSchema:
        """Return the schema of a file that was looked up."""
        schema = self.cache.schema(facts.digest)
        assert schema is not None
        return schema

    def look_up(self, files: Sequence[InputFile], tell: Tell) -> list[_Found]:
        """Return what is known or found of files; UnitsFailedError where too many fail."""
        known = enumerate(self.cache.find(files, counts=self._look.counts))
        found: dict[int, _Found] = {number: facts for number, facts in known if facts is not None}
        todo = [number for number in range(len(files)) if number not in found]

        def attempt(numbers: Sequence[int]) -> Generator[tuple[int, object], None, None]:
            return self._attempt([files[number] for number in numbers])

        try:
            with closing(outcomes(todo, attempt, self._policy)) as running:
                for number, outcome in running:
                    if isinstance(outcome, Looked):
                        self.cache.add(files[number], outcome)
                        outcome = outcome.facts
                    found[number] = outcome  # type: ignore[assignment]
                    self.looked += 1
                    tell(len(found), len(files))
        except UnitsFailedError as error:
            failed = [
                Failure(files[n].path, one[0], tries=one[1]) for n, one in found.items() if isinstance(one, tuple)
            ]
            stopped = f"nothing was run: {error.message.removeprefix('stopped: ')}"
            raise units_failed(failed, len(found), stopped=stopped) from None
        return [found[number] for number in range(len(files))]

    def _attempt(self, files: Sequence[InputFile]) -> Generator[tuple[int, object], None, None]:
        """Look into files: in this process where that is quick, else, from the second on, where the executor does."""
        position, began = 0, time.monotonic()
        while position < len(files):
            left = (time.monotonic() - began) * (len(files) - position) / max(position, 1)
            if self._executor is not None and left > ALONE:
                break
            yield position, self._look(files[position])
            position += 1
        if position < len(files) and self._executor is not None:
            with closing(self._executor.run(self._look, files[position:])) as running:
                for number, outcome in running:
                    yield position + number, outcome
