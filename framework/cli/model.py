"""How ``hepflow inspect`` shows a network: inputs with variables, graph, outputs, parameters, origin."""

from __future__ import annotations

import json
from pathlib import Path

from hepflow.cli.console import console, new_table
from hepflow.networks import describe

__all__ = ["is_model", "show_model"]


def is_model(path: str) -> bool:
    """Tell by its ending whether a file is a network."""
    return Path(path).suffix.lower() in (".json", ".onnx", ".keras")


def show_model(path: str) -> None:
    """Print what a model file holds; raises NetworkError where it is damaged."""
    found = describe(path)
    out = console()
    out.print(str(path), style="bold")
    parameters = "" if found.n_parameters is None else f", {found.n_parameters:,} parameters"
    out.print(f"{found.format}{parameters}, origin: {found.origin or 'unknown'}")
    out.print(f"SHA-256 {found.sha256}")
    for key, value in found.record.items():
        if key != "origin":
            out.print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}", markup=False)
    for title, groups in (("inputs", found.inputs), ("input sequences", found.input_sequences)):
        if not groups:
            continue
        table = new_table(title, "variable", "offset", "scale", "default")
        for group in groups:
            for number, v in enumerate(group.variables):
                default = "" if v.default is None else f"{v.default:g}"
                table.add_row(group.name if number == 0 else "", v.name, f"{v.offset:g}", f"{v.scale:g}", default)
        out.print(table)
    out.print("graph")
    for line in found.graph:
        out.print(f"  {line}", markup=False)
    for output in found.outputs:
        out.print(f"output {output.name}: {', '.join(output.labels)}", markup=False)
