"""The code that a job uses beyond hepflow: sources of the classes of its tools and streams, and of what they import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.metadata import packages_distributions
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from hepflow.files import sha256
from hepflow.joboptions import JobFile
from hepflow.properties import Configurable

__all__ = ["changed", "made_of", "own_modules", "sources"]


def made_of(members: Iterable[Configurable], file: JobFile | None) -> dict[str, str]:
    """Return the SHA-256 of the source files and the data files of tools and streams, as they are now, by module and
    path, and of the user's own modules that the job-option file imports; those that are not there are left out.
    """
    members = list(members)
    files = {path: Path(path) for member in members for path in member.data_files().values()}
    files |= own_modules(file.module, file.path) if file is not None else {}
    own = {name: sha256(path) for name, path in sorted(files.items()) if path.is_file()}
    return {**sources(map(type, members)), **own}


def changed(made: Mapping[str, str]) -> list[str]:
    """Return what of ``made_of`` is something else now, of what this process has loaded and sees."""
    files = {name: Path(getattr(sys.modules.get(name), "__file__", None) or name) for name in made}
    return [name for name, digest in made.items() if files[name].is_file() and sha256(files[name]) != digest]


def sources(classes: Iterable[type]) -> dict[str, str]:
    """Return module → SHA-256 of its source file, for the modules that define these classes and their bases, and for
    those of the same package, or of the user's own folders, that they import.

    Modules of hepflow and of Python are left out. What no class is of does not count: a plugin that is only installed.
    """
    bases = {base.__module__ for cls in classes for base in cls.__mro__}
    waiting = [sys.modules[name] for name in sorted(bases) if name in sys.modules]
    found: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        name, file = module.__name__, Path(getattr(module, "__file__", None) or "")
        package = name.partition(".")[0]
        ours = package == "hepflow" or name.startswith("hepflow_joboptions_") or package in sys.stdlib_module_names
        if name in found or ours or file.suffix != ".py" or not file.is_file():
            continue
        found[name] = sha256(file)
        waiting += [other for other in _imported(module, file) if _counts(other.__name__.partition(".")[0], package)]
    return dict(sorted(found.items()))


def own_modules(module: ModuleType, file: Path) -> dict[str, Path]:
    """Return name → file of the user's own modules that a job-option file imports, and those that these import."""
    found: dict[str, Path] = {}
    waiting = [(module, file)]
    while waiting:
        for other in _imported(*waiting.pop()):
            parts = other.__name__.split(".")
            for name in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):  # its packages come first
                one = sys.modules[name]
                path = Path(getattr(one, "__file__", None) or "")
                if name not in found and path.suffix == ".py" and parts[0] not in _installed() | {"hepflow"}:
                    found[name] = path
                    waiting.append((one, path))
    return found


def _imported(module: ModuleType, file: Path) -> Iterator[ModuleType]:
    """Yield the modules that a source file imports, anywhere in it, and that are loaded."""
    named = _named(file.read_bytes(), module.__package__ or module.__name__)
    yield from (sys.modules[name] for name in named if name in sys.modules)


@lru_cache(maxsize=1024)
def _named(source: bytes, package: str) -> tuple[str, ...]:
    """Return the names of what a source imports, which may be modules; a run asks several times."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _counts(imported: str, package: str) -> bool:
    """Tell whether what a package imports is its own, or the user's: not a package that was installed."""
    return imported == package or imported not in _installed()


@cache
def _installed() -> frozenset[str]:
    return frozenset({*packages_distributions(), *sys.stdlib_module_names})
