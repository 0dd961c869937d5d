"""hepflow's own description inside an ONNX file: which tensors are which inputs and outputs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import InputNode, Output, unique
from hepflow.networks.lwtnn import read_variable

__all__ = ["read_record"]


def read_record(text: str, tensors: Collection[str], results: Collection[str]) -> dict[str, Any]:
    """Read the description and check it against the names of the tensors; raises NetworkError.

    Returns the fields of ``OnnxNetwork`` that it fills.
    """
    data = jsontext.parse_json(text.encode())
    groups: dict[str, tuple[InputNode, ...]] = {}
    wanted: list[str] = []
    for key in ("inputs", "input_sequences"):
        held = []
        for entry in jsontext.section(data, key, list, "the description"):
            name = jsontext.section(entry, "name", str, "an input")
            where = f"input {name!r}"
            variables = [read_variable(v, where) for v in jsontext.section(entry, "variables", list, where)]
            wanted.append(jsontext.section(entry, "tensor", str, where))
            if key == "input_sequences":
                wanted.append(jsontext.section(entry, "counts", str, where))
                jsontext.integer(entry.get("shortest", 0), f"shortest of {where}")
            held.append(InputNode(name, tuple(variables)))
        unique((group.name for group in held), "input")
        groups[key] = tuple(held)
    if sorted(wanted) != sorted(tensors):
        raise NetworkError(
            "hepflow's description of the inputs does not fit the ONNX model", hint=f"inputs: {', '.join(tensors)}"
        )
    sequences = {group.name for group in groups["input_sequences"]}
    outputs = [
        _output(entry, number, results, sequences)
        for number, entry in enumerate(jsontext.section(data, "outputs", list, "the description"))
    ]
    unique((output.name for output in outputs), "output")
    record = jsontext.section(data, "record", dict, "the description")
    found = {**groups, "outputs": tuple(outputs), "record": record, "described": data}
    return found | {"origin": str(record.get("origin", ""))}


def _output(entry: Any, number: int, results: Collection[str], sequences: Collection[str]) -> Output:
    name = jsontext.section(entry, "name", str, "an output")
    where = f"output {name!r}"
    labels = [jsontext.text(label, f"a label of {where}") for label in jsontext.section(entry, "labels", list, where)]
    unique(labels, f"{where}: label")
    sequence = entry.get("sequence", ())
    pair = isinstance(sequence, list) and len(sequence) == 2 and sequence[0] in sequences
    if jsontext.section(entry, "tensor", str, where) not in results or not (sequence is None or pair):
        raise NetworkError(f"hepflow's description of {where} does not fit the ONNX model")
    if sequence is not None:
        jsontext.integer(sequence[1], f"the number of objects that {where} loses")
    return Output(name, number, tuple(labels))
