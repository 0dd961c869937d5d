"""``Report``: the tool that writes the report of its run, and how a report is written."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepflow import Context, Property, Tool
from hepflow.errors import ToolError
from hepflow.plugins.performance.report.contents import read_run

__all__ = ["NAMES", "Report", "write_report"]

NAMES = ("report.html", "report.pdf")
PACKAGES = ("jinja2", "matplotlib", "PIL", "pypdf")


class Report(Tool):
    """Write the report of the run: ``report.html``, one page that opens anywhere, and the same as a book,
    ``report.pdf``.

    It shows what is in the run directory when it finalizes, so it stands last in the job: the figures with their
    numbers, the cutflow, inputs, models, configuration, versions and the job options. ``hepflow report FOLDER`` writes
    it again.
    """

    Title = Property("", "title of the report; empty: the name of the job")
    Author = Property("", "who made it, shown below the title")

    def finalize(self, total: Any, context: Context) -> list[Path]:
        """Write both files and return them."""
        for name in NAMES:
            context.path(name)
        paths = write_report(context.directory)
        context.log.info("report: %s", ", ".join(map(str, paths)))
        return paths


def write_report(directory: Path) -> list[Path]:
    """Write ``report.html`` and ``report.pdf`` of a run directory into it, from its files alone; return their paths.

    Title and author are those that a ``Report`` tool had in the run.

    InputError where the directory is none of a run, OutputError where it cannot be written, ToolError, naming the
    extra, where a package is missing. Files of the run that are missing or damaged are named in the report.
    """
    from hepflow.plugins.performance.report.book import write_book
    from hepflow.plugins.performance.report.page import write_page

    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ToolError(
                f"the report needs the package {package}", hint="pip install 'hepflow[plots]' from your checkout"
            ) from error
    contents = read_run(directory)
    page, book = (directory / name for name in NAMES)
    configured = contents.provenance.get("properties", {}).values()
    own: Mapping[str, Any] = next((values for values in configured if values.get("class") == Report.__name__), {})
    title, author = own.get("Title") or contents.job, own.get("Author", "")
    write_page(contents, page, title=title, author=author)
    write_book(contents, book, title=title, author=author)
    return [page, book]
