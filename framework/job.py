"""A job: the tools that every event passes, the streams, and the options that a job-option file declares."""

from __future__ import annotations

import atexit
import contextvars
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from hepflow.datafiles import data_folders, find_data_file
from hepflow.errors import JobOptionsError, PropertyError, nearest
from hepflow.expressions import Expression, Weight
from hepflow.html import table
from hepflow.properties import Configurable, Property
from hepflow.stream import Stream, as_tools
from hepflow.tool import Tool
from hepflow.variations import KINDS, Override, Variation, check_columns

__all__ = ["DATATYPES", "GIVEN", "Job", "Option", "OptionValues", "SampleSettings", "option_values", "remind"]

T = TypeVar("T")

DATATYPES: Final = ("TAU", "JET", "ELE", "MUON")


GIVEN = "the options that were given"
"""Where an error arose whose value the user gave, not the file of the job."""


class Option(Property[Any]):
    """An option of a job-option file: a property of the job, set on the command line as ``--name value``."""


class OptionValues:
    """The option values that a job-option file finds when it runs, and the options it declares while it does.

    An option that is given without a value has the text None.
    """

    def __init__(self, texts: Mapping[str, str | None] | None = None, datatype: str | None = None) -> None:
        self.texts = dict(texts or {})
        self.datatype = datatype
        self.declared: dict[str, Option] = {}
        self.values: dict[str, Any] = {}
        self.jobs: list[Job] = []


@dataclass(frozen=True)
class SampleSettings:
    """What job options say of a sample (``Job.sample``); None: what its files say."""

    cross_section: float | None = None
    filter_efficiency: float | None = None
    k_factor: float | None = None
    events: float | None = None
    sum_of_weights: float | None = None
    weight: str = ""
    data: bool = False

    def numbers(self) -> dict[str, float | None]:
        """Return the numbers by name."""
        names = ("cross_section", "filter_efficiency", "k_factor", "events", "sum_of_weights")
        return {name: getattr(self, name) for name in names}


option_values: contextvars.ContextVar[OptionValues | None] = contextvars.ContextVar("option_values", default=None)


def remind(job: Job, file: str) -> None:
    """Say at the end of a script that built a job and did nothing with it how it is run."""
    if file.endswith(".py") and not job._frozen and not hasattr(sys, "last_type"):
        sys.stderr.write(f"builds job {job.name}; run: hepflow run {file}\n")


class Job:
    """Tools that every event passes, plus streams; one pass over the events.

    ``job += tool`` adds to the tools, ``job += stream`` to the streams. ``default_sample`` is read when no input is
    given: the name of a sample, or an input such as ``pythia:Gammatautau``. ``seed`` is that of ``events.random``.
    """

    def __init__(self, name: str, *, default_sample: str = "", seed: int = 1) -> None:
        if not name or not name.replace("-", "_").isidentifier():
            raise JobOptionsError(f"{name!r} is no name for a job", hint="use letters, digits, '_' and '-'")
        context = option_values.get()
        self.name = name
        self.default_sample = default_sample
        self.seed = seed
        self._members: list[Tool | Stream] = []
        self.samples: dict[str, SampleSettings] = {}
        self.variations: dict[str, Variation] = {}
        self._options = context if context is not None else OptionValues()
        self._options.jobs.append(self)
        self._frozen = False
        self.folder: Path | None = None
        caller = sys._getframe(1).f_globals
        if context is None and caller.get("__name__") == "__main__" and "__file__" in caller:
            atexit.register(remind, self, sys.argv[0])

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Return the tools that every event passes, in order."""
        return tuple(member for member in self._members if isinstance(member, Tool))

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Return the streams, in order."""
        return tuple(member for member in self._members if isinstance(member, Stream))

    @property
    def datatype(self) -> str:
        """Return the truth acceptance asked for with ``-dt``; TAU by default."""
        return self._options.datatype or "TAU"

    @property
    def options(self) -> dict[str, Any]:
        """Return the values of the declared options."""
        return dict(self._options.values)

    @property
    def declared_options(self) -> dict[str, Option]:
        """Return the declared options by name."""
        return dict(self._options.declared)

    def option(
        self, name: str, *, default: T, doc: str, choices: Sequence[Any] = (), item: type[Any] | None = None
    ) -> T:
        """Declare an option of the job-option file and return its value: the default, or what the command line says.

        ``item`` is the type of the elements of a tuple; each must be among ``choices``, where given. An option that is
        true or false may be given without a value.
        """
        declared = Option(default, doc, choices=choices, item=item)
        declared.name = name
        if name in self._options.declared:
            raise JobOptionsError(f"the option --{name} is declared twice", where=f"job {self.name}")
        self._options.declared[name] = declared
        try:
            value: T = declared.check(default)
            if name in self._options.texts:
                text = self._options.texts[name]
                if text is None and declared.type is not bool:
                    raise PropertyError(f"{name} wants a value", hint=doc)
                value = declared.parse("true" if text is None else text)
        except PropertyError as error:
            where = GIVEN if name in self._options.texts else f"job {self.name}"
            raise JobOptionsError(f"--{error.message}", where=where, hint=error.hint) from None
        self._options.values[name] = value
        return value

    def sample(
        self,
        name: str,
        *,
        cross_section: float | None = None,
        filter_efficiency: float | None = None,
        k_factor: float | None = None,
        events: float | None = None,
        sum_of_weights: float | None = None,
        weight: str = "",
        data: bool = False,
    ) -> None:
        """Say what ``--lumi`` needs to know of a sample (``-i NAME=FILE``) where its files do not, or say otherwise.

        ``cross_section`` is in pb; ``events`` and ``sum_of_weights`` are those of the whole sample before any
        selection; ``weight`` is an expression for the generator's weight of an event. Events of ``data`` count 1.
        JobOptionsError where a number makes no sense or the sample is there already.
        """
        where = f"job {self.name}, sample {name}"
        if name in self.samples or self._frozen:
            raise JobOptionsError(f"the sample {name!r} is described twice, or too late", where=where)
        made = SampleSettings(
            cross_section,
            filter_efficiency,
            k_factor,
            events,
            sum_of_weights,
            Expression(weight).text if weight else "",
            data,
        )
        for key, value in made.numbers().items():
            if value is not None and not (math.isfinite(value) and (value > 0 or key == "sum_of_weights")):
                raise JobOptionsError(f"{key} = {value:g} makes no sense", where=where, hint="a number above 0")
        if data and made != SampleSettings(data=True):
            raise JobOptionsError("events of data count 1: nothing else can be said of them", where=where)
        self.samples[name] = made

    def vary(
        self,
        name: str,
        *tools: Tool,
        columns: Mapping[str, str] | None = None,
        weight: str = "",
        factor: float | Mapping[str, float] = 1.0,
        unchanged: Sequence[str] = (),
        samples: Mapping[str, str] | None = None,
        stored: bool = False,
        **others: Any,
    ) -> None:
        """Declare a variation, which ``--variations ALL`` or its name switches on: ``TES_UP``, of ``TES_DOWN``.

        ``tools`` override columns, and so do expressions: ``columns={"TauJets.pt": "TauJets.pt * 1.03"}``. They come in
        as soon as what they read and override is there; the tools that depend on it run again. ``weight`` is an
        expression that events are weighted with besides theirs, ``factor`` a number for all events, or by sample.
        With ``samples``, sample → alternative, events of another input (``-i ALTERNATIVE=FILE``) stand for those of a
        sample; these are read for the variation alone, and without it not at all. ``stored=True`` takes all columns
        that an earlier job wrote for a variation of this name (``TauJets.pt__TES_UP``).
        Several calls for one name are one variation. A column that the input has and that was made of a varied one is
        an error, unless it is in ``unchanged``. JobOptionsError where something makes no sense.
        """
        where = f"job {self.name}"
        if self._frozen:
            raise JobOptionsError(f"the variation {name!r} comes too late: the job is frozen", where=where)
        for kind in others:
            hint = nearest(kind, KINDS, what="kinds of variations")
            raise JobOptionsError(f"{kind!r} is no kind of variation", where=f"{where}, variation {name}", hint=hint)
        for tool in tools:
            as_tools(tool, f"the variation {name}")
        before = self.variations.get(name)
        if columns:
            check_columns(columns, f"{where}, variation {name}")
            number = len(before.tools) + 1 if before else ""
            tools = (*tools, Override(f"{name}_columns{number}", Columns=dict(columns)))
        kept = (unchanged,) if isinstance(unchanged, str) else tuple(unchanged)
        made = Variation(name, tools, Weight(str(weight)), factor, kept, samples or {}, stored).checked(where)
        self.variations[name] = before.plus(made) if before else made

    def __iadd__(self, thing: Tool | Stream | Iterable[Tool]) -> Job:
        if self._frozen:
            raise JobOptionsError(f"job {self.name} is frozen: nothing can be added")
        self._members += [thing] if isinstance(thing, Stream) else as_tools(thing, f"job {self.name}")
        return self

    def _repr_html_(self) -> str:
        """Show tools and streams in a notebook."""
        members: list[tuple[str, Tool | Stream]] = [("job", tool) for tool in self.tools]
        for stream in self.streams:
            members += [("stream", stream), *((stream.name, tool) for tool in stream.tools)]
        rows = []
        for where, one in members:
            given = ", ".join(f"{key}={value!r}"[:80] for key, value in one.values_set.items())
            rows.append((where, one.name, type(one).__name__, given))
        return table(("in", "name", "is", "set"), rows, f"job {self.name}")

    def __repr__(self) -> str:
        return f"Job({self.name!r}, tools={self.tools!r}, streams={self.streams!r})"

    def all_tools(self) -> Iterator[Tool]:
        """Yield every tool in job order, those of a stream where the stream was added."""
        for member in self._members:
            if isinstance(member, Stream):
                yield from member.tools
            else:
                yield member

    def configurables(self) -> Iterator[Tool | Stream]:
        """Yield every tool and stream in job order."""
        for member in self._members:
            yield member
            if isinstance(member, Stream):
                yield from member.tools

    def find(self, name: str) -> Configurable:
        """Return the tool or stream of this name; JobOptionsError where there is none."""
        by_name = {member.name: member for member in self.configurables()}
        if name not in by_name:
            raise JobOptionsError(
                f"job {self.name} has no tool or stream {name!r}", hint=nearest(name, by_name, what="tools and streams")
            )
        return by_name[name]

    def set(self, assignment: str) -> None:
        """Apply ``Tool.Property=value`` as given with ``--set``."""
        target, equals, text = assignment.partition("=")
        name, dot, key = target.rpartition(".")
        if not equals or not dot:
            raise JobOptionsError(f"--set wants Tool.Property=value, got {assignment!r}")
        member = self.find(name.strip())
        prop = member.properties().get(key.strip())
        if prop is None:
            raise member._unknown(key.strip())
        member.setProperty(prop.name, prop.parse(text))

    def freeze(self) -> None:
        """Check the job as a whole and lock it; JobOptionsError where something cannot be right."""
        if self._frozen:
            return
        if not self._members:
            raise JobOptionsError(f"job {self.name} has no tools and no streams", hint="add some with +=")
        seen: dict[str, Tool | Stream] = {}
        for member in self.configurables():
            other = seen.get(member.name)
            if other is member:
                raise JobOptionsError(
                    f"{member!r} was added twice", hint="a tool that two streams need stands on the job"
                )
            if other is not None:
                raise JobOptionsError(
                    f"two members of job {self.name} are called {member.name!r}: "
                    f"a {type(other).__name__} and a {type(member).__name__}",
                    hint="give one of them another name: names are unique in the whole job",
                )
            seen[member.name] = member
        for name in self._options.texts:
            if name not in self._options.declared:
                raise JobOptionsError(
                    f"job {self.name} has no option --{name}",
                    hint=nearest(name, self._options.declared, what="options"),
                    about=f"--{name}",
                )
        self._check_variations(seen)
        self._apply_datatype()
        self._find_files()
        self._frozen = True
        for member in (*self._members, *self.overrides()):
            member.freeze()

    def overrides(self) -> list[Tool]:
        """Return the tools of all variations."""
        return [tool for variation in self.variations.values() for tool in variation.tools]

    def _check_variations(self, members: Mapping[str, Tool | Stream]) -> None:
        """Raise JobOptionsError where names are taken; those of different variations may be the same."""
        for name, variation in self.variations.items():
            names = [tool.name for tool in variation.tools]
            taken = next((one for one in names if one in members or names.count(one) > 1), None)
            if taken is not None:
                raise JobOptionsError(
                    f"{taken!r} is the name of two tools", where=f"job {self.name}, variation {name}",
                    hint="give one of them another name",
                )  # fmt: skip

    def _find_files(self) -> None:
        """Replace the names of data files by the paths where they are found."""
        members = [*self.configurables(), *self.overrides()]
        named = [(m, n, v) for m in members for n, v in m.values.items() if m.properties()[n].file and v]
        if not named:
            return
        folders = [*([self.folder] if self.folder else []), *data_folders()]
        for member, name, value in named:
            where = f"{member.name}.{name}"
            if isinstance(value, tuple):
                member.setProperty(name, [str(find_data_file(one, folders, where=where)) for one in value])
            else:
                member.setProperty(name, str(find_data_file(value, folders, where=where)))

    def data_files(self) -> dict[str, Path]:
        """Return the data files of a frozen job, by ``Tool.Property``; see ``Configurable.data_files``."""
        return {f"{m.name}.{key}": Path(path) for m in self.configurables() for key, path in m.data_files().items()}

    @property
    def datatype_tools(self) -> list[Tool]:
        """Return the tools that have a property DataType, for which ``-dt`` is."""
        return [tool for tool in self.all_tools() if "DataType" in tool.properties()]

    def _apply_datatype(self) -> None:
        """Give ``-dt`` to the tools that have a property DataType and do not set it themselves."""
        if self._options.datatype is None:
            return
        if not (takers := self.datatype_tools):
            raise JobOptionsError(
                f"-dt {self._options.datatype} has no effect: no tool of job {self.name} has a property DataType",
                hint="leave -dt out, or add TauTruthMatching",
            )
        for tool in takers:
            if "DataType" in tool.values_set:
                raise JobOptionsError(f"-dt {self._options.datatype} meets {tool!r}, which sets DataType itself")
            tool.setProperty("DataType", self._options.datatype)
