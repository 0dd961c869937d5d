"""Performance: plots of classifiers and their inputs, and the report of a run."""

from __future__ import annotations

from hepflow.lazy import lazy_names

__all__: list[str] = []

__getattr__, __dir__ = lazy_names(__name__, {})
