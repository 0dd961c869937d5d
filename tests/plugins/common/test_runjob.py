"""Steps that are jobs of their own: joined by files, and kept by --resume."""

from __future__ import annotations

import pytest

import hepflow
from hepflow import Job
from hepflow.errors import HepflowError, ToolError
from hepflow.plugins.common import RunJob

STEP = """
from pathlib import Path
from hepflow import Job, Property, Tool
from hepflow.errors import ToolError

class Copy(Tool):
    Source = Property("", "file, or text")
    Fails = Property("", "raises while this file is not there")

    def finalize(self, total, context):
        if self.Fails and not Path(self.Fails).exists():
            raise ToolError("not yet")
        source = Path(self.Source)
        text = source.read_text() if source.is_file() else self.Source
        context.path("text").write_text(text + "!")

job = Job("step")
job += Copy("Copy", Source=job.option("source", default="", doc="s"), Fails=job.option("fails", default="", doc="f"))
"""


def test_steps_are_joined_by_files_and_resumed(tmp_path):
    (tmp_path / "step.py").write_text(STEP)
    step = str(tmp_path / "step.py")

    def run(**options):
        job = Job("steps")
        job += RunJob("first", JobOptions=step, Options={"source": "a"})
        last = {"source": "{run}/first/text", "fails": str(tmp_path / "go")}
        job += RunJob("second", JobOptions=step, Options=last)
        return hepflow.run(job, output=tmp_path / "run", **options)

    with pytest.raises(ToolError, match="not yet"):
        run()
    text = tmp_path / "run/first/text"
    assert text.read_text() == "a!"
    made = text.stat().st_mtime_ns
    (tmp_path / "go").touch()
    assert run(resume=True).results == {name: str(tmp_path / "run" / name) for name in ("first", "second")}
    assert (tmp_path / "run/second/text").read_text() == "a!!"
    assert text.stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"JobOptions": "EnergyScaleLc"}, "there is no job-option file 'EnergyScaleLc'"),
        ({"JobOptions": "EnergyScaleLC", "Inputs": ["Gamatautau"]}, "there is no input 'Gamatautau'"),
        ({"JobOptions": "EnergyScaleLC", "Settings": ["DeriveLC.MinEntry=5"]}, "no property 'MinEntry'"),
        ({"JobOptions": "EnergyScaleCombined", "Options": {"lc": "{run}/x", "lk": "y"}}, "no option --lk"),
    ],
)
def test_all_steps_are_looked_at_before_the_first(tmp_path, how, told):
    (tmp_path / "step.py").write_text(STEP)
    job = Job("steps")
    job += RunJob("first", JobOptions=str(tmp_path / "step.py"))
    job += RunJob("second", **how)
    with pytest.raises(HepflowError, match=told) as raised:
        hepflow.run(job, output=tmp_path / "run")
    assert "step second of steps" in str(raised.value)
    assert not (tmp_path / "run").exists()
