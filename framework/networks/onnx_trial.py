"""Trying an ONNX model out on made-up taus, before any event: do the axes mean what is assumed, and what are its
outputs?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepflow.networks.inputs import Batch
from hepflow.networks.onnx_layout import BATCH, OBJECTS, TYPES, Layout
from hepflow.networks.onnx_session import RunError

if TYPE_CHECKING:
    from hepflow.networks.onnx_runtime import OnnxNetwork

__all__ = ["Result", "Trial", "try_out"]

MAX_LABELS = 1000
MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
"""What the exporters of scikit-learn, LightGBM and XGBoost give by default: class → probability."""


@dataclass(frozen=True)
class Result:
    """What an output holds: ``size`` values a tau, or an object of ``sequence``, whose axis is ``axis``; the first
    ``inner`` axes are taus.
    """

    size: int
    sequence: str = ""
    axis: int = 0
    inner: int = 0


@dataclass(frozen=True)
class Trial:
    """What was found: output → what it holds, output → why it is left aside, open sequence → least number of objects
    that the model takes, and the sequences that must have equal numbers of objects.
    """

    holds: Mapping[str, Result] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    tied: Sequence[Sequence[str]] = ()


def try_out(network: OnnxNetwork, labels: Mapping[str, Sequence[str]]) -> Trial:
    """Run the model on a few taus together, and on the first and the last of them alone, which must give the same;
    then on fewer and fewer objects.

    Raises NetworkError where it does not run.
    """
    names = list(labels) or [t.name for t in network.results]
    kinds = {tensor.name: tensor.type for tensor in network.results}
    left = {name: f"holds {kinds[name]}, not numbers" for name in names if kinds[name] not in (*TYPES, *MAPS)}
    names = [name for name in names if name not in left]
    if not names:
        return Trial(left=left)
    first: RunError | None = None
    for counts in _counts(network):
        batch = _made_up(network, counts)
        try:
            found = network.run_taus(batch, np.arange(batch.n_taus), names)
        except RunError as error:
            first = first or error
            continue
        ends = (0, batch.n_taus - 1) if batch.n_taus > 1 else ()
        alone = {tau: network.run_taus(batch, np.array([tau]), names) for tau in ends}
        holds = {}
        for name in names:
            try:
                held = _classify(network, name, found[name], batch, labels.get(name))
                for tau, values in alone.items():
                    _compare(network, found[name][tau], values[name])
                holds[name] = held
            except _UnusableError as reason:
                left[name] = str(reason)
        tied: dict[int, list[str]] = {}
        for name, number in counts.items():
            if network.longest(name) is None:
                tied.setdefault(number, []).append(name)
        least = {name: n for group in tied.values() for name, n in _least(network, counts, group, names).items()}
        return Trial(holds, left, least, [group for group in tied.values() if len(group) > 1])
    assert first is not None
    raise first


def _least(network: OnnxNetwork, counts: Mapping[str, int], group: list[str], names: list[str]) -> dict[str, int]:
    """Return the least number of objects of these sequences with which the model runs."""
    tried = counts[group[0]]
    for number in range(int(network.facts.crashes_empty), tried):
        batch = _made_up(network, {**counts, **dict.fromkeys(group, number)})
        try:
            network.run_taus(batch, np.arange(1), names)
        except RunError:
            continue
        return dict.fromkeys(group, number)
    return dict.fromkeys(group, tried)


class _UnusableError(Exception):
    """Why an output is left aside."""


def _fixed_sizes(network: OnnxNetwork) -> set[int]:
    tensors = (*network.tensors, *network.results)
    groups = (*network.inputs, *network.input_sequences)
    return {axis for t in tensors for axis in t.shape if isinstance(axis, int)} | {len(g.variables) for g in groups}


def _counts(network: OnnxNetwork) -> Iterator[dict[str, int]]:
    """Yield numbers of objects to try: unlike any other size, few and many; then the same where axes have one name,
    then for all sequences.
    """
    used = _fixed_sizes(network)
    layouts = {group.name: network.layouts[group.name] for group in network.input_sequences}
    fixed = {name: layout.fixed(OBJECTS) for name, layout in layouts.items()}
    ways = [
        {name: name for name in layouts},
        {name: layout.name_of(OBJECTS) or name for name, layout in layouts.items()},
        dict.fromkeys(layouts, ""),
    ]
    for start in (4, 40):
        sizes = [n for n in range(start, start + len(layouts) + len(used)) if n not in used]
        seen: list[dict[str, int]] = []
        for way in ways:
            numbers = dict(zip(dict.fromkeys(way.values()), sizes, strict=False))
            made = {name: numbers[key] for name, key in way.items()}
            made |= {name: min(length, 2) for name, length in fixed.items() if length is not None}
            if made not in seen:
                seen.append(made)
                yield made


def _made_up(network: OnnxNetwork, counts: Mapping[str, int]) -> Batch:
    """Make up taus: numbers between 0 and 1, whole ones where the tensor takes only these."""
    rng = np.random.default_rng(1)
    taus = network.batch_size
    if taus is None:
        used = _fixed_sizes(network) | set(counts.values())
        taus = next(n for n in (3, 2, *range(5, 99)) if n not in used)

    def values(layout: Layout, rows: int, variables: int) -> NDArray[Any]:
        made = rng.random((rows, variables))
        return made if np.dtype(TYPES[layout.tensor.type]).kind == "f" else np.round(made)

    scalars = {g.name: values(network.layouts[g.name], taus, len(g.variables)) for g in network.inputs}
    sequences = {
        g.name: values(network.layouts[g.name], taus * counts[g.name], len(g.variables))
        for g in network.input_sequences
    }
    return Batch(taus, scalars, sequences, {name: np.full(taus, n) for name, n in counts.items()})


def _classify(
    network: OnnxNetwork, name: str, values: NDArray[Any], batch: Batch, labels: Sequence[str] | None
) -> Result:
    """Tell from the shape of an output what it holds."""
    declared = next(t.shape for t in network.results if t.name == name)
    shape = values.shape
    taus = 1 if network.single else batch.n_taus
    has_batch = not network.single or any(BATCH in layout.axes for layout in network.layouts.values())
    if not network.single and (not shape or shape[0] != taus):
        raise _UnusableError(f"has the shape {shape} for {taus} rows: not one a row")
    inner = 1 if has_batch and shape and shape[0] == taus else 0
    axes = []
    for group in network.input_sequences:
        fixed = network.layouts[group.name].fixed(OBJECTS)
        for place in range(inner, len(shape)):
            open_axis = len(declared) != len(shape) or not isinstance(declared[place], int)
            if shape[place] == (fixed or batch.counts[group.name][0]) and (fixed is not None or open_axis):
                axes.append((place, group.name, fixed))
    size = values.size // taus
    sure = [axis for axis in axes if axis[2] is None]
    if len({place for place, _, _ in sure}) > 1:
        raise _UnusableError("is one value for each pair of objects")
    guessed = [
        axis
        for axis in axes
        if axis[2] is not None
        and (len(labels) * axis[2] == size != len(labels) if labels is not None else len(shape) == inner + 2)
    ]
    for place, sequence, fixed in sure or guessed:
        held = Result(size // (fixed or int(batch.counts[sequence][0])), sequence, place, inner)
        break
    else:
        held = Result(size)
    if labels is not None and len(labels) != held.size:
        what = f" an object of {held.sequence!r}" if held.sequence else ""
        raise _UnusableError(f"has {held.size} values{what}, {len(labels)} labels are given")
    if labels is None and held.size > MAX_LABELS:
        raise _UnusableError(f"has {held.size} values: name those of outputs that you want (Labels)")
    if held.size < 1:
        raise _UnusableError("has no values")
    return held


def _compare(network: OnnxNetwork, together: NDArray[Any], alone: NDArray[Any]) -> None:
    """See that a tau has the same values whether others run with it or not."""
    row = np.asarray(together, dtype=np.float64).ravel()
    one = np.asarray(alone if network.batch_size is None else alone[0], dtype=np.float64).ravel()
    half = any(t.type == "tensor(float16)" for t in (*network.tensors, *network.results))
    scale = float(np.abs(row[np.isfinite(row)]).max(initial=1e-6))
    close = row.size == one.size and np.allclose(row, one, 1e-2 if half else 1e-3, 1e-3 * scale, equal_nan=True)
    if not close:
        raise _UnusableError(
            "differs for a row alone and together with others: are the axes taken rightly, is the model random?"
        )
