"""Cases as rows: ``{"variables": [names], "rows": [[values]], "outputs": [[values]]}``, the values of a row in the
order of the model's variables. Forests, and networks with one scalar input, are compared between programs so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError
from hepflow.networks import jsontext

if TYPE_CHECKING:
    from hepflow.networks.graph import Output
    from hepflow.protocols import Model

__all__ = ["Rows", "compare_rows", "evaluate_rows", "read_rows"]


@dataclass(frozen=True)
class Rows:
    """Rows (n_rows, n_variables) with the names of their columns (they may be empty), and what is expected:
    (n_rows, n_values), or None. ``output`` names the output that is meant, where the model has several.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    expected: NDArray[np.float64] | None
    output: str = ""


def read_rows(path: str | Path) -> Rows | None:
    """Read rows; None where the file holds none. ``null`` is a missing value; ``"function"`` (of MVAUtils) or
    ``"output"`` names the output.

    Raises NetworkError for rows that are no table of numbers.
    """
    data = jsontext.parse_json(jsontext.read_bytes(path))
    if not isinstance(data, dict) or "rows" not in data:
        return None
    try:
        names = [jsontext.text(name, "a variable") for name in jsontext.section(data, "variables", list, "the file")]
        rows = _table(jsontext.section(data, "rows", list, "the file"), "rows", len(names) or None)
        expected = None
        if "outputs" in data:
            expected = _table(jsontext.section(data, "outputs", list, "the file"), "outputs", None)
            if len(expected) != len(rows):
                raise NetworkError(f"there are {len(rows)} rows, but outputs of {len(expected)}")
    except NetworkError as error:
        raise error.but(where=error.where or str(path)) from error
    return Rows(tuple(names), rows, expected, str(data.get("output", data.get("function", ""))))


def evaluate_rows(model: Model, rows: Rows, *, float64: bool = False) -> tuple[tuple[Output, ...], NDArray[Any]]:
    """Evaluate all rows; returns the outputs that are meant and their values side by side, (n_rows, n_values).

    Raises NetworkError where the rows do not fit the model.
    """
    if model.used_sequences or len(model.used_inputs) != 1:
        raise NetworkError(
            "rows are for a model with one scalar input",
            hint='give "cases" (docs/networks.md); the variables of an ONNX model stand in "declare"',
        )
    group = model.used_inputs[0]
    if rows.values.shape[1] != len(group.variables):
        raise NetworkError(
            f"a row has {rows.values.shape[1]} values, the model {len(group.variables)} variables",
            hint=f"variables, in this order: {', '.join(group.names)}",
        )
    columns = tuple(entry.get("column", "") for entry in model.record.get("variables", {}).get(group.name, ()))
    for known in (group.names, columns):  # names, or the expressions that a weight file of TMVA has
        if set(rows.names) == set(known) and rows.names != known:
            raise NetworkError(
                "the variables of the rows are those of the model in another order",
                hint=f"the order of the model is {', '.join(known)}",
            )
    outputs = _meant(model, rows)
    found = model.evaluate({group.name: rows.values}, dtype=np.float64 if float64 else None)
    return outputs, np.concatenate([found[output.name] for output in outputs], axis=1)


def compare_rows(found: NDArray[Any], rows: Rows) -> tuple[float, str]:
    """Return the largest absolute difference to what is expected, and where it is."""
    if rows.expected is None:
        raise NetworkError('the rows have no "outputs" to compare with')
    if found.shape != rows.expected.shape:
        raise NetworkError(f"the model gives {found.shape[1]} values a row, {rows.expected.shape[1]} are expected")
    a, b = found.astype(np.float64), rows.expected
    with np.errstate(invalid="ignore"):
        differences = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    differences = np.where(np.isnan(differences), np.inf, differences)
    if not differences.size:
        return 0.0, "nowhere"
    row, value = np.unravel_index(int(differences.argmax()), differences.shape)
    return float(differences[row, value]), f"row {row}, value {value}"


def _meant(model: Model, rows: Rows) -> tuple[Output, ...]:
    """Return the output that is named, or all, or the only one with so many values as are expected."""
    named = tuple(output for output in model.outputs if output.name == rows.output)
    if named or rows.expected is None:
        return named or model.outputs
    wanted = rows.expected.shape[1]
    if sum(len(output.labels) for output in model.outputs) == wanted:
        return model.outputs
    fitting = tuple(output for output in model.outputs if len(output.labels) == wanted)
    if len(fitting) == 1:
        return fitting
    raise NetworkError(
        f"{wanted} values a row are expected, the outputs of the model do not tell which",
        hint='name one in "output": '
        + ", ".join(f"{output.name} ({', '.join(output.labels)})" for output in model.outputs),
    )


def _table(rows: Sequence[Any], what: str, width: int | None) -> NDArray[np.float64]:
    made = []
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise NetworkError(f"{what}: row {number} is no list")
        width = len(row) if width is None else width
        if len(row) != width:
            raise NetworkError(f"{what}: row {number} has {len(row)} values, not {width}")
        made.append([float("nan") if v is None else jsontext.number(v, f"{what}, row {number}") for v in row])
    return np.array(made, dtype=np.float64).reshape(len(made), width or 0)
