"""A selection-and-plot job with its variations in one pass: what they cost beside the nominal, and beside RDataFrame.

    python benchmarks/variations.py [EVENTS]

Prints processor times as ratios to the nominal job: ten kinematic variations (aim: all together less than 3 × nominal),
ten weights (aim: less than 5 % each), and one kinematic variation, also beside nominal plus the time that the tools
which depend on it take in the nominal job (aim: at most 1.15). RDataFrame's ``Vary`` does the ten kinematic ones on the
same file with the same histograms, where the package ``root`` is installed.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import common
import numpy as np
import uproot

from hepflow import Events, Job
from hepflow.execution import RunOptions, run
from hepflow.plugins.common import Filter
from hepflow.plugins.performance import HistogramPlots
from hepflow.plugins.performance.base import Drawer, Plots

SCRATCH = Path(tempfile.gettempdir()) / "hepflow-benchmarks"
STEP = 100_000
COLUMNS = [f"x{i}" for i in range(12)]
SHIFTS = [round(1 + sign * size, 3) for size in (0.01, 0.02, 0.03, 0.04, 0.05) for sign in (1, -1)]
CUT, ETA, BINS = 25.0, 2.3, (50, 0.0, 200.0)


class Filled(HistogramPlots):
    """Histograms that are filled, not drawn; takes its time."""

    def execute(self, events: Events, result: Any) -> None:
        """Fill, and note how long it takes."""
        common.spent.append(common.worked(partial(super().execute, events, result)))

    def figures(self, samples: Mapping[str, Plots], draw: Drawer) -> None:
        """Draw nothing."""


class Chosen(Filter):
    """A filter that takes its time."""

    def execute(self, events: Events, result: Any) -> None:
        """Select, and note how long it takes."""
        common.spent.append(common.worked(partial(super().execute, events, result)))


def make_input(path: Path, events: int) -> Path:
    """Write events with about two taus each: pt, eta, and twelve more columns; unless the file exists."""
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    names = ["pt", "eta", *COLUMNS]
    record = ak.types.RecordType([ak.types.NumpyType("float32")] * len(names), names)
    temporary = path.with_suffix(".part")
    with uproot.recreate(temporary, compression=uproot.ZSTD(4)) as file:
        types = {"TauJets": ak.types.ListType(record), "number": np.int32}
        tree = file.mktree("tree", types, field_name=lambda outer, inner: f"{outer}_{inner}")
        for start in range(0, events, STEP):
            size = min(STEP, events - start)
            counts = rng.poisson(2, size)
            columns = {name: rng.normal(size=counts.sum()).astype(np.float32) for name in COLUMNS}
            columns["pt"] = (15 + rng.exponential(25, counts.sum())).astype(np.float32)
            columns["eta"] = rng.uniform(-2.5, 2.5, counts.sum()).astype(np.float32)
            number = np.arange(start, start + size, dtype=np.int32)
            tree.extend({"TauJets": ak.unflatten(ak.zip(columns), counts), "number": number})
    temporary.replace(path)
    return path


def job_of(kinematic: int = 0, weights: int = 0) -> Job:
    """Return the job: cuts on pt and eta, and histograms of all columns."""
    job = Job("variations")
    job += Filter("eta", Cut=f"abs(TauJets.eta) < {ETA}")
    job += Chosen("pt", Cut=f"TauJets.pt > {CUT}")
    binnings = [f"TauJets.{name}:50;-3;3" for name in ("eta", *COLUMNS)]
    job += Filled("plots", Variables=[f"1.0 * TauJets.pt:{';'.join(map(str, BINS))}", *binnings])
    for shift in SHIFTS[:kinematic]:
        job.vary(f"TES_{round(1000 * shift)}", columns={"TauJets.pt": f"TauJets.pt * {shift}"})
    for number in range(weights):
        job.vary(f"W_{number}", weight=f"1 + {number} * 0.01 * (tree.number % 2)")
    return job


def hepflow(path: Path, output: Path, *, kinematic: int = 0, weights: int = 0) -> Any:
    """Run the job."""
    options = RunOptions(inputs=[f"A={path}"], output=str(output), variations=["ALL"] * bool(kinematic + weights))
    return run(job_of(kinematic, weights), options)


def rdataframe(root: Any, path: Path, output: Path, *, kinematic: int = 0) -> Any:
    """Do the same with RDataFrame."""
    frame = root.RDataFrame("tree", str(path))
    if kinematic:
        all_of_them = ", ".join(f"TauJets_pt * {shift}f" for shift in SHIFTS[:kinematic])
        frame = frame.Vary("TauJets_pt", f"ROOT::RVec<ROOT::RVecF>{{{all_of_them}}}", kinematic, "TES")
    frame = frame.Define("good", f"abs(TauJets_eta) < {ETA}f && TauJets_pt > {CUT}f")
    histograms = []
    for name, binning in (("pt", BINS), *((name, (50, -3.0, 3.0)) for name in ("eta", *COLUMNS))):
        frame = frame.Define(f"{name}_good", f"TauJets_{name}[good]")
        histograms.append(frame.Histo1D((name, name, *binning), f"{name}_good"))
    varied = [root.RDF.Experimental.VariationsFor(one) for one in histograms] if kinematic else []
    found = [one.GetValue() for one in histograms]
    return found, [{str(key): of[key] for key in of.GetKeys()} for of in varied]


def measured(functions: Mapping[str, Callable[[Path], Any]], repeats: int = 3) -> tuple[dict[str, float], float]:
    """Return the best processor time of each function, in turns, and that of the tools which depend on pt in the
    nominal job.
    """
    best, tools = dict.fromkeys(functions, float("inf")), float("inf")
    for _ in range(repeats):
        for name, function in functions.items():
            target = SCRATCH / "variations-target"
            shutil.rmtree(target, ignore_errors=True)
            common.spent.clear()
            best[name] = min(best[name], common.worked(partial(function, target)))
            tools = min(tools, sum(common.spent)) if name == "nominal" else tools
    return best, tools


def main() -> None:
    """Measure and report."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    SCRATCH.mkdir(exist_ok=True)
    path = make_input(SCRATCH / f"variations-{events}.root", events)
    functions: dict[str, Callable[[Path], Any]] = {
        "nominal": partial(hepflow, path),
        "one kinematic variation": partial(hepflow, path, kinematic=1),
        "ten kinematic variations": partial(hepflow, path, kinematic=10),
        "ten weights": partial(hepflow, path, weights=10),
    }
    try:
        root = importlib.import_module("ROOT")
    except ImportError:
        sys.stdout.write("RDataFrame is left out: the package root is not installed\n")
    else:
        functions["RDataFrame, nominal"] = partial(rdataframe, root, path)
        functions["RDataFrame, ten kinematic variations"] = partial(rdataframe, root, path, kinematic=10)
    best, tools = measured(functions)
    common.report(f"{events:,} events", best, "nominal")
    whole = best["nominal"] + tools
    ratio = best["one kinematic variation"] / whole
    sys.stdout.write(f"one kinematic variation: {ratio:.2f} × (nominal + {tools:.3f} s of the tools that depend)\n")


if __name__ == "__main__":
    main()
