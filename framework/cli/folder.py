"""How ``hepflow inspect`` shows a run directory, another folder with inputs, and a sample that is made on demand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hepflow.cli.console import console, new_table, size
from hepflow.cli.dataset import is_dataset
from hepflow.errors import HepflowError, InputError, many
from hepflow.execution.rundir import PROVENANCE, STATE
from hepflow.execution.samples import SampleRecipe, other_versions
from hepflow.io.opening import open_reader

__all__ = ["show_folder", "show_sample"]

NETWORKS = (".onnx", ".keras")
SHOWN = 50
"""Most files that are looked into."""


def show_folder(path: Path, formats: Sequence[Any]) -> None:
    """Print what a folder holds: how a run made it, and its ROOT files, training sets and networks.

    InputError where it holds none of these.
    """
    is_run = (path / STATE).is_dir() or (path / PROVENANCE).is_file()
    samples = _show_run(path) if is_run else {}
    found = [p for p in sorted(path.rglob("*")) if p.is_file() and not _hidden(p.relative_to(path))]
    inputs = [p for p in found if p.suffix in (".root", *NETWORKS) or is_dataset(str(p))]
    if not inputs and not is_run:
        raise InputError("there is nothing to inspect in this folder", where=str(path), hint=_kinds(found))
    table = new_table("file", "what", "entries", "size", title="files" if is_run else str(path))
    for column in table.columns[2:]:
        column.justify = "right"
    for file in inputs[:SHOWN]:
        table.add_row(str(file.relative_to(path)), *_in_words(file, formats, samples), size(file.stat().st_size))
    if inputs:
        console().print(table)
    if len(inputs) > SHOWN:
        console().print(f"… {len(inputs):,} in all; hepflow inspect FILE shows one")
    others = [file for file in found if file not in inputs]
    if others:
        console().print(f"others   {_kinds(others)}")


def _in_words(file: Path, formats: Sequence[Any], samples: Mapping[str, str]) -> tuple[str, str]:
    """Return what a file is, of which sample, and how many entries it has; of one that cannot be read the reason."""
    if is_dataset(str(file)):
        return "training set", ""
    if file.suffix in NETWORKS:
        return "network", ""
    try:
        with closing(open_reader(str(file), formats)) as reader:
            schema = reader.schema()
            of = f" of {samples[file.name]}" if file.name in samples else ""
            return f"{schema.format}, {schema.tree}{of}", f"{schema.entries:,}"
    except HepflowError as error:
        return error.message, ""


def _show_run(path: Path) -> Mapping[str, str]:
    """Print what made a run directory; of one of an older version what it says, and what it lacks. Return the samples
    of its outputs.
    """
    out = console()
    try:
        run = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
    except OSError:
        out.print(f"{path}: a run that has not finished; hepflow run … -o {path} --resume continues it", style="bold")
        return {}
    except ValueError as error:
        raise InputError(f"the record of this run is damaged: {error}", where=str(path / PROVENANCE)) from error
    try:
        out.print(f"{path}: run of {run['job']}, finished {run.get('finished', 'at an unknown time')}", style="bold")
        lacks = [name for name in ("command", "inputs", "asked", "events") if name not in run]
        out.print(f"command  {run.get('command', 'not known')}")
        inputs, asked = run.get("inputs", []), run.get("asked", {})
        names = ", ".join(dict.fromkeys(file["sample"] for file in inputs))
        options = {"-n": asked.get("events"), "--skip": asked.get("skip")}
        limits = "".join(f", {option} {number}" for option, number in options.items() if number)
        if inputs:
            events = f"{many(run['events'], 'event')} read" if "events" in run else "events not counted"
            out.print(f"input    {many(len(inputs), 'file')} of {names}: {events}{limits}")
        lacks += _show_cutflow(path / "cutflow.json")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the record of this run is damaged: {type(error).__name__}: {error}", where=str(path / PROVENANCE)
        ) from error
    if lacks:
        made_by = run.get("version") or run.get("versions", {}).get("hepflow") or "another version"
        out.print(f"note     written by hepflow {made_by}, without {', '.join(lacks)}", style="yellow")
    samples: Mapping[str, str] = run.get("samples", {})
    return samples


def _show_cutflow(path: Path) -> list[str]:
    """Print the cutflow of a run; return its name where it is not there."""
    if not path.is_file():
        return [path.name]
    if cutflow := json.loads(path.read_text(encoding="utf-8")):
        table = new_table("tool", "selection", "of", "before", "after", title="cutflow")
        for row in cutflow:
            names = (row["tool"], row["selection"], row["container"])
            table.add_row(*names, *(f"{row[key]:,}" for key in ("before", "after")))
        console().print(table)
    return []


def show_sample(recipe: SampleRecipe) -> None:
    """Print what a sample is, and how much of it is made."""
    files = range(1, -(-recipe.events // recipe.per_file) + 1)
    made = [recipe.path(number) for number in files if recipe.path(number).exists()]
    out = console()
    out.print(f"{recipe.name}: {recipe.doc}", style="bold")
    for name, value in recipe.metadata.items():
        if value != recipe.doc:
            out.print(f"{name}: {value}")
    of_files = many(len(files), "file")
    out.print(f"{recipe.events:,} events in {of_files}, made by the job {recipe.job} where a run needs them")
    stored = size(sum(path.stat().st_size for path in made))
    out.print(f"made: {many(len(made), 'file')}, {len(made) * recipe.per_file:,} events, {stored}, in {recipe.folder}")
    if made:
        out.print(f"hepflow inspect {made[0]} shows the columns")
    for folder, number in other_versions(recipe).items():
        out.print(f"of another version, kept but not read: {many(number, 'file')} in {folder}")


def _kinds(files: Sequence[Path]) -> str:
    counts = Counter(file.suffix or file.name for file in files)
    return "it holds " + (", ".join(f"{n} {kind}" for kind, n in counts.most_common(8)) or "no files")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
