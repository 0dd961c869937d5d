"""The tools that apply a calibration: what they have in common, ``TauCalibrateLC`` and ``TauCombinedTES``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow import Context, Events, Job, Property, Tool
from hepflow.errors import JobOptionsError, ToolError
from hepflow.plugins.tau.energyscale.calibrations import Combination, LocalCalibration, transverse_energy
from hepflow.plugins.tau.energyscale.files import calibration_record, read_combination, read_local
from hepflow.plugins.tau.energyscale.upstream import check_upstream, made_by, upstream_of_job
from hepflow.plugins.tau.modes import MODES

__all__ = ["CalibrationTool", "TauCalibrateLC", "TauCombinedTES", "count", "decay_modes", "mode_reads"]

SHIPPED_LC, SHIPPED_COMBINED = "TauLC_Gammatautau_v1.json", "TauCombined_Gammatautau_v1.json"
"""The calibrations that come with hepflow; docs/energyscale.md says how they are made."""
PILE_UP_VERTEX = 3
"""xAOD::VxType::PileUp."""


def mode_reads(column: str) -> list[str]:
    """Return the columns that may hold the decay mode."""
    return [f"TauJets.{column}"] if column else ["TauJets.PanTau_DecayMode?", "TauJets.NNDecayMode?"]


def decay_modes(events: Events, column: str, tool: Tool) -> npt.NDArray[Any]:
    """Return the decay modes: of the column, else PanTau_DecayMode, else NNDecayMode; ToolError where none is there."""
    taus = events["TauJets"]
    for name in [column] if column else ["PanTau_DecayMode", "NNDecayMode"]:
        if name in taus:
            found: npt.NDArray[Any] = taus.flat(name)
            return found
    raise ToolError(
        "the taus have neither PanTau_DecayMode nor NNDecayMode",
        where=f"tool {tool.name}",
        hint=f"run NNDecayModeClassifier before, or set {tool.name}.DecayMode to the column that has the decay mode",
    )


class CalibrationTool(Tool):
    """A tool that applies a calibration, counts what is not as usual, and says so once at the end."""

    energy_unit = "MeV"

    AllowOtherUpstream = Property(
        False, "apply the calibration also on top of others than those that it was derived with"
    )

    def replaced(self) -> list[str]:
        """Return the columns that are written, as optional ones of the input, which they replace."""
        return [f"{name}?" for name in self.writes()]

    def calibration(self) -> Mapping[str, Any]:
        """Return what the calibration says of itself; ``upstream``: column → checksum of what made it."""
        raise TypeError(f"{type(self).__name__} does not say what its calibration is: override calibration()")

    def wanted(self) -> Mapping[str, str]:
        """Return what the calibration was derived on top of: column → checksum of what made it."""
        return {} if self.AllowOtherUpstream else dict(self.calibration().get("upstream", {}))

    def check(self, job: Job) -> None:
        """Refuse a calibration that was derived on top of another one than the job applies."""
        check_upstream(self.name, self.wanted(), upstream_of_job(job, self), complete=False)

    def check_input(self, events: Events) -> None:
        """Refuse one that was derived on top of another one than made the input."""
        check_upstream(self.name, self.upstream, made_by(events.sample.records.values()), complete=True)

    def initialize(self, context: Context) -> None:
        """Read what the calibration was derived on top of."""
        self.upstream = self.wanted()

    def start(self) -> dict[str, int]:
        """Return the counts of what is not as usual: nothing yet."""
        return {"taus": 0}

    def finalize(self, total: dict[str, int], context: Context) -> dict[str, int]:
        """Say what was not as usual."""
        n = total["taus"]
        for what, count in total.items():
            if count and what != "taus":
                context.log.warning("%s: %s of %s taus: %s", self.name, f"{count:,}", f"{n:,}", what)
        return total


class TauCalibrateLC(CalibrationTool):
    """Calibrate the pt of the clusters: subtract pile-up, divide by the response (Athena's ``TauCalibrateLC``).

    The pt of the intermediate axis (the detector axis without ``VertexCorrection``), less slope × (pile-up vertices −
    their mean), unless that leaves nothing; then divided by f(pt), in bins of |η| and for one or more tracks. From
    10 TeV on, and where f ≤ 0, it is not divided; a tau without pt gets 0.001 MeV. Writes ``ptTauEnergyScale`` (MeV),
    with direction and mass.

    The file is one that ``DeriveLC`` made, or a ROOT file with ``etaBinning``, ``slopeNPV1P``, ``slopeNPV3P`` (the mean
    number of vertices in the underflow of the former) and functions ``OneP_Eta_<bin>``, ``MultiP_Eta_<bin>`` of GeV.
    """

    calibrationFile = Property(  # noqa: N815 - Athena's name
        SHIPPED_LC, "the calibration: JSON of DeriveLC or ROOT; by default the one that ships", file=True
    )
    VertexCorrection = Property(True, "the axis that sees the vertex (intermediate axis), not the detector axis")
    ForceZeroMass = Property(True, "the mass is 0, not that of the intermediate axis")
    Key_vertexInputContainer = Property(
        "", "container whose vertices of type 3 (pile-up) are counted; empty: TauJets.nVtxPU says how many there are"
    )

    def _axis(self) -> str:
        return "IntermediateAxis" if self.VertexCorrection else "DetectorAxis"

    def calibration(self) -> Mapping[str, Any]:
        """Return what the calibration says of itself."""
        return self._read().record

    def _read(self) -> LocalCalibration:
        if not self.calibrationFile:
            raise JobOptionsError(f"{self.name} has no calibrationFile", hint="set it to the JSON file of DeriveLC")
        return read_local(self.calibrationFile)

    def reads(self) -> Sequence[str]:
        """Return axis, number of tracks and of vertices."""
        names = [f"TauJets.{name}{self._axis()}" for name in ("pt", "eta", "phi")]
        mass = [] if self.ForceZeroMass else ["TauJets.mIntermediateAxis"]
        vertices = f"{self.Key_vertexInputContainer}.vertexType" if self.Key_vertexInputContainer else "TauJets.nVtxPU"
        return [*names, *mass, "TauJets.nTracks", vertices, *self.replaced()]

    def writes(self) -> Sequence[str]:
        """Return the calibrated momentum."""
        return [f"TauJets.{name}TauEnergyScale" for name in ("pt", "eta", "phi", "m")]

    def record(self) -> Mapping[str, Any]:
        """Return the calibration."""
        return calibration_record(self.calibrationFile, self.calibration()) | {"decorations": list(self.writes())}

    def initialize(self, context: Context) -> None:
        """Read the calibration."""
        super().initialize(context)
        self.calibration_ = self._read()

    def execute(self, events: Events, result: dict[str, int]) -> None:
        """Calibrate the taus of a chunk."""
        self.check_input(events)
        taus, axis = events["TauJets"], self._axis()
        if self.Key_vertexInputContainer:
            vertices = events[self.Key_vertexInputContainer]
            owner = np.repeat(np.arange(len(vertices.counts)), vertices.counts)
            pile_up = owner[vertices.flat("vertexType") == PILE_UP_VERTEX]
            npv = np.repeat(np.bincount(pile_up, minlength=len(vertices.counts)), taus.counts)
        else:
            npv = taus.flat("nVtxPU")
        pt, eta = (taus.flat(f"{name}{axis}").astype(np.float64) for name in ("pt", "eta"))
        calibrated, beyond = self.calibration_.apply(pt, eta, taus.flat("nTracks"), npv.astype(np.float64))
        taus["ptTauEnergyScale"] = calibrated.astype(np.float32)
        taus["etaTauEnergyScale"] = taus.flat(f"eta{axis}")
        taus["phiTauEnergyScale"] = taus.flat(f"phi{axis}")
        mass = np.zeros(len(pt), np.float32) if self.ForceZeroMass else taus.flat("mIntermediateAxis")
        taus["mTauEnergyScale"] = mass
        result["taus"] += len(pt)
        count(result, f"no pt of the {axis}: 0.001 MeV", ~(pt > 0))
        count(result, "pt outside the range of the response", beyond & (pt > 0))


class TauCombinedTES(CalibrationTool):
    """Combine the energies of calorimeter and particle flow (Athena's ``TauCombinedTES``).

    Each Et is corrected for its bias; their mean has the weights of the best linear unbiased estimate with a
    correlation. Where they differ by more than the mode allows, or the mode is none of the five, or |η| ≥ 2.6, the
    energy of the calorimeter stays as it is. Bins of |η| (of the calorimeter) end at 0.3, 0.8, 1.3, 1.6, 2.6. Writes
    ``ptCombined`` (MeV) with the direction of particle flow and mass 0.

    The file is one that ``DeriveCombined`` made, or a ROOT file with ``CorrelationCoeff_tauRec_<mode>``,
    ``nSigmaCompatibility_<mode>`` and graphs ``{tauRec,ConstituentEt}/Graph_from_{MeanEt,ResolutionEt}_…`` of MeV.
    """

    WeightFileName = Property(
        SHIPPED_COMBINED, "the calibration: JSON of DeriveCombined or ROOT; by default the one that ships", file=True
    )
    addCalibrationResultVariables = Property(False, "write the weight of the calorimeter too")  # noqa: N815 - Athena's
    DecayMode = Property("", "column of the decay mode; empty: PanTau_DecayMode where it is there, else NNDecayMode")
    AthenaRhoBin = Property(
        True,
        "of a ROOT file: read the correlation from the bin whose number is that of the |η| bin, counted from 0, as "
        "Athena does: the underflow serves |η| < 0.3; False: from the bin of that |η|",
    )

    def calibration(self) -> Mapping[str, Any]:
        """Return what the calibration says of itself."""
        return self._read().record

    def _read(self) -> Combination:
        if not self.WeightFileName:
            raise JobOptionsError(
                f"{self.name} has no WeightFileName", hint="set it to the JSON file of DeriveCombined"
            )
        return read_combination(self.WeightFileName, athena_rho_bin=self.AthenaRhoBin)

    def reads(self) -> Sequence[str]:
        """Return both momenta and the decay mode."""
        names = ["ptTauEnergyScale", "etaTauEnergyScale", *(f"{n}PanTauCellBased" for n in ("pt", "eta", "phi", "m"))]
        return [*(f"TauJets.{name}" for name in names), *mode_reads(self.DecayMode), *self.replaced()]

    def writes(self) -> Sequence[str]:
        """Return the combined momentum."""
        extra = ["TauJets.weightCombined"] if self.addCalibrationResultVariables else []
        return [*(f"TauJets.{name}Combined" for name in ("pt", "eta", "phi", "m")), *extra]

    def record(self) -> Mapping[str, Any]:
        """Return the calibration."""
        return calibration_record(self.WeightFileName, self.calibration()) | {"decorations": list(self.writes())}

    def initialize(self, context: Context) -> None:
        """Read the calibration."""
        super().initialize(context)
        self.calibration_ = self._read()

    def execute(self, events: Events, result: dict[str, int]) -> None:
        """Combine the energies of the taus of a chunk."""
        self.check_input(events)
        taus = events["TauJets"]
        mode = decay_modes(events, self.DecayMode, self)
        pt, eta, mass = (taus.flat(f"{name}PanTauCellBased").astype(np.float64) for name in ("pt", "eta", "m"))
        calo = taus.flat("ptTauEnergyScale").astype(np.float64)  # without mass
        made = self.calibration_.apply(calo, transverse_energy(pt, eta, mass), taus.flat("etaTauEnergyScale"), mode)
        taus["ptCombined"] = made.et.astype(np.float32)
        for name in ("eta", "phi"):
            taus[f"{name}Combined"] = taus.flat(f"{name}PanTauCellBased")
        taus["mCombined"] = np.zeros(len(pt), np.float32)
        if self.addCalibrationResultVariables:
            taus["weightCombined"] = made.weight.astype(np.float32)
        result["taus"] += len(pt)
        count(result, f"no decay mode {MODES[0]} … {MODES[-1]}, or |η| ≥ 2.6: the calorimeter's energy", made.without)
        count(result, "Et outside the range of the resolutions", made.beyond)


def count(result: dict[str, int], what: str, mask: npt.NDArray[np.bool_]) -> None:
    """Count the taus of a mask under what is to be said of them."""
    result[what] = result.get(what, 0) + int(np.count_nonzero(mask))
