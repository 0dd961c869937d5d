"""The reader of ``pythia:`` inputs: generated events look like a file without end.

``pythia:Gammatautau`` and ``pythia:Dijet``, with options as in an address:
``pythia:Gammatautau?decays=all&seed=7&power=0``. The columns hold the whole event record (``TruthParticles``), what
reaches a detector (``StableParticles``) and ``EventInfo``, in MeV and mm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import awkward as ak
import numpy as np

from hepflow.errors import ColumnError, InputError, nearest
from hepflow.events.column import Column
from hepflow.events.scope import offsets_from
from hepflow.normalisation import NORMALISATION, Normalisation
from hepflow.plugins.simulation.generator import BLOCK_EVENTS, Block, Generator
from hepflow.plugins.simulation.processes import PROCESSES
from hepflow.protocols import ColumnInfo, FileSchema

__all__ = ["ENTRIES", "SAMPLE_SEED", "UNIT_EVENTS", "PythiaReader", "pythia_version"]

UNIT_EVENTS = 500
ENTRIES = 2**31 // UNIT_EVENTS * UNIT_EVENTS
"""How many events the source claims to hold; event numbers fit into 32 bits."""
SAMPLE_SEED = 20_260
GEV = 1000.0

STATUS_STABLE, STATUS_DECAYED = 1, 2


@dataclass(frozen=True)
class _Chosen:
    """Some of the particles of a block, column by column."""

    particles: Mapping[str, Any]
    positions: Any

    def __getitem__(self, name: str) -> Any:
        return self.particles[name][self.positions]


_Values = Callable[[_Chosen], Any]

_PARTICLES: Mapping[str, tuple[str, _Values]] = {
    "pdgId": ("int32", lambda p: p["id"]),
    "px": ("float64", lambda p: p["px"] * GEV),
    "py": ("float64", lambda p: p["py"] * GEV),
    "pz": ("float64", lambda p: p["pz"] * GEV),
    "m": ("float64", lambda p: p["m"] * GEV),
    "charge": ("float32", lambda p: p["charge"]),
    "prodX": ("float32", lambda p: p["x"]),
    "prodY": ("float32", lambda p: p["y"]),
    "prodZ": ("float32", lambda p: p["z"]),
}
_RECORD: Mapping[str, tuple[str, _Values]] = {
    "e": ("float64", lambda p: p["e"] * GEV),
    "status": ("int32", lambda p: np.where(p["status"] > 0, STATUS_STABLE, STATUS_DECAYED)),
    "parentIndex": ("int32", lambda p: p["mother1"] - 1),
}
_EVENT = {
    "eventNumber": "uint64",
    "mcEventNumber": "uint64",
    "runNumber": "uint32",
    "mcChannelNumber": "uint32",
    "mcEventWeights": "float32",
    "beamSpotWeight": "float32",
}


class PythiaReader:
    """Events of a generator, read like a file; event number k is the same wherever reading starts.

    ``path`` is ``pythia:PROCESS?option=value&…`` with the options ``decays`` (hadronic, all), ``seed`` and ``power``
    (exponent of the selection bias). Raises InputError for anything unknown.
    """

    format: ClassVar[str] = "pythia"
    scheme: ClassVar[str] = "pythia"

    def __init__(self, path: str) -> None:
        self.path = path
        name, _, query = path.removeprefix("pythia:").partition("?")
        if name not in PROCESSES:
            raise InputError(
                f"there is no process {name!r}", where=path, hint=nearest(name, PROCESSES, what="processes")
            )
        self._process = PROCESSES[name]
        self._options = _options(path, query)
        self._generator: Generator | None = None
        self._last: tuple[int, _Columns] | None = None

    def bookkept(self) -> None:
        """Return None: the schema says what is generated."""

    def schema(self) -> FileSchema:
        """Describe the source; Pythia is not started for that."""
        return FileSchema(
            path=self.path,
            format=self.format,
            tree=self._process.name,
            entries=ENTRIES,
            columns={info.name: info for info in _columns()},
            boundaries=(0, ENTRIES),
            energy_unit="MeV",
            identity=self.identity,
            unit_entries=UNIT_EVENTS,
            endless=True,
            metadata={
                "generator": pythia_version(),
                "process": self._process.doc,
                NORMALISATION: [self._normalisation().told()],
            },
        )

    @property
    def identity(self) -> str:
        """Return what the events depend on: process, options, and the version of Pythia."""
        return f"{self._process} {sorted(self._options.items())} {pythia_version()}"

    def blocks(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> Sequence[tuple[int, int]]:
        """Return the work units in the range: what follows costs less an event where events are many."""
        edges = [start, *range(start - start % UNIT_EVENTS + UNIT_EVENTS, stop, UNIT_EVENTS), stop]
        return list(pairwise(edges))

    def read(self, columns: Sequence[ColumnInfo], start: int, stop: int) -> dict[str, Column]:
        """Generate the blocks that hold the entries ``[start, stop)`` and return these entries of the given columns."""
        known = {info.name for info in _columns()}
        for info in columns:
            if info.name not in known:
                raise ColumnError(
                    f"there is no column {info.name}", where=self.path, hint=nearest(info.name, known, what="columns")
                )
        if start == stop:
            return {info.name: _nothing(info) for info in columns}
        pieces: list[dict[str, Column]] = []
        for block in range(start // BLOCK_EVENTS, -(-stop // BLOCK_EVENTS)):
            first = block * BLOCK_EVENTS
            inside = slice(max(start - first, 0), min(stop - first, BLOCK_EVENTS))
            made = self._block(block)
            pieces.append({info.name: made[info.name][inside] for info in columns})
        return {info.name: _join([piece[info.name] for piece in pieces]) for info in columns}

    def _normalisation(self) -> Normalisation:
        """Return the cross-section of the process; events and weights are counted while they are made."""
        process = self._process
        return Normalisation(process.name, process.cross_section, process.filter_efficiency, process.k_factor)

    def close(self) -> None:
        """Let go of the generator."""
        self._generator = self._last = None

    def _block(self, number: int) -> _Columns:
        if self._last is None or self._last[0] != number:
            if self._generator is None:
                self._generator = Generator(self._process, **self._options)
            self._last = (number, _Columns(self._generator.block(number), number, self._process.channel))
        return self._last[1]


def _nothing(info: ColumnInfo) -> Column:
    """Return a column of no events; Pythia is not started for that."""
    values: Any = np.zeros(0, dtype=info.dtype)
    if info.container == "EventInfo" and info.depth:  # a list of the event
        return Column(None, ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(np.zeros(1, dtype=np.int64)),
                                                                 ak.contents.NumpyArray(values))))  # fmt: skip
    return Column(np.zeros(1, dtype=np.int64) if info.depth else None, values)


def _options(path: str, query: str) -> dict[str, Any]:
    """Read the options behind the question mark."""
    kinds: dict[str, Any] = {"seed": int, "decays": str, "power": float}
    options: dict[str, Any] = {"seed": SAMPLE_SEED}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in kinds:
            raise InputError(
                f"there is no option {key!r} of generated events", where=path, hint=nearest(key, kinds, what="options")
            )
        try:
            options[key] = kinds[key](text)
        except ValueError:
            raise InputError(f"the option {key} wants {kinds[key].__name__}, not {text!r}", where=path) from None
    if options.get("decays", "all") not in ("all", "hadronic"):
        raise InputError(f"decays is 'hadronic' or 'all', not {options['decays']!r}", where=path)
    if options["seed"] < 0:
        raise InputError(f"the seed is a number from 0 on, not {options['seed']}", where=path)
    return options


def _columns() -> list[ColumnInfo]:
    particles = {name: dtype for name, (dtype, _) in _PARTICLES.items()}
    record = particles | {name: dtype for name, (dtype, _) in _RECORD.items()}
    infos = [(f"TruthParticles.{name}", dtype, 1) for name, dtype in record.items()]
    infos += [(f"StableParticles.{name}", dtype, 1) for name, dtype in particles.items()]
    infos += [(f"EventInfo.{name}", dtype, int(name == "mcEventWeights")) for name, dtype in _EVENT.items()]
    return [ColumnInfo(name, (name,), dtype, depth) for name, dtype, depth in infos]


class _Columns:
    """The columns of a block, made when they are asked for. The entry 0 of Pythia's record, which stands for the
    event, is left out."""

    def __init__(self, block: Block, number: int, channel: int) -> None:
        self.block, self.size, self.made = block, len(block.counts), dict[str, Column]()
        events = np.repeat(np.arange(self.size), block.counts)
        real = np.ones(len(events), dtype=bool)
        real[(np.cumsum(block.counts) - block.counts)[block.counts > 0]] = False
        final = real & (block.particles["status"] > 0)
        self.chosen = {"TruthParticles": np.flatnonzero(real), "StableParticles": np.flatnonzero(final)}
        self.offsets = {
            name: offsets_from(np.bincount(events[chosen], minlength=self.size)) for name, chosen in self.chosen.items()
        }
        numbers = number * BLOCK_EVENTS + 1 + np.arange(self.size)
        channels = np.full(self.size, channel)
        event = {
            "eventNumber": numbers,
            "mcEventNumber": numbers,
            "runNumber": channels,
            "mcChannelNumber": channels,
            "beamSpotWeight": np.ones(self.size),
        }
        self.made |= {f"EventInfo.{name}": Column(None, values.astype(_EVENT[name])) for name, values in event.items()}
        weights = ak.unflatten(block.weights.astype(np.float32), 1)
        self.made["EventInfo.mcEventWeights"] = Column(None, weights)

    def __getitem__(self, name: str) -> Column:
        if name not in self.made:
            container, attribute = name.split(".")
            dtype, values = _PARTICLES.get(attribute) or _RECORD[attribute]
            chosen = _Chosen(self.block.particles, self.chosen[container])
            self.made[name] = Column(self.offsets[container], np.asarray(values(chosen)).astype(dtype, copy=False))
        return self.made[name]


def _join(pieces: list[Column]) -> Column:
    """Put the columns of neighbouring ranges together."""
    if len(pieces) == 1:
        return pieces[0]
    content = [piece.content for piece in pieces]
    joined = ak.concatenate(content) if isinstance(content[0], ak.Array) else np.concatenate(content)
    if pieces[0].offsets is None:
        return Column(None, joined)
    counts = np.concatenate([np.diff(piece.offsets) for piece in pieces if piece.offsets is not None])
    return Column(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), joined)


def pythia_version() -> str:
    """Return name and version of the generator."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"pythia8mc {version('pythia8mc')}"
    except PackageNotFoundError:
        return "pythia8mc"
