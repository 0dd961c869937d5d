"""The training report: what a trained model does with rows of each role, as figures and as numbers.

ROC curves with working points, distributions of the scores over one another, calibration, importance of the variables,
correlations. Roles are kept apart, and a role that is not asked for is not looked at. Of a large role the first rows
are shown: a training set is shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hepflow.errors import PlotError
from hepflow.plugins.training import figures
from hepflow.plugins.training.data import Batch
from hepflow.plugins.training.engines.base import EVALUATION_BATCH, Engine, Floats
from hepflow.plugins.training.fitting import losses_of

if TYPE_CHECKING:
    from hepflow.plots import Axis, RocCurve
    from hepflow.plots.figures import Style
    from hepflow.plugins.training.data import TrainingData

__all__ = ["Report", "make_report"]

ROWS = 100_000
"""Most rows of a role."""
IMPORTANCE_ROWS = 2_000
"""Most rows in which variables are permuted."""
EFFICIENCIES = (0.95, 0.85, 0.75, 0.6)
"""Working points: efficiencies of the signal, in the rows that validate."""
BINS = 20

Part: TypeAlias = "tuple[Floats, Floats]"
"""Values and weights."""


@dataclass(frozen=True)
class Answers:
    """Rows of a role as a model answers them: ``found`` (rows, outputs); ``all`` is how many rows there are."""

    role: str
    rows: Batch
    found: Floats
    all: int

    @classmethod
    def of(cls, engine: Engine, data: TrainingData, role: str) -> Answers:
        """Ask the model."""
        taken: list[Batch] = []
        missing = ROWS
        for batch in data.batches(role, EVALUATION_BATCH):
            taken.append(batch[:missing])
            missing -= len(taken[-1])
            if missing <= 0:
                break
        found = np.concatenate([np.asarray(engine.predict(batch), np.float64) for batch in taken])
        return cls(role, Batch.join(taken), found, data.size(role))

    @property
    def weights(self) -> Floats:
        """Return the weights of the rows."""
        return np.asarray(self.rows.weights, np.float64)

    @property
    def labels(self) -> Floats:
        """Return the labels of the rows (rows, outputs)."""
        return np.asarray(self.rows.labels, np.float64)


@dataclass
class Report:
    """Figures by name (what ``draw`` takes, its lines, its options), and numbers for ``report.json``."""

    numbers: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, tuple[Any, tuple[str, ...], Mapping[str, Any]]] = field(default_factory=dict)

    def add(self, name: str, what: Any, *lines: str, **options: Any) -> None:
        """Take note of a figure."""
        self.figures[name] = (what, lines, options)

    def draw(self, folder: Path, style: Style, processes: Any) -> None:
        """Draw all figures; PlotError for the first that fails, when the others are there."""
        calls = [
            (folder / name, what, replace(style, lines=lines), dict(options))
            for name, (what, lines, options) in self.figures.items()
        ]
        failed = [error for error in processes.map(_drawn, calls) if error is not None]
        if gain := self.numbers.get("gain"):
            figures.gain(gain, folder / "gain", style)
        if failed:
            raise failed[0]


def _drawn(path: Path, what: Any, style: Any, options: Mapping[str, Any]) -> PlotError | None:
    """Draw a figure and write it; return what is wrong with it, so that the others are drawn."""
    from hepflow.plots.figures import draw, save

    try:
        save(draw(what, style=style, **options), path, what)
    except PlotError as error:
        return error.but(where=error.where or f"figure {path.name}")
    return None


def make_report(engine: Engine, data: TrainingData, roles: Sequence[str], seed: int) -> Report:
    """Return the report of a model on these roles."""
    answers = [Answers.of(engine, data, role) for role in roles]
    report = Report({"rows": {one.role: {"shown": len(one.rows), "of": one.all} for one in answers}})
    validating = next((one for one in answers if one.role == "validation"), answers[0])
    names = [name.removeprefix("c_") for name in engine.plan.classes]
    if engine.plan.classifies:
        _roc_curves(report, answers, validating.role, names)
        _scores(report, answers, names)
    else:
        _residuals(report, answers, names)
    _calibration(report, answers, names, engine.plan.classifies)
    _importance(report, engine, validating, seed)
    if gain := engine.importance():
        report.numbers["gain"] = gain
    _correlations(report, answers[0], engine)
    return report


def _shown(one: Answers) -> str:
    return one.role if len(one.rows) == one.all else f"{one.role}, {len(one.rows)} of {one.all} rows"


def _signals(names: Sequence[str]) -> dict[str, int]:
    """Return the classes that are signal in turn: of two the second, of several each against the others."""
    return {names[1]: 1} if len(names) == 2 else {name: number for number, name in enumerate(names)}


# ── classifiers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _roc_curves(report: Report, answers: Sequence[Answers], cut_on: str, names: Sequence[str]) -> None:
    """Add ROC curves: of two classes all roles in one figure, with working points; of several a figure a role."""
    from hepflow.plots import RocCurve

    curves: dict[tuple[str, str], RocCurve] = {}
    for one in answers:
        for name, number in _signals(names).items():
            curve = curves[one.role, name] = RocCurve(_shown(one) if len(names) == 2 else f"{name} against others")
            curve.fill(one.found[:, number], one.labels[:, number] > 0.5, weight=one.weights)
    report.numbers["auc"] = {one.role: {n: curves[one.role, n].auc for n in _signals(names)} for one in answers}
    cuts = {name: _cuts(curves[cut_on, name]) for name in _signals(names)}
    report.numbers["working_points"] = {
        "cuts from": cut_on,
        **{
            one.role: {n: [_point(curves[one.role, n], *cut) for cut in cuts[n].items()] for n in _signals(names)}
            for one in answers
        },
    }
    if len(names) == 2:
        points = _marks(answers[-1], cuts[names[1]])
        report.add("roc", [*curves.values(), *points], f"Signal: {names[1]}; cuts from {cut_on}")
        return
    for one in [one for one in answers if one.role != "train"] or answers:
        report.add(f"roc-{one.role}", [curves[one.role, name] for name in _signals(names)], _shown(one))


def _cuts(curve: RocCurve) -> dict[float, float]:
    """Return the hardest cut of each working point that is as efficient; none where weights leave no such point."""
    points = curve.curve()
    reached = {target: points.threshold[points.efficiency >= target] for target in EFFICIENCIES}
    return {target: float(cuts[0]) for target, cuts in reached.items() if len(cuts) and np.isfinite(cuts[0])}


def _point(curve: RocCurve, target: float, cut: float) -> dict[str, Any]:
    """Return a working point as JSON takes it."""
    point = {name: value if np.isfinite(value) else None for name, value in curve.point(cut)._asdict().items()}
    return {"target": target, **point}


def _marks(one: Answers, cuts: Mapping[float, float]) -> list[Any]:
    """Return the working points of the signal as a figure shows them."""
    from hepflow.plots import WorkingPoint

    marks = []
    for target, cut in cuts.items():
        mark = WorkingPoint(f"{100 * target:.0f} %: score ≥ {cut:.4g}")
        mark.fill(one.found[:, 1] >= cut, one.labels[:, 1] > 0.5, weight=one.weights)
        marks.append(mark)
    return marks


def _scores(report: Report, answers: Sequence[Answers], names: Sequence[str]) -> None:
    """Add the distributions of the scores, and how compatible those of training and unseen rows are."""
    from hepflow.plots import Axis
    from hepflow.plots.figures import Grid

    numbers, cells = {}, []
    for name, number in _signals(names).items():
        kinds = {name: True, names[0] if len(names) == 2 else "others": False}
        parts: dict[str, dict[str, Part]] = {}
        for kind, signal in kinds.items():
            which = {one.role: (one.labels[:, number] > 0.5) == signal for one in answers}
            parts[kind] = {o.role: (o.found[which[o.role], number], o.weights[which[o.role]]) for o in answers}
        numbers[name] = {kind: _compatibility(roles) for kind, roles in parts.items()}
        told = "" if len(names) == 2 else _told({name: numbers[name][name]})
        axis = Axis(
            "score", tuple(np.linspace(0, 1, 2 * BINS + 1)), f"Score of {name}" + (f" ({told})" if told else "")
        )
        shown = {"class" if len(names) > 2 and kind == name else kind: roles for kind, roles in parts.items()}
        cells.append(_histograms(axis, shown))
    report.numbers["kolmogorov"] = numbers
    if len(names) == 2:
        told = _told(numbers[names[1]])
        report.add("scores", cells[0], *([told] if told else []), normalise=True)
    else:
        report.add("scores", Grid(cells, columns=3), normalise=True)


def _histograms(axis: Axis, parts: Mapping[str, Mapping[str, Part]]) -> list[Any]:
    """Return a histogram of each kind of rows in each role."""
    from hepflow.plots import Histogram

    found = []
    for kind, roles in parts.items():
        for role, (values, weights) in roles.items():
            histogram = Histogram(axis, f"{kind}, {role}" if kind else role)
            histogram.fill(values, weight=weights)
            found.append(histogram)
    return found


def _compatibility(roles: Mapping[str, Part]) -> dict[str, dict[str, float | None]]:
    """Compare the first role with each other one: distance and probability of Kolmogorov and Smirnov, no verdict."""
    from hepflow.plots.statistics import kolmogorov

    (_, first), *others = roles.items()
    found = {role: kolmogorov(*first, *part) for role, part in others}
    return {
        role: {"distance": _or_none(distance), "probability": _or_none(probability)}
        for role, (distance, probability) in found.items()
    }


def _told(tests: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> str:
    """Return the probabilities as a figure tells them: of each kind of rows, in each role."""
    roles: dict[str, list[str]] = {}
    for kind, found in tests.items():
        for role, test in found.items():
            if test["probability"] is not None:
                roles.setdefault(role, []).append(
                    f"{test['probability']:.2g}" + (f" ({kind})" if len(tests) > 1 else "")
                )
    return "; ".join(f"KS p, {role}: {', '.join(texts)}" for role, texts in roles.items())


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _residuals(report: Report, answers: Sequence[Answers], names: Sequence[str]) -> None:
    """Add the distributions of answer − truth, and how compatible those of training and unseen rows are."""
    from hepflow.plots import Axis
    from hepflow.plots.figures import Grid

    numbers, cells = {}, []
    for number, name in enumerate(names):
        parts = {one.role: (one.found[:, number] - one.labels[:, number], one.weights) for one in answers}
        numbers[name] = _compatibility(parts)
        reach = float(np.quantile(np.abs(np.concatenate([values for values, _ in parts.values()])), 0.99)) or 1.0
        told = _told({name: numbers[name]})
        title = f"{name}, found − true" + (f" ({told})" if told else "")
        cells.append(_histograms(Axis("residual", tuple(np.linspace(-reach, reach, 2 * BINS + 1)), title), {"": parts}))
    report.numbers["kolmogorov"] = numbers
    report.add("residuals", Grid(cells, columns=3) if len(cells) > 1 else cells[0], normalise=True)


# ── all ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _calibration(report: Report, answers: Sequence[Answers], names: Sequence[str], classifies: bool) -> None:
    """Add what is true of rows with about the same answer: of a calibrated model as much as it says.

    Several classes are put together: each score against whether it is that class.
    """
    from hepflow.plots import Axis, Profile

    outputs = list((_signals(names) if classifies else dict(zip(names, range(len(names)), strict=True))).items())
    figures = {"calibration": outputs} if classifies else {f"calibration-{n}": [(n, k)] for n, k in outputs}
    numbers: dict[str, dict[str, float | None]] = {one.role: {} for one in answers}
    for figure, shown in figures.items():
        names_shown = ", ".join(name for name, _ in shown)
        pooled = np.concatenate([one.found[:, k] for one in answers for _, k in shown])
        low, high = (0.0, 1.0) if classifies else (float(np.quantile(pooled, end)) for end in (0.005, 0.995))
        edges = tuple(np.linspace(low, high if high > low else low + 1.0, BINS + 1))
        axis = Axis("found", edges, "Score" if classifies else f"{names_shown}, found")
        truth = Axis("true", edges, "score or truth" if classifies else names_shown)
        said = Profile(axis, truth, "as the model says")
        profiles = []
        for one in answers:
            profile = Profile(axis, truth, f"true, {one.role}")
            for name, k in shown:
                said.fill(one.found[:, k], one.found[:, k], weight=one.weights)
                profile.fill(one.found[:, k], one.labels[:, k], weight=one.weights)
                numbers[one.role][name] = _miscalibration(axis, one, k)
            profiles.append(profile)
        lines = [f"all classes: {names_shown}"] if len(shown) > 1 else [f"Signal: {names_shown}"] * classifies
        report.add(figure, [said, *profiles], *lines)
    report.numbers["calibration_error"] = numbers


def _miscalibration(axis: Axis, one: Answers, k: int) -> float | None:
    """Return the mean, over rows, of |true − found| of their bin."""
    number = np.clip(np.digitize(one.found[:, k], axis.edges) - 1, 0, len(axis) - 1)
    differences = np.bincount(number, one.weights * (one.labels[:, k] - one.found[:, k]), len(axis))
    total = float(one.weights.sum())
    return _or_none(float(np.abs(differences).sum()) / total) if total > 0 else None


def _importance(report: Report, engine: Engine, one: Answers, seed: int) -> None:
    """Add by how much the loss grows where the values of one variable are dealt out anew among the rows (of a sequence:
    among all objects).

    L. Breiman, Machine Learning 45 (2001) 5, §10. The error is that of the mean over rows.
    """
    from hepflow.plots import Axis, Profile

    rows, found = one.rows[:IMPORTANCE_ROWS], one.found[:IMPORTANCE_ROWS]
    labels = np.asarray(rows.labels, np.float64)
    before = losses_of(found, labels, engine.plan.loss)
    rng = np.random.default_rng(seed)
    grown = {}
    for group in engine.plan.inputs:
        for number, name in enumerate(group.variables):
            changed = _dealt(rows, group.name, number, rng)
            after = losses_of(np.asarray(engine.predict(changed), np.float64), labels, engine.plan.loss)
            grown[f"{group.name}.{name}"] = after - before
    order = sorted(grown, key=lambda name: -float(np.average(grown[name], weights=np.abs(rows.weights))))
    edges = tuple(np.arange(len(order[: figures.MOST]) + 1) - 0.5)
    axis = Axis("variable", edges, "Variable", labels=tuple(order[: figures.MOST]))
    profile = Profile(axis, Axis("grown", (0.0, 1.0), "increase of the loss"))
    for place, name in enumerate(order[: figures.MOST]):
        profile.fill(np.full(len(rows), place), grown[name], weight=rows.weights)
    report.numbers["importance"] = {name: float(np.average(grown[name], weights=rows.weights)) for name in order}
    left_out = f"; the first {figures.MOST} of {len(order)} variables" if len(order) > figures.MOST else ""
    report.add("importance", profile, f"{one.role}, values permuted in {len(rows)} rows{left_out}")


def _dealt(rows: Batch, group: str, number: int, rng: np.random.Generator) -> Batch:
    """Return the rows with the values of one variable permuted."""
    values = rows.inputs[group].copy()
    there = rows.masks[group] if group in rows.masks else np.ones(len(rows), bool)
    values[there, number] = rng.permutation(values[there, number])
    return Batch({**rows.inputs, group: values}, rows.masks, rows.labels, rows.weights)


def _correlations(report: Report, one: Answers, engine: Engine) -> None:
    """Add the correlations of the inputs: a figure of the flat ones over the rows, one of each sequence over its
    objects.
    """
    from hepflow.plots import CorrelationMatrix

    masks = one.rows.masks
    flat = [group for group in engine.plan.inputs if group.name not in masks]
    sequences = [[group] for group in engine.plan.inputs if group.name in masks]
    for groups in filter(None, [flat, *sequences]):
        mask = masks.get(groups[0].name, np.ones(len(one.rows), bool))
        prefixes = [f"{group.name}." if len(groups) > 1 else "" for group in groups]
        names = [f"{prefix}{name}" for prefix, g in zip(prefixes, groups, strict=True) for name in g.variables]
        values = [one.rows.inputs[g.name][mask][:, k] for g in groups for k in range(len(g.variables))]
        matrix = CorrelationMatrix(names)
        matrix.fill(*values, weight=np.repeat(one.weights, mask.reshape(len(mask), -1).sum(axis=1)))
        figure = "correlations" if len(sequences) + bool(flat) == 1 else f"correlations-{groups[0].name}"
        report.add(figure, matrix, f"Inputs after their transform; {_shown(one)}")


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
