"""From Keras layers, wherever they were read, to a network: what lwtnn can express, and a refusal by name of what it
cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import InputNode, InputVariable, Network, Node, Output
from hepflow.networks.keras_layers import CELLS, SEQUENCES, KerasLayer, Key, check_axis, convert_layer
from hepflow.networks.layers import Conv1d, Layer
from hepflow.networks.lwtnn import read_input

__all__ = ["Call", "KerasGraph", "build"]


@dataclass(frozen=True)
class Call:
    """One use of a layer. Of an input, ``features`` is the size of the last axis and ``sequence`` says whether there
    is an object axis. ``masked``: it is told which objects are real.
    """

    layer: KerasLayer
    sources: tuple[Key, ...]
    features: int = 0
    sequence: bool = False
    masked: bool = False


@dataclass(frozen=True)
class KerasGraph:
    """All calls by (layer name, number of the call), and which of them are inputs and outputs. ``names`` of the outputs
    are empty where the model gives none.
    """

    calls: dict[Key, Call]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    names: tuple[str, ...]


def build(graph: KerasGraph, variables: dict[str, Any] | None, record: dict[str, Any], origin: str) -> Network:
    """Make a network. ``variables`` is the content of a variables file (inputs, input_sequences, outputs) or None for
    numbered names.

    Raises NetworkError for a layer that lwtnn cannot express and for variables that do not fit the inputs.
    """
    builder = _Builder(graph)
    keys = sorted(key for key in graph.calls if builder.resolved(key) == key)
    numbers = {key: number for number, key in enumerate(keys)}
    for key in graph.calls:
        builder.visit(builder.resolved(key))
    builder.find_padded()
    for key in graph.calls:
        builder.check(key)
    groups = _input_groups(graph, variables)
    places = {key: (kind, place) for kind, held in enumerate(groups) for place, (key, _) in enumerate(held)}
    nodes = []
    for key in keys:
        call = graph.calls[key]
        if call.layer.kind == "inputlayer":
            kind, place = places[key]
            nodes.append(Node(("input", "input_sequence")[kind], (place,)))
        else:
            sources = tuple(numbers[builder.resolved(source)] for source in call.sources)
            nodes.append(Node(builder.types[key], sources, builder.layer_of.get(key)))
    sizes = [builder.sizes[builder.resolved(key)] for key in graph.outputs]
    outputs = []
    for (name, labels), key in zip(_outputs(graph, variables, sizes), graph.outputs, strict=True):
        resolved = builder.resolved(key)
        if builder.sequence[resolved] and builder.types[resolved] == "sequence":
            raise graph.calls[resolved].layer.refuse(
                "its whole sequence is an output", "set return_sequences=False, or follow it by a TimeDistributed layer"
            )
        outputs.append(Output(name, numbers[resolved], labels))
    inputs = tuple(group for _, group in groups[0])
    sequences = tuple(group for _, group in groups[1])
    return Network(inputs, sequences, tuple(nodes), tuple(builder.layers), tuple(outputs), record, origin)


class _Builder:
    """Walks the calls from inputs to outputs and converts each layer once."""

    def __init__(self, graph: KerasGraph) -> None:
        self.graph = graph
        self.sizes: dict[Key, int] = {}
        self.sequence: dict[Key, bool] = {}
        self.types: dict[Key, str] = {}
        self.layers: list[Layer] = []
        self.layer_of: dict[Key, int] = {}
        self.numbers: dict[tuple[str, int], int] = {}
        self.roots: dict[Key, Key] = {}
        self.padded: set[Key] = set()

    def resolved(self, key: Key) -> Key:
        """Return the call whose result this is, behind layers that do nothing when applied."""
        for _ in range(len(self.graph.calls)):
            call = self.graph.calls[key]
            if not call.layer.does_nothing:
                return key
            if len(call.sources) != 1:
                raise call.layer.refuse("it has more than one input")
            key = call.sources[0]
        raise NetworkError("the Keras graph has a cycle")

    def visit(self, key: Key) -> None:
        """Convert the call and, before it, everything it needs."""
        waiting = [(key, False)]
        active: set[Key] = set()
        while waiting:
            now, ready = waiting.pop()
            if now in self.sizes:
                continue
            call = self.graph.calls[now]
            sources = [self.resolved(source) for source in call.sources]
            if ready:
                active.discard(now)
                self.convert(now, call, sources)
            elif now in active:
                raise NetworkError("the Keras graph has a cycle")
            else:
                active.add(now)
                waiting.append((now, True))
                waiting.extend((source, False) for source in reversed(sources) if source not in self.sizes)

    def convert(self, key: Key, call: Call, sources: list[Key]) -> None:
        layer, kind = call.layer, call.layer.kind
        on_sequence = [self.sequence[source] for source in sources]
        size = self.sizes[sources[0]] if sources else call.features
        if kind == "inputlayer":
            self.finish(key, "input", call.features, call.sequence)
        elif kind in ("concatenate", "add"):
            if any(on_sequence):
                raise layer.refuse(
                    "it works on sequences", "concatenate or add after the Sum or recurrent layer of each sequence"
                )
            check_axis(layer, 2)
            if kind == "add" and len({self.sizes[source] for source in sources}) > 1:
                raise layer.refuse("it adds inputs of different size")
            self.finish(key, kind, sum(self.sizes[s] for s in sources) if kind == "concatenate" else size, False)
        elif len(sources) != 1:
            raise layer.refuse(f"it has {len(sources)} inputs")
        elif kind == "sum":
            axis = layer.config.get("axis", 1)
            if axis not in (1, -2, [1], [-2]) or layer.config.get("keepdims"):
                raise layer.refuse(f"it sums along axis {axis}", "sum over axis 1, the objects, without keepdims")
            if not on_sequence[0]:
                raise layer.refuse("it does not sum over the objects of a sequence")
            self.finish(key, "sum", size, False)
        else:
            self.with_layer(key, layer, size, on_sequence[0])
        if sources and on_sequence[0]:
            self.roots[key] = self.roots.get(sources[0], sources[0])
            if call.masked:
                self.padded.add(self.roots[key])

    def finish(self, key: Key, kind: str, size: int, sequence: bool) -> None:
        self.types[key], self.sizes[key], self.sequence[key] = kind, size, sequence

    def with_layer(self, key: Key, layer: KerasLayer, n_in: int, on_sequence: bool) -> None:
        """Convert a layer with weights or an activation; a layer used twice is shared."""
        work = layer.work
        if work.kind in SEQUENCES and (not on_sequence or layer.inner):
            raise work.refuse("its input is no sequence")
        if layer.inner and not on_sequence:
            raise layer.refuse("its input is no sequence")
        check_axis(work, 3 if on_sequence and not layer.inner else 2)
        if (layer.name, n_in) not in self.numbers:
            self.layers.append(convert_layer(work, n_in))
            self.numbers[layer.name, n_in] = len(self.layers) - 1
        self.layer_of[key] = self.numbers[layer.name, n_in]
        n_out = self.layers[self.layer_of[key]].n_out
        if work.kind in SEQUENCES:
            gives_sequence = work.kind == "conv1d" or bool(work.config.get("return_sequences"))
            self.finish(key, "sequence", n_out, gives_sequence)
        else:
            self.finish(key, "time_distributed" if on_sequence else "feed_forward", n_out, on_sequence)

    def find_padded(self) -> None:
        """Note the sequences that Keras pads: those with a Masking layer or a mask somewhere."""
        for call in self.graph.calls.values():
            if call.layer.kind == "masking":
                source = self.resolved(call.sources[0])
                harmless = self.sequence[source] or not call.layer.config.get("mask_value")
                if self.types[source] != "input" or not harmless:
                    raise call.layer.refuse("it hides objects by computed values", "put it right behind the input")
                self.padded.add(source)

    def check(self, key: Key) -> None:
        """Refuse what does something else for padded objects, or for sequences, than for the objects themselves."""
        call = self.graph.calls[key]
        layer, kind = call.layer, call.layer.work.kind
        if call.masked and kind not in ("batchnormalization", "sum", *CELLS) and not layer.inner:
            raise layer.refuse("it uses a mask")
        if not call.sources:
            return
        source = self.resolved(call.sources[0])
        if kind == "flatten" and not layer.inner and self.sequence[source]:
            raise layer.refuse(
                "it would flatten a sequence", "sum over the objects with a Sum layer, or use a recurrent layer"
            )
        if layer.does_nothing:
            if layer.inner and kind == "masking":
                raise layer.refuse("it hides single values")
            return
        if not self.sequence[source] or self.roots[key] not in self.padded:
            return
        made = self.layers[self.layer_of[key]] if key in self.layer_of else None
        if not self.sequence[key] and layer.major >= 3 and not call.masked:
            raise layer.refuse(
                "objects that only fill up the sequence count in it: no mask reaches it",
                "put Masking right behind the input and only layers that pass masks on in between",
            )
        zeros = self.graph.calls[call.sources[0]].layer.kind == "masking"
        if isinstance(made, Conv1d) and made.reach and made.padding != "causal" and not (zeros and made.left):
            raise layer.refuse("it mixes in objects that only fill up the sequence", 'use padding="causal"')


# ------------------------------------------------------------------------------------------------- variables and labels


def _input_groups(
    graph: KerasGraph, variables: dict[str, Any] | None
) -> tuple[list[tuple[Key, InputNode]], list[tuple[Key, InputNode]]]:
    """Return scalar and sequence inputs with their variables; matched by name where all names fit, else by order as
    in lwtnn.
    """
    held: tuple[list[tuple[Key, InputNode]], list[tuple[Key, InputNode]]] = ([], [])
    for kind, section in enumerate(("inputs", "input_sequences")):
        keys = [key for key in graph.inputs if graph.calls[key].sequence == bool(kind)]
        if variables is None:
            for key in keys:
                numbered = tuple(InputVariable(f"variable_{n}") for n in range(graph.calls[key].features))
                held[kind].append((key, InputNode(key[0], numbered)))
            continue
        groups = [
            read_input(entry, section) for entry in jsontext.section(variables, section, list, "the variables file")
        ]
        if len(groups) != len(keys):
            raise NetworkError(
                f"the variables file has {len(groups)} {section}, the Keras model has {len(keys)}",
                hint=f"in Keras: {', '.join(k[0] for k in keys) or 'none'}",
            )
        if {group.name for group in groups} == {key[0] for key in keys}:
            by_name = {key[0]: key for key in keys}
            keys = [by_name[group.name] for group in groups]
        for key, group in zip(keys, groups, strict=True):
            if graph.calls[key].features != len(group.variables):
                raise NetworkError(
                    f"input {group.name!r} has {len(group.variables)} variables, the Keras input {key[0]!r} takes "
                    f"{graph.calls[key].features}"
                )
            held[kind].append((key, group))
    return held


def _outputs(
    graph: KerasGraph, variables: dict[str, Any] | None, sizes: list[int]
) -> list[tuple[str, tuple[str, ...]]]:
    if variables is None:
        names: list[str] = []
        for (layer, number), given in zip(graph.outputs, graph.names, strict=True):
            name = given or (layer if number == 0 else f"{layer}_{number}")
            while name in names:
                name += "_"
            names.append(name)
        return [(name, tuple(f"out_{n}" for n in range(size))) for name, size in zip(names, sizes, strict=True)]
    entries = jsontext.section(variables, "outputs", list, "the variables file")
    if len(entries) != len(sizes):
        raise NetworkError(f"the variables file has {len(entries)} outputs, the Keras model has {len(sizes)}")
    found = []
    for entry, size in zip(entries, sizes, strict=True):
        name = jsontext.section(entry, "name", str, "an entry of outputs")
        labels = tuple(
            jsontext.text(label, f"a label of output {name!r}")
            for label in jsontext.section(entry, "labels", list, f"output {name!r}")
        )
        if len(labels) != size:
            raise NetworkError(f"output {name!r} has {len(labels)} labels, the Keras output has {size} values")
        found.append((name, labels))
    return found
