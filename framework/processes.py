"""Spawned processes on this machine: pools that never hang, and those that tools may use while they finalize."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from hepflow.errors import WorkerError

__all__ = ["PATIENCE", "Processes", "end", "new_pool", "submit", "without_interrupts"]

PATIENCE = 3.0
"""Seconds that processes have to end when they are asked to."""

Result = TypeVar("Result")


def _silent(done: int, total: int) -> None:
    """Say nothing."""


class Processes:
    """What tools may use while they finalize (``context.processes``): as many processes as the run has workers, this
    one among them.

    They start when they are first needed and go on to the end of the run. ``tell`` hears how many of a map's calls are
    done.
    """

    def __init__(self, workers: int = 1, tell: Callable[[int, int], None] | None = None) -> None:
        self.workers = workers
        self._tell = tell or _silent
        self._pool: ProcessPoolExecutor | None = None

    def map(self, function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield the results of a function of a module, in order; with one worker, or one call, all in this process.

        An error of the function is raised where its result would be; WorkerError where a process was killed.
        """
        calls = list(arguments)
        if self.workers == 1 or len(calls) == 1:
            for number, call in enumerate(calls, start=1):
                yield function(*call)
                self._tell(number, len(calls))
            return
        self._pool = self._pool or new_pool(self.workers - 1)
        shared = _Shared(self._pool, function, calls)
        try:
            for _ in range(2 * (self.workers - 1)):  # none of them waits for the next
                shared.give()
            while shared.do():
                self._tell(shared.done, len(calls))
            for result in shared.results:
                yield result.result()
                self._tell(shared.done, len(calls))
        except BrokenProcessPool as error:
            self.close(0.0)
            raise WorkerError("a process that helped to finalize was killed") from error

    def close(self, patience: float = PATIENCE) -> None:
        """End the processes."""
        if self._pool is not None:
            end(self._pool, patience)
        self._pool = None


class _Shared:
    """Calls that a pool does from the first on, and this process from the last on."""

    def __init__(self, pool: ProcessPoolExecutor, function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> None:
        self._pool, self._function, self._calls = pool, function, calls
        self._left = deque(range(len(calls)))
        self.results: list[Future[Any]] = [Future() for _ in calls]

    @property
    def done(self) -> int:
        """Return how many calls are done."""
        return sum(result.done() for result in self.results)

    def give(self) -> None:
        """Give the pool one more call, if any is left, and another when that is done."""
        try:
            position = self._left.popleft()
        except IndexError:
            return
        try:
            future = submit(self._pool, self._function, *self._calls[position])
        except (BrokenProcessPool, WorkerError) as error:
            self._end(position, error)
        else:
            future.add_done_callback(partial(self._take, position))

    def _take(self, position: int, future: Future[Any]) -> None:
        result = self.results[position]
        if future.cancelled():
            result.cancel()
        elif isinstance(error := future.exception(), BrokenProcessPool):
            self._end(position, error)
        else:
            result.set_exception(error) if error is not None else result.set_result(future.result())
            self.give()

    def _end(self, position: int, error: Exception) -> None:
        """Give up: the pool takes no more, and the calls that are left are nobody's."""
        self._left.clear()
        self.results[position].set_exception(error)

    def do(self) -> bool:
        """Do one call here; return whether there was one."""
        try:
            position = self._left.pop()
        except IndexError:
            return False
        try:
            self.results[position].set_result(self._function(*self._calls[position]))
        except Exception as error:
            self.results[position].set_exception(error)
        return True


def new_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of processes, none of which outlives this one."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def submit(pool: ProcessPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Give a pool something to do; BrokenProcessPool where it is not able to take it any more, WorkerError where it
    never was.
    """
    started = bool(pool._processes)
    try:
        with without_interrupts():
            return pool.submit(function, *arguments)
    except BrokenProcessPool:
        raise
    except (OSError, RuntimeError) as error:
        if started:  # a process died while this one was to be started
            raise BrokenProcessPool(str(error)) from error
        raise WorkerError(f"no worker process can be started: {error}") from error


def end(pool: ProcessPoolExecutor, patience: float) -> None:
    """End a pool without ever waiting for a process that does not end: after ``patience`` seconds its processes are
    terminated, and killed where that does not help. What they were writing can be removed when they have ended.
    """
    processes = pool._processes or {}
    manager: Any = pool._executor_manager_thread
    pool.shutdown(wait=False, cancel_futures=True)
    if manager is None:  # nothing was ever submitted
        return
    try:
        manager.join(patience)
        for stop in (BaseProcess.terminate, BaseProcess.kill):
            limit = time.monotonic() + PATIENCE
            while manager.is_alive() and time.monotonic() < limit:
                for process in [*processes.values()]:  # one may be added while its pool breaks
                    stop(process)
                manager.join(0.1)
    except BaseException:  # a second Ctrl-C
        for process in [*processes.values()]:
            process.kill()
        raise


def _end_with_parent() -> None:
    """End this process as soon as the main process is gone: one that was killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Block Ctrl-C: a process started in here inherits that, and leaves Ctrl-C to the main process from the start."""
    resource_tracker.ensure_running()  # where multiprocessing starts it later, it allows Ctrl-C again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
