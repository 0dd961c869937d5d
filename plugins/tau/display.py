"""Pictures of single taus: what the decay-mode network sees of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property
from hepflow.events import Container, Linked
from hepflow.plugins.performance.base import Drawer, FigureTool, file_name
from hepflow.plugins.tau.decaymode import SEQUENCES, decay_mode_objects
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.truth import wrap
from hepflow.plugins.tau.variables import SEQUENCE_CAPS

if TYPE_CHECKING:
    from hepflow.plots import EventDisplay
    from hepflow.plots.display import Marks

__all__ = ["First", "TauEventDisplay"]

Array = npt.NDArray[Any]

KINDS = {
    "TauTrack": "charged tracks",
    "NeutralPFO": "neutral PFOs",
    "ShotPFO": "shots",
    "ConvTrack": "conversion tracks",
}
"""Sequence → what its objects are called."""

NAMES = (*MODES, "other", "none")
FARTHEST = 10.0
"""|η| from which on a track has no impact point: ATLAS writes -1111 or -999 for those that do not arrive."""


@dataclass(frozen=True)
class First:
    """The first pictures, in the order of the events, at most ``number``; two of them add up to the first of both."""

    number: int
    found: tuple[EventDisplay, ...] = ()

    def __add__(self, other: First) -> First:
        return First(self.number, (self.found + other.found)[: self.number])


class TauEventDisplay(FigureTool):
    """Draw the objects that the decay-mode network sees around single taus, in Δη and Δφ (object − axis of the tau,
    IntermediateAxis): charged tracks, neutral PFOs, shots, conversion tracks, and where tracks enter the ECal.

    Of each sample the first ``Number`` taus of each true decay mode are drawn (of all taus, where the input has no
    truth), or all taus of the events ``EventNumbers``. Objects are selected, sorted and capped as for the network. The
    result is {sample: {class: First}}.
    """

    energy_unit = "MeV"

    Number = Property(3, "how many taus of each true decay mode", minimum=1)
    EventNumbers: Property[tuple[int, ...]] = Property((), "draw the taus of these events instead", item=int)
    Decisions: Property[dict[str, str]] = Property(
        {"network": "TauJets.NNDecayMode", "PFO count": "TauJets.PFOCountDecayMode"},
        "label → column of a reconstructed decay mode, shown where the input has it",
        item=str,
    )
    NeutralPFOPtCut = Property(1.5, "neutral particle-flow objects have at least this pt", unit="GeV", minimum=0)

    def reads(self) -> Sequence[str]:
        """Return taus, links and objects; truth and decisions are optional."""
        names = [f"TauJets.{name}" for name in ("pt", "eta", "etaIntermediateAxis", "phiIntermediateAxis")]
        for spec in SEQUENCES.values():
            names += [f"TauJets.{spec.link}", *(f"{spec.container}.{name}" for name in ("pt", "eta", "phi"))]
        tracks, shots = SEQUENCES["TauTrack"].container, SEQUENCES["ShotPFO"].container
        names += [f"{tracks}.{name}" for name in ("flagSet", "CaloSamplingEtaEM", "CaloSamplingPhiEM")]
        names += [f"{shots}.tauShots_nPhotons", "EventInfo.eventNumber", *self.Selection.columns]
        optional = [f"{name}?" for name in ("TauJets.truthDecayMode", *self.Decisions.values()) if name not in names]
        return list(dict.fromkeys([*names, *optional]))

    def start(self) -> dict[str, dict[str, First]]:
        """Return no pictures."""
        return {}

    def execute(self, events: Events, result: dict[str, dict[str, First]]) -> None:
        """Take the taus that are still wanted."""
        pictures = result.setdefault(events.sample.name, {})
        wanted = self._wanted(events, pictures)
        if not wanted:
            return
        taus = events["TauJets"]
        decided = {
            what: self._modes(taus, c) for what, c in {"truth": "TauJets.truthDecayMode", **self.Decisions}.items()
        }
        around = _Around(taus, decay_mode_objects(events, neutral_pt_cut=self.NeutralPFOPtCut, caps=SEQUENCE_CAPS))
        numbers = _event_numbers(events)
        for position, label in wanted:
            known = [f"{what}: {names[position]}" for what, names in decided.items() if names]
            picture = around.display(position, ", ".join(known), f"event {numbers[position]}")
            pictures[label] = pictures.get(label, self._none()) + First(1, (picture,))

    def _none(self) -> First:
        return First(sys.maxsize if self.EventNumbers else self.Number)

    def _wanted(self, events: Events, pictures: Mapping[str, First]) -> list[tuple[int, str]]:
        """Return (position of the tau, its class) of the taus that are to be drawn."""
        taus = events["TauJets"]
        selected = self.Selection(events, "TauJets")
        if self.EventNumbers:
            numbers = _event_numbers(events)
            chosen = np.flatnonzero(selected & np.isin(numbers, self.EventNumbers))
            return [(int(position), f"event{numbers[position]}") for position in chosen]
        classes = {"tau": np.ones(len(taus), dtype=bool)}
        if "truthDecayMode" in taus:
            classes = {mode: taus.flat("truthDecayMode") == number for number, mode in enumerate(MODES)}
        wanted = []
        for label, same in classes.items():
            first = pictures.get(label, self._none())
            chosen = np.flatnonzero(selected & same)[: first.number - len(first.found)]
            wanted += [(int(position), label) for position in chosen]
        return wanted

    def _modes(self, taus: Container, name: str) -> list[str]:
        """Return the names of a decay mode; none where the input does not have it."""
        column = name.partition(".")[2]
        if column not in taus:
            return []
        values = np.asarray(taus.flat(column)).astype(np.int64)
        return [NAMES[value] if 0 <= value < len(NAMES) else "none" for value in values]

    def finalize(self, total: dict[str, dict[str, First]], context: Context) -> dict[str, dict[str, First]]:
        """Draw the pictures."""
        draw = Drawer(self, context)
        for sample, pictures in total.items():
            folder = f"{file_name(sample)}/" if len(total) > 1 else ""
            for label, first in sorted(pictures.items()):
                for number, picture in enumerate(first.found, start=1):
                    draw(f"{folder}{label}_{number}", picture)
        draw.finish()
        drawn = {label for pictures in total.values() for label in pictures}
        missing = [number for number in self.EventNumbers if f"event{number}" not in drawn]
        if missing or not drawn:
            what = f"of the events {', '.join(map(str, missing))}" if missing else "to draw"
            context.log.warning("%s: there is no tau %s", self.name, what)
        return total


def _event_numbers(events: Events) -> Array:
    """Return the event number of each tau."""
    return np.repeat(events["EventInfo"].flat("eventNumber"), events["TauJets"].counts)


class _Around:
    """The objects around the taus of a chunk, relative to their axes."""

    def __init__(self, taus: Container, objects: Mapping[str, Linked]) -> None:
        self._pt, self._eta = taus.flat("pt") / 1000.0, taus.flat("eta")
        axis = [taus.flat(f"{name}IntermediateAxis").astype(np.float64) for name in ("eta", "phi")]
        self._kinds: dict[str, tuple[Array, list[Array]]] = {}
        for name, found in objects.items():
            eta, phi = (values[found.owners] for values in axis)
            columns = [found.flat("eta") - eta, wrap(found.flat("phi") - phi), found.flat("pt") / 1000.0]
            if SEQUENCES[name].container == SEQUENCES["TauTrack"].container:
                end_eta, end_phi = (found.flat(f"CaloSampling{what}EM").astype(np.float64) for what in ("Eta", "Phi"))
                arrives = np.abs(end_eta) < FARTHEST
                columns += [np.where(arrives, x, np.nan) for x in (end_eta - eta, wrap(end_phi - phi))]
            self._kinds[KINDS[name]] = np.append(0, np.cumsum(found.counts)), columns

    def display(self, position: int, decided: str, event: str) -> EventDisplay:
        """Return the picture of one tau."""
        from hepflow.plots import EventDisplay

        marks = tuple(self._marks(position, label) for label in self._kinds)
        eta = f"{self._eta[position]:.2f}".replace("-", "−")
        pt = self._pt[position]
        tau = f"tau: $p_{{T}}$ = {pt:{'.0f' if pt >= 100 else '.3g'}} GeV, η = {eta}, {event}"
        return EventDisplay(marks, decided, (tau,), end_label="track at the ECal")

    def _marks(self, position: int, label: str) -> Marks:
        from hepflow.plots.display import Marks

        offsets, columns = self._kinds[label]
        return Marks(label, *(values[offsets[position] : offsets[position + 1]].tolist() for values in columns))
