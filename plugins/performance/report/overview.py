"""What a run gave and how it was made, as tables of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hepflow.cli.console import size
from hepflow.errors import HepflowError
from hepflow.plugins.performance.report.contents import STATE, Contents
from hepflow.plugins.performance.report.tables import Table, number, shown

__all__ = ["Configured", "configured", "facts", "in_words", "overview", "results"]

NETWORKS = ("*.onnx", "*.keras", "weights-for-lwtnn*.json")
COUNTS = ("total", "signal_total", "excluded")
"""Numbers that say how much was filled, not what came out."""
MOST_RESULTS = 60
MOST_NAMES = 4
ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Configured:
    """A tool or stream as it was configured: the properties that were set, and all of them."""

    name: str
    kind: str
    changed: Table
    all: Table


def facts(contents: Contents) -> list[tuple[str, str]]:
    """Return the run in a few (what, value)."""
    said = contents.provenance
    known: Mapping[str, Any] = said.get("versions", {})
    samples = [*dict.fromkeys(str(file.get("sample") or "") for file in said.get("inputs", ()))]
    found = [
        ("job", str(said.get("job", ""))),
        ("samples" if len(samples) > 1 else "sample", _first(samples)),
        ("events", number(said.get("events") or "")),
        ("input files", number(len(said.get("inputs", ())) or "")),
        ("left out", number(len(said.get("left_out", ())) or "")),
        ("figures", number(len(contents.pictures) or "")),
        ("duration", f"{said['seconds']:,.1f} s" if said.get("seconds") else ""),
        ("finished", _when(said["finished"]) if said.get("finished") else ""),
        ("hepflow", str(known.get("hepflow", ""))),
    ]
    return [(what, value) for what, value in found if value]


def _first(names: Sequence[str]) -> str:
    """Return the first of several names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def configured(contents: Contents) -> list[Configured]:
    """Return tools and streams in job order."""
    was_set = contents.provenance.get("set", {})
    found = []
    for name, values in contents.provenance.get("properties", {}).items():
        rows = [(key, shown(value)) for key, value in values.items() if key != "class"]
        changed = [row for row in rows if row[0] in was_set.get(name, ())]
        tables = [Table(("property", "value"), listed, code=frozenset({1})) for listed in (changed, rows)]
        found.append(Configured(name, str(values.get("class", "")), *tables))
    return found


def results(contents: Contents) -> list[Table]:
    """Return the numbers of the figures that stand for the whole: diagonals, areas under curves, with their errors. A
    table is of figures with the same quantities.
    """
    seen: set[tuple[str, ...]] = set()
    found: dict[frozenset[str], list[tuple[str, str, dict[str, str]]]] = {}
    for picture in contents.pictures:
        tables = [table for table in picture.tables if not table.header]
        singles = [(table.title or picture.title, {row[0]: row[1] for row in table.rows}) for table in tables]
        names = frozenset(name for _, values in singles for name in values if name not in COUNTS)
        own = "" if singles and picture.title.startswith(singles[0][0]) else picture.title
        for label, values in singles:
            told = (picture.group, own, label, *(f"{name} {value}" for name, value in values.items()))
            if told not in seen and names & values.keys():  # one matrix is several figures
                seen.add(told)
                found.setdefault(names, []).append((picture.title, label, values))
    return [_results(names, rows[:MOST_RESULTS]) for names, rows in found.items()]


def in_words(name: str) -> str:
    """Return what the JSON calls a number as people write it."""
    return "AUC" if name == "auc" else name.replace("_", " ")


def _results(names: frozenset[str], rows: Sequence[tuple[str, str, Mapping[str, str]]]) -> Table:
    """Return a table of the quantities, of which a row may lack some; the title of a figure that begins with what the
    numbers are of need not stand beside that.
    """
    columns = [name for name in dict.fromkeys(name for _, _, values in rows for name in values) if name in names]
    alone = all(title.startswith(label) for title, label, _ in rows)
    cells = [
        (*((label,) if alone else (title, label)), *(values.get(name, "") for name in columns))
        for title, label, values in rows
    ]
    header = (*(("of",) if alone else ("figure", "of")), *map(in_words, columns))
    return Table(header, cells, right=frozenset(range(len(header) - len(columns), len(header))))


def overview(contents: Contents) -> dict[str, list[Table]]:
    """Return the tables of the report by the title of their section; a section without content is left out."""
    tables = {
        "Cutflow": [_cutflow(contents)],
        "Inputs": [_left_out(contents), _inputs(contents)],
        "Models": [_models(contents)],
        "Outputs": [_outputs(contents)],
        "Command line": [_command(contents)],
        "Versions": [_versions(contents, "versions", "library"), _versions(contents, "plugins", "plugin")],
    }
    filled = {title: [table for table in listed if table.rows] for title, listed in tables.items()}
    return {title: listed for title, listed in filled.items() if listed}


def _when(time: str | float) -> str:
    """Return a time, in ISO format or in seconds since 1970, as text."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else datetime.fromtimestamp(time, timezone.utc)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _cutflow(contents: Contents) -> Table:
    rows, shares = [], []
    some = any(line.get("missing") for line in contents.cutflow)
    for line in contents.cutflow:
        before, after = int(line["before"]), int(line["after"])
        where = (str(line["stream"]) or "job", str(line["tool"]), str(line["selection"]), str(line["container"]))
        shares.append(after / before if before else None)
        missing = (number(line.get("missing") or None),) if some else ()
        rows.append((*where, f"{before:,}", f"{after:,}", f"{after / before:.1%}" if before else "–", *missing))
    header = ("stream", "tool", "selection", "of", "before", "after", "kept", *(("missing",) if some else ()))
    return Table(header, rows, right=frozenset({4, 5, 6, 7}), shares=tuple(shares))


def _inputs(contents: Contents) -> Table:
    files = contents.provenance.get("inputs", ())
    hashed = any("sha256" in file for file in files)
    rows = [
        (
            str(file.get("path", "")),
            str(file.get("sample", "")),
            str(file.get("format", "")),
            number(file.get("entries")),
            size(file["size"]) if file.get("size") else "–",
            _when(file["mtime"]) if file.get("mtime") else "–",
            str(file.get("uuid") or "–"),
            *((str(file.get("sha256", "–")),) if hashed else ()),
        )
        for file in files
    ]
    header = ("file", "sample", "format", "events", "size", "changed", "UUID", *(("SHA-256",) if hashed else ()))
    return Table(header, rows, right=frozenset({3, 4}), code=frozenset({0, 6, 7}))


def _left_out(contents: Contents) -> Table:
    """Return the inputs that failed and are not in the results."""
    rows = [
        (
            str(one.get("file", "")),
            "–".join(map(str, one["entries"])) if one.get("entries") else "all",
            str(one.get("cause", "")),
            str(one.get("message", "")),
        )
        for one in contents.provenance.get("left_out", ())
    ]
    return Table(("left out", "entries", "cause", "message"), rows, code=frozenset({0}))


def _models(contents: Contents) -> Table:
    """Return the data files of the tools, the networks that decorated the inputs, and those that the run wrote."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for entry in contents.provenance.get("records", ()):
        use = f"decorated the inputs ({entry['tool']})" if entry["of"] == "inputs" else f"used by {entry['tool']}"
        for network in _networks(entry["record"]):
            key = (use, str(network["sha256"]))
            rows[key] = (str(network.get("WeightFile", "")), use, _roles(network), str(network["sha256"]))
    listed = {sha for _, sha in rows}
    for path, sha in contents.provenance.get("models", {}).items():
        if sha not in listed:
            rows["", path] = (str(path), "used by the job", "–", str(sha))
    for path in sorted(p for pattern in NETWORKS for p in contents.directory.rglob(pattern) if STATE not in p.parts):
        made = _made(path)
        name = path.relative_to(contents.directory).as_posix()
        rows["made", name] = (name, "made by this run", _roles(made), str(made["sha256"]))
    return Table(("file", "use", "folds and their roles", "SHA-256"), list(rows.values()), code=frozenset({0, 3}))


def _networks(record: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what a record says of networks, wherever it stands: mappings with a checksum."""
    if isinstance(record, Mapping):
        if "sha256" in record:
            yield record
        else:
            for value in record.values():
                yield from _networks(value)
    elif isinstance(record, list):
        for value in record:
            yield from _networks(value)


def _made(path: Path) -> Mapping[str, Any]:
    """Return checksum and record of a network that the run wrote; a ``.keras`` file carries no record."""
    from hepflow.files import sha256
    from hepflow.registry.models import model_record

    if path.suffix != ".keras":
        try:
            return model_record(str(path))
        except HepflowError:  # damaged, or another network's file: the checksum names it all the same
            pass
    return {"sha256": sha256(path)}


def _roles(network: Mapping[str, Any]) -> str:
    """Return the rule of the folds and what each is for, as text."""
    folds = network.get("record", {}).get("folds")
    if not isinstance(folds, Mapping):
        return "not recorded"
    roles = [f"{role} {', '.join(map(str, folds[role]))}" for role in ROLES if folds.get(role)]
    return f"{folds.get('rule', '')}: " + "; ".join(roles)


def _outputs(contents: Contents) -> Table:
    rows, samples = [], contents.provenance.get("samples", {})
    for stream, names in contents.provenance.get("outputs", {}).items():
        for name in names:
            path = contents.directory / name
            told = size(path.stat().st_size) if path.is_file() else "missing"
            rows.append((str(stream), str(name), str(samples.get(name, "–")), told))
    return Table(("stream", "file", "sample", "size"), rows, right=frozenset({3}), code=frozenset({1}))


def _command(contents: Contents) -> Table:
    said = contents.provenance
    asked, options = (
        ", ".join(f"--{key} {shown(value)}" for key, value in said.get(name, {}).items() if value is not None)
        for name in ("asked", "options")
    )
    found = {
        "command line": said.get("command"),
        "in folder": said.get("folder"),
        "options of the job": options,
        "options of run": asked,
        "datatype": said.get("datatype"),
        "seed": said.get("seed"),
        "work units": said.get("units"),
    }
    rows = [(what, shown(value)) for what, value in found.items() if value not in (None, "")]
    return Table((), rows, code=frozenset({1}))


def _versions(contents: Contents, key: str, header: str) -> Table:
    return Table((header, "version"), [(str(n), str(v)) for n, v in contents.provenance.get(key, {}).items()])
