"""What the graph of an ONNX file tells before it runs: whether it may be run at all, and where ONNX Runtime itself
drops NaN or crashes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks.onnx_file import Message, OnnxFile

__all__ = ["GraphFacts", "check_graph"]

MAX_NODES = 30_000
"""Most nodes, functions written out: ONNX Runtime takes seconds to order these."""
MAX_INPUTS = 10_000

# Of operators that take any number of inputs ONNX does not check that each has a name; ONNX Runtime crashes.
_VARIADIC = {"Concat", "Einsum", "Max", "Mean", "Min", "SequenceConstruct", "Sum"}
# They pass by a NaN: max(1, NaN) is 1; recurrent layers do for some of their activations.
_DROP_NAN = {
    *(
        "ArgMax",
        "ArgMin",
        "GRU",
        "GlobalMaxPool",
        "LSTM",
        "LinearClassifier",
        "MaxPool",
        "RNN",
        "ReduceMax",
        "ReduceMin",
    ),
    *("SVMClassifier", "ThresholdedRelu", "TopK"),
}
_TREES = {"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}
"""They know where a NaN goes."""
_HANDLE_NAN = {"Imputer", "IsNaN"}
# Found by trial with ONNX Runtime 1.32: they end the process where a sequence has no objects.
_CRASH_EMPTY = {"GRU", "InstanceNormalization"}


@dataclass(frozen=True)
class GraphFacts:
    """``drops_nan``: output → the inputs whose NaN may be dropped on the way; ``reached``: output → all its inputs;
    ``crashes_empty``: ONNX Runtime may end the process on a sequence without objects; ``loops``: how long a run takes
    is not known before.
    """

    drops_nan: Mapping[str, frozenset[str]]
    reached: Mapping[str, frozenset[str]]
    crashes_empty: bool
    loops: bool


def check_graph(file: OnnxFile) -> GraphFacts:
    """Check what must hold before ONNX Runtime gets the model; raises NetworkError naming the operator.

    There are no loops without a number of steps, no input without a name where one is needed, no functions that call
    themselves.
    """
    functions = {(_one(f, "domain"), _one(f, "name")): f for f in file.functions}
    sizes: dict[tuple[str, str], int] = {}
    for key in functions:
        _written_out(key, functions, sizes, ())
    for graph in (file.graph, *file.functions):
        _check_nodes(graph)
    nodes = sum(_size(node, functions, sizes, ()) for node in file.graph.get("node", ()))
    if nodes > MAX_NODES or len(file.graph.get("input", ())) > MAX_INPUTS:
        raise NetworkError(f"the ONNX model has more than {MAX_NODES:,} nodes or {MAX_INPUTS:,} inputs")
    inside = {key: _operators(function, functions) for key, function in functions.items()}
    operators = _operators(file.graph, functions)
    drops, reached = _flow(file.graph, inside)
    return GraphFacts(drops, reached, bool(operators & _CRASH_EMPTY), bool(operators & {"Loop", "Scan"}))


def _one(message: Message, name: str) -> str:
    return str((message.get(name) or [""])[-1])


def _graphs(node: Message) -> list[Message]:
    return [graph for attribute in node.get("attribute", ()) for graph in attribute.get("graph", ())]


def _written_out(
    key: tuple[str, str],
    functions: Mapping[tuple[str, str], Message],
    sizes: dict[tuple[str, str], int],
    above: tuple[tuple[str, str], ...],
) -> int:
    """Return the number of nodes of a function whose own calls are written out."""
    if key in above or len(above) > 100:
        raise NetworkError(f"the function {key[1]!r} of the ONNX model calls itself, or is nested too deeply")
    if key not in sizes:
        nodes = functions[key].get("node", ())
        sizes[key] = sum(_size(node, functions, sizes, (*above, key)) for node in nodes)
        if sizes[key] > MAX_NODES:
            raise NetworkError(f"the function {key[1]!r} of the ONNX model stands for more than {MAX_NODES:,} nodes")
    return sizes[key]


def _size(
    node: Message,
    functions: Mapping[tuple[str, str], Message],
    sizes: dict[tuple[str, str], int],
    above: tuple[tuple[str, str], ...],
) -> int:
    key = (_one(node, "domain"), _one(node, "op"))
    own = _written_out(key, functions, sizes, above) if key in functions else 1
    return own + sum(_size(inner, functions, sizes, above) for g in _graphs(node) for inner in g.get("node", ()))


def _check_nodes(graph: Message) -> None:
    for node in graph.get("node", ()):
        operator = _one(node, "op")
        if operator == "Loop" and (node.get("input") or [""])[0] == "":
            raise NetworkError(
                "the ONNX model has a Loop without a number of steps: it may never end",
                hint="export the model with recurrent layers (LSTM, GRU, RNN) or written out",
            )
        if operator in _VARIADIC and "" in node.get("input", ()):
            raise NetworkError(f"the ONNX file is damaged: an input of the operator {operator} has no name")
        for inner in _graphs(node):
            _check_nodes(inner)


def _operators(graph: Message, functions: Mapping[tuple[str, str], Message]) -> set[str]:
    """Return the operators of a graph, of the graphs in its nodes, and of all functions that it calls."""
    found: set[str] = set()
    waiting = [graph]
    seen: set[tuple[str, str]] = set()
    while waiting:
        for node in waiting.pop().get("node", ()):
            key = (_one(node, "domain"), _one(node, "op"))
            found.add(key[1])
            waiting.extend(_graphs(node))
            if key in functions and key not in seen:
                seen.add(key)
                waiting.append(functions[key])
    return found


def _names_inside(node: Message) -> list[str]:
    """Return the tensors that a node reads, those read by the graphs in it included."""
    inner = [name for graph in _graphs(node) for part in graph.get("node", ()) for name in _names_inside(part)]
    return [*node.get("input", ()), *inner]


def _flow(
    graph: Message, functions: Mapping[tuple[str, str], Collection[str]]
) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Return output → inputs that reach it through an operator that drops NaN, and output → all its inputs.

    An input that the model itself asks for NaN is left out of the first.
    """
    sources: dict[str, frozenset[str]] = {
        _one(v, "name"): frozenset((_one(v, "name"),)) for v in graph.get("input", ())
    }
    carried, dropped = dict(sources), dict[str, frozenset[str]]()  # inputs whose NaN gets there, or was dropped
    handled: set[str] = set()
    nothing: frozenset[Any] = frozenset()
    for node in graph.get("node", ()):
        operators = functions.get((_one(node, "domain"), _one(node, "op"))) or {
            _one(node, "op"),
            *(op for inner in _graphs(node) for op in _operators(inner, {})),
        }
        names = _names_inside(node)
        reaching = nothing.union(*(sources.get(name, nothing) for name in names))
        lost = nothing.union(*(dropped.get(name, nothing) for name in names))
        if _HANDLE_NAN & set(operators):
            handled |= reaching
        bearing = nothing.union(*(carried.get(name, nothing) for name in names))
        if _DROP_NAN & set(operators):
            lost |= bearing
        for name in node.get("output", ()):
            sources[name], dropped[name] = reaching, lost
            carried[name] = nothing if _TREES & set(operators) else bearing
    outputs = [_one(value, "name") for value in graph.get("output", ())]
    return (
        {name: dropped.get(name, nothing) - handled for name in outputs},
        {name: sources.get(name, nothing) for name in outputs},
    )
