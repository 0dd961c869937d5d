"""``hepflow report``."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.console import common_options, console, size
from hepflow.execution.rundir import RunDirectory
from hepflow.plugins.performance.report.tool import NAME, write_report

__all__ = ["report_command"]


@click.command("report")
@click.argument("folder")
@common_options
def report_command(folder: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Write the report of a run, report.html, into its FOLDER.

    Title and author are those of the job's Report tool, if it has one.
    """
    directory = Path(folder).expanduser()
    with RunDirectory(directory).adding([NAME]):
        path = write_report(directory)
    console().print(f"{path} ({size(path.stat().st_size)})")
