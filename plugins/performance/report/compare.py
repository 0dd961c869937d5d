"""``hepflow compare``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hepflow import Context, Job, Property, Tool
from hepflow.cli.console import common_options, console, label_option, new_table, start_logging, style_option
from hepflow.cli.progress import ConsoleReporter
from hepflow.errors import many
from hepflow.execution.options import RunOptions
from hepflow.execution.run import run
from hepflow.execution.rundir import RunDirectory
from hepflow.plugins.performance.report import comparison
from hepflow.plugins.performance.report.contents import Picture, pictures_of
from hepflow.plugins.performance.report.tables import Table
from hepflow.plugins.performance.report.tool import check_packages
from hepflow.registry.manager import registry

__all__ = ["Compare", "compare_command"]

NAME = "comparison.html"
JOB = "compare"
SHOWN = 15
"""Rows of a table on the terminal."""


class Compare(Tool):
    """Draw the figures of several runs over one another, with ratios to the first, and write ``comparison.html``.

    The result is (page, tables for the terminal, remarks).
    """

    Runs: Property[tuple[str, ...]] = Property((), "run directories: FOLDER or NAME=FOLDER", item=str)
    Text = Property("", "text at the top of the figures; empty: that of the first run")

    def finalize(self, total: Any, context: Context) -> tuple[Path, dict[str, Table], list[str]]:
        """Draw the figures, write the page."""
        from hepflow.plugins.performance.report.page import Page, write_page

        runs = comparison.read_runs(self.Runs)
        stems, same, lines = self._draw(runs, context)
        differing, numbers = comparison.settings(runs), comparison.numbers(runs)
        told = [f"{many(same, 'plot')} not drawn, the same in all runs."] if same else []
        problems = [f"{name}: {text}" for name, one in runs.items() for text in one.problems]
        groups: dict[str, list[Picture]] = {}
        for picture in pictures_of(context.directory, stems):
            groups.setdefault(picture.group, []).append(picture)
        sections = {
            "Settings that differ": differing,
            "Cutflow": comparison.cutflows(runs),
            "Not compared": Table(("figure", "why"), [line.partition(": ")[::2] for line in lines]),
        }
        page = Page(
            f"{', '.join([*runs][:-1])} and {[*runs][-1]} compared",
            paragraphs=told,
            problems=problems,
            results=[table for table in (comparison.which_runs(runs), numbers) if table.rows],
            figures=groups,
            sections={title: [table] for title, table in sections.items() if table.rows},
            text=("Job options that differ", comparison.options_text(runs)),
        )
        path = context.path(NAME)
        write_page(page, path)
        tables = {"numbers": numbers, "settings that differ": differing}
        return context.directory / NAME, tables, [*told, *problems, *lines]

    def _draw(self, runs: comparison.Runs, context: Context) -> tuple[list[Path], int, list[str]]:
        """Return the figures, how many plots are the same in all runs, and what could not be compared."""
        from hepflow.plugins.performance.report.overlays import drawn, overlay

        found = overlay(runs, self.Text, context.style)
        folder = context.directory.resolve()
        stems: list[Path] = []
        made = context.processes.map(drawn, [(folder, figure) for figure in found.figures])
        for figure, paths in zip(found.figures, made, strict=True):
            if isinstance(paths, str):
                found.problems.append(paths)
                continue
            stems.append(figure.path)
            for path in paths:
                context.path(str(path.relative_to(folder)))
        return stems, found.same, found.problems


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="[NAME=]RUN [NAME=]RUN...")
@label_option
@style_option
@click.option("-o", "--output", metavar="FOLDER", help="Where it goes.  [default: output/compare-<time>]")
@click.option(
    "-j", "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that draw in parallel."
)
@click.option("--force", is_flag=True, help="Replace what an earlier comparison wrote in the folder.")
@common_options
def compare_command(runs: tuple[str, ...], debug: bool, **given: Any) -> None:
    """Compare runs with the first one: their numbers, settings that differ, and all figures with ratios, on one page,
    comparison.html.

    A RUN is a folder of hepflow run or hepflow plot, for example of two networks, samples or releases. Figures are
    matched by their path in it, curves by their label.
    """
    start_logging(debug)
    plugins = registry(given["plugins"])
    RunDirectory.check(given["output"], JOB, resume=False, force=given["force"])
    check_packages()
    comparison.read_runs(runs)
    job = Job(JOB)
    job += Compare("compare", Runs=runs, Text=given["label"])
    options = RunOptions(output=given["output"], style=given["style"], workers=given["workers"], force=given["force"])
    reporter = ConsoleReporter(lambda plan, directory: None)
    path, tables, remarks = run(job, options, plugins=plugins, reporter=reporter).results["compare"]
    for title, table in tables.items():
        _show(title, table)
    out = console()
    for line in remarks[:SHOWN]:
        out.print(f"note     {line}", style="yellow")
    if len(remarks) > SHOWN:
        out.print(f"note     … {len(remarks) - SHOWN} more, on the page", style="yellow")
    out.print(f"page     {path}")


def _show(title: str, table: Table) -> None:
    """Print the first rows of a table."""
    if not table.rows:
        hint = "; hepflow plot … -i a=RUN -i b=RUN --ratio compares ntuples" if title.startswith("numbers") else ""
        console().print(f"\n{title}: none{hint}")
        return
    shown = new_table(*table.header, title=title)
    for place in table.right:
        shown.columns[place].justify = "right"
    for row in table.rows[:SHOWN]:
        shown.add_row(*(cell if len(cell) <= 60 else f"{cell[:59]}…" for cell in row))
    console().print(shown)
    if len(table.rows) > SHOWN:
        console().print(f"… {len(table.rows)} in all, on the page")
    if table.note:
        console().print(table.note)
