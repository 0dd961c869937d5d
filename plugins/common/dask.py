"""The executor ``dask``: work units on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from hepflow.errors import PluginError, WorkerError
from hepflow.executor import Executor
from hepflow.processes import without_interrupts

__all__ = ["DaskExecutor"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class DaskExecutor(Executor):
    """Run work units on the Dask cluster that DASK_SCHEDULER_ADDRESS names, else on one of this machine's processes.

    The workers of a cluster need the same installation, and the input and the run directory under the same paths.
    ``Workers`` is the number of processes on this machine; on a cluster, how many units are under way at a time. A unit
    whose process dies is tried again as often as Dask is configured to (``distributed.scheduler.allowed-failures``).
    Raises PluginError where Dask is not installed, WorkerError where the scheduler is not there, or not any more.
    """

    def check(self) -> None:
        """See that Dask is installed."""
        _distributed()

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
        """Yield (position, result) in the order of completion (see ``hepflow.protocols.Executor``)."""
        waiting = iter(enumerate(items))
        running: dict[Any, int] = {}
        distributed = _distributed()
        with self._client(distributed) as (client, address):
            done = distributed.as_completed()

            def submit(number: int) -> None:
                for position, item in islice(waiting, number):
                    future = client.submit(function, item, pure=False)
                    running[future] = position
                    done.add(future)

            submit(self.Workers)  # no more: Dask blames a process that dies on units that only wait for it, too
            for future in done:
                position = running.pop(future)
                try:
                    result = future.result()
                except distributed.KilledWorker:
                    result = WorkerError("the Dask workers that ran a work unit died, one after the other")
                except (CancelledError, distributed.comm.CommClosedError) as error:
                    raise WorkerError(
                        "the connection to the Dask scheduler was lost",
                        where=address,
                        hint="is it running? finished work units are kept, --resume continues",
                    ) from error
                yield position, result
                submit(1)

    @contextmanager
    def _client(self, distributed: Any) -> Iterator[tuple[Any, str]]:
        """Connect to the cluster of Dask's configuration, or start one; end what was started."""
        import dask

        with ExitStack() as opened:
            address = dask.config.get("scheduler-address", None)
            try:
                if address is None:
                    with without_interrupts():
                        cluster = distributed.LocalCluster(
                            n_workers=self.Workers, threads_per_worker=1, memory_limit=None, dashboard_address=None
                        )
                    address = opened.enter_context(cluster)
                client = opened.enter_context(distributed.Client(address))
            except OSError as error:
                raise WorkerError(
                    f"there is no Dask cluster to work on: {error}",
                    where=str(address or ""),
                    hint="DASK_SCHEDULER_ADDRESS names its scheduler; without, one is started on this machine",
                ) from error
            yield client, str(client.scheduler.address)


def _distributed() -> Any:
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise PluginError(
            f"the executor dask needs the packages dask and distributed: {error}",
            hint="pip install -e '.[dask]' in hepflow's folder",
        ) from error
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tracebacks: that it is lost, hepflow says
    return distributed
