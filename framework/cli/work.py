"""``hepflow work``."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.console import common_options, start_logging
from hepflow.execution.work import check_versions, do_units, numbers_of, written_numbers

__all__ = ["work_command"]


@click.command("work")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("units")
@click.option("--into", default="", help="Folder of the batch, in that of the run.")
@common_options
def work_command(folder: Path, units: str, into: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Do work units (1-3,7) of the run in a folder: what the jobs of a batch system call."""
    start_logging(debug)
    check_versions(folder, into)
    failed = do_units(folder, numbers_of(units), into)
    if failed:
        raise click.ClickException(f"work units that failed: {written_numbers(failed)}")
