"""What a tool declared, and therefore may touch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from hepflow.errors import ColumnError, nearest

__all__ = ["Access"]


@dataclass(frozen=True)
class Access:
    """The declared columns of one tool, wildcards in ``reads`` resolved by the plan.

    ``optional`` are reads that the input may lack (they read as missing); ``created`` are the containers declared as
    ``"C.*"``.
    """

    tool: str
    reads: frozenset[str]
    writes: frozenset[str] = frozenset()
    created: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    selects: bool = True

    @classmethod
    def of(
        cls,
        tool: str,
        reads: Iterable[str],
        writes: Iterable[str],
        optional: Iterable[str] = (),
        *,
        selects: bool = True,
    ) -> Access:
        """Return the access of a tool from its resolved declarations."""
        written = frozenset(writes)
        created = frozenset(name[:-2] for name in written if name.endswith(".*"))
        return cls(
            tool, frozenset(reads), written - {f"{name}.*" for name in created}, created, frozenset(optional), selects
        )

    @cached_property
    def containers(self) -> frozenset[str]:
        """Return the containers that the tool declared."""
        return self.created.union(name.partition(".")[0] for name in self.reads | self.writes | self.optional)

    def check_container(self, container: str) -> None:
        """Raise ColumnError unless some column of the container was declared."""
        if container not in self.containers:
            raise ColumnError(
                f"{self.tool} uses the container {container!r}, which it did not declare",
                where=f"tool {self.tool}",
                hint=nearest(container, self.containers, what="declared containers")
                + "; declare its columns in reads()",
            )

    def check_selects(self) -> None:
        """Raise ColumnError where the tool says that it never selects."""
        if not self.selects:
            raise ColumnError(
                f"{self.tool} selects, and its class says that it never does",
                where=f"tool {self.tool}",
                hint="take selects = False out of the class",
            )

    def check_read(self, name: str) -> None:
        """Raise ColumnError unless the column was declared."""
        container = name.partition(".")[0]
        if (
            name not in self.reads
            and name not in self.writes
            and name not in self.optional
            and container not in self.created
        ):
            raise ColumnError(
                f"{self.tool} reads {name}, which it did not declare",
                where=f"tool {self.tool}",
                hint=f"add {name!r} to reads(); {nearest(name, self.reads | self.writes, what='declared columns')}",
            )

    def check_write(self, name: str) -> None:
        """Raise ColumnError unless the column was declared as written."""
        if name not in self.writes and name.partition(".")[0] not in self.created:
            raise ColumnError(
                f"{self.tool} writes {name}, which it did not declare",
                where=f"tool {self.tool}",
                hint=f"add {name!r} to writes(); {nearest(name, self.writes, what='declared columns')}",
            )
