"""hepflow from Python: run a job, or open files and get their columns. What a notebook calls."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepflow.errors import ColumnError, HepflowError, JobOptionsError, PropertyError, many, nearest
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import Plan
from hepflow.execution.planning import plan_job
from hepflow.execution.run import RunResult
from hepflow.execution.run import run as run_with
from hepflow.expressions import Expression, common_container, quoted
from hepflow.html import table
from hepflow.job import Job
from hepflow.joboptions import JobFile, find_joboptions, load_joboptions
from hepflow.properties import Property
from hepflow.protocols import ColumnInfo
from hepflow.tool import Tool

if TYPE_CHECKING:
    import awkward as ak
    import pandas as pd

    from hepflow.events import Events

__all__ = ["Data", "load_job", "open", "run"]

Input = str | PathLike[str]


def run(
    job: Job | JobFile, inputs: Input | Sequence[Input] = (), output: Input | None = None, **options: Any
) -> RunResult:
    """Run a job and return what it gave; without ``output`` in a new folder, as ``hepflow run`` does.

    ``options`` are those of ``RunOptions``: ``events``, ``workers``, ``resume``, ``force``, ``executor``, ….
    JobOptionsError where there is no such option; else the errors of a run.
    """
    names = RunOptions.__dataclass_fields__
    for name in options:
        if name not in names:
            raise JobOptionsError(f"a run has no option {name!r}", hint=nearest(name, names, what="options"))
    where = None if output is None else fspath(output)
    return run_with(job, RunOptions(inputs=_texts(inputs), output=where, **options))


def load_job(name: str | PathLike[str], *settings: str, datatype: str | None = None, **options: Any) -> JobFile:
    """Return the job of a job-option file, by path or by the name of one that ships, with its ``options``.

    ``settings`` are what ``--set`` takes, ``"Tool.Property=value"``. JobOptionsError with the nearest names where there
    is no such file, option or tool.
    """
    texts = {key.replace("_", "-"): _text(value) for key, value in options.items() if value is not False}
    return load_joboptions(find_joboptions(fspath(name)), texts, settings=settings, datatype=datatype)


def _text(value: Any) -> str | None:
    """Return the value of an option as the command line has it; a flag has none."""
    if value is True:
        return None
    return str(value) if isinstance(value, str) or not isinstance(value, Sequence) else ",".join(map(str, value))


def open(  # noqa: A001 - hepflow.open
    inputs: Input | Sequence[Input],
    *,
    tree: str = "",
    events: int | None = None,
    skip: int = 0,
    units: str | None = None,
) -> Data:
    """Return the columns of files: of a file, a glob, a folder, a run, a sample, or several of these.

    Nothing is read until a column is asked for. ``tree``, ``events``, ``skip`` and ``units`` are those of
    ``hepflow run``.
    """
    return Data(RunOptions(inputs=_texts(inputs), tree=tree, events=events, skip=skip, units=units))


def _texts(inputs: Input | Sequence[Input]) -> list[str]:
    return [fspath(inputs)] if isinstance(inputs, str | PathLike) else [fspath(one) for one in inputs]


@dataclass(frozen=True)
class Data:
    """Columns of files under their uniform names, read when they are asked for (``hepflow.open``).

    ``data["TauJets.pt"]`` is an awkward array, events × objects, or a value an event; any expression over columns is
    one: ``data["TauJets.pt / 1000"]``. ``data.arrays`` reads several in one pass.
    """

    options: RunOptions
    _kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def plan(self) -> Plan:
        """Return the plan of reading all of it: files, work units, columns."""
        job = Job("open")
        job += ReadColumns("open")
        return plan_job(job, self.options)

    @property
    def columns(self) -> Mapping[str, ColumnInfo]:
        """Return what is known of the columns, by name."""
        return {name: info for name, info in self.plan.columns.items() if not info.second}

    @property
    def _flags(self) -> set[str]:
        """Return the columns that tell which objects the nominal and variations have."""
        return {name for kind in self.plan.kinds for name in kind.lineage.flags}

    @property
    def containers(self) -> dict[str, list[str]]:
        """Return the names of columns by container."""
        found: dict[str, list[str]] = {}
        for name in self.columns:
            container, _, variable = name.partition(".")
            found.setdefault(container, []).append(variable)
        return found

    def __len__(self) -> int:
        """Return the number of events, those that only variations select included."""
        return self.plan.entries

    def __getitem__(self, column: str) -> ak.Array:
        return self.arrays(column)[column]

    def arrays(self, *given: str | Sequence[str]) -> dict[str, ak.Array]:
        """Return columns, or expressions over columns, by their text, each given by itself or in lists; all are read in
        one pass and kept.

        Of files that were written with variations these are the nominal objects; with a flag among them
        (``TauJets.passes__TES_UP``) they are all.

        ColumnError and PropertyError, with the nearest names, where one is not there.
        """
        import awkward as ak

        columns = [text for one in given for text in ([one] if isinstance(one, str) else one)]
        every = any(self._flags & {*self._expression(text).columns} for text in columns)
        kept = {} if every else self._kept
        wanted = [text for text in columns if text not in kept]
        if wanted:
            job = Job("open")
            job += ReadColumns("open", Columns=wanted)
            with tempfile.TemporaryDirectory() as folder:
                done = run_with(job, replace(self.options, output=str(Path(folder) / "open")), reporter=Reporter())
            found: Mapping[str, Pieces] = done.results["open"]
            for text in wanted:
                kept[text] = ak.concatenate(found[text].arrays) if text in found else ak.Array([])
        return {text: kept[text] for text in columns}

    def _expression(self, text: str) -> Expression:
        """Return what a text says; PropertyError, where a name stands for itself, with the columns of that name."""
        try:
            return Expression(text)
        except PropertyError as error:
            found = [name for name in self.columns if name.partition(".")[2] == text]
            inside = [quoted(name) for name in self.columns if name.partition(".")[0] == text]
            if not (found or inside):
                raise
            meant = " or ".join(quoted(name) for name in found) or f"a column of it: {', '.join(inside[:6])}"
            raise error.but(hint=f"did you mean {meant}?" if found else meant) from None

    def numpy(self, column: str) -> np.ndarray[Any, Any]:
        """Return a column as a flat numpy array: one value an object (or an event)."""
        import awkward as ak

        return np.asarray(ak.flatten(self[column], axis=None))

    def pandas(self, container: str, *variables: str) -> pd.DataFrame:
        """Return the columns of a container (those of ``variables``, else all that are one number) with one row an
        object, its index the number of the event and of the object in it, as ``ak.to_dataframe`` does; of what stands
        once in an event one row an event. Among the variables may be columns of the event, by their whole names
        (``EventInfo.eventNumber``): they are repeated. ColumnError where there is no such container, or where a
        variable is a list of each row.
        """
        import awkward as ak

        if container not in self.containers:
            hint = nearest(container, self.containers, what="containers")
            raise ColumnError(f"there is no container {container!r}", hint=hint)
        numbers = [name for name in self.containers[container] if self._is_number(f"{container}.{name}")]
        chosen = variables or numbers
        of_event = {name for name in variables if name in self.columns and self._once(self.columns[name])}
        found = self.arrays([name if name in of_event else f"{container}.{name}" for name in chosen])
        rows = 1 if any(self._once(self.columns[f"{container}.{name}"]) for name in self.containers[container]) else 2
        lists = [name for name, array in zip(chosen, found.values(), strict=True) if array.ndim > rows]
        if of_event.issuperset(chosen) and rows == 2:
            raise ColumnError(
                f"{', '.join(chosen)} stands once in an event, and a row would be an object of {container}",
                hint=f"add a variable of {container}, or ask for a frame of {chosen[0].partition('.')[0]}",
            )
        if lists:
            raise ColumnError(
                f"{', '.join(lists)} of {container} holds a list in each row of a frame, or strings",
                hint=f"{lists[0]}[0], max({lists[0]}), len({lists[0]}) are numbers; arrays() gives the lists",
            )
        try:
            return ak.to_dataframe(ak.zip(dict(zip(chosen, found.values(), strict=True))))
        except ImportError as error:
            raise HepflowError("this needs pandas", hint="pip install pandas") from error

    def _is_number(self, name: str) -> bool:
        info = self.columns[name]
        return (
            info.dtype not in ("string", "link")
            and info.depth <= (0 if self._once(info) else 1)
            and name not in self._flags
        )

    @staticmethod
    def _once(info: ColumnInfo) -> bool:
        """Tell whether a column has one value, or one list, an event, and not one an object."""
        return info.single or not info.depth

    def __repr__(self) -> str:
        numbers = f"{many(len(self), 'event')}, {many(len(self.columns), 'column')}"
        return f"<Data of {', '.join(self.options.inputs)}: {numbers}>"

    def _repr_html_(self) -> str:
        rows = ((container, ", ".join(names)) for container, names in self.containers.items())
        return table(("container", "columns"), rows, repr(self)[1:-1])


@dataclass
class Pieces:
    """Arrays of consecutive chunks; add up by following each other."""

    arrays: list[Any]

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces([*self.arrays, *other.arrays])


class ReadColumns(Tool):
    """Keep columns, or expressions over columns, as they are."""

    Columns: Property[tuple[str, ...]] = Property((), "columns or expressions", item=str)

    def reads(self) -> Sequence[str]:
        """Return the columns of all expressions."""
        return list(dict.fromkeys(name for text in self.Columns for name in Expression(text).columns))

    def start(self) -> dict[str, Pieces]:
        """Return nothing read."""
        return {}

    def execute(self, events: Events, result: dict[str, Pieces]) -> None:
        """Add the values of a chunk."""
        for text in self.Columns:
            piece = Pieces([_values(events, text)])
            result[text] = result[text] + piece if text in result else piece


def _values(events: Events, text: str) -> Any:
    expression = Expression(text)
    if [*expression.columns] == [text]:
        container, _, variable = text.partition(".")
        return events[container][variable]
    at = common_container(events, expression)
    values = expression(events, at)
    return events[at].unflatten(values) if at else values
