"""How ``hepflow inspect`` shows a training set: rows of its folds and classes, columns, variables, origin."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from hepflow.cli.console import console, new_table, size
from hepflow.io.hdf5 import open_dataset_file
from hepflow.trainingset import TrainingSet

__all__ = ["is_dataset", "show_dataset"]


def is_dataset(path: str) -> bool:
    """Tell by its ending whether a file is a training set."""
    return Path(path).suffix.lower() in (".h5", ".hdf5")


def show_dataset(path: str) -> None:
    """Print what a training set holds; raises InputError where it is damaged, or another HDF5 file."""
    file, record = open_dataset_file(Path(path))
    out = console()
    out.print(path, style="bold")
    declared = TrainingSet.from_record(record["training_set"])
    out.print(f"training set: {record['rows']:,} {declared.called}, {size(Path(path).stat().st_size)}")
    said = {"target": ", ".join(one.column for one in declared.target), "weight": declared.weight}
    for key in ("job", "stream", "version", "target", "weight", "seed"):
        if (value := {**record, **said}.get(key, "")) != "":
            out.print(f"{key}: {value}")
    called, classes = declared.called, declared.classes
    title = f"folds of {declared.fold_column} % {declared.fold_number}"
    table = new_table("fold", called, *classes, title=title)
    for number, counts in enumerate(record["counts"]):
        table.add_row(str(number), f"{sum(counts):,}", *(f"{count:,}" for count in counts[: len(classes)]))
    for column in table.columns[1:]:
        column.justify = "right"
    out.print(table)
    caps, columns = declared.caps, new_table("column", "type", "variable", "on disk", title="columns")
    names = {(g if g in caps else called, v.column): v.name for g, listed in declared.inputs.items() for v in listed}
    with file:
        for group in (called, *caps):
            data = file[group]
            shape = " × ".join(f"{length:,}" for length in data.shape)
            columns.add_row(Text(group, style="bold"), shape, "", size(data.id.get_storage_size()))
            for name in data.dtype.names:
                columns.add_row(f"  {name}", data.dtype[name].name, names.get((group, name), ""))
    out.print(columns)
