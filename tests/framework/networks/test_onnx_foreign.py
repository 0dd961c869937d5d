"""ONNX models that hepflow did not write: which axis is what, which outputs can be used, and what is refused."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from onnx import TensorProto as T  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from hepflow import networks  # noqa: E402
from hepflow.errors import NetworkError  # noqa: E402
from hepflow.networks import OnnxNetwork, read_lwtnn, write_onnx  # noqa: E402
from hepflow.networks.onnx_write import sign  # noqa: E402

node = helper.make_node


def tensor(name: str, *shape: int | str | None, kind: int = T.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def build(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    functions: Sequence[Any] = (),
    **constants: Any,
) -> Any:
    """Make a model; constants are arrays by name."""
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("own", 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions, producer_name="skl2onnx")


def load(path: Path, model: Any) -> OnnxNetwork:
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    opened = networks.load(path)
    assert isinstance(opened, OnnxNetwork)
    return opened


TAUS = (np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, 80.0]]), np.array([2, 0, 1, 1]))
"""Objects of four taus, two variables each."""
SUMS = [[3.0, 30.0], [0.0, 0.0], [4.0, 40.0], [8.0, 80.0]]


def total(axis: int, shape: Sequence[int | str | None], kind: int = T.FLOAT) -> Any:
    """Return a model that sums the input x over one axis."""
    nodes = [node("ReduceSum", ["x", "a"], ["s"], keepdims=0), node("Cast", ["s"], ["y"], to=T.FLOAT)]
    return build(nodes, [tensor("x", *shape, kind=kind)], [tensor("y", *[None] * (len(shape) - 1))], a=[axis])


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (1, ("N", "n", 2)),
        (1, (None, None, None)),
        (1, ("N", 5, 2)),
        (2, ("N", 2, "n")),
        (2, ("N", 2, 5)),
        (1, (1, "n", 2)),
        (0, ("n", 2)),
        (1, (2, "n")),
        (1, (3, "n", 2)),
    ],
)
def test_axes_follow_from_sizes(tmp_path: Path, axis: int, shape: tuple[Any, ...]) -> None:
    opened = load(tmp_path / "n.onnx", total(axis, shape))
    if shape == (None, None, None):  # both orders run
        with pytest.raises(NetworkError, match="nothing tells which axis of ONNX input 'x'"):
            opened.declare({}, {"x": ["a", "b"]})
        named = opened.declare({}, {"x": ["a", "b"]}, axes={"x": ("batch", "objects", "variables")})
    else:
        named = opened.declare({}, {"x": ["a", "b"]}, {"y": ["p", "q"]})
    for network in (named, pickle.loads(pickle.dumps(named))):
        assert network.evaluate({"x": TAUS})["y"].tolist() == SUMS


@pytest.mark.parametrize("kind", [T.DOUBLE, T.FLOAT16, T.INT64, T.INT32])
def test_types_of_inputs(tmp_path: Path, kind: int) -> None:
    named = load(tmp_path / "n.onnx", total(1, ("N", "n", 2), kind)).declare({}, {"x": ["a", "b"]})
    assert named.evaluate({"x": TAUS})["y"].tolist() == SUMS
    if kind in (T.INT64, T.INT32):
        with pytest.raises(NetworkError, match=r"cannot take 1\.5"):
            named.evaluate({"x": (np.array([[1.5, 1.0]]), [1])})
        found = named.evaluate({"x": (np.array([[np.nan, 1.0], [1.0, 1.0]]), [1, 1])})["y"]
        assert np.isnan(found[0]).all()
        assert found[1].tolist() == [1.0, 1.0]
    if kind == T.FLOAT16:
        with pytest.raises(NetworkError, match="cannot take 70000"):
            named.evaluate({"x": (np.array([[70000.0, 1.0]]), [1])})


@pytest.mark.parametrize("shape", [("N", 2, 2), (2, 2)])
def test_axes_of_one_size_must_be_declared(tmp_path: Path, shape: tuple[Any, ...]) -> None:
    rank = len(shape)
    opened = load(tmp_path / "n.onnx", total(rank - 1, shape))  # sums over the last axis: the objects
    with pytest.raises(NetworkError, match="two axes of 2: which one are the variables") as caught:
        opened.declare({}, {"x": ["a", "b"]})
    assert "Axes" in caught.value.hint
    axes = ("batch", "variables", "objects")[-rank:]
    named = opened.declare({}, {"x": ["a", "b"]}, axes={"x": axes})
    assert named.evaluate({"x": TAUS})["y"].tolist() == SUMS
    for words, message in (
        (("batch",), "axes, 1 are declared"),
        (("objects", "objcts", "1")[:rank], "cannot be"),
        (("batch", "variables", "1")[-rank:], "no axis for the objects|declared 1 but"),
    ):
        with pytest.raises(NetworkError, match=message):
            opened.declare({}, {"x": ["a", "b"]}, axes={"x": words})


def test_axes_that_are_taken_wrongly_are_found_by_trial(tmp_path: Path) -> None:
    """Time first: taken as taus first it mixes taus."""
    model = build(
        [node("CumSum", ["x", "a"], ["y"])], [tensor("x", "steps", "N", 2)], [tensor("y", "steps", "N", 2)], a=0
    )
    opened = load(tmp_path / "n.onnx", model)
    with pytest.raises(NetworkError, match="together with others: are the axes taken rightly") as caught:
        opened.declare({}, {"x": ["a", "b"]}, {"y": ["p", "q"]})
    assert "x: batch, objects, variables; declare them (Axes)" in caught.value.hint
    axes = {"x": ("objects", "batch", "variables")}
    total_of_steps = build(
        [node("ReduceSum", ["x", "a"], ["y"], keepdims=0)], model.graph.input, [tensor("y", "N", 2)], a=[0]
    )
    opened = load(tmp_path / "n.onnx", total_of_steps)
    named = opened.declare({}, {"x": ["a", "b"]}, {"y": ["p", "q"]}, axes=axes)
    assert named.evaluate({"x": TAUS})["y"].tolist() == SUMS
    mean = [node("ReduceMean", ["x", "a"], ["m"], keepdims=1), node("Sub", ["x", "m"], ["y"])]
    mixing = build(mean, [tensor("x", "N", 2)], [tensor("y", "N", 2)], a=[0])
    with pytest.raises(NetworkError, match="differs for a row alone"):
        load(tmp_path / "n.onnx", mixing).declare({"x": ["a", "b"]}, labels={"y": ["p", "q"]})


def test_rank_and_number_of_variables_are_checked_at_once(tmp_path: Path) -> None:
    weights = np.ones((3, 1), np.float32)
    model = build([node("MatMul", ["x", "w"], ["y"])], [tensor("x", "N", None)], [tensor("y", "N", 1)], w=weights)
    opened = load(tmp_path / "n.onnx", model)
    assert networks.load(tmp_path / "n.onnx").graph[-2:] == (
        "the inputs of the ONNX model must be declared",
        "inputs: x [N, ?] float",
    )
    with pytest.raises(NetworkError, match="must be declared"):
        opened.evaluate({"x": np.ones((1, 2))})
    with pytest.raises(NetworkError, match="ONNX Runtime"):
        opened.declare({"x": ["a", "b"]})
    assert opened.declare({"x": list("abc")}).evaluate({"x": np.ones((2, 3))})["y"].tolist() == [[3.0], [3.0]]


def test_a_sequence_of_fixed_length_is_filled_and_marked(tmp_path: Path) -> None:
    """Means over real objects: with a mask per object, or their number."""
    nodes = [
        node("Cast", ["real"], ["m"], to=T.FLOAT),
        node("Unsqueeze", ["m", "two"], ["column"]),
        node("Add", ["x", "c"], ["shifted"]),  # what is filled in must not count
        node("Mul", ["shifted", "column"], ["masked"]),
        node("ReduceSum", ["masked", "one"], ["sum"], keepdims=0),
        node("Unsqueeze", ["n", "one"], ["number"]),
        node("Cast", ["number"], ["float"], to=T.FLOAT),
        node("Div", ["sum", "float"], ["y"]),
    ]
    inputs = [tensor("x", "N", 3, 2), tensor("real", "N", 3, kind=T.BOOL), tensor("n", "N", kind=T.INT64)]
    model = build(nodes, inputs, [tensor("y", "N", 2)], one=[1], two=[2], c=np.float32(1.0))
    opened = load(tmp_path / "n.onnx", model)
    with pytest.raises(NetworkError, match="'real' is not declared"):
        opened.declare({}, {"x": ["a", "b"]})
    with pytest.raises(NetworkError, match="belongs to no sequence 'xx'"):
        opened.declare({}, {"x": ["a", "b"]}, masks={"real": "xx", "n": "x"})
    named = opened.declare({}, {"x": ["a", "b"]}, masks={"real": "x", "n": "x"})
    found = named.evaluate({"x": TAUS})["y"]
    np.testing.assert_array_equal(found, [[2.5, 16.0], [np.nan, np.nan], [5.0, 41.0], [9.0, 81.0]])
    with pytest.raises(NetworkError, match="takes 3 objects, a row has 4"):
        named.evaluate({"x": (np.ones((4, 2)), [4])})


def test_outputs_that_nobody_asked_for(tmp_path: Path) -> None:
    """Text labels, scalars, pairs of objects, a number of objects: told, not in the way."""
    linear = node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        classlabels_strings=["b", "s"],
        coefficients=[1.0, 0.0, 0.0, 1.0],
        intercepts=[0.0, 0.0],
        domain="ai.onnx.ml",
    )
    zipped = node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["b", "s"])
    kind = helper.make_map_type_proto(T.STRING, helper.make_tensor_type_proto(T.FLOAT, []))
    maps = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    loss = node("ReduceMean", ["x"], ["loss"], keepdims=0)
    outputs = [tensor("label", "N", kind=T.STRING), maps, tensor("loss"), tensor("scores", "N", 2)]
    opened = load(tmp_path / "n.onnx", build([linear, zipped, loss], [tensor("x", "N", 2)], outputs))
    assert [output.name for output in opened.outputs] == ["maps", "scores"]
    assert "not numbers" in opened.trial.left["label"]
    assert "not one a row" in opened.trial.left["loss"]
    assert networks.load(tmp_path / "n.onnx").origin == "ONNX of skl2onnx"
    graph = networks.load(tmp_path / "n.onnx").graph
    assert graph[0] == "in  x [N, 2] float: axes batch, variables"
    assert graph[3] == "out loss [] float: left aside, it has the shape () for 3 rows: not one a row"
    assert graph[4] == "out scores [N, 2] float: 2 a row"
    x = np.array([[2.0, 0.0], [0.0, 2.0]])
    named = opened.declare({"x": ["a", "b"]}, labels={"scores": ["bkg", "sig"]})
    for network in (named, opened.declare({"x": ["a", "b"]}, labels={"maps": ["bkg", "sig"]})):
        (found,) = network.evaluate({"x": x}).values()
        assert found.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    with pytest.raises(NetworkError, match="'loss' has the shape"):
        opened.declare({"x": ["a", "b"]}, labels={"loss": ["loss"]})
    whole = node("Cast", ["x"], ["y"], to=T.INT64)
    found = load(tmp_path / "i.onnx", build([whole], [tensor("x", "N", 1)], [tensor("y", "N", 1, kind=T.INT64)]))
    assert found.evaluate({"x": np.array([[2.0**24 + 2]])})["y"].tolist() == [[2.0**24 + 2]]


@pytest.mark.parametrize("batch", [True, False])
def test_values_of_objects(tmp_path: Path, batch: bool) -> None:
    """As in GN2: one row a jet and one row a track, of several tracks together or of one jet at a time."""
    first = ("N",) if batch else ()
    axes = len(first)
    nodes = [
        node("ReduceSum", ["tracks", "a"], ["s"], keepdims=0),
        node("Add", ["s", "jet"], ["p"]),
        node("Mul", ["tracks", "c"], ["origin"]),
        node("ReduceSum", ["tracks", "last"], ["t"], keepdims=0),
        node("Cast", ["t"], ["vertex"], to=T.INT8),
        node("MatMul", ["tracks", "turned"], ["edges"]),
        node("Transpose", ["tracks"], ["turned"], perm=[0, 2, 1] if batch else [1, 0]),
    ]
    nodes.insert(5, nodes.pop())
    inputs = [tensor("jet", *(first or (1,)), 2), tensor("tracks", *first, "n", 2)]
    outputs = [
        tensor("p", *(first or (1,)), 2),
        tensor("origin", *first, "n", 2),
        tensor("vertex", *first, "n", kind=T.INT8),
        tensor("edges", *first, "n", "n"),
    ]
    model = build(nodes, inputs, outputs, a=[axes], last=[axes + 1], c=np.float32(2))
    opened = load(tmp_path / "n.onnx", model)
    assert [group.name for group in opened.input_sequences] == ["tracks"]
    named = opened.declare({"jet": ["a", "b"]}, {"tracks": ["x", "y"]})
    assert {o.name: named.sequence_of(o) for o in named.outputs} == {
        "p": None,
        "origin": ("tracks", 0),
        "vertex": ("tracks", 0),
    }
    assert "pair of objects" in named.trial.left["edges"]
    found = named.evaluate({"jet": np.ones((4, 2)), "tracks": TAUS})
    assert found["p"].tolist() == (np.array(SUMS) + 1).tolist()
    assert found["origin"].tolist() == (2 * TAUS[0]).tolist()
    assert found["vertex"].ravel().tolist() == [11.0, 22.0, 44.0, 88.0]


@pytest.mark.parametrize("cell", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrent_layers_without_objects_and_with_nan(tmp_path: Path, cell: tuple[str, int]) -> None:
    """GRU of ONNX Runtime ends the process on an empty sequence; HardSigmoid and ReduceMax pass by a NaN."""
    rng = np.random.default_rng(0)
    kind, gates = cell
    functions = {"LSTM": ["HardSigmoid"] * 3, "GRU": ["HardSigmoid"] * 2, "RNN": ["HardSigmoid"]}[kind]
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node(kind, ["t", "W", "R"], ["", "h"], hidden_size=4, activations=functions),
        node("Squeeze", ["h", "a"], ["y"]),
    ]
    weights = {"W": rng.normal(size=(1, 4 * gates, 2)), "R": rng.normal(size=(1, 4 * gates, 4))}
    made = build(
        nodes,
        [tensor("x", "N", "n", 2)],
        [tensor("y", "N", 4)],
        a=[0],
        **{name: values.astype(np.float32) for name, values in weights.items()},
    )
    named = load(tmp_path / "n.onnx", made).declare({}, {"x": ["a", "b"]})
    values, counts = TAUS
    found = named.evaluate({"x": TAUS})["y"]
    np.testing.assert_array_equal(found[1], np.full(4, np.nan) if kind == "GRU" else np.zeros(4))
    wrong = values.copy()
    wrong[0, 1] = np.nan
    again = named.evaluate({"x": (wrong, counts)})["y"]
    assert np.isnan(again[0]).all()
    np.testing.assert_array_equal(again[1:], found[1:])


def test_objects_too_few_for_a_convolution(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["c"]), node("ReduceMax", ["c", "a"], ["y"], keepdims=0)]
    kernel = np.ones((1, 1, 2), np.float32)
    model = build(nodes, [tensor("x", "N", 1, "n")], [tensor("y", "N", 1)], w=kernel, a=[2])
    named = load(tmp_path / "n.onnx", model).declare({}, {"x": ["a"]})
    found = named.evaluate({"x": (np.arange(5.0)[:, None], [2, 0, 1, 2])})["y"]
    np.testing.assert_array_equal(found, [[1.0], [np.nan], [np.nan], [7.0]])
    assert (
        networks.load(tmp_path / "n.onnx").graph[0]
        == "in  x [N, 1, n] float: axes batch, variables, objects, at least 2 objects"
    )


def test_sequences_of_the_same_objects(tmp_path: Path) -> None:
    """As in ParticleNet: four-momenta and features of the same objects, in two tensors."""
    nodes = [node("Concat", ["p", "f"], ["c"], axis=2), node("ReduceSum", ["c", "a"], ["y"], keepdims=0)]
    inputs = [tensor("p", "N", "n", 2), tensor("f", "N", "m", 1)]
    opened = load(tmp_path / "n.onnx", build(nodes, inputs, [tensor("y", "N", 3)], a=[1]))
    named = opened.declare({}, {"p": ["x", "y"], "f": ["q"]})
    assert [sorted(group) for group in named.trial.tied] == [["f", "p"]]
    found = named.evaluate({"p": TAUS, "f": (np.ones((4, 1)), TAUS[1])})["y"]
    assert found.tolist() == [[*row, n] for row, n in zip(SUMS, TAUS[1], strict=True)]
    with pytest.raises(NetworkError, match="are of the same objects"):
        named.evaluate({"p": TAUS, "f": (np.ones((3, 1)), [1, 0, 1, 1])})


def test_a_class_is_missing_where_its_probabilities_are(tmp_path: Path) -> None:
    nodes = [node("Softmax", ["x"], ["p"]), node("ArgMax", ["p"], ["y"], axis=1, keepdims=0)]
    named = load(tmp_path / "n.onnx", build(nodes, [tensor("x", "N", 2)], [tensor("y", "N", kind=T.INT64)]))
    found = named.evaluate({"x": np.array([[np.nan, 1.0], [0.0, 1.0]])})["y"]
    np.testing.assert_array_equal(found, [[np.nan], [1.0]])


def test_a_nan_that_the_model_asks_for_is_its_own(tmp_path: Path) -> None:
    nodes = [
        node("IsNaN", ["x"], ["n"]),
        node("Where", ["n", "d", "x"], ["f"]),
        node("ReduceMax", ["f", "a"], ["y"], keepdims=1),
    ]
    model = build(nodes, [tensor("x", "N", 2)], [tensor("y", "N", 1)], d=np.float32(7), a=[1])
    found = load(tmp_path / "n.onnx", model).declare({"x": ["a", "b"]}).evaluate({"x": np.array([[np.nan, 1.0]])})
    assert found["y"].tolist() == [[7.0]]


def _loop(steps: str = "") -> Any:
    """Return x with its sign turned so many times."""
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Neg", ["v"], ["w"])],
        "b",
        [tensor("i", kind=T.INT64), tensor("c", kind=T.BOOL), tensor("v", "n", 2)],
        [tensor("d", kind=T.BOOL), tensor("w", "n", 2)],
    )
    return node("Loop", [steps, "", "x"], ["y"], body=body)


def _functions(calls: dict[str, list[str]]) -> list[Any]:
    opset = [helper.make_opsetid("own", 1)]
    return [
        helper.make_function("own", name, ["p"], ["q"], [node(c, ["p"], ["q"], domain="own") for c in called], opset)
        for name, called in calls.items()
    ]


def test_graphs_that_are_refused_before_onnx_runtime_gets_them(tmp_path: Path) -> None:
    inputs, outputs = [tensor("x", "n", 2)], [tensor("y", "n", 2)]

    def refused(message: str, nodes: list[Any], **more: Any) -> None:
        with pytest.raises(NetworkError, match=message):
            load(tmp_path / "n.onnx", build(nodes, inputs, outputs, **more))

    refused("a Loop without a number of steps", [_loop()])
    branch = helper.make_graph([_loop()], "b", [], [tensor("y", "n", 2)])
    refused("Loop", [node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], c=np.array(True))
    refused("an input of the operator Sum has no name", [node("Sum", ["x", ""], ["y"])])
    call = node("f", ["x"], ["y"], domain="own")
    refused("calls itself", [call], functions=_functions({"f": ["g"], "g": ["f"]}))
    tower = {"f": ["g0"]} | {f"g{n}": [f"g{n + 1}"] * 4 for n in range(12)}
    refused("more than 30,000 nodes", [call], functions=_functions(tower))
    model = build([node("Add", ["x", "w"], ["y"])], inputs, outputs, w=np.ones(2, np.float32))
    model.graph.initializer[0].dims[0] = 10**12
    with pytest.raises(NetworkError, match=r"tensor 'w' has 8 bytes"):
        load(tmp_path / "n.onnx", model)
    with pytest.raises(NetworkError, match=r"no UTF-8"):
        load(tmp_path / "n.onnx", model.SerializeToString().replace(b"\x01w", b"\x01\xbe"))
    with pytest.raises(NetworkError, match="own format"):
        load(tmp_path / "n.onnx", b"\x08\x08\x3a\x00ORTM")


def test_loops_have_a_number_of_steps_and_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Keras exports GRU and SimpleRNN."""
    tensors = [tensor("x", "n", 2)], [tensor("y", "n", 2)]
    named = load(tmp_path / "n.onnx", build([_loop("steps")], *tensors, steps=np.array(3)))
    assert named.evaluate({"x": np.array([[1.0, 2.0]])})["y"].tolist() == [[-1.0, -2.0]]
    monkeypatch.setattr("hepflow.networks.onnx_session.SECONDS", 0.2)
    opened = load(tmp_path / "n.onnx", build([_loop("steps")], *tensors, steps=np.array(2**62)))
    with pytest.raises(NetworkError, match=r"runs for more than 0\.2 s"):
        opened.evaluate({"x": np.ones((1, 2))})


@pytest.mark.parametrize("factor", [10**9, 10**11])
def test_memory_that_a_model_asks_for_is_bounded(tmp_path: Path, factor: int) -> None:
    """Known only when it runs: ConstantOfShape of a number computed from the input's shape."""
    nodes = [
        node("Shape", ["x"], ["s"], start=0, end=1),
        node("Mul", ["s", "k"], ["n"]),
        node("ConstantOfShape", ["n"], ["c"]),
        node("ReduceSum", ["c"], ["r"], keepdims=0),
        node("Add", ["x", "r"], ["y"]),
    ]
    opened = load(tmp_path / "n.onnx", build(nodes, [tensor("x", "N", 2)], [tensor("y", "N", 2)], k=[factor]))
    with pytest.raises(NetworkError, match=r"more than 1\.5 GiB"):
        opened.evaluate({"x": np.ones((1, 2))})
    with pytest.raises(NetworkError, match="larger than any network needs"):
        load(tmp_path / "l.onnx", total(1, ("N", 10**9, 2))).declare({}, {"x": ["a", "b"]})


def _field(number: int, content: bytes, *, more: int = 0) -> bytes:
    def varint(value: int) -> bytes:
        made = b""
        while value > 127:
            made, value = made + bytes([value & 127 | 128]), value >> 7
        return made + bytes([value])

    return varint((number << 3 | 2) + more) + varint(len(content)) + content


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret.bin", "outside its folder"),
        ("a\0b", "outside its folder"),
        ("a" * 5000, "not beside it"),
        ("*/_ORT_MEM_ADDR_/*", "outside its folder"),
        ("small.bin", "more data than the file"),
        ("large.bin", "more than 1 GiB of external data"),
    ],
)
@pytest.mark.parametrize("more", [0, 2**32])  # protobuf keeps 32 bits of a tag
def test_external_data_however_it_is_spelled(tmp_path: Path, location: str, message: str, more: int) -> None:
    (tmp_path / "in").mkdir()
    np.ones(8).tofile(tmp_path / "secret.bin")
    (tmp_path / "in" / "small.bin").write_bytes(b"\0")
    with (tmp_path / "in" / "large.bin").open("wb") as file:
        file.truncate(2**31)
    weights = T(name="w", data_type=T.FLOAT, dims=(4, 4), data_location=T.EXTERNAL).SerializeToString()
    weights += _field(13, _field(1, b"location") + _field(2, location.encode()), more=more)
    model = build([node("MatMul", ["x", "w"], ["y"])], [tensor("x", "n", 4)], [tensor("y", "n", 4)])
    graph = model.graph.SerializeToString() + _field(5, weights)
    model.ClearField("graph")
    with pytest.raises(NetworkError, match=message):
        load(tmp_path / "in" / "n.onnx", model.SerializeToString() + _field(7, graph))


NET = {
    "inputs": [],
    "input_sequences": [{"name": "s", "variables": [{"name": n, "offset": 0, "scale": 1} for n in "ab"]}],
    "layers": [{"architecture": "dense", "weights": [1, 10], "bias": [0], "activation": "linear"}],
    "nodes": [
        {"type": "input_sequence", "sources": [0], "size": 2},
        {"type": "time_distributed", "sources": [0], "layer_index": 0},
    ],
    "outputs": {"o": {"node_index": 1, "labels": ["y"]}},
}


@pytest.mark.parametrize("signed", [False, True])
def test_hepflows_own_description_is_covered_and_checked(tmp_path: Path, signed: bool) -> None:
    def changed(change: Any) -> OnnxNetwork:
        write_onnx(read_lwtnn(NET), tmp_path / "n.onnx")
        model = onnx.load(tmp_path / "n.onnx")
        facts = {entry.key: entry.value for entry in model.metadata_props}
        description = json.loads(facts["hepflow"])
        change(description)
        for entry in model.metadata_props:
            if entry.key == "hepflow":
                entry.value = json.dumps(description)
        if not signed:
            return load(tmp_path / "n.onnx", model)
        del model.metadata_props[:]
        return load(tmp_path / "n.onnx", sign(model, {"hepflow": json.dumps(description)}))

    assert changed(lambda d: None).outputs[0].labels == ("y",)
    changes: list[Any] = [
        lambda d: d["outputs"][0].update(sequence=5),
        lambda d: d["outputs"][0].update(sequence=[]),
        lambda d: d["outputs"][0].update(sequence=["nothing", 0]),
        lambda d: d["outputs"][0].update(labels=[[]]),
        lambda d: d["outputs"].append(5),
        lambda d: d["inputs"].append({"name": "s", "tensor": "s", "variables": []}),
        lambda d: d["outputs"][0].update(tensor="nothing"),
    ]
    for change in changes:
        with pytest.raises(NetworkError):
            changed(change)
    if not signed:
        with pytest.raises(NetworkError, match="changed after hepflow wrote it"):
            changed(lambda d: d["input_sequences"][0]["variables"].reverse())
        return
    with pytest.raises(NetworkError, match=r"shape \(4, 1\), not \(4, 2\)"):
        changed(lambda d: d["outputs"][0].update(labels=["y", "z"])).evaluate({"s": TAUS})


def test_labels_of_hepflows_own_model_can_be_others(tmp_path: Path) -> None:
    write_onnx(read_lwtnn(NET), tmp_path / "n.onnx")
    opened = load(tmp_path / "n.onnx", (tmp_path / "n.onnx").read_bytes())
    named = opened.declare(labels={"o": ["other"]})
    assert named.outputs[0].labels == ("other",)
    assert named.evaluate({"s": TAUS})["o"].ravel().tolist() == [101.0, 202.0, 404.0, 808.0]
    with pytest.raises(NetworkError, match="has 1 values, 2 labels"):
        opened.declare(labels={"o": ["p", "q"]})
    with pytest.raises(NetworkError, match="names its inputs itself"):
        opened.declare({"s": ["a", "b"]})


def test_damage_beyond_the_graph_is_noticed(tmp_path: Path) -> None:
    write_onnx(read_lwtnn(NET), tmp_path / "n.onnx")
    content = (tmp_path / "n.onnx").read_bytes()
    extra = helper.make_graph([node("Neg", ["s"], ["z"])], "g", [], []).SerializeToString()
    for more in (_field(7, extra), _field(6, b"text"), struct.pack("<B", 5 << 3) + b"\x01"):
        with pytest.raises(NetworkError):
            load(tmp_path / "n.onnx", content + more)
