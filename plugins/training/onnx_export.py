"""ONNX for networks that lwtnn cannot express: Keras' own export, with the inputs and the description of hepflow's files.

A sequence goes in as (batch, objects, variables) with its counts (batch), as in ``hepflow.networks.onnx_write``, so
that ``Network.load`` runs both kinds alike.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks.onnx_file import CHECKSUM, RECORD, graph_digest
from hepflow.plugins.training.architectures.base import COUNTS
from hepflow.plugins.training.checkpoint import replace_file
from hepflow.plugins.training.configuration import NetworkPlan

__all__ = ["write_keras_onnx"]


def write_keras_onnx(model: Any, plan: NetworkPlan, output: str, record: Mapping[str, Any], path: Path) -> None:
    """Write the model as ONNX; NetworkError where Keras cannot export it on this backend."""
    import keras
    import onnx

    counted = plan.build(COUNTS)
    counted.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        try:
            counted.export(str(target), format="onnx", verbose=False)
            exported = onnx.load(target)
        except Exception as error:  # whatever the exporters of the backends raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NetworkError(
                f"Keras cannot export the network as ONNX: {first[:300]}",
                where=f"Keras {keras.__version__} on {keras.backend.backend()}",
                hint="with TensorFlow the export needs tf2onnx: pip install 'hepflow[train]' from your checkout",
            ) from error
    print(exported.graph.input, exported.graph.output)
