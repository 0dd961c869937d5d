"""Number and sum of weights before any selection, where formats of others keep them: NanoAOD's Runs, an xAOD's
CutBookkeepers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from hepflow.io.conventions import convention_of
from hepflow.io.trees import OpenTree
from hepflow.normalisation import Normalisation

__all__ = ["bookkept"]

_RUNS = (("genEventSumw", "genEventCount"), ("genEventSumw_", "genEventCount_"))
"""Names in NanoAOD's tree Runs; those with ``_`` are of version 6."""
_BOOKKEEPERS = "CutBookkeepersAux."
_ALL = "AllExecutedEvents"


def bookkept(opened: OpenTree) -> Normalisation | None:
    """Return what the file of an open tree says of its events before any selection; None where nothing is readable."""
    top = opened.file.classnames(recursive=False, cycle=False)
    if opened.name == "Events" and "Runs" in top:
        names = opened.file["Events"].keys() if opened.kind == "TTree" else opened.tree.keys()
        if convention_of("Events", names).name == "NanoAOD":
            return _of_runs(opened.file["Runs"])
    if opened.name in ("CollectionTree", "EventData") and top.get("MetaData") == "TTree":
        with suppress(Exception):  # whatever uproot raises for a container of metadata that it does not know
            return _of_bookkeepers(opened.file["MetaData"])
    return None


def _of_runs(runs: Any) -> Normalisation | None:
    for weights, events in _RUNS:
        if {weights, events} <= set(runs.keys()):
            found = runs.arrays([weights, events], library="np")
            return Normalisation("", events=float(found[events].sum()), sum_of_weights=float(found[weights].sum()))
    return None


def _of_bookkeepers(tree: Any) -> Normalisation | None:
    """Return the sums of ``AllExecutedEvents`` of the largest cycle, as ATLAS's SumOfWeights tools take it; where the
    file was merged, tree entries add up.
    """
    rows = list(_rows(tree))
    cycles = [cycle for name, stream, cycle, *_ in rows if name == _ALL and stream == "StreamAOD"]
    chosen = [row for row in rows if row[0] == _ALL and row[1] == "StreamAOD" and row[2] == max(cycles)]
    if not chosen:
        return None
    return Normalisation(
        "", events=float(np.sum([row[3] for row in chosen])), sum_of_weights=float(np.sum([row[4] for row in chosen]))
    )


def _rows(tree: Any) -> Iterator[tuple[str, str, int, int, float]]:
    """Yield name, input stream, cycle, number and sum of weights of every CutBookkeeper."""
    names = ("name", "inputStream", "cycle", "nAcceptedEvents", "sumOfEventWeights")
    known = {key.rpartition("/")[2]: key for key in tree.keys(recursive=True)}
    columns = [tree[known[_BOOKKEEPERS + name]].array(library="ak").tolist() for name in names]
    for entry in zip(*columns, strict=True):
        yield from zip(*entry, strict=True)
