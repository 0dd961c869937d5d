"""What the engine asks of readers, writers and models; implementations are found through plugins."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from hepflow.events.column import Column
    from hepflow.networks.graph import InputNode, Output
    from hepflow.normalisation import Normalisation

__all__ = [
    "NOMINAL",
    "NO_VALUES",
    "ColumnInfo",
    "FileSchema",
    "Model",
    "ModelReader",
    "ModelWriter",
    "Reader",
    "Writer",
    "matching",
]


@dataclass(frozen=True)
class ColumnInfo:
    """What a file says about one column.

    ``name`` is hepflow's name (``TauJets.pt``), ``sources`` how the file spells it (one name; two for single element
    links that a TTree splits into key and index). ``dtype`` is a numpy name, ``"string"`` or ``"link"``. ``depth`` is
    0 for one value an event, 1 for one an object, 2 for a list an object (3 and more likewise). ``single`` tells that
    the container has one entry an event: its lists are values of that entry. ``counter`` names what counts its lists
    (a leaf such as ``nMuon``): columns with the same counter have lists of the same lengths; "" for lists of its own.
    ``second`` tells that this is a second name of a column (``FileSchema.second``). ``objects`` is the number of those
    with a value, -1 where unknown; ``shape`` is the source of a column of the same container that has a value for each
    object, where this one may lack some. Sizes are in bytes, 0 where unknown.
    """

    name: str
    sources: tuple[str, ...]
    dtype: str
    depth: int
    nbytes: int = 0
    compressed: int = 0
    single: bool = False
    counter: str = ""
    second: bool = False
    objects: int = -1
    shape: str = ""

    @property
    def container(self) -> str:
        """Return the part before the dot."""
        return self.name.partition(".")[0]


NOMINAL = "nominal"
"""Key of the metadata of a file that holds objects of variations: the flags of those that the nominal has."""
NO_VALUES = "holds no values of its own"
"""The reason why nothing is read from the object that stands for a container, whose values are beside it."""


@dataclass(frozen=True)
class FileSchema:
    """What a file holds: looked at once, and kept in a cache.

    ``boundaries`` are entry numbers, from 0 to ``entries``, at which reading may be cut without reading anything
    twice, whatever columns are read. ``identity`` tells two files with one path apart (ROOT file UUID, or what a
    generator is seeded with).
    ``repeated``: the entries are no events but, say, taus, and may repeat an event number.
    ``energy_unit`` is ``MeV``, ``GeV``, or empty where it is not known.
    ``unreadable`` names branches that hold data but cannot be read, with the reason. ``unit_entries`` is the size of
    a work unit where the input wants to say (a generator), 0 where the engine decides; ``endless`` inputs need
    ``-n``. ``second`` holds columns by their second names, those of the file itself (``Events.Jet_pt`` for ``Jet.pt``):
    they are read as lists of the event, and only where they are named in full. ``naming`` says in a line how names were
    made.
    """

    path: str
    format: str
    tree: str
    entries: int
    columns: Mapping[str, ColumnInfo]
    boundaries: Sequence[int]
    identity: str = ""
    size: int = 0
    mtime: float = 0.0
    repeated: bool = False
    unreadable: Mapping[str, str] = field(default_factory=dict)
    unit_entries: int = 0
    endless: bool = False
    energy_unit: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    second: Mapping[str, ColumnInfo] = field(default_factory=dict)
    naming: str = ""


def matching(pattern: str, columns: Mapping[str, ColumnInfo | None]) -> list[str]:
    """Return the columns that a name or a pattern with wildcards (``TauJets.*``) means; no second names, unless it is
    one.
    """
    if pattern in columns:
        return [pattern]
    found = fnmatch.filter(columns, pattern)
    return [name for name in found if not ((info := columns[name]) and info.second)]


class Reader(Protocol):
    """One open input. Made by ``open(path)`` of its format; kept open by a worker from unit to unit.

    ``scheme`` is the prefix (``"pythia"`` in ``pythia:Gammatautau``) that the format claims, or "" for trees of ROOT
    files: there ``recognises(opened)``, a class method, tells whether the format knows a ``hepflow.io.trees.OpenTree``,
    and the reader is made from the path and that tree.
    """

    format: ClassVar[str]
    scheme: ClassVar[str]

    def schema(self) -> FileSchema:
        """Describe the file; raises InputError where it is no such file."""
        ...

    def bookkept(self) -> Normalisation | None:
        """Return number and sum of weights before any selection where the format keeps them beside the events; None
        where it does not, or the metadata of the schema say them. It may take long: it is called where they are needed.
        """
        ...

    @property
    def identity(self) -> str:
        """Return what tells this input from another with the same path (``FileSchema.identity``), at no cost."""
        ...

    def blocks(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> Sequence[tuple[int, int]]:
        """Return the pieces of ``[start, stop)`` to read in one call each: no basket or cluster is unpacked twice, and
        memory is bounded.
        """
        ...

    def read(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        """Read the entries ``[start, stop)`` of the given columns, and nothing else, in one call."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Writer(Protocol):
    """One output file under a temporary name; ``close`` makes it whole, the stream gives it its final name."""

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the events of a chunk; every call brings the same columns with the same types."""
        ...

    def close(self) -> None:
        """Write what is left and close the file."""
        ...


class Model(Protocol):
    """A trained model, ready to be applied. ``hepflow.registry.models.open_model`` opens one from its file.

    ``record`` is what travels with the model beyond its numbers, plain JSON values: ``folds`` (rule and roles of the
    events that it has seen), ``variables``, sample, versions. ``record["variables"]`` holds the recipes: the name of
    an input → a list of objects with the fields of ``hepflow.variables.Variable`` (``name``, ``column``, ``transform``,
    ``floor``, ``missing``, ``unit``, ``label``; what is not there has its default). The column is one of the objects
    that the input is about, or an expression over these.
    """

    @property
    def format(self) -> str:
        """What kind of file it is: ``lwtnn JSON``, ``TMVA``."""
        ...

    @property
    def origin(self) -> str:
        """What made it, as far as the file says."""
        ...

    @property
    def inputs(self) -> tuple[InputNode, ...]:
        """The scalar inputs: groups of named variables, one row an object that is decorated."""
        ...

    @property
    def input_sequences(self) -> tuple[InputNode, ...]:
        """The sequences: groups of named variables, one row for each object of a list."""
        ...

    @property
    def used_inputs(self) -> tuple[InputNode, ...]:
        """The scalar inputs that the outputs need."""
        ...

    @property
    def used_sequences(self) -> tuple[InputNode, ...]:
        """The sequences that the outputs need."""
        ...

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs, with a label for each of their values."""
        ...

    @property
    def record(self) -> Mapping[str, Any]:
        """What travels with the model beyond its numbers."""
        ...

    @property
    def n_parameters(self) -> int | None:
        """Number of trained numbers; None where it is not known."""
        ...

    @property
    def graph(self) -> Sequence[str]:
        """What is inside, in lines of text for ``hepflow inspect``."""
        ...

    def sequence_of(self, output: Output) -> tuple[str, int] | None:
        """Return the sequence whose objects an output has a row for, and how many objects it loses at most; None for
        one row an object that is decorated.
        """
        ...

    def evaluate(
        self, inputs: Mapping[str, Any], sequences: Mapping[str, Any] | None = None, *, dtype: DTypeLike | None = None
    ) -> dict[str, NDArray[np.floating]]:
        """Return the values of each output, (n_rows, n_labels).

        ``inputs`` maps each scalar input to an array (n_rows, n_variables) or a mapping from variable to (n_rows),
        ``sequences`` each sequence to a pair (values of all objects, number of objects of each row). ``dtype`` is the
        precision, by default the model's own. NetworkError where inputs do not fit, naming input and variable.
        """
        ...


class ModelReader(Protocol):
    """Opens the files of one format."""

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Tell from its content whether a file is of this format; a damaged one may be.

        ``head`` are its first ``hepflow.registry.models.HEAD`` bytes: more is read only of what may be one.
        """
        ...

    @staticmethod
    def read(path: Path) -> Model:
        """Open the model; NetworkError where it is damaged, or cannot be evaluated rightly."""
        ...


class ModelWriter(Protocol):
    """Writes models of some kinds as files of one format."""

    endings: ClassVar[tuple[str, ...]]
    """Endings of the files, with the dot, in small letters."""

    @staticmethod
    def takes(model: Model) -> bool:
        """Tell whether the model is of a kind that can be written."""
        ...

    @staticmethod
    def write(model: Model, path: Path) -> Sequence[str]:
        """Write the file; returns what a user must know of it, in lines. NetworkError for what it cannot hold."""
        ...
