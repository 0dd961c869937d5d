"""``hepflow evaluate``."""

from __future__ import annotations

import json

import click

from hepflow.cli.console import common_options
from hepflow.errors import NetworkError

__all__ = ["evaluate_command"]


@click.command("evaluate")
@click.argument("model")
@click.argument("cases")
@click.option("--check", is_flag=True, help='Compare with each case\'s "out" and print the largest difference.')
@click.option(
    "--tolerance", type=float, default=1e-5, show_default=True, help="Largest difference that --check accepts."
)
@click.option("--float64", is_flag=True, help="Compute in double precision.")
@common_options
def evaluate_command(
    model: str, cases: str, check: bool, tolerance: float, float64: bool, plugins: tuple[str, ...], debug: bool
) -> None:
    """Evaluate a network on CASES, a JSON file, and print one JSON object a case: {output: {label: value}}.

    For an ONNX model that does not name its variables the file may do so ("declare"; see docs/networks.md).
    """
    from hepflow.networks import declare_as, evaluate_cases, largest_difference, read_cases
    from hepflow.registry.models import open_model

    read = read_cases(cases)
    results = evaluate_cases(declare_as(open_model(model), cases), read, float64=float64)
    if not check:
        for result in results:
            click.echo(json.dumps(result))
        return
    difference, place = largest_difference(results, read)
    click.echo(f"largest difference of {len(read)} cases: {difference:.3g} ({place})")
    if not difference <= tolerance:
        raise NetworkError(
            f"the outputs differ by {difference:.3g}, more than {tolerance:g}", where=f"{cases}: {place}"
        )
