"""The work units of a plan, done where the executor says, until all are done or given up."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hepflow.errors import HepflowError, UnitsFailedError, WorkerError
from hepflow.execution.doing import doing_at
from hepflow.execution.failures import Failure, as_rows, outcomes, units_failed
from hepflow.execution.loop import Payload, Worker
from hepflow.execution.normalisation import normalised
from hepflow.execution.options import Reporter, RunOptions
from hepflow.execution.plan import Plan, PlannedFile, WorkUnit
from hepflow.execution.rundir import FAILURES, PAYLOAD, RunDirectory
from hepflow.execution.totals import Totals
from hepflow.execution.work import Recorder, UnitRunner, Work, write_payload
from hepflow.executor import Executor

__all__ = ["UnitLoop"]

Outcomes = Generator[tuple[int, Work | HepflowError], None, None]
USUAL = "is there enough memory? try a smaller --chunk; finished units are kept, --resume continues"


class UnitLoop:
    """Does the work units of a payload's plan that the ledger does not have. ``executor`` None is this process."""

    def __init__(
        self, payload: Payload, executor: Executor | None, directory: RunDirectory, reporter: Reporter
    ) -> None:
        self.totals = Totals(directory.ledger, directory.parts, directory.made)
        self.ran: set[str] = set()
        """Keys of the units that were done now."""
        self._payload = payload
        self._executor = executor
        self._directory = directory
        self._reporter = reporter
        self._reported = 0

    @property
    def plan(self) -> Plan:
        """Return the plan, with the weights of what is not left out."""
        return self._payload.plan

    def run(self, options: RunOptions) -> list[Failure]:
        """Do what is not done, and close what outputs are made of; return what failed and is left out, where that is
        accepted, else raise UnitsFailedError.
        """
        directory = self._directory
        while True:
            plan = self.plan
            self.totals.read(directory.part_check(), resume=options.resume)
            failures = self._once(options)
            left = [unit for unit in plan.units if unit.key in self.totals.done]
            if failures and (not options.leave_out or not left):
                total = len(plan.units) + len(plan.failed)
                raise units_failed(failures, total, where=str(directory.path / FAILURES))
            lost = {(failure.file, failure.start) for failure in failures}
            out = {unit.key for unit in plan.units if (unit.file.path, unit.start) in lost}
            renewed = normalised(plan, options.lumi, self._payload.job.samples, out) if out else plan
            if renewed.kinds != plan.kinds:  # other weights: the others of the sample are done again
                self._payload, options = replace(self._payload, plan=renewed), replace(options, resume=True)
                continue
            reopened = directory.close_with((unit.key for unit in left), as_rows(failures))
            options = replace(options, resume=True)
            if not reopened and failures:
                self.totals.read(directory.part_check(), resume=True)
                self.totals.plan(left, whole=False)
            if not reopened:
                return failures
            # what was closed is made again, and some of its parts are gone

    def _once(self, options: RunOptions) -> list[Failure]:
        plan, directory = self._payload.plan, self._directory
        todo = self.totals.plan(plan.units, whole=not plan.failed)
        before = plan.entries - sum(unit.entries for unit in todo)
        self._reporter.kept(before - self._reported)
        self._reported = before
        failures = [*plan.failed]
        try:
            with closing(outcomes(todo, self._attempt, options.policy)) as running:
                for unit, said in running:
                    if isinstance(said, Work):
                        self.ran.add(unit.key)
                        self.totals.add(**said)
                    else:
                        failures.append(Failure(unit.file.path, said[0], unit.start, unit.stop, said[1]))
            self.totals.flush()
            if not directory.executors_with_jobs():
                self.totals.tidy()
        except UnitsFailedError as error:
            tried = len(self.totals.done) + len(failures)
            raise units_failed(failures, tried, where=str(directory.path / FAILURES), stopped=error.message) from None
        finally:
            failures.sort(key=lambda failure: (failure.file, failure.start or 0))
            directory.note_failures(as_rows(failures))
            for broken in [] if directory.executors_with_jobs() else directory.parts.glob("*.part"):
                broken.unlink()
            self._reporter.done()
        return failures

    def _show(self, entries: int) -> None:
        """Say how many entries are done in all."""
        self._reporter.progress(entries - self._reported)
        self._reported = entries

    def _attempt(self, units: Sequence[WorkUnit]) -> Outcomes:
        return self._run_locally(units) if self._executor is None else self._run_on(self._executor, units)

    def _run_locally(self, units: Sequence[WorkUnit]) -> Outcomes:
        """Run work units in this process, on a copy of the job."""
        directory, payload = self._directory, self._payload
        recorder = Recorder(directory.ledger, payload.made, directory.parts)
        with closing(Worker(Payload.unpack(payload.pack()))) as worker, closing(recorder):
            for position, unit in enumerate(units):
                before = self._reported
                outcome = worker.attempt(unit, lambda entries: self._show(self._reported + entries))
                said = outcome if isinstance(outcome, HepflowError) else recorder.record(unit, outcome)
                if isinstance(said, HepflowError):
                    self._show(before)
                yield position, said

    def _run_on(self, executor: Executor, units: Sequence[WorkUnit]) -> Outcomes:
        """Run work units where the executor does."""
        plan, directory = self._payload.plan, self._directory
        path = directory.state.resolve() / PAYLOAD
        units = [replace(unit, file=_located(unit.file)) for unit in units]  # a worker may be in another folder
        plan = replace(plan.of_workers(), units=tuple(units) if executor.units_only else ())
        write_payload(path, replace(self._payload, plan=plan), directory.ledger.key)
        try:
            ledger = directory.ledger
            runner = UnitRunner(path, ledger.key, made=self._payload.made, session=ledger.session)
            with closing(executor.run(runner, units)) as results:
                for position, found in results:
                    if isinstance(found, WorkerError):
                        yield position, self._died(found, units[position])
                        continue
                    said = UnitRunner.unpack(found)
                    yield position, said
                    if isinstance(said, Work):
                        self._show(self._reported + units[position].entries)
        finally:
            path.unlink(missing_ok=True)

    def _died(self, error: WorkerError, unit: WorkUnit) -> WorkerError:
        """Return the error of a unit whose worker was lost, with what that was at."""
        at = doing_at(self._directory.parts, unit.key)
        text = f"{error.message}; it was at {at}" if at else error.message
        where = f"{at.partition(':')[0]}, {unit.describe()}" if at else unit.describe()
        return WorkerError(text, where=where, hint=error.hint or USUAL)


def _located(file: PlannedFile) -> PlannedFile:
    path, *replicas = (str(Path(p).absolute()) if Path(p).exists() else p for p in (file.path, *file.replicas))
    return replace(file, path=path, replicas=tuple(replicas))
