"""The plugin manager: loads entry points, refuses duplicates, imports what is named when it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import pluggy

from hepflow.errors import PluginError, nearest
from hepflow.registry import hooks

__all__ = ["KINDS", "Named", "Plugin", "Registry", "registry"]

KINDS = (
    "tools",
    "streams",
    "readers",
    "models",
    "model_writers",
    "executors",
    "samples",
    "architectures",
    "engines",
    "variables",
    "commands",
)


@dataclass(frozen=True)
class Named:
    """Something a plugin brings: its name, import string, and the plugin it comes from."""

    name: str
    target: str
    plugin: str

    def load(self) -> Any:
        """Import and return the object; PluginError where that fails."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.name} cannot be imported from {self.target!r}: {type(error).__name__}: {error}",
                where=f"plugin {self.plugin}",
                hint="hepflow doctor lists missing packages",
            ) from error

    def summary(self) -> str:
        """Return the first paragraph of the docstring, read from the source without importing it."""
        module, _, attribute = self.target.partition(":")
        source = _source(module)
        if source is None:
            return ""
        for node in ast.parse(source.read_bytes()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
                return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
        return ""


@dataclass(frozen=True)
class Plugin:
    """A plugin as found: entry-point name, distribution with version, and whether ``-p no:NAME`` switched it off."""

    name: str
    distribution: str
    version: str
    blocked: bool
    hooks: tuple[str, ...] = ()


class Registry:
    """The plugins in force and what they bring."""

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager("hepflow")
        self._manager.add_hookspecs(hooks)
        self.plugins: dict[str, Plugin] = {}
        entry_points: dict[str, importlib.metadata.EntryPoint] = {}
        for entry in importlib.metadata.entry_points(group="hepflow"):
            other = entry_points.get(entry.name)
            if other is not None and other.value != entry.value:
                raise PluginError(
                    f"two plugins are called {entry.name!r}: one of {_origin(other)}, one of {_origin(entry)}",
                    hint="uninstall one of them",
                )
            entry_points[entry.name] = entry
        unknown = set(blocked) - set(entry_points)
        if unknown:
            name = sorted(unknown)[0]
            raise PluginError(
                f"-p no:{name}: there is no plugin {name!r}", hint=nearest(name, entry_points, what="plugins")
            )
        for name, entry in sorted(entry_points.items()):
            self._register(name, entry, name in set(blocked))

    def _register(self, name: str, entry: importlib.metadata.EntryPoint, blocked: bool) -> None:
        distribution = entry.dist.name if entry.dist is not None else "?"
        version = entry.dist.version if entry.dist is not None else "?"
        if blocked:
            self.plugins[name] = Plugin(name, distribution, version, blocked=True)
            return
        try:
            module = entry.load()
            self._manager.register(module, name)
            self._manager.check_pending()
        except Exception as error:
            raise PluginError(
                f"the plugin {name!r} of {distribution} cannot be loaded: {type(error).__name__}: {error}",
                hint=f"repair it, or switch it off with -p no:{name}",
            ) from error
        found = tuple(caller.name for caller in self._manager.get_hookcallers(module) or [])
        self.plugins[name] = Plugin(name, distribution, version, blocked=False, hooks=found)

    def names(self, kind: str) -> Mapping[str, Named]:
        """Return what the plugins bring of one kind (see KINDS), by name; PluginError where two bring the same name."""
        found: dict[str, Named] = {}
        for implementation in getattr(self._manager.hook, f"hepflow_{kind}").get_hookimpls():
            for name, target in self._brought(implementation).items():
                named = Named(name, target, implementation.plugin_name)
                if name in found:
                    raise PluginError(
                        f"two plugins bring {kind} called {name!r}: "
                        f"{self._label(found[name].plugin)} and {self._label(named.plugin)}",
                        hint=f"switch one off with -p no:{named.plugin}",
                    )
                found[name] = named
        return dict(sorted(found.items()))

    def _brought(self, implementation: pluggy.HookImpl) -> Mapping[str, str]:
        """Return what one plugin brings; PluginError where that is no mapping of names to import strings."""
        plugin, hook = implementation.plugin_name, implementation.function.__name__
        hint = f"repair it, or switch it off with -p no:{plugin}"
        try:
            brought = implementation.function()
        except Exception as error:
            raise PluginError(
                f"{hook} of the plugin {self._label(plugin)} failed: {type(error).__name__}: {error}", hint=hint
            ) from error
        if not isinstance(brought, Mapping) or not all(":" in str(target) for target in brought.values()):
            raise PluginError(
                f"{hook} of the plugin {self._label(plugin)} must return names with import strings "
                f"('package.module:Class'), not {brought!r}",
                hint=hint,
            )
        return brought

    def _label(self, plugin: str) -> str:
        return f"{plugin} ({self.plugins[plugin].distribution})"

    def load(self, kind: str, name: str) -> Any:
        """Return the named object; PluginError with the nearest names where there is none."""
        known = self.names(kind)
        if name not in known:
            raise PluginError(f"there is no {kind[:-1]} {name!r}", hint=nearest(name, known, what=kind))
        return known[name].load()

    def derivations(self) -> dict[str, tuple[str, ...]]:
        """Return what the plugins know of stored columns: column → columns that it was calculated from."""
        found: dict[str, tuple[str, ...]] = {}
        for brought in self._manager.hook.hepflow_derivations():
            for name, sources in brought.items():
                found[name] = (*found.get(name, ()), *sources)
        return found

    def folders(self, kind: str) -> list[Path]:
        """Return the folders that plugins bring: of ``joboptions``, or of ``data``."""
        hook = getattr(self._manager.hook, f"hepflow_{kind}")
        return [Path(folder) for group in hook() for folder in group]


def _source(module: str) -> Path | None:
    """Return the source file of a module, found without importing it or its packages; None where there is none."""
    spec, path = None, None
    for name in accumulate(module.split("."), "{}.{}".format):
        found = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


_blocked: tuple[str, ...] = ()


def registry(blocked: tuple[str, ...] | None = None) -> Registry:
    """Return the registry, made once for each set of blocked plugins.

    Plugins that are given as blocked stay so for later calls in this process.
    """
    global _blocked
    found = _registry(_blocked if blocked is None else blocked)
    _blocked = _blocked if blocked is None else blocked
    return found


@lru_cache(maxsize=8)
def _registry(blocked: tuple[str, ...]) -> Registry:
    return Registry(blocked)
