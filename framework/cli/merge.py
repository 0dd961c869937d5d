"""``hepflow merge``."""

from __future__ import annotations

from pathlib import Path

import click

from hepflow.cli.console import common_options, console, size
from hepflow.errors import many
from hepflow.execution.merge import collect_parts, merge_parts

__all__ = ["merge_command"]


@click.command("merge")
@click.argument("inputs", nargs=-1, required=True, metavar="FOLDER|FILES...")
@click.option("-o", "--output", required=True, metavar="FILE", help="The joined file.")
@click.option("--stream", metavar="NAME", help="Stream to join, if the folder has several.")
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
@common_options
def merge_command(
    inputs: tuple[str, ...], output: str, stream: str | None, force: bool, plugins: tuple[str, ...], debug: bool
) -> None:
    """Join the numbered parts of an output into one file, in their order; refuses an incomplete set."""
    parts = collect_parts([Path(text) for text in inputs], stream)
    entries = merge_parts(parts, Path(output), force=force, tell=console().print)
    console().print(f"{output}: {entries:,} entries of {many(len(parts), 'part')}, {size(Path(output).stat().st_size)}")
