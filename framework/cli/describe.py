"""``hepflow describe``."""

from __future__ import annotations

import inspect

import click
from rich.text import Text

from hepflow.cli.console import common_options, console, new_table
from hepflow.errors import HepflowError, PluginError, nearest
from hepflow.executor import Executor
from hepflow.joboptions import JobFile, find_joboptions, load_joboptions, shipped_joboptions
from hepflow.properties import Configurable
from hepflow.registry.manager import registry
from hepflow.tool import Tool

__all__ = ["configured", "describe_command", "show_job"]

LONGEST_VALUE = 60
"""Characters of a property where a tool or stream is shown as configured."""


@click.command("describe")
@click.argument("name")
@common_options
def describe_command(name: str, plugins: tuple[str, ...], debug: bool) -> None:
    """Explain a tool, stream, executor or job: what it does, its properties, the columns that it reads and writes."""
    known = registry(plugins)
    for kind in ("tools", "streams", "executors"):
        if name in known.names(kind):
            _show_class(known.names(kind)[name].load())
            return
    jobs = shipped_joboptions(known)
    if name in jobs or name.endswith(".py"):
        show_job(load_joboptions(find_joboptions(name, known)))
        return
    everything = [name for kind in ("tools", "streams", "executors") for name in known.names(kind)] + [*jobs]
    raise PluginError(f"there is no tool, stream, executor or job {name!r}", hint=nearest(name, everything))


def _show_class(cls: type[Configurable]) -> None:
    out = console()
    kind = "tool" if issubclass(cls, Tool) else "executor" if issubclass(cls, Executor) else "stream"
    out.print(f"{cls.__name__} ({kind}, from {cls.__module__} import {cls.__name__})\n", style="bold")
    out.print(Text(inspect.getdoc(cls) or ""))
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
        out.print(f"\nreads   {', '.join(reads) or 'nothing'}")
        out.print(f"writes  {', '.join(writes) or 'nothing'}")


def show_job(file: JobFile) -> None:
    """Show a job as it is configured: its doc, options, tools and streams."""
    out = console()
    job = file.job
    out.print(f"\n{job.name} ({file.path})\n", style="bold")
    if file.module.__doc__:
        out.print(Text(inspect.cleandoc(file.module.__doc__)))
    if job.default_sample:
        out.print(f"\nreads {job.default_sample} without -i")
    table = new_table("option", "type", "value", "doc", title="options of the file")
    for name, option in job.declared_options.items():
        choices = f"; one of {', '.join(map(str, option.choices))}" if option.choices else ""
        table.add_row(f"--{name}", option.type_name, str(job.options[name]), option.doc + choices)
    if table.row_count:
        out.print(table)
    out.print("\nconfigured", style="bold")
    for tool in job.tools:
        out.print(Text(f"  {configured(tool)}"))
    for stream in job.streams:
        out.print(Text(f"  {configured(stream)}"))
        for tool in stream.tools:
            out.print(Text(f"    {configured(tool)}"))


def configured(thing: Configurable) -> str:
    """Return a tool or stream as one would write it, long values cut: a cut or a list of variables fills a screen."""
    values = [f"{name}={value!r}" for name, value in thing.values_set.items()]
    shown = [text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…" for text in values]
    return f"{type(thing).__name__}({', '.join([repr(thing.name), *shown])})"
