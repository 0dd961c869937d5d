"""Joining the numbered parts of an output into one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hepflow.errors import InputError, OutputError, nearest
from hepflow.execution.records import check_finished, check_inputs_finished, check_recorded, recorded_outputs
from hepflow.files import replacing
from hepflow.io.merging import merge_files

__all__ = ["collect_parts", "merge_parts"]

_PART = re.compile(r"(?P<stream>.+)_(?P<number>\d{6})(?P<suffix>\.\w+)")


def collect_parts(inputs: Sequence[Path], stream: str | None = None) -> list[Path]:
    """Return the parts to join, in order: those of one stream of a folder, or the files given.

    InputError where parts are missing: a gap in the numbers, or fewer than the run that wrote the folder recorded.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        return _of_folder(inputs[0], stream)
    for path in inputs:
        if not path.is_file():
            raise InputError(f"there is no file {path} to merge")
    check_inputs_finished((str(path), False) for path in inputs)
    _check_numbers([path for path in inputs if _PART.fullmatch(path.name)])
    return list(inputs)


def _of_folder(folder: Path, stream: str | None) -> list[Path]:
    streams: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        match = _PART.fullmatch(path.name)
        if match and path.is_file():
            streams.setdefault(match["stream"], []).append(path)
    if not streams:
        raise InputError(f"the folder {folder} holds no numbered parts (NAME_000001.root)")
    if stream is None and len(streams) > 1:
        raise InputError(
            f"the folder {folder} holds the parts of {len(streams)} streams: {', '.join(streams)}",
            hint="say which with --stream",
        )
    name = stream or next(iter(streams))
    if name not in streams:
        raise InputError(
            f"the folder {folder} holds no parts of a stream {name!r}", hint=nearest(name, streams, what="streams")
        )
    check_finished(folder, whole=False)
    expected = recorded_outputs(folder).get(name, [])
    lacking = sorted(set(expected) - {path.name for path in streams[name]})
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(expected)} parts of {name} are missing: {', '.join(lacking[:5])}",
            where=str(folder),
            hint="a merged file would be incomplete; make them again with hepflow run … --resume",
        )
    _check_numbers(streams[name])
    return streams[name]


def _check_numbers(parts: Sequence[Path]) -> None:
    numbers = sorted(int(match["number"]) for path in parts if (match := _PART.fullmatch(path.name)))
    gaps = sorted(set(range(1, (numbers or [0])[-1] + 1)) - set(numbers))
    if gaps:
        raise InputError(
            f"parts are missing: number {', '.join(f'{gap:06d}' for gap in gaps[:5])}",
            hint="a merged file would be incomplete; give all parts, numbers start at 000001",
        )


def merge_parts(
    parts: Sequence[Path], output: Path, *, force: bool = False, tell: Callable[[str], None] = lambda _: None
) -> int:
    """Join files into one and return its entries; OutputError where the output exists or is one of the parts.

    InputError where the run that wrote them recorded other checksums; ``tell`` hears of it where comparing takes long.
    """
    if output.resolve() in {path.resolve() for path in parts}:
        raise OutputError(f"the output {output} is one of the parts")
    if output.exists() and not force:
        raise OutputError(f"the output {output} exists already", hint="--force replaces it")
    check_recorded(map(str, parts), tell)
    with replacing(output) as temporary:
        return merge_files(parts, temporary)
