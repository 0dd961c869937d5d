"""Fixtures for networks: the reference vectors, and a slow, plain evaluation of lwtnn JSON that shares no code with
hepflow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATA = Path(os.environ.get("HEPFLOW_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
VECTORS = DATA.parent / "lwtnn-vectors"


@pytest.fixture(scope="session")
def vectors() -> Path:
    if not VECTORS.is_dir():
        pytest.skip(f"no reference networks at {VECTORS} (set HEPFLOW_TEST_DATA to the folder beside it)")
    return VECTORS


def _activate(spec: Any, x: np.ndarray) -> np.ndarray:
    name, alpha = (spec["function"], spec["alpha"]) if isinstance(spec, dict) else (spec, 1.0)
    exp = np.exp(x - x.max()) if x.size else x
    return {
        "linear": lambda: x,
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "hard_sigmoid": lambda: np.minimum(np.maximum(0.2 * x + 0.5, 0), 1),
        "rectified": lambda: np.where(x > 0, x, 0),
        "tanh": lambda: np.tanh(x),
        "softmax": lambda: exp / exp.sum(),
        "elu": lambda: np.where(x >= 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1)),
        "leakyrelu": lambda: np.where(x > 0, x, alpha * x),
        "swish": lambda: x / (1 + np.exp(-alpha * x)),
        "abs": lambda: np.abs(x),
    }[name]()


def _matrix(flat: list[float], n_in: int) -> np.ndarray:
    return np.array(flat).reshape(-1, n_in)


def _vector_layer(layer: dict[str, Any], x: np.ndarray) -> np.ndarray:
    kind = layer["architecture"]
    if kind == "dense":
        y = _matrix(layer["weights"], len(x)) @ x if layer["weights"] else x
        return _activate(layer.get("activation", "linear"), y + layer["bias"] if layer["bias"] else y)
    if kind == "normalization":
        return (x + np.array(layer["bias"])) * np.array(layer["weights"])
    if kind == "maxout":
        return np.max([_matrix(s["weights"], len(x)) @ x + s["bias"] for s in layer["sublayers"]], axis=0)
    t, c = layer["components"]["t"], layer["components"]["carry"]
    gate = _activate("sigmoid", _matrix(c["weights"], len(x)) @ x + c["bias"])
    return gate * _activate(layer["activation"], _matrix(t["weights"], len(x)) @ x + t["bias"]) + (1 - gate) * x


def _scan_layer(layer: dict[str, Any], rows: list[np.ndarray], n_in: int) -> list[np.ndarray]:
    kind = layer["architecture"]
    if kind == "embedding":
        for sub in layer["sublayers"]:
            table = np.array(sub["weights"]).reshape(sub["n_out"], -1)
            i = sub["index"]
            rows = [np.concatenate([x[:i], table[:, int(x[i])], x[i + 1 :]]) for x in rows]
        return rows
    act = layer["activation"]
    if kind == "conv1d":
        n_out = len(layer["bias"])
        w = np.array(layer["weights"]).reshape(n_out, n_in, -1)
        step, reach = layer["dilation_rate"], (w.shape[2] - 1) * layer["dilation_rate"]
        left = {"valid": 0, "causal": reach, "same": (reach + 1) // 2}[layer["padding"]]
        length = len(rows) - (reach if layer["padding"] == "valid" else 0)
        made = []
        for t in range(length):
            total = np.array(layer["bias"])
            for k in range(w.shape[2]):
                place = t + k * step - left
                if 0 <= place < len(rows):
                    total = total + w[:, :, k] @ rows[place]
            made.append(_activate(act, total))
        return made
    parts = layer["components"]
    units = len(parts["h" if kind != "lstm" else "c"]["bias"])
    gate = {g: (_matrix(p["weights"], n_in), _matrix(p["U"], units), np.array(p["bias"])) for g, p in parts.items()}
    h, memory, made = np.zeros(units), np.zeros(units), []
    for x in rows:
        z = {g: w @ x + u @ h + b for g, (w, u, b) in gate.items()}
        if kind == "lstm":
            i, f, o = (_activate(layer["inner_activation"], z[g]) for g in "ifo")
            memory = f * memory + i * _activate(act, z["c"])
            h = o * _activate(act, memory)
        elif kind == "gru":
            update, reset = (_activate(layer["inner_activation"], z[g]) for g in "zr")
            w, u, b = gate["h"]
            h = update * h + (1 - update) * _activate(act, w @ x + u @ (reset * h) + b)
        else:
            h = _activate(act, z["h"])
        made.append(h)
    return made


class Plain:
    """Evaluates lwtnn graph JSON for one tau, by recursion over the nodes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.known: dict[Any, Any] = {}

    def __call__(self, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = {}
        self.known = {}
        for name, output in self.data["outputs"].items():
            node = self.data["nodes"][output["node_index"]]
            if node["type"] in ("time_distributed", "input_sequence"):
                rows = self.rows(output["node_index"], case)[0]
                found[name] = {label: [row[k] for row in rows] for k, label in enumerate(output["labels"])}
            else:
                found[name] = dict(zip(output["labels"], self.vector(output["node_index"], case), strict=True))
        return found

    def vector(self, number: int, case: dict[str, Any]) -> np.ndarray:
        if ("vector", number) not in self.known:
            self.known["vector", number] = self._vector(number, case)
        return self.known["vector", number]

    def rows(self, number: int, case: dict[str, Any]) -> tuple[list[np.ndarray], int]:
        if ("rows", number) not in self.known:
            self.known["rows", number] = self._rows(number, case)
        return self.known["rows", number]

    def _vector(self, number: int, case: dict[str, Any]) -> np.ndarray:
        node = self.data["nodes"][number]
        kind, sources = node["type"], node["sources"]
        if kind == "input":
            group = self.data["inputs"][sources[0]]
            given = case["in"]["inputs"][group["name"]]
            return np.array([_value(v, given[v["name"]]) for v in group["variables"]])
        if kind == "concatenate":
            return np.concatenate([self.vector(s, case) for s in sources])
        if kind == "add":
            return np.sum([self.vector(s, case) for s in sources], axis=0)
        if kind == "feed_forward":
            return _vector_layer(self.data["layers"][node["layer_index"]], self.vector(sources[0], case))
        rows, size = self.rows(sources[0] if kind == "sum" else number, case)
        if kind == "sum":
            return np.sum(rows, axis=0) if rows else np.zeros(size)
        return rows[-1] if rows else np.zeros(size)

    def _rows(self, number: int, case: dict[str, Any]) -> tuple[list[np.ndarray], int]:
        node = self.data["nodes"][number]
        if node["type"] == "input_sequence":
            group = self.data["input_sequences"][node["sources"][0]]
            given = case["in"]["input_sequences"][group["name"]]
            columns = [[_value(v, x) for x in given[v["name"]]] for v in group["variables"]]
            return [np.array(row) for row in zip(*columns, strict=True)], len(columns)
        rows, size = self.rows(node["sources"][0], case)
        layer = self.data["layers"][node["layer_index"]]
        if node["type"] == "time_distributed":
            return [_vector_layer(layer, row) for row in rows], len(_vector_layer(layer, np.zeros(size)))
        n_out = len(_scan_layer(layer, [np.zeros(size)] * 30, size)[-1])
        return _scan_layer(layer, rows, size), n_out


def _value(variable: dict[str, Any], x: float | None) -> float:
    x = np.nan if x is None else x
    if np.isnan(x):
        x = variable.get("default", np.nan)
    return (x + variable["offset"]) * variable["scale"]


@pytest.fixture(scope="session")
def plain() -> type[Plain]:
    return Plain


# ---------------------------------------------------------------------- random networks

ACTIVATIONS = [
    "linear",
    "sigmoid",
    "hard_sigmoid",
    "rectified",
    "tanh",
    "softmax",
    "abs",
    "elu",
    {"function": "elu", "alpha": 0.7},
    {"function": "leakyrelu", "alpha": 0.2},
    {"function": "swish", "alpha": 1.3},
    {"function": "rectified", "alpha": 0.0},
]
SCAN = ("lstm", "gru", "simplernn", "conv1d")


class Maker:
    """Draws weights and layers; the recurrent ones with activations that keep the state bounded, unless ``wild``."""

    def __init__(self, seed: int, wild: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.wild = wild

    def numbers(self, *shape: int) -> list[float]:
        return (self.rng.standard_normal(int(np.prod(shape))) * 0.6).tolist()

    def activation(self) -> Any:
        return ACTIVATIONS[self.rng.integers(len(ACTIVATIONS))]

    def variables(self, n: int) -> list[dict[str, Any]]:
        return [{"name": f"v{k}", "offset": self.rng.normal(), "scale": self.rng.uniform(0.3, 2)} for k in range(n)]

    def dense(self, n_in: int, n_out: int, activation: Any = None) -> dict[str, Any]:
        used = self.activation() if activation is None else activation
        return {
            "architecture": "dense",
            "weights": self.numbers(n_out, n_in),
            "bias": self.numbers(n_out),
            "activation": used,
        }

    def affine(self, n: int) -> dict[str, Any]:
        return {
            "architecture": "normalization",
            "weights": self.rng.uniform(0.5, 2, n).tolist(),
            "bias": self.numbers(n),
        }

    def bare(self) -> dict[str, Any]:
        return {"architecture": "dense", "weights": [], "bias": [], "activation": self.activation()}

    def maxout(self, n_in: int, n_out: int) -> dict[str, Any]:
        parts = [{"weights": self.numbers(n_out, n_in), "bias": self.numbers(n_out)} for _ in range(3)]
        return {"architecture": "maxout", "sublayers": parts}

    def highway(self, n: int) -> dict[str, Any]:
        parts = {key: {"weights": self.numbers(n, n), "bias": self.numbers(n)} for key in ("t", "carry")}
        return {"architecture": "highway", "components": parts, "activation": self.activation()}

    def pointwise(self, n_in: int) -> tuple[dict[str, Any], int]:
        """Return a layer on single rows, and its size."""
        kind = self.rng.integers(5)
        n_out = int(self.rng.integers(1, 6))
        if kind == 0:
            return self.affine(n_in), n_in
        if kind == 1:
            return self.maxout(n_in, n_out), n_out
        if kind == 2:
            return self.highway(n_in), n_in
        if kind == 3:
            return self.bare(), n_in
        return self.dense(n_in, n_out), n_out

    def scan(self, kind: str, n_in: int) -> tuple[dict[str, Any], int]:
        """Return a layer on sequences, and its size."""
        n = int(self.rng.integers(1, 6))
        act = self.activation()
        if kind == "conv1d":
            act = "tanh" if act == "softmax" else act
            padding = ("valid", "same", "causal")[self.rng.integers(3)]
            kernel, dilation = int(self.rng.integers(1, 5)), int(self.rng.integers(1, 4))
            kernel = 1 if padding == "valid" else kernel  # a longer one takes no short sequence
            conv = {"weights": self.numbers(n, n_in, kernel), "bias": self.numbers(n), "activation": act}
            return {"architecture": "conv1d", **conv, "padding": padding, "dilation_rate": dilation}, n
        if not self.wild:
            act = ("tanh", "sigmoid", "hard_sigmoid")[self.rng.integers(3)]
        gates = {"lstm": "ifoc", "gru": "zrh", "simplernn": "h"}[kind]
        parts = {g: {"weights": self.numbers(n, n_in), "U": self.numbers(n, n), "bias": self.numbers(n)} for g in gates}
        layer = {"architecture": kind, "components": parts, "activation": act}
        inner = self.activation() if self.wild else ("sigmoid", "hard_sigmoid")[self.rng.integers(2)]
        return layer if kind == "simplernn" else layer | {"inner_activation": inner}, n


def random_network(seed: int, wild: bool = False) -> dict[str, Any]:
    """Return lwtnn graph JSON: a scalar input, two sequences, chains of random layers, shared nodes, two or three
    outputs.
    """
    make = Maker(seed, wild)
    rng = make.rng
    data: dict[str, Any] = {
        "inputs": [{"name": "scalar", "variables": make.variables(3)}],
        "input_sequences": [],
        "layers": [],
        "nodes": [],
        "outputs": {},
    }
    nodes, layers = data["nodes"], data["layers"]

    def node(kind: str, sources: list[int], layer: dict[str, Any] | None = None, **more: Any) -> int:
        if layer is not None:
            more["layer_index"] = len(layers)
            layers.append(layer)
        nodes.append({"type": kind, "sources": sources, **more})
        return len(nodes) - 1

    def chain(kind: str, start: int, size: int, length: int) -> tuple[int, int]:
        for _ in range(length):
            layer, size = make.pointwise(size)
            start = node(kind, [start], layer)
        return start, size

    ends = [chain("feed_forward", node("input", [0], size=3), 3, int(rng.integers(0, 3)))]
    for k in range(2):
        size = int(rng.integers(1, 4))
        data["input_sequences"].append({"name": f"seq{k}", "variables": make.variables(size)})
        now, size = chain("time_distributed", node("input_sequence", [k], size=size), size, int(rng.integers(0, 3)))
        if rng.random() < 0.7:
            layer, size = make.scan(SCAN[rng.integers(4)], size)
            now = node("sequence", [now], layer)
            if rng.random() < 0.6:
                ends.append((now, size))
        now, size = chain("time_distributed", now, size, int(rng.integers(0, 3)))
        if rng.random() < 0.5:
            layer, size = make.scan(SCAN[rng.integers(4)], size)
            ends.append((node("sequence", [now], layer), size))
        else:
            ends.append((node("sum", [now]), size))
    both, size = node("concatenate", [n for n, _ in ends]), sum(s for _, s in ends)
    first, n_first = chain("feed_forward", both, size, 2)
    layer = make.dense(size, n_first)
    second = node("feed_forward", [both], layer)
    total = node("add", [first, second, first])
    last, n_last = chain("feed_forward", total, n_first, 1)
    for name, (number, n) in {"a": (last, n_last), "b": (total, n_first), "c": ends[-1]}.items():
        data["outputs"][name] = {"node_index": number, "labels": [f"{name}{k}" for k in range(n)]}
    return data


def random_cases(data: dict[str, Any], n: int, seed: int, longest: int = 7) -> list[dict[str, Any]]:
    """Return cases with sequences of 0 to ``longest`` objects."""
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(n):
        scalars = {g["name"]: {v["name"]: rng.normal() for v in g["variables"]} for g in data["inputs"]}
        sequences = {}
        for g in data["input_sequences"]:
            length = int(rng.integers(0, longest + 1))
            sequences[g["name"]] = {v["name"]: rng.normal(size=length).tolist() for v in g["variables"]}
        cases.append({"in": {"inputs": scalars, "input_sequences": sequences}})
    return cases


@pytest.fixture(scope="session")
def make_network() -> Any:
    return random_network


@pytest.fixture(scope="session")
def make_cases() -> Any:
    return random_cases


@pytest.fixture(scope="session")
def maker() -> type[Maker]:
    return Maker
