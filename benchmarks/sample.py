"""The built-in sample beside bare Pythia: events made a second, as a ratio in one run.

    python benchmarks/sample.py [EVENTS]

Bare Pythia has the same settings, seeds and events, and is all that generation costs: it starts, makes the events, and
leaves them where they are. The job starts the same Pythia, simulates the detector and writes the AOD file. Both are
measured in turns, in CPU seconds of this process, so that other work on the machine counts little; the best of three.
``Dijet`` is measured without and with the skim that trainings of identification use.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hepflow.execution import RunOptions, run
from hepflow.joboptions import find_joboptions, load_joboptions
from hepflow.plugins.simulation.generator import BLOCK_EVENTS, Generator
from hepflow.plugins.simulation.processes import PROCESSES
from hepflow.plugins.simulation.pythia import SAMPLE_SEED
from hepflow.registry.manager import registry

TURNS = 3
SAMPLES = {
    "Gammatautau": ("Gammatautau", ()),
    "Dijet": ("Dijet", ()),
    "Dijet, 1 or 3 tracks above 20 GeV": ("Dijet", ("TauDetector.PtMin=20000", "TauDetector.Prongs=1,3")),
}
"""Process and settings of its job."""


def bare(process: str, events: int) -> None:
    """Generate the events of whole blocks with Pythia alone."""
    generator = Generator(PROCESSES[process], seed=SAMPLE_SEED)
    for number in range(events // BLOCK_EVENTS):
        generator.generate(number)


def whole(process: str, settings: tuple[str, ...], events: int, folder: Path) -> None:
    """Run the job that makes the sample."""
    plugins = registry()
    job = load_joboptions(find_joboptions(process, plugins), settings=settings)
    run(job, RunOptions(output=str(folder), events=events), plugins=plugins)


def cpu_seconds(function: Callable[[], None]) -> float:
    """Return the CPU seconds a call takes."""
    began = time.process_time()
    function()
    return time.process_time() - began


def main(events: int = 1_000) -> None:
    """Measure the samples and print rates and ratios."""
    for name, (process, settings) in SAMPLES.items():
        best = {"Pythia": float("inf"), "sample": float("inf")}
        for _ in range(TURNS):
            folder = Path(tempfile.mkdtemp())
            try:
                best["Pythia"] = min(best["Pythia"], cpu_seconds(lambda: bare(process, events)))  # noqa: B023
                best["sample"] = min(
                    best["sample"],
                    cpu_seconds(lambda: whole(process, settings, events, folder / "aod")),  # noqa: B023
                )
            finally:
                shutil.rmtree(folder)
        rates = {of: events / seconds for of, seconds in best.items()}
        sys.stdout.write(
            f"{name}: Pythia {rates['Pythia']:.0f} events/s, sample {rates['sample']:.0f} events/s,"
            f" ratio {rates['sample'] / rates['Pythia']:.2f} (aim 0.6)\n"
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
