"""Processes that tools use while they finalize."""

from __future__ import annotations

import os
import signal
import time

import pytest

from hepflow.errors import WorkerError
from hepflow.processes import Processes


def test_results_come_in_order_and_errors_where_their_result_would_be():
    processes = Processes(2)
    try:
        assert list(processes.map(divmod, [(7, 2), (9, 4), (5, 5)])) == [(3, 1), (2, 1), (1, 0)]
        assert os.getpid() in {*processes.map(_slow_id, [()] * 6)}  # this one helps
        pool = processes._pool
        results = processes.map(divmod, [(4, 2), (1, 0)])
        assert next(results) == (2, 0)
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert processes._pool is pool  # it goes on
        with pytest.raises(WorkerError, match="was killed"):
            list(processes.map(_end_another, [(os.getpid(), signal.SIGKILL)] * 3))
        assert list(processes.map(divmod, [(7, 2), (9, 4)])) == [(3, 1), (2, 1)]
    finally:
        processes.close()
    assert list(Processes(1).map(os.getpid, [(), ()])) == [os.getpid(), os.getpid()]


def _slow_id():
    time.sleep(0.02)
    return os.getpid()


def _end_another(than, number):
    if os.getpid() != than:
        os.kill(os.getpid(), number)
    time.sleep(0.1)
