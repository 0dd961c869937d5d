"""How ``hepflow inspect`` shows a training set: rows of its folds and classes, columns, variables, origin."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from hepflow.cli.console import console, new_table, size
from hepflow.io.hdf5 import TAUS, open_dataset_file

__all__ = ["is_dataset", "show_dataset"]


def is_dataset(path: str) -> bool:
    """Tell by its ending whether a file is a training set."""
    return Path(path).suffix.lower() in (".h5", ".hdf5")


def show_dataset(path: str) -> None:
    """Print what a training set holds; raises InputError where it is damaged, or another HDF5 file."""
    file, record = open_dataset_file(Path(path))
    out = console()
    out.print(path, style="bold")
    out.print(f"training set: {record['rows']:,} rows, {size(Path(path).stat().st_size)}")
    for key in ("job", "stream", "version", "label", "weight", "seed"):
        if record.get(key, "") != "":
            out.print(f"{key}: {record[key]}")
    fold, classes = record["fold"], record["classes"]
    table = new_table("fold", "rows", *classes, title=f"folds of {fold['column']} % {fold['number']}")
    for number, counts in enumerate(record["counts"]):
        table.add_row(str(number), f"{sum(counts):,}", *(f"{count:,}" for count in counts[: len(classes)]))
    for column in table.columns[1:]:
        column.justify = "right"
    out.print(table)
    caps, columns = record["caps"], new_table("column", "type", "variable", "on disk", title="columns")
    names = {
        (g if g in caps else TAUS, v["column"]): v["name"] for g, listed in record["variables"].items() for v in listed
    }
    with file:
        for group in (TAUS, *caps):
            data = file[group]
            shape = " × ".join(f"{length:,}" for length in data.shape)
            columns.add_row(Text(group, style="bold"), shape, "", size(data.id.get_storage_size()))
            for name in data.dtype.names:
                columns.add_row(f"  {name}", data.dtype[name].name, names.get((group, name), ""))
    out.print(columns)
