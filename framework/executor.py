"""The base class of executors: where the work units of a run are done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from hepflow.errors import WorkerError
from hepflow.properties import Configurable, Property

__all__ = ["Executor"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Configurable):
    """Runs work units somewhere and hands back results as they come.

    Its properties are set with ``--set NAME.Property=value`` and in the site file; ``-j`` sets ``Workers``.
    """

    Workers = Property(1, "work units that are under way at a time (-j)", minimum=1)

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
