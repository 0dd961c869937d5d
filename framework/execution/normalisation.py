"""The weights that ``--lumi`` asks for, decided before the first event: Σw of what is read of each sample, and L·σ/Σw.

Σw is that before any selection: a file of hepflow says it, NanoAOD in its Runs, an xAOD in its CutBookkeepers, else
``job.sample`` does. Of a file that is read in part, as of one whose work units are left out, the same share counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hepflow.errors import InputError, nearest
from hepflow.expressions import Expression
from hepflow.job import SampleSettings
from hepflow.normalisation import WEIGHT, Normalisation
from hepflow.protocols import ColumnInfo, FileSchema

if TYPE_CHECKING:
    from hepflow.execution.inputs import InputFile
    from hepflow.execution.plan import FileKind, Plan, PlannedFile
    from hepflow.execution.schemas import Facts

__all__ = [
    "SampleYield",
    "gathered",
    "normalisation_of",
    "normalised",
    "weight_of",
    "with_weight",
    "yields",
]

WEIGHTED = "weighted"
"""Key of the metadata of a file that was made with ``--lumi``."""
GENERATOR_WEIGHTS = {
    "EventInfo.mcEventWeights": "EventInfo.mcEventWeights[0]",
    "Events.genWeight": "Events.genWeight",
    "Event.Weight": "Event.Weight[0]",
}
"""Column → weight of the event: xAOD (and hepflow), NanoAOD, Delphes."""


@dataclass(frozen=True)
class SampleYield:
    """What is read of a sample: its numbers for just that, and the factor L·σ·ε·k/Σw (1 for data)."""

    normalisation: Normalisation
    factor: float


def with_weight(schema: FileSchema, path: str) -> FileSchema:
    """Return the schema with the column of weights; InputError where the file has one already."""
    if WEIGHT in schema.columns or schema.metadata.get(WEIGHTED):
        raise InputError(
            "the events of this file have the weights of a luminosity already: it was made with --lumi",
            where=path,
            hint=f"leave --lumi out and take the weights of the file ({WEIGHT}), or make it without --lumi",
        )
    return replace(schema, columns={**schema.columns, WEIGHT: ColumnInfo(WEIGHT, (), "float64", 0)})


def weight_of(schema: FileSchema, path: str, settings: SampleSettings | None) -> str:
    """Return the expression for the generator's weight of an event, empty where events have none; InputError where the
    job gives one of other columns than there are.
    """
    settings = settings or SampleSettings()
    if settings.data:
        return ""
    if not settings.weight:
        return next((text for name, text in GENERATOR_WEIGHTS.items() if name in schema.columns), "")
    lacking = [name for name in Expression(settings.weight).columns if name not in schema.columns]
    if lacking:
        raise InputError(
            f"there is no column {lacking[0]} for the weight {settings.weight!r}",
            where=path,
            hint=nearest(lacking[0], schema.columns, what="columns"),
        )
    return settings.weight


def normalisation_of(facts: Facts, file: InputFile, samples: Mapping[str, SampleSettings]) -> Normalisation | None:
    """Return the numbers of a file, None where it tells none and the job gives none."""
    settings = samples.get(file.sample, SampleSettings())
    told = [Normalisation(**one) for one in facts.normalisation or ()]
    if file.like:  # a sample that is not made yet: its weights are not known, its number of events is
        told = [replace(one, events=file.entries, sum_of_weights=file.entries) for one in told]
    if len(told) > 1:
        names = ", ".join(dict.fromkeys(one.sample for one in told))
        raise InputError(
            f"the file holds events of several samples or cross-sections ({names}), which nothing tells apart",
            where=file.path,
            hint="merge the parts of each sample for themselves, and give them as -i NAME=FILE",
        )
    given: dict[str, Any] = {name: value for name, value in settings.numbers().items() if value is not None}
    if settings.data or (not told and not given):
        return None
    return replace(told[0] if told else Normalisation(file.sample), sample=file.sample, **given)


def gathered(files: Sequence[PlannedFile], kinds: Sequence[FileKind]) -> list[PlannedFile]:
    """Return the files with the numbers of those without entries, which no work unit reads, given to the first one of
    their sample that has some: what no event passed counts all the same.
    """
    made = list(files)
    targets: dict[str, int] = {}
    for number, file in enumerate(files):
        first = targets.setdefault(kinds[file.kind].sample, number)
        if file.entries and not files[first].entries:
            targets[kinds[file.kind].sample] = number
    for number, file in enumerate(files):
        target = targets[kinds[file.kind].sample]
        told, other = file.normalisation, made[target].normalisation
        if file.entries or told is None or other is None or target == number:
            continue
        made[target] = replace(made[target], normalisation=other.plus(told))
        made[number] = replace(file, normalisation=told.share(0.0))
    return made


def normalised(
    plan: Plan, lumi: float | None, settings: Mapping[str, SampleSettings], without: Collection[str] = ()
) -> Plan:
    """Return the plan with the weights of a luminosity (fb⁻¹), for all its work units but those with the keys
    ``without``. InputError where a sample lacks what that takes.
    """
    if lumi is None:
        return plan
    names = {kind.sample for kind in plan.kinds}
    unknown = next((name for name in settings if name not in names), None)
    if unknown is not None and not plan.failed:
        raise InputError(
            f"the job describes a sample {unknown!r} that is not among the inputs",
            hint=nearest(unknown, names, what="samples") + "; -i NAME=FILE names them",
        )
    found = yields(plan, lumi, settings, without)
    kinds = tuple(replace(kind, factor=found[kind.sample].factor) for kind in plan.kinds)
    units = tuple(
        unit
        if (factor := kinds[unit.file.kind].factor) == plan.kinds[unit.file.kind].factor
        else replace(unit, key=hashlib.sha256(f"{unit.key}:{factor!r}".encode()).hexdigest()[:16])
        for unit in plan.units
    )
    return replace(plan, kinds=kinds, units=units)


def yields(
    plan: Plan, lumi: float, settings: Mapping[str, SampleSettings], without: Collection[str] = ()
) -> dict[str, SampleYield]:
    """Return what is read of each sample, and its factor."""
    read = {id(file): 0 for file in plan.files}
    for unit in plan.units:
        read[id(unit.file)] += 0 if unit.key in without else unit.entries
    found: dict[str, SampleYield] = {}
    for sample in dict.fromkeys(plan.kinds[file.kind].sample for file in plan.files):
        parts = [(file, read[id(file)]) for file in plan.files if plan.kinds[file.kind].sample == sample]
        own = settings.get(sample, SampleSettings())
        if own.data:
            entries = sum(entries for _, entries in parts)
            found[sample] = SampleYield(Normalisation(sample, events=entries, sum_of_weights=entries), 1.0)
            continue
        total = _total(sample, parts, plan.kinds, own, lacking=bool(plan.failed))
        assert total.effective is not None
        found[sample] = SampleYield(total, 1000.0 * lumi * total.effective / total.sum_of_weights)
    return found


def _total(
    sample: str,
    parts: Sequence[tuple[PlannedFile, int]],
    kinds: Sequence[FileKind],
    own: SampleSettings,
    *,
    lacking: bool,
) -> Normalisation:
    """Return the numbers of what is read of a sample; InputError where they are not known or make no weights."""
    example = f"job.sample({sample!r}, cross_section=…, sum_of_weights=…)"
    numbers: list[Normalisation] = []
    for file, read in parts:
        told = file.normalisation
        if told is None or told.effective is None:
            what = "normalisation" if told is None else "cross-section"
            raise InputError(f"--lumi: the {what} of the sample {sample} is not known", where=file.path,
                             hint=f"the job options can say it, in pb: {example}; data=True for data")  # fmt: skip
        if kinds[file.kind].counted:
            raise InputError(
                f"--lumi: the sum of weights of {file.path} is known only when its events are generated",
                hint="generate first, without --lumi; what is written knows its sum of weights: give that with -i",
            )
        if own.sum_of_weights is None:
            numbers.append(told.share(read / file.entries if file.entries else 1.0))
    if own.sum_of_weights is not None:
        entries = sum(file.entries for file, _ in parts)
        if lacking or (not entries):
            raise InputError(f"--lumi: the share that is read of the sample {sample} is not known: a file of it failed",
                             hint="a sum of weights of the whole sample needs all of its files")  # fmt: skip
        whole = next(file.normalisation for file, _ in parts if file.normalisation is not None)
        numbers = [whole.share(sum(read for _, read in parts) / entries)]
    total = numbers[0]
    for one in numbers[1:]:
        total = total.plus(one)
    if not total.sum_of_weights:
        raise InputError(f"--lumi: the sum of weights of the sample {sample} is 0: its events cannot be normalised",
                         where=", ".join(file.path for file, _ in parts[:3]))  # fmt: skip
    weighted = any(abs(one.sum_of_weights - one.events) > 1e-9 * abs(one.events) for one in numbers if one.events)
    unweighted = next((file for file, _ in parts if not kinds[file.kind].weight), None)
    if weighted and unweighted is not None:
        raise InputError(
            f"--lumi: the sum of weights of the sample {sample} is not its number of events, "
            "and no weights of events are known",
            where=unweighted.path,
            hint=f"the job options can say which column has them: job.sample({sample!r}, weight='tree.weight')",
        )
    return total
