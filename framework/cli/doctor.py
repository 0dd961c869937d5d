"""``hepflow doctor``."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

import click
from rich.text import Text

import hepflow
from hepflow.cli.console import common_options, console, new_table
from hepflow.errors import PluginError, many
from hepflow.execution.cache import cache_directory
from hepflow.registry.manager import registry

__all__ = ["doctor_command", "foreign_distributions"]


def foreign_distributions() -> list[str]:
    """Return other installed distributions that bring a package called ``hepflow`` and may have overwritten this
    one.
    """
    owners = importlib.metadata.packages_distributions().get("hepflow", [])
    return sorted({name for name in owners if name != "hepflow"})


@click.command("doctor")
@common_options
def doctor_command(plugins: tuple[str, ...], debug: bool) -> None:
    """Check the installation: versions, extras that are missing, clashes of import names, plugins, the cache."""
    out = console()
    out.print(f"hepflow {hepflow.__version__} in {Path(hepflow.__file__ or '').parent}")
    out.print(f"Python {platform.python_version()} in {sys.prefix}, {platform.system()} {platform.machine()}")
    problems = [
        f"{other} also installs a package called hepflow: keep the two in different environments, pip uninstall {other}"
        for other in foreign_distributions()
    ]
    table = new_table("extra", "package", "wanted", "installed", title="packages")
    missing = set()
    for extra, package, wanted, installed in _requirements():
        table.add_row(extra or "-", package, wanted, installed or Text("missing", style="yellow"))
        if not installed:
            missing.add(extra)
            if not extra:
                problems.append(f"{package} is missing, which hepflow needs: pip install '{package}{wanted}'")
    out.print(table)
    for extra in sorted(filter(None, missing)):
        out.print(
            f"the extra {extra!r} is not complete: pip install -e '.[{extra}]' in hepflow's folder, if you need it"
        )
    try:
        known = registry(plugins)
        out.print(f"plugins: {', '.join(known.plugins)}")
        for kind in ("tools", "streams", "readers", "executors", "samples"):
            known.names(kind)
    except PluginError as error:
        problems.append(str(error))
    out.print(f"cache: {cache_directory()}")
    for problem in problems:
        out.print(Text("problem: ", style="bold red") + Text(problem))
    out.print("no problems" if not problems else many(len(problems), "problem"), style="bold")
    if problems:
        raise click.exceptions.Exit(1)


def _requirements() -> list[tuple[str, str, str, str]]:
    """Return (extra, package, wanted, installed version or "") of everything that hepflow's metadata names."""
    rows = []
    for requirement in importlib.metadata.requires("hepflow") or []:
        text, _, marker = requirement.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)(?:\[.*\])?\s*(.*)", text)
        extra = re.search(r"extra\s*==\s*['\"](.+?)['\"]", marker)
        if match is None or match.group(1) == "hepflow" or (extra and extra.group(1) == "all"):
            continue
        try:
            installed = importlib.metadata.version(match.group(1))
        except importlib.metadata.PackageNotFoundError:
            installed = ""
        rows.append((extra.group(1) if extra else "", match.group(1), match.group(2).strip(), installed))
    return sorted(set(rows))
