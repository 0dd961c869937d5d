"""What the benchmarks share: an input of any size, timing in turns, and a table of ratios."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

FLAT = [f"Event.x{i}" for i in range(10)]
JAGGED = {"Jets": ["pt", "eta", "phi"], "Tracks": ["pt", "d0", "z0"]}

spent: list[float] = []
"""Seconds that tools note of themselves; a module of its own: what a script defines goes to the worker as a copy."""


def jagged_names() -> list[str]:
    """Return the jagged columns as hepflow names them."""
    return [f"{group}.{name}" for group, names in JAGGED.items() for name in names]


def make_input(path: Path, events: int, *, step: int = 100_000) -> Path:
    """Write an ntuple with ten flat and six jagged branches (two groups, three objects an event), unless it exists."""
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    types: dict[str, object] = dict.fromkeys(FLAT, np.float32)
    for group, names in JAGGED.items():
        types[group] = ak.types.ListType(ak.types.RecordType([ak.types.NumpyType("float32")] * len(names), names))
    temporary = path.with_suffix(".part")
    with uproot.recreate(temporary, compression=uproot.LZ4(1)) as file:
        tree = file.mktree("tree", types, field_name=lambda outer, inner: f"{outer}.{inner}")
        for start in range(0, events, step):
            size = min(step, events - start)
            columns: dict[str, object] = {name: rng.normal(size=size).astype(np.float32) for name in FLAT}
            for group, names in JAGGED.items():
                counts = rng.poisson(3, size)
                values = {name: rng.normal(size=counts.sum()).astype(np.float32) for name in names}
                columns[group] = ak.unflatten(ak.zip(values), counts)
            tree.extend(columns)
    temporary.replace(path)
    return path


def timed(function: Callable[[], object]) -> float:
    """Return the seconds a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def worked(function: Callable[[], object]) -> float:
    """Return the seconds of processor time that a call takes: what else the machine does has no part in it."""
    began = time.process_time()
    function()
    return time.process_time() - began


def in_turns(
    functions: Mapping[str, Callable[[Path], object]], fresh: Callable[[str], Path], repeats: int = 5
) -> dict[str, float]:
    """Return the best time of each function, measured in turns so that a slow moment of the machine hits all alike.

    Each call gets an output path from ``fresh``, made ready outside the timing.
    """
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            target = fresh("target")
            best[name] = min(best[name], timed(lambda: function(target)))  # noqa: B023 - called at once
            fresh("target")
    return best


def report(title: str, rows: Mapping[str, float], reference: str, unit: str = "s") -> None:
    """Print values and their ratios to a reference."""
    sys.stdout.write(f"{title}\n")
    for name, value in rows.items():
        sys.stdout.write(f"  {name:40s} {value:10.3f} {unit}   {value / rows[reference]:6.2f} × {reference}\n")
