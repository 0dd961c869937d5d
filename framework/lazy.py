"""Packages whose public names are loaded on first use, so that naming a package imports none of its modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from hepflow.errors import nearest

__all__ = ["lazy_names"]


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package: public name → module (below the package) that defines it.

    An unknown name is an AttributeError (an ImportError in ``from package import name``) that gives the nearest names.
    """

    def load(name: str) -> Any:
        if name not in modules:
            hint = "" if name.startswith("__") else f"; {nearest(name, modules, what='names')}"
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    def names() -> list[str]:
        return sorted({*modules, *(name for name in vars(sys.modules[package]) if name.startswith("__"))})

    return load, names
