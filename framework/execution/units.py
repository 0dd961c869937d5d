"""Energy units of inputs, and what of a job needs to know them: checked before the first event."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hepflow.errors import InputError, PropertyError
from hepflow.execution.dataflow import DataFlow
from hepflow.expressions import Expression
from hepflow.expressions.dimensions import may_be_energy
from hepflow.job import Job
from hepflow.protocols import ColumnInfo
from hepflow.tool import Tool
from hepflow.variables import Variable

__all__ = ["UNITS", "check_units", "unit_of"]

UNITS = ("MeV", "GeV")
"""What ``--units`` takes."""


def unit_of(path: str, told: str, given: str) -> str:
    """Return the energy unit of an input: what its file tells, else what was given; InputError where they differ."""
    if told and given and told != given:
        raise InputError(f"the energies of this input are in {told}, not in {given}", where=path, hint="omit --units")
    return told or given


def check_units(
    job: Job, flow: DataFlow, columns: Mapping[str, ColumnInfo], inputs: Sequence[tuple[str, str]]
) -> list[str]:
    """Return notes on the units of the inputs (path, energy unit); InputError where a tool would get a wrong one."""
    unknown: dict[tuple[str, str], list[str]] = {}
    first: dict[str, str] = {}
    for path, unit in inputs:
        first.setdefault(unit, path)
    varied = [tool for one in flow.variations.values() for tool in one.variation.tools]
    for tool in [*job.all_tools(), *varied]:
        if not tool.has_loop:
            continue
        if "" in first:
            _check_known(tool, first[""])
        for unit, why in _demands(tool):
            other = next((found for found in first if found not in ("", unit)), None)
            if other is not None:
                raise InputError(
                    f"{tool.name} works in {unit}, and energies are in {other} here ({why})",
                    where=f"tool {tool.name}, input {first[other]}",
                    hint=f"a Filter can select in any unit, Cut='Jet.pt > 20*GeV'; {tool.name} needs input in {unit}",
                )
            if "" in first:
                unknown.setdefault((unit, why), []).append(tool.name)
    if len(first) > 1:
        _check_mixture(job, flow, columns, first)
    notes: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (unit, why), tools in unknown.items():  # what the same tools want is told at once
        notes.setdefault((unit, tuple(dict.fromkeys(tools))), []).append(why)
    return [
        f"{', '.join(tools)} {'works' if len(tools) == 1 else 'work'} in {unit} ({', '.join(whys)}); the energy unit "
        f"of {first['']} is not known: --units {unit} says that it is right"
        for (unit, tools), whys in notes.items()
    ]


def _check_known(tool: Tool, path: str) -> None:
    for expression in _expressions(tool):
        if expression.units:
            raise InputError(
                f"{expression.text!r} has a unit, and the energy unit of the input is not known",
                where=f"tool {tool.name}, input {path}",
                hint="say which: --units GeV or --units MeV",
            )


def _demands(tool: Tool) -> Iterator[tuple[str, str]]:
    """Yield the energy units that a tool needs, with the reason."""
    if tool.energy_unit:
        yield tool.energy_unit, f"as every {type(tool).__name__}"
        return
    for name, value in tool.values.items():
        unit = tool.properties()[name].unit
        numbers = value if isinstance(value, tuple) else (value,)
        if unit in UNITS and any(isinstance(n, float | int) and n and math.isfinite(n) for n in numbers):
            yield unit, f"{name} = {value!r} {unit}"
    for variable in _inside(tool.values, Variable):
        if variable.unit in UNITS and variable.column.replace(".", "", 1).isidentifier():
            yield variable.unit, f"the variable {variable.name}"


def _expressions(tool: Tool) -> list[Expression]:
    found = [*_inside(tool.values, Expression), *tool.expressions()]
    for variable in _inside(tool.values, Variable):
        with suppress(PropertyError):  # the column of a network's variable has no container
            found.append(Expression(variable.column))
    return found


def _inside(value: Any, kind: type[Any]) -> Iterator[Any]:
    """Yield what is of a kind in the values of properties."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _inside(one, kind)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _inside(one, kind)


def _check_mixture(job: Job, flow: DataFlow, columns: Mapping[str, ColumnInfo], first: Mapping[str, str]) -> None:
    """Raise InputError unless every tool gives the same numbers for each of the units of the inputs."""

    def energy(name: str) -> bool:
        return name not in columns or may_be_energy(name, columns[name].dtype)

    told = " and ".join(f"{unit or 'an unknown unit'} ({path})" for unit, path in first.items())
    message = f"the inputs have energies in {told}"
    if job.streams:
        raise InputError(f"{message}, which {job.streams[0].name} would write into one output", hint="run them apart")
    for tool in job.all_tools():
        expressions = _expressions(tool) if tool.has_loop else []
        free = {name for e in expressions if e.unit_free(energy) for name in e.columns}
        bad = next((e.text for e in expressions if not e.unit_free(energy)), None)
        access = flow.access.get(tool.name)
        others = sorted(name for name in (access.reads if access else ()) if name not in free and energy(name))
        if bad is not None or others:
            raise InputError(
                f"{message}, and {tool.name} would mix {bad or others[0]}",
                hint="give energies a unit, Jet.pt / GeV or Jet.pt > 20*GeV, or run them apart",
            )
