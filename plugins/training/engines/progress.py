"""The numbers of an epoch while it runs, and a line about it now and then."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from hepflow.plugins.training.engines.base import Floats, Report

__all__ = ["Progress", "clock"]

REPORT_SECONDS = 10.0


class Progress:
    """Loss, accuracy and speed of an epoch; ``report`` gets a line every ten seconds."""

    def __init__(self, rows: int, epoch: int, epochs: int, report: Report | None) -> None:
        self._rows, self._epoch, self._epochs, self._report = rows, epoch, epochs, report
        self._done, self._loss, self._weight, self._correct = 0, 0.0, 0.0, 0.0
        self._accuracy: float | None = None
        self._began = self._shown = time.perf_counter()

    def add(self, rows: Sequence[int], losses: Floats, weights: Floats, right: Floats | None = None) -> bool:
        """Add steps: of each its rows, the mean of weight times loss, the sum of its weights and of those that are
        right; False where the loss is not finite.
        """
        self._done += sum(rows)
        self._loss += float(np.dot(rows, losses))
        self._weight += float(weights.sum())
        if right is not None:
            self._correct += float(right.sum())
            self._accuracy = self._correct / self._weight if self._weight else 0.0
        if not math.isfinite(self._loss):
            return False
        now = time.perf_counter()
        if self._report is not None and now - self._shown >= REPORT_SECONDS:
            self._shown, speed = now, self._done / (now - self._began)
            self._report(
                f"epoch {self._epoch + 1:3d}/{self._epochs}  {100 * self._done / self._rows:3.0f} %  loss "
                f"{self._mean():.4f}  {speed:,.0f} rows/s  ETA of the epoch "
                f"{clock((self._rows - self._done) / speed)}"
            )
        return True

    def _mean(self) -> float:
        """Return the mean loss of the weighted rows, as that of the validation."""
        return self._loss / (self._weight or self._done)

    def row(self, learning_rate: float) -> dict[str, float]:
        """Return the numbers of the epoch."""
        seconds = time.perf_counter() - self._began
        row = {"epoch": self._epoch + 1, "loss": self._mean()}
        row |= {} if self._accuracy is None else {"accuracy": self._accuracy}
        return {**row, "learning_rate": learning_rate, "seconds": seconds, "rows_per_second": self._done / seconds}


def clock(seconds: float) -> str:
    """Return h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
