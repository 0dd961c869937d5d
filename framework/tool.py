"""The base class of all tools: a configured step that decorates, selects, measures or finalizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hepflow.context import Context
from hepflow.errors import PropertyError
from hepflow.properties import Configurable

if TYPE_CHECKING:
    from hepflow.events import Events
    from hepflow.expressions import Expression
    from hepflow.job import Job
    from hepflow.protocols import ColumnInfo

__all__ = ["Tool"]


class Tool(Configurable):
    """A configured step of a job.

    Override what is needed, nothing else:

    - ``reads`` and ``writes`` declare columns (``"TauJets.pt"``; ``"TauJets.x?"`` is optional; ``"TauTrack.*"`` in
      ``writes`` is a new container). A tool can use only what it declares. In a stream, a column that a tool both
      reads and writes is passed on to the output as it is, unless the tool assigns it.
    - ``check`` refuses settings that cannot work, before anything is read or written.
    - ``initialize`` opens what is needed (a model), once a worker; attributes can be set here and only here.
    - ``start`` returns the empty result of a work unit; ``execute`` is called once a chunk and fills it in place.
    - ``finalize`` is called once a job, in the main process, with the sum of all results; what it returns is the tool's
      result, for later tools (``context.result(name)``) and for the caller.
    """

    energy_unit: ClassVar[str] = ""
    """Energy unit of the columns that the tool works with ("MeV"): the plan refuses input in another one. By default
    that of its properties (``Property(15_000.0, …, unit="MeV")``) that are neither 0 nor infinite.
    """

    selects: ClassVar[bool] = True
    """Whether ``execute`` may hide objects or events. Where it never does, False lets variations share with the nominal
    what comes behind it; a tool that selects all the same fails.
    """

    varies: ClassVar[bool] = True
    """Whether the tool runs again where what it reads varies. What matches truth does not: there it is False, and the
    tool runs again only where objects are others.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__init__" in vars(cls):
            raise PropertyError(
                f"the tool {cls.__name__} has an __init__ of its own, which has nothing to do",
                hint='a setting is Size = Property(5, "what it is"); what a worker needs is made in initialize()',
            )
        super().__init_subclass__(**kwargs)

    def reads(self) -> Sequence[str]:
        """Return the columns that the tool reads."""
        return ()

    def writes(self) -> Sequence[str]:
        """Return the columns that the tool writes."""
        return ()

    def links(self) -> Sequence[str]:
        """Return which of the columns in ``writes()`` hold element links: a stream that cannot write any says so before
        the first event.
        """
        return []

    def expressions(self) -> Sequence[Expression]:
        """Return the expressions that the tool evaluates, besides those among its properties: the plan asks whether
        they need the energy unit of the input.
        """
        return ()

    def needs(self) -> Sequence[str]:
        """Return the names of tools and streams whose results ``finalize`` takes: the plan sees that the job has them,
        and that tools among them finalize earlier.
        """
        return ()

    def check(self, job: Job) -> None:
        """Raise a HepflowError where it is known already that the tool cannot do its work: a wrong file of settings, a
        package that is not installed. Called on the frozen tool, before inputs are looked at and anything is written.
        """

    def remarks(
        self, job: Job, records: Mapping[str, Mapping[str, Any]], columns: Mapping[str, ColumnInfo]
    ) -> Sequence[str]:
        """Return what the user should know before the event loop, one line each, shown by plan and run; ``records``
        are those (``record``) of the tools that made the input, ``columns`` what the input has.
        """
        return ()

    def initialize(self, context: Context) -> None:
        """Prepare the worker's copy of the tool."""

    def start(self) -> Any:
        """Return the empty result of a work unit: numbers, arrays, objects with ``+``, or dicts, lists, dataclasses
        of these.
        """
        return None

    def execute(self, events: Events, result: Any) -> None:
        """Process one chunk."""

    def finalize(self, total: Any, context: Context) -> Any:
        """Finish with the total of all work units; by default the total is the tool's result."""
        return total

    def record(self) -> Mapping[str, Any]:
        """Return what users of the tool's output must know of it (of its model); written into the output's metadata and
        into ``provenance.json``. The tool is frozen, and not always initialized.
        """
        return {}

    def prepare(self, context: Context) -> None:
        """Run ``initialize`` in the one phase in which attributes can be set; called by the engine."""
        self.__dict__["_configurable_phase"] = "initialize"
        try:
            self.initialize(context)
        finally:
            self.__dict__["_configurable_phase"] = "run"

    @property
    def has_loop(self) -> bool:
        """Tell whether the tool takes part in the event loop."""
        return type(self).execute is not Tool.execute
