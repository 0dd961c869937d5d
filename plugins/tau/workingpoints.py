"""Working points of tau identification: found on events that a network was not trained on, and applied."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Job, Property, Tool
from hepflow.errors import JobOptionsError, NetworkError, ToolError
from hepflow.expressions import Cut, Expression, Weight
from hepflow.files import sha256
from hepflow.plugins.performance.base import weights_of
from hepflow.plugins.performance.unseen import by_decoration, folds_of
from hepflow.plugins.tau.flattening import ONE_PRONG, OTHERS, Taus, derive, quantile_grid
from hepflow.plugins.tau.flatteningfile import WorkingPointFile, read_working_points

__all__ = ["WorkingPointDecorator", "WorkingPointTuner"]

_TAU = np.dtype([("score", "f4"), ("x", "f4"), ("y", "f4"), ("weight", "f4"), ("prongs", "i1")])
_MU = "EventInfo.averageInteractionsPerCrossing"


@dataclass
class Collected:
    """Taus that cuts are derived from; which events they are of, and the networks behind their score (JSON)."""

    parts: tuple[npt.NDArray[Any], ...] = ()
    events: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    def __add__(self, other: Collected) -> Collected:
        joined = (
            tuple(dict.fromkeys((*a, *b))) for a, b in ((self.events, other.events), (self.networks, other.networks))
        )
        return Collected((*self.parts, *other.parts), *joined)


class WorkingPointTuner(Tool):
    """Find the cuts on a score that have efficiencies of 0 … 99 %, in bins of pt and of a second variable, for taus
    with one track and with three.

    The tuner uses the validation folds of the network behind the score, or all events of k-fold networks, where each
    event has the score of a network that has not seen it; the record of the score in the input decides. Files:
    ``<OutputName>_1p.json``, ``<OutputName>_1p.root`` (which Athena's TauWPDecorator reads), ``<OutputName>_3p.…``.
    Cuts have the right efficiency in each cell after the interpolation between cells.
    """

    energy_unit = "MeV"

    Score: Property[Expression | None] = Property(None, "the score, larger for taus", type=Expression)
    OutputName = Property("", "name of the files, and of what is decorated with them; empty: the score's column")
    XVariable = Property(Expression("TauJets.pt"), "first variable of the bins (MeV)")
    YVariable = Property(Expression(_MU), "second variable of the bins")
    XEdges: Property[tuple[float, ...]] = Property((), "bin edges; empty: quantiles", item=float)
    YEdges: Property[tuple[float, ...]] = Property((), "bin edges; empty: quantiles", item=float)
    MinTaus = Property(1000, "fewest taus in a cell; with fewer it shares its cuts with neighbours", minimum=1)
    Needed: Property[tuple[float, ...]] = Property(
        (),
        "efficiencies that every cell must reach, the others only make the flattened score; empty: those of ATLAS's "
        "working points",
        item=float,
    )
    Prongs: Property[tuple[int, ...]] = Property(
        (1, 3), "numbers of tracks, each with its own cuts", item=int, minimum=0
    )
    Selection = Property(
        Cut("TauJets.IsTruthMatched == 1 and TauJets.truthProng == TauJets.nTracks", "true taus, all tracks found"),
        "the taus whose efficiency it is",
    )
    Weight = Property(Weight(), "weight of a tau; empty: 1")
    EventNumber = Property("EventInfo.mcEventNumber", "the number that folds are made of")
    Folds: Property[tuple[int, ...]] = Property(
        (), "folds of the event number to use, for a score of which the input says nothing", item=int, minimum=0
    )
    NumberOfFolds = Property(5, "how many folds there are, for Folds", minimum=2)
    AllEvents = Property(False, "use all events, for a score that saw none of them and of which the input says nothing")

    def check(self, job: Job) -> None:
        """Refuse a tool without a score or a name, bins that are none, and folds that do not exist."""
        if self.Score is None:
            raise JobOptionsError(f"{self.name} has no Score", hint='Score="TauJets.RNNJetScore"')
        _name_of(self.OutputName, self.Score.text, self.name)
        for name in ("XEdges", "YEdges"):
            edges = np.asarray(getattr(self, name))
            if len(edges) and (len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all()):
                raise JobOptionsError(
                    f"{self.name}.{name} needs increasing, finite bin edges, got {tuple(edges.tolist())}"
                )
        if not all(0 < efficiency < 0.995 for efficiency in self.Needed):
            raise JobOptionsError(f"{self.name}.Needed are efficiencies from 0.01 to 0.99, not {self.Needed}")
        wrong = [fold for fold in self.Folds if fold >= self.NumberOfFolds]
        if wrong:
            raise JobOptionsError(f"there is no fold {wrong[0]} of {self.NumberOfFolds}", hint="folds count from 0")
        if self.Folds and self.AllEvents:
            raise JobOptionsError("Folds and AllEvents exclude each other", where=f"tool {self.name}")

    def reads(self) -> Sequence[str]:
        """Return the columns of score, bins, selection and weight, number of tracks and event number."""
        parts = [self.Score, self.XVariable, self.YVariable, self.Selection, self.Weight]
        columns = [name for part in parts if part is not None for name in part.columns]
        return list(dict.fromkeys([*columns, "TauJets.nTracks", self.EventNumber]))

    def start(self) -> Collected:
        """Return no taus."""
        return Collected()

    def execute(self, events: Events, result: Collected) -> None:
        """Take score, bins and weight of the taus."""
        if self.Score is None:
            raise JobOptionsError(f"{self.name} has no Score")
        taken, text, networks = self._unseen(events)
        prongs = events["TauJets"].flat("nTracks").astype(np.int64)
        passing = self.Selection(events, "TauJets")
        chosen = passing & taken & np.isin(prongs, self.Prongs)
        found = np.zeros(int(chosen.sum()), dtype=_TAU)
        for name, part in (("score", self.Score), ("x", self.XVariable), ("y", self.YVariable)):
            found[name] = part(events, "TauJets")[chosen]
        weights = weights_of(events, self.Weight, self.Selection, "TauJets")
        found["weight"] = 1.0 if weights is None else weights[chosen[passing]]
        found["prongs"] = prongs[chosen]
        added = result + Collected((found,), (text,), (json.dumps(networks, sort_keys=True),))
        result.parts, result.events, result.networks = added.parts, added.events, added.networks

    def _unseen(self, events: Events) -> tuple[npt.NDArray[np.bool_], str, list[Mapping[str, Any]]]:
        """Return which taus are of events that may be used, what these are, and the records of the score's networks."""
        numbers = np.asarray(Expression(self.EventNumber)(events, "TauJets")).astype(np.int64)
        known = by_decoration(events.sample.records)
        score = self.Score.columns if self.Score is not None else ()
        records = list(
            {json.dumps(known[name], sort_keys=True): known[name] for name in score if name in known}.values()
        )
        networks = [record for record in records if "WeightFile" in record]
        if not networks:
            return self._told(numbers, score)
        if self.Folds or self.AllEvents:
            raise ToolError(
                f"{self.name}.{'Folds' if self.Folds else 'AllEvents'} is set, but the input says which events the "
                f"networks of {', '.join(score)} have seen",
                hint="leave it out: working points are found on the validation folds, or on those of a k-fold set",
            )
        mask, texts = np.ones(len(numbers), dtype=np.bool_), []
        for record in networks:
            folds = folds_of(", ".join(score), record, self.EventNumber, self.name)
            if folds is None:
                texts.append("all events, each with a score of a network that has not seen it")
                continue
            if not folds.validation:
                raise ToolError(
                    f"the network {record['WeightFile']} has no validation fold, and working points are not found on "
                    "events that it was trained on, nor on those that test it",
                    hint="train it with a fold for validation, or as a k-fold set",
                )
            mask &= folds.has_role(numbers, "validation")
            texts.append(f"validation folds {' '.join(map(str, folds.validation))} of {folds.number}")
        return mask, ", ".join(dict.fromkeys(texts)), networks

    def _told(
        self, numbers: npt.NDArray[np.int64], score: Sequence[str]
    ) -> tuple[npt.NDArray[np.bool_], str, list[Any]]:
        if self.AllEvents:
            return np.ones(len(numbers), dtype=np.bool_), "all events", []
        if not self.Folds:
            raise NetworkError(
                f"the input does not say which events the network of {', '.join(score)} was trained on",
                where=f"tool {self.name}",
                hint="scores that hepflow decorated in an earlier job bring it along; of others, Folds=(0,) names the "
                "folds of the event number to use, and AllEvents=True says that it saw none",
            )
        text = f"folds {' '.join(map(str, self.Folds))} of {self.NumberOfFolds}"
        return np.asarray(np.isin(numbers % self.NumberOfFolds, self.Folds)), text, []

    def finalize(self, total: Collected, context: Context) -> dict[int, Path]:
        """Derive the cuts and write them; return number of tracks → JSON file. ToolError where they cannot be found."""
        if len(total.networks) > 1:
            raise ToolError(
                f"the inputs of {self.name} were decorated by different networks",
                hint="working points are those of one score; decorate all inputs with the same network",
            )
        score = self.Score.text if self.Score is not None else ""
        name = _name_of(self.OutputName, score, self.name)
        taus = np.concatenate([np.zeros(0, dtype=_TAU), *total.parts])
        written = {}
        for prongs in self.Prongs:
            own = taus[taus["prongs"] == prongs]
            columns = Taus(own["score"], own["x"], own["y"], own["weight"])
            where = f"{self.name}, {prongs}-prong taus ({'; '.join(total.events) or 'no events'})"
            grid = quantile_grid(columns, self.MinTaus) if len(own) else (np.zeros(2), np.zeros(2))
            needed = self.Needed or (ONE_PRONG if prongs == 1 else OTHERS)
            edges = self.XEdges or grid[0], self.YEdges or grid[1]
            derived = derive(columns, *edges, self.MinTaus, where, needed)
            about = {
                "events": list(total.events),
                "selection": self.Selection.text,
                "weight": self.Weight.text,
                "taus": derived.counts.tolist(),
                "merged": list(derived.merged),
                "largest_departure": derived.departure,
            }
            networks = json.loads(total.networks[0]) if total.networks else []
            texts = (name, score, self.XVariable.text, self.YVariable.text)
            made = WorkingPointFile(derived.flattening, prongs, *texts, networks, about)
            written[prongs] = context.path(f"{name}_{prongs}p.json")
            made.write_json(written[prongs])
            made.write_root(context.path(f"{name}_{prongs}p.root"))
            self._say(context, prongs, len(own), derived.merged, derived.departure, total.events)
        return written

    def _say(
        self, context: Context, prongs: int, taus: int, merged: Sequence[str], departure: float, events: Sequence[str]
    ) -> None:
        context.log.info("%s: %d-prong, %d taus of %s", self.name, prongs, taus, "; ".join(events))
        for cells in merged:
            context.log.info("%s: %d-prong, cells with few taus share their cuts: %s", self.name, prongs, cells)
        if departure > 0.01:
            context.log.warning(
                "%s: %d-prong, cuts miss an efficiency by %.3f in a cell: scores are equal or missing, or centres of "
                "bins are not where taus are",
                self.name, prongs, departure,
            )  # fmt: skip


class WorkingPointDecorator(Tool):
    """Decorate taus with the flattened score, ``<OutputName>SigTrans``, and with flags of working points
    (``<OutputName>Loose``, 1 or 0), as Athena's TauWPDecorator does.

    A tau passes if its flattened score is above 1 − efficiency. Files are those of WorkingPointTuner (JSON or ROOT),
    or of ATLAS (ROOT). Taus with more than three tracks use the file for three; so do taus with none or two
    without a file of their own.
    """

    selects = False

    energy_unit = "MeV"

    FlatteningFile0Prong = Property("", "cuts for taus without tracks; empty: those for three", file=True)
    FlatteningFile1Prong = Property("", "cuts for taus with one track", file=True)
    FlatteningFile2Prong = Property("", "cuts for taus with two tracks; empty: those for three", file=True)
    FlatteningFile3Prong = Property("", "cuts for taus with three tracks", file=True)
    Score: Property[Expression | None] = Property(None, "the score; by default what the files say", type=Expression)
    XVariable: Property[Expression | None] = Property(
        None, "first variable (MeV); by default what the files say, else TauJets.pt", type=Expression
    )
    YVariable: Property[Expression | None] = Property(
        None, f"second variable; by default what the files say, else {_MU}", type=Expression
    )
    OutputName = Property(
        "", "beginning of the names of decorations; empty: as in the files, else the column of the score"
    )
    DecorWPNames = Property(("VeryLoose", "Loose", "Medium", "Tight"), "names of the working points", item=str)
    DecorWPCutEffs1P = Property(ONE_PRONG, "their efficiencies, one track", item=float)
    DecorWPCutEffs3P = Property(OTHERS, "their efficiencies, other numbers of tracks", item=float)

    def check(self, job: Job) -> None:
        """Refuse working points without efficiencies, and a score of another network than the one of the files."""
        for name in ("DecorWPCutEffs1P", "DecorWPCutEffs3P"):
            given = getattr(self, name)
            if len(given) != len(self.DecorWPNames) or not all(0 < value < 1 for value in given):
                raise JobOptionsError(
                    f"{self.name}.{name} needs an efficiency between 0 and 1 for each of "
                    f"{', '.join(self.DecorWPNames)}, got {given}"
                )
        self._expressions()
        tools = [*job.tools, *(tool for stream in job.streams for tool in stream.tools)]
        before = tools[: tools.index(self)]
        self._compare(self.files(), {tool.name: tool.record() for tool in before})

    def files(self) -> dict[int, WorkingPointFile]:
        """Return number of tracks → cuts; errors where files are missing, are for other taus, or do not agree."""
        found = {}
        for prongs in range(4):
            path = getattr(self, f"FlatteningFile{prongs}Prong")
            if not path and prongs in (1, 3):
                raise JobOptionsError(
                    f"{self.name} has no FlatteningFile{prongs}Prong", hint="files of WorkingPointTuner, or of ATLAS"
                )
            if path:
                found[prongs] = read_working_points(path)
                if found[prongs].prongs not in (None, prongs):
                    raise JobOptionsError(
                        f"FlatteningFile{prongs}Prong is for taus with {found[prongs].prongs} tracks", where=path
                    )
        for what in ("name", "score", "x", "y"):
            told = {getattr(one, what) for one in found.values()} - {""}
            if len(told) > 1:
                raise JobOptionsError(
                    f"the files of {self.name} are of different {what}: {' and '.join(sorted(told))}",
                    hint="give the files of one WorkingPointTuner",
                )
        return found

    def _expressions(self) -> tuple[Expression, Expression, Expression]:
        """Return score and variables; JobOptionsError where none is named, or another one than in the files."""
        files = self.files()
        found = []
        for name, what, default in (("Score", "score", ""), ("XVariable", "x", "TauJets.pt"), ("YVariable", "y", _MU)):
            told = next((text for one in files.values() if (text := getattr(one, what))), "")
            given = getattr(self, name)
            if given is not None and told and given != Expression(told):
                raise JobOptionsError(
                    f"{self.name}.{name} is {given.text}, but the working points were found with {told}",
                    hint=f"leave {name} out",
                )
            if given is None and not told and not default:
                raise JobOptionsError(f"the files do not say which score: {self.name} needs a {name}")
            found.append(given or Expression(told or default))
        return found[0], found[1], found[2]

    def expressions(self) -> Sequence[Expression]:
        """Return score and variables."""
        return self._expressions()

    def reads(self) -> Sequence[str]:
        """Return the columns of score and variables, and the number of tracks."""
        columns = [name for part in self._expressions() for name in part.columns]
        return list(dict.fromkeys([*columns, "TauJets.nTracks"]))

    def writes(self) -> Sequence[str]:
        """Return the decorations."""
        return [f"TauJets.{self._prefix()}{name}" for name in ("SigTrans", *self.DecorWPNames)]

    def _prefix(self) -> str:
        told = next((one.name for one in self.files().values() if one.name), "")
        return self.OutputName or told or _name_of("", self._expressions()[0].text, self.name)

    def record(self) -> Mapping[str, Any]:
        """Return decorations, files, and what is known of the networks behind the score."""
        files = self.files()
        named = {f"{prongs}p": getattr(self, f"FlatteningFile{prongs}Prong") for prongs in files}
        networks = list({json.dumps(r): r for one in files.values() for r in one.networks}.values())
        seen = {json.dumps(record.get("record", {}).get("folds")) for record in networks}
        behind = (
            dict(networks[0]) if len(seen) == 1 else {"WeightFile": ", ".join(Path(p).name for p in named.values())}
        )
        checksums = {key: {"file": Path(path).name, "sha256": sha256(Path(path))} for key, path in named.items()}
        return {**behind, "OutputName": self._prefix(), "decorations": list(self.writes()), "working_points": checksums}

    def _compare(self, files: Mapping[int, WorkingPointFile], records: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise NetworkError where the score is of another network than the one that working points were found for."""
        known = by_decoration(records)
        wanted = {sum_ for one in files.values() for record in one.networks for sum_ in _checksums(record)}
        for column in self._expressions()[0].columns if wanted and known else ():
            found = set(_checksums(known.get(column, {})))
            if found - wanted:
                raise NetworkError(
                    f"{column} comes from another network than the one that these working points were found for",
                    where=f"tool {self.name}",
                    hint="working points belong to one network: run WorkingPointTuner on scores of this one",
                )

    def initialize(self, context: Context) -> None:
        """Read the files."""
        self._files = self.files()
        self._parts = self._expressions()
        self._named = self._prefix()

    def execute(self, events: Events, result: Any) -> None:
        """Flatten, cut and decorate."""
        self._compare(self._files, events.sample.records)
        taus = events["TauJets"]
        score, x, y = (np.asarray(part(events, "TauJets")) for part in self._parts)
        tracks = taus.flat("nTracks").astype(np.int64)
        prongs = np.where(np.isin(tracks, list(self._files)), tracks, 3)
        flat = np.full(len(score), np.nan)
        for number, file in self._files.items():
            mine = prongs == number
            flat[mine] = file.flattening.transform(score[mine], x[mine], y[mine])
        taus[f"{self._named}SigTrans"] = flat.astype(np.float32)
        for name, one, other in zip(self.DecorWPNames, self.DecorWPCutEffs1P, self.DecorWPCutEffs3P, strict=True):
            taus[f"{self._named}{name}"] = (flat > 1 - np.where(prongs == 1, one, other)).astype(np.int8)


def _checksums(record: Mapping[str, Any]) -> Iterator[str]:
    for one in record.get("networks", [record]):
        if "sha256" in one:
            yield str(one["sha256"])


def _name_of(given: str, score: str, tool: str) -> str:
    """Return the name of files and decorations: what is given, or the column that the score is."""
    if given or score.removeprefix("TauJets.").isidentifier():
        return given or score.removeprefix("TauJets.")
    raise JobOptionsError(f"{tool} needs an OutputName, as its score is no column: {score}")
