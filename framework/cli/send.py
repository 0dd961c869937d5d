"""``hepflow run`` with an executor that takes whole jobs: what goes along, and where."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from hepflow.cli.console import console
from hepflow.errors import JobOptionsError, OutputError
from hepflow.execution.code import own_modules
from hepflow.execution.executors import make_executor
from hepflow.execution.options import RunOptions
from hepflow.executor import Order
from hepflow.joboptions import JobFile
from hepflow.registry.manager import Registry

__all__ = ["grid_settings", "send"]

ALIASES = {
    "datasets": "Datasets",
    "gridstreamname": "StreamName",
    "gridrunversion": "RunVersion",
    "files_per_job": "FilesPerJob",
}
"""THOR's options, and the properties of the executor grid that they set."""
GOES_ALONG = {"tree": "--tree", "datatype": "-dt", "units": "--units", "label": "--label", "chunk": "--chunk"}
STAYS = {"inputs": "-i", "events": "-n", "skip": "--skip", "resume": "--resume", "force": "--force"} | {
    "leave_out": "--leave-out",
    "detach": "--detach",
    "checksum": "--checksum",
}
"""Options that a job elsewhere has no use for."""


def grid_settings(given: dict[str, Any]) -> list[str]:
    """Return THOR's options as ``--set`` would take them."""
    return [f"grid.{key}={given[name]}" for name, key in ALIASES.items() if given[name] is not None]


def send(file: JobFile, options: RunOptions, given: dict[str, Any], plugins: Registry) -> None:
    """Hand a job to an executor that takes whole ones, and show what is sent."""
    useless = [word for name, word in STAYS.items() if given[name]]
    if useless:
        raise JobOptionsError(
            f"{', '.join(useless)} has no meaning with the executor {options.executor}",
            hint="its jobs read the datasets that it is given, and each is a run of its own",
        )
    executor = make_executor(options.executor, options.workers, options.settings, plugins)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(options.output or f"output/{file.job.name}-{options.executor}-{stamp}").expanduser()
    if folder.exists():
        raise OutputError(f"the output folder {folder} exists already", hint="give another one with -o")
    for line in executor.send(order_of(file, options, given), folder, dry=given["dry_run"]):
        console().print(line)
    if not given["dry_run"]:
        console().print(f"sent from {folder}; pbook shows how the tasks are")


def order_of(file: JobFile, options: RunOptions, given: dict[str, Any]) -> Order:
    """Return the job of a command line as it is run elsewhere."""
    job = file.job
    job.freeze()
    own = [text for text in given["settings"] if text not in options.settings]
    words: list[str] = []
    for name, word in GOES_ALONG.items():
        if given[name] not in (None, "") and (name != "chunk" or given[name] != RunOptions.chunk):
            words += [word, str(given[name])]
    for text in own:
        words += ["--set", text]
    files, moved = _data_files(file)
    words += [word for text in moved for word in ("--set", text)]
    for name, path in own_modules(file.module, file.path).items():
        parts = name.split(".")
        files["/".join(parts) + ("/__init__.py" if path.name == "__init__.py" else ".py")] = path
    outputs, merged = [], []
    for stream in job.streams:
        if "Merge" in stream.properties():
            merged.append(stream.name)
            outputs.append(f"{stream.name}{stream.suffix}")
        elif stream.joined:
            outputs.append(f"{stream.name}{stream.joined}")
        else:
            raise JobOptionsError(
                f"the stream {stream.name} writes numbered parts, which a job elsewhere cannot join",
                hint="give it a property Merge, or the class attribute joined, where it becomes one file",
            )
    return Order(file.path, words, given["arguments"][1:], files, outputs, merged)


def _data_files(file: JobFile) -> tuple[dict[str, Path], list[str]]:
    """Return the data files of the job that no package brings, by the name under which they travel, and the settings
    that name them so.
    """
    files: dict[str, Path] = {}
    settings = []
    for member in file.job.configurables():
        own = {key: Path(path) for key, path in member.data_files().items() if not _installed(Path(path))}
        for key in dict.fromkeys(key.partition("[")[0] for key in own):
            if key not in member.properties():
                raise JobOptionsError(
                    f"{member.name} needs {own[key]}, which is no value of a property: it cannot travel",
                    hint="put it where the nodes see it, or into the container",
                )
            value = getattr(member, key)
            names = [Path(path).name for path in (value if isinstance(value, tuple) else (value,))]
            settings.append(f"{member.name}.{key}={','.join(names)}")
        for path in own.values():
            if files.setdefault(path.name, path) != path:
                raise JobOptionsError(f"two data files of the job are called {path.name}: {files[path.name]}, {path}",
                                      hint="they travel into one folder: rename one")  # fmt: skip
    return files, settings


def _installed(path: Path) -> bool:
    """Tell whether a file comes with an installed package."""
    import hepflow

    ours = Path(hepflow.__file__).resolve().parents[1]
    return path.resolve().is_relative_to(ours) or bool(re.search(r"[/\\](site|dist)-packages[/\\]", str(path)))
