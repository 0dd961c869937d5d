"""What the shell completes: names of job options, and of everything that can be described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from click.shell_completion import CompletionItem

from hepflow.joboptions import shipped_joboptions
from hepflow.registry.manager import registry

__all__ = ["complete_jobs", "complete_names"]

KINDS = ("tools", "streams", "executors", "architectures", "engines", "variables")


def complete_jobs(context: Any, parameter: Any, typed: str) -> list[CompletionItem]:
    """Return names of job options, else files."""
    return _items(shipped_joboptions(registry(())), typed)


def complete_names(context: Any, parameter: Any, typed: str) -> list[CompletionItem]:
    """Return names that ``hepflow describe`` knows, else files."""
    known = registry(())
    return _items([*shipped_joboptions(known), *(name for kind in KINDS for name in known.names(kind))], typed)


def _items(names: Iterable[str], typed: str) -> list[CompletionItem]:
    found = sorted(name for name in names if name.startswith(typed))
    return [CompletionItem(name) for name in found] or [CompletionItem(typed, type="file")]
