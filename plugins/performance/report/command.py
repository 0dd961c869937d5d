"""``hepflow report``."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.console import common_options, console, size
from hepflow.execution.rundir import RunDirectory
from hepflow.plugins.performance.report.tool import write_report

__all__ = ["report_command"]


@click.command("report")
@click.argument("folder")
@common_options
def report_command(folder: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Write the report of a run, report.html and report.pdf, into its FOLDER.

    Title and author are those of the job's Report tool, where it has one.
    """
    directory = Path(folder).expanduser()
    run = RunDirectory(directory)
    run.before = frozenset(run.files())
    paths = write_report(directory)
    if run.state.is_dir():
        run.note("", paths)  # a later run with --force may replace them
    for path in paths:
        console().print(f"{path} ({size(path.stat().st_size)})")
