"""Plots on events that no network has seen: the rule travels with the network into the files that it decorated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hepflow import Context, Events, Job, Property, Tool
from hepflow.errors import JobOptionsError, NetworkError, nearest
from hepflow.folds import Folds as Roles
from hepflow.protocols import ColumnInfo

__all__ = ["UnseenEvents", "by_decoration", "folds_of", "seen_scores", "unnamed_selections"]

_HINT = "say which events with the properties Folds=[1] or AllEvents=True (--folds 1 or --all-events of jobs that ship)"


class UnseenEvents(Tool):
    """Select events that none of the compared classifiers has seen in training, validation, early stopping, tuning or
    normalisation.

    These are the test folds of all networks that are compared; the input has the record of each network with its rule
    and folds. For k-fold networks, each applied to its own test fold, every event is unseen. A classifier that was not
    trained (a count) has seen nothing. If a network has no record, set ``Folds`` or ``AllEvents``; the figures say so.
    """

    Classifiers: Property[tuple[str, ...]] = Property(
        (), "names of the decorations (NNDecayMode) that are compared", item=str
    )
    EventNumber = Property("EventInfo.mcEventNumber", "column with the event number for the folds")
    Folds: Property[tuple[int, ...]] = Property(
        (), "use these folds of the event number instead of those in the records", item=int, minimum=0
    )
    NumberOfFolds = Property(5, "how many folds there are, for Folds", minimum=2)
    AllEvents = Property(False, "use all events, also those that a network was trained on")

    def check(self, job: Job) -> None:
        """Refuse a tool that knows nothing to select by."""
        if not (self.Classifiers or self.Folds or self.AllEvents):
            raise JobOptionsError(
                "no classifier is named, so no event would be left out",
                where=f"tool {self.name}",
                hint="Classifiers are the names of the decorations (NNDecayMode); or set Folds or AllEvents",
            )

    def remarks(
        self, job: Job, records: Mapping[str, Mapping[str, Any]], columns: Mapping[str, ColumnInfo]
    ) -> Sequence[str]:
        """Return nothing; NetworkError where a network does not say which events it has seen."""
        made = {tool.name: tool.record() for tool in job.all_tools()}
        try:
            self._rule({**records, **made}, np.zeros(0, np.int64))
        except NetworkError as error:
            raise error.but(where=f"tool {self.name}") from None
        return ()

    def reads(self) -> Sequence[str]:
        """Return the event number."""
        return [self.EventNumber]

    def start(self) -> dict[str, int]:
        """Return no rule."""
        return {}

    def execute(self, events: Events, result: dict[str, int]) -> None:
        """Hide the events that a network has seen."""
        container, _, column = self.EventNumber.partition(".")
        numbers = np.asarray(events[container].flat(column)).astype(np.int64)
        text, mask = self._rule(events.sample.records, numbers)
        if mask is not None:
            events.select_events(mask, text)
        result[text] = result.get(text, 0) + len(events)

    def finalize(self, total: dict[str, int], context: Context) -> str:
        """Return what the figures say of the events."""
        return "; ".join(total) or "no events"

    def _rule(self, records: Mapping[str, Mapping[str, Any]], numbers: Any) -> tuple[str, Any]:
        """Return what is selected, and its mask (None: all)."""
        name = self.EventNumber.rpartition(".")[2]
        if self.AllEvents and self.Folds:
            raise JobOptionsError("Folds and AllEvents exclude each other", where=f"tool {self.name}")
        if self.AllEvents:
            return "all events, also those used in training", None
        if self.Folds:
            wrong = [fold for fold in self.Folds if fold >= self.NumberOfFolds]
            if wrong:
                raise JobOptionsError(f"there is no fold {wrong[0]} of {self.NumberOfFolds}", hint="folds count from 0")
            mask = np.isin(numbers % self.NumberOfFolds, self.Folds)
            return _text(name, self.NumberOfFolds, self.Folds, "chosen"), mask
        mask, texts = np.ones(len(numbers), dtype=bool), []
        found = by_decoration(records)
        for classifier in self.Classifiers:
            if classifier not in found:
                known = nearest(classifier, found, what="classifiers with a record")
                raise NetworkError(
                    f"the input does not say which events {classifier} has seen", hint=f"{known}; {_HINT}"
                )
            folds = folds_of(classifier, found[classifier], self.EventNumber, self.name)
            if folds is not None:
                mask &= folds.has_role(numbers, "test")
                texts.append(_text(name, folds.number, folds.test, "test"))
        if not texts:
            return "all events are unseen", None
        return ", ".join(dict.fromkeys(texts)), mask


def folds_of(classifier: str, record: Mapping[str, Any], number: str, tool: str) -> Roles | None:
    """Return the folds of the network behind a decoration, by its record; None where it has seen none of the events:
    what was not trained, or a k-fold set.

    NetworkError where the network does not say it, or where its folds are made of another ``number`` than the tool's.
    """
    if "WeightFile" not in record or record.get("kfold"):
        return None
    folds = record.get("record", {}).get("folds")
    if folds is None:
        raise NetworkError(
            f"the network {record['WeightFile']} of {classifier} does not say which events it has seen", hint=_HINT
        )
    rule = Roles.from_record(folds)
    if rule.column.rpartition(".")[2] != number.rpartition(".")[2]:
        raise NetworkError(
            f"the folds of {classifier} are made of {rule.column}, not of {number}", hint=f"set EventNumber of {tool}"
        )
    return rule


def seen_scores(columns: Sequence[str], job: Job, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each model whose scores are among the columns and which was trained with some of the events of
    its sample, where no ``UnseenEvents`` of the job selects the others; ``records`` are those of the input.
    """
    unseen = [tool for tool in job.all_tools() if isinstance(tool, UnseenEvents)]
    if any(tool.Folds or tool.AllEvents for tool in unseen):
        return []
    written = [tool for tool in job.all_tools() if not {*tool.writes()}.isdisjoint(columns)]
    found = by_decoration({**records, **{tool.name: tool.record() for tool in written}})
    named = [name for tool in unseen for name in tool.Classifiers]
    done = [record for name in named if (record := found.get(name) or found.get(name.rpartition(".")[2]))]
    lines = []
    for column in columns:
        record = found.get(column) or found.get(column.rpartition(".")[2], {})
        folds = record.get("record", {}).get("folds")
        name = column.rpartition(".")[2]
        if folds is None or "WeightFile" not in record or record.get("kfold") or record in done:
            continue
        done.append(record)  # all scores of a model are told at once
        rule = Roles.from_record(folds)
        number = "" if rule.column.endswith(".mcEventNumber") else f', EventNumber="{rule.column}"'
        unseen_fold = _text(rule.column.rpartition(".")[2], rule.number, rule.test, "test")
        lines.append(
            f"{column} is drawn for all events, and {record['WeightFile']} was trained on some of its sample: unseen "
            f'is the {unseen_fold}; UnseenEvents("Unseen", Classifiers=["{name}"]{number}) selects it'
        )
    return lines


def unnamed_selections(name: str, job: Job) -> list[str]:
    """Return a line for each ``UnseenEvents`` that selects what a tool of this name draws."""
    for members in (job.tools, *((*job.tools, *stream.tools) for stream in job.streams)):
        names = [tool.name for tool in members]
        if name in names:
            return [
                f'figures of {name} do not say what {tool.name} selects: Unseen="{tool.name}" of {name} puts it there'
                for tool in members[: names.index(name)]
                if isinstance(tool, UnseenEvents)
            ]
    return []


def by_decoration(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the record behind each name of a decoration, with and without container, and behind names of outputs."""
    found: dict[str, Mapping[str, Any]] = {}
    for record in records.values():
        decorations = [str(name) for name in record.get("decorations", ())]
        for name in (*decorations, *(text.rpartition(".")[2] for text in decorations), record.get("OutputName")):
            if name:
                found[str(name)] = record
    return found


def _text(column: str, number: int, folds: Sequence[int], what: str) -> str:
    shown = f"= {folds[0]}" if len(folds) == 1 else f"in {', '.join(map(str, folds))}"
    return f"{what} fold: {column} % {number} {shown}"
