"""``hepflow work``."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.console import common_options, start_logging
from hepflow.execution.batch import do_packed, do_units, numbers_of, written_numbers
from hepflow.execution.rundir import PAYLOAD

__all__ = ["work_command"]


@click.command("work")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("units")
@click.option("--into", default="", help="Folder of the batch, in that of the run.")
@click.option("--pack", type=click.Path(path_type=Path), help="FOLDER holds a payload only: put all into this file.")
@common_options
def work_command(folder: Path, units: str, into: str, pack: Path | None, plugins: tuple[str, ...], debug: bool) -> None:
    """Do work units (1-3,7) of the run in a folder: what the jobs of a batch system call."""
    start_logging(debug)
    numbers = numbers_of(units)
    failed = do_packed(folder / PAYLOAD, numbers, pack) if pack else do_units(folder, numbers, into)
    if failed:
        raise click.ClickException(f"work units that failed: {written_numbers(failed)}")
