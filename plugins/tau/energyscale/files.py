"""Files of calibrations: hepflow's JSON, and ROOT files laid out as Athena's (not tried on ATLAS's own files)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import HepflowError, InputError, nearest
from hepflow.files import sha256, write_text
from hepflow.networks.jsontext import parse_json, read_bytes
from hepflow.plugins.tau.energyscale.calibrations import COMBINED_ETA, Combination, LocalCalibration, Resolution
from hepflow.plugins.tau.energyscale.curves import Curve, from_tformula
from hepflow.plugins.tau.modes import MODES

__all__ = ["calibration_record", "read_combination", "read_local", "write_combination", "write_local"]

LC, COMBINED = "tau energy scale: local", "tau energy scale: combined"
PRONGS = ("1P", "3P")
LOWEST_END = 1000.0
"""MeV: graphs that end below are of GeV."""


def calibration_record(path: str | Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what users of a calibration must know: its file with checksum, and what it says of itself."""
    return {"file": Path(path).name, "sha256": sha256(Path(path)), "calibration": dict(record)}


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_local(path: Path, calibration: LocalCalibration) -> None:
    """Write a local calibration."""
    content = {
        "hepflow": LC, "unit": "GeV", "eta": calibration.eta.tolist(), "average_npv": calibration.average_npv,
        "slopes": {name: calibration.slopes[row].tolist() for row, name in enumerate(PRONGS)},
        "responses": {n: [c.as_json() for c in calibration.responses[row]] for row, n in enumerate(PRONGS)},
        "record": calibration.record,
    }  # fmt: skip
    write_text(path, json.dumps(content, indent=1))


def write_combination(path: Path, calibration: Combination) -> None:
    """Write a combination."""
    parts = {
        name: [[{k: getattr(one, k).as_json() for k in one._fields} for one in row] for row in rows]
        for name, rows in (("calo", calibration.calo), ("flow", calibration.flow))
    }
    content = {
        "hepflow": COMBINED, "unit": "MeV", "eta": list(COMBINED_ETA), "modes": list(MODES), **parts,
        "rho": calibration.rho.tolist(), "compatibility": [one.as_json() for one in calibration.compatibility],
        "record": calibration.record,
    }  # fmt: skip
    write_text(path, json.dumps(content, indent=1))


def _json(path: Path, kind: str, unit: str) -> Mapping[str, Any]:
    try:
        content = parse_json(read_bytes(path))
    except HepflowError as error:
        raise InputError(f"this is no calibration: {error.message}", where=str(path)) from None
    found = content.get("hepflow") if isinstance(content, dict) else None
    if found != kind or content.get("unit") != unit:
        told = f"it is one of the {found}" if isinstance(found, str) else "it does not say what it is"
        hint = f"{told}, unit {content['unit']}" if isinstance(content, dict) and "unit" in content else told
        raise InputError(f"this is no calibration of the {kind}", where=str(path), hint=hint)
    return dict(content)


# ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_local(path: str) -> LocalCalibration:
    """Return the local calibration of a file; InputError where it holds none."""
    where = Path(path)
    try:
        if _is_root(where):
            return _local_of_root(where)
        content = _json(where, LC, "GeV")
        return LocalCalibration(
            np.array(content["eta"], np.float64),
            float(content["average_npv"]),
            np.array([content["slopes"][name] for name in PRONGS], np.float64),
            tuple([Curve.from_json(one) for one in content["responses"][name]] for name in PRONGS),  # type: ignore[arg-type]
            content["record"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the local calibration lacks {error}", where=path) from None
    except InputError as error:
        raise InputError(error.message, where=error.where or path, hint=error.hint) from None


def read_combination(path: str, *, athena_rho_bin: bool = True) -> Combination:
    """Return the combination of a file; InputError where it holds none. ``athena_rho_bin``: of a histogram of
    correlations the bins are counted from the underflow."""
    where = Path(path)
    try:
        if _is_root(where):
            return _combination_of_root(where, athena_rho_bin)
        content = _json(where, COMBINED, "MeV")
        if content["modes"] != list(MODES) or content["eta"] != list(COMBINED_ETA):
            raise InputError("the combination has other modes or bins of |η|", hint=f"{MODES}, {COMBINED_ETA}")

        def part(name: str) -> list[list[Resolution]]:
            curves = [[[Curve.from_json(one[k]) for k in Resolution._fields] for one in row] for row in content[name]]
            return [[Resolution(*pair) for pair in row] for row in curves]

        compatibility = [Curve.from_json(one) for one in content["compatibility"]]
        rho = np.array(content["rho"], np.float64)
        return Combination(part("calo"), part("flow"), rho, compatibility, content["record"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the combination lacks {error}", where=path) from None
    except InputError as error:
        raise InputError(error.message, where=error.where or path, hint=error.hint) from None


# ── ROOT ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_root(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"root"
    except OSError as error:
        raise InputError(f"the calibration cannot be read: {error.strerror}", where=str(path)) from None


class _Objects:
    """The objects of a ROOT file, by name; InputError where one is missing or of another class."""

    def __init__(self, path: Path) -> None:
        import uproot

        try:
            self.file = uproot.open(path)
            self.classes = self.file.classnames(cycle=False)
        except Exception as error:  # whatever uproot meets in a damaged file
            raise InputError(f"the ROOT file cannot be read: {error}", where=str(path)) from None

    def get(self, name: str, start: str) -> Any:
        kind = self.classes.get(name)
        if kind is None:
            raise InputError(
                f"the calibration file has no {name!r}: it is of another layout",
                hint=nearest(name, self.classes, what="objects there"),
            )
        if not kind.startswith(start):
            raise InputError(f"{name} is a {kind}, not a {start}")
        try:
            return self.file[name]
        except Exception as error:  # of a TF1 without parameters, too: uproot 5.7 cannot read its empty map
            raise InputError(f"{name} ({kind}) cannot be read: {error}") from None

    def function(self, name: str) -> Curve:
        """Return a TF1: its formula where it has one that can be calculated, else its saved points."""
        found = self.get(name, "TF1")
        try:
            ends = float(found.member("fXmin")), float(found.member("fXmax"))
            saved = np.asarray(found.member("fSave"), np.float64)
            formula = found.member("fFormula")
            if formula is None and len(saved) <= 3:
                raise InputError("it has neither a formula nor saved points", hint="call TF1::Save before writing it")
            if formula is not None:
                try:
                    return _formula(formula, ends)
                except InputError:
                    if len(saved) <= 3:
                        raise
            # values, then the ends of the range
            return Curve(np.linspace(saved[-2], saved[-1], len(saved) - 2), saved[:-2], "zero")
        except InputError as error:
            raise InputError(f"the function {name}: {error.message}", hint=error.hint) from None
        except Exception as error:  # members that other versions of the class do not have
            raise InputError(f"the function {name} cannot be read: {error!r}") from None

    def graph(self, folder: str, what: str, mode: str, number: int) -> Curve:
        """Return the one graph of a folder whose name has the mode and ends with the number of the |η| bin."""
        start = f"{folder}/Graph_from_{what}_"
        named = [n for n in self.classes if n.startswith(start) and mode in n and n.endswith(str(number))]
        if len(named) != 1:
            raise InputError(
                f"{len(named)} objects of the file are {start}…{mode}…{number}: it is of another layout",
                hint=nearest(f"{start}{folder}_{mode}_{number}", self.classes, what="objects there"),
            )
        x, y = self.get(named[0], "TGraph").values()
        try:
            curve = Curve(x, y, "line")
        except InputError as error:
            raise InputError(f"{named[0]}: {error.message}", hint=error.hint) from None
        if curve.x[-1] < LOWEST_END:
            raise InputError(f"{named[0]} ends at {curve.x[-1]:g}: Et is expected in MeV")
        return curve


def _formula(formula: Any, ends: tuple[float, float]) -> Curve:
    values = [float(value) for value in formula.member("fClingParameters")]
    parameters = {str(key): values[int(place)] for key, place in formula.member("fParams").items()}
    return from_tformula(str(formula.member("fFormula")), parameters, ends)


def _local_of_root(path: Path) -> LocalCalibration:
    objects = _Objects(path)
    eta = np.asarray(objects.get("etaBinning", "TH1").axis().edges(), np.float64)
    slopes = [np.asarray(objects.get(f"slopeNPV{p}", "TH1").values(flow=True), np.float64) for p in PRONGS]
    n = len(eta) - 1
    if any(len(row) < n + 2 for row in slopes):
        raise InputError(f"etaBinning has {n} bins, slopeNPV1P and slopeNPV3P have {[len(row) - 2 for row in slopes]}")
    responses = tuple([objects.function(f"{base}_Eta_{i}") for i in range(n)] for base in ("OneP", "MultiP"))
    kept = np.array([row[1 : n + 1] for row in slopes])
    return LocalCalibration(eta, float(slopes[0][0]), kept, responses)  # type: ignore[arg-type]


def _combination_of_root(path: Path, athena_rho_bin: bool) -> Combination:
    objects = _Objects(path)
    n = len(COMBINED_ETA) - 1

    def part(folder: str) -> list[list[Resolution]]:
        return [
            [Resolution(*(objects.graph(folder, w, mode, i) for w in ("MeanEt", "ResolutionEt"))) for i in range(n)]
            for mode in MODES
        ]

    def correlations(mode: str) -> npt.NDArray[np.float64]:
        values = np.asarray(objects.get(f"CorrelationCoeff_tauRec_{mode}", "TH1").values(flow=True), np.float64)
        first = 0 if athena_rho_bin else 1
        if len(values) < n + 2:
            raise InputError(f"CorrelationCoeff_tauRec_{mode} has {len(values) - 2} bins, {n} are expected")
        return values[first : first + n]

    compatibility: Sequence[Curve] = [objects.function(f"nSigmaCompatibility_{mode}") for mode in MODES]
    rho = np.array([correlations(mode) for mode in MODES])
    return Combination(part("tauRec"), part("ConstituentEt"), rho, compatibility)
