"""``hepflow describe``."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from hepflow.cli.completion import complete_names
from hepflow.cli.console import common_options, console, new_table, prose, wrapped
from hepflow.errors import HepflowError, JobOptionsError, PluginError, nearest
from hepflow.executor import Executor
from hepflow.job import Option
from hepflow.joboptions import JobFile, find_joboptions, load_joboptions, shipped_joboptions
from hepflow.properties import Configurable
from hepflow.registry.manager import registry
from hepflow.registry.variables import named_variable
from hepflow.tool import Tool
from hepflow.variables import Variable

__all__ = ["configured", "describe_command", "show_job", "show_unbuilt"]

LONGEST_VALUE = 60
"""Characters of a property where a tool or stream is shown as configured."""


@click.command("describe")
@click.argument("name", shell_complete=complete_names)
@common_options
def describe_command(name: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Explain what has a name: tools, streams, executors (properties, columns read and written), jobs, architectures
    (the options of an Arch file), engines, variables; what job options are made of (Cut, Variable, Binning, Folds, …);
    and the language of expressions.
    """
    known = registry(plugins)
    for kind, show in SHOWN.items():
        if name in known.names(kind):
            show(known.names(kind)[name].load())
            return
    if name in ("expressions", "expression"):
        _show_expressions()
        return
    if name in known.names("variables"):
        _show_variable(named_variable(name, known))
        return
    jobs = shipped_joboptions(known)
    if name in jobs or name.endswith(".py"):
        path, declared = find_joboptions(name, known), dict[str, Option]()
        try:
            show_job(load_joboptions(path, declared=declared))
        except JobOptionsError as error:
            show_unbuilt(path, declared, error)
        return
    if name in PARTS:
        _show_part(getattr(importlib.import_module(PARTS[name]), name), PARTS[name])
        return
    everything = [name for kind in (*SHOWN, "variables") for name in known.names(kind)]
    everything += [*jobs, *PARTS, "expressions"]
    raise PluginError(f"nothing is called {name!r}", hint=f"{nearest(name, everything)}; hepflow list shows names")


def _show_class(cls: type[Configurable]) -> None:
    out = console()
    kind = "tool" if issubclass(cls, Tool) else "executor" if issubclass(cls, Executor) else "stream"
    out.print(f"{cls.__name__} ({kind}, from {cls.__module__} import {cls.__name__})\n", style="bold")
    out.print(Text(prose(inspect.getdoc(cls) or "")))
    table = new_table("property", "type", "default", "doc", title="properties")
    for prop in cls.properties().values():
        unit = f" [{prop.unit}]" if prop.unit else ""
        choices = f"; one of {', '.join(map(str, prop.choices))}" if prop.choices else ""
        table.add_row(prop.name, prop.type_name, Text(repr(prop.default)), Text(prop.doc + unit + choices))
    out.print(table if table.row_count else "\nno properties")
    if issubclass(cls, Tool):
        try:
            tool = cls()
            tool.freeze()
            reads, writes = tool.reads(), tool.writes()
        except HepflowError as error:
            out.print(f"\nreads and writes depend on properties without default: {error.message}")
            return
        out.print("\n" + wrapped(f"reads   {', '.join(reads) or 'nothing'}", 8))
        out.print(wrapped(f"writes  {', '.join(writes) or 'nothing'}", 8))


def _show_settings(found: Any) -> None:
    """Show an architecture or an engine: what it is, and what its file may set (``KEYS``)."""
    out = console()
    out.print(f"{found.__name__} (from {found.__module__} import {found.__name__})\n", style="bold")
    out.print(Text(prose(inspect.getdoc(found) or "")))
    table = new_table("setting", "default", "is", title="settings")
    for name, key in getattr(found, "KEYS", {}).items():
        table.add_row(name, Text("must be given" if key.default is None else repr(key.default)), key.told)
    if table.row_count:
        out.print(table)


def _show_part(cls: type[Any], module: str) -> None:
    """Show a class that job options use: how it is made, and the other ways to make one."""
    out = console()
    out.print(f"{cls.__name__} (from {module} import {cls.__name__})\n", style="bold")
    out.print(Text(f"{cls.__name__}{_signature(cls)}\n"))
    out.print(Text(prose(inspect.getdoc(cls) or "")))
    for name, member in vars(cls).items():
        if not name.startswith("_") and isinstance(member, classmethod | staticmethod):
            made = getattr(cls, name)
            out.print(Text(f"\n{cls.__name__}.{name}{_signature(made)}"))
            out.print(Text(prose(inspect.getdoc(made) or "")))


def _signature(called: Any) -> str:
    shown = inspect.signature(called)
    text = str(shown.replace(return_annotation=shown.empty))
    return re.sub(r": '([^']*)'", r": \1", text).replace("<factory>", "{}")


def _show_variable(variable: Variable) -> None:
    out = console()
    out.print(f"{variable.name} (variable)\n", style="bold")
    for what in ("label", "unit", "column", "transform", "truth"):
        if value := getattr(variable, what):
            out.print(f"{what:10}{value}")
    table = new_table("binning", "bins", "from", "to", title="binnings")
    for name, one in variable.binnings.items():
        scale = ", logarithmic" if one.log else ""
        table.add_row(name or "(default)", f"{len(one.edges) - 1}{scale}", f"{one.edges[0]:g}", f"{one.edges[-1]:g}")
    out.print(table)


def _show_expressions() -> None:
    from hepflow.expressions import evaluation, syntax

    out = console()
    for module in (syntax, evaluation):
        out.print(Text(prose(inspect.getdoc(module) or "") + "\n"))
    out.print(f"functions: {', '.join(sorted(syntax.FUNCTIONS))}")


PARTS: Mapping[str, str] = {
    **dict.fromkeys(("Cut", "Expression", "Weight"), "hepflow.expressions"),
    **dict.fromkeys(("Binning", "Variable"), "hepflow.variables"),
    **dict.fromkeys(("Folds", "Job", "Property", "Target", "TrainingSet"), "hepflow"),
}
"""What job options are made of besides what has a name, and where it is imported from."""

SHOWN: Mapping[str, Callable[[Any], None]] = {
    "tools": _show_class,
    "streams": _show_class,
    "executors": _show_class,
    "architectures": _show_settings,
    "engines": _show_settings,
}
"""Kinds of what has a name, and how it is shown."""


def show_job(file: JobFile) -> None:
    """Show a job as it is configured: its doc, options, tools and streams."""
    out = console()
    job = file.job
    out.print(f"\n{job.name} ({file.path})\n", style="bold")
    if file.module.__doc__:
        out.print(Text(prose(inspect.cleandoc(file.module.__doc__))))
    if job.default_sample:
        out.print(f"\nreads {job.default_sample} without -i")
    _show_options(job.declared_options, job.options)
    out.print("\nconfigured", style="bold")
    for tool in job.tools:
        out.print(Text(wrapped(f"  {configured(tool)}", 4)))
    for stream in job.streams:
        out.print(Text(wrapped(f"  {configured(stream)}", 4)))
        for tool in stream.tools:
            out.print(Text(wrapped(f"    {configured(tool)}", 6)))


def show_unbuilt(path: Path, declared: Mapping[str, Option], error: JobOptionsError) -> None:
    """Show what is known of job options that fail as they stand: doc, options, and what is wrong. Raise the error where
    the file declares none.
    """
    if not declared:
        raise error
    out = console()
    out.print(f"\n{path.stem} ({path})\n", style="bold")
    out.print(Text(prose(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")))
    _show_options(declared, {name: option.default for name, option in declared.items()})
    out.print(Text(f"\nnot configured without options: {error.message}" + (f"\n{error.hint}" if error.hint else "")))


def _show_options(declared: Mapping[str, Option], values: Mapping[str, Any]) -> None:
    table = new_table("option", "type", "value", "doc", title="options of the file")
    for name, option in declared.items():
        choices = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
        table.add_row(f"--{name}", option.type_name, str(values[name]), option.doc + choices)
    if table.row_count:
        console().print(table)


def configured(thing: Configurable) -> str:
    """Return a tool or stream as one would write it, long values cut: a cut or a list of variables fills a screen."""
    values = [f"{name}={value!r}" for name, value in thing.values_set.items()]
    shown = [text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…" for text in values]
    return f"{type(thing).__name__}({', '.join([repr(thing.name), *shown])})"
