"""From what the user gives with ``-i`` to a list of files."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepflow.errors import InputError, nearest
from hepflow.registry.manager import Registry

__all__ = ["InputFile", "expand"]

_NAMED = re.compile(r"^([A-Za-z_][\w.+-]*)=(.+)$")
_SCHEME = re.compile(r"^([a-z][a-z0-9+]*):")
_REMOTE = ("root", "http", "https", "file", "s3", "gs", "xroot", "xrootd")


@dataclass(frozen=True)
class InputFile:
    """One input: its path, URL or generator, the sample it belongs to, and whether it was found by searching a
    folder.
    """

    path: str
    sample: str
    searched: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


def expand(
    patterns: Sequence[str],
    plugins: Registry,
    schemes: Sequence[str],
    make_sample: Callable[[str], Sequence[InputFile]],
) -> list[InputFile]:
    """Return the files of all patterns, in order; InputError where one matches nothing or a file comes twice.

    A pattern is a file, a glob, a folder (searched recursively for ROOT files), a URL, a generator
    (``pythia:Gammatautau``) or the name of a sample, each with an optional ``NAME=`` in front.
    """
    files: list[InputFile] = []
    samples = plugins.names("samples")
    for text in patterns:
        match = None if Path(text).exists() else _NAMED.match(text)
        name, pattern = (match.group(1), match.group(2)) if match else ("", text)
        if pattern in samples and not Path(pattern).exists():
            made = make_sample(pattern)
            files += [InputFile(f.path, name or f.sample, f.searched, f.metadata) for f in made]
        else:
            files += _expand_one(pattern, name, schemes, list(samples))
    seen: set[str] = set()
    for file in files:
        same = str(Path(file.path).resolve()) if Path(file.path).exists() else file.path
        if same in seen:
            raise InputError(
                f"the input {file.path} is given twice", hint="its events would be counted twice; leave one out"
            )
        seen.add(same)
    return files


def _expand_one(pattern: str, name: str, schemes: Sequence[str], samples: Sequence[str]) -> list[InputFile]:
    scheme = _SCHEME.match(pattern)
    if scheme and (scheme.group(1) in schemes or scheme.group(1) in _REMOTE):
        return [
            InputFile(pattern, name or re.split(r"[?#]", pattern.rstrip("/").rpartition("/")[2].rpartition(":")[2])[0])
        ]
    path = Path(pattern).expanduser()
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*.root*")) if p.is_file() and not _hidden(p.relative_to(path))]
        if not found:
            raise InputError(
                f"the folder {pattern} holds no ROOT files", hint="files are found as *.root*, also in sub-folders"
            )
        return [InputFile(str(p), name or path.resolve().name, searched=True) for p in found]
    if any(character in pattern for character in "*?[") and not path.exists():
        matched = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matched:
            raise InputError(f"the pattern {pattern!r} matches no file", where=str(Path.cwd()))
        return [file for match in matched for file in _expand_one(match, name, (), ())]
    if not path.exists():
        folder = path.parent
        beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        if scheme:
            hint = nearest(scheme.group(1), [*schemes, *_REMOTE], what="input schemes")
        else:
            hint = nearest(path.name, [*beside, *samples], what="files here and samples")
        raise InputError(f"there is no input {pattern!r}", where=str(folder.resolve()), hint=hint)
    return [InputFile(str(path), name or path.resolve().parent.name)]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
