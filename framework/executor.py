"""The base class of executors: where the work units of a run are done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from hepflow.errors import WorkerError
from hepflow.properties import Configurable, Property

__all__ = ["Detached", "Executor", "Jobs", "Order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Detached(Exception):  # noqa: N818 - it is no error
    """Raised by an executor that leaves all else to the jobs that it has submitted: the run ends here, for now."""


@dataclass(frozen=True)
class Jobs:
    """What a batch system has of a run: how many jobs are in which state, the command that ends them, where they were
    submitted for, and why it is not known how they are (empty: it is).
    """

    states: Mapping[str, int]
    cancel: Sequence[str]
    folder: str
    unknown: str = ""


@dataclass(frozen=True)
class Order:
    """A job that is run whole somewhere else: its file; options of ``hepflow run`` before it and words behind it; the
    files that it needs, by the name that they have beside it; the files that its streams become, and the streams
    (``merged``) whose parts have to be joined for that.
    """

    path: Path
    options: Sequence[str]
    words: Sequence[str]
    files: Mapping[str, Path]
    outputs: Sequence[str]
    merged: Sequence[str] = ()


class Executor(Configurable):
    """Runs work units somewhere and hands back results as they come.

    Its properties are set with ``--set NAME.Property=value`` and in the site file; ``-j`` sets ``Workers``, and
    ``--detach`` the property ``Detach`` of those that have it: their ``run`` raises Detached once all is submitted.
    """

    units_only: ClassVar[bool] = False
    """Whether it calls nothing but what does work units, which it hands on by their numbers: files are looked into by
    processes of this machine then."""
    whole_jobs: ClassVar[bool] = False
    """Whether it takes whole jobs, with inputs that it finds itself: ``send`` instead of ``run``."""

    Workers = Property(1, "number of work units at a time (-j)", minimum=1)

    def check(self) -> None:
        """Raise a HepflowError where it is known that nothing can run: a package or a command that is not there.
        Called before inputs are looked at.
        """

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
        """Call ``function`` for each item; yield (position of the item, result) in the order of completion.

        A WorkerError is the result of an item at which workers die: the others go on. What the function or ``run``
        raises ends all: no other item could be done either. Closing the generator stops what is running.
        """
        raise TypeError(f"{type(self).__name__} does not say how to run work units: override run()")

    def send(self, order: Order, folder: Path, *, dry: bool) -> list[str]:
        """Send a whole job from ``folder``, which is not there yet; return in lines what is sent, or would be (dry)."""
        raise TypeError(f"{type(self).__name__} does not say how to send a job: override send()")

    def sketch(self, units: Sequence[int], folder: Path) -> list[str]:
        """Return in lines what would be submitted for the work units of a run in ``folder``; here nothing is."""
        return []

    def jobs(self, folder: Path) -> Jobs | None:
        """Return what is known of the jobs that go on without the run in ``folder``; None where there are none."""
        return None

    def cancel_jobs(self, folder: Path) -> None:
        """End the jobs of the run in ``folder``; WorkerError where that fails."""
