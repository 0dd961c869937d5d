"""Cases: inputs and expected outputs of single taus as JSON, the form in which networks are compared between
programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepflow.errors import NetworkError, nearest
from hepflow.networks import jsontext
from hepflow.networks.graph import InputNode

if TYPE_CHECKING:
    from hepflow.protocols import Model

__all__ = ["declare_as", "evaluate_cases", "largest_difference", "read_cases"]

Result = dict[str, dict[str, Any]]
DECLARED = ("inputs", "input_sequences", "labels", "axes", "masks")


def read_cases(path: str | Path) -> list[dict[str, Any]]:
    """Read ``{"cases": [{"in": {"inputs": …, "input_sequences": …}, "out": …}]}``; raises NetworkError."""
    try:
        cases: list[dict[str, Any]] = jsontext.section(
            jsontext.parse_json(jsontext.read_bytes(path)), "cases", list, "the file of cases"
        )
        for number, case in enumerate(cases):
            jsontext.section(case, "in", dict, f"case {number}")
    except NetworkError as error:
        raise NetworkError(error.message, where=error.where or str(path), hint=error.hint) from error
    return cases


def declare_as(model: Model, path: str | Path) -> Model:
    """Return the model with the names that a file of cases declares: ``{"declare": {"inputs": {tensor: [variable]},
    "input_sequences": …, "labels": …, "axes": …, "masks": {tensor: sequence}}}``, the arguments of
    ``OnnxNetwork.declare``.

    Raises NetworkError where they do not fit.
    """
    data = jsontext.parse_json(jsontext.read_bytes(path))
    declared = jsontext.section(data, "declare", dict, "the file of cases") if "declare" in data else {}
    if not declared:
        return model
    from hepflow.networks.onnx_runtime import OnnxNetwork

    if not isinstance(model, OnnxNetwork):
        raise NetworkError("this model names its inputs itself: declare is for ONNX models", where=str(path))
    for key, entries in declared.items():
        if key not in DECLARED:
            raise NetworkError(
                f"nothing is declared by {key!r}", where=str(path), hint=nearest(key, DECLARED, what="keys")
            )
        for name in jsontext.section(declared, key, dict, "what is declared"):
            found = jsontext.section(entries, name, str if key == "masks" else list, f"{key!r} of what is declared")
            for text in found:
                jsontext.text(text, f"a name in {key!r} of {name!r}")
    return model.declare(**declared)


def evaluate_cases(network: Model, cases: list[dict[str, Any]], *, float64: bool = False) -> list[Result]:
    """Evaluate all cases at once; returns ``{output: {label: value}}`` of each, a list of values for an output on a
    sequence.

    Raises NetworkError naming case, input and variable where a case does not fit the network.
    """
    given: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        given.append({key: _groups(case, key, number) for key in ("inputs", "input_sequences")})
        _no_others(given[-1], network, number)
    inputs = {
        group.name: np.array(
            [_scalar_row(_given(case["inputs"], group, n, network), group, n) for n, case in enumerate(given)],
            dtype=np.float64,
        ).reshape(len(cases), len(group.variables))
        for group in network.used_inputs
    }
    sequences: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
    for group in network.used_sequences:
        tables = [_table(_given(case["input_sequences"], group, n, network), group, n) for n, case in enumerate(given)]
        counts = np.array([len(table) for table in tables], dtype=np.int64)
        sequences[group.name] = (np.concatenate([np.zeros((0, len(group.variables))), *tables]), counts)
    results = network.evaluate(inputs, sequences, dtype=np.float64 if float64 else None)
    made: list[Result] = [{} for _ in cases]
    for output in network.outputs:
        values = results[output.name]
        owner = network.sequence_of(output)
        edges = np.cumsum([0, *np.maximum(sequences[owner[0]][1] - owner[1], 0)]) if owner else None
        for number, result in enumerate(made):
            rows = values[number] if edges is None else values[edges[number] : edges[number + 1]].T
            result[output.name] = {label: row.tolist() for label, row in zip(output.labels, rows, strict=True)}
    return made


def largest_difference(results: list[Result], cases: list[dict[str, Any]]) -> tuple[float, str]:
    """Compare with each case's ``"out"``; returns the largest absolute difference and where it is.

    Raises NetworkError where a case has no ``"out"`` or it has other outputs or labels.
    """
    largest, place = 0.0, "nowhere"
    for number, (result, case) in enumerate(zip(results, cases, strict=True)):
        wanted = case.get("out")
        if not isinstance(wanted, dict):
            raise NetworkError(f'case {number} has no "out" to compare with')
        if len(result) == 1 and set(wanted) == set(next(iter(result.values()))):
            wanted = {next(iter(result)): wanted}
        if set(wanted) != set(result):
            raise NetworkError(
                f"case {number} expects the outputs {', '.join(sorted(wanted))}; the network has "
                f"{', '.join(sorted(result))}"
            )
        for name, labels in wanted.items():
            if not isinstance(labels, dict) or set(labels) != set(result[name]):
                raise NetworkError(
                    f"case {number}: output {name!r} has the labels {', '.join(result[name])}; the case expects others"
                )
            for label, value in labels.items():
                difference = _difference(result[name][label], value)
                if not difference <= largest:
                    largest, place = difference, f"case {number}, output {name}, label {label}"
    return largest, place


def _difference(found: Any, wanted: Any) -> float:
    """Return the largest absolute difference; infinite where shapes, or NaN on one side, differ."""
    try:
        a, b = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    except (TypeError, ValueError):
        return float("inf")
    if a.shape != b.shape:
        return float("inf")
    with np.errstate(invalid="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    return float(np.where(np.isnan(difference), np.inf, difference).max(initial=0.0))


def _groups(case: dict[str, Any], key: str, number: int) -> dict[str, Any]:
    """Return the inputs, or the sequences, of a case."""
    groups = jsontext.section(case, "in", dict, f"case {number}").get(key) or {}
    if not isinstance(groups, dict):
        raise NetworkError(f"case {number}: {key!r} is no object")
    return groups


def _given(nodes: dict[str, Any], group: InputNode, number: int, network: Model) -> Mapping[str, Any]:
    """Return the variables of one input of a case."""
    name = group.name
    if name not in nodes and network.origin == "lwtnn sequential JSON" and len(nodes) == 1:
        name = next(iter(nodes))  # the sequential form does not name its only input
    if name not in nodes:
        raise NetworkError(f"case {number}: input {name!r} is missing", hint=nearest(name, nodes, what="inputs"))
    found = nodes[name]
    if not isinstance(found, dict):
        raise NetworkError(f"case {number}: input {name!r} is no object of variables")
    for variable in group.names:
        if variable not in found:
            raise NetworkError(
                f"case {number}: input {name!r}: variable {variable!r} is missing",
                hint=nearest(variable, found, what="variables"),
            )
    for variable in found.keys() - set(group.names):
        raise NetworkError(
            f"case {number}: input {name!r} has no variable {variable!r}",
            hint=nearest(variable, group.names, what="variables"),
        )
    return found


def _scalar_row(found: Mapping[str, Any], group: InputNode, number: int) -> list[float]:
    return [_number(found[name], f"case {number}: variable {name!r} of input {group.name!r}") for name in group.names]


def _table(found: Mapping[str, Any], group: InputNode, number: int) -> NDArray[np.float64]:
    """Return the objects of one sequence of one case, (n_objects, n_variables)."""
    columns = []
    for name in group.names:
        what = f"case {number}: variable {name!r} of input {group.name!r}"
        if not isinstance(found[name], list):
            raise NetworkError(f"{what} is no list, but the input is a sequence")
        columns.append([_number(value, what) for value in found[name]])
        if len(columns[-1]) != len(columns[0]):
            raise NetworkError(f"{what} has {len(columns[-1])} objects, but {group.names[0]!r} has {len(columns[0])}")
    table: NDArray[np.float64] = np.array(columns, dtype=np.float64).T.reshape(-1, len(group.names))
    return table


def _number(value: Any, what: str) -> float:
    """Return a number; null stands for a missing value (NaN)."""
    return float("nan") if value is None else jsontext.number(value, what)


def _no_others(given: dict[str, Any], network: Model, number: int) -> None:
    for key, groups in (("inputs", network.inputs), ("input_sequences", network.input_sequences)):
        known = {group.name for group in groups}
        others = [name for name in given[key] if name not in known]
        if others and not (network.origin == "lwtnn sequential JSON" and len(given[key]) == 1):
            raise NetworkError(
                f"case {number}: the network has no input {others[0]!r}", hint=nearest(others[0], known, what=key)
            )
