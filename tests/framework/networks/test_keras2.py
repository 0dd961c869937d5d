"""Legacy Keras 2 files made here by hand: the sequential form, and what is wrong with files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hepflow.errors import NetworkError
from hepflow.networks import load, read_keras2


def _write(folder: Path, **changes: Any) -> list[Path]:
    """Write a sequential model: dense 3 relu, dropout, dense 2 softmax."""
    rng = np.random.default_rng(0)
    layers = [
        {
            "class_name": "Dense",
            "config": {"name": "d1", "batch_input_shape": [None, 2], "activation": "relu", "units": 3},
        },
        {"class_name": "Dropout", "config": {"name": "drop", "rate": 0.5}},
        {"class_name": "Dense", "config": {"name": "d2", "activation": "softmax", "units": 2}},
    ]
    arch = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}, "keras_version": "2.13.1"}
    variables = {
        "inputs": [
            {"name": "a", "offset": 1.0, "scale": 2.0, "default": 0.5},
            {"name": "b", "offset": 0.0, "scale": 1.0},
        ],
        "class_labels": ["bkg", "sig"],
    }
    weights = {f"{n}/{n}/kernel:0": rng.normal(size=s) for n, s in (("d1", (2, 3)), ("d2", (3, 2)))}
    weights |= {f"{n}/{n}/bias:0": rng.normal(size=s) for n, s in (("d1", 3), ("d2", 2))}
    paths = [folder / "arch.json", folder / "weights.h5", folder / "variables.json"]
    paths[0].write_text(json.dumps(arch | changes.get("arch", {})))
    paths[2].write_text(json.dumps(variables | changes.get("variables", {})))
    with h5py.File(paths[1], "w") as file:
        for name, values in (weights | changes.get("weights", {})).items():
            file[name] = values
    return paths


def test_a_sequential_model(tmp_path: Path) -> None:
    paths = _write(tmp_path)
    network = read_keras2(*paths)
    with h5py.File(paths[1]) as file:
        (w1, b1), (w2, b2) = ((file[f"{n}/{n}/kernel:0"][:], file[f"{n}/{n}/bias:0"][:]) for n in ("d1", "d2"))
    x = np.random.default_rng(1).normal(size=(20, 2))
    z = np.maximum(((x + np.array([1, 0])) * np.array([2, 1])) @ w1 + b1, 0) @ w2 + b2
    wanted = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    found = network.evaluate({"input_node": x}, dtype=np.float64)["output_node"]
    np.testing.assert_allclose(found, wanted, atol=1e-14)
    assert network.outputs[0].labels == ("bkg", "sig")
    assert network.inputs[0].variables[0].default == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": {"keras_version": "1.2.0"}}, "written by Keras 1.2.0"),
        ({"arch": {"class_name": "Mystery"}}, "no Keras architecture"),
        ({"arch": {"config": {"layers": [{}]}}}, "configuration is damaged"),
        ({"arch": {"config": {"layers": [{"class_name": "InputLayer", "config": {"name": "x"}}]}}}, "says no shape"),
        ({"weights": {"d1/d1/kernel:0": np.ones((4, 3))}}, r"kernel of the Keras layer 'd1' has the shape \(4, 3\)"),
        ({"weights": {"d1/d1/bias:0": np.full(3, np.nan)}}, "NaN or infinite"),
        ({"weights": {"d1/d1/kernel:0": np.array([b"code"])}}, "no numbers"),
        ({"weights": {"d2/d2/kernel:0": h5py.ExternalLink("other.h5", "/x")}}, "is a link"),
        ({"variables": {"class_labels": ["one"]}}, "has 1 labels"),
        ({"variables": {"inputs": []}}, "has 0 variables"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        read_keras2(*_write(tmp_path, **changes))


def test_damaged_weights(tmp_path: Path) -> None:
    paths = _write(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:700])
    with pytest.raises(NetworkError, match="HDF5 file cannot be read"):
        read_keras2(*paths)
    with pytest.raises(NetworkError, match="cannot be read"):
        read_keras2(paths[0], tmp_path / "none.h5", paths[2])


KERNEL = "d1/d1/kernel:0"


@pytest.mark.parametrize("what", ["external", "virtual", "group", "huge", "pieces"])
def test_hdf5_reads_nothing_else_and_bounds_memory(tmp_path: Path, what: str) -> None:
    paths = _write(tmp_path)
    np.full((2, 3), 42, "f4").tofile(tmp_path / "other.bin")
    with h5py.File(paths[1], "r+") as file:
        if what != "group":
            del file[KERNEL]
        if what == "external":
            file.create_dataset(KERNEL, (2, 3), "f4", external=[(str(tmp_path / "other.bin"), 0, 24)])
        elif what == "virtual":
            layout = h5py.VirtualLayout((2, 3), "f4")
            layout[:] = h5py.VirtualSource("other.h5", KERNEL, (2, 3))
            file.create_virtual_dataset(KERNEL, layout)
        elif what == "group":
            file["model_weights"] = h5py.ExternalLink("other.h5", "/")
        elif what == "huge":
            file.create_dataset(KERNEL, (10**6, 10**5), "f4", chunks=(1000, 1000), compression="gzip")
        else:
            file.create_dataset(KERNEL, (2, 3), "f4", maxshape=(None, None), chunks=(2**14, 2**14))
    with pytest.raises(NetworkError, match=r"another file|another place|more than any such network|too large"):
        read_keras2(*paths)


def test_an_archive_that_would_inflate(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 40 * 1024**2)
    with pytest.raises(NetworkError, match=r"config\.json in the archive would take 40 MB"):
        load(tmp_path / "m.keras")
