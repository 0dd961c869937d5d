"""Finding a job-option file and running it: from a path or a name to a Job."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import cloudpickle

from hepflow.errors import HepflowError, JobOptionsError, nearest
from hepflow.job import DATATYPES, GIVEN, Job, Option, OptionValues, option_values
from hepflow.properties import Configurable, on_made
from hepflow.registry.manager import Registry, registry
from hepflow.stream import Stream

__all__ = ["JobFile", "find_joboptions", "joboptions_folders", "load_joboptions", "shipped_joboptions"]

PATH_VARIABLE = "HEPFLOW_JOBOPTIONS_PATH"


@dataclass(frozen=True)
class JobFile:
    """A job as loaded: the file, its text, the module it became, the job, and what the user should know of it."""

    path: Path
    text: str
    module: ModuleType
    job: Job
    notes: tuple[str, ...] = ()


def joboptions_folders(plugins: Registry | None = None) -> list[Path]:
    """Return the folders searched for job options given by name: ``HEPFLOW_JOBOPTIONS_PATH`` first, then those of
    plugins.
    """
    own = [Path(part).expanduser() for part in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if part]
    return own + (plugins or registry()).folders("joboptions")


def shipped_joboptions(plugins: Registry | None = None) -> dict[str, Path]:
    """Return the job-option files that can be run by name."""
    found: dict[str, Path] = {}
    for folder in joboptions_folders(plugins):
        for path in sorted(folder.glob("*.py")):
            if path.stem != "__init__":
                found.setdefault(path.stem, path)
    return found


def find_joboptions(name: str, plugins: Registry | None = None) -> Path:
    """Return the job-option file of a path or a name; JobOptionsError with the nearest names where there is none."""
    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    known = shipped_joboptions(plugins)
    plain = path.parent == Path()
    if plain and path.stem in known and path.suffix in ("", ".py"):
        return known[path.stem].resolve()
    if path.is_dir():
        raise JobOptionsError(f"{name} is a folder, not a job-option file")
    beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
    hint = nearest(path.name, [*beside, *known] if plain else beside or known, what="job options")
    raise JobOptionsError(
        f"there is no job-option file {name!r}", hint=f"{hint}; hepflow list jobs shows those found by name"
    )


def load_joboptions(
    path: Path,
    texts: Mapping[str, str | None] | None = None,
    *,
    settings: Sequence[str] = (),
    datatype: str | None = None,
    declared: dict[str, Option] | None = None,
) -> JobFile:
    """Run a job-option file and return its frozen job.

    ``texts`` are the option values as written on the command line, ``settings`` the ``--set`` assignments, applied
    after the file has run. ``declared`` gets the options that it declares, also where it then fails. JobOptionsError
    where the file cannot be read, does not compile, raises, or builds no single job.
    """
    if datatype is not None and datatype not in DATATYPES:
        raise JobOptionsError(f"there is no datatype {datatype!r}", hint=nearest(datatype, DATATYPES, what="datatypes"))
    text, code = _compiled(path)
    module = _module(path)
    values = OptionValues(dict(texts or {}), datatype)
    made: list[tuple[Configurable, int]] = []
    tokens = option_values.set(values), on_made.set(lambda thing: made.append((thing, _line(path))))
    try:
        exec(code, module.__dict__)  # noqa: S102 - job options are programs, run by the one who wrote them
    except HepflowError as error:
        known = error.where == GIVEN or error.where.startswith(f"{path}, line ")
        where = error.where if known else _where(path, error, error.where)
        raise error.but(where=where) from error
    except (Exception, SystemExit) as error:
        raise JobOptionsError(
            f"the job-option file raised {type(error).__name__}: {error}",
            where=_where(path, error),
            hint=_meant(error, module, path.parent) or "--debug shows the traceback",
        ) from error
    finally:
        if declared is not None:
            declared.update(values.declared)
        option_values.reset(tokens[0])
        on_made.reset(tokens[1])
    job = _single(values, module, path)
    job.folder = path.parent
    for assignment in settings:
        try:
            job.set(assignment)
        except HepflowError as error:
            raise error.but(where=f"--set {assignment}") from error
    try:
        job.freeze()
    except HepflowError as error:
        raise error.but(where=error.where or str(path)) from error
    return JobFile(path, text, module, job, _forgotten(job, made))


def _compiled(path: Path) -> tuple[str, CodeType]:
    """Return the text of a job-option file and its code."""
    try:
        text = path.read_text(encoding="utf-8")
        code = compile(text, str(path), "exec")
    except (OSError, UnicodeDecodeError) as error:
        raise JobOptionsError(f"the job-option file cannot be read: {error}", where=str(path)) from error
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise JobOptionsError(f"the job-option file has a syntax error: {error}", where=f"{path}{line}") from error
    return text, code


def _forgotten(job: Job, made: Sequence[tuple[Configurable, int]]) -> tuple[str, ...]:
    """Return in words which tools and streams the file made and did not add to the job."""
    added = {id(member) for member in (*job.configurables(), *job.overrides())}
    left = [(thing, line) for thing, line in made if id(thing) not in added]
    inside = {id(tool) for thing, _ in left if isinstance(thing, Stream) for tool in thing.tools}
    return tuple(
        f"{type(thing).__name__}({thing.name!r}) is made in line {line} and never added: job += …"
        for thing, line in left
        if id(thing) not in inside
    )


def _line(path: Path) -> int:
    """Return the line of the job-option file that is being run."""
    lines = [line for frame, line in traceback.walk_stack(None) if frame.f_code.co_filename == str(path)]
    return lines[-1] if lines else 0


def _module(path: Path) -> ModuleType:
    """Return a new registered module for the file, so that tools defined in it can be sent to workers by value."""
    name = f"hepflow_joboptions_{path.stem.replace('-', '_').replace('.', '_')}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(__file__=str(path))
    sys.modules[name] = module
    cloudpickle.register_pickle_by_value(module)
    return module


def _single(values: OptionValues, module: ModuleType, path: Path) -> Job:
    """Return the one job the file built; where it built several, the one it calls ``job``."""
    named = module.__dict__.get("job")
    jobs = [named] if isinstance(named, Job) else values.jobs
    if len(jobs) == 1:
        return jobs[0]
    if jobs:
        raise JobOptionsError(
            f"the job-option file builds {len(jobs)} jobs: {', '.join(job.name for job in jobs)}",
            where=str(path),
            hint="call the one to run `job`; what needs two passes is two jobs, joined by files",
        )
    raise JobOptionsError("the job-option file builds no job", where=str(path), hint='start it with job = Job("Name")')


def _meant(error: BaseException, module: ModuleType, folder: Path) -> str:
    """Return which name may have been meant where the file uses or imports one that is not there."""
    if isinstance(error, ModuleNotFoundError) and error.name and (folder / f"{error.name}.py").exists():
        return f"{error.name}.py lies beside the job options: PYTHONPATH={folder} hepflow …, also for batch jobs"
    missing = re.search(r"name '(\w+)'", str(error))
    if missing is None or not isinstance(error, NameError | ImportError):
        return ""
    source = sys.modules.get(error.name or "") if isinstance(error, ImportError) else module
    hint = nearest(missing[1], [name for name in dir(source) if not name.startswith("_")])
    return hint if hint.startswith("did you mean") else ""


def _where(path: Path, error: BaseException, inner: str = "") -> str:
    """Return the line of the job-option file at which the error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"{path}, line {lines[-1]}" if lines else str(path)
    return f"{place}: {inner}" if inner else place
