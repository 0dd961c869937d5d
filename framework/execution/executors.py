"""Executors as a run is given them, and the one called ``processes``: spawned processes on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

from hepflow.errors import JobOptionsError, PropertyError, WorkerError, nearest
from hepflow.executor import Executor
from hepflow.processes import PATIENCE, end, new_pool, submit
from hepflow.registry.manager import Registry

__all__ = ["ProcessExecutor", "make_executor", "site_file", "site_settings"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def make_executor(
    name: str, workers: int, settings: Sequence[str], plugins: Registry, *, detach: bool = False, check: bool = True
) -> Executor:
    """Return an executor by name, set as the site file says, then as ``settings`` (``NAME.Property=value``) do.

    PluginError where there is none of this name; JobOptionsError or PropertyError where a setting does not fit; with
    ``check`` also what the executor itself raises where nothing can run.
    """
    made: Executor = plugins.load("executors", name)(name)
    for key, value in site_settings(plugins).get(name, {}).items():
        try:
            made.setProperty(key, value)
        except PropertyError as error:
            raise error.but(where=f"site file {site_file()}, {name}") from None
    made.setProperty("Workers", workers)
    if detach and "Detach" not in made.properties():
        raise JobOptionsError(f"--detach: work units of the executor {name} run under this process",
                              hint="leave it out, or give the executor of a batch system")  # fmt: skip
    if detach:
        made.setProperty("Detach", True)
    for assignment in settings:
        target, _, text = assignment.partition("=")
        owner, _, key = target.strip().partition(".")
        if owner != name:
            raise JobOptionsError(f"--set {assignment}: this run has the executor {name}", hint=f"--executor {owner}")
        prop = made.properties().get(key)
        made.setProperty(key, text if prop is None else prop.parse(text))
    made.freeze()
    if check:
        made.check()
    return made


def site_file() -> Path:
    """Return where the settings of a site stand: in the file of HEPFLOW_SITE, else in that of the user."""
    return Path(os.environ.get("HEPFLOW_SITE") or platformdirs.user_config_path("hepflow") / "site.yaml")


def site_settings(plugins: Registry) -> dict[str, dict[str, Any]]:
    """Return executor → property → value, of the site file: that of HEPFLOW_SITE, else ``site.yaml`` in the user's
    folder of settings. JobOptionsError where it cannot be read or names no executor.
    """
    import yaml

    path = site_file()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not os.environ.get("HEPFLOW_SITE"):
            return {}
        raise JobOptionsError(
            f"the site file cannot be read: {' '.join(str(error).split())}", where=str(path)
        ) from error
    known = plugins.names("executors")
    for key, settings in content.items() if isinstance(content, dict) else [(str(content), None)]:
        if key not in known or not isinstance(settings, dict):
            raise JobOptionsError(
                f"the site file has {key!r}, which is no executor with properties",
                where=str(path),
                hint=f"write executor: {{Property: value}}; {nearest(str(key), known, what='executors')}",
            )
        there = plugins.load("executors", key).properties()
        for name in settings:
            if name not in there:
                raise JobOptionsError(
                    f"the site file sets {key}.{name}, and there is no such property",
                    where=str(path),
                    hint=nearest(str(name), there, what=f"properties of {key}"),
                )
    return dict(content)


class ProcessExecutor(Executor):
    """Run work units in spawned processes on this machine.

    If its process dies, a work unit is tried once more, alone.
    """

    def run(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | WorkerError], None, None]:
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
                yield from self._pool(function, [suspect], again)
                if again:
                    text = "a worker process was killed, and again when its work unit was tried alone"
                    yield suspect[0], WorkerError(text)

    def _pool(
        self, function: Callable[[Item], Result], waiting: list[tuple[int, Item]], suspects: list[tuple[int, Item]]
    ) -> Iterator[tuple[int, Result]]:
        """Work through ``waiting`` from the front; when a process dies, move what was in flight to ``suspects`` and
        return.
        """
        workers = min(self.Workers, len(waiting))
        pool = new_pool(workers)
        running: dict[Future[Result], tuple[int, Item]] = {}
        patience = 0.0
        try:
            while waiting or running:
                while waiting and len(running) < workers + 1:
                    running[submit(pool, function, waiting[0][1])] = waiting[0]
                    waiting.pop(0)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    yield running.pop(future)[0], result
            patience = PATIENCE
        except BrokenProcessPool:
            for future, item in running.items():
                if future.done() and not future.cancelled() and future.exception() is None:
                    yield item[0], future.result()
                else:
                    suspects.append(item)
        finally:
            end(pool, patience)
