"""What hepflow says in the files of other programs: names of input, output and labels, and the record.

XGBoost keeps it as the attribute ``hepflow`` of the booster, LightGBM as the line ``hepflow=`` of its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepflow.errors import NetworkError
from hepflow.networks import jsontext
from hepflow.networks.graph import Output, unique

__all__ = ["INPUT", "Description", "read_description", "write_description"]

INPUT = "variables"
"""What the input of a forest is called where its file has no name for it."""


@dataclass(frozen=True)
class Description:
    """Name of the input, name and labels of the output (empty: those of the format), and the record."""

    input: str = INPUT
    name: str = "output"
    labels: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def output(self, usual: Sequence[str], *, pair: bool) -> Output:
        """Return the output; where ``pair``, one value may have two labels: those of 1 - p and p.

        NetworkError where the labels do not fit.
        """
        if self.labels and len(self.labels) != len(usual) and not (pair and len(self.labels) == 2):
            raise NetworkError(f"the file names {len(self.labels)} values of the model, which has {len(usual)}")
        unique(self.labels, "label")
        return Output(self.name, 0, self.labels or tuple(usual))


def write_description(
    record: Mapping[str, Any], *, labels: Sequence[str] = (), input: str = INPUT, name: str = "output"
) -> str:
    """Return the description as text without ``=`` and line breaks, for ``Booster.set_attr(hepflow=…)`` of XGBoost and
    for the line ``hepflow=…`` behind the first line of LightGBM's text.
    """
    text = json.dumps({"input": input, "name": name, "labels": list(labels), "record": dict(record)})
    return text.replace("=", "\\u003d")


def read_description(text: str) -> Description:
    """Read what ``write_description`` made, or nothing of an empty text; NetworkError where it is something else."""
    if not text:
        return Description()
    what = "hepflow's description in the file"
    data = jsontext.parse_json(text.encode())
    labels = [jsontext.text(label, "a label") for label in jsontext.section(data, "labels", list, what)]
    return Description(
        jsontext.section(data, "input", str, what),
        jsontext.section(data, "name", str, what),
        tuple(labels),
        jsontext.section(data, "record", dict, what),
    )
