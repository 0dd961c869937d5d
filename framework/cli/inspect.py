"""``hepflow inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.text import Text

from hepflow.cli.console import LONG, common_options, console, new_table, show_fact, size, tree_option, wrapped
from hepflow.cli.dataset import is_dataset, show_dataset
from hepflow.cli.folder import show_folder, show_sample
from hepflow.cli.model import is_model, show_model
from hepflow.errors import ColumnError, TreeError, many, nearest
from hepflow.events.column import Column
from hepflow.events.layout import has_links, unpack_links
from hepflow.events.links import NULL, container_name
from hepflow.execution.inputs import formats, split_tree
from hepflow.execution.lineage import LINEAGE, Lineage
from hepflow.io.opening import open_reader, trees_of
from hepflow.io.root import RootReader
from hepflow.io.spelling import NOTES
from hepflow.protocols import NO_VALUES, ColumnInfo, FileSchema, Reader
from hepflow.registry.manager import registry

__all__ = ["inspect_command"]

SUMMARY_ENTRIES = 100_000


@click.command("inspect")
@click.argument("file")
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--provenance", is_flag=True, help="Show in full how the file was made, and no columns.")
@click.option("--summary", is_flag=True, help=f"Add counts and ranges of the first {SUMMARY_ENTRIES:,} entries.")
@tree_option
@common_options
def inspect_command(
    file: str,
    patterns: tuple[str, ...],
    provenance: bool,
    summary: bool,
    tree: str,
    plugins: tuple[str, ...],
    debug: bool,
) -> None:
    """Show what a file holds: format, entries, containers, columns with types and sizes. Of a file with several trees
    FILE:TREE names one; otherwise the one that a run would read is shown, or all. With PATTERN only columns whose name
    has it in it, in any case, or matches it: TauJets, 'TauJets.*pt*'.

    Of a network (lwtnn JSON, ONNX, Keras): inputs with variables, graph, outputs, parameters, origin. Of a training set
    (HDF5): rows of its folds and classes, columns, variables. Of variables.json: the offsets and scales. Of a run
    directory or another folder: what made it, and its files. Of a sample: what it is, and how much of it is made.
    """
    found = registry(plugins)
    if patterns and (Path(file).is_dir() or is_model(file) or is_dataset(file)):
        raise click.UsageError(f"PATTERN chooses columns of a file, and {file} is none with columns")
    if Path(file).is_dir():
        show_folder(Path(file), formats(found))
        return
    if file in found.names("samples") and not Path(file).exists():
        show_sample(found.load("samples", file))
        return
    if is_model(file):
        show_model(file, provenance=provenance)
        return
    if is_dataset(file):
        show_dataset(file)
        return
    path, named = split_tree(file)
    known = formats(found)
    try:
        with closing(open_reader(path, known, named or tree)) as reader:
            _show(path, reader, patterns, summary=summary, provenance=provenance)
            if not (named or tree) and isinstance(reader, RootReader):
                _show_others(path, reader.others())
    except TreeError:
        for name in trees_of(path):
            with closing(open_reader(path, known, name)) as reader:
                _show(f"{path}:{name}", reader, patterns, summary=summary, provenance=provenance)


def _show_others(path: str, others: Mapping[str, int]) -> None:
    """Name the trees that were not chosen."""
    if others:
        listed = ", ".join(f"{name} ({many(entries, 'entry')})" for name, entries in others.items())
        console().print(f"\nother trees: {listed}; hepflow inspect {path}:{next(iter(others))} shows one")


def _show(file: str, reader: Reader, patterns: Sequence[str], *, summary: bool, provenance: bool) -> None:
    schema = reader.schema()
    out = console()
    out.print(file, style="bold")
    tree = f", {schema.tree}" if schema.tree else ""
    facts = f"{many(schema.entries, 'entry')}, {size(schema.size)}, uuid {schema.identity}"
    out.print(f"{schema.format}{tree}: {'without end' if schema.endless else facts}")
    for key, value in schema.metadata.items() if provenance or not patterns else ():
        if key not in (*NOTES, *LINEAGE):
            show_fact(key, value, whole=provenance)
    if not patterns:
        _show_lineage(Lineage.of(schema), whole=provenance)
    if provenance:
        return
    if schema.naming:
        out.print(f"names: {schema.naming}")
    table = new_table("column", "type", "size", "on disk", *(["values", "range"] if summary else []))
    for column in table.columns[2:4]:
        column.justify = "right"
    chosen = [info for info in schema.columns.values() if not patterns or _matches(info.name, patterns)]
    if patterns and not chosen:
        raise ColumnError(
            f"no column has {' or '.join(map(repr, patterns))} in its name",
            where=file,
            hint=nearest(patterns[0], schema.columns, what="columns"),
        )
    for container, infos in _by_container(chosen):
        table.add_row(Text(container, style="bold"), many(len(infos), "column"), *_sizes(infos))
        found = _summaries(reader, infos, schema) if summary else {}
        for info in infos:
            table.add_row(
                Text("  " + info.name.partition(".")[2]), _type(info), *_sizes([info]), *found.get(info.name, ())
            )
    out.print(table)
    if patterns:
        return
    empty = [name for name, reason in schema.unreadable.items() if reason == NO_VALUES]
    lost = {name: reason for name, reason in schema.unreadable.items() if reason != NO_VALUES}
    if lost:
        out.print(f"\ncannot be read: {many(len(lost), 'column')}")
        for name, reason in lost.items():
            out.print(f"  {name}: {reason}", style="dim")
    if empty:
        out.print(f"\nwithout values of their own: {', '.join(empty)}", style="dim")


def _show_lineage(lineage: Lineage, *, whole: bool) -> None:
    """Show which tools made what, and whether objects of variations are there."""
    for step in lineage.steps:
        done = [*step.makes, *(["a selection"] if step.selects else [])]
        made, of = ", ".join(done), ", ".join(step.of)
        if len(made) + len(of) > LONG and not whole:
            made = made if len(made) < LONG else many(len(done), "column")
            of = f"{many(len(step.of), 'column')}; --provenance shows it"
        console().print(wrapped(f"{step.who} made {made} of {of}", 2), style="dim")
    if lineage.nominal:
        console().print(
            f"holds objects of {', '.join(lineage.varied)}, too: jobs read the nominal ones ({lineage.nominal[0]})"
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(
        fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern.lower() in name.lower()
        for pattern in patterns
    )


def _by_container(columns: Sequence[ColumnInfo]) -> Iterator[tuple[str, list[ColumnInfo]]]:
    groups: dict[str, list[ColumnInfo]] = {}
    for info in columns:
        groups.setdefault(info.container, []).append(info)
    for container in sorted(groups):
        yield container, sorted(groups[container], key=lambda info: info.name)


def _type(info: ColumnInfo) -> str:
    lists = info.depth if info.single else max(info.depth - 1, 0)
    some = " of some objects" if info.shape and info.objects >= 0 else ""
    return "list of " * lists + info.dtype + (" an entry" if info.single or not info.depth else some)


def _sizes(infos: list[ColumnInfo]) -> tuple[str, str]:
    return tuple(size(sum(getattr(info, kind) for info in infos)) or "" for kind in ("nbytes", "compressed"))  # type: ignore[return-value]


def _summaries(reader: Reader, infos: list[ColumnInfo], schema: FileSchema) -> dict[str, tuple[str, str]]:
    """Return (number of values, range) of each column, over the first entries."""
    stop = min(schema.entries, SUMMARY_ENTRIES)
    return {name: _summary(column) for name, column in reader.read(infos, 0, stop).items()} if stop else {}


def _summary(column: Column) -> tuple[str, str]:
    content = column.content if column.missing is None else column.content[~column.missing]
    number, gone = len(content), len(column.content) - len(content)
    missing = f"{gone:,} missing" if gone else ""
    if has_links(content):
        return f"{number:,}", ", ".join(text for text in (_targets(content), missing) if text)
    if not isinstance(content, np.ndarray):
        import awkward as ak

        if content.fields or "string" in str(content.type):
            return f"{number:,}", missing
        content = ak.to_numpy(ak.flatten(content, axis=None))
        number = len(content)
    values = content[np.isfinite(content)] if content.dtype.kind == "f" else content
    odd = f"{len(content) - len(values):,} not finite" if len(values) < len(content) else ""
    text = f"{values.min():.6g} … {values.max():.6g}" if len(values) else "no values"
    return f"{number:,}", ", ".join(part for part in (text, odd, missing) if part)


def _targets(links: Any) -> str:
    """Return what links point to, and how often."""
    numbers, counts = np.unique(unpack_links(links)[1], return_counts=True)
    found = sorted(zip(counts.tolist(), numbers.tolist(), strict=True), reverse=True)
    names = {number: "null" if number == NULL else container_name(number) for number in numbers.tolist()}
    names.update({number: f"{name} (not in this file)" for number, name in names.items() if number < NULL})
    return ", ".join(f"{count:,} → {names[number]}" for count, number in found)
