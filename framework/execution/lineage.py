"""What the outputs of a job say of their making, for the variations of later jobs: which columns its tools made of
which, what they selected by, and which objects are there for its variations alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepflow.events import Access, Scope
from hepflow.io.trees import split_called
from hepflow.protocols import NOMINAL, FileSchema
from hepflow.tool import Tool

__all__ = ["LINEAGE", "Lineage", "Step"]

LINEAGE = _STEPS, _NOMINAL, _VARIED = "made", NOMINAL, "varied"
"""Keys of the metadata of a file."""


@dataclass(frozen=True)
class Step:
    """What a tool of an earlier job did: it ``makes`` columns (``C.*``: a container) ``of`` others, or ``selects`` by
    them.
    """

    tool: str
    job: str
    of: tuple[str, ...]
    makes: tuple[str, ...] = ()
    selects: bool = False

    @property
    def who(self) -> str:
        """Name the tool in a message."""
        return f"{self.tool} of the job {self.job}"


@dataclass(frozen=True)
class Lineage:
    """Steps that made an input. Where selections differed in variations, objects that any of them selects are there:
    ``nominal`` are then the flags of those that the nominal has (one for each container), ``varied`` the flags of each
    variation.
    """

    steps: tuple[Step, ...] = ()
    nominal: tuple[str, ...] = ()
    varied: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @staticmethod
    def of(schema: FileSchema) -> Lineage:
        """Return what a file says; what is none of it is passed over."""
        tree, called = split_called(schema.tree)
        own = tree.rpartition("/")[2]

        def names(found: Any) -> tuple[str, ...]:
            texts = [str(one) for one in found] if isinstance(found, list) else []
            split = [text.partition(".") for text in texts]
            return tuple(f"{called if called and first == own else first}.{rest}" for first, _, rest in split)

        told = schema.metadata.get(_STEPS)
        steps = tuple(
            Step(str(one.get("tool")), str(one.get("job")), names(one.get("of")), names(one.get("makes")),
                 one.get("selects") is True)
            for one in (told if isinstance(told, list) else []) if isinstance(one, dict)
        )  # fmt: skip
        varied = schema.metadata.get(_VARIED)
        varied = {str(key): names(flags) for key, flags in varied.items()} if isinstance(varied, dict) else {}
        return Lineage(steps, names(schema.metadata.get(_NOMINAL)), varied)

    @staticmethod
    def joined(several: Iterable[Lineage]) -> Lineage:
        """Return that of several files."""
        found = list(several)
        steps = dict.fromkeys(step for one in found for step in one.steps)
        nominal = dict.fromkeys(name for one in found for name in one.nominal)
        varied = {name: flags for one in found for name, flags in one.varied.items()}
        return Lineage(tuple(steps), tuple(nominal), varied)

    @property
    def flags(self) -> set[str]:
        """Return all flags."""
        return {*self.nominal, *(name for flags in self.varied.values() for name in flags)}

    def derivations(self, known: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Return what each column was made of, that of what is known of the columns of a format included."""
        found: dict[str, tuple[str, ...]] = {name: tuple(of) for name, of in known.items()}
        for step in self.steps:
            for name in step.makes:
                found[name] = (*found.get(name, ()), *step.of)
        return found

    def maker(self, name: str) -> str:
        """Return who made a column, for a message; empty where it is not known."""
        whole = f"{name.partition('.')[0]}.*"
        return next((step.who for step in reversed(self.steps) if {name, whole} & {*step.makes}), "")

    def told(self) -> dict[str, Any]:
        """Return it as the metadata of a file have it."""
        steps = [
            {"tool": one.tool, "job": one.job, "of": list(one.of), "makes": list(one.makes), "selects": one.selects}
            for one in self.steps
        ]
        flags = {_NOMINAL: list(self.nominal), _VARIED: {name: list(of) for name, of in self.varied.items()}}
        return {**({_STEPS: steps} if steps else {}), **{key: value for key, value in flags.items() if value}}

    def after(
        self, job: str, tools: Iterable[Tool], access: Mapping[str, Access], scope: Scope, chose: Collection[str]
    ) -> tuple[Step, ...]:
        """Return the steps of an output of this input: those of tools come behind its own. A column that a tool may
        have passed on was made where it stands in the scope; ``chose`` are the tools that did select.
        """
        steps = dict.fromkeys(self.steps)
        for tool in [tool for tool in tools if tool.has_loop and tool.varies]:
            own = access[tool.name]
            reads = own.reads | own.optional
            new = [name for name in own.writes if name not in reads or scope.owns(name)]
            makes = (*sorted(new), *(f"{container}.*" for container in sorted(own.created)))
            if reads and (makes or tool.name in chose):
                steps[Step(tool.name, job, tuple(sorted(reads)), makes, tool.name in chose)] = None
        return tuple(steps)
