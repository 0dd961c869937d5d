"""The plugin that brings the tools for HH → bbττ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hepflow import hookimpl


@hookimpl
def hepflow_tools() -> Mapping[str, str]:
    """Return the tools."""
    return {"BBTauTauVariables": "hepflow.plugins.hh.ntuple:BBTauTauVariables"}


@hookimpl
def hepflow_derivations() -> Mapping[str, Sequence[str]]:
    """Return what masses and distances of the ntuple were calculated from."""
    angles = {who: [f"tree.{who}{k}_{name}" for k in (0, 1) for name in ("eta", "phi")] for who in ("tau", "b")}
    taus, b = ((*angles[who], f"tree.{who}0_pt", f"tree.{who}1_pt") for who in ("tau", "b"))
    collinear = (*taus, "tree.MET")
    return {
        **dict.fromkeys(("tree.mMMC", "tree.isCollinear"), collinear),
        "tree.mBB": b,
        "tree.mHH": (*collinear, *b),
        "tree.dRTauTau": angles["tau"],
        "tree.dRBB": angles["b"],
    }
