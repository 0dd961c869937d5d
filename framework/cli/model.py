"""How ``hepflow inspect`` shows a model: inputs with variables, graph, outputs, parameters, origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from hepflow.cli.console import console, new_table, show_fact
from hepflow.errors import NetworkError
from hepflow.networks.jsontext import parse_json, read_bytes
from hepflow.registry.models import model_sha256, open_model, reader_of, recipes
from hepflow.variables import Variable

__all__ = ["is_model", "show_model"]

VARIABLES = {"inputs", "input_sequences", "outputs"}
"""What ``variables.json`` holds, which is no network."""


def is_model(path: str) -> bool:
    """Tell whether a file is a model: by its content, a damaged network by its ending."""
    if not Path(path).is_file():
        return False
    return Path(path).suffix.lower() in (".json", ".onnx", ".keras") or reader_of(path) is not None


def show_model(path: str, *, provenance: bool = False) -> None:
    """Print what a model file holds (of its record what is short, or with ``provenance`` all of it and nothing else),
    or what ``variables.json`` says of the inputs of one; raises NetworkError where it is damaged.
    """
    out = console()
    if Path(path).suffix.lower() == ".json":
        content = parse_json(read_bytes(Path(path)))
        if isinstance(content, dict) and content.keys() >= VARIABLES and not {"layers", "nodes"} & content.keys():
            _show_variables(str(path), content)
            return
    found = open_model(path)
    known = recipes(found)
    out.print(str(path), style="bold")
    parameters = "" if found.n_parameters is None else f", {found.n_parameters:,} parameters"
    out.print(f"{found.format}{parameters}, origin: {found.record.get('origin', found.origin) or 'unknown'}")
    out.print(f"SHA-256 {model_sha256(path)}")
    for key, value in found.record.items():
        if key not in ("origin", "variables"):
            show_fact(key, value, whole=provenance)
    if provenance:
        return
    for title, groups in (("inputs", found.inputs), ("input sequences", found.input_sequences)):
        if not groups:
            continue
        table = new_table(title, "variable", "offset", "scale", "default", "comes from")
        for group in groups:
            for number, v in enumerate(group.variables):
                default = "" if v.default is None else f"{v.default:g}"
                source = _source(known.get(group.name, {}).get(v.name))
                name = group.name if number == 0 else ""
                table.add_row(name, Text(v.name), f"{v.offset:g}", f"{v.scale:g}", default, Text(source))
        out.print(table)
    out.print("graph")
    for line in found.graph:
        out.print(f"  {line}", markup=False)
    for output in found.outputs:
        out.print(f"output {output.name}: {', '.join(output.labels)}", markup=False)


def _source(recipe: Variable | None) -> str:
    """Return column or expression of a variable with its transform; empty where the file does not say it."""
    if recipe is None:
        return ""
    return f"{recipe.transform}(max({recipe.column}, {recipe.floor:g}))" if recipe.transform else recipe.column


def _show_variables(path: str, content: Mapping[str, Any]) -> None:
    out = console()
    out.print(f"{path}: the variables of a network, with offsets and scales", style="bold")
    try:
        for title, key in (("inputs", "inputs"), ("input sequences", "input_sequences")):
            table = new_table(title, "variable", "offset", "scale")
            for group in content[key]:
                for number, v in enumerate(group["variables"]):
                    name = group["name"] if number == 0 else ""
                    table.add_row(name, v["name"], f"{v['offset']:g}", f"{v['scale']:g}")
            if table.rows:
                out.print(table)
        for output in content["outputs"]:
            out.print(f"output {output['name']}: {', '.join(output['labels'])}", markup=False)
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(
            f"these are no variables of a network: {type(error).__name__}: {error}", where=path
        ) from error
