"""Running a job: plan, work units, loop, ledger, executors."""

from __future__ import annotations

from hepflow.execution.options import RunOptions
from hepflow.execution.plan import Plan, WorkUnit, make_plan
from hepflow.execution.run import RunResult, run

__all__ = ["Plan", "RunOptions", "RunResult", "WorkUnit", "make_plan", "run"]
