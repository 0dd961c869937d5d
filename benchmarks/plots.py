"""Filling 100 histograms over an ntuple in one pass: hepflow beside what one would write by hand.

    python benchmarks/plots.py [TAUS]

Prints the times of reading and filling (nothing is drawn) as ratios to bare ``hist`` fills with cuts in one uproot loop
(aim: at most 1.3), and of going over the file plot by plot, as one does in a notebook (aim: at least 3 × hepflow).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot
from common import in_turns, report

from hepflow import Job
from hepflow.execution import RunOptions, run
from hepflow.plugins.performance import HistogramPlots
from hepflow.plugins.performance.base import Drawer, Plots

SCRATCH = Path(tempfile.gettempdir()) / "hepflow-benchmarks"
COLUMNS = [f"TauJets.x{i}" for i in range(12)]
MODES = 5
STEP = 100_000
SINGLE = COLUMNS  # of each: one histogram for each of five modes: 60
PAIRS = [(COLUMNS[i], COLUMNS[i + 1]) for i in range(8)]  # likewise: 40, two-dimensional


class Filled(HistogramPlots):
    """Histograms that are filled, not drawn."""

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw nothing."""


def make_input(path: Path, taus: int) -> Path:
    """Write taus with twelve float columns, a decay mode and a weight, unless the file exists."""
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    types = {**dict.fromkeys(COLUMNS, np.float32), "TauJets.mode": np.int32, "TauJets.weight": np.float32}
    temporary = path.with_suffix(".part")
    with uproot.recreate(temporary, compression=uproot.LZ4(1)) as file:
        tree = file.mktree("tree", types)
        for start in range(0, taus, STEP):
            size = min(STEP, taus - start)
            columns: dict[str, Any] = {name: rng.normal(size=size).astype(np.float32) for name in COLUMNS}
            columns["TauJets.mode"] = rng.integers(0, MODES, size).astype(np.int32)
            columns["TauJets.weight"] = rng.uniform(0.5, 1.5, size).astype(np.float32)
            tree.extend(columns)
    temporary.replace(path)
    return path


def with_hepflow(source: Path, target: Path) -> float:
    """Fill in the event loop; return the sum of all contents."""
    job = Job("plots")
    tool = Filled("plots", Selection="abs(TauJets.x0) < 2", Weight="TauJets.weight")
    tool.Variables = [f"{name}:50;-4;4" for name in SINGLE]
    tool.Pairs = [(f"{x}:50;-4;4", f"{y}:50;-4;4") for x, y in PAIRS]
    tool.Split = {f"mode {mode}": f"TauJets.mode == {mode}" for mode in range(MODES)}
    job += tool
    done = run(job, RunOptions(inputs=[str(source)], output=str(target))).results["plots"]
    (plots,) = done.values()
    return float(sum(plot.total for plot in plots.values()))


def _new(names: tuple[str, ...]) -> Any:
    axes = [hist.axis.Regular(50, -4, 4, name=f"axis{i}") for i in range(len(names))]
    return hist.Hist(*axes, storage=hist.storage.Weight())


def _all_plots() -> dict[tuple[tuple[str, ...], int], Any]:
    names: list[tuple[str, ...]] = [*((name,) for name in SINGLE), *PAIRS]
    return {(group, mode): _new(group) for group in names for mode in range(MODES)}


def by_hand(source: Path, target: Path) -> float:
    """One uproot loop over all columns, bare fills; every column is masked once a chunk and mode."""
    plots = _all_plots()
    for chunk in uproot.iterate(
        {source: "tree"}, [*COLUMNS, "TauJets.mode", "TauJets.weight"], step_size=STEP, library="np"
    ):
        selected = np.abs(chunk["TauJets.x0"]) < 2
        for mode in range(MODES):
            mask = selected & (chunk["TauJets.mode"] == mode)
            kept = {name: chunk[name][mask] for name in [*COLUMNS, "TauJets.weight"]}
            for (names, number), plot in plots.items():
                if number == mode:
                    plot.fill(*(kept[name] for name in names), weight=kept["TauJets.weight"])
    return float(sum(plot.sum(flow=True).value for plot in plots.values()))


def plot_by_plot(source: Path, target: Path) -> float:
    """For each plot, go over the file with the columns that it needs."""
    total = 0.0
    for (names, mode), plot in _all_plots().items():
        wanted = dict.fromkeys([*names, "TauJets.x0", "TauJets.mode", "TauJets.weight"])
        for chunk in uproot.iterate({source: "tree"}, list(wanted), step_size=STEP, library="np"):
            mask = (np.abs(chunk["TauJets.x0"]) < 2) & (chunk["TauJets.mode"] == mode)
            plot.fill(*(chunk[name][mask] for name in names), weight=chunk["TauJets.weight"][mask])
        total += float(plot.sum(flow=True).value)
    return total


def fresh(name: str) -> Path:
    """Return a folder that is not there."""
    shutil.rmtree(SCRATCH / name, ignore_errors=True)
    return SCRATCH / name


def main(taus: int) -> None:
    """Measure and print."""
    SCRATCH.mkdir(exist_ok=True)
    source = make_input(SCRATCH / f"taus_{taus}.root", taus)
    sums = [function(source, fresh("target")) for function in (with_hepflow, by_hand)]
    assert np.isclose(*sums, rtol=1e-9), sums
    ways = {"hist by hand, one loop": by_hand, "hepflow": with_hepflow, "plot by plot": plot_by_plot}
    times = in_turns({name: (lambda target, way=way: way(source, target)) for name, way in ways.items()}, fresh, 3)
    report(f"{len(_all_plots())} histograms of {taus:,} taus", times, "hist by hand, one loop")
    sys.stdout.write(f"  plot by plot over hepflow: {times['plot by plot'] / times['hepflow']:.2f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
