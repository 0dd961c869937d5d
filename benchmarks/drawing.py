"""Drawing the figures of a run: two processes beside one.

    python benchmarks/drawing.py [FIGURES]

Prints the time of one process over that of two (aim: at least 1.7) and processor seconds a figure.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hepflow.context import Context
from hepflow.plots import Axis, EfficiencyProfile
from hepflow.plugins.performance import EfficiencyPlots
from hepflow.plugins.performance.base import Drawer
from hepflow.processes import Processes

AXIS = Axis("pt", tuple(np.linspace(15, 115, 21)), "pT", "GeV")


def efficiency(label: str, rng: np.random.Generator) -> EfficiencyProfile:
    """Return an efficiency of 5 000 entries."""
    made = EfficiencyProfile(AXIS, label)
    made.fill(rng.uniform(15, 115, 5000), rng.uniform(size=5000) < 0.5)
    return made


def seconds(figures: int, workers: int, folder: Path) -> float:
    """Return the time that it takes to draw the figures."""
    rng = np.random.default_rng(1)
    processes = Processes(workers)
    draw = Drawer(EfficiencyPlots(f"figures{workers}"), Context(folder, "drawing", processes=processes))
    for number in range(figures):
        draw(f"figure_{number}", [efficiency("one", rng), efficiency("other", rng)], ratio=True)
    began = time.perf_counter()
    draw.finish()
    processes.close()
    return time.perf_counter() - began


def main(figures: int) -> None:
    """Draw with one and with two processes."""
    folder = Path(tempfile.mkdtemp(prefix="hepflow-drawing-"))
    seconds(1, 1, folder)  # loads matplotlib
    used = time.process_time()
    one = seconds(figures, 1, folder)
    used = (time.process_time() - used) / figures
    two = seconds(figures, 2, folder)
    shutil.rmtree(folder)
    print(f"{figures} figures: one process {one:.1f} s, two {two:.1f} s: {one / two:.2f} x (aim: at least 1.7)")
    print(f"{used:.2f} s of processor time a figure")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 70)
