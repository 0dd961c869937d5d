"""The files of working points: JSON, and the ROOT file of histograms ``h2_00`` … ``h2_99`` that Athena's
``TauWPDecorator`` reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hepflow.errors import InputError, nearest
from hepflow.files import replacing, write_text
from hepflow.plugins.tau.flattening import EFFICIENCIES, Flattening

__all__ = ["WorkingPointFile", "read_working_points"]

FORMAT, VERSION = "hepflow working points", 1
ABOUT = "hepflow"
"""Name of the text in the ROOT file that says what the histograms do not."""
_HISTOGRAMS = tuple(f"h2_{number:02d}" for number in range(len(EFFICIENCIES)))


@dataclass(frozen=True)
class WorkingPointFile:
    """The cuts for taus with one number of tracks, and what is known of them.

    ``prongs`` is the number of tracks, 0 where the file does not say; ``name`` that of the decorations; ``score``,
    ``x`` and ``y`` are expressions (empty: unknown); ``networks`` the records of the networks that made the score,
    ``about`` whatever else is worth knowing (events, taus a cell, merged cells).
    """

    flattening: Flattening
    prongs: int | None = None
    name: str = ""
    score: str = ""
    x: str = ""
    y: str = ""
    networks: Sequence[Mapping[str, Any]] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return all but the cuts, as JSON takes it."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "prongs": self.prongs,
            "name": self.name,
            "score": self.score,
            "x": {"expression": self.x, "edges": self.flattening.x.tolist()},
            "y": {"expression": self.y, "edges": self.flattening.y.tolist()},
            "networks": list(self.networks),
            "about": dict(self.about),
        }

    def write_json(self, path: Path) -> None:
        """Write the JSON file; ``cuts[i]`` are those of the efficiency i/100, rows of x, in these of y."""
        made = {**self.record(), "cuts": self.flattening.cuts.tolist()}
        write_text(path, json.dumps(made, allow_nan=False) + "\n")

    def write_root(self, path: Path) -> None:
        """Write the ROOT file for Athena: one TH2D for each efficiency."""
        import uproot

        with replacing(path) as part, uproot.recreate(part) as file:
            for name, cuts in zip(_HISTOGRAMS, self.flattening.cuts, strict=True):
                file[name] = (cuts, self.flattening.x, self.flattening.y)
            file[ABOUT] = json.dumps(self.record(), allow_nan=False)


def read_working_points(path: str | Path) -> WorkingPointFile:
    """Return what a JSON or ROOT file holds; InputError where it holds no working points."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise InputError(f"the file of working points cannot be read: {error.strerror}", where=str(path)) from error
    return _read_root(str(path)) if head == b"root" else _read_json(Path(path))


def _read_json(path: Path) -> WorkingPointFile:
    try:
        held = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(
            "this is no file of working points: neither ROOT nor JSON",
            where=str(path),
            hint="WorkingPointTuner writes <name>_1p.json and <name>_1p.root",
        ) from error
    if not isinstance(held, dict) or held.get("format") != FORMAT or held.get("version") != VERSION:
        raise InputError(
            f'this is no JSON file of working points: it does not say "format": "{FORMAT}", "version": {VERSION}',
            where=str(path),
        )
    try:
        return _made(held, held["x"]["edges"], held["y"]["edges"], held["cuts"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the file of working points is damaged: {error}", where=str(path)) from error


def _read_root(path: str) -> WorkingPointFile:
    import uproot

    try:
        with uproot.open(path) as file:
            kinds = {name.partition(";")[0]: kind for name, kind in file.classnames().items()}
            lacking = [name for name in _HISTOGRAMS if not kinds.get(name, "").startswith("TH2")]
            if lacking:
                raise InputError(
                    f"the ROOT file has no TH2 {lacking[0]}; working points are {_HISTOGRAMS[0]} … {_HISTOGRAMS[-1]}",
                    where=path,
                    hint=nearest(lacking[0], kinds, what="objects in it"),
                )
            found = [file[name].to_numpy() for name in _HISTOGRAMS]
            held = json.loads(str(file[ABOUT])) if kinds.get(ABOUT) == "TObjString" else {}
        _, x, y = found[0]
        for name, (_, *edges) in zip(_HISTOGRAMS, found, strict=True):
            if not (np.array_equal(edges[0], x) and np.array_equal(edges[1], y)):
                raise InputError(f"{name} has other bins than {_HISTOGRAMS[0]}", where=path)
        return _made(held, x, y, np.stack([cuts for cuts, *_ in found]))
    except InputError:
        raise
    except Exception as error:  # whatever uproot raises on a damaged file
        raise InputError(f"the ROOT file of working points cannot be read: {error}", where=path) from error


def _made(held: Mapping[str, Any], x: Any, y: Any, cuts: Any) -> WorkingPointFile:
    """Return the contents, checked; ValueError where they do not go together."""
    edges = [np.asarray(axis, dtype=np.float64) for axis in (x, y)]
    table = np.asarray(cuts, dtype=np.float64)
    shape = (len(EFFICIENCIES), *(len(axis) - 1 for axis in edges))
    if table.shape != shape or not np.isfinite(table).all():
        raise ValueError(f"its cuts are not {' × '.join(map(str, shape))} finite numbers")
    if not all(np.isfinite(axis).all() and (np.diff(axis) > 0).all() for axis in edges):
        raise ValueError("its bin edges do not increase")
    return WorkingPointFile(
        Flattening(edges[0], edges[1], table),
        held.get("prongs"),
        str(held.get("name", "")),
        str(held.get("score", "")),
        str(held.get("x", {}).get("expression", "")),
        str(held.get("y", {}).get("expression", "")),
        tuple(held.get("networks", ())),
        dict(held.get("about", {})),
    )
