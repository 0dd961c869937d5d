"""``Report``: the tool that writes the report of its run, and how a report is written."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepflow import Context, Property, Tool
from hepflow.errors import ToolError
from hepflow.plugins.performance.report.contents import read_run

__all__ = ["NAME", "Report", "check_packages", "write_report"]

NAME = "report.html"
PACKAGES = ("jinja2", "PIL")


class Report(Tool):
    """Write the report of the run: ``report.html``, one page that opens anywhere and prints well.

    It shows what is in the run directory when it finalizes, so add it last to the job: the figures with their
    numbers, the cutflow, inputs, models, configuration, versions and the job options. ``hepflow report FOLDER`` writes
    it again.
    """

    Title = Property("", "title of the report; empty: the name of the job")
    Author = Property("", "who made it, shown below the title")

    def finalize(self, total: Any, context: Context) -> Path:
        """Write the page and return its path."""
        context.path(NAME)
        path = write_report(context.directory)
        context.log.info("report: %s", path)
        return path


def write_report(directory: Path) -> Path:
    """Write ``report.html`` of a run directory into it, from its files alone; return its path.

    Title and author are those that a ``Report`` tool had in the run.

    InputError where the directory is none of a run, OutputError where it cannot be written, ToolError, naming the
    extra, where a package is missing. Files of the run that are missing or damaged are named in the report.
    """
    from hepflow.plugins.performance.report.page import page_of, write_page

    check_packages()
    contents = read_run(directory)
    page = directory / NAME
    configured = contents.provenance.get("properties", {}).values()
    own: Mapping[str, Any] = next((values for values in configured if values.get("class") == Report.__name__), {})
    title, author = own.get("Title") or contents.job, own.get("Author", "")
    write_page(page_of(contents, title=title, author=author), page)
    return page


def check_packages() -> None:
    """Raise ToolError, naming the extra, where a package is missing that a page needs."""
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ToolError(
                f"the report needs the package {package}", hint="pip install 'hepflow[plots]' from your checkout"
            ) from error
