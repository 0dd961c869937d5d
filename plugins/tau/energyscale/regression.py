"""The regression of the energy scale: its inputs (``MvaTESVariableDecorator``), and how it is applied
(``MvaTESEvaluator``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Property, Tool
from hepflow.errors import JobOptionsError, NetworkError
from hepflow.events import Container, Linked
from hepflow.expressions import Expression
from hepflow.plugins.networks import ModelDecorator
from hepflow.plugins.tau.energyscale.applying import CalibrationTool, count
from hepflow.plugins.tau.energyscale.training import EXPRESSIONS
from hepflow.plugins.tau.energyscale.upstream import made_by

__all__ = ["MISSING", "MvaTESEvaluator", "MvaTESVariableDecorator"]

Floats = npt.NDArray[np.float64]

SHIPPED_REGRESSION = "TauFinalCalib_Gammatautau_v1.txt"
MISSING = -1111.0
"""Of a mean over clusters where there are none."""
NO_UPSILON = -2.0
CORE, PION_MASS = 0.2, 139.57
CHARGED_BIT = 5
LOWEST_PT = 1.0
"""MeV: lowest calibrated pt."""
LOWEST_BDT = -5.1
"""PanTau's BDT values below (−1111: none) are set to this."""
BDT_VALUES = tuple(f"PanTau_BDTValue_{pair}" for pair in ("1p0n_vs_1p1n", "1p1n_vs_1pXn", "3p0n_vs_3pXn"))


class MvaTESVariableDecorator(Tool):
    """Decorate taus with the inputs of the regression of their energy (Athena's ``MvaTESVariableDecorator``).

    Means over the clusters within 0.2 of the intermediate axis, weighted by their calibrated energies, are −1111 where
    there are no clusters. ``PFOEngRelDiff`` is the balance of charged tracks and of neutral objects above
    ``NeutralPFOPtCut``. Presampler and event-wide density are inputs only where ``Presampler`` and ``Rho`` name them.
    """

    energy_unit = "MeV"

    Presampler = Property("", "column of clusters with the energy (MeV) in the presampler; empty: there is none")
    Rho = Property("", "event-wide energy density, column or expression; empty: there is none")
    NeutralPFOPtCut = Property(2.0, "neutral particle-flow objects above this pt count", unit="GeV", minimum=0)

    def reads(self) -> Sequence[str]:
        """Return axis, clusters, tracks and neutral objects, pile-up."""
        clusters = ("e", "rawE", "eta", "phi", "CENTER_LAMBDA", "SECOND_LAMBDA", "FIRST_ENG_DENS", "EM_PROBABILITY")
        names = [*clusters, self.Presampler] if self.Presampler else list(clusters)
        return [
            *(f"TauJets.{n}" for n in ("etaIntermediateAxis", "phiIntermediateAxis", "clusterLinks")),
            *(f"TauJets.{n}" for n in ("tauTrackLinks", "neutralPFOLinks")),
            *(f"CaloCalTopoClusters.{n}" for n in names),
            *(f"TauTracks.{n}" for n in ("pt", "eta", "flagSet")),
            *(f"TauNeutralParticleFlowObjects.{n}" for n in ("pt", "eta", "m")),
            *("EventInfo.averageInteractionsPerCrossing", "EventInfo.nPileUpVertices"),
            *(Expression(self.Rho).columns if self.Rho else ()),
        ]

    def expressions(self) -> Sequence[Expression]:
        """Return the density."""
        return [Expression(self.Rho)] if self.Rho else []

    def writes(self) -> Sequence[str]:
        """Return the inputs."""
        means = ["CenterLambda", "SecondLambda", "EMProbability", "FirstEngDens"]
        means += ["PresamplerFrac"] if self.Presampler else []
        names = ["LeadClusterFrac", "UpsilonCluster", "ClusterTotalEnergy", "ptIntermediateAxisEM", "PFOEngRelDiff"]
        names += ["mu", "nVtxPU", *(["rho"] if self.Rho else [])]
        return [*(f"TauJets.ClustersMean{name}" for name in means), *(f"TauJets.{name}" for name in names)]

    def execute(self, events: Events, result: Any) -> None:
        """Calculate and decorate."""
        taus, event = events["TauJets"], events["EventInfo"]
        for name, values in {**self._clusters(taus), "PFOEngRelDiff": self._balance(taus)}.items():
            taus[name] = values.astype(np.float32)
        mu = np.repeat(event["averageInteractionsPerCrossing"], taus.counts)
        taus["mu"] = np.trunc(mu).astype(np.float32)
        taus["nVtxPU"] = np.repeat(event["nPileUpVertices"], taus.counts).astype(np.int32)
        if self.Rho:
            taus["rho"] = Expression(self.Rho)(events, "TauJets").astype(np.float32)

    def _clusters(self, taus: Container) -> dict[str, Floats]:
        links = taus.follow("clusterLinks", "CaloCalTopoClusters")
        deta = links.flat("eta").astype(np.float64) - taus.flat("etaIntermediateAxis")[links.owners]
        dphi = links.flat("phi").astype(np.float64) - taus.flat("phiIntermediateAxis")[links.owners]
        core = links.where(np.hypot(deta, np.mod(dphi + np.pi, 2 * np.pi) - np.pi) <= CORE)
        owner, energy = core.owners, core.flat("e").astype(np.float64)
        n = len(taus)
        total = np.bincount(owner, energy, n)
        some = total > 0

        def mean(values: Floats, missing: float = MISSING) -> Floats:
            return np.where(some, np.bincount(owner, values, n) / np.where(some, total, 1.0), missing)

        leading = np.zeros(n)
        np.maximum.at(leading, owner, energy)
        density = mean(energy * core.flat("FIRST_ENG_DENS"))
        dense = density > 0
        shares = {"PresamplerFrac": mean(core.flat(self.Presampler).astype(np.float64))} if self.Presampler else {}
        columns = (("CenterLambda", "CENTER_LAMBDA"), ("SecondLambda", "SECOND_LAMBDA"))
        shares |= {name: mean(energy * core.flat(column)) for name, column in columns}
        probability = core.flat("EM_PROBABILITY")
        shares["EMProbability"] = mean(energy * probability)
        shares["FirstEngDens"] = np.where(
            dense, np.log10(np.where(dense, density, 1.0) / np.where(dense, total, 1.0)), MISSING
        )
        return {
            **{f"ClustersMean{name}": values for name, values in shares.items()},
            "LeadClusterFrac": np.where(some, leading / np.where(some, total, 1.0), MISSING),
            "UpsilonCluster": mean(np.where(probability > 0.5, -energy, energy), NO_UPSILON),
            "ClusterTotalEnergy": total,
            "ptIntermediateAxisEM": _pt_of_sum(n, core),
        }

    def _balance(self, taus: Container) -> Floats:
        tracks = taus.follow("tauTrackLinks", "TauTracks")
        charged = tracks.where((tracks.flat("flagSet").astype(np.int64) >> CHARGED_BIT) & 1 == 1)
        neutral = taus.follow("neutralPFOLinks", "TauNeutralParticleFlowObjects")
        neutral = neutral.where(neutral.flat("pt") > self.NeutralPFOPtCut * 1000.0)
        a = _energy(len(taus), charged, np.full(len(charged.owners), PION_MASS))
        b = _energy(len(taus), neutral, neutral.flat("m").astype(np.float64))
        return np.where(a + b != 0, (a - b) / np.where(a + b != 0, a + b, 1.0), 0.0)


def _energy(n: int, objects: Linked, mass: Floats) -> Floats:
    """Return the sums of the energies of objects, for each of ``n`` taus."""
    momentum = objects.flat("pt").astype(np.float64) * np.cosh(objects.flat("eta").astype(np.float64))
    found: Floats = np.bincount(objects.owners, np.hypot(momentum, mass), n).astype(np.float64)
    return found


def _pt_of_sum(n: int, clusters: Linked) -> Floats:
    """Return the pt of the sum of clusters at the electromagnetic scale."""
    pt = clusters.flat("rawE") / np.cosh(clusters.flat("eta").astype(np.float64))
    phi = clusters.flat("phi").astype(np.float64)
    return np.hypot(*(np.bincount(clusters.owners, pt * part(phi), n) for part in (np.cos, np.sin)))


class MvaTESEvaluator(CalibrationTool):
    """Calibrate taus with a regression: ``ptFinalCalib`` = ``ptCombined`` × its answer (Athena's ``MvaTESEvaluator``).

    The regression is any model with one answer; of a file of MVAUtils that is ``GetResponse``. Its inputs are columns
    of ``TauJets`` or expressions, as the file names them, ``TauJetsAuxDyn.pt`` as in Athena, too; PanTau's BDT values
    are at least −5.1, so that −1111 does not lie far off. At least 1 MeV, also for a tau without ``ptCombined``. The
    direction is that of particle flow, the mass 0.
    """

    WeightFileName = Property(
        SHIPPED_REGRESSION, "the regression of taus with one track or more; by default the one that ships", file=True
    )
    WeightFileName0p = Property("", "the regression of taus without tracks; empty: these keep ptCombined", file=True)
    SetPt = Property(False, "pt of the taus becomes ptFinalCalib, as in Athena")
    Variables: Property[dict[str, Any]] = Property(
        {}, "where an input comes from: input → column or expression; by default what the file says", item=object
    )

    def calibration(self) -> Mapping[str, Any]:
        """Return what made the columns that the model was trained on, by the tools that are in its record."""
        made = made_by(dict(self._models()[0].models()[0].record.get("tools", {})).values())
        return {"upstream": {name: made[name] for name in self._inputs() if name in made}}

    def _models(self) -> list[ModelDecorator]:
        """Return what applies the models: with tracks, and without where there is one."""
        if not self.WeightFileName:
            raise JobOptionsError(f"{self.name} has no WeightFileName", hint="set it to the file of the regression")
        files = [name for name in (self.WeightFileName, self.WeightFileName0p) if name]
        made = []
        for number, file in enumerate(files):
            tool = ModelDecorator(f"{self.name}_{number}", WeightFile=file)
            model = tool.models()[0]
            names = [name for node in model.used_inputs for name in node.names]
            told = {name: column for name in names if (column := EXPRESSIONS.get(name, _column(name))) != name}
            tool.Variables = told | {name: v for name, v in self.Variables.items() if name in names}
            unknown = [name for name in self.Variables if name not in names]
            if unknown and len(files) == 1:
                raise NetworkError(f"{self.name}.Variables names {unknown[0]!r}, which is no input", where=file)
            if model.used_sequences:
                raise NetworkError(f"the regression has a sequence {model.used_sequences[0].name!r}", where=file)
            _answer(tool)
            made.append(tool)
        return made

    def reads(self) -> Sequence[str]:
        """Return the inputs, the combined energy and the direction of particle flow; the files are checked here."""
        return [*self._inputs(), *self.replaced()]

    def _inputs(self) -> list[str]:
        own = [f"TauJets.{n}" for n in ("ptCombined", "etaPanTauCellBased", "phiPanTauCellBased", "nTracks")]
        return list(dict.fromkeys([*own, *(name for tool in self._models() for name in tool.reads())]))

    def expressions(self) -> Sequence[Expression]:
        """Return the expressions that inputs are calculated with."""
        return [one for tool in self._models() for one in tool.expressions()]

    def writes(self) -> Sequence[str]:
        """Return the calibrated momentum."""
        return [*(f"TauJets.{name}FinalCalib" for name in ("pt", "eta", "phi", "m")), *(["TauJets.pt"] * self.SetPt)]

    def record(self) -> Mapping[str, Any]:
        """Return the models, and what is known of them."""
        made, *others = (tool.decorated(self.writes()) for tool in self._models())
        return {**made, **({"0p": others[0]} if others else {})}

    def initialize(self, context: Context) -> None:
        """Open the models."""
        super().initialize(context)
        self.applied = self._models()
        for tool in self.applied:
            tool.prepare(context)

    def execute(self, events: Events, result: dict[str, int]) -> None:
        """Calibrate the taus of a chunk."""
        self.check_input(events)
        taus = events["TauJets"]
        tracks = taus.flat("nTracks") > 0
        combined = taus.flat("ptCombined").astype(np.float64)
        factor = np.where(tracks, self._factor(0, events, tracks, result), 1.0)
        if len(self.applied) > 1:
            factor = np.where(tracks, factor, self._factor(1, events, ~tracks, result))
        pt = np.where(combined == 0, LOWEST_PT, np.maximum(combined * factor, LOWEST_PT))
        for name in ("ptFinalCalib", *(["pt"] * self.SetPt)):
            taus[name] = pt.astype(np.float32)
        for name in ("eta", "phi"):
            taus[f"{name}FinalCalib"] = taus.flat(f"{name}PanTauCellBased")
        taus["mFinalCalib"] = np.zeros(len(pt), np.float32)
        result["taus"] += len(pt)
        if len(self.applied) == 1:
            count(result, "no track, and no regression for these (WeightFileName0p): ptCombined is kept", ~tracks)

    def _factor(self, number: int, events: Events, used: npt.NDArray[np.bool_], result: dict[str, int]) -> Floats:
        tool = self.applied[number]
        values, inputs = tool.answers(events, {})
        sentinels = [
            ~(np.asarray(column) > MISSING) for held in inputs.values() for column in held.values() if len(column)
        ]
        if sentinels:
            count(
                result,
                f"no value (−1111) among the inputs of the regression ({number})",
                np.any(sentinels, axis=0) & used,
            )
        output, label = _answer(tool)
        factor: Floats = values[output][:, label].astype(np.float64)
        return factor


def _column(name: str) -> str:
    """Return where an input comes from: Athena's spelling as hepflow's, BDT values with their lowest value."""
    column = re.sub(r"\bTauJetsAux(?:Dyn)?\.", "TauJets.", name)
    for value in BDT_VALUES:
        column = re.sub(rf"(?<![\w.])(?:TauJets\.)?{value}\b", f"max(TauJets.{value}, {LOWEST_BDT})", column)
    return column


def _answer(tool: ModelDecorator) -> tuple[str, int]:
    """Return output and position of the answer; NetworkError where the model has several."""
    outputs = tool.models()[0].outputs
    chosen = [output for output in outputs if output.name == "GetResponse"] or list(outputs)
    if len(chosen) != 1 or len(chosen[0].labels) != 1:
        raise NetworkError(
            "the model has several answers; a regression of the energy has one",
            where=tool.WeightFile,
            hint=f"it has {', '.join(label for output in outputs for label in output.labels)}",
        )
    return chosen[0].name, 0
