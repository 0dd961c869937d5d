"""Running streams over small files."""

from __future__ import annotations

import pytest

from hepflow import Job
from hepflow.execution import RunOptions, run


@pytest.fixture
def go(tmp_path):
    """Run tools and streams over an input; return the RunResult."""

    def call(path, *things, **options):
        job = Job("test")
        for thing in things:
            job += thing
        output = str(tmp_path / f"out{len(list(tmp_path.glob('out*')))}")
        return run(job, RunOptions(inputs=[str(path)], output=output, **options))

    return call
