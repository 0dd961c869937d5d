"""``hepflow evaluate``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hepflow.cli.console import common_options
from hepflow.errors import NetworkError, many

if TYPE_CHECKING:
    from hepflow.networks import Output

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
    """Evaluate a model on CASES, a JSON file, and print one JSON object a case: {output: {label: value}}.

    CASES holds {"cases": [{"in": …, "out": …}]}, or rows: {"variables": [names], "rows": [[values in the order of the
    model's variables]], "outputs": [[…]]}. For an ONNX model that does not name its variables the file may do so
    ("declare"; see docs/networks.md).
    """
    from hepflow.networks import (
        compare_rows,
        declare_as,
        evaluate_cases,
        evaluate_rows,
        largest_difference,
        read_cases,
        read_rows,
    )
    from hepflow.registry.manager import registry
    from hepflow.registry.models import open_model

    registry(plugins)
    opened, rows = declare_as(open_model(model), cases), read_rows(cases)
    results: list[dict[str, Any]]
    if rows is not None:
        outputs, values = evaluate_rows(opened, rows, float64=float64)
        results = [_named(outputs, row) for row in values.tolist()]
    else:
        read = read_cases(cases)
        results = evaluate_cases(opened, read, float64=float64)
    if not check:
        for result in results:
            click.echo(json.dumps(result))
        return
    difference, place = largest_difference(results, read) if rows is None else compare_rows(values, rows)
    click.echo(f"largest difference of {many(len(results), 'case')}: {difference:.3g} ({place})")
    if not difference <= tolerance:
        raise NetworkError(
            f"the outputs differ by {difference:.3g}, more than {tolerance:g}", where=f"{cases}: {place}"
        )


def _named(outputs: Sequence[Output], row: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return the values of one row by output and label."""
    values = iter(row)
    return {output.name: dict(zip(output.labels, values, strict=False)) for output in outputs}
