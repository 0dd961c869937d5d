"""The plain network of PyTorch: dense layers on flat inputs, as in the HH exercise (5-64-64-64-2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hepflow.plugins.training.architectures.base import (
    TRAINING,
    Architecture,
    Key,
    NetworkInput,
    check_flat,
    switch,
)

__all__ = ["TorchDense"]


class TorchDense(Architecture):
    """Dense layers with relu on one flat input or several; the outputs are logits, or numbers."""

    LIBRARY: ClassVar[str] = "torch"
    KEYS: ClassVar[Mapping[str, Key]] = {
        "n_hiddens": Key([64, 64, 64], many=True),
        "batch_norm": switch(0),
        "dropout": Key(0.0, fraction=True),
    }

    def check(self, config: Mapping[str, Any], inputs: Sequence[NetworkInput], where: str) -> None:
        """Raise NetworkError for an input that is a sequence."""
        check_flat("the architecture TorchDense", inputs, where)

    def build(
        self, inputs: Sequence[NetworkInput], classes: Sequence[str], config: Mapping[str, Any], form: str = TRAINING
    ) -> Any:
        """Return the module."""
        import torch

        layers: list[Any] = []
        width = sum(len(one.variables) for one in inputs)
        for size in config["n_hiddens"]:
            layers += [torch.nn.Linear(width, size), torch.nn.ReLU()]
            layers += [torch.nn.BatchNorm1d(size)] if config["batch_norm"] else []
            layers += [torch.nn.Dropout(config["dropout"])] if config["dropout"] else []
            width = size
        layers.append(torch.nn.Linear(width, len(classes)))
        stack = torch.nn.Sequential(*layers)
        if len(inputs) == 1:
            return stack

        class Joined(torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.stack = stack

            def forward(self, **values: Any) -> Any:
                return self.stack(torch.cat([values[one.name] for one in inputs], dim=1))

        return Joined()
