"""``hepflow list``."""

from __future__ import annotations

import ast
from pathlib import Path

import click

from hepflow.cli.console import common_options, console, new_table, plain
from hepflow.errors import many
from hepflow.registry.manager import Registry, registry

__all__ = ["list_command"]

WHAT = (
    "tools",
    "streams",
    "jobs",
    "samples",
    "formats",
    "plugins",
    "executors",
    "models",
    "architectures",
    "engines",
    "variables",
    "commands",
)


@click.command("list")
@click.argument("what", type=click.Choice(WHAT), required=False)
@common_options
def list_command(what: str | None, plugins: tuple[str, ...], debug: bool) -> None:
    """List tools, jobs, samples, …, one per line; without WHAT, what can be listed. Nothing is imported for it but
    samples and variables.
    """
    known = registry(plugins)
    if what is None:
        _kinds(known)
        return
    if what == "plugins":
        _plugins(known)
        return
    if what == "variables":
        _variables(known)
        return
    if what == "samples":
        _samples(known)
        return
    table = new_table("name", "what it does", "from")
    if what == "jobs":
        from hepflow.joboptions import shipped_joboptions

        for name, path in shipped_joboptions(known).items():
            table.add_row(name, plain(_summary(path)), str(path))
    else:
        for name, named in known.names("readers" if what == "formats" else what).items():
            table.add_row(name, plain(named.summary()), f"{named.plugin} ({known.plugins[named.plugin].distribution})")
    console().print(table if table.row_count else f"there are no {what}")


def _kinds(known: Registry) -> None:
    from hepflow.joboptions import shipped_joboptions

    table = new_table("what", "there are", "for example")
    table.columns[1].justify = "right"
    for what in WHAT:
        names = [*known.plugins] if what == "plugins" else [*shipped_joboptions(known)] if what == "jobs" else []
        names = names or [*known.names("readers" if what == "formats" else what)]
        table.add_row(f"hepflow list {what}", str(len(names)), ", ".join(names[:3]))
    console().print(table)


def _samples(known: Registry) -> None:
    from hepflow.execution.samples import other_versions

    table = new_table("name", "what it does", "from")
    older: dict[Path, int] = {}
    for name, named in known.names("samples").items():
        recipe = named.load()
        table.add_row(name, f"{recipe.doc} ({recipe.events:,} events)", f"{named.plugin}, kept in {recipe.folder}")
        older |= other_versions(recipe)
    console().print(table if table.row_count else "there are no samples")
    for folder, number in older.items():
        console().print(f"of another version, kept but not read: {many(number, 'file')} in {folder}")


def _variables(known: Registry) -> None:
    from hepflow.registry.variables import named_variable

    table = new_table("name", "label", "unit", "binnings", "from")
    for name, named in known.names("variables").items():
        variable = named_variable(name, known)
        table.add_row(name, variable.label, variable.unit, ", ".join(variable.binnings), named.plugin)
    console().print(table if table.row_count else "there are no variables")


def _summary(path: Path) -> str:
    try:
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    except SyntaxError as error:
        return f"(syntax error in line {error.lineno})"


def _plugins(known: Registry) -> None:
    table = new_table("name", "distribution", "version", "state", "brings")
    for plugin in known.plugins.values():
        brings = ", ".join(hook.removeprefix("hepflow_") for hook in plugin.hooks)
        table.add_row(plugin.name, plugin.distribution, plugin.version, "off" if plugin.blocked else "on", brings)
    console().print(table)
