"""What tools say of their output travels with the files, through later jobs, to whoever reads them; and what of a run
is written before its tools finalize."""

from __future__ import annotations

import json

import pytest

from hepflow import Job, Property, Tool
from hepflow.errors import ToolError
from hepflow.execution import RunOptions, run
from hepflow.streams import MxAODStream


class Marker(Tool):
    """Decorates with its number, and says so."""

    OutputName = Property("mark", "name of the decoration")
    Number = Property(1, "number")

    def reads(self):
        return ["TauJets.pt"]

    def writes(self):
        return [f"TauJets.{self.OutputName}"]

    def record(self):
        return {"OutputName": self.OutputName, "Number": self.Number}

    def execute(self, events, result):
        taus = events["TauJets"]
        taus[self.OutputName] = 0 * taus.flat("pt") + self.Number


class Records(Tool):
    """Collects what chunks say of the tools before."""

    def reads(self):
        return ["TauJets.pt"]

    def start(self):
        return {}

    def execute(self, events, result):
        result.update({name: record["Number"] for name, record in events.sample.records.items()})

    def finalize(self, total, context):
        provenance = json.loads((context.directory / "provenance.json").read_text())
        cutflow = json.loads((context.directory / "cutflow.json").read_text())
        return {"records": total, "events": provenance["events"], "cutflow": cutflow}


def decorate(tmp_path, source, name, *markers):
    job = Job(name)
    stream = MxAODStream("output")
    stream += list(markers)
    job += stream
    return run(job, RunOptions(inputs=[str(source)], output=str(tmp_path / name))).outputs["output"][0]


def test_records_travel_through_jobs(tmp_path, xaod):
    first = decorate(tmp_path, xaod.path, "first", Marker("Marker"))
    second = decorate(
        tmp_path,
        first,
        "second",
        Marker("Marker", OutputName="mark2", Number=2),
        Marker("Other", OutputName="o", Number=3),
    )
    job = Job("read")
    job += Records("Records")
    result = run(job, RunOptions(inputs=[str(second)], output=str(tmp_path / "read"))).results["Records"]
    assert result["records"] == {"Marker": 1, "Marker (2)": 2, "Other": 3}


def test_provenance_has_the_records_once_and_what_was_set(tmp_path, xaod):
    first = decorate(tmp_path, xaod.path, "first", Marker("Marker"))
    decorate(tmp_path, first, "second", Marker("Other", OutputName="o"), Marker("Third", OutputName="t", Number=3))
    provenance = json.loads((tmp_path / "second" / "provenance.json").read_text())
    assert [(entry["of"], entry["tool"], entry["record"]["Number"]) for entry in provenance["records"]] == [
        ("inputs", "Marker", 1),
        ("job", "Other", 1),
        ("job", "Third", 3),
    ]
    assert provenance["set"] == {"output": [], "Other": ["OutputName"], "Third": ["OutputName", "Number"]}


def test_a_record_that_fails_names_the_tool(tmp_path, xaod):
    class Broken(Marker):
        def record(self):
            raise ValueError("no model")

    job = Job("broken")
    job += Broken("Broken")
    with pytest.raises(ToolError, match=r"Broken failed: ValueError: no model\n.*tool Broken, record"):
        run(job, RunOptions(inputs=[str(xaod.path)], output=str(tmp_path / "run")))


def test_the_run_is_described_before_tools_finalize(tmp_path, xaod):
    job = Job("read")
    job += Records("Records")
    result = run(job, RunOptions(inputs=[str(xaod.path)], output=str(tmp_path / "read"))).results["Records"]
    assert result["records"] == {}
    assert result["events"] == 60
    assert result["cutflow"] == []
