"""The SHA-256 of the files of a run (``--checksum``): of its inputs, and of what it wrote.

``provenance.json`` has both. They are compared where a run goes on, where its parts are merged, and where its files are
the input of another run.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

from hepflow.errors import InputError, listed
from hepflow.execution.rundir import PROVENANCE, STATE, RunDirectory
from hepflow.files import read_sha256
from hepflow.io.opening import local_path

__all__ = [
    "CHECKSUMS",
    "check_finished",
    "check_inputs_finished",
    "check_recorded",
    "check_unchanged",
    "recorded_outputs",
]

CHECKSUMS = "checksums"
"""Key of provenance.json: SHA-256 of the files that the run wrote, by name."""
TOLD_SECONDS = 10.0

Tell = Callable[[str], None]


def check_recorded(paths: Iterable[str], tell: Tell, *, every: bool = False) -> dict[str, str]:
    """Compare files with what the run that wrote them recorded; return the SHA-256 of these by path, with ``every``
    that of all local files.

    ``tell`` hears what is done where it takes long. InputError names the files that differ.
    """
    files = {path: local for path in paths if (local := local_path(path)) is not None and local.is_file()}
    expected = {path: known for path, local in files.items() if (known := _recorded(local))}
    found = _read({path: local for path, local in files.items() if every or path in expected}, tell)
    wrong = [path for path, known in expected.items() if found[path] != known]
    if wrong:
        raise InputError(
            f"the run that wrote them recorded other checksums (SHA-256) of these files:{listed(wrong)}",
            where=str(Path(wrong[0]).parent),
            hint="they are damaged, or were changed since; hepflow run … --resume makes them again",
        )
    return found


def check_unchanged(checksums: Mapping[str, str], tell: Tell) -> None:
    """Compare inputs with their checksums of before the event loop; InputError names those that were changed in it."""
    found = _read({path: Path(local_path(path) or path) for path in checksums}, tell)
    wrong = [path for path, known in checksums.items() if found[path] != known]
    if wrong:
        raise InputError(
            f"these inputs are not what they were before the event loop (SHA-256):{listed(wrong)}",
            hint="nobody knows what was read of them: start anew with --force",
        )


def _recorded(path: Path) -> str | None:
    """Return the SHA-256 that the run which wrote a file has recorded, None where there is none."""
    path = path.resolve()
    folder = next((parent for parent in path.parents if (parent / PROVENANCE).is_file()), None)
    if folder is None:
        return None
    state = (folder / PROVENANCE).stat()
    return _record(folder, state.st_ino, state.st_mtime_ns).get(path.relative_to(folder).as_posix())


@cache
def _record(folder: Path, *state: int) -> Mapping[str, str]:
    checksums = _provenance(folder).get(CHECKSUMS)
    return checksums if isinstance(checksums, dict) else {}


def _provenance(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found
    except (OSError, ValueError) as error:
        raise InputError(f"the record of a run is damaged: {error}", where=str(folder / PROVENANCE)) from error


def recorded_outputs(folder: Path) -> dict[str, list[str]]:
    """Return the names of the files of each stream, as the run that wrote a folder recorded them; nothing where there
    is no record. InputError where it is damaged.
    """
    outputs = _provenance(folder).get("outputs") if (folder / PROVENANCE).is_file() else {}
    if not isinstance(outputs, dict) or not all(isinstance(names, list) for names in outputs.values()):
        raise InputError("the record of a run is damaged: it names no outputs", where=str(folder / PROVENANCE))
    return {stream: [str(name) for name in names] for stream, names in outputs.items()}


def check_finished(folder: Path, *, whole: bool = True) -> None:
    """Raise InputError where a folder is that of a run which has not finished, or, with ``whole``, lacks outputs."""
    if not (folder / STATE).is_dir():
        return
    if not RunDirectory(folder).is_finished:
        raise InputError(
            "the run in this folder has not finished: some of its outputs are missing, or may change",
            where=str(folder),
            hint="wait for it, or continue it with hepflow run … --resume",
        )
    names = [name for names in recorded_outputs(folder).values() for name in names] if whole else []
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking:
        raise InputError(
            f"{len(lacking):,} of {len(names):,} outputs of this run are missing: {', '.join(lacking[:5])}",
            where=str(folder),
            hint="make them again with hepflow run … --resume",
        )


def check_inputs_finished(files: Iterable[tuple[str, bool]]) -> None:
    """Raise InputError where files (path; whether a search found it, which must then find all) are of such a folder."""
    searched: dict[Path, bool] = {}
    for path, found in files:
        local = local_path(path)
        if local is not None:
            searched[local.parent] = found or searched.get(local.parent, False)
    for parent, whole in searched.items():
        for folder in (parent, *parent.parents):
            if (folder / STATE).is_dir():
                check_finished(folder, whole=whole)
                break


def _read(files: Mapping[str, Path], tell: Tell) -> dict[str, str]:
    """Return the SHA-256 of files, several at a time."""
    sizes = {path: local.stat().st_size if local.is_file() else 0 for path, local in files.items()}
    total, done, told = sum(sizes.values()), 0, time.monotonic()
    found: dict[str, str] = {}
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        running = {pool.submit(_checksum, local): path for path, local in files.items()}
        for future in as_completed(running):
            path = running[future]
            found[path] = future.result()
            done += sizes[path]
            if time.monotonic() - told > TOLD_SECONDS:
                told = time.monotonic()
                tell(f"checksums: {done / 1e9:.1f} of {total / 1e9:.1f} GB")
    return found


def _checksum(path: Path) -> str:
    return read_sha256(path) if path.is_file() else "gone"
