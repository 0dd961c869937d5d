"""Pythia 8 as a source of events: common settings, the selection bias, and blocks of 100 events that stand on their
own.

Every generator of a process is initialised with the same seed; before each block the random numbers are set anew from
(seed, block). So a block is the same wherever and after whatever it is generated.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepflow.errors import InputError
from hepflow.plugins.simulation.hooks import make_hooks
from hepflow.plugins.simulation.processes import Process

__all__ = ["BLOCK_EVENTS", "Block", "Generator", "block_seed", "pythia_module"]

BLOCK_EVENTS = 100
LARGEST_SEED = 900_000_000
"""Largest seed that Pythia accepts."""

TAU, LEPTONS = 15, (11, 13)
COMMON_ID = 10_000
"""Largest PDG id of particles whose charges stand in a table."""

COMMON = (
    "Print:quiet = on",
    "Random:setSeed = on",
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 13000.",
    "Tune:pp = 21",  # A14 with NNPDF2.3LO
    "TauDecays:mode = 1",  # hadronic currents; mode 0 decays in flat phase space, without rho and a1
    "PartonLevel:MPI = off",  # the underlying event comes from the minimum-bias library
)


@dataclass(frozen=True)
class Block:
    """Generated events: flat arrays of all particles, the numbers of particles and one weight per event.

    ``particles`` holds id, status, mother1, mother2 (Pythia's numbering, 0 is the event as a whole), px, py, pz, e, m
    (GeV), x, y, z (mm, production vertex) and charge (units of e).
    """

    counts: npt.NDArray[np.int64]
    particles: Mapping[str, npt.NDArray[Any]]
    weights: npt.NDArray[np.float64]


def block_seed(seed: int, block: int) -> int:
    """Return the random seed of a block, from 1 to Pythia's largest."""
    digest = hashlib.sha256(f"hepflow/{seed}/{block}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "little") % LARGEST_SEED


class Generator:
    """An initialised Pythia for one process.

    ``decays`` is "hadronic" (no leptonic tau decays) or "all"; ``power`` replaces the process's own exponent of the
    bias. Raises InputError where Pythia is not installed or does not accept the settings.
    """

    def __init__(self, process: Process, *, seed: int, decays: str = "hadronic", power: float | None = None) -> None:
        self.process, self.seed = process, seed
        pythia8 = pythia_module()
        self._pythia = pythia8.Pythia("", False)
        self._hook = make_hooks(pythia8, process, process.power if power is None else power)
        for setting in (*COMMON, *process.settings, f"Random:seed = {1 + seed % LARGEST_SEED}"):
            if not self._pythia.readString(setting):
                if setting == COMMON[0]:  # not even that
                    raise InputError(
                        "Pythia does not find its settings",
                        where=f"PYTHIA8DATA = {os.environ.get('PYTHIA8DATA', '')!r}",
                        hint="unset PYTHIA8DATA, or set it to the folder xmldoc of the installation of pythia8mc",
                    )
                raise InputError(f"Pythia does not accept {setting!r}", where=f"pythia:{process.name}")
        if decays == "hadronic":
            _close_leptonic_channels(self._pythia)
        self._hook.random = self._pythia.rndm
        self._pythia.setUserHooksPtr(self._hook)
        if not self._pythia.init():
            raise InputError("Pythia could not be initialised", where=f"pythia:{process.name}")
        self._charges = np.full(2 * COMMON_ID + 1, np.nan, dtype=np.float32)  # by PDG id, negative ones from the end

    def block(self, number: int) -> Block:
        """Return the events of a block, whatever was generated before."""
        return self._unpack(self.generate(number))

    def generate(self, number: int) -> Any:
        """Return the events of a block as Pythia does: an awkward array, GeV."""
        self._pythia.rndm.init(block_seed(self.seed, number))
        self._hook.weights.clear()
        batches: list[Any] = []
        missing = BLOCK_EVENTS
        while missing:
            batches.append(self._pythia.nextBatch(missing))
            missing -= len(batches[-1])
        return ak.concatenate(batches) if len(batches) > 1 else batches[0]

    def _unpack(self, events: Any) -> Block:
        lists = events.prt.layout.to_ListOffsetArray64(True)  # the arrays of Pythia's record itself, not copies
        offsets, record = np.asarray(lists.offsets), lists.content[: lists.offsets[-1]]
        momentum, vertex = record.content("p"), record.content("vProd")
        columns = {name: ak.to_numpy(record.content(name)) for name in ("id", "status", "mother1", "mother2", "m")}
        columns |= {name: ak.to_numpy(momentum.content(name)) for name in ("px", "py", "pz", "e")}
        columns |= {name: _filled(vertex, source) for name, source in (("x", "px"), ("y", "py"), ("z", "pz"))}
        columns["charge"] = self._charge(columns["id"])
        weights = ak.to_numpy(events.info.weights[:, 0]).astype(np.float64)
        if self.process.roulette:
            weights = weights * np.array(self._hook.weights)
        return Block(np.diff(offsets), columns, weights)

    def _charge(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        common = np.abs(ids) <= COMMON_ID
        charge = self._charges[np.where(common, ids, 0)]
        unknown = np.isnan(charge) | ~common
        for code in np.unique(ids[unknown]).tolist():
            value = self._pythia.particleData.charge(code)
            charge[ids == code] = value
            if abs(code) <= COMMON_ID:
                self._charges[code] = value
        return charge


def _filled(vertex: Any, name: str) -> npt.NDArray[np.float64]:
    """Return a component of vertices, 0 where a particle has none."""
    index, values = np.asarray(vertex.index), ak.to_numpy(vertex.content.content(name))
    filled, has = np.zeros(len(index)), np.flatnonzero(index >= 0)
    filled[has] = values[index[has]]
    return filled


def pythia_module() -> Any:
    """Return the package pythia8mc; InputError where it is not installed."""
    try:
        import pythia8mc
    except ImportError as error:
        raise InputError(
            "generating events needs Pythia, which is not installed", hint="pip install 'pythia8mc<8.318'"
        ) from error
    return pythia8mc


def _close_leptonic_channels(pythia: Any) -> None:
    tau = pythia.particleData.findParticle(TAU)
    for index in range(tau.sizeChannels()):
        channel = tau.channel(index)
        products = {abs(channel.product(k)) for k in range(channel.multiplicity())}
        channel.onMode(0 if products & set(LEPTONS) else 1)
