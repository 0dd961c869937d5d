"""The executor ``processes``: work units in spawned processes on this machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, resource_tracker
from typing import TypeVar

from hepflow.errors import WorkerError

__all__ = ["ProcessExecutor", "without_interrupts"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class ProcessExecutor:
    """Runs units in spawned processes. A unit whose process dies is tried once more, alone; if it kills again, it is
    named.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result], None, None]:
        """Yield (position, result) in the order of completion (see ``hepflow.protocols.Executor``)."""
        waiting = list(enumerate(items))
        while waiting:
            suspects: list[tuple[int, Item]] = []
            yield from self._pool(function, waiting, suspects)
            if suspects:
                logging.getLogger("hepflow").warning(
                    "a worker process died; %d work units in its reach are tried again, one at a time",
                    len(suspects),
                )
            for suspect in suspects:
                again: list[tuple[int, Item]] = []
                yield from ProcessExecutor(1)._pool(function, [suspect], again)
                if again:
                    raise WorkerError(
                        "a worker process was killed, and again when its work unit was tried alone",
                        about=str(suspect[0]),
                    )

    def _pool(
        self, function: Callable[[Item], Result], waiting: list[tuple[int, Item]], suspects: list[tuple[int, Item]]
    ) -> Iterator[tuple[int, Result]]:
        """Work through ``waiting`` from the front; when a process dies, move what was in flight to ``suspects`` and
        return.
        """
        workers = min(self.workers, len(waiting))
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
        running: dict[Future[Result], tuple[int, Item]] = {}
        finished = False
        try:
            while waiting or running:
                while waiting and len(running) < workers + 1:
                    with without_interrupts():
                        running[pool.submit(function, waiting[0][1])] = waiting[0]
                    waiting.pop(0)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    yield running.pop(future)[0], result
            finished = True
        except BrokenProcessPool:
            for future, item in running.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    yield item[0], future.result()
                else:
                    suspects.append(item)
            finished = True
        finally:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=finished, cancel_futures=True)
            if not finished:
                for process in processes:
                    process.terminate()
                for process in processes:  # what they were writing can be removed only when they have ended
                    process.join()


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
