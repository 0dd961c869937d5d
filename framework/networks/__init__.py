"""Networks: read, write and evaluate lwtnn and ONNX models. The public names are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepflow.lazy import lazy_names

if TYPE_CHECKING:
    from hepflow.networks.cases import declare_as, evaluate_cases, largest_difference, read_cases
    from hepflow.networks.converting import convert
    from hepflow.networks.evaluator import Evaluator
    from hepflow.networks.graph import InputNode, InputVariable, Network, Node, Output
    from hepflow.networks.keras3 import from_keras, open_keras
    from hepflow.networks.keras_files import read_keras2
    from hepflow.networks.loading import load
    from hepflow.networks.lwtnn import read_lwtnn
    from hepflow.networks.lwtnn_write import to_lwtnn, write_lwtnn
    from hepflow.networks.onnx_runtime import OnnxNetwork
    from hepflow.networks.onnx_write import to_onnx, write_onnx
    from hepflow.networks.rows import compare_rows, evaluate_rows, read_rows

_PUBLIC = {
    "Evaluator": "evaluator",
    "InputNode": "graph",
    "InputVariable": "graph",
    "Network": "graph",
    "Node": "graph",
    "OnnxNetwork": "onnx_runtime",
    "Output": "graph",
    "compare_rows": "rows",
    "convert": "converting",
    "declare_as": "cases",
    "evaluate_cases": "cases",
    "evaluate_rows": "rows",
    "from_keras": "keras3",
    "largest_difference": "cases",
    "load": "loading",
    "open_keras": "keras3",
    "read_cases": "cases",
    "read_keras2": "keras_files",
    "read_rows": "rows",
    "read_lwtnn": "lwtnn",
    "to_lwtnn": "lwtnn_write",
    "to_onnx": "onnx_write",
    "write_lwtnn": "lwtnn_write",
    "write_onnx": "onnx_write",
}

__all__ = [
    "Evaluator",
    "InputNode",
    "InputVariable",
    "Network",
    "Node",
    "OnnxNetwork",
    "Output",
    "compare_rows",
    "convert",
    "declare_as",
    "evaluate_cases",
    "evaluate_rows",
    "from_keras",
    "largest_difference",
    "load",
    "open_keras",
    "read_cases",
    "read_keras2",
    "read_lwtnn",
    "read_rows",
    "to_lwtnn",
    "to_onnx",
    "write_lwtnn",
    "write_onnx",
]


__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
