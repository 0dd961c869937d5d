"""Runs side by side, as tables: the numbers of their figures, their cutflows, and the settings in which they differ."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hepflow.errors import JobOptionsError
from hepflow.execution.records import check_finished
from hepflow.plugins.performance.base import file_name
from hepflow.plugins.performance.report.contents import Contents, Picture, read_run
from hepflow.plugins.performance.report.overview import COUNTS, in_words
from hepflow.plugins.performance.report.tables import Table, measured, number, shown

__all__ = ["Runs", "cutflows", "numbers", "options_text", "pairs", "read_runs", "settings", "together", "which_runs"]

Runs = Mapping[str, Contents]
"""Run directories, read, by the names that tell them apart; the first is the reference."""

IGNORED = (
    "command",
    "finished",
    "seconds",
    "folder",
    "cutflow",
    "outputs",
    "samples",
    "remarks",
    "units",
    "inputs",
    "records",
    "set",
    "sha256",
)
"""What differs from run to run, or is told elsewhere."""
MOST_FILES = 4


def read_runs(texts: Sequence[str]) -> dict[str, Contents]:
    """Read run directories, given as ``FOLDER`` or ``NAME=FOLDER``; without a name it is that of the folder.

    JobOptionsError for fewer than two, or names that do not tell them apart; InputError where one is no run directory,
    or has not finished.
    """
    runs: dict[str, Contents] = {}
    for text in texts:
        name, given, folder = text.partition("=")
        if not given or not name or "/" in name:
            name, folder = "", text
        path = Path(folder).expanduser()
        name = name or path.resolve().name
        if name in runs:
            raise JobOptionsError(f"two runs are called {name}", hint="give them names: old=FOLDER new=FOLDER")
        runs[name] = read_run(path)
        check_finished(path, whole=False)
    if len(runs) < 2:
        raise JobOptionsError("there is nothing to compare with", hint="give two runs or more")
    return runs


def which_runs(runs: Runs) -> Table:
    """Return what the runs are."""
    rows = []
    for name, run in runs.items():
        said = run.provenance
        versions = said.get("versions", {})
        samples = dict.fromkeys(str(file.get("sample", "")) for file in said.get("inputs", ()))
        finished = str(said.get("finished", "not finished"))[:16].replace("T", " ")
        counted = (number(said.get("events")), number(len(said.get("inputs", ()))))
        rows.append((name, run.job, ", ".join(samples) or "–", *counted, finished, str(versions.get("hepflow", "–"))))
    header = ("run", "job", "samples", "events", "files", "finished (UTC)", "hepflow")
    return Table(header, rows, right=frozenset({3, 4}))


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def settings(runs: Runs) -> Table:
    """Return the settings in which the runs differ: options, properties, inputs, models, versions."""
    told = {name: dict(_settings(run.provenance)) for name, run in runs.items()}
    keys = dict.fromkeys(key for one in told.values() for key in one)
    rows = []
    for key in keys:
        values = [one.get(key) for one in told.values()]
        if any(value != values[0] for value in values):
            rows.append((key, *("not there" if value is None else shown(value) for value in values)))
    return Table(("setting", *runs), rows, code=frozenset(range(1, 1 + len(runs))))


def _settings(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield settings by name."""
    for name, value in said.items():
        if name in IGNORED:
            continue
        if name == "properties":
            for tool, properties in value.items():
                yield f"{tool} is", properties.get("class", "a tool")
                yield from ((f"{tool}.{key}", one) for key, one in properties.items() if key != "class")
        elif isinstance(value, Mapping):
            word = {"options": "--", "asked": "--"}.get(name, f"{name}: ")
            yield from ((f"{word}{key}", one) for key, one in value.items())
        else:
            yield name.replace("_", " "), value
    for sample in dict.fromkeys(file.get("sample") for file in said.get("inputs", ())):
        files = [str(file.get("path")) for file in said["inputs"] if file.get("sample") == sample]
        more = [f"… {len(files) - MOST_FILES} more"] if len(files) > MOST_FILES else []
        yield f"files of {sample}", [*files[:MOST_FILES], *more]
    for record in said.get("records", ()):
        yield f"model of {record.get('tool')}", _checksums(record.get("record"))


def _checksums(record: Any) -> list[str]:
    """Return the checksums of all models in a record, shortened."""
    if isinstance(record, Mapping):
        own = [f"{record.get('WeightFile', '')} {str(record['sha256'])[:12]}".strip()] if "sha256" in record else []
        return [*own, *(one for value in record.values() for one in _checksums(value))]
    return [one for value in record for one in _checksums(value)] if isinstance(record, list) else []


def options_text(runs: Runs) -> str:
    """Return how the job options of each run differ from those of the first, as ``diff -u`` tells it."""
    (first, reference), *others = runs.items()
    parts: list[str] = []
    before = reference.joboptions.splitlines(keepends=True)
    for name, run in others:
        parts += difflib.unified_diff(before, run.joboptions.splitlines(keepends=True), first, name)
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


# ── what belongs together ────────────────────────────────────────────────────────────────────────────────────────────


def pairs(runs: Runs) -> tuple[list[dict[str, Picture]], list[str]]:
    """Return the figures that belong together, by run, and what is said of those that are not in all runs.

    They have one path in the run directories, or one but for the label of what they show (``NetA_efficiency`` and
    ``NetB_efficiency``).
    """
    by_path = {name: {picture.path.as_posix(): picture for picture in run.pictures} for name, run in runs.items()}
    found, rest = _common(by_path)
    by_shape = {name: {_shape(picture): picture for picture in one.values()} for name, one in rest.items()}
    more, rest = _common(by_shape)
    paths: dict[str, list[str]] = {}
    for name, one in rest.items():
        for picture in one.values():
            paths.setdefault(picture.path.as_posix(), []).append(name)
    return found + more, [f"{path}: only in {', '.join(names)}" for path, names in paths.items()]


def together(named: Mapping[str, Mapping[tuple[str, str], Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return what belongs together, with its label: what has one (kind, label) in all runs, and what is left where each
    run has just one more.
    """
    found, rest = _common(named)
    labels = [key[1] for key in next(iter(named.values())) if all(key in one for one in named.values())]
    groups = [*zip(labels, found, strict=True)]
    if {len(one) for one in rest.values()} == {1}:
        others = {name: next(iter(one.items())) for name, one in rest.items()}
        label = " and ".join(dict.fromkeys(key[1] for key, _ in others.values() if key[1]))
        groups.append((label, {name: item for name, (_, item) in others.items()}))
    return groups


def _common(named: Mapping[str, Mapping[Any, Any]]) -> tuple[list[dict[str, Any]], dict[str, dict[Any, Any]]]:
    """Return what all runs have, key by key, and what is left of each."""
    keys = [key for key in next(iter(named.values())) if all(key in one for one in named.values())]
    rest = {name: {key: item for key, item in one.items() if key not in keys} for name, one in named.items()}
    return [{name: one[key] for name, one in named.items()} for key in keys], rest


def _shape(picture: Picture) -> str:
    """Return the path of a figure without the labels of its plots."""
    name = picture.path.as_posix()
    for label in sorted({str(plot.get("label", "")) for plot in plots_of(picture)}, key=len, reverse=True):
        name = name.replace(file_name(label), "*") if label else name
    return name


def plots_of(picture: Picture) -> list[Mapping[str, Any]]:
    """Return what the JSON of a figure says of the whole and of its plots; nothing where it cannot be read."""
    if picture.json is None:
        return []
    try:
        content = json.loads(picture.json.read_text(encoding="utf-8"))
        plots = content.get("plots")
    except (OSError, ValueError, AttributeError):
        return []
    whole = [{"derived": content["derived"]}] if "derived" in content else []
    return [plot for plot in (*whole, *plots) if isinstance(plot, Mapping)] if isinstance(plots, list) else []


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _overlap(runs: Runs) -> list[str]:
    """Return which runs read a file that another one reads: their errors are not independent."""
    files = {
        name: {str(file.get("uuid") or file.get("path")) for file in run.provenance.get("inputs", ())}
        for name, run in runs.items()
    }
    first, *others = files
    return [name for name in others if files[name] & files[first] or not files[name]]


def numbers(runs: Runs) -> Table:
    """Return the single numbers of figures (areas under curves, diagonals) of all runs, and what each has more than the
    first: in errors of the difference too, where no events are shared.
    """
    (first, *others), shared = runs, _overlap(runs)
    rows: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for pictures in pairs(runs)[0]:
        named = {
            name: {(str(plot.get("type")), str(plot.get("label", ""))): plot for plot in plots_of(picture)}
            for name, picture in pictures.items()
        }
        title = next(iter(pictures.values())).title
        for label, plots in together(named):
            found = {name: dict(_single(plot.get("derived"))) for name, plot in plots.items()}
            for what in dict.fromkeys(what for one in found.values() for what in one):
                values = {name: one.get(what) for name, one in found.items()}
                differences = [_difference(values[name], values[first], name in shared) for name in others]
                row = (title, label, in_words(what), *map(_cell, values.values()), *differences)
                group = next(iter(pictures.values())).group
                rows.setdefault((group, label, what), row)  # one matrix is several figures
    note = f"{', '.join(shared)}: the same input files as {first}; errors are not independent." if shared else ""
    header = ("figure", "of", "what", *runs, *(f"{name} − {first}" for name in others))
    return Table(header, [*rows.values()], note=note, right=frozenset(range(3, len(header))))


Number = tuple[float, float | None]


def _cell(value: Number | None) -> str:
    return "–" if value is None else number(value[0]) if value[1] is None else measured(*value)


def _single(derived: Any) -> Iterator[tuple[str, Number]]:
    for name, value in derived.items() if isinstance(derived, Mapping) else ():
        said, error = (value.get("value"), value.get("error")) if isinstance(value, Mapping) else (value, None)
        if name not in COUNTS and said is not None and _is_number(said):
            yield name, (float(said), float(error) if error is not None and _is_number(error) else None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _difference(value: Number | None, reference: Number | None, shared: bool) -> str:
    if value is None or reference is None:
        return "–"
    difference = value[0] - reference[0]
    error = math.hypot(value[1] or 0.0, reference[1] or 0.0)
    whole = 0 if difference.is_integer() else 4
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else whole
    text = f"{difference:+,.{min(digits, 12)}f}"
    return text if shared or not error > 0 else f"{text} ({difference / error:+.1f} σ)"


def cutflows(runs: Runs) -> Table:
    """Return what is left after each selection, and which part of what was there before."""
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for name, run in runs.items():
        for line in run.cutflow:
            key = tuple(str(line[part]) for part in ("stream", "tool", "selection", "container"))
            before, after = int(line["before"]), int(line["after"])
            share = f" ({after / before:.1%})" if before else ""
            lines.setdefault(key, {})[name] = f"{after:,}{share}"
    rows = [(key[0] or "job", *key[1:], *(found.get(name, "–") for name in runs)) for key, found in lines.items()]
    return Table(("stream", "tool", "selection", "of", *runs), rows, right=frozenset(range(4, 4 + len(runs))))
