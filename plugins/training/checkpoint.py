"""Checkpoints: everything a training needs to continue bitwise, in one file that is replaced in one step.

A checkpoint is a numpy archive of plain arrays with one JSON text, and the SHA-256 of it all; nothing in it is code.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hepflow.errors import ToolError, differences
from hepflow.files import write_bytes

__all__ = ["CHECKPOINT", "RESUMES", "Checkpoint", "arrays", "assign"]

CHECKPOINT = "checkpoint.npz"

RESUMES = "is the disk full? what is finished is kept, --resume continues"
"""What to do where a file of a training cannot be written."""

Arrays = list[npt.NDArray[Any]]


def arrays(variables: Iterable[Any]) -> Arrays:
    """Return copies of Keras variables as numpy arrays."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]]) -> None:
    """Set Keras variables; ToolError where numbers or shapes differ."""
    here, there = [tuple(v.shape) for v in variables], [v.shape for v in values]
    if here != there:
        raise ToolError(
            "the weights are of another network",
            hint=f"{len(there)} arrays for {len(here)} variables"
            if len(here) != len(there)
            else f"shapes {next((a, b) for a, b in zip(there, here, strict=True) if a != b)}",
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@dataclass
class Checkpoint:
    """The state after an epoch.

    ``identity`` says what is trained with which settings; ``state`` are the numbers of the training loop. The arrays
    are those of model and optimiser, and of the model at its best epoch.
    """

    identity: Mapping[str, Any]
    state: Mapping[str, Any]
    model: Arrays
    optimiser: Arrays
    best: Arrays = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the checkpoint in one step."""
        buffer = io.BytesIO()
        held = {
            f"{group}_{number:04d}": array
            for group in ("model", "optimiser", "best")
            for number, array in enumerate(getattr(self, group))
        }
        text = json.dumps({"identity": self.identity, "state": self.state}, allow_nan=False)
        np.savez(buffer, text=np.frombuffer(text.encode(), np.uint8), **held)
        content = buffer.getvalue()
        write_bytes(path, content + hashlib.sha256(content).digest(), hint=RESUMES)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint; ToolError where the file is none or damaged."""
        try:
            whole = path.read_bytes()
            content = whole[: -hashlib.sha256().digest_size]
            if content + hashlib.sha256(content).digest() != whole:
                raise ValueError("it is damaged")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                text = json.loads(file["text"].tobytes().decode())
                groups = {
                    group: [file[name] for name in sorted(file.files) if name.startswith(f"{group}_")]
                    for group in ("model", "optimiser", "best")
                }
                return cls(text["identity"], text["state"], **groups)
        except (OSError, ValueError, KeyError) as error:
            raise ToolError(
                f"the checkpoint cannot be read: {error}", where=str(path), hint="remove it to train from the start"
            ) from error

    def differences(self, identity: Mapping[str, Any]) -> list[str]:
        """Return, in words, in what another training differs from that of the checkpoint."""
        return differences(self.identity, json.loads(json.dumps(identity)))
