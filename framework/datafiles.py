"""Finding data files (trained networks) that a property names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hepflow.errors import JobOptionsError, nearest
from hepflow.files import matching_files
from hepflow.registry.manager import registry

__all__ = ["PATH_VARIABLE", "data_folders", "find_data_file"]

PATH_VARIABLE = "HEPFLOW_DATA_PATH"


def data_folders() -> list[Path]:
    """Return the folders searched for data files: those of ``HEPFLOW_DATA_PATH``, then those of plugins."""
    own = [Path(part).expanduser() for part in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if part]
    return own + registry().folders("data")


def find_data_file(name: str, folders: Sequence[Path], *, where: str = "") -> Path:
    """Return the file: ``name`` as a path, or in the first of the folders that has it. Of a pattern, the pattern where
    files match it.

    JobOptionsError names the folders searched and the nearest files there.
    """
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [path, *(folder / path for folder in folders)]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is not None:
        return found.resolve()
    matched = next((path for path in candidates if matching_files(str(path)) not in ((), (str(path),))), None)
    if matched is not None:
        return matched.absolute()
    searched = ", ".join(dict.fromkeys(str(candidate.parent.resolve()) for candidate in candidates))
    raise JobOptionsError(
        f"there is no data file {name!r}",
        where=where,
        hint=f"{_nearest(path, folders)}; searched: {searched}; {PATH_VARIABLE} adds folders",
    )


def _nearest(path: Path, folders: Sequence[Path]) -> str:
    """Return a hint: of a path, from where on it is not there and what is called alike; else files that are there."""
    whole = Path.cwd() / path
    there = next(parent for parent in whole.parents if parent.is_dir())
    missing = whole.relative_to(there).parts
    if len(path.parts) > 1 and not any(letter in missing[0] for letter in "*?["):
        beside = [one.name for one in there.glob("[!.]*") if one.is_dir() or len(missing) == 1]
        what = "folders" if len(missing) > 1 else "files"
        return f"{str(there)!r} has no {missing[0]!r}: {nearest(missing[0], beside, what=f'{what} there')}"
    found = [file for folder in [path.parent, *folders] if folder.is_dir() for file in folder.iterdir()]
    return nearest(path.name, {file.name for file in found if file.is_file()}, what="files there")
