"""ONNX for networks that lwtnn cannot express: Keras' own export, with inputs and description as in hepflow's files.

A sequence goes in as (batch, objects, variables) with its counts (batch), as in ``hepflow.networks.onnx_write``, so
that ``hepflow.networks.load`` runs both kinds alike.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import NetworkError
from hepflow.plugins.training.architectures.base import COUNTS
from hepflow.plugins.training.configuration import NetworkPlan
from hepflow.plugins.training.engines.onnx import write_described

__all__ = ["write_keras_onnx"]


def write_keras_onnx(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any], path: Path) -> None:
    """Write the model as ONNX; NetworkError where Keras cannot export it, as on other backends than TensorFlow."""
    import keras
    import onnx

    if keras.backend.backend() != "tensorflow":
        raise NetworkError(
            f"this network cannot be written as ONNX from Keras on {keras.backend.backend()}",
            hint="the training is kept: the same command with KERAS_BACKEND=tensorflow before it and --resume exports",
        )
    counted = plan.build(COUNTS)
    counted.set_weights(model.get_weights())
    counted(_one_row(plan))  # Keras exports only what was called
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # Keras asks numpy for a name that is gone
                counted.export(str(target), format="onnx", verbose=False)
            exported = onnx.load(target)
        except Exception as error:  # whatever the exporters of the backends raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NetworkError(
                f"Keras cannot export the network as ONNX: {first[:300]}",
                where=f"Keras {keras.__version__} on {keras.backend.backend()}",
                hint="the export needs tf2onnx: pip install 'hepflow[train]' from your checkout",
            ) from error
    _rename(exported, plan, output)
    origin = f"Keras {keras.__version__} on {keras.backend.backend()}"
    write_described(exported.SerializeToString(), path, plan, output, record, origin)


def _rename(exported: Any, plan: NetworkPlan, output: str) -> None:
    """Give the output its name and the open axes theirs: ``batch``, ``<sequence>_objects``."""
    old = exported.graph.output[0].name
    for node in exported.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = output if name == old else name
    exported.graph.output[0].name = output
    for tensor in (*exported.graph.input, *exported.graph.output):
        axes = tensor.type.tensor_type.shape.dim
        axes[0].dim_param = "batch"
        if len(axes) == 3:
            axes[1].dim_param = f"{tensor.name}_objects"


def _one_row(plan: NetworkPlan) -> dict[str, npt.NDArray[Any]]:
    """Return inputs of one row with two objects in each sequence."""
    inputs: dict[str, npt.NDArray[Any]] = {}
    for one in plan.inputs:
        objects = () if one.cap is None else (2,)
        inputs[one.name] = np.zeros((1, *objects, len(one.variables)), np.float32)
        if one.cap is not None:
            inputs[f"{one.name}_counts"] = np.full(1, 2)
    return inputs
