"""What calibrations and networks made the columns that a calibration is derived from, or applied to: checksums."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hepflow import Context, Job, Tool
from hepflow.errors import JobOptionsError, ToolError

__all__ = ["ALLOW", "check_upstream", "made_by", "upstream_of_job", "upstream_of_run"]

ALLOW = "AllowOtherUpstream"
Checksums = dict[str, str]


def made_by(records: Iterable[Mapping[str, Any]]) -> Checksums:
    """Return column → checksum of the calibration or model behind it (of a k-fold set those of all), by the records of
    tools (``Tool.record``); the last that made a column counts.
    """
    found: Checksums = {}
    for record in records:
        several = [str(one.get("sha256", "")) for one in record.get("networks", ())]
        checksum = str(record.get("sha256", "")) or "+".join(several)
        found |= {str(name): checksum for name in record.get("decorations", ()) if checksum}
    return found


def upstream_of_job(job: Job, tool: Tool) -> Checksums:
    """Return what the tools of a job before this one made."""
    before: list[Tool] = []
    for other in job.all_tools():
        if other.name == tool.name:
            break
        before.append(other)
    return made_by(other.record() for other in before)


def upstream_of_run(context: Context, columns: Sequence[str]) -> Checksums:
    """Return what made these columns, of the inputs and of the job that is finalized; ToolError where inputs differ."""
    told = json.loads((Path(context.directory) / "provenance.json").read_text(encoding="utf-8"))["records"]
    found: Checksums = made_by(one["record"] for one in told if one["of"] == "job")
    for one in told:
        for column, checksum in made_by([one["record"]]).items() if one["of"] == "inputs" else ():
            if column in columns and column not in found:
                found[column] = checksum
            elif column in columns and found[column] != checksum and not _of_job(told, column):
                raise ToolError(
                    f"the inputs have {column} of two calibrations: {found[column][:12]}…, {checksum[:12]}…",
                    hint="apply the same one to all of them",
                )
    return {column: found[column] for column in columns if column in found}


def _of_job(told: Sequence[Mapping[str, Any]], column: str) -> bool:
    return column in made_by(one["record"] for one in told if one["of"] == "job")


def check_upstream(tool: str, wanted: Mapping[str, str], applied: Mapping[str, str], *, complete: bool) -> None:
    """Raise JobOptionsError where a calibration was derived on top of others than were applied; with ``complete``, also
    where nothing is known of what made a column.
    """
    for column, checksum in wanted.items():
        found = applied.get(column, "")
        if found == checksum or (not found and not complete):
            continue
        told = f"applied {found[:12]}…" if found else "the input does not say what made it"
        raise JobOptionsError(
            f"the calibration of {tool} was derived with another {column} than it is applied to",
            where=f"wanted {checksum[:12]}…, {told}",
            hint=f"derive it anew, or set {tool}.{ALLOW}=True and say so",
        )
