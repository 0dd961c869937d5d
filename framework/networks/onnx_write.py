"""Writing a network as ONNX: offset and scale inside the graph, dynamic batch, names and metadata that say what goes
in and comes out.

A scalar input is a tensor (batch, variables). A sequence is padded: a tensor (batch, objects, variables) with any
number of objects, and beside it ``<name>_counts`` (batch), how many objects of each row are real; what stands in the
others does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hepflow.errors import NetworkError
from hepflow.files import write_bytes
from hepflow.networks.activations import Activation
from hepflow.networks.graph import InputNode, Network
from hepflow.networks.layers import Conv1d, Dense, Embedding, Highway, Layer, Maxout, Normalization, Recurrent
from hepflow.networks.lwtnn_write import own_record
from hepflow.networks.onnx_file import CHECKSUM, RECORD, model_digest

__all__ = ["sign", "to_onnx", "write_onnx"]

OPSET = 17
IR_VERSION = 8
_GATES = {"lstm": ("iofc", "ifoc"), "gru": ("zrh", "zrh"), "simplernn": ("h", "h")}
# activation → (name inside LSTM, GRU and RNN, alpha and beta of those that have any)
_RECURRENT: dict[str, tuple[str, tuple[float, ...]]] = {
    "linear": ("Affine", (1.0, 0.0)),
    "sigmoid": ("Sigmoid", ()),
    "hard_sigmoid": ("HardSigmoid", (0.2, 0.5)),
    "rectified": ("Relu", ()),
    "tanh": ("Tanh", ()),
}


def write_onnx(network: Network, path: str | Path) -> None:
    """Write a network as ONNX, in one step.

    Raises NetworkError where ONNX cannot express it, OutputError where the file cannot be written.
    """
    content = to_onnx(network)
    write_bytes(path, content)


def to_onnx(network: Network) -> bytes:
    """Return the content of an ONNX file; needs the package ``onnx``."""
    try:
        import onnx
    except ImportError as error:
        raise NetworkError(
            "writing ONNX needs the package onnx", hint="pip install 'hepflow[train]' from your checkout"
        ) from error
    _check_range(network)
    writer = _Writer(onnx, network)
    writer.build()
    model = writer.model()
    onnx.checker.check_model(model, full_check=True)
    return sign(model, writer.metadata())


def _check_range(network: Network) -> None:
    """Raise NetworkError where the network has numbers that float32 does not hold."""
    variables = [v for group in (*network.inputs, *network.input_sequences) for v in group.variables]
    numbers = [n for v in variables for n in (v.offset, v.scale, v.default or 0.0)]
    numbers += [activation.alpha for layer in network.layers for activation in layer.activations]
    arrays = [np.array(numbers), *(array for layer in network.layers for array in layer.arrays())]
    if any((np.abs(array) > np.finfo(np.float32).max).any() for array in arrays):
        raise NetworkError(
            "the network has numbers beyond float32, in which ONNX models compute", hint="write it as lwtnn JSON"
        )


def sign(model: Any, facts: Mapping[str, str]) -> bytes:
    """Return the content of an ONNX file with these metadata, and the checksum of all."""
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    digest = model_digest(model.SerializeToString())
    entry = model.metadata_props.add()
    entry.key, entry.value = CHECKSUM, digest
    content: bytes = model.SerializeToString()
    return content


class _Writer:
    """Emits ONNX operators node by node. ``values`` are vectors (batch, features), ``sequences`` (batch, objects,
    features).
    """

    def __init__(self, onnx: Any, network: Network) -> None:
        self.onnx, self.network = onnx, network
        self.operators: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.names = {f"{output.name}" for output in network.outputs}
        self.values: dict[int, str] = {}
        self.sequences: dict[int, str] = {}
        self.counts: dict[str, str] = {}
        self.described: dict[str, list[dict[str, Any]]] = {"inputs": [], "input_sequences": [], "outputs": []}
        self.entries: dict[tuple[str, str], dict[str, Any]] = {}

    # ---- small steps

    def name(self, wanted: str) -> str:
        """Return a name that no other tensor has."""
        while wanted in self.names:
            wanted += "_"
        self.names.add(wanted)
        return wanted

    def emit(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        out = self.name(name)
        self.operators.append(self.onnx.helper.make_node(operator, inputs, [out], name=f"node_{out}", **attributes))
        return out

    def constant(self, values: Any, name: str, dtype: Any = np.float32) -> str:
        name = self.name(name)
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(values, dtype=dtype, order="C"), name))
        return name

    def tensor(self, name: str, shape: list[str | int], kind: str = "FLOAT") -> Any:
        return self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, kind), shape)

    # ---- inputs and outputs

    def build(self) -> None:
        """Emit the whole network."""
        for group in self.network.used_inputs:
            self.described["inputs"].append(self.input(group, sequence=False))
        for group in self.network.used_sequences:
            self.described["input_sequences"].append(self.input(group, sequence=True))
        for number in self.network.order:
            if number in self.network.used:
                self.node(number)
        for output in self.network.outputs:
            lost = self.network.sequence_of(output)
            held = self.values[output.node] if lost is None else self.sequences[output.node]
            if len(output.labels) < self.network.sizes[output.node]:
                few = self.constant(list(range(len(output.labels))), f"{held}_labelled", np.int64)
                held = self.emit("Gather", [held, few], f"{held}_first", axis=-1)
            inputs = {"", *(entry.name for entry in self.inputs)}
            name = output.name if output.name not in inputs else self.name(f"{output.name}_output")
            self.operators.append(self.onnx.helper.make_node("Identity", [held], [name], name=f"output_{name}"))
            shape: list[str | int] = ["batch", len(output.labels)]
            if lost is not None:
                shape.insert(1, f"{self.entries['input_sequence', lost[0]]['tensor']}_objects")
            self.outputs.append(self.tensor(name, shape))
            entry = {
                "name": output.name,
                "tensor": name,
                "labels": list(output.labels),
                "sequence": None if lost is None else list(lost),
            }
            self.described["outputs"].append(entry)

    def input(self, group: InputNode, *, sequence: bool) -> dict[str, Any]:
        """Declare an input and describe it for the metadata; its tensor has its name where that is free."""
        taken = {entry.name for entry in self.inputs}
        if group.name not in taken:
            self.names.discard(group.name)
        tensor = self.name(group.name or "input")
        variables = [
            {
                "name": v.name,
                "offset": v.offset,
                "scale": v.scale,
                **({} if v.default is None else {"default": v.default}),
            }
            for v in group.variables
        ]
        entry: dict[str, Any] = {"name": group.name, "tensor": tensor, "variables": variables}
        if sequence:
            self.inputs.append(self.tensor(tensor, ["batch", f"{tensor}_objects", len(variables)]))
            entry["counts"] = self.name(f"{tensor}_counts")
            self.inputs.append(self.tensor(entry["counts"], ["batch"], "INT64"))
            if group.name in self.network.shortest:
                entry["shortest"] = self.network.shortest[group.name]
        else:
            self.inputs.append(self.tensor(tensor, ["batch", len(variables)]))
        self.entries["input_sequence" if sequence else "input", group.name] = entry
        return entry

    def model(self) -> Any:
        """Return the ONNX model without metadata."""
        graph = self.onnx.helper.make_graph(self.operators, "hepflow", self.inputs, self.outputs, self.constants)
        opset = self.onnx.helper.make_opsetid("", OPSET)
        return self.onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="hepflow")

    def metadata(self) -> dict[str, str]:
        """Return the metadata: one entry that hepflow reads, and the same facts one by one for people and other
        programs.
        """
        record = own_record(self.network, "")
        record.pop("checksum")
        variables = {
            entry["tensor"]: [v["name"] for v in entry["variables"]]
            for key in ("inputs", "input_sequences")
            for entry in self.described[key]
        }
        labels = {entry["name"]: entry["labels"] for entry in self.described["outputs"]}
        facts = {
            "variables": variables,
            "labels": labels,
            "units": record.get("units", {}),
            "folds": record.get("folds", {}),
        }
        facts |= {"versions": record["versions"], "origin": record["origin"]}
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
        return {**texts, RECORD: json.dumps({**self.described, "record": record})}

    # ---- nodes

    def node(self, number: int) -> None:
        """Emit one node."""
        node = self.network.nodes[number]
        if node.type in ("input", "input_sequence"):
            self.load(number)
        elif node.type == "concatenate":
            self.values[number] = self.emit(
                "Concat", [self.values[s] for s in node.sources], f"concatenate_{number}", axis=-1
            )
        elif node.type == "add":
            self.values[number] = self.emit("Sum", [self.values[s] for s in node.sources], f"add_{number}")
        elif node.type == "sum":
            source = self.sequences[node.sources[0]]
            self.values[number] = self.total(self.masked(source, self.mask(source)), f"sum_{number}")
        elif node.type == "sequence":
            self.scan(number)
        else:
            held = self.sequences if node.type == "time_distributed" else self.values
            source = held[node.sources[0]]
            held[number] = self.pointwise(self.network.layers[node.layer or 0], source, f"{node.type}_{number}")
            if node.type == "time_distributed":
                self.counts[held[number]] = self.counts[source]

    def load(self, number: int) -> None:
        node = self.network.nodes[number]
        sequence = node.type == "input_sequence"
        group = (self.network.input_sequences if sequence else self.network.inputs)[node.sources[0]]
        entry = self.entries[node.type, group.name]
        x: str = entry["tensor"]
        base = f"{x}_scaled"
        if any(v.default is not None for v in group.variables):
            defaults = self.constant(
                [np.nan if v.default is None else v.default for v in group.variables], f"{x}_defaults"
            )
            x = self.emit("Where", [self.emit("IsNaN", [x], f"{x}_missing"), defaults, x], f"{x}_filled")
        x = self.emit(
            "Add", [x, self.constant([v.offset for v in group.variables], f"{base}_offset")], f"{base}_shifted"
        )
        x = self.emit("Mul", [x, self.constant([v.scale for v in group.variables], f"{base}_scale")], base)
        if sequence:
            self.counts[x] = entry["counts"]
        (self.sequences if sequence else self.values)[number] = x

    def places(self, sequence: str) -> str:
        """Return 0, 1, 2, … along the objects of a padded sequence."""
        shape = self.emit("Shape", [sequence], f"{sequence}_length", start=1, end=2)
        scalar = self.emit("Squeeze", [shape, self.constant([0], f"{sequence}_axis", np.int64)], f"{sequence}_n")
        zero, one = (self.constant(np.array(n), f"{sequence}_{n}", np.int64) for n in (0, 1))
        return self.emit("Range", [zero, scalar, one], f"{sequence}_places")

    def mask(self, sequence: str, *, last: bool = False) -> str:
        """Return (batch, objects, 1): true for real objects, or only for the last of them."""
        counts = self.emit(
            "Unsqueeze", [self.counts[sequence], self.constant([1], f"{sequence}_one", np.int64)], f"{sequence}_column"
        )
        if last:
            counts = self.emit("Sub", [counts, self.constant([1], f"{sequence}_step", np.int64)], f"{sequence}_final")
        chosen = self.emit("Equal" if last else "Less", [self.places(sequence), counts], f"{sequence}_real")
        return self.emit("Unsqueeze", [chosen, self.constant([2], f"{sequence}_two", np.int64)], f"{sequence}_mask")

    def masked(self, sequence: str, mask: str) -> str:
        return self.emit(
            "Where", [mask, sequence, self.constant(np.array(0.0), f"{sequence}_zero")], f"{sequence}_masked"
        )

    def total(self, sequence: str, name: str) -> str:
        return self.emit("ReduceSum", [sequence, self.constant([1], f"{name}_axis", np.int64)], name, keepdims=0)

    # ---- layers

    def pointwise(self, layer: Layer, x: str, name: str) -> str:
        """Emit a layer that works on each row by itself."""
        if isinstance(layer, Dense):
            if layer.weights is not None:
                x = self.emit("MatMul", [x, self.constant(layer.weights.T, f"{name}_weights")], f"{name}_product")
            if layer.bias is not None:
                x = self.emit("Add", [x, self.constant(layer.bias, f"{name}_bias")], f"{name}_biased")
            return self.activate(layer.activation, x, name)
        if isinstance(layer, Normalization):
            x = self.emit("Add", [x, self.constant(layer.bias, f"{name}_bias")], f"{name}_shifted")
            return self.emit("Mul", [x, self.constant(layer.weights, f"{name}_weights")], name)
        if isinstance(layer, Maxout):
            parts = [
                self.affine(weights, bias, x, f"{name}_{k}")
                for k, (weights, bias) in enumerate(zip(layer.weights, layer.bias, strict=True))
            ]
            return self.emit("Max", parts, name)
        assert isinstance(layer, Highway)
        gate = self.emit(
            "Sigmoid", [self.affine(layer.carry_weights, layer.carry_bias, x, f"{name}_carry")], f"{name}_gate"
        )
        made = self.activate(
            layer.activation, self.affine(layer.weights, layer.bias, x, f"{name}_affine"), f"{name}_transformed"
        )
        rest = self.emit("Sub", [self.constant(1.0, f"{name}_whole"), gate], f"{name}_rest")
        parts = [self.emit("Mul", [a, b], f"{name}_part") for a, b in ((gate, made), (rest, x))]
        return self.emit("Add", parts, name)

    def affine(self, weights: Any, bias: Any, x: str, name: str) -> str:
        product = self.emit("MatMul", [x, self.constant(weights.T, f"{name}_weights")], f"{name}_product")
        return self.emit("Add", [product, self.constant(bias, f"{name}_bias")], name)

    def activate(self, activation: Activation, x: str, name: str) -> str:
        """Emit an activation function on the last axis."""
        function, alpha = activation.function, activation.alpha
        if function == "swish":
            gate = self.emit(
                "Sigmoid",
                [self.emit("Mul", [x, self.constant(alpha, f"{name}_alpha")], f"{name}_argument")],
                f"{name}_gate",
            )
            return self.emit("Mul", [x, gate], name)
        operators: dict[str, tuple[str, dict[str, Any]]] = {
            "linear": ("Identity", {}),
            "sigmoid": ("Sigmoid", {}),
            "hard_sigmoid": ("HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
            "rectified": ("Relu", {}),
            "tanh": ("Tanh", {}),
            "softmax": ("Softmax", {"axis": -1}),
            "elu": ("Elu", {"alpha": alpha}),
            "leakyrelu": ("LeakyRelu", {"alpha": alpha}),
            "abs": ("Abs", {}),
        }
        operator, attributes = operators[function]
        return self.emit(operator, [x], name, **attributes)

    def scan(self, number: int) -> None:
        """Emit a sequence node: its value after every object and its last value."""
        node = self.network.nodes[number]
        layer = self.network.layers[node.layer or 0]
        source = self.sequences[node.sources[0]]
        name = f"sequence_{number}"
        if isinstance(layer, Recurrent):
            self.sequences[number], self.values[number] = self.recurrent(layer, source, name)
            self.counts[self.sequences[number]] = self.counts[source]
            return
        clean = self.masked(source, self.mask(source))
        if isinstance(layer, Embedding):
            held = self.embed(layer, clean, name)
            self.counts[held] = self.counts[source]
        else:
            assert isinstance(layer, Conv1d)
            held = self.convolve(layer, clean, source, name)
        self.sequences[number] = held
        self.values[number] = self.total(self.masked(held, self.mask(held, last=True)), f"{name}_last")

    def recurrent(self, layer: Recurrent, source: str, name: str) -> tuple[str, str]:
        operator = {"lstm": "LSTM", "gru": "GRU", "simplernn": "RNN"}[layer.cell]
        used = {
            "lstm": (layer.inner_activation, layer.activation, layer.activation),
            "gru": (layer.inner_activation, layer.activation),
        }
        functions = []
        for activation in used.get(layer.cell, (layer.activation,)):
            if activation.function not in _RECURRENT:
                raise NetworkError(
                    f"ONNX has no {layer.cell} with activation {activation}", hint=f"it has {', '.join(_RECURRENT)}"
                )
            functions.append(_RECURRENT[activation.function])
        units = layer.n_out
        wanted, ours = _GATES[layer.cell]
        rows = [ours.index(gate) * units + unit for gate in wanted for unit in range(units)]
        bias = np.concatenate((layer.bias[rows], np.zeros(len(rows))))
        constants = [
            self.constant(array[None], f"{name}_{what}")
            for array, what in ((layer.weights[rows], "weights"), (layer.recurrent[rows], "recurrent"), (bias, "bias"))
        ]
        steps = self.emit("Transpose", [source], f"{name}_steps", perm=[1, 0, 2])
        lengths = self.emit("Cast", [self.counts[source]], f"{name}_lengths", to=self.onnx.TensorProto.INT32)
        every, last = self.name(f"{name}_every"), self.name(f"{name}_state")
        attributes: dict[str, Any] = {"hidden_size": units, "activations": [f[0] for f in functions]}
        parameters = [values for _, values in functions if values]
        if parameters:
            attributes |= {
                "activation_alpha": [p[0] for p in parameters],
                "activation_beta": [p[1] for p in parameters],
            }
        node = self.onnx.helper.make_node(
            operator, [steps, *constants, lengths], [every, last], name=f"node_{name}", **attributes
        )
        self.operators.append(node)
        flat = self.emit("Squeeze", [every, self.constant([1], f"{name}_axis", np.int64)], f"{name}_flat")
        sequence = self.emit("Transpose", [flat], f"{name}_sequence", perm=[1, 0, 2])
        state = self.emit("Squeeze", [last, self.constant([0], f"{name}_direction", np.int64)], f"{name}_final")
        column = self.emit(
            "Unsqueeze", [self.counts[source], self.constant([1], f"{name}_one", np.int64)], f"{name}_column"
        )
        some = self.emit("Greater", [column, self.constant([0], f"{name}_none", np.int64)], f"{name}_some")
        return sequence, self.emit("Where", [some, state, self.constant(np.array(0.0), f"{name}_zero")], f"{name}_last")

    def convolve(self, layer: Conv1d, clean: str, source: str, name: str) -> str:
        """Emit a convolution that keeps the padded length; with valid padding the counts shrink."""
        if layer.activation.function == "softmax":
            raise NetworkError(
                "a convolution with softmax, which lwtnn runs along the sequence, is not written as ONNX",
                hint="use a linear convolution and a time_distributed dense layer with softmax, if that is meant",
            )
        turned = self.emit("Transpose", [clean], f"{name}_turned", perm=[0, 2, 1])
        weights = self.constant(layer.weights.transpose(1, 2, 0), f"{name}_weights")
        pads = [layer.left, layer.reach - layer.left]
        bias = self.constant(layer.bias, f"{name}_bias")
        y = self.emit("Conv", [turned, weights, bias], f"{name}_convolved", pads=pads, dilations=[layer.dilation])
        held = self.activate(layer.activation, self.emit("Transpose", [y], f"{name}_back", perm=[0, 2, 1]), name)
        counts = self.counts[source]
        if layer.padding == "valid" and layer.reach:
            counts = self.emit(
                "Sub", [counts, self.constant([layer.reach], f"{name}_reach", np.int64)], f"{name}_shorter"
            )
            counts = self.emit("Max", [counts, self.constant([0], f"{name}_least", np.int64)], f"{name}_counts")
        self.counts[held] = counts
        return held

    def embed(self, layer: Embedding, x: str, name: str) -> str:
        size = layer.n_in
        for k, (index, table) in enumerate(layer.tables):
            chosen = self.emit(
                "Gather",
                [x, self.constant(np.array(index), f"{name}_{k}_index", np.int64)],
                f"{name}_{k}_feature",
                axis=-1,
            )
            whole = self.emit("Cast", [chosen], f"{name}_{k}_category", to=self.onnx.TensorProto.INT64)
            parts = [
                self.emit("Gather", [self.constant(table.T, f"{name}_{k}_table"), whole], f"{name}_{k}_row", axis=0)
            ]
            for place, columns in ((0, range(index)), (len(parts) + 1, range(index + 1, size))):
                if len(columns):
                    part = self.emit(
                        "Gather",
                        [x, self.constant(list(columns), f"{name}_{k}_others_{place}", np.int64)],
                        f"{name}_{k}_part_{place}",
                        axis=-1,
                    )
                    parts.insert(place, part)
            x = self.emit("Concat", parts, f"{name}_{k}", axis=-1)
            size += table.shape[0] - 1
        return x
