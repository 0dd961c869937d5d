"""The standard plots of the energy scale, as loki's list ``tes``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hepflow import Tool
from hepflow.errors import JobOptionsError
from hepflow.expressions import Cut
from hepflow.plugins.performance import HistogramPlots, ResolutionPlots
from hepflow.plugins.tau.modes import MODES
from hepflow.plugins.tau.performance import BASELINE_NO_PT, PT_RANGES
from hepflow.variables import Binning, Variable

__all__ = ["ENERGIES", "energy_scale_plots"]

ENERGIES: Mapping[str, str] = MappingProxyType(
    {
        "calorimeter (TESLC)": "ptTauEnergyScale",
        "particle flow (TESSub)": "ptPanTauCellBased",
        "combined (TESComb)": "ptCombined",
        "final (TESFinal)": "ptFinalCalib",
    }
)
"""Label with loki's name → column of ``TauJets``."""
FIRST = ("calorimeter (TESLC)", "final (TESFinal)")
RESOLUTION = ("relative_core",)
ALL_MODES = ("winmode", "median", "relative_core", "relative_tail")
TRUE_PT, OTHERS = "TauJets.truthPtVis:log", ("TauJets.truthEtaVis", "TauJets.mu:10;20;70")
REGIONS: Mapping[str, Cut] = MappingProxyType(
    {
        "barrel": Cut("abs(TauJets.truthEtaVis) < 1.37", "true |η| < 1.37"),
        "endcap": Cut("abs(TauJets.truthEtaVis) > 1.52", "true |η| > 1.52"),
    }
)


def energy_scale_plots(
    energies: Mapping[str, str] = ENERGIES,
    *,
    level: int = 1,
    selection: Cut = BASELINE_NO_PT,
    common: Mapping[str, Any] | None = None,
) -> list[Tool]:
    """Return the tools that draw loki's list ``tes``, for taus with one and with three tracks.

    ``energies`` is label → column of ``TauJets``. The response is pt / true visible pt; resolutions are half the
    central 68 % and 95 % over the median, errors come from the bootstrap. Level 0: resolution against true pt, and
    responses, of the calorimeter and the final energy; level 1: all energies, position and resolution against true pt,
    reconstructed pt, η and μ, by true decay mode, and in barrel and end cap. loki also asks for the identification RNN,
    which the built-in sample does not have: ``selection`` is where it would stand. ``common`` are properties of all
    tools. JobOptionsError for another level.
    """
    if level not in (0, 1):
        raise JobOptionsError(f"there is no level {level} of energy scale plots", hint="0 or 1")
    shown = dict(energies) if level else {label: energies[label] for label in FIRST if label in energies}
    tools: list[Tool] = []
    for prongs in (1, 3):
        label = f"{prongs} prong" + "s" * (prongs > 1)
        cut = selection & Cut(f"TauJets.nTracks == {prongs} and TauJets.truthProng == {prongs}", label)
        tools += _of_prongs(f"tes_{prongs}P", prongs, shown, cut, level, dict(common or {}))
    return tools


def _of_prongs(
    name: str, prongs: int, energies: Mapping[str, str], cut: Cut, level: int, common: Mapping[str, Any]
) -> Iterator[Tool]:
    responses = {label: f"TauJets.{column} / TauJets.truthPtVis" for label, column in energies.items()}
    last = f"TauJets.{list(energies.values())[-1]}:log"

    def resolution(what: str, selection: Cut, *variables: str) -> Tool:
        tool = ResolutionPlots(f"{name}_{what}", Responses=responses, Selection=selection, **common)
        tool.Variables = variables
        tool.Title, tool.Folder = "pT / true pT", f"{name}/{what}"
        tool.setProperty("Modes", ALL_MODES if level else RESOLUTION)
        return tool

    yield resolution("all", cut, *((TRUE_PT, last, *OTHERS) if level else (TRUE_PT,)))
    residuals = HistogramPlots(f"{name}_residuals", Split=PT_RANGES, Normalise=True, Selection=cut, **common)
    residuals.Variables = tuple(
        Variable(
            f"{column}_response", f"TauJets.{column} / TauJets.truthPtVis", label=f"pT, {label} / true pT",
            binnings={"": Binning.regular(100, 0, 2)},
        )
        for label, column in energies.items()
    )  # fmt: skip
    residuals.Folder = f"{name}/residuals"
    yield residuals
    if level:
        for region, inside in REGIONS.items():
            yield resolution(region, cut & inside, TRUE_PT)
        for number, mode in enumerate(MODES):
            if mode.startswith(f"{prongs}p"):
                yield resolution(mode, cut & Cut(f"TauJets.truthDecayMode == {number}", f"true {mode}"), TRUE_PT)
